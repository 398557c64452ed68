"""hack/release makes the same files twice, they are what their formats ask for, and they work on bare machines.

OCIRT_TEST_RELEASE is a folder that hack/release has made, to test that one.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.tags import compatible_tags
from packaging.utils import parse_wheel_filename

import ocirt
from conformance.cells import SLOWNESS

TREE = Path(__file__).resolve().parents[2]
VERSION = ocirt.__version__
MACHINES = {"x86_64": 62, "aarch64": 183, "riscv64": 243}
"""Processor -> its number in ELF files."""
RUN = {"check": True, "stdin": subprocess.DEVNULL, "capture_output": True, "text": True}


def make(folder):
    subprocess.run([TREE / "hack/release", "--output", folder, VERSION], timeout=1500 * SLOWNESS, **RUN)
    return folder


@pytest.fixture(scope="session")
def release(tmp_path_factory):
    """The folder of a release."""
    if "OCIRT_TEST_RELEASE" in os.environ:
        return Path(os.environ["OCIRT_TEST_RELEASE"])
    return make(tmp_path_factory.mktemp("release") / VERSION)


def sums(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_the_files(release):
    arches = [f"ocirt-{VERSION}-linux-{arch}.tar.gz" for arch in MACHINES]
    wheels = [f"ocirt-{VERSION}-py3-none-manylinux_2_17_{arch}.musllinux_1_1_{arch}.whl" for arch in MACHINES]
    others = [f"ocirt-{VERSION}{end}" for end in (".tar.gz", ".cdx.json", ".intoto.json")]
    debs = [f"ocirt_{VERSION}_{arch}.deb" for arch in ("amd64", "arm64")]
    assert sorted(path.name for path in release.iterdir()) == sorted([*arches, *wheels, *others, *debs, "SHA256SUMS"])


def test_a_second_build_is_the_same(release, tmp_path):
    """From another folder, at another time, with another umask; made of the same commit by the same tools."""
    old = os.umask(0o077)
    try:
        again = make(tmp_path / "again")
    finally:
        os.umask(old)
    assert sums(again) == sums(release)


def test_sums(release):
    named = dict(reversed(line.split("  ")) for line in (release / "SHA256SUMS").read_text().splitlines())
    found = sums(release)
    del found["SHA256SUMS"]
    assert named == found


def test_the_bill_of_materials(release):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    text = (release / f"ocirt-{VERSION}.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    parts = json.loads(text)["components"]
    assert {"jsonschema", "musl", "referencing"} < {part["name"] for part in parts}
    hashes = {part["name"]: part["hashes"][0]["content"] for part in parts if part["type"] == "file"}
    assert hashes.items() <= sums(release).items() and len(hashes) == len(list(release.iterdir())) - 3


def test_the_provenance(release):
    statement = json.loads((release / f"ocirt-{VERSION}.intoto.json").read_text())
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    found = sums(release)
    named = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
    assert named.items() <= found.items() and len(named) == len(found) - 3
    sources = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    head = subprocess.run(["git", "-C", TREE, "rev-parse", "HEAD"], **RUN).stdout.strip()
    assert sources[0] == {"uri": "git+ocirt", "digest": {"gitCommit": head}}


@pytest.mark.parametrize("arch", MACHINES)
def test_the_executable_of_each_processor(release, arch, tmp_path):
    """It is static, and tells its version under an emulator if there is one."""
    with zipfile.ZipFile(next(release.glob(f"*musllinux_1_1_{arch}.whl"))) as wheel:
        data = wheel.read(f"ocirt-{VERSION}.data/scripts/ocirt")
        assert b"Root-Is-Purelib: false" in wheel.read(f"ocirt-{VERSION}.dist-info/WHEEL")
    assert data[:4] == b"\x7fELF" and int.from_bytes(data[18:20], "little") == MACHINES[arch]
    executable = tmp_path / "ocirt"
    executable.write_bytes(data)
    executable.chmod(0o755)
    said = subprocess.run(["readelf", "-l", executable], **RUN).stdout
    assert "INTERP" not in said and "DYNAMIC" not in said
    emulator = [] if arch == os.uname().machine else [shutil.which(f"qemu-{arch}-static")]
    if emulator != [None]:
        shown = subprocess.run([*emulator, executable, "--version"], timeout=60, **RUN).stdout
        assert shown.startswith(f"ocirt version {VERSION}\n")


@pytest.mark.parametrize(
    "platform",
    [
        "manylinux_2_17_x86_64",
        "manylinux_2_28_aarch64",
        "manylinux_2_31_riscv64",
        "musllinux_1_1_x86_64",
        "musllinux_1_2_aarch64",
    ],
)
def test_pip_takes_the_wheel_there(release, platform, tmp_path):
    """As a Python of that platform resolves it: manylinux's, Debian's, Alpine's."""
    libc, version, arch = re.fullmatch(r"(many|musl)linux_(\d_\d+)_(\w+)", platform).groups()
    major, minor = map(int, version.split("_"))
    platforms = [f"{libc}linux_{major}_{each}_{arch}" for each in range(minor, 0, -1)]
    tags = set(compatible_tags((3, 13), "cp313", platforms))
    (wheel,) = [path for path in release.glob("*.whl") if parse_wheel_filename(path.name)[3] & tags]
    assert arch in wheel.name
    options = [
        "--no-deps",
        "--no-index",
        "--only-binary",
        ":all:",
        "--python-version",
        "3.13",
        "--platform",
        platforms[-1],
    ]
    options = [
        "--find-links",
        release,
        "-d",
        tmp_path,
        *options,
        *(part for each in platforms for part in ("--platform", each)),
    ]
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", *options, f"ocirt=={VERSION}"], timeout=120, **RUN)
    assert [path.name for path in tmp_path.iterdir()] == [wheel.name]


def test_a_machine_with_musl(release, tmp_path):
    """The tags of a Python that musl's loader runs have the wheel's; and the executable needs no loader at all."""
    from packaging._musllinux import platform_tags

    source, program = tmp_path / "python.c", tmp_path / "python"
    source.write_text("int main(void) { return 0; }")
    subprocess.run(["musl-gcc", "-o", program, source], timeout=60, **RUN)
    shown = subprocess.run([program], timeout=60, **RUN)
    assert shown.returncode == 0
    old, sys.executable = sys.executable, str(program)
    try:
        tags = set(platform_tags(["x86_64"]))
    finally:
        sys.executable = old
    assert "musllinux_1_1_x86_64" in tags
    root = tmp_path / "root"
    root.mkdir()
    with zipfile.ZipFile(next(release.glob("*x86_64.whl"))) as wheel:
        (root / "ocirt").write_bytes(wheel.read(f"ocirt-{VERSION}.data/scripts/ocirt"))
    (root / "ocirt").chmod(0o755)
    said = subprocess.run(["chroot", root, "/ocirt", "--version"], timeout=60, **RUN).stdout
    assert said.startswith(f"ocirt version {VERSION}\n")


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_lintian_finds_nothing(release, arch):
    package = release / f"ocirt_{VERSION}_{arch}.deb"
    command = ["lintian", "--no-cfg", "--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0", package]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300 * SLOWNESS, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_what_the_debian_package_switches(release):
    """Nothing: podman gets a name, and containerd a file that it does not read by itself."""
    package = release / f"ocirt_{VERSION}_amd64.deb"
    files = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, capture_output=True).stdout
    listed = (
        subprocess.run(["tar", "-tf", "-"], input=files, check=True, capture_output=True).stdout.decode().splitlines()
    )
    etc = [name for name in listed if name.startswith("./etc") and not name.endswith("/")]
    assert etc == ["./etc/containers/containers.conf.d/ocirt.conf", "./etc/ocirt/containerd.toml"]
    assert {"./usr/bin/ocirt", "./usr/share/man/man1/ocirt-run.1.gz"} < set(listed)
    podman = TREE / "hack/release.d/debian" / etc[0]
    active = [line for line in podman.read_text().splitlines() if line and not line.startswith("#")]
    assert active == ["[engine.runtimes]", 'ocirt = ["/usr/bin/ocirt"]']


def test_the_sdist_has_the_sources(release):
    with tarfile.open(release / f"ocirt-{VERSION}.tar.gz") as sdist:
        names = {name.removeprefix(f"ocirt-{VERSION}/") for name in sdist.getnames()}
    tracked = subprocess.run(["git", "-C", TREE, "ls-files"], **RUN).stdout.splitlines()
    left_out = {name for name in tracked if name.startswith((".github/", ".git-blame"))}
    assert names == {*tracked, "PKG-INFO"} - left_out


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_on_a_bare_debian(release, suite):
    done = subprocess.run(
        [TREE / "hack/fresh", "--with", release, suite, "--", "/root/ocirt/hack/fresh.d/release"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1200 * SLOWNESS,
    )
    assert done.returncode == 0 and re.fullmatch(r"[1-9]\d* passed, 0 failed", done.stdout.splitlines()[-1]), (
        done.stdout + done.stderr
    )
