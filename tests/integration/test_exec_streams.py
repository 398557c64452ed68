"""exec: its streams, terminals, sockets and signals, detached and in the foreground."""

import os
import pty
import signal
import socket
import subprocess
import termios

import pytest

from tests.integration.execs import box, in_cgroup, process_file, refused
from tests.integration.harness import LIMIT, enough_output

__all__ = ["box"]  # a fixture of the tests here


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
