"""crun's annotations (crun.1, "Extensions to OCI") on real containers."""

import array
import os
import signal
import socket
import struct
from base64 import b64encode

import pytest

from ocirt.model import crun
from tests.integration.harness import LIMIT
from tests.integration.test_seccomp_notify import MKDIR, Agent

GROUPS = [3, 4, 5]
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
NOTIFY, ALLOW = 0x7FC00000, 0x7FFF0000


@pytest.mark.parametrize("value, kept", [("1", True), ("0", False)])
def test_keep_original_groups(ocirt, bundle, value, kept):
    """podman run --group-add keep-groups: processes have the groups of who called the runtime."""
    bundle.config["annotations"] = {crun.KEEP_GROUPS: value}
    bundle.config["process"]["user"] = {"uid": 7, "gid": 8, "additionalGids": [] if kept else [9]}
    expected = sorted(["8", *map(str, GROUPS)]) if kept else ["8", "9"]
    ocirt.ok("run", "-d", "--bundle", bundle.args("sleep", "60").save(), "c1", extra_groups=GROUPS)
    for _ in range(2):  # the second one is bound from the cache
        assert sorted(ocirt.ok("exec", "c1", "id", "-G", extra_groups=GROUPS).out.split()) == expected


def test_pidfd_receiver(ocirt, bundle, tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "pidfd"))
        listener.listen()
        listener.settimeout(LIMIT)
        bundle.config["annotations"] = {crun.PIDFD_RECEIVER: str(tmp_path / "pidfd")}
        ocirt.ok("create", "--bundle", bundle.save(), "c1")
        connection, _ = listener.accept()
        with connection:
            _, (right,), _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(4))
    pidfd = array.array("i", right[2])[0]
    try:
        with open(f"/proc/self/fdinfo/{pidfd}") as info:
            assert f"Pid:\t{ocirt.state('c1')['pid']}\n" in info.read()
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        ocirt.wait_status("c1", "stopped")
    finally:
        os.close(pidfd)


def test_a_receiver_that_does_not_listen_is_an_error_with_the_annotation(ocirt, bundle, tmp_path):
    bundle.config["annotations"] = {crun.PIDFD_RECEIVER: str(tmp_path / "nobody")}
    error = ocirt.fails("create", "--bundle", bundle.save(), "c1")
    assert crun.PIDFD_RECEIVER in error and "nobody" in error and ocirt.ids() == []


def test_seccomp_bpf_data_and_receiver(ocirt, bundle, tmp_path):
    """A filter as bytes, whose notifications the receiver gets: here of mkdir, which it refuses with ENOSPC."""
    instructions = [(LOAD, 0, 0, 0), (JUMP_EQUAL, 0, 1, MKDIR), (RETURN, 0, 0, NOTIFY), (RETURN, 0, 0, ALLOW)]
    program = b"".join(struct.pack("<HBBI", *each) for each in instructions)
    agent = Agent(tmp_path / "agent", lambda number: 28)
    bundle.config["root"]["readonly"] = False
    bundle.config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ERRNO"}  # nothing of it counts
    bundle.config["annotations"] = {
        crun.SECCOMP_DATA: b64encode(program).decode(),
        crun.SECCOMP_RECEIVER: str(tmp_path / "agent"),
    }
    try:
        done = ocirt("run", "--bundle", bundle.shell("mkdir /tmp/x").save(), "c1")
        assert done.status == 1 and "No space left" in done.err and agent.seen == [MKDIR]
    finally:
        agent.close()


POINTS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


@pytest.mark.parametrize("user", [False, True])
def test_hooks_print_to_the_files_that_annotations_name(ocirt, bundle, tmp_path, user):
    """All points of a life, each at the end of what is there already; startContainer's run in the container."""
    if user:
        bundle.namespace("user").config["linux"].update(
            {name: [{"containerID": 0, "hostID": 100000, "size": 1000}] for name in ("uidMappings", "gidMappings")}
        )
    bundle.config["hooks"] = {
        point: [{"path": "/bin/sh", "args": ["sh", "-c", f"echo {point}; echo {point} >&2"]}] for point in POINTS
    }
    files = [tmp_path / "log/stdout", tmp_path / "log/stderr"]
    files[0].parent.mkdir(mode=0o700)
    files[1].write_text("earlier\n")
    bundle.config["annotations"] = dict(zip((crun.HOOKS_STDOUT, crun.HOOKS_STDERR), map(str, files)))
    bundle.args("true").save()
    for life in range(1, 3):  # the second one is bound from the cache
        ocirt.ok("create", "--bundle", bundle, "c1")
        ocirt.ok("start", "c1")
        ocirt.wait_status("c1", "stopped")
        ocirt.ok("delete", "c1")
        assert files[0].read_text().split() == [*POINTS] * life
        assert files[1].read_text().split() == ["earlier", *[*POINTS] * life]
    assert files[0].stat().st_mode & 0o777 == 0o600


def test_a_file_for_hooks_that_cannot_be_opened(ocirt, bundle, tmp_path):
    """An error of create with the annotation; delete only warns, because the container has to go."""
    bundle.config["hooks"] = {"poststop": [{"path": "/bin/true"}], "prestart": [{"path": "/bin/true"}]}
    bundle.config["annotations"] = {crun.HOOKS_STDOUT: str(tmp_path / "log/x")}
    assert (
        crun.HOOKS_STDOUT in ocirt.fails("create", "--bundle", bundle.args("true").save(), "c1") and ocirt.ids() == []
    )
    (tmp_path / "log").mkdir()
    ocirt.ok("create", "--bundle", bundle, "c1")
    (tmp_path / "log/x").unlink()
    (tmp_path / "log").rmdir()
    done = ocirt.ok("delete", "--force", "c1")
    assert "level=warning" in done.err and crun.HOOKS_STDOUT in done.err and ocirt.ids() == []


def test_time_offset(ocirt, bundle):
    bundle.namespace("time").config["annotations"] = {crun.TIME_OFFSET: "7 10000000 5"}
    out = ocirt.ok("run", "--bundle", bundle.shell("cat /proc/self/timens_offsets").save(), "c1").out
    assert ["boottime", "10000000", "5"] in [line.split() for line in out.splitlines()]
