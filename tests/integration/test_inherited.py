"""What the runtime is started with: it sets its own process up and trusts nothing of it.

Each verb is started under each of CONDITIONS, and a container that was made under one looks at what it has inherited.
"""

import errno
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from ocirt.cli.flags import VERBS
from tests.integration.filters import WHOLE, refusal
from tests.integration.harness import LIMIT, TREE, Runtime, User
from tests.integration.test_checkpoint import Fake, images
from tests.integration.test_wait import waiting

WRAPPER = """
import os, resource, signal, sys
def closed(*fds):
    for fd in fds:
        os.close(fd)
def limit(which, soft, hard=None):
    number = getattr(resource, "RLIMIT_" + which)
    resource.setrlimit(number, (soft, resource.getrlimit(number)[1] if hard is None else hard))
for number in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
words = sys.argv[2:]
exec(sys.argv[1])
os.execv(words[0], words)
"""
IGNORED = (
    "[signal.signal(number, signal.SIG_IGN) for number in signal.valid_signals() if number not in (9, 19, 32, 33)]"
)
CONDITIONS = {
    "nothing": "",
    "SIGCHLD ignored": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "every signal ignored": IGNORED,
    "every signal blocked": "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
    "umask 0777": "os.umask(0o777)",
    "stdin closed": "closed(0)",
    "stdout closed": "closed(1)",
    "stderr closed": "closed(2)",
    "all streams closed": "closed(0, 1, 2)",
    "all streams closed without a null device": "WITHOUT_NULL closed(0, 1, 2)",
    "few open files": "limit('NOFILE', 4)",
    "one CPU": "os.sched_setaffinity(0, {0})",
}
"""What the caller does to itself before it starts the runtime."""

PRINTING = ("doctor", "export", "features", "plan", "cache", "state", "list", "ps", "events")
OTHERS = {"wait", "why", "trace", "diff", "commit", "push", "pull", "load", "images", "rmi", "prune", "bundle"}
"""Verbs with tests of their own: they need another container, or a store of images."""
NEEDING_NULL = ("create", "run", "checkpoint", "restore")
WITHOUT_NULL = [
    "unshare",
    "--mount",
    "--propagation",
    "private",
    "sh",
    "-c",
    'mount -t tmpfs none /dev && exec "$@"',
    "sh",
]


class Under(Runtime):
    """The runtime as a caller starts it who has done what CONDITIONS say."""

    def __init__(self, runtime, condition, *flags):
        super().__init__(runtime.executable, runtime.root)
        self.code, self.flags = CONDITIONS.get(condition, condition), flags

    def command(self, *words, **more):
        prefix = WITHOUT_NULL if self.code.startswith("WITHOUT_NULL") else []
        return [
            *prefix,
            "/usr/bin/python3",
            "-I",
            "-S",
            "-c",
            WRAPPER,
            self.code.removeprefix("WITHOUT_NULL "),
            *super().command(*self.flags, *words, **more),
        ]


class UserUnder(Under, User):
    """The same of a user without privileges."""


def each_verb(
    ocirt, bundle, tmp_path, points=("prestart", "createRuntime", "createContainer", "startContainer", "poststart")
):
    """Each verb and words for it, in an order in which all of them work; what must be done meanwhile is a function."""
    saved = images(tmp_path)
    (tmp_path / "new").mkdir()
    (tmp_path / "new/rootfs").mkdir()
    bundle.config["hooks"] = {point: [{"path": "/bin/true"}] for point in points}
    bundle.save()
    return [
        ("spec", "--bundle", tmp_path / "new"),
        ("features",),
        ("validate", bundle),
        ("plan", bundle),
        ("doctor", bundle),
        ("cache", "list"),
        ("create", "--no-cache", "--bundle", bundle, "c1"),
        ("state", "c1"),
        ("list",),
        ("start", "c1"),
        ("exec", "--no-cache", "c1", "true"),
        ("exec", "c1", "true"),
        ("exec", "c1", "true"),
        ("ps", "c1"),
        ("events", "--stats", "c1"),
        ("export", "c1"),
        ("pause", "c1"),
        ("resume", "c1"),
        ("update", "--pids-limit", "100", "c1"),
        ("checkpoint", "--leave-running", "--image-path", tmp_path / "saved", "c1"),
        ("kill", "c1", "KILL"),
        lambda: ocirt.wait_status("c1", "stopped"),
        ("delete", "c1"),
        ("run", "--detach", "--bundle", bundle, "c1"),
        ("delete", "--force", "c1"),
        ("run", "--no-cache", "--detach", "--bundle", bundle, "c1"),
        ("delete", "--force", "c1"),
        lambda: bundle.config.update(hooks={}),
        lambda: bundle.save(),
        ("restore", "--detach", "--image-path", saved, "--bundle", bundle, "c1"),
        ("delete", "--force", "c1"),
        lambda: bundle.args("true").save(),
        ("run", "--bundle", bundle, "c1"),
    ]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_each_verb(ocirt, bundle, tmp_path, condition):
    verbs = each_verb(ocirt, bundle, tmp_path)
    assert {each[0] for each in verbs if isinstance(each, tuple)} == set(VERBS) - OTHERS
    runtime = Under(ocirt, condition, "--criu", Fake(tmp_path / "fake").executable)
    for words in verbs:
        if callable(words):
            words()
        else:
            result = runtime(*words)
            # What stands in for standard output where there is no null device takes no output, and these need that device.
            expected = int(condition.endswith("without a null device") and words[0] in (*PRINTING, *NEEDING_NULL))
            assert result.status == expected and not result.err, (words, result)
            if expected and words[0] in NEEDING_NULL:
                ocirt.ok(*words, options=runtime.flags)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_wait(ocirt, bundle, condition):
    """The one verb that lasts until something else happens."""
    bundle.args("sleep", str(2 * LIMIT)).save()
    ocirt.ok("run", "--detach", "--bundle", bundle, "c1")
    child = waiting(Under(ocirt, condition), "c1")
    ocirt.ok("kill", "c1", "KILL")
    assert child.communicate(timeout=LIMIT) == ("", "") and child.returncode == 128 + 9


def seen(pid):
    """What a process of a container has of all that a caller can leave it."""
    with open(f"/proc/{pid}/status") as file:
        status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
    with open(f"/proc/{pid}/limits") as file:
        files = next(line.split()[3:5] for line in file if line.startswith("Max open files"))
    names = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    return {
        **{name: status[name] for name in ("SigBlk", "SigIgn", "SigCgt", "Umask", "Cpus_allowed_list")},
        "files": files,
        "open": names,
        "count": len(names),
    }


@pytest.mark.parametrize("condition", CONDITIONS)
def test_what_the_container_inherits(ocirt, bundle, condition):
    """The same under all: the defaults of runc and crun. The limits alone are the caller's, as with these."""
    hard = str(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    soft = "4" if condition == "few open files" else str(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    none = "0" * 16
    expected = {
        "SigBlk": none,
        "SigIgn": none,
        "SigCgt": none,
        "Umask": "0022",
        "files": [soft, hard],
        "count": 3,
        "Cpus_allowed_list": Path("/sys/devices/system/cpu/online").read_text().strip(),
    }
    bundle.config["process"]["rlimits"] = []
    bundle.args("sleep", str(2 * LIMIT)).save()
    runtime, pid = Under(ocirt, condition), bundle.path / "pid"
    creator = ocirt if condition.endswith("without a null device") else runtime
    for flags in ((), ("--no-cache",)):
        creator.ok("create", *flags, "--bundle", bundle, "c1")
        assert ocirt.status("c1") == "created"
        ocirt.ok("start", "c1")
        runtime.ok("exec", *flags, "--detach", "--pid-file", pid, "c1", "sleep", str(2 * LIMIT))
        for each in ocirt.state("c1")["pid"], int(pid.read_text()):
            found = seen(each)
            assert not [name for name in found.pop("open") if str(ocirt.root) in name], (
                "no stream is a file of the runtime's state"
            )
            assert found == expected
        ocirt.ok("delete", "--force", "c1")


def test_the_process_of_exec_gets_the_cpus_that_are_asked_for(ocirt, bundle):
    """config.md, Linux Process, execCPUAffinity: what is asked for, not every CPU."""
    bundle.config["process"]["execCPUAffinity"] = {"initial": "1"}
    bundle.args("sleep", str(2 * LIMIT)).save()
    runtime = Under(ocirt, "one CPU")
    runtime.ok("run", "--detach", "--bundle", bundle, "c1")
    assert runtime.ok("exec", "c1", "grep", "Cpus_allowed_list", "/proc/self/status").out == "Cpus_allowed_list:\t1\n"


def test_limits_of_the_config_come_before_the_callers(ocirt, bundle):
    bundle.config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]
    bundle.shell("ulimit -Sn; ulimit -Hn").save()
    assert Under(ocirt, "few open files").ok("run", "--bundle", bundle, "c1").out == "100\n200\n"


def test_hooks_get_the_callers_limit(ocirt, bundle, tmp_path):
    """They are the caller's programs: the runtime's raised limit is not theirs."""

    def hook(point):
        return [{"path": "/bin/sh", "args": ["sh", "-c", f"ulimit -Sn > {tmp_path}/{point}"]}]

    bundle.config["hooks"] = {
        point: hook(point) for point in ("createRuntime", "createContainer", "poststart", "poststop")
    }
    bundle.args("true").save()
    Under(ocirt, "limit('NOFILE', 40)").ok("run", "--bundle", bundle, "c1")
    assert {point: (tmp_path / point).read_text() for point in bundle.config["hooks"]} == dict.fromkeys(
        bundle.config["hooks"], "40\n"
    )


@pytest.mark.rootless
def test_a_state_directory_under_any_umask(user, own_bundle):
    own_bundle.args("true").save()
    runtime = UserUnder(user, "umask 0777")
    runtime.ok("run", "--bundle", own_bundle, "c1")
    assert Path(user.root).stat().st_mode & 0o7777 == 0o700
    user.ok("list")


TOO_SMALL = {
    "no file may grow": "limit('FSIZE', 0, 0)",
    "small files alone": "limit('FSIZE', 2000, 2000)",
    **{
        f"{size} KiB of data": f"limit('DATA', {size} << 10, {size} << 10)"
        for size in (1600, 2000, 4000, 8000, 16000, 17000)
    },
}


@pytest.mark.parametrize("condition", TOO_SMALL)
def test_limits_that_are_too_small(ocirt, bundle, tmp_path, condition):
    """An error of one line, no signal; and nothing is left of a container that could not be made."""
    runtime = Under(ocirt, TOO_SMALL[condition], "--criu", Fake(tmp_path / "fake").executable)
    for words in each_verb(
        ocirt, bundle, tmp_path, points=()
    ):  # a hook that cannot be run would take the container with it
        if callable(words):
            words()
            continue
        status, err = printing(runtime.command(*words))
        assert 0 <= status < 128 or status == 255, (words, status, err)
        if status:
            assert len(err.splitlines()) == 1 and " level=error " in err, (words, status, err)
            ocirt.ok(*words, options=runtime.flags)


def test_a_limit_of_files_breaks_no_module(ocirt, bundle):
    """CPython keeps what the limit let it write of a compiled module, and cannot load it from then on."""
    kept = TREE / f"ocirt/validate/__pycache__/typos.{sys.implementation.cache_tag}.pyc"
    kept.unlink(missing_ok=True)
    Under(ocirt, TOO_SMALL["small files alone"])("validate", bundle)
    assert not kept.exists()


def printing(command):
    """The status of a command and what it has printed into a pipe, which no limit of a file's size concerns."""
    ours, theirs = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs, timeout=LIMIT
        )
        try:
            return done.returncode, os.read(ours, 65536).decode()
        except BlockingIOError:
            return done.returncode, ""
    finally:
        os.close(ours), os.close(theirs)


CALLS = (
    "faccessat2",
    "flock",
    "openat2",
    "clone3",
    "close_range",
    "mount_setattr",
    "fsopen",
    "pidfd_open",
    "memfd_create",
    "pidfd_send_signal",
)
UNREFUSED = ("faccessat2",)
"""What the runtime has another way for."""


@pytest.mark.parametrize("error", [38, 1], ids=["ENOSYS", "EPERM"])
@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_a_filter_around_the_runtime_refuses(ocirt, bundle, call, error):
    """An old profile of an outer container: what the runtime cannot do otherwise is an error that names the call and the filter, and no
    verb takes a container that lives for one that has ended."""
    runtime = Under(ocirt, refusal(call, error))
    refused = []
    for words in (
        ("run", "--no-cache", "--detach", "--bundle", bundle, "c1"),
        ("state", "c1"),
        ("exec", "--no-cache", "c1", "true"),
        ("update", "--pids-limit", "99", "c1"),
        ("delete", "c1"),
        ("kill", "--all", "c1", "TERM"),
        ("kill", "c1", "KILL"),
        ("delete", "--force", "c1"),
    ):
        result = runtime(*words)
        if words == ("delete", "c1"):
            assert result.status == 1 and ocirt.status("c1") == "running", result
        elif result.status:
            assert len(result.err.splitlines()) == 1 and f"{call}: " in result.err and "seccomp filter" in result.err, (
                words,
                result,
            )
            refused.append(words[0])
            ocirt.ok(*words)
    assert (refused == []) == (call in UNREFUSED), refused


OLD_KERNEL = "import ctypes; ctypes.CDLL(None).personality(0x20000)  # UNAME26: Linux 6.18 says that it is 2.6.78"


TOO_OLD = re.compile(r'"(exec failed: )?ocirt needs Linux 5\.14 or newer; this is 2\.6\.\d+"')


def test_a_kernel_that_is_too_old(ocirt, bundle, tmp_path):
    """The first error says so, and nothing else, of each verb that needs more: of whatever is to be compiled, and of a call
    or a flag that the kernel does not have. Linux 5.10 refuses what close_range has since 5.11 and mount_setattr, of 5.12.
    """
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c0")  # keeps a program, which is for this boot and its kernel
    bundle.config["linux"]["cgroupsPath"] += "-1"
    bundle.save()
    flag = refusal("close_range", 22, (2, WHOLE, 4))  # CLOSE_RANGE_CLOEXEC
    for what, verbs in (
        ("", ("create", "run", "restore")),
        (flag + refusal("mount_setattr", 38), ("create", "kept", "run", "restore", "exec")),
        (refusal("close_range", 38), ("create", "kept", "run", "restore", "exec")),
        (refusal("mount_setattr", 38), ("create", "kept", "run", "restore")),
    ):
        old = Under(ocirt, OLD_KERNEL + what)
        words = {
            "create": ("create", "--no-cache", "--bundle", bundle, "c1"),
            "kept": ("create", "--bundle", bundle, "c1"),
            "run": ("run", "--no-cache", "--bundle", bundle, "c1"),
            "restore": ("restore", "--image-path", tmp_path, "--bundle", bundle, "c1"),
            "exec": ("exec", "--no-cache", "c0", "true"),
        }
        for verb in verbs:
            message = old.fails(*words[verb], status=255 if verb == "exec" else 1)
            said = TOO_OLD.fullmatch(message)
            assert said and bool(said[1]) == (verb == "exec"), (verb, message)
    ocirt.ok("delete", "--force", "c0")
    assert ocirt.ids() == []


def test_without_a_procfs(ocirt, bundle):
    """Nothing can be told of processes then: an error says so, and no container that lives is taken for one that has ended."""
    bundle.save()
    ocirt.ok("run", "--detach", "--bundle", bundle, "c1")
    for words in (
        ("create", "--no-cache", "--bundle", bundle, "c2"),
        ("state", "c1"),
        ("list",),
        ("exec", "c1", "true"),
        ("kill", "c1", "TERM"),
        ("delete", "c1"),
        ("delete", "--force", "c1"),
    ):
        command = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            'mount -t tmpfs none /proc && exec "$@"',
            "sh",
            *ocirt.command(*words),
        ]
        status, err = printing(command)
        assert status and len(err.splitlines()) == 1 and "/proc: " in err and "no procfs is mounted there" in err, (
            words,
            status,
            err,
        )
    assert ocirt.status("c1") == "running"


def test_a_pid_file_that_is_there_is_replaced(ocirt, bundle, tmp_path):
    """By rename(2): who reads it finds the old pid or the new one. A link to it keeps the old."""
    pid, old = tmp_path / "pid", tmp_path / "old"
    pid.write_text("1")
    os.link(pid, old)
    bundle.save()
    ocirt.ok("run", "--detach", "--pid-file", pid, "--bundle", bundle, "c1")
    assert int(pid.read_text()) == ocirt.state("c1")["pid"] and old.read_text() == "1"
    assert sorted(path.name for path in tmp_path.iterdir() if "pid" in path.name) == ["pid"]


@pytest.mark.parametrize("call", ["pivot_root", "setns", "umount2", "fspick", "mount_setattr"])
def test_doctor_names_a_call_that_an_outer_container_refuses(ocirt, call):
    """The profile of an older Docker answers EPERM for calls that it does not know or that only the host's root may make."""
    result = Under(ocirt, refusal(call, errno.EPERM))("doctor")
    lines = [line for line in result.out.splitlines() if "refuses" in line]
    assert result.status == 1 and len(lines) == 1
    assert (
        f"the seccomp profile under which this process runs refuses {call} (EPERM); give the outer container"
        in lines[0]
    )


def test_doctor_of_a_container_whose_profile_refuses_keyrings(ocirt, bundle):
    """Docker's profile does; a container without a keyring of its own runs."""
    under = Under(ocirt, refusal("keyctl", errno.EPERM))
    result = under("doctor")
    assert "refuses keyctl (EPERM); create with --no-new-keyring" in result.out
    bundle.args("true").save()
    assert "keyctl" in under.fails("run", "--bundle", bundle, "c1")
    under.ok("run", "--no-new-keyring", "--bundle", bundle, "c1")
