"""Late binding (docs/architecture.md, "Late binding"): `create --late` leaves the program to `start`."""

import json
import os
import socket
import subprocess
import time

import pytest

from ocirt.library.program import Program
from tests.integration.harness import LIMIT


def late(ocirt, bundle, name="c1", *flags):
    ocirt.ok("create", "--late", "--bundle", bundle.save(), *flags, name)


def started(ocirt, *words, **more):
    """What the container prints whose program is ``words`` (of `start`), until its end."""
    ours, theirs = os.pipe()
    try:
        done = subprocess.run(
            ocirt.command("start", *words),
            stdin=more.pop("stdin", subprocess.DEVNULL),
            stdout=theirs,
            stderr=subprocess.PIPE,
            timeout=LIMIT,
            **more,
        )
        assert done.returncode == 0, done.stderr
    finally:
        os.close(theirs)
    with open(ours) as file:
        return file.read()


def test_start_brings_command_variables_directory_and_streams(ocirt, bundle):
    bundle.config["process"]["env"] = ["PATH=/bin", "KEPT=1", "CHANGED=old"]
    bundle.args("none of this", "exists").save()
    late(ocirt, bundle)
    assert ocirt.status("c1") == "created"
    words = ("--cwd", "/tmp", "--env", "CHANGED=new", "--env", "ADDED=a=b", "c1")
    script = 'read line; echo "$line $KEPT $CHANGED $ADDED $PWD $0 $1"'
    with open(bundle.path / "input", "w+") as file:
        file.write("typed\n"), file.flush(), file.seek(0)
        text = started(ocirt, *words, "--", "sh", "-c", script, "zero", "--cwd", stdin=file)
    assert text == "typed 1 new a=b /tmp zero --cwd\n"
    ocirt.wait_status("c1", "stopped")
    ocirt.ok("delete", "c1")


@pytest.mark.parametrize("env", (None, []))
def test_config_without_variables(ocirt, bundle, env):
    """No other list that is empty gets the variables of start: neither groups nor those of a hook."""
    bundle.config["process"].pop("env")
    if env is not None:
        bundle.config["process"]["env"] = env
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/env", "args": ["env"], "env": []}]}
    late(ocirt, bundle)
    text = started(ocirt, "--env", "ONE=1", "c1", "env")
    assert sorted(text.split()) == ["HOME=/root", "ONE=1"]
    ocirt.wait_status("c1", "stopped")
    assert "Groups:\t \n" in started_again(ocirt, bundle, "cat", "/proc/self/status")


def started_again(ocirt, bundle, *command):
    ocirt.ok("delete", "c1")
    late(ocirt, bundle)
    return started(ocirt, "--env", "ONE=1", "c1", *command)


def test_same_process_as_under_plain_create(ocirt, bundle):
    """The process has the same ids, capabilities, limits and directory, however its program came. (Whether the shell
    sleeps or runs while grep reads its state is chance.)
    """
    process = bundle.config["process"]
    process |= {"user": {"uid": 1000, "gid": 1000, "additionalGids": [5], "umask": 0o27}, "cwd": "/made/for/it"}
    process["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": 5, "hard": 6},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
    ]
    process["noNewPrivileges"] = True
    bundle.config["root"]["readonly"] = False
    script = "grep -v '^\\(State\\|Pid\\|NSpid\\|NSpgid\\|NStgid\\|Tgid\\|NSsid\\|PPid\\|SigQ\\|VmPeak\\|.*ctxt\\|Vm\\|Rss\\|Hugetlb\\)' "
    script += "/proc/1/status; cat /proc/1/limits; echo /proc/1/fd/*; pwd; env; umask"
    outputs = []
    for flags, command in (((), ()), (("--late",), ("sh", "-c", script))):
        bundle.shell(script) if not flags else bundle.args("unused")
        output = bundle.path / f"output{len(outputs)}"
        with open(output, "w") as file, open(os.devnull) as null:
            streams = {"stdin": null, "stdout": file, "stderr": file, "timeout": LIMIT, "check": True}
            subprocess.run(ocirt.command("create", *flags, "--bundle", bundle.save(), "c1"), **streams)
            subprocess.run(ocirt.command("start", "c1", *command), **streams)
        ocirt.wait_status("c1", "stopped")
        ocirt.ok("delete", "c1")
        lines = [
            line for line in output.read_text().splitlines() if not line.startswith(("Vm", "Rss", "Cpus_", "Mems_"))
        ]
        outputs.append(lines)
    assert outputs[0] == outputs[1] and len(outputs[0]) > 40


def test_user_may_open_its_streams_again(ocirt, bundle):
    bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
    late(ocirt, bundle)
    assert started(ocirt, "c1", "sh", "-c", "echo again > /dev/stdout") == "again\n"


REFUSED = (
    (("c1",), "cannot start a late container without a command"),
    (("c1", "--"), "cannot start a late container without a command"),
    (("--cwd", "relative", "c1", "true"), '--cwd: found "relative", expected an absolute path'),
    (("--env", "NAME", "c1", "true"), '--env "NAME": expected NAME=VALUE'),
    (("--env", "=x", "c1", "true"), '--env "=x": expected NAME=VALUE'),
)


@pytest.mark.parametrize("words, message", REFUSED)
def test_refused_before_anything_happens(ocirt, bundle, words, message):
    late(ocirt, bundle)
    assert message.replace('"', '\\"') in ocirt.fails("start", *words)
    assert ocirt.status("c1") == "created"
    assert started(ocirt, "c1", "echo", "works") == "works\n"


ENDED = (
    (("c1", "missing-program"), "executable file not found in $PATH"),
    (("c1", "/etc"), "is a directory: permission denied"),
    (("c1", ""), "executable file not found in $PATH"),
    (("--cwd", "/etc/passwd", "c1", "true"), "process.cwd"),
    (("--cwd", "/" + "d/" * 3000, "c1", "true"), "process.cwd"),
    (("c1", "/bin/" + "x" * 300), "file name too long"),
)


@pytest.mark.parametrize("words, message", ENDED, ids=[words[1][:20] for words, _ in ENDED])
def test_start_checks_what_create_checks(ocirt, bundle, words, message):
    (bundle.rootfs / "etc").mkdir(exist_ok=True)
    (bundle.rootfs / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    bundle.config["root"]["readonly"] = False
    late(ocirt, bundle)
    assert message in ocirt.fails("start", *words)
    ocirt.wait_status("c1", "stopped")
    ocirt.ok("delete", "c1")


def test_arguments_larger_than_the_program_may_have(ocirt, bundle):
    """start has a larger area for arguments than the program: the kernel refuses, and the error says so."""
    bundle.config["process"]["rlimits"] = [{"type": "RLIMIT_STACK", "soft": 131072, "hard": 131072}]
    late(ocirt, bundle)
    said = ocirt.fails("start", "c1", "true", *["x" * 100_000] * 8)
    assert "process.args (800013 bytes) and process.env (" in said and "argument list too long" in said, said


def test_many_large_words(ocirt, bundle):
    late(ocirt, bundle)
    words = ["y" * 100_000] * 12
    text = started(ocirt, "--env", f"BIG={'z' * 100_000}", "c1", "sh", "-c", "echo $# ${#12} ${#BIG}", "sh", *words)
    assert text == "12 100000 100000\n"


def test_plain_create_takes_no_late_values(ocirt, bundle):
    bundle.args("echo", "config").save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    for words in (("c1", "true"), ("--cwd", "/", "c1"), ("--env", "A=1", "c1")):
        assert 'unless \\"create --late\\" has made it' in ocirt.fails("start", *words)
    assert ocirt.status("c1") == "created"
    (bundle.path / "config.json").write_text("{}")
    ocirt.ok("start", "c1")


def test_config_that_changes_after_create_has_no_effect(ocirt, bundle):
    bundle.config["process"]["env"] = ["PATH=/bin", "A=before"]
    late(ocirt, bundle)
    bundle.config["process"]["env"] = ["PATH=/bin", "A=after"]
    bundle.save()
    assert started(ocirt, "c1", "sh", "-c", "echo $A") == "before\n"


def test_nothing_else_runs_in_a_late_container(ocirt, bundle):
    late(ocirt, bundle)
    assert "cannot exec in a late container before start: c1" in ocirt("exec", "c1", "true").err
    ocirt.ok("start", "c1", "sleep", "100")
    ocirt.ok("exec", "c1", "true")
    ocirt.ok("delete", "--force", "c1")


def test_terminal_and_notifying_profile_are_refused(ocirt, bundle):
    bundle.config["process"]["terminal"] = True
    bundle.save()
    message = ocirt.fails("create", "--late", "--console-socket", bundle.path / "socket", "--bundle", bundle, "c1")
    assert "--late: process.terminal: found true, expected false" in message
    bundle.config["process"]["terminal"] = False
    bundle.config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": "/run/agent.sock",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
    }
    assert "--late: linux.seccomp: found SCMP_ACT_NOTIFY" in ocirt.fails(
        "create", "--late", "--bundle", bundle.save(), "c1"
    )
    assert ocirt.ids() == []


def test_hooks_of_start_see_the_late_environment(ocirt, bundle):
    bundle.config["root"]["readonly"] = False
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "echo $A > /tmp/seen"]}]}
    late(ocirt, bundle)
    assert started(ocirt, "--env", "A=late", "c1", "cat", "/tmp/seen") == "late\n"


def test_init_program_of_init_flag(ocirt, bundle):
    late(ocirt, bundle, "c1", "--init")
    assert started(ocirt, "c1", "sh", "-c", "echo $$") == "2\n"


def test_kept_program_serves_both(ocirt, bundle, tmp_path):
    """A program of `create --late` is kept and found like any other, and never serves a plain create."""
    (tmp_path / "cache").mkdir(mode=0o700)
    ocirt.environment = {**os.environ, "OCIRT_CACHE": str(tmp_path / "cache")}
    for number in range(2):
        late(ocirt, bundle.args("echo", "config"), f"late{number}")
        assert started(ocirt, f"late{number}", "echo", str(number)) == f"{number}\n"
        ocirt.wait_status(f"late{number}", "stopped")  # its cgroup is the next one's
    out = ocirt.ok("run", "--bundle", bundle, "plain").out
    assert out == "config\n"


def test_remove_deletes_the_container_at_its_end(ocirt, bundle):
    """With --status-fd and --remove the supervisor reports the end, then deletes the container."""
    reading, writing = os.pipe()
    command = ocirt.command(
        "create", "--late", "--remove", "--status-fd", str(writing), "--bundle", bundle.save(), "c1"
    )
    child = subprocess.Popen(command, pass_fds=(writing,), stdin=subprocess.DEVNULL)
    os.close(writing)
    with open(reading) as lines:
        assert "pid" in json.loads(lines.readline())
        ocirt.ok("start", "c1", "sh", "-c", "exit 7")
        assert json.loads(lines.readline())["exitCode"] == 7
        child.wait(LIMIT)
    assert ocirt.ids() == []


def test_start_killed_at_each_point(ocirt, faulty, bundle):
    """A start that is killed once init has its request leaves a container that runs, or (if the values are missing) has
    ended; `delete --force` removes it.
    """
    seen = set()
    for point in range(1, 12):
        late(ocirt, bundle)
        faulty.environment = {"OCIRT_FAULT": f"start:{point}:kill"}
        killed = faulty("start", "c1", "sleep", "100").status != 0
        time.sleep(0.3)  # an init that has got the whole request goes on without start
        status = ocirt.status("c1")
        seen.add((killed, status))
        ocirt.ok("delete", "--force", "c1")
        assert ocirt.ids() == []
        if not killed:
            break
    assert seen == {(True, "stopped"), (True, "running"), (False, "running")}


def test_message_over_the_socket_of_status_fd_starts_the_program(ocirt, bundle):
    """What the library sends instead of running `start`. A container with hooks has no successor."""
    ours, theirs = socket.socketpair()
    out, into = os.pipe()
    bundle.config["hooks"] = {"poststart": [{"path": "/bin/true"}]}
    words = ("--status-fd", str(theirs.fileno()), "--bundle", bundle.save(), "c1")
    with ours, open(out) as output, open(os.devnull) as null:
        command = ocirt.command("create", "--late", "--renew", "--remove", *words)
        child = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=null)
        theirs.close()
        try:
            reports = ours.makefile()
            began = json.loads(reports.readline())
            message, texts = Program.of(["sh", "-c", "echo $A $PWD; exit 3"], "/tmp", {"A": "1"}).message()
            memfd = os.memfd_create("texts")
            os.write(memfd, texts)
            socket.send_fds(ours, [message], [null.fileno(), into, into, memfd])
            os.close(into), os.close(memfd)
            assert output.read() == "1 /tmp\n"
            started, ended = json.loads(reports.readline()), json.loads(reports.readline())
            assert (started["pid"], ended["exitCode"]) == (began["pid"], 3) and started["clock"] > began["clock"]
            assert reports.readline() == "" and child.wait(LIMIT) == 3
        finally:
            ours.close()
            child.wait(LIMIT)
    assert ocirt.ids() == []
