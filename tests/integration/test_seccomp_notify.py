"""config-linux.md, Seccomp, SCMP_ACT_NOTIFY: the agent gets the container process state and the filter's descriptor."""

import json
import os
import select
import socket
import struct
import threading
from fcntl import ioctl

import pytest

from tests.integration.harness import LIMIT, enough_output
from tests.processor import first_syscall, syscall_number

RECEIVE, SEND = 0xC0502100, 0xC0182101
"""SECCOMP_IOCTL_NOTIF_*, linux/seccomp.h."""
CONTINUE = 1
EXECVE, SENDMSG, WRITE = map(syscall_number, ("execve", "sendmsg", "write"))
MKDIR = first_syscall("mkdir", "mkdirat")


class Agent:
    """Takes one connection; answers each notification with ``answer(syscall number)``: errno, or None to let it go on."""

    def __init__(self, path, answer, read=True):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        self.listener.listen()
        self.listener.settimeout(20)
        self.answer, self.read, self.seen, self.state, self.descriptors, self.ended = answer, read, [], None, 0, False
        self.told = threading.Event()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        connection, _ = self.listener.accept()
        if not self.read:
            connection.close()
            return
        text, fds, _, _ = socket.recv_fds(connection, 65536, 8)
        self.descriptors = len(fds)
        if not fds:
            return
        while part := connection.recv(65536):
            text += part
        self.ended = True
        self.state = json.loads(text)
        self.told.set()
        try:
            while self.step(fds[0]):
                pass
        finally:
            os.close(fds[0])

    def step(self, fd):
        notification = bytearray(80)
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll()[0][1] & select.POLLIN:  # nobody is left; until Linux 6.11 a receive would wait for ever
            return False
        try:
            ioctl(fd, RECEIVE, notification)
        except OSError:  # the last process that the filter holds for has gone, or the one that asked
            return False
        identity, _, _, number = struct.unpack_from("<QIIi", notification)
        self.seen.append(number)
        error = self.answer(number)
        try:
            ioctl(
                fd, SEND, bytearray(struct.pack("<QqiI", identity, 0, -(error or 0), CONTINUE if error is None else 0))
            )
        except OSError:
            return False
        return True

    def close(self):
        self.listener.close()
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture
def agent(ocirt, tmp_path):
    made = []

    def make(answer=lambda number: None, **more):
        made.append(Agent(tmp_path / "agent.sock", answer, **more))
        return made[-1]

    yield make
    for name in ocirt.ids():
        ocirt.ok("delete", "--force", name)
    for each in made:
        each.close()


@pytest.fixture
def notifying(bundle, tmp_path):
    """Has the bundle's profile notify of the syscalls named."""

    def change(*names, privileges=True, others=(), **more):
        bundle.config["root"]["readonly"] = False
        bundle.config["process"]["noNewPrivileges"] = not privileges
        bundle.config["linux"]["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": str(tmp_path / "agent.sock"),
            "syscalls": [{"names": list(names), "action": "SCMP_ACT_NOTIFY"}, *others],
            **more,
        }
        return bundle.save()

    return change


@pytest.mark.parametrize("privileges", [True, False])
def test_the_agent_answers(ocirt, agent, notifying, bundle, tmp_path, privileges):
    """listenerPath, listenerMetadata, The Container Process State: what the agent gets, and what its answers do."""
    one = agent(lambda number: 28)
    bundle.config["annotations"] = {"a": "ä\n"}
    bundle.shell("mkdir /tmp/x 2>/tmp/error; echo done >/tmp/out; exec sleep 60")
    notifying("mkdir", "mkdirat", privileges=privileges, listenerMetadata='say "ö"')
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert one.told.wait(LIMIT), "the agent is not kept waiting for start"
    state = ocirt.state("c1")
    ocirt.ok("start", "c1")
    enough_output(bundle.rootfs / "tmp/out")
    assert "No space left" in (bundle.rootfs / "tmp/error").read_text()
    assert one.seen == [MKDIR] and one.descriptors == 1 and one.ended
    sent = one.state
    assert sent.keys() == {"ociVersion", "fds", "pid", "metadata", "state"}
    assert (sent["ociVersion"], sent["fds"], sent["pid"], sent["metadata"]) == (
        state["ociVersion"],
        ["seccompFd"],
        state["pid"],
        'say "ö"',
    )
    expected = {name: state[name] for name in ("ociVersion", "id", "pid", "bundle", "annotations")} | {
        "status": "creating"
    }
    assert expected.items() <= sent["state"].items() and expected["annotations"] == {"a": "ä\n"}
    # Of the runtime nothing is left in the process: one thread, no descriptor of ours.
    assert os.listdir(f"/proc/{state['pid']}/task") == [str(state["pid"])]
    assert sorted(os.listdir(f"/proc/{state['pid']}/fd")) == ["0", "1", "2"]


@pytest.mark.parametrize("privileges", [True, False])
@pytest.mark.parametrize("detached", [True, False])
def test_everything_may_notify(ocirt, agent, notifying, bundle, privileges, detached):
    """What the runtime does itself once the filter holds, sendmsg and write not excepted, may be the agent's to decide."""
    one = agent()
    bundle.args("sh", "-c", "echo lived >/tmp/out")
    notifying(
        "sendmsg",
        "sendto",
        "write",
        "close",
        "close_range",
        "execve",
        "read",
        "futex",
        "nanosleep",
        "exit",
        "exit_group",
        "openat2",
        "recvmsg",
        "accept4",
        "capset",
        "setresuid",
        "prctl",
        "sched_yield",
        "rt_sigaction",
        "fcntl",
        privileges=privileges,
    )
    if detached:
        ocirt.ok("create", "--bundle", bundle, "c1")
        ocirt.ok("start", "c1")
    else:
        ocirt.ok("run", "--bundle", bundle, "c1")
    enough_output(bundle.rootfs / "tmp/out")
    # The runtime's own sending is not the filter's business, its execve is.
    assert EXECVE in one.seen and WRITE in one.seen and SENDMSG not in one.seen


@pytest.mark.parametrize("privileges", [True, False])
def test_sending_may_be_forbidden(ocirt, agent, notifying, bundle, privileges):
    one = agent()
    bundle.args("mkdir", "/tmp/x")
    others = [{"names": ["sendmsg", "sendto", "futex", "nanosleep", "exit"], "action": "SCMP_ACT_KILL_PROCESS"}]
    notifying("mkdir", "mkdirat", privileges=privileges, others=others)
    ocirt.ok("run", "--bundle", bundle, "c1")
    assert one.seen == [MKDIR] and (bundle.rootfs / "tmp/x").is_dir()


def test_a_large_state(ocirt, agent, notifying, bundle):
    """More than a socket holds is sent in parts, the descriptor with the first."""
    one = agent(lambda number: 1)
    bundle.config["annotations"] = {"large": "x" * 1_000_000}
    bundle.args("mkdir", "/tmp/x")
    notifying("mkdir", "mkdirat")
    assert ocirt("run", "--bundle", bundle, "c1").status == 1
    assert one.seen == [MKDIR] and len(one.state["state"]["annotations"]["large"]) == 1_000_000


def test_user_namespace(ocirt, agent, notifying, bundle):
    """With a pid of its own in a namespace that is joined later than the maps are written."""
    one = agent(lambda number: 1)
    bundle.namespace("user")
    mappings = [{"containerID": 0, "hostID": 100000, "size": 1000}]
    bundle.config["linux"].update(uidMappings=mappings, gidMappings=mappings)
    bundle.path.chmod(0o755)
    for parent in list(bundle.path.parents)[:-2]:
        parent.chmod(parent.stat().st_mode | 0o055)
    bundle.shell("mkdir /dev/shm/x; exit 7")
    notifying("mkdir", "mkdirat")
    result = ocirt("run", "--bundle", bundle, "c1")
    assert result.status == 7 and "not permitted" in result.err and one.state["pid"] > 1, result


def test_a_joined_namespace(ocirt, agent, notifying, bundle):
    """Where an intermediate child spawns init, the pid is still the runtime's own view."""
    one = agent(lambda number: 1)
    bundle.namespace("ipc", "/proc/self/ns/ipc")
    bundle.shell("mkdir /tmp/x; exec sleep 60")
    notifying("mkdir", "mkdirat")
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert one.state["pid"] == ocirt.state("c1")["pid"]


@pytest.mark.parametrize("privileges", [True, False])
def test_no_agent(ocirt, notifying, bundle, privileges):
    """If there is nobody to connect to, create fails: also where the filter is loaded at start."""
    notifying("mkdir", "mkdirat", privileges=privileges)
    message = ocirt.fails("create", "--bundle", bundle, "c1")
    assert "linux.seccomp.listenerPath: connect to" in message and "no such file or directory" in message
    assert ocirt.ids() == []


@pytest.mark.parametrize("privileges", [True, False])
def test_sending_fails(ocirt, agent, notifying, bundle, privileges):
    """If sending to this socket fails, the runtime MUST generate an error."""
    agent(read=False)
    # More than a socket takes: some of it is still to be sent whenever the agent closes the connection.
    bundle.config["annotations"] = {"large": "x" * 1_000_000}
    notifying("mkdir", "mkdirat", "sendmsg", "write", privileges=privileges)
    message = ocirt.fails("create", "--bundle", bundle, "c1")
    assert ocirt.ids() == []
    assert (
        "linux.seccomp: load the seccomp filter and send its descriptor to the agent: sendmsg: broken pipe" in message
    )


def test_an_agent_that_goes(ocirt, agent, notifying, bundle):
    """Without a listener the kernel answers ENOSYS: the program fails, nothing hangs."""
    one = agent()
    one.step = lambda fd: False
    bundle.shell("mkdir /tmp/x")
    notifying("mkdir", "mkdirat")
    result = ocirt("run", "--bundle", bundle, "c1")
    assert result.status == 1 and "not implemented" in result.err, result
