"""No quota left above the container's cgroup: one clear line, exit status 1, nothing left, and a create that works once there is
room again."""

import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.harness import CGROUPS, LIMIT, PARENT, V2

pytestmark = [pytest.mark.cgroups, pytest.mark.cgroupfs]


@pytest.fixture
def above():
    """Sets files of the cgroup above the container's: ``above("pids", "pids.max", "1")``; on v2 the controller does not matter."""
    made = []

    def set(controller, file, value):
        folder = CGROUPS / ("" if V2 else controller) / PARENT[1:]
        if not folder.exists():
            folder.mkdir()
            made.append(folder)
        (folder / file).write_text(value)

    yield set
    for folder in made:
        for _ in range(100):
            try:
                folder.rmdir()
                break
            except OSError:
                time.sleep(0.01)


def refused(ocirt, bundle, *words):
    message = ocirt.fails("create", "--bundle", bundle, "c1")
    assert any(word in message for word in words), message
    assert ocirt.ids() == []
    beneath = (
        [CGROUPS / PARENT[1:]] if V2 else [top / PARENT[1:] for top in CGROUPS.iterdir() if (top / PARENT[1:]).is_dir()]
    )
    assert [path for folder in beneath for path in folder.iterdir() if path.is_dir()] == []


def works(ocirt, bundle):
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("delete", "--force", "c1")


@pytest.mark.v2
@pytest.mark.parametrize("file", ["cgroup.max.descendants", "cgroup.max.depth"])
def test_no_more_cgroups(ocirt, bundle, above, file):
    above("", file, "0")
    refused(
        ocirt,
        bundle,
        "mkdir: resource temporarily unavailable: cgroup.max.descendants or cgroup.max.depth of a cgroup above is reached",
    )
    above("", file, "max")
    works(ocirt, bundle)


@pytest.mark.v2
def test_no_first_process(ocirt, bundle, above):
    """It is made in its cgroup."""
    above("", "pids.max", "0")
    refused(
        ocirt,
        bundle,
        "clone3: resource temporarily unavailable: is pids.max of the container's cgroup, or of one above it, reached?",
    )
    above("", "pids.max", "max")
    works(ocirt, bundle)


@pytest.mark.v1
def test_no_more_processes(ocirt, bundle, above):
    """v1 limits forks, and the first process only joins: it is a hook inside that cannot be made. The container goes with it."""
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/true"}]}
    bundle.save()
    above("pids", "pids.max", "1")
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert "hooks.startContainer[0]: run hook /bin/true: clone3: resource temporarily unavailable" in ocirt.fails(
        "start", "c1"
    )
    assert ocirt.ids() == []
    above("pids", "pids.max", "max")
    works(ocirt, bundle)


@pytest.mark.parametrize("limit", [0, 1 << 14])
def test_no_memory_above(ocirt, bundle, above, limit):
    """Whom the limit above hits is the container's first process, or nobody can be made: either is said."""
    above("memory", "memory.max" if V2 else "memory.limit_in_bytes", str(limit))
    refused(ocirt, bundle, "out of memory", "cannot allocate memory", "no space left on device")
    above("memory", "memory.max" if V2 else "memory.limit_in_bytes", "max" if V2 else "-1")
    works(ocirt, bundle)


@pytest.mark.v1
def test_the_runtimes_own_limit(ocirt, bundle):
    """On a hybrid host, too, where the child is made in the container's cgroup of a hierarchy that does not count processes."""
    own = Path("/sys/fs/cgroup/pids", PARENT[1:], "runtime")
    own.mkdir(parents=True)
    (own / "pids.max").write_text("1")
    done = subprocess.run(
        [
            "sh",
            "-c",
            f'echo $$ > {own}/cgroup.procs && exec "$@"',
            "sh",
            *ocirt.command("create", "--bundle", bundle, "c1"),
        ],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=LIMIT,
    )
    own.rmdir(), own.parent.rmdir()
    assert (
        done.returncode == 1 and "is pids.max of the runtime's cgroup, or its RLIMIT_NPROC, reached?" in done.stderr
    ), done
