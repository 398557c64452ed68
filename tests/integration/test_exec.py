"""exec: a further process in a container that runs."""

import json
import os
import pty
import signal
import socket
import subprocess
import termios
import time

import pytest

from tests.integration.harness import CGROUPS, LIMIT, OWN, V2, enough_output, hierarchies

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


def status_of(text):
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


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


# ---- exit status and errors ----


@pytest.mark.parametrize(
    "script, status",
    [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -TERM $$; sleep 5", 143), ("kill -KILL $$; sleep 5", 137)],
)
def test_exit_status(ocirt, box, script, status):
    result = ocirt("exec", "c1", "sh", "-c", script)
    assert result.status == status and result.err == "", result


@pytest.mark.parametrize(
    "command, words",
    [
        (["nosuch"], 'exec: \\"nosuch\\": executable file not found in $PATH'),
        (["/nosuch"], 'exec: \\"/nosuch\\": stat /nosuch: no such file or directory'),
        (["/etc/passwd"], 'exec: \\"/etc/passwd\\": permission denied'),
        (["/bin"], "is a directory"),
        (["/tmp/text"], "exec format error"),
        ([""], 'exec: \\"\\": executable file not found in $PATH'),
    ],
)
def test_a_program_that_cannot_run(ocirt, box, tmp_path, command, words):
    """Engines tell by these texts what is 126 and what 127. Nothing is written to the pid file, one object to the log."""
    (box.rootfs / "tmp/text").write_text("text\n")
    (box.rootfs / "tmp/text").chmod(0o755)
    for flags in ((), ("--detach",)):
        message = refused(ocirt, *flags, "--pid-file", tmp_path / "pid", "c1", *command)
        assert message.startswith('"exec failed: ') and words in message
    assert not (tmp_path / "pid").exists()
    log = tmp_path / "log"
    assert ocirt("exec", "-d", "c1", *command, options=("--log", log, "--log-format", "json")).status == FAILED
    entry = json.loads(log.read_text())  # of two objects it would be an error
    assert (
        entry["level"] == "error"
        and entry["msg"].startswith("exec failed: ")
        and words.replace("\\", "") in entry["msg"]
    )


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--user", "root"], '--user \\"root\\": expected UID or UID:GID'),
        (["--cwd", "x"], '--cwd: found \\"x\\", expected an absolute path'),
        (["--cwd", "/nosuch"], "chdir: no such file or directory"),
        (["--process", "/nosuch.json"], "--process /nosuch.json: no such file"),
        (["--preserve-fds", "x"], "--preserve-fds"),
        (["--console-socket", "/s"], "--console-socket"),
        (["--pidfd-socket", "/nosuch"], "connect to /nosuch: connect: no such file or directory"),
        (["--cgroup", "nosuch"], "no such file or directory"),
        (["--user", "99999999:1", "--cgroup", "../x"], "a path without .."),
        (["--additional-gids", "-1"], "--additional-gids"),
        (["--env", "A"], "--env"),
    ],
)
def test_flags_that_cannot_be(ocirt, box, flags, words):
    assert words in refused(ocirt, *flags, "c1", "true")


def test_no_container_no_command(ocirt, box):
    assert "container does not exist" in refused(ocirt, "c2", "true")
    assert "exec needs a command" in refused(ocirt, "c1")
    usage = ocirt("exec")
    assert (
        usage.status == 1
        and "requires a minimum of 1 argument(s)" in usage.err
        and usage.out == "see ocirt exec --help\n"
    )


def test_a_stopped_container(ocirt, box):
    ocirt.ok("kill", "c1", "KILL")
    ocirt.wait_status("c1", "stopped")
    assert "exec failed: cannot exec in a stopped container" in refused(ocirt, "c1", "true")


def test_a_created_container(ocirt, bundle):
    """As with runc; it still waits for start."""
    ocirt.ok("create", "--bundle", bundle, "c1")
    assert ocirt.ok("exec", "c1", "echo", "here").out == "here\n"
    assert ocirt.status("c1") == "created"
    ocirt.ok("start", "c1")


def test_two_dashes_before_the_command(ocirt, box):
    assert ocirt.ok("exec", "c1", "--", "echo", "-e", "--", "x").out == "-- x\n"
    assert ocirt.ok("exec", "--", "c1", "echo", "x").out == "x\n"
    assert ocirt.ok("exec", "--tty=F", "c1", "echo", "x").out == "x\n"  # a form that Python reads


# ---- what the process is and has ----


def test_the_containers_own(ocirt, box):
    """Namespaces, cgroups, environment, rights, limits: those of the container's process."""
    pid = ocirt.state("c1")["pid"]
    init = {name: os.readlink(f"/proc/{pid}/ns/{name}") for name in os.listdir(f"/proc/{pid}/ns")}
    out = shell(
        ocirt,
        "cd /proc/self/ns; for n in *; do echo $n=$(readlink $n); done; hostname; env; cat /proc/self/cgroup; ulimit -n",
    )
    assert dict(line.split("=", 1) for line in out.splitlines() if ":[" in line) == init
    assert "\nocirt\n" in out and "TERM=xterm" in out and "HOME=/root" in out and out.endswith("\n1024\n")
    assert ocirt.ok("exec", "c1", "cat", "/proc/1/cgroup").out in out
    status = status_of(ocirt.ok("exec", "c1", "cat", "/proc/self/status").out)
    first = status_of(ocirt.ok("exec", "c1", "cat", "/proc/1/status").out)
    for name in (
        "Uid",
        "Gid",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
        "Cpus_allowed",
    ):
        assert status[name] == first[name], name


IGNORED = signal.SIGUSR1, signal.SIGURG


def test_nothing_of_the_host_leaks(ocirt, box):
    inherited = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    status = status_of(
        ocirt.ok(
            "exec",
            "c1",
            "cat",
            "/proc/self/status",
            pass_fds=[inherited],
            preexec_fn=lambda: [signal.signal(each, signal.SIG_IGN) for each in IGNORED],
        ).out
    )
    out = shell(
        ocirt, "ls /proc/self/fd; env", pass_fds=[inherited], env={**os.environ, "SECRET": "1", "LISTEN_FDS": "1"}
    )
    os.close(inherited)
    assert out.splitlines()[:4] == ["0", "1", "2", "3"] and "=" in out.splitlines()[4]  # 3 is ls's own
    assert all(int(status[name], 16) == 0 for name in ("SigBlk", "SigIgn", "SigCgt"))
    assert "SECRET" not in out and "LC_CTYPE" not in out and "LISTEN" not in out


def test_flags(ocirt, box):
    (box.rootfs / "work").mkdir()
    out = shell(
        ocirt,
        "pwd; id -u; id -g; id -G; echo $A $B $TERM $PATH; env | grep -c ^PATH=; grep -E 'CapB|CapE|NoNew' /proc/self/status",
        "--cwd",
        "/work",
        "--user",
        "1000:1001",
        "-g",
        "5",
        "--additional-gids=6",
        "-e",
        "A=1",
        "--env",
        "B=x y",
        "--env",
        "TERM=new",
        "-e",
        "PATH=/nowhere:/bin",
        "--cap",
        "CAP_CHOWN",
        "-c",
        "CAP_FOWNER",
        "--no-new-privs",
    )
    lines = out.splitlines()
    assert lines[:3] == ["/work", "1000", "1001"] and {"5", "6"} <= set(lines[3].split())
    # Of two values of a variable the later one counts.
    assert lines[4:6] == ["1 x y new /nowhere:/bin", "1"]
    added = 1 << 0 | 1 << 3
    assert int(status_of(out)["CapBnd"], 16) & added == added and status_of(out)["NoNewPrivs"] == "1"
    status = status_of(ocirt.ok("exec", "--cap", "CAP_CHOWN", "-c=CAP_FOWNER", "c1", "cat", "/proc/self/status").out)
    assert int(status["CapEff"], 16) & added == added == int(status["CapPrm"], 16) & added


def test_home_is_the_users(ocirt, box):
    assert shell(ocirt, "echo $HOME", "--user", "1000") == "/home/guest\n"
    assert shell(ocirt, "echo $HOME", "--user", "77") == "/\n"
    assert shell(ocirt, "echo $HOME", "-e", "HOME=/x") == "/x\n"


def test_process_file(ocirt, bundle):
    bundle.config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]
    bundle.config["process"]["oomScoreAdj"] = 300
    start(ocirt, bundle)
    script = "id -u; id -g; id -G; umask; pwd; echo $X$TERM; ulimit -Sn; cat /proc/self/oom_score_adj; grep -E 'Cap|NoNew' /proc/self/status"
    # What the file does not have of limits, capabilities and the score is the container's.
    file = process_file(
        bundle,
        args=["sh", "-c", script],
        env=["PATH=/bin", "X=y"],
        cwd="/etc",
        user={"uid": 1000, "gid": 1001, "umask": 0o27, "additionalGids": [5]},
    )
    out = ocirt.ok("exec", "--process", file, "--user", "9", "c1").out
    lines = out.splitlines()
    assert lines[:2] == ["1000", "1001"] and set(lines[2].split()) == {"1001", "5"}
    assert lines[3:8] == ["0027", "/etc", "y", "100", "300"]
    assert int(status_of(out)["CapBnd"], 16) == 1 << 29 | 1 << 5 | 1 << 10 and status_of(out)["NoNewPrivs"] == "0"
    file = process_file(
        bundle,
        args=["sh", "-c", script],
        noNewPrivileges=True,
        oomScoreAdj=400,
        capabilities={"bounding": ["CAP_KILL"]},
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 50, "hard": 60}],
        scheduler={"policy": "SCHED_BATCH"},
    )
    out = ocirt.ok("exec", "-p", file.name, "c1", "ignored", cwd=bundle.path).out
    assert out.splitlines()[6:8] == ["50", "400"]
    assert int(status_of(out)["CapBnd"], 16) == 1 << 5 and status_of(out)["NoNewPrivs"] == "1"


def test_process_file_from_a_pipe(ocirt, box):
    command = [
        "sh",
        "-c",
        'echo \'{"cwd": "/", "args": ["/bin/echo", "piped"]}\' | "$@"',
        "sh",
        *ocirt.command("exec", "-p", "/dev/stdin", "c1"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert done.stdout == "piped\n", done


def test_wrong_process_files(ocirt, box):
    file = process_file(box, cwd="x")
    assert 'process.json: cwd: found \\"x\\", expected an absolute path' in refused(ocirt, "-p", file, "c1")
    file.write_text("{")
    assert "line 1 column 2" in refused(ocirt, "-p", file, "c1")


def test_preserve_fds(ocirt, box, tmp_path):
    (tmp_path / "data").write_text("preserved\n")
    command = ocirt.command("exec", "--preserve-fds", "1", "c1", "sh", "-c", "ls /proc/self/fd | wc -l; cat <&3")
    done = subprocess.run(
        ["sh", "-c", f'exec 3<{tmp_path}/data 4</dev/null; exec "$@"', "sh", *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.stdout == "5\npreserved\n", done  # 0, 1, 2, 3 and ls's own


def test_session_keyring(ocirt, bundle):
    """One of its own, unless the container was created with --no-new-keyring."""
    bundle.config["linux"]["maskedPaths"] = []
    bundle.save()
    id = f"exec-{os.getpid()}"  # /proc/keys shows those of every container on the machine
    ocirt.ok("run", "-d", "--bundle", bundle, id)
    command = ("exec", id, "sh", "-c", f"cut -d: -f1 /proc/keys | grep -o ' _ses[.]{id}$'")
    assert ocirt.ok(*command).out == f" _ses.{id}\n"


def test_affinity(ocirt, bundle):
    """config.md, Linux Process, execCPUAffinity."""
    bundle.config["process"]["execCPUAffinity"] = {"initial": "0", "final": "1"}
    start(ocirt, bundle)
    assert shell(ocirt, "grep Cpus_allowed_list /proc/self/status") == "Cpus_allowed_list:\t1\n"
    file = process_file(
        bundle, args=["grep", "Cpus_allowed_list", "/proc/self/status"], execCPUAffinity={"initial": "0"}
    )
    assert ocirt.ok("exec", "-p", file, "c1").out == "Cpus_allowed_list:\t0\n"
    file = process_file(bundle, execCPUAffinity={"final": "4000"})
    assert "set the CPU affinity: sched_setaffinity: invalid argument" in refused(ocirt, "-p", file, "c1")


def test_seccomp(ocirt, bundle):
    bundle.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}],
    }
    bundle.config["root"]["readonly"] = False
    for privileges in (False, True):
        bundle.config["process"]["noNewPrivileges"] = privileges
        start(ocirt, bundle)
        assert "Seccomp:\t2" in ocirt.ok("exec", "c1", "cat", "/proc/self/status").out
        shell(ocirt, "mkdir /tmp/x 2>/dev/null", status=1)
        assert "executable file not found" in refused(ocirt, "c1", "nosuch")
        ocirt.ok("delete", "--force", "c1")


def test_a_seccomp_agent_is_told_the_process(ocirt, bundle, tmp_path):
    """config-linux.md, The Container Process State: pid is that of the process, state that of the container."""
    bundle.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": str(tmp_path / "agent"),
        "listenerMetadata": "m",
        "syscalls": [{"names": ["getcpu"], "action": "SCMP_ACT_NOTIFY"}],
    }
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(tmp_path / "agent"))
        agent.listen()
        agent.settimeout(LIMIT)

        def told():
            connection, _ = agent.accept()
            data, (right,), _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(4))
            os.close(int.from_bytes(right[2], "little"))
            return json.loads(data)

        start(ocirt, bundle)
        first = told()
        ocirt.ok("exec", "-d", "--pid-file", tmp_path / "pid", "c1", "sleep", "60")
        added = told()
    assert added["pid"] == int((tmp_path / "pid").read_text()) != first["pid"] == added["state"]["pid"]
    assert added["state"]["status"] == "running" and added["state"]["id"] == "c1" and added["metadata"] == "m"


# ---- detached, with sockets ----


def test_detach_and_pid_file(ocirt, box, tmp_path):
    ocirt.ok("exec", "--detach", "--pid-file", "pid", "c1", "sleep", "61", cwd=tmp_path)
    pid = int((tmp_path / "pid").read_text())
    # It has been executed by then, and is in the container's cgroups.
    with open(f"/proc/{pid}/cmdline") as file:
        assert file.read() == "sleep\x0061\0"
    assert os.readlink(f"/proc/{pid}/exe") == "/bin/busybox"
    assert all(in_cgroup(box, pid).values()), in_cgroup(box, pid)
    assert os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{ocirt.state('c1')['pid']}/ns/pid")
    ocirt.ok("kill", "--all", "c1", "KILL")
    ocirt.wait_status("c1", "stopped")


def test_engines_command_lines(ocirt, box, tmp_path):
    """As podman and containerd's shim send it (shared/ENGINES.md)."""
    file = process_file(box, args=["sleep", "60"])
    options = ("--log-format=json", "--log", tmp_path / "log")
    ocirt.ok("exec", "--pid-file", tmp_path / "p1", "--process", file, "--detach", "c1", options=options)
    ocirt.ok(
        "exec",
        "--process",
        file,
        "--detach",
        "--pid-file",
        tmp_path / "p2",
        "c1",
        options=("--log", tmp_path / "log", "--log-format", "json"),
    )
    assert int((tmp_path / "p1").read_text()) != int((tmp_path / "p2").read_text())
    assert not (tmp_path / "log").exists() or (tmp_path / "log").read_text() == ""


def receive(listener):
    connection, _ = listener.accept()
    name, (right,), _, _ = connection.recvmsg(64, socket.CMSG_SPACE(4))
    connection.close()
    return name, int.from_bytes(right[2], "little")


@pytest.fixture
def listener(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        listener.settimeout(LIMIT)
        yield listener


def test_pidfd_socket(ocirt, box, tmp_path, listener):
    ocirt.ok("exec", "-d", "--pidfd-socket", "socket", "--pid-file", "pid", "c1", "sleep", "60", cwd=tmp_path)
    _, pidfd = receive(listener)
    with open(f"/proc/self/fdinfo/{pidfd}") as file:
        assert f"Pid:\t{(tmp_path / 'pid').read_text()}\n" in file.read()
    os.close(pidfd)


def read_terminal(master, until):
    data = b""
    while until not in data:
        data += os.read(master, 4096)
    return data


def test_console_socket(ocirt, box, tmp_path, listener):
    script = "stty size; tty; [ -e /dev/console ] || echo none; readlink /proc/self/fd/1; ps -o tty,comm | grep sh; read line; echo got $line"
    file = process_file(
        box,
        terminal=True,
        consoleSize={"height": 30, "width": 91},
        args=["sh", "-c", script],
        user={"uid": 1000, "gid": 1000},
    )
    ocirt.ok("exec", "--process", file, "--tty", "--detach", "--console-socket", tmp_path / "socket", "c1")
    name, master = receive(listener)
    out = read_terminal(master, b"sh\n")
    assert out.startswith(b"30 91\n/dev/pts/0\nnone\n/dev/pts/0\n") and name == b"/dev/pts/0", out
    os.write(master, b"hello\n")
    assert b"got hello" in read_terminal(master, b"got hello")
    os.close(master)


def test_terminal_rules(ocirt, box):
    assert "cannot allocate tty if ocirt will detach" in refused(ocirt, "-t", "-d", "c1", "true")
    assert "cannot use console socket" in refused(ocirt, "-t", "--console-socket", "/s", "c1", "true")
    assert "cannot use console socket" in refused(ocirt, "-d", "--console-socket", "/s", "c1", "true")


def test_a_delete_meanwhile(ocirt, box, tmp_path):
    """The container was there when exec began: it says that it has been deleted since, not that there is none."""
    fifo = tmp_path / "process.json"
    os.mkfifo(fifo)
    child = subprocess.Popen(
        ocirt.command("exec", "--process", fifo, "c1"), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    with open(fifo, "w") as file:  # which exec reads when it has found the container
        ocirt.ok("delete", "--force", "c1")
        json.dump({"cwd": "/", "args": ["true"]}, file)
    said = child.communicate(timeout=LIMIT)[1]
    assert child.returncode == 255 and "cannot exec in a stopped container: c1 has just been deleted" in said


# ---- foreground ----


def test_foreground_terminal(ocirt, box):
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (33, 101))
    before = termios.tcgetattr(slave)
    child = subprocess.Popen(
        ocirt.command("exec", "-t", "c1", "sh", "-c", "stty size; tty; echo ready; read line; echo got $line; exit 5"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    out = read_terminal(master, b"ready")
    assert b"/dev/pts/0" in out and b"33 101" in out
    os.write(master, b"hello\n")
    read_terminal(master, b"got hello")
    assert child.wait(LIMIT) == 5
    assert termios.tcgetattr(slave)[:4] == before[:4]
    os.close(master), os.close(slave)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR2])
def test_foreground_forwards_signals(ocirt, box, number):
    script = f"trap 'exit {40 + number}' {int(number)}; echo ready > /tmp/ready; while :; do sleep 0.05; done"
    child = subprocess.Popen(ocirt.command("exec", "c1", "sh", "-c", script), stdin=subprocess.DEVNULL)
    enough_output(box.rootfs / "tmp/ready")
    child.send_signal(number)
    assert child.wait(LIMIT) == 40 + number


def test_standard_streams(ocirt, box):
    done = subprocess.run(
        ocirt.command("exec", "c1", "sh", "-c", "cat; echo error >&2"),
        input="in\n",
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("in\n", "error\n", 0)


def test_the_death_of_a_foreground_exec_leaves_the_container(ocirt, box):
    child = subprocess.Popen(
        ocirt.command("exec", "c1", "sh", "-c", "echo ready > /tmp/ready; sleep 60"), stdin=subprocess.DEVNULL
    )
    enough_output(box.rootfs / "tmp/ready")
    child.kill()
    child.wait(LIMIT)
    assert ocirt.status("c1") == "running" and ocirt.ok("exec", "c1", "echo", "x").out == "x\n"


# ---- containers of other kinds ----


def own_user(bundle):
    linux = bundle.namespace("user").config["linux"]
    linux["uidMappings"] = linux["gidMappings"] = [{"containerID": 0, "hostID": 200000, "size": 65536}]
    for folder, folders, files in os.walk(bundle.rootfs):
        for name in (".", *folders, *files):
            os.chown(os.path.join(folder, name), 200000, 200000, follow_symlinks=False)
    parents = [bundle.path, *bundle.path.parents]
    for folder in parents[: parents.index(next(p for p in parents if str(p) == "/tmp"))]:
        folder.chmod(folder.stat().st_mode | 0o11)
    bundle.config["process"]["oomScoreAdj"] = 100
    return bundle


def test_a_user_namespace(ocirt, bundle):
    start(ocirt, own_user(bundle))
    with open(f"/proc/{ocirt.state('c1')['pid']}/oom_score_adj") as file:
        assert file.read() == "100\n"
    out = shell(
        ocirt,
        "id -u; cat /proc/self/uid_map; cat /proc/self/oom_score_adj; ls -ld /proc/self | cut -c 1-10; id -G; readlink /proc/self/ns/user",
    )
    lines = out.splitlines()
    assert lines[0] == "0" and lines[1].split() == ["0", "200000", "65536"] and lines[2] == "100" and lines[4] == "0"
    assert lines[5] == os.readlink(f"/proc/{ocirt.state('c1')['pid']}/ns/user")
    assert shell(ocirt, "id -u; id -G", "--user", "7:8", "-g", "9").split() == ["7", "8", "9"]
    assert "setresuid: invalid argument" in refused(ocirt, "--user", "70000:0", "c1", "true")
    ocirt.ok("exec", "-d", "--pid-file", bundle.path / "pid", "c1", "sleep", "60")
    pid = int((bundle.path / "pid").read_text())
    assert os.stat(f"/proc/{pid}").st_uid == 200000 and all(in_cgroup(bundle, pid).values())


def test_the_hosts_pid_namespace(ocirt, bundle):
    """A container without a pid namespace: the process is in its cgroups, so that `delete --force` finds it."""
    start(ocirt, bundle.without_namespace("pid"))
    ocirt.ok("exec", "-d", "--pid-file", bundle.path / "pid", "c1", "sleep", "60")
    pid = int((bundle.path / "pid").read_text())
    assert os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    assert all(in_cgroup(bundle, pid).values())
    ocirt.ok("delete", "--force", "c1")
    assert not os.path.exists(f"/proc/{pid}") or "State:\tZ" in open(f"/proc/{pid}/status").read()


def test_namespaces_joined_by_path(ocirt, bundles):
    """A pod: the second container is in the first one's network, ipc, uts and pid namespaces."""
    ocirt.ok("run", "-d", "--bundle", bundles("pause"), "pause")
    pid = ocirt.state("pause")["pid"]
    bundle = bundles("bundle")
    del bundle.config["hostname"]
    for kind, file in (("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid")):
        bundle.namespace(kind, f"/proc/{pid}/ns/{file}")
    start(ocirt, bundle)
    out = shell(ocirt, "for n in net ipc uts pid mnt; do readlink /proc/self/ns/$n; done").split()
    assert out[:4] == [os.readlink(f"/proc/{pid}/ns/{name}") for name in ("net", "ipc", "uts", "pid")]
    assert out[4] == os.readlink(f"/proc/{ocirt.state('c1')['pid']}/ns/mnt") != os.readlink(f"/proc/{pid}/ns/mnt")


def test_time_and_cgroup_namespaces(ocirt, bundle):
    bundle.namespace("time").namespace("cgroup").config["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000}}
    start(ocirt, bundle)
    out = shell(
        ocirt, "cut -d. -f1 /proc/uptime; cut -d: -f3 /proc/self/cgroup | sort -u; readlink /proc/self/ns/time"
    ).split()
    assert (
        int(out[0]) > 1000000 and out[1] == "/" and out[2] == os.readlink(f"/proc/{ocirt.state('c1')['pid']}/ns/time")
    )


def test_a_root_that_was_moved(ocirt, bundle):
    start(ocirt, bundle, "--no-pivot")
    assert shell(ocirt, "ls -d /bin /usr 2>/dev/null; cat /etc/passwd | head -1", status=0).splitlines()[:2] == [
        "/bin",
        "root:x:0:0:root:/root:/bin/sh",
    ]


def test_without_a_mount_namespace(ocirt, bundle):
    """The root is that of the container's first process, not the host's."""
    bundle.without_namespace("mount").config["mounts"] = []
    bundle.config["linux"].update(maskedPaths=[], readonlyPaths=[])
    bundle.config["root"]["readonly"] = False
    start(ocirt, bundle)
    assert shell(ocirt, "ls /; pwd").splitlines() == sorted(["bin", "dev", "etc", "proc", "root", "sys", "tmp"]) + ["/"]


def test_a_container_of_another_build(ocirt, box):
    """What create stored of config.json and flags is enough."""
    program = ocirt.root / "c1/program"
    data = bytearray(program.read_bytes())
    data[16:48] = b"0" * 32  # the build id
    program.write_bytes(data)
    assert ocirt.ok("exec", "c1", "echo", "x").out == "x\n"


def test_the_bundle_is_not_looked_at_again(ocirt, box):
    (box.path / "config.json").unlink()
    assert ocirt.ok("exec", "c1", "echo", "x").out == "x\n"


# ---- cgroups ----


@pytest.mark.cgroups
def test_it_is_in_all_cgroups_at_once(ocirt, bundle):
    """What the program sees first is its membership."""
    start(ocirt, bundle.without_namespace("cgroup"))
    lines = ocirt.ok("exec", "c1", "cat", "/proc/self/cgroup").out.splitlines()
    assert len(lines) == len(hierarchies()) and {line.split(":", 2)[2] for line in lines} == {OWN}


@pytest.mark.v1
@pytest.mark.cgroups
def test_a_cgroup_beneath_the_containers(ocirt, box):
    for top in hierarchies():
        folder = top / OWN[1:] / "sub"
        folder.mkdir()
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (folder / name).exists():
                (folder / name).write_text((folder.parent / name).read_text())

    def paths(*flags):
        out = ocirt.ok(
            "exec", *[word for flag in flags for word in ("--cgroup", flag)], "c1", "cat", "/proc/self/cgroup"
        ).out
        return {
            name: path
            for _, names, path in (line.split(":", 2) for line in out.splitlines())
            for name in names.split(",")
        }

    assert {path for name, path in paths("sub").items() if name} == {f"{OWN}/sub"}
    found = paths("pids,memory:sub")
    assert found["pids"] == found["memory"] == f"{OWN}/sub" and found["cpu"] == OWN


@pytest.mark.v1
@pytest.mark.cgroups
def test_a_full_pids_cgroup_takes_it(ocirt, bundle):
    """As with runc: the limit is on forks, and what joins does not fork."""
    bundle.config["linux"].setdefault("resources", {})["pids"] = {"limit": 1}
    start(ocirt, bundle)
    assert ocirt.ok("exec", "c1", "echo", "x").out == "x\n"


def freeze(bundle, frozen=True):
    file = CGROUPS / "freezer" / bundle.config["linux"]["cgroupsPath"].lstrip("/") / "freezer.state"
    file.write_text("FROZEN" if frozen else "THAWED")
    end = time.monotonic() + LIMIT
    while file.read_text().strip() != ("FROZEN" if frozen else "THAWED"):
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.v1
@pytest.mark.cgroups
def test_a_paused_container(ocirt, box):
    freeze(box)
    assert "exec failed: cannot exec in a paused container (use --ignore-paused to override)" in refused(
        ocirt, "c1", "true"
    )
    child = subprocess.Popen(
        ocirt.command("exec", "--ignore-paused", "c1", "echo", "awake"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.5)
    freeze(box, False)
    assert child.communicate(timeout=LIMIT)[0] == b"awake\n" and child.returncode == 0


@pytest.mark.v1
@pytest.mark.cgroups
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_exec_that_waits_for_a_paused_container_can_be_ended(ocirt, box, number):
    """Its process does not come to be when the container is resumed."""
    freeze(box)
    child = subprocess.Popen(
        ocirt.command("exec", "--ignore-paused", "c1", "touch", "/tmp/late"), stdin=subprocess.DEVNULL
    )
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.3)
    child.send_signal(number)
    assert child.wait(LIMIT) == -number
    freeze(box, False)
    time.sleep(0.2)
    assert not (box.rootfs / "tmp/late").exists()
    assert len(processes(ocirt)) == 2


@pytest.mark.v1
@pytest.mark.cgroups
def test_delete_of_a_paused_container_ends_an_exec(ocirt, box):
    freeze(box)
    with open(box.path / "err", "w") as err:
        child = subprocess.Popen(
            ocirt.command("exec", "--ignore-paused", "c1", "sleep", "60"), stdin=subprocess.DEVNULL, stderr=err
        )
    time.sleep(0.3)
    ocirt.ok("delete", "--force", "c1")
    # Thawed, it may get as far as its program before the end of init reaches it.
    status = child.wait(LIMIT)
    assert ("the process died before it executed its program" in (box.path / "err").read_text()) == (status == FAILED)
    assert status in (FAILED, 128 + signal.SIGKILL)


# ---- a container that ends, many at once ----


@pytest.mark.parametrize("verb", ["kill", "delete"])
def test_the_end_of_the_container_is_its_end(ocirt, box, verb):
    child = subprocess.Popen(
        ocirt.command("exec", "c1", "sh", "-c", "echo ready > /tmp/ready; sleep 60"), stdin=subprocess.DEVNULL
    )
    enough_output(box.rootfs / "tmp/ready")
    ocirt.ok(*(("kill", "c1", "KILL") if verb == "kill" else ("delete", "--force", "c1")))
    assert child.wait(LIMIT) == 137


def test_fifty_at_once(ocirt, box):
    children = [
        subprocess.Popen(
            ocirt.command("exec", "c1", "echo", str(number)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(50)
    ]
    for number, child in enumerate(children):
        assert child.communicate(timeout=4 * LIMIT) == (f"{number}\n", "") and child.returncode == 0
    assert len(processes(ocirt)) == 2


@pytest.mark.parametrize("without_pid", [False, True])
def test_deleted_while_many_come(ocirt, bundles, without_pid):
    """Each exec runs, or says in one line why not; delete takes everything away."""
    for number in range(6):
        bundle = bundles(f"bundle{number}")
        if without_pid:
            bundle.without_namespace("pid")
        start(ocirt, bundle)
        children = [
            subprocess.Popen(
                ocirt.command("exec", "c1", "true"), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            for _ in range(6)
        ]
        time.sleep(0.02 * number)
        ocirt.ok("delete", "--force", "c1")
        for child in children:
            _, err = child.communicate(timeout=LIMIT)
            assert child.returncode in (0, 137) and err == "" or child.returncode == FAILED and err.count("\n") == 1, (
                child.returncode,
                err,
            )


def test_killed_after_each_step(ocirt, faulty, box, tmp_path):
    """SIGKILL of the runtime at any point: the process has begun, or never does; the container goes on."""
    log = tmp_path / "steps"
    faulty.environment = {"OCIRT_FAULT_LOG": str(log)}
    faulty.ok("exec", "-d", "c1", "true")
    count = len(log.read_text())
    assert count > (20 if V2 else 30)  # v1 has a step for each hierarchy
    for step in range(1, count + 1):
        faulty.environment = {"OCIRT_FAULT": f"exec:{step}:kill"}
        result = faulty("exec", "-d", "c1", "true")
        assert result.status in (-signal.SIGKILL, 0), (step, result)
    end = time.monotonic() + LIMIT
    while len(processes(ocirt)) != 2:
        assert time.monotonic() < end, processes(ocirt)
        time.sleep(0.05)
    assert ocirt.status("c1") == "running"


# ---- hostile containers ----

WAYS = [f"/proc/self/fd/{number}{up}" for number in range(3, 20) for up in ("", "/..", 9 * "/..")]
"""To every directory that might be open, to the one above it, and to the root above that."""


def test_no_directory_of_the_host_through_a_descriptor(ocirt, box):
    """CVE-2024-21626: what is open while the process becomes its program leads nowhere but to the container's root."""
    for way in WAYS:
        result = ocirt("exec", "--cwd", way, "c1", "/bin/pwd")
        assert (result.status, result.out) == (0, "/\n") or result.status == FAILED and "chdir: " in result.err, (
            way,
            result,
        )


@pytest.mark.parametrize("verb", ["exec", "run"])
def test_no_program_of_the_host_through_a_descriptor(ocirt, bundle, verb):
    """The same, for the program: there is no /usr in the container."""
    assert os.path.exists("/usr/bin/env") and not (bundle.rootfs / "usr").exists()
    if verb == "exec":
        start(ocirt, bundle)
    for way in WAYS:
        bundle.args(f"{way}/usr/bin/env").save()
        words = ("exec", "c1", f"{way}/usr/bin/env") if verb == "exec" else ("run", "--bundle", bundle, "c1")
        result = ocirt(*words)
        assert result.status == (FAILED if verb == "exec" else 1) and "/usr/bin/env: stat " in result.err.replace(
            '\\"', ""
        ), (way, result)
