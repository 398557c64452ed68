"""What the tests of exec share: a container, and execs in it."""

import json

import pytest

FAILED = 255
"""exec's exit status where the process could not be run."""


@pytest.fixture
def box(ocirt, bundle):
    """A container that sleeps, with a writable root."""
    bundle.config["root"]["readonly"] = False
    return start(ocirt, bundle)


def start(ocirt, bundle, *flags):
    bundle.save()
    ocirt.ok("run", "-d", *flags, "--bundle", bundle, "c1")
    return bundle


def refused(ocirt, *words, **more):
    return ocirt.fails("exec", *words, status=FAILED, **more)


def shell(ocirt, script, *flags, status=0, **more):
    result = ocirt("exec", *flags, "c1", "sh", "-c", script, **more)
    assert result.status == status and (status == FAILED or result.err == ""), result
    return result.out


def process_file(bundle, **members):
    path = bundle.path / "process.json"
    path.write_text(
        json.dumps({"cwd": "/", "args": ["true"], "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}} | members)
    )
    return path


def processes(ocirt):
    """The processes of the container, its own and the ps that says so; zombies that nobody has taken notice of yet left
    out, as their parent is on the host."""
    return [
        line
        for line in ocirt.ok("exec", "c1", "ps", "-o", "pid,stat,comm").out.splitlines()[1:]
        if line.split()[1][0] != "Z"
    ]


def in_cgroup(bundle, pid):
    """Of each hierarchy: is the process in the bundle's cgroup?"""
    wanted = bundle.config["linux"]["cgroupsPath"]
    return {line.split(":")[1]: line.rstrip().split(":", 2)[2] == wanted for line in open(f"/proc/{pid}/cgroup")}
