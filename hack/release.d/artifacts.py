"""What hack/release makes of the wheels: tarballs, Debian packages, the bill of materials and the provenance.

    python3 artifacts.py SOURCE FOLDER VERSION COMMIT COMPILER

SOURCE is the unpacked sdist. FOLDER has the sdist and the wheels, and gets everything else. SOURCE_DATE_EPOCH is the time
of all files.
"""

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import uuid
import zipfile
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from backend import archive
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement

EPOCH = int(os.environ["SOURCE_DATE_EPOCH"])
HERE = Path(__file__).parent
DEBIAN = {"x86_64": "amd64", "aarch64": "arm64"}
TOOLS = ("build", "meson", "meson-python", "ninja", "shtab", "wheel", "ziglang")
"""What the release is built with, besides Python and musl-gcc."""


def processor(wheel: Path) -> str:
    found = re.search(r"musllinux_1_1_(\w+)\.whl$", wheel.name)
    assert found, wheel
    return found[1]


def unpacked(wheel: Path, prefix: Path, packages: str) -> None:
    """Unpack a wheel into the folders of ``prefix``, as an installer does.

    :param packages: the folder of Python packages in ``prefix``.
    """
    folders = {"purelib": packages, "scripts": "bin", "data": ""}
    with zipfile.ZipFile(wheel) as files:
        for info in files.infolist():
            data = files.read(info)
            first, _, rest = info.filename.partition("/")
            if first.endswith(".data"):
                kind, _, rest = rest.partition("/")
                path = prefix / folders[kind] / rest
            elif rest in ("RECORD", "WHEEL"):  # pip alone may remove what it has installed
                continue
            else:
                path = prefix / packages / info.filename
            if path.name == "ocirt-python":
                data = b"#!/usr/bin/python3\n" + data.partition(b"\n")[2]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(0o755 if path.parent.name == "bin" else 0o644)


def tarball(wheel: Path, source: Path, version: str) -> None:
    """A folder that runs where it is unpacked, with hack/install, which installs it without network."""
    name = f"ocirt-{version}-linux-{processor(wheel)}"
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder, name)
        unpacked(wheel, top, "lib/python3/dist-packages")
        for each in ("CHANGELOG.md", "LICENSE", "README.md"):
            shutil.copy(source / each, top / each)
        (top / "hack").mkdir()
        for each in ("install", "lib.sh"):
            shutil.copy(source / "hack" / each, top / "hack" / each)
        with archive(wheel.parent / f"{name}.tar.gz", EPOCH) as add:
            for path in sorted(top.rglob("*")):
                if path.is_file():
                    add(str(path.relative_to(folder)), path.read_bytes(), os.access(path, os.X_OK))


def compressed(path: Path) -> None:
    """Replace a file by one that gzip -9n makes."""
    with open(f"{path}.gz", "wb") as file, gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
        packed.write(path.read_bytes())
    path.unlink()


def debian_changelog(source: Path) -> str:
    """Debian's form of the headings of CHANGELOG.md, which says what has changed."""
    entries = re.findall(r"^## (\S+) - (\d{4}-\d\d-\d\d)$", (source / "CHANGELOG.md").read_text(), re.MULTILINE)
    return "\n".join(
        f"ocirt ({version}) unstable; urgency=medium\n\n  * Version {version}; the file CHANGELOG.md.gz says what has changed.\n\n"
        f" -- The ocirt authors <ocirt@users.noreply.github.com>  {datetime.fromisoformat(day).strftime('%a, %d %b %Y')} 00:00:00 +0000\n"
        for version, day in entries
    )


def debian_package(wheel: Path, source: Path, version: str) -> None:
    arch = DEBIAN[processor(wheel)]
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        top.chmod(0o755)
        unpacked(wheel, top / "usr", "lib/python3/dist-packages")
        shutil.rmtree(next(top.glob("usr/lib/python3/dist-packages/*.dist-info")) / "licenses")  # in copyright
        for code in top.glob("usr/lib/python3/dist-packages/ocirt/code.*"):
            code.unlink()  # postinst writes it for the Python of the machine
        (top / "usr/share/zsh/site-functions").rename(top / "usr/share/zsh/vendor-completions")
        shutil.copytree(HERE / "debian/etc", top / "etc")
        docs = top / "usr/share/doc/ocirt"
        docs.mkdir(parents=True)
        shutil.copy(HERE / "debian/copyright", docs / "copyright")
        shutil.copy(source / "CHANGELOG.md", docs / "CHANGELOG.md")
        (docs / "changelog").write_text(debian_changelog(source))
        (top / "usr/share/man/man1/ocirt-python.1").write_text(".so man1/ocirt.1\n")
        overrides = top / "usr/share/lintian/overrides/ocirt"
        overrides.parent.mkdir(parents=True)
        shutil.copy(HERE / "debian/lintian-overrides", overrides)
        for path in [*docs.glob("[cC]*[gGdD]"), *top.glob("usr/share/man/*/*.[17]")]:
            if path.name != "copyright":
                compressed(path)
        files = sorted(path for path in top.rglob("*") if path.is_file())
        size = sum((path.stat().st_size + 1023) // 1024 for path in files)
        sums = "".join(
            f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(top)}\n"
            for path in files
            if not path.is_relative_to(top / "etc")
        )
        control = top / "DEBIAN"
        control.mkdir()
        text = (HERE / "debian/control").read_text()
        for name, value in {"VERSION": version, "ARCH": arch, "SIZE": str(size)}.items():
            text = text.replace(f"@{name}@", value)
        (control / "control").write_text(text)
        (control / "md5sums").write_text(sums)
        (control / "conffiles").write_text(
            "".join(f"/{path.relative_to(top)}\n" for path in files if path.is_relative_to(top / "etc"))
        )
        for name in ("postinst", "prerm"):
            shutil.copy(HERE / "debian" / name, control / name)
        for path in top.rglob("*"):
            is_program = path.is_dir() or path.parent.name == "bin" or path.name in ("postinst", "prerm")
            path.chmod(0o755 if is_program else 0o644)
        for path in [*top.rglob("*"), top]:
            os.utime(path, (EPOCH, EPOCH))
        output = wheel.parent / f"ocirt_{version}_{arch}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Zxz", "--build", top, output], check=True)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def package_url(name: str, version: str | None = None) -> PackageURL:
    return PackageURL("pypi", name=name.lower(), version=version)


def bill_of_materials(source: Path, folder: Path, version: str, compiler: str) -> str:
    """What is in the files of the release, and what they need, as CycloneDX."""
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    product = Component(
        name="ocirt",
        version=version,
        type=ComponentType.APPLICATION,
        bom_ref="ocirt",
        purl=package_url("ocirt", version),
        description=project["description"],
        licenses=[DisjunctiveLicense(id="MIT")],
    )
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"ocirt-{version}-{EPOCH}"))
    bom.metadata.timestamp = datetime.fromtimestamp(EPOCH, UTC)
    bom.metadata.component = product
    parts = [
        Component(
            name="musl",
            type=ComponentType.LIBRARY,
            bom_ref="musl",
            description="the C library, linked into the executable",
            licenses=[DisjunctiveLicense(id="MIT")],
            properties=[
                Property(name="ocirt:from", value=f"ziglang {metadata.version('ziglang')}; {compiler}".rstrip("; "))
            ],
        )
    ]
    for text in project["dependencies"]:
        needed = Requirement(text)
        parts.append(
            Component(
                name=needed.name,
                type=ComponentType.LIBRARY,
                bom_ref=needed.name,
                purl=package_url(needed.name),
                description=f"needed by ocirt validate, and not contained: {text}",
            )
        )
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(product, parts)
    for path in sorted(folder.iterdir()):
        bom.components.add(
            Component(
                name=path.name,
                version=version,
                type=ComponentType.FILE,
                bom_ref=path.name,
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256(path))],
            )
        )
    return f"{JsonV1Dot6(bom).output_as_string(indent=2)}\n"


def provenance(folder: Path, version: str, commit: str, compiler: str) -> str:
    """How the files of the release were made: an in-toto statement with SLSA's predicate."""
    tools = [{"uri": str(package_url(name, metadata.version(name)))} for name in TOOLS]
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": path.name, "digest": {"sha256": sha256(path)}} for path in sorted(folder.iterdir())],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:ocirt:hack/release",
                "externalParameters": {"command": f"hack/release {version}", "SOURCE_DATE_EPOCH": str(EPOCH)},
                "internalParameters": {
                    "python": ".".join(map(str, sys.version_info[:3])),
                    "compiler": compiler or "ziglang",
                },
                "resolvedDependencies": [
                    *([{"uri": "git+ocirt", "digest": {"gitCommit": commit}}] if commit else []),
                    *tools,
                ],
            },
            "runDetails": {"builder": {"id": "urn:ocirt:hack/release"}},
        },
    }
    return json.dumps(statement, indent=2) + "\n"


def main(source: Path, folder: Path, version: str, commit: str, compiler: str) -> None:
    for wheel in sorted(folder.glob("*.whl")):
        tarball(wheel, source, version)
        if processor(wheel) in DEBIAN:
            debian_package(wheel, source, version)
    # Both are made from the packages, and neither names itself or the other.
    texts = {
        f"ocirt-{version}.cdx.json": bill_of_materials(source, folder, version, compiler),
        f"ocirt-{version}.intoto.json": provenance(folder, version, commit, compiler),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
