"""exec: a further process in a container that runs: its exit status and errors, what it is and has, and what it cannot reach."""

import json
import os
import signal
import socket
import subprocess

import pytest

from tests.integration.execs import FAILED, box, process_file, refused, shell, start
from tests.integration.harness import LIMIT

__all__ = ["box"]  # a fixture of the tests here


def status_of(text):
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


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


@pytest.mark.parametrize("asked", [True, False])
def test_no_new_privs_against_the_config(ocirt, bundle, asked):
    """As with runc, =false counts, too; in any of Go's spellings, and the second time by the kept program."""
    bundle.config["process"]["noNewPrivileges"] = not asked
    start(ocirt, bundle)
    command = "grep NoNewPrivs /proc/self/status"
    for flag in ("=true", "=1", "=T") if asked else ("=false", "=0", "=F", "=false"):
        assert shell(ocirt, command, f"--no-new-privs{flag}").split() == ["NoNewPrivs:", str(int(asked))]
    assert shell(ocirt, command).split() == ["NoNewPrivs:", str(int(not asked))]


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
