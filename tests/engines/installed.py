"""ocirt as hack/install makes it, in the mount namespace of the test run; and crictl, which hack/test builds."""

import contextlib
import os
import subprocess
from pathlib import Path

from conformance import cells
from tests.engines.cell import PARENT, SUFFIX

TREE = Path(__file__).resolve().parents[2]
KEPT = TREE / "build/engines"
"""Files that are made once for many runs: the installed ocirt, crictl and critest."""
PLACES = ("/opt", "/usr/local/bin", "/usr/local/share")
CRI_TOOLS = Path("/opt/cri-tools")
OCIRT = Path("/usr/local/bin/ocirt")


class CannotRun(Exception):
    """Why the tests cannot run on this machine; one line."""


def _build_id(executable):
    """The build id that an executable prints, None if it does not exist."""
    if not executable.exists():
        return None
    done = subprocess.run(
        [executable, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, env={}
    )
    return next((line for line in done.stdout.splitlines() if line.startswith("commit: ")), None)


@contextlib.contextmanager
def installed():
    """As long as the block lasts, /opt/ocirt and /usr/local/bin/ocirt are this tree's build; they are installed again
    only if the build differs. Cells that a killed run has left are removed. In a run for a proof both paths are left as
    they were, and with OCIRT_TEST_ENGINES_INSTALLED=1, because /usr/local/bin/ocirt is a link to the build in guests.

    :raises CannotRun: the caller is not root, or has no mount namespace of its own.
    """
    if SUFFIX or "OCIRT_TEST_ENGINES_INSTALLED" in os.environ:
        yield
        return
    if os.geteuid() != 0:
        raise CannotRun("tests/engines runs containers: it needs root")
    if os.readlink("/proc/self/ns/mnt") == os.readlink(f"/proc/{os.getppid()}/ns/mnt"):
        raise CannotRun("tests/engines mounts things: run it by hack/test, in a mount namespace of its own")
    cells.remove(PARENT)
    for place in PLACES:
        kept = KEPT / place.strip("/")
        kept.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", kept, place], check=True, timeout=20)
    try:
        if _build_id(OCIRT) != _build_id(TREE / "build/bin/ocirt"):
            environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
            done = subprocess.run(
                [TREE / "hack/install"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=300,
                env=environment,
            )
            assert done.returncode == 0, done
        yield
    finally:
        for place in PLACES:
            subprocess.run(["umount", place], check=True, timeout=20)
        cells.remove(PARENT)
