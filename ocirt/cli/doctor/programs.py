"""Programs and Python packages that some verbs need."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec

from ...packages import command_for
from .finding import Finding, good, note, package

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...model.host import Host

SECONDS = 20
PACKAGES = {
    "jsonschema": ("jsonschema", "ocirt validate needs it"),
    "pyroute2": ("pyroute2", "linux.netDevices needs it"),
    "prctl": ("python-prctl", "helpers need it to give up their rights"),
}
"""Modules -> the package, and who needs it."""


def examine(host: "Host") -> "Iterator[Finding]":
    """Findings about the interpreter, its packages, criu and pasta."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield good(f"Python {version} ({os.path.realpath(sys.executable)})")
    if "site" not in sys.modules:
        import site

        site.main()
    for module, (name, needs) in PACKAGES.items():
        if find_spec(module) is None:
            yield note(f"the Python package {name} is missing: {needs}", f"run: {command_for(name)}")
    yield from _criu()
    if shutil.which("pasta") is None:
        yield note("pasta is not installed: rootless engines have no network through it", package("passt"))
    else:
        yield good(f"pasta is {shutil.which('pasta')}")


def _criu() -> "Iterator[Finding]":
    path = shutil.which("criu")
    if path is None:
        yield note("criu is not installed: checkpoint and restore fail", package("criu"))
        return
    try:
        done = subprocess.run(
            [path, "check"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        yield note(f"{path} does not run ({error})")
        return
    if done.returncode == 0:
        yield good(f"{path} works on this kernel")
    else:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        why = lines[-1].strip() if lines else f"status {done.returncode}"
        yield note(f"{path} does not work here ({why}): checkpoint and restore fail")
