"""hack/release makes the same files twice, they are what their formats ask for, and they work on bare machines.

OCIRT_TEST_RELEASE is a folder that hack/release has made, to test that one.
"""

import gzip
import hashlib
import io
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
from man import pages
from ocirt.cli.flags import VERBS

TREE = Path(__file__).resolve().parents[2]
VERSION = ocirt.__version__
MACHINES = {"x86_64": 62, "aarch64": 183, "riscv64": 243}
"""Processor -> its number in ELF files."""
DEBIAN = {"x86_64": "amd64", "aarch64": "arm64"}
"""Processor -> its name in Debian."""
MUSL_ROOT = TREE / "hack/musl-root"
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


def in_tar(data):
    """Path -> content of each file in a tar archive."""
    with tarfile.open(fileobj=io.BytesIO(data)) as files:
        return {each.name.removeprefix("./"): files.extractfile(each).read() for each in files if each.isfile()}


def in_package(release, arch):
    """Path -> content of each file that the Debian package of a processor installs."""
    package = release / f"ocirt_{VERSION}_{DEBIAN[arch]}.deb"
    return in_tar(subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, capture_output=True).stdout)


def in_sdist(release):
    found = in_tar((release / f"ocirt-{VERSION}.tar.gz").read_bytes())
    return {name.removeprefix(f"ocirt-{VERSION}/"): data for name, data in found.items()}


def elf_machine(data):
    """The number of the processor for which an ELF file is."""
    assert data[:4] == b"\x7fELF"
    return int.from_bytes(data[18:20], "little")


def test_the_files(release):
    arches = [f"ocirt-{VERSION}-linux-{arch}.tar.gz" for arch in MACHINES]
    wheels = [f"ocirt-{VERSION}-py3-none-manylinux_2_17_{arch}.musllinux_1_1_{arch}.whl" for arch in MACHINES]
    others = [f"ocirt-{VERSION}{end}" for end in (".tar.gz", ".cdx.json", ".intoto.json")]
    debs = [f"ocirt_{VERSION}_{arch}.deb" for arch in DEBIAN.values()]
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
    assert elf_machine(data) == MACHINES[arch]
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


def test_on_a_machine_with_musl(release, tmp_path):
    """Nothing there is of glibc (hack/musl-root). pip here gets what pip there installs without a network: the wheel of this
    release, and what it needs, for the Python and the platforms there."""
    tags = "import sys; from pip._vendor.packaging import tags; print(sys.version_info.minor, *tags.platform_tags())"
    asked = subprocess.run([MUSL_ROOT, "--", "python3", "-c", tags], timeout=60 * SLOWNESS, **RUN)
    minor, *platforms = asked.stdout.split()
    options = ["--only-binary", ":all:", "--python-version", f"3.{minor}", "--find-links", release, "-d", tmp_path]
    options += [part for each in platforms for part in ("--platform", each)]
    command = [sys.executable, "-m", "pip", "download", "-q", *options, f"ocirt=={VERSION}"]
    subprocess.run(command, timeout=300 * SLOWNESS, **RUN)
    (wheel,) = tmp_path.glob("ocirt-*")
    assert wheel.read_bytes() == (release / wheel.name).read_bytes()
    done = subprocess.run(
        [MUSL_ROOT, "--with", tmp_path, "--", "/root/hack/musl-root.d/release"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600 * SLOWNESS,
    )
    assert done.returncode == 0 and re.fullmatch(r"[1-9]\d* passed, 0 failed", done.stdout.splitlines()[-1]), (
        done.stdout + done.stderr
    )


@pytest.mark.parametrize("arch", DEBIAN.values())
def test_lintian_finds_nothing(release, arch):
    package = release / f"ocirt_{VERSION}_{arch}.deb"
    command = ["lintian", "--no-cfg", "--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0", package]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300 * SLOWNESS, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("arch", DEBIAN)
def test_what_the_debian_package_switches(release, arch):
    """Nothing: podman gets a name, and containerd a file that it does not read by itself."""
    etc = {name for name in in_package(release, arch) if name.startswith("etc/")}
    assert etc == {"etc/containers/containers.conf.d/ocirt.conf", "etc/ocirt/containerd.toml"}
    podman = TREE / "hack/release.d/debian/etc/containers/containers.conf.d/ocirt.conf"
    active = [line for line in podman.read_text().splitlines() if line and not line.startswith("#")]
    assert active == ["[engine.runtimes]", 'ocirt = ["/usr/bin/ocirt"]']


@pytest.mark.parametrize("arch", DEBIAN)
def test_the_manual_pages_and_completions_of_the_debian_package(release, arch):
    files = in_package(release, arch)
    manuals = {f"usr/share/man/man{name[-1]}/{name}.gz" for name in (*pages.NAMES, "ocirt-python.1")}
    assert {name for name in files if name.startswith("usr/share/man/")} == manuals
    for name in manuals:
        text = gzip.decompress(files[name]).decode()
        assert ".TH " in text or text == ".so man1/ocirt.1\n", name
    completions = {
        "usr/share/bash-completion/completions/ocirt": " -F _shtab_ocirt ocirt",
        "usr/share/zsh/vendor-completions/_ocirt": "#compdef ocirt",
        "usr/share/fish/vendor_completions.d/ocirt.fish": "complete -c ocirt ",
    }
    found = {name for name in files if re.search(r"/(bash-completion|zsh|fish)/", name)}
    assert found == set(completions)
    for name, line in completions.items():
        text = files[name].decode()
        assert line in text and all(re.search(rf"\b{verb}\b", text) for verb in VERBS), name


@pytest.mark.parametrize("arch", DEBIAN)
def test_what_else_is_in_the_debian_package(release, arch):
    """The executable of its processor, the modules and the schemas of the sdist; no file that only another has."""
    files = in_package(release, arch)
    assert elf_machine(files["usr/bin/ocirt"]) == MACHINES[arch]
    assert files["usr/bin/ocirt-python"].startswith(b"#!/usr/bin/python3\n")
    sources = {
        f"usr/lib/python3/dist-packages/{re.sub('^spec/', 'ocirt/spec/', name)}": data
        for name, data in in_sdist(release).items()
        if re.fullmatch(r"(ocirt|spec)/.*\.(py|json)", name)
    }
    assert sources.items() <= files.items() and len(sources) > 100
    assert files.keys() == in_package(release, "x86_64").keys()


def test_the_sdist_has_the_sources(release):
    tracked = subprocess.run(["git", "-C", TREE, "ls-files"], **RUN).stdout.splitlines()
    left_out = {name for name in tracked if name.startswith((".github/", ".git-blame"))}
    assert in_sdist(release).keys() == {*tracked, "PKG-INFO"} - left_out


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
