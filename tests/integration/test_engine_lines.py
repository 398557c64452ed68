"""The command lines that engines were seen to send (shared/ENGINES.md), as they are written there, in an engine's order: exit
status 0, standard error empty, nothing in the log. And the texts and files that engines read."""

import array
import json
import os
import socket
import subprocess

import pytest

from tests.integration.harness import LIMIT, Runtime


class Engine:
    """What calls the runtime in its own way.

    :ivar log: the file of ``--log``.
    :param options: global flags before each verb that gets a log, and before each other one.
    """

    def __init__(self, ocirt, place, with_log, without=()):
        self.ocirt, self.log, self.with_log, self.without = ocirt, place / "log", with_log, without
        self.log.touch()

    def __call__(self, *words, log=False, **more):
        options = [str(self.log) if word == "F" else word for word in (self.with_log if log else self.without)]
        result = self.ocirt.ok(*words, options=options, **more)
        # With --debug the verbs say which steps they carry out.
        said = [line for line in result.err.splitlines() if "--debug" not in options or "level=debug" not in line]
        assert said == [] and self.log.read_text() == "", (words, result, self.log.read_text())
        return result.out

    def refused(self, *words):
        """The one object in the log, of a call that fails."""
        options = [str(self.log) if word == "F" else word for word in self.with_log]
        result = self.ocirt(*words, options=options)
        entry = json.loads(self.log.read_text())  # of two objects it would be an error
        self.log.write_text("")
        assert result.status == 1 and entry["level"] == "error" and result.err == entry["msg"] + "\n", result
        return entry


@pytest.fixture
def console(tmp_path):
    """The socket of ``--console-socket``: its path, and a call that takes the terminal that came, and keeps it."""
    taken = []

    class Console:
        path = tmp_path / "console"

        def take(self):
            connection, _ = listener.accept()
            with connection:
                _, (right,), _, _ = connection.recvmsg(64, socket.CMSG_SPACE(4))
            taken.append(array.array("i", right[2])[0])

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(Console.path))
        listener.listen()
        listener.settimeout(LIMIT)
        yield Console()
    for terminal in taken:
        os.close(terminal)


def process_file(tmp_path, bundle, **changes):
    (tmp_path / "process.json").write_text(json.dumps({**bundle.config["process"], "args": ["sleep", "60"], **changes}))
    return tmp_path / "process.json"


def pid_in(file):
    pid = int(file.read_text())
    assert os.path.exists(f"/proc/{pid}")
    return pid


@pytest.mark.cgroups
def test_podman(ocirt, bundle, tmp_path, console):
    call = Engine(ocirt, tmp_path, ("--log-format=json", "--log", "F"))
    pid_file = tmp_path / "pid"
    assert "ocirt version " in call("--version")
    call("create", "--bundle", bundle, "--pid-file", pid_file, "c1", log=True)
    call("start", "c1")
    assert pid_in(pid_file) == ocirt.state("c1")["pid"]
    process = process_file(tmp_path, bundle)
    call("exec", "--pid-file", tmp_path / "e1", "--process", process, "--detach", "c1", log=True)
    pid_in(tmp_path / "e1")
    call(
        "exec",
        "--pid-file",
        tmp_path / "e2",
        "--process",
        process_file(tmp_path, bundle, terminal=True),
        "--detach",
        "--tty",
        "--console-socket",
        console.path,
        "c1",
        log=True,
    )
    console.take()
    command = ocirt.command(
        "exec",
        "--pid-file",
        tmp_path / "e3",
        "--process",
        process_file(tmp_path, bundle),
        "--detach",
        "--preserve-fds",
        "1",
        "c1",
    )
    with_three = ["sh", "-c", 'exec 3</dev/null; exec "$@"', "sh"]
    done = subprocess.run(
        with_three + command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=LIMIT,
    )
    assert done.returncode == 0 and os.readlink(f"/proc/{pid_in(tmp_path / 'e3')}/fd/3") == "/dev/null"
    call("pause", "c1")
    call("resume", "c1")
    (tmp_path / "resources").write_text('{"pids":{"limit":50}}')
    call("update", f"--resources={tmp_path / 'resources'}", "c1")
    call("kill", "--all", "c1", "15")
    call("kill", "c1", "9")
    ocirt.wait_status("c1", "stopped")
    call("delete", "--force", "c1")
    call("delete", "--force", "c1")


@pytest.mark.cgroups
def test_podman_with_a_terminal_and_debug(ocirt, bundle, tmp_path, console):
    call = Engine(ocirt, tmp_path, ("--log-format=json", "--log", "F", "--cgroup-manager", "disabled"), ("--debug",))
    bundle.config["process"]["terminal"] = True
    # podman always has rules for devices, which nothing applies without a cgroup: a warning in the log.
    bundle.config["linux"]["resources"].pop("devices")
    bundle.save()
    call("create", "--bundle", bundle, "--pid-file", tmp_path / "pid", "--console-socket", console.path, "c1", log=True)
    console.take()
    call("start", "c1")
    call("delete", "--force", "c1")
    bundle.config["linux"]["resources"]["devices"] = [{"allow": False, "access": "rwm"}]
    bundle.save()
    ocirt.ok(
        "create",
        "--bundle",
        bundle,
        "--console-socket",
        console.path,
        "c1",
        options=(*call.with_log[:1], "--log", str(call.log), *call.with_log[3:]),
    )
    console.take()
    assert "linux.resources.devices" in json.loads(call.log.read_text())["msg"]
    call.log.write_text("")
    call("delete", "--force", "c1")
    bundle.config["process"]["terminal"] = False
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "--pid-file", tmp_path / "pid", "c2", options=["--debug"])
    call("start", "c2")
    call("delete", "--force", "c2")


@pytest.mark.cgroups
def test_buildah(ocirt, bundle, tmp_path, console):
    call = Engine(ocirt, tmp_path, ())
    call("create", "--bundle", bundle, "--pid-file", tmp_path / "pid", "--no-new-keyring", "c1")
    call("start", "c1")
    assert json.loads(call("state", "c1"))["status"] == "running"
    call("kill", "c1", "SIGKILL")
    ocirt.wait_status("c1", "stopped")
    assert json.loads(call("state", "c1"))["status"] == "stopped"
    call("delete", "c1")
    bundle.config["process"]["terminal"] = True
    bundle.save()
    call("create", "--bundle", bundle, "--pid-file", tmp_path / "pid", "--console-socket", console.path, "c1")
    console.take()


@pytest.mark.cgroups
def test_shim(ocirt, bundle, tmp_path, console):
    """containerd-shim-runc-v2: of dockerd, ctr and the CRI."""
    shim = Engine(Runtime(ocirt.executable, ocirt.root / "moby"), tmp_path, ("--log", "F", "--log-format", "json"))

    def call(*words, **more):
        return shim(*words, log=True, **more)

    call("create", "--bundle", bundle, "--pid-file", tmp_path / "pid", "c1")
    call("start", "c1")
    process = process_file(tmp_path, bundle)
    call("exec", "--process", process, "--detach", "--pid-file", tmp_path / "e1", "c1")
    call(
        "exec",
        "--process",
        process_file(tmp_path, bundle, terminal=True),
        "--console-socket",
        console.path,
        "--detach",
        "--pid-file",
        tmp_path / "e2",
        "c1",
    )
    console.take()
    call("pause", "c1")
    call("resume", "c1")
    assert {pid_in(tmp_path / name) for name in ("pid", "e1", "e2")} <= set(
        json.loads(call("ps", "--format", "json", "c1"))
    )
    (tmp_path / "resources").write_text('{"cpu":{"shares":200},"pids":{"limit":50}}')
    with open(tmp_path / "resources") as file:
        call("update", "--resources", "-", "c1", stdin=file)
    call("kill", "--all", "c1", "9")
    shim.ocirt.wait_status("c1", "stopped")
    call("kill", "--all", "c1", "9")  # the CRI's most frequent call
    call("delete", "c1")
    bundle.config["process"]["terminal"] = True
    bundle.save()
    call("create", "--bundle", bundle, "--pid-file", tmp_path / "pid", "--console-socket", console.path, "c1")
    console.take()
    call("kill", "c1", "9")
    call("delete", "--force", "c1")
    ocirt.root.joinpath("moby").rmdir()


def test_after_a_failed_create(ocirt, bundle, tmp_path):
    """Engines still call delete --force, and read why from the log."""
    shim = Engine(ocirt, tmp_path, ("--log", "F", "--log-format", "json"))
    bundle.args("nosuch").save()
    assert (
        "executable file not found in $PATH"
        in shim.refused("create", "--bundle", bundle, "--pid-file", tmp_path / "pid", "c1")["msg"]
    )
    assert not (tmp_path / "pid").exists()
    shim("delete", "--force", "c1", log=True)


def test_buildkit(ocirt, bundle, tmp_path):
    """run, without --root: states lie in /run/ocirt, here a file system of the test's own."""
    os.makedirs("/run/ocirt", mode=0o700, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", "/run/ocirt"], check=True, timeout=LIMIT)
    try:
        bundle.args("echo", "built").save()
        done = subprocess.run(
            [ocirt.executable, "--log", tmp_path / "log", "--log-format", "json", "run", "--bundle", str(bundle), "c1"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            env={"PATH": os.environ["PATH"]},
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "built\n", "")
        assert (tmp_path / "log").read_text() == ""  # there from the start, as with runc
        assert os.listdir("/run/ocirt") == []
    finally:
        subprocess.run(["umount", "/run/ocirt"], check=True, timeout=LIMIT)


def test_without_a_root(ocirt):
    """`features` and `--version` look at no state directory. Docker reads the lines that have "version" in them, and the commit."""
    for words in (("features",), ("--version",)):
        done = subprocess.run(
            [ocirt.executable, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT, env={}
        )
        assert done.returncode == 0 and done.stderr == "", done
    versions = [line for line in done.stdout.splitlines() if "version" in line]
    commits = [line for line in done.stdout.splitlines() if line.startswith("commit: ")]
    assert (
        len(versions) == len(commits) == 1 and versions[0].startswith("ocirt version ") and len(commits[0].split()) == 2
    )


def test_texts(ocirt, bundle, tmp_path):
    """What engines look for in messages."""
    shim = Engine(ocirt, tmp_path, ("--log", "F", "--log-format", "json"))
    for verb in ("state", "start", "kill", "delete", "pause", "resume", "ps"):
        assert "container does not exist" in shim.refused(verb, "c1")["msg"]
    shim("create", "--bundle", bundle, "c1", log=True)
    assert "container already exists" in shim.refused("create", "--bundle", bundle, "c1")["msg"]
    shim("kill", "c1", "9", log=True)
    ocirt.wait_status("c1", "stopped")
    for verb in ("kill", "pause"):
        assert "container not running" in shim.refused(verb, "c1")["msg"]
    for args, text in (
        (["nosuch"], "executable file not found in $PATH"),
        (["/nosuch"], "no such file or directory"),
        (["/etc/passwd"], "permission denied"),
    ):
        bundle.args(*args).save()
        assert text in shim.refused("create", "--bundle", bundle, "c2")["msg"]


def test_a_process_that_ends_under_kill(ocirt, bundle):
    """Between the look at it and the signal: the kernel says ESRCH, engines look for either text."""
    ocirt.ok("create", "--bundle", bundle, "c1")
    done = subprocess.run(
        [
            "strace",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "trace=pidfd_send_signal",
            "-e",
            "inject=pidfd_send_signal:error=ESRCH",
            *ocirt.command("kill", "c1", "15"),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 1 and "container not running" in done.stderr and "no such process" in done.stderr, done


def test_one_object_though_there_was_a_warning(ocirt, bundle, tmp_path):
    """podman reads the whole file as one: warnings of a verb that fails stand in the error's object."""
    shim = Engine(ocirt, tmp_path, ("--log", "F", "--log-format", "json"))
    bundle.config["process"]["capabilities"]["bounding"] += ["CAP_NONSENSE"]
    bundle.config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "no"}
    bundle.save()
    for _ in range(2):
        entry = shim.refused("create", "--bundle", bundle, "c1")
        assert (
            "net.ipv4.ip_forward" in entry["msg"]
            and len(entry["warnings"]) == 1
            and "CAP_NONSENSE" in entry["warnings"][0]
        )
    del bundle.config["linux"]["sysctl"]
    bundle.save()
    (tmp_path / "log").write_text("before\n")
    result = ocirt.ok("create", "--bundle", bundle, "c1", options=("--log", tmp_path / "log", "--log-format", "json"))
    before, warning = (tmp_path / "log").read_text().splitlines()
    assert before == "before" and json.loads(warning)["level"] == "warning" and result.err == ""
