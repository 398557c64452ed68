"""config.md, Process; run's exit status, signals, terminal; what the container gets to see."""

import array
import fcntl
import json
import os
import pty
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

from tests.integration.harness import LIMIT, cgroups_path, enough_output


def run(ocirt, bundle, script, status=0, name="c1", **more):
    bundle.shell(script).save()
    result = ocirt("run", "--bundle", bundle, name, **more)
    assert result.status == status, result
    return result.out


@pytest.mark.parametrize(
    "script, status",
    [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -TERM $$; sleep 5", 143), ("kill -KILL $$; sleep 5", 137)],
)
def test_exit_status(ocirt, bundle, script, status):
    """`run` passes the container's status on, 128+n on a signal. (pid 1 takes signals of its own namespace only when shared.)"""
    bundle.without_namespace("pid")
    run(ocirt, bundle, script, status)
    assert ocirt.ids() == []


def test_keep(ocirt, bundle):
    bundle.args("true").save()
    ocirt.ok("run", "--keep", "--bundle", bundle, "c1")
    assert ocirt.status("c1") == "stopped"
    ocirt.ok("delete", "c1")


def test_detach_and_pid_file(ocirt, bundle, tmp_path):
    ocirt.ok("run", "-d", "--pid-file", "pid", "--bundle", bundle, "c1", cwd=tmp_path)
    assert int((tmp_path / "pid").read_text()) == ocirt.state("c1")["pid"] and ocirt.status("c1") == "running"


def test_pid_file_only_after_success(ocirt, bundle, tmp_path):
    bundle.args("/nonexistent").save()
    ocirt.fails("create", "--pid-file", tmp_path / "pid", "--bundle", bundle, "c1")
    assert not (tmp_path / "pid").exists()


def test_config_flag(ocirt, bundle, tmp_path):
    other = dict(bundle.config, process=dict(bundle.config["process"], args=["echo", "other"]))
    (tmp_path / "other.json").write_text(json.dumps(other))
    assert ocirt.ok("run", "--config", "other.json", "--bundle", bundle, "c1", cwd=tmp_path).out == "other\n"


def test_bundle_defaults_to_the_current_directory(ocirt, bundle):
    bundle.args("pwd").save()
    assert ocirt.ok("run", "c1", cwd=bundle.path).out == "/\n"
    assert ocirt.ok("run", "c1", "--bundle=.", cwd=bundle.path).out == "/\n"
    assert ocirt.ok("run", "-bundle", ".", "--", "c1", cwd=bundle.path).out == "/\n"


def test_with_an_empty_environment(ocirt, bundle):
    bundle.args("env").config["process"]["env"] = ["PATH=/bin", "A=b c"]
    bundle.save()
    assert ocirt.ok("run", "--bundle", bundle, "c1", env={}).out == "PATH=/bin\nA=b c\nHOME=/root\n"


IGNORED = signal.SIGUSR1, signal.SIGURG
"""One that would end a waiting init, and one that would not."""


def test_nothing_of_the_host_leaks(ocirt, bundle):
    """No descriptor, environment, signal disposition or limit of the caller's."""
    inherited = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    bundle.args("grep", "-E", "Sig|NoNewPrivs", "/proc/self/status").save()
    status = dict(
        line.split(":\t")
        for line in ocirt.ok(
            "run",
            "--bundle",
            bundle,
            "c1",
            pass_fds=[inherited],
            preexec_fn=lambda: [signal.signal(each, signal.SIG_IGN) for each in IGNORED],
        ).out.splitlines()
    )
    out = run(ocirt, bundle, "ls /proc/self/fd; env", pass_fds=[inherited], env={**os.environ, "SECRET": "1"})
    os.close(inherited)
    lines = out.splitlines()
    assert lines[:4] == ["0", "1", "2", "3"] and "=" in lines[4]  # 3 is ls's own
    assert all(int(status[name], 16) == 0 for name in ("SigBlk", "SigIgn")) and status["NoNewPrivs"] == "1"
    assert "SECRET" not in out and "LC_CTYPE" not in out


def test_preserve_fds(ocirt, bundle, tmp_path):
    (tmp_path / "data").write_text("preserved\n")
    bundle.shell("ls /proc/self/fd | wc -l; cat <&3").save()
    with_three = ["sh", "-c", f'exec 3<{tmp_path}/data; exec "$@"', "sh"]
    command = ocirt.command("run", "--preserve-fds", "1", "--bundle", bundle, "c1")
    done = subprocess.run(with_three + command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)
    assert done.stdout == "5\npreserved\n", done  # 0, 1, 2, 3 and ls's own
    done = subprocess.run(
        with_three + ocirt.command("run", "--bundle", bundle, "c1"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.stdout == "4\n" and done.returncode != 0, done
    assert (
        ocirt("run", "--preserve-fds", "1", "--bundle", bundle, "c1").out == "4\n"
    )  # 3 is not open: there is nothing to pass on
    assert "--preserve-fds" in ocirt.fails("run", "--preserve-fds", "x", "--bundle", bundle, "c1")


def test_user_and_groups(ocirt, bundle):
    bundle.config["process"]["user"] = {"uid": 1000, "gid": 1001, "umask": 0o27, "additionalGids": [5, 1002]}
    out = run(ocirt, bundle, "id -u; id -g; id -G; umask; echo $HOME; grep Cap /proc/self/status").splitlines()
    assert (
        out[:2] == ["1000", "1001"]
        and set(out[2].split()) == {"1001", "5", "1002"}
        and out[3:5] == ["0027", "/home/guest"]
    )


def test_capabilities(ocirt, bundle):
    kill, net = 1 << 5, 1 << 10
    bundle.config["process"]["capabilities"] = {
        "bounding": ["CAP_KILL", "CAP_NET_BIND_SERVICE"],
        "effective": ["CAP_KILL"],
        "permitted": ["CAP_KILL", "CAP_NET_BIND_SERVICE"],
        "inheritable": ["CAP_KILL"],
        "ambient": ["CAP_KILL"],
    }
    bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
    out = dict(line.split(":\t") for line in run(ocirt, bundle, "grep Cap /proc/self/status").splitlines())
    assert {name: int(value, 16) for name, value in out.items()} == {
        "CapInh": kill,
        "CapPrm": kill,
        "CapEff": kill,
        "CapBnd": kill | net,
        "CapAmb": kill,
    }


def test_unknown_capability_is_a_warning(ocirt, bundle):
    """config.md, Linux Process: a value that cannot be granted is logged as a warning."""
    bundle.config["process"]["capabilities"]["bounding"] += ["CAP_NONSENSE"]
    bundle.args("true").save()
    result = ocirt.ok("run", "--bundle", bundle, "c1")
    assert "level=warning" in result.err and "CAP_NONSENSE" in result.err


def test_rlimits(ocirt, bundle):
    bundle.config["process"]["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
    ]
    assert run(ocirt, bundle, "ulimit -Sn; ulimit -Hn; ulimit -c").split() == ["100", "200", "0"]
    bundle.config["process"]["rlimits"] *= 2
    bundle.save()
    assert "process.rlimits" in ocirt.fails("create", "--bundle", bundle, "c1")
    bundle.config["process"]["rlimits"] = [{"type": "RLIMIT_NONSENSE", "soft": 1, "hard": 1}]
    bundle.save()
    assert "process.rlimits[0].type" in ocirt.fails("create", "--bundle", bundle, "c1")
    bundle.config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 1 << 40, "hard": 1 << 40}]
    bundle.save()
    assert "process.rlimits[0]" in ocirt.fails("create", "--bundle", bundle, "c1")


def test_oom_score_adj(ocirt, bundle):
    bundle.config["process"]["oomScoreAdj"] = 300
    assert run(ocirt, bundle, "cat /proc/self/oom_score_adj") == "300\n"


def test_cwd(ocirt, bundle):
    bundle.config["process"]["cwd"] = "/made/where/missing"
    bundle.config["root"]["readonly"] = False
    assert run(ocirt, bundle, "pwd") == "/made/where/missing\n"
    bundle.config["process"]["cwd"] = "relative"
    bundle.save()
    assert "process.cwd" in ocirt.fails("create", "--bundle", bundle, "c1")


@pytest.mark.parametrize(
    "args, words",
    [
        (["nosuch"], "executable file not found in $PATH"),
        (["/nosuch"], "no such file or directory"),
        (["/etc/passwd"], "permission denied"),
        (["/etc"], "is a directory: permission denied"),
        ([], "process.args"),
    ],
)
def test_a_program_that_cannot_run(ocirt, bundle, args, words):
    bundle.args(*args).save()
    assert words in ocirt.fails("create", "--bundle", bundle, "c1")
    assert words in ocirt.fails("run", "--bundle", bundle, "c1")


def test_arguments_and_an_environment_that_are_too_long_together(ocirt, bundle):
    """The kernel limits both together, so the error names both, whichever of them is the longer one."""
    bundle.config["process"]["env"] = ["HOME=/", *[f"A{i}={'x' * 100_000}" for i in range(10, 90)]]
    bundle.args("/bin/true").save()
    words = "process.args (10 bytes) and process.env (8000407 bytes): exec /bin/true: argument list too long"
    said = ocirt.fails("run", "--bundle", bundle, "c1")
    assert words in said, said
    large = [word for i in range(10, 28) for word in ("--env", f"A{i}={'x' * 100_000}")]
    bundle.config["process"]["env"] = ["HOME=/"]
    bundle.config["process"]["rlimits"] = [{"type": "RLIMIT_STACK", "soft": 131072, "hard": 131072}]
    bundle.args("sleep", "60").save()
    ocirt.ok("run", "--detach", "--bundle", bundle, "c1")
    said = ocirt.fails("exec", *large, "c1", "/bin/true", status=255)
    assert "exec /bin/true: argument list too long" in said and "process.args (10 bytes) and process.env (" in said, (
        said
    )


@pytest.mark.parametrize(
    "head, interpreter",
    [
        (b"#!/opt/nowhere/python3 -x\n", "/opt/nowhere/python3"),
        (b"#! \t/opt/sh\n", "/opt/sh"),
        ("elf64", "/lib/ld-none.so"),
        ("elf32", "/lib/ld-none.so"),
    ],
)
def test_an_interpreter_that_is_missing(ocirt, bundle, head, interpreter):
    """The program is there: what does not exist is named in its first bytes. Said of a hook, too."""
    if isinstance(head, str):
        wide = head == "elf64"
        size, each = (64, 56) if wide else (52, 32)
        layout = "<HHIQQQIHHHHHH" if wide else "<HHIIIIIHHHHHH"
        ehdr = (
            b"\x7fELF"
            + bytes((2 if wide else 1, 1, 1))
            + bytes(9)
            + struct.pack(layout, 2, 62 if wide else 3, 1, 0x400000, size, 0, 0, size, each, 1, 0, 0, 0)
        )
        at, length = size + each, len(interpreter) + 1
        phdr = (
            struct.pack("<IIQQQQQQ", 3, 4, at, 0, 0, length, length, 1)
            if wide
            else struct.pack("<IIIIIIII", 3, at, 0, 0, length, length, 4, 1)
        )
        head = ehdr + phdr + interpreter.encode() + bytes(64)
    program = bundle.rootfs / "program"
    program.write_bytes(head)
    program.chmod(0o755)
    bundle.args("/program").save()
    missing = f"no such file or directory: its interpreter {interpreter} is missing"
    assert f"exec /program: {missing}" in ocirt.fails("run", "--bundle", bundle, "c1")
    bundle.config["hooks"] = {"createRuntime": [{"path": str(program)}]}
    bundle.args("true").save()
    assert missing in ocirt.fails("run", "--bundle", bundle, "c1")


def test_session_keyring(ocirt, bundle):
    """A session keyring of the container's own, named after it; with --no-new-keyring the caller's."""
    bundle.config["linux"]["maskedPaths"] = []
    # /proc/keys shows those of every container on the machine, and the kernel takes its time to forget one that nobody has any more.
    for flags, id in ((), f"with-{os.getpid()}"), (("--no-new-keyring",), f"without-{os.getpid()}"):
        bundle.shell(f"cut -d: -f1 /proc/keys | grep -o ' _ses[.]{id}$' || true").save()
        assert ocirt.ok("run", *flags, "--bundle", bundle, id).out == ("" if flags else f" _ses.{id}\n")


# ---- foreground ----


def start_foreground(ocirt, bundle, ready, **more):
    child = subprocess.Popen(ocirt.command("run", "--bundle", bundle, "c1"), **{"stdin": subprocess.DEVNULL, **more})
    enough_output(ready)
    return child


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2])
def test_foreground_forwards_signals(ocirt, bundle, number):
    bundle.config["root"]["readonly"] = False
    bundle.shell(
        f"trap 'exit {40 + number}' {int(number)}; echo ready > /tmp/ready; while :; do sleep 0.05; done"
    ).save()
    child = start_foreground(ocirt, bundle, bundle.rootfs / "tmp/ready")
    child.send_signal(number)
    assert child.wait(LIMIT) == 40 + number
    assert ocirt.ids() == []


def test_foreground_reaps_orphans(ocirt, bundle):
    bundle.without_namespace("pid").config["root"]["readonly"] = False
    bundle.shell("sh -c 'sleep 0.1 & echo $! > /tmp/orphan'; echo ready > /tmp/ready; sleep 2").save()
    child = start_foreground(ocirt, bundle, bundle.rootfs / "tmp/ready")
    orphan = int((bundle.rootfs / "tmp/orphan").read_text())
    time.sleep(0.5)
    assert not os.path.exists(f"/proc/{orphan}"), "the orphan is left a zombie"
    assert child.wait(LIMIT) == 0


def read_terminal(master, until, seconds=10):
    data, end = b"", time.monotonic() + seconds
    while until not in data:
        assert time.monotonic() < end, data
        if select.select([master], [], [], 0.1)[0]:
            try:
                data += os.read(master, 4096)
            except OSError:
                break
    return data


def test_foreground_terminal(ocirt, bundle):
    """The container's terminal is ours: raw, its size follows, and it is put back at the end."""
    bundle.config["process"]["terminal"] = True
    bundle.shell(
        "stty size; tty; echo ready; while read line; do echo got $line; stty size; [ $line = end ] && exit 5; done"
    ).save()
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    before = termios.tcgetattr(slave)
    child = subprocess.Popen(ocirt.command("run", "--bundle", bundle, "c1"), stdin=slave, stdout=slave, stderr=slave)
    out = read_terminal(master, b"ready")
    assert b"33 101" in out and b"/dev/pts/0" in out
    os.write(master, b"hello\n")
    assert b"got hello" in read_terminal(master, b"got hello")
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    child.send_signal(signal.SIGWINCH)
    out, end = b"", time.monotonic() + 10
    while b"40 120" not in out:  # the size is copied when the signal has arrived
        assert time.monotonic() < end, out
        os.write(master, b"again\n")
        out += read_terminal(master, b"got again")
        time.sleep(0.02)
    os.write(master, b"end\n")
    assert child.wait(LIMIT) == 5
    assert termios.tcgetattr(slave)[:4] == before[:4]


def test_console_socket(ocirt, bundle, tmp_path):
    """--console-socket gets the master; ONLCR is off; the size is consoleSize."""
    bundle.config["process"].update(terminal=True, consoleSize={"height": 25, "width": 81})
    bundle.shell(
        "stty size; stty -a | grep -o -- '-onlcr'; [ -e /dev/console ] && tty; readlink /proc/self/fd/0; sleep 60"
    ).save()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "console"))
        listener.listen()
        listener.settimeout(LIMIT)
        ocirt.ok("create", "--console-socket", "console", "--bundle", bundle, "c1", cwd=tmp_path)
        connection, _ = listener.accept()
        _, (right,), _, _ = connection.recvmsg(64, socket.CMSG_SPACE(4))
    master = array.array("i", right[2])[0]
    ocirt.ok("start", "c1")
    lines = read_terminal(master, b"/dev/pts/0\n/dev/pts/0\n").split(b"\n")
    assert lines[:4] == [b"25 81", b"-onlcr", b"/dev/pts/0", b"/dev/pts/0"]
    os.close(master)


def test_terminal_rules(ocirt, bundle, tmp_path):
    """As runc: a terminal needs a console socket when nobody stays, and a console socket needs a terminal."""
    assert "--console-socket" in ocirt.fails("create", "--console-socket", tmp_path / "s", "--bundle", bundle, "c1")
    bundle.config["process"]["terminal"] = True
    bundle.save()
    assert "console" in ocirt.fails("create", "--bundle", bundle, "c1")
    assert "console" in ocirt.fails("run", "-d", "--bundle", bundle, "c1")
    assert "--console-socket" in ocirt.fails(
        "create", "--console-socket", tmp_path / "nobody", "--bundle", bundle, "c1"
    )


def test_a_console_socket_where_nobody_accepts(ocirt, bundle, tmp_path):
    """Its queue is full, as that of a process which has been stopped: create gives up, and says who has not answered."""
    bundle.config["process"]["terminal"] = True
    bundle.save()
    with (
        socket.socket(socket.AF_UNIX) as listener,
        socket.socket(socket.AF_UNIX) as first,
        socket.socket(socket.AF_UNIX) as second,
    ):
        listener.bind(str(tmp_path / "console"))
        listener.listen(0)
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(str(tmp_path / "console"))
        message = ocirt.fails("create", "--console-socket", tmp_path / "console", "--bundle", bundle, "c1")
    assert (
        f"connect to {tmp_path / 'console'}" in message and "whoever listens there has not answered for 10 s" in message
    )
    assert ocirt.ids() == []


def test_pidfd_socket(ocirt, bundle, tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "pidfd"))
        listener.listen()
        listener.settimeout(LIMIT)
        ocirt.ok("create", "--pidfd-socket", tmp_path / "pidfd", "--bundle", bundle, "c1")
        connection, _ = listener.accept()
        _, (right,), _, _ = connection.recvmsg(64, socket.CMSG_SPACE(4))
    pidfd = array.array("i", right[2])[0]
    assert f"Pid:\t{ocirt.state('c1')['pid']}\n" in open(f"/proc/self/fdinfo/{pidfd}").read()
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    ocirt.wait_status("c1", "stopped")
    os.close(pidfd)


def test_init_is_not_open_to_others(ocirt, bundle):
    """Before start, init is not dumpable: the root of its namespaces cannot look into it."""
    ocirt.ok("create", "--bundle", bundle, "c1")
    pid = ocirt.state("c1")["pid"]
    assert os.stat(f"/proc/{pid}/fd").st_uid == 0
    executable = os.readlink(f"/proc/{pid}/exe")
    assert "memfd" in executable, executable
    with pytest.raises(OSError):
        open(f"/proc/{pid}/exe", "r+b")


# ---- the directory, the home ----


@pytest.mark.parametrize("uid, mode, owner", [(42, 0o700, 0), (0, 0o700, 1000)])
def test_a_directory_that_the_user_may_not_enter(ocirt, bundle, uid, mode, owner):
    """Once the runtime has entered it, the user's being denied is no error: runc, crun. Without CAP_DAC_OVERRIDE root is a user, too."""
    (bundle.rootfs / "work").mkdir()
    os.chown(bundle.rootfs / "work", owner, owner)
    (bundle.rootfs / "work").chmod(mode)
    bundle.config["process"].update(cwd="/work", user={"uid": uid, "gid": uid}, capabilities={})
    assert run(ocirt, bundle, "pwd") == "/work\n"
    ocirt.ok("run", "--detach", "--bundle", bundle.args("sleep", "60").save(), "c2")
    assert ocirt.ok("exec", "--cwd", "/work", "c2", "pwd").out == "/work\n"


@pytest.mark.parametrize("entry", [[], ["HOME="]])
def test_a_home_from_a_passwd_that_is_large_and_closed(ocirt, bundle, entry):
    """Whoever may read it: the runtime looks the home up. An empty HOME is as none."""
    passwd = bundle.rootfs / "etc/passwd"
    passwd.write_text(
        "".join(f"user{number}:x:{number + 5000}:0::/home/{number}:/bin/sh\n" for number in range(20000))
        + "x" * 70000
        + "\nguest:x:1000:1000:guest:/home/guest:/bin/sh"
    )
    passwd.chmod(0o600)
    bundle.config["process"].update(user={"uid": 1000}, capabilities={}, env=["PATH=/bin", *entry])
    assert run(ocirt, bundle, "echo $HOME; env | grep -c ^HOME=; id -g") == "/home/guest\n1\n0\n"


# ---- what the host does not allow ----


def map_ids(bundle):
    """A user namespace of 1,000 ids from 100000 on."""
    bundle.namespace("user")
    for name in ("uidMappings", "gidMappings"):
        bundle.config["linux"][name] = [{"containerID": 0, "hostID": 100000, "size": 1000}]
    for folder in (bundle.path, *bundle.path.parents):
        folder.chmod(folder.stat().st_mode | 0o11)


def test_an_id_that_is_not_mapped(ocirt, bundle):
    map_ids(bundle)
    for user, name, number in (({"uid": 5000, "gid": 0}, "uid", 5000), ({"uid": 0, "gid": 6000}, "gid", 6000)):
        bundle.config["process"]["user"] = user
        message = ocirt.fails("create", "--bundle", bundle.save(), "c1")
        assert (
            "process.user: " in message
            and f"found the {name} {number}, expected one that linux.{name}Mappings maps" in message
        )


def test_a_limit_above_the_runtimes_own(ocirt, bundle):
    """Without CAP_SYS_RESOURCE: what was found, and what the host allows."""
    bundle.config["process"]["rlimits"] = [{"type": "RLIMIT_NPROC", "soft": 10, "hard": 5000}]
    words = [
        "setpriv",
        "--bounding-set",
        "-sys_resource",
        "prlimit",
        "--nproc=4000:4000",
        *ocirt.command("create", "--bundle", bundle.save(), "c1"),
    ]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)
    assert (
        done.returncode == 1 and "process.rlimits[0]: set RLIMIT_NPROC: prlimit: operation not permitted" in done.stderr
    )
    assert (
        "found a hard limit of 5000, expected at most the runtime's own, 4000: a higher one needs CAP_SYS_RESOURCE"
        in done.stderr
    )


OPEN_FILES = "ulimit -Sn; ulimit -Hn"


@pytest.mark.resource
@pytest.mark.parametrize("joins", [False, True], ids=["new", "joined"])
def test_limits_above_the_runtimes_own_in_a_user_namespace(ocirt, bundle, joins):
    """CAP_SYS_RESOURCE counts in the initial user namespace only, where init is not."""
    map_ids(bundle)
    if joins:
        ocirt.ok("run", "--detach", "--bundle", bundle.args("sleep", "1000").save(), "c0")
        bundle.namespace("user", f"/proc/{ocirt.state('c0')['pid']}/ns/user")
        del bundle.config["linux"]["uidMappings"], bundle.config["linux"]["gidMappings"]
        bundle.config["linux"]["cgroupsPath"] = cgroups_path("second")
    bundle.config["process"].update(
        user={"uid": 5, "gid": 6}, rlimits=[{"type": "RLIMIT_NOFILE", "soft": 2000, "hard": 3000}]
    )
    limited = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000))}
    ocirt.ok("create", "--bundle", bundle.args("sleep", "1000").save(), "c1", **limited)
    limits = Path(f"/proc/{ocirt.state('c1')['pid']}/limits").read_text()
    assert re.search(r"^Max open files +2000 +3000 ", limits, re.M), limits
    ocirt.ok("start", "c1")
    assert ocirt.ok("exec", "c1", "sh", "-c", OPEN_FILES, **limited).out == "2000\n3000\n"
    bundle.config["linux"]["cgroupsPath"] = cgroups_path("third")
    assert run(ocirt, bundle, OPEN_FILES, name="c2", **limited) == "2000\n3000\n"


@pytest.mark.parametrize("verb", ["create", "exec"])
def test_a_limit_that_the_runtime_may_not_raise_in_a_user_namespace(ocirt, bundle, verb):
    map_ids(bundle)
    limited = ["setpriv", "--bounding-set", "-sys_resource", "prlimit", "--nproc=4000:4000"]
    high = [{"type": "RLIMIT_NPROC", "soft": 10, "hard": 5000}]
    bundle.args("sleep", "1000")
    if verb == "create":
        bundle.config["process"]["rlimits"] = high
        words, at = ("create", "--bundle", bundle.save(), "c1"), ""
    else:
        ocirt.ok("run", "--detach", "--bundle", bundle.save(), "c1")
        process = bundle.path / "process.json"
        process.write_text(json.dumps({"cwd": "/", "args": ["true"], "rlimits": high}))
        words, at = ("exec", "--process", process, "c1"), "--process."
    done = subprocess.run(
        [*limited, *ocirt.command(*words)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT
    )
    assert f"{at}rlimits[0]: set RLIMIT_NPROC: prlimit: operation not permitted" in done.stderr, done.stderr
    assert "expected at most the runtime's own, 4000: a higher one needs CAP_SYS_RESOURCE" in done.stderr


def test_limits_below_the_runtimes_own_in_a_user_namespace(ocirt, bundle):
    map_ids(bundle)
    bundle.config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]
    bundle.config["process"]["user"] = {"uid": 5, "gid": 6}
    assert run(ocirt, bundle, OPEN_FILES) == "100\n200\n"


@pytest.mark.parametrize("soft, found", [(20, "20"), (2**64 - 1, "unlimited")])
def test_a_soft_limit_beyond_the_hard_one(ocirt, bundle, soft, found):
    bundle.config["process"]["rlimits"] = [{"type": "RLIMIT_NPROC", "soft": soft, "hard": 10}]
    message = ocirt.fails("create", "--bundle", bundle.save(), "c1")
    assert message.strip('"\n').endswith(f"found a soft limit of {found}, expected at most the hard one, 10"), message


@pytest.mark.parametrize(
    "key, value, said",
    [
        ("kernel.msgmax", "many", 'the kernel has \\"8192\\" there'),
        ("net.ipv4.no_such_thing", "1", "this kernel has no such parameter"),
    ],
)
def test_a_parameter_that_cannot_be_set(ocirt, bundle, key, value, said):
    bundle.config["linux"]["sysctl"] = {key: value}
    message = ocirt.fails("create", "--bundle", bundle.save(), "c1")
    assert f'linux.sysctl[\\"{key}\\"]: ' in message and said in message, message
