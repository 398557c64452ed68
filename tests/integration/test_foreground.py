"""`run` and `exec` that stay: one loop in which nobody who does not read, or does not answer, holds up the others."""

import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import termios
import time

import pytest

from tests.integration.harness import LIMIT, enough_output

QUICK = LIMIT / 3
"""Seconds in which a foreground verb has to have ended: more than it waits for a reader of its last output."""


@pytest.fixture
def box(ocirt, bundle):
    """A container that runs."""
    bundle.config["root"]["readonly"] = False
    bundle.save()
    ocirt.ok("create", "--bundle", bundle, "c1")
    ocirt.ok("start", "c1")
    return bundle


@pytest.fixture
def console(bundle):
    """A bundle with a terminal."""
    bundle.config["process"]["terminal"] = True
    bundle.config["root"]["readonly"] = False
    return bundle


class Started:
    """A foreground verb with given streams; what it prints is collected by a thread, unless the pipe is to stay unread."""

    def __init__(self, ocirt, *words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, **more):
        self.process = subprocess.Popen(
            ocirt.command(*words), stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, **more
        )

    def term(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self

    def status(self, seconds=QUICK):
        return self.process.wait(seconds)


@pytest.fixture
def start(ocirt):
    """Starts foreground verbs, and ends those that a failed test leaves."""
    started = []

    def begin(*words, **more):
        started.append(Started(ocirt, *words, **more))
        return started[-1]

    yield begin
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
        each.process.wait(LIMIT)


def run_with_terminal(ocirt, words, typed=b"", seconds=QUICK):
    """On a terminal: what it shows until the verb has ended, `typed` being written as fast as it is taken; and the status."""
    master, slave = pty.openpty()
    settings = termios.tcgetattr(slave)
    settings[1] |= termios.OPOST | termios.ONLCR
    termios.tcsetattr(slave, termios.TCSANOW, settings)
    process = subprocess.Popen(ocirt.command(*words), stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
    os.set_blocking(master, False)
    shown, end, status = b"", time.monotonic() + seconds, None
    while status is None or select.select([master], [], [], 0)[0]:
        assert time.monotonic() < end, (len(typed), shown[-200:], process.kill())
        readable, writable, _ = select.select([master], [master] if typed else [], [], 0.05)
        if readable:
            shown += os.read(master, 65536)
        elif writable:
            # Not before it is raw: what comes sooner our own terminal edits as lines.
            if not termios.tcgetattr(slave)[3] & termios.ICANON:
                typed = typed[os.write(master, typed[:4096]) :]
        status = process.poll()
    os.close(master), os.close(slave)
    return shown, status


# ---- much input, much output ----


def test_much_input_by_a_pipe(ocirt, box):
    """More than a terminal's line discipline holds, both ways at once: what is typed is shown, and `cat` says it again."""
    done = subprocess.run(
        ocirt.command("exec", "-t", "c1", "cat"), input=b"y\n" * 3000, capture_output=True, timeout=QUICK
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"y") == 6000


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_much_is_pasted(ocirt, console, bundles, verb):
    lines = b"".join(b"%07d %s\n" % (number, b"x" * 52) for number in range(2000))
    assert len(lines) == 122000
    script = "head -n 2000 > /tmp/pasted"
    if verb == "run":
        console.shell(script).save()
        words = ["run", "--bundle", console, "c1"]
    else:
        console.config["process"]["terminal"] = False
        console.save()
        ocirt.ok("run", "-d", "--bundle", console, "c1")
        words = ["exec", "-t", "c1", "sh", "-c", script]
    shown, status = run_with_terminal(ocirt, words, lines, LIMIT)
    assert status == 0
    assert (console.rootfs / "tmp/pasted").read_bytes() == lines


def test_all_output_is_there_at_the_end(ocirt, console):
    console.shell("seq 1 40000").save()
    done = subprocess.run(
        ocirt.command("run", "--bundle", console, "c1"), stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT
    )
    assert done.returncode == 0 and done.stdout == b"".join(b"%d\n" % number for number in range(1, 40001))


def test_a_slow_reader_gets_all(ocirt, console, start):
    """Longer after the container's end than nobody at all is waited for: as long as something is taken each time."""
    console.shell("seq 1 15000; echo x > /tmp/ended").save()
    child = start("run", "--bundle", console, "c1")
    got = b""
    while chunk := os.read(child.process.stdout.fileno(), 8192):
        got += chunk
        time.sleep(0.3)
    assert child.status() == 0 and got.endswith(b"15000\n") and got.count(b"\n") == 15000


# ---- somebody does not read ----

TRAP = "trap 'exit 43' TERM; echo x > /tmp/ready; while :; do sleep 0.05; done"


def test_a_container_that_does_not_read_its_terminal(ocirt, box, start):
    """SIGTERM and SIGWINCH arrive all the same."""
    script = "trap 'stty size > /tmp/size' WINCH; " + TRAP
    master, slave = pty.openpty()
    child = start("exec", "-t", "c1", "sh", "-c", script, stdin=slave, stdout=slave)
    enough_output(box.rootfs / "tmp/ready")
    flood(master)
    termios.tcsetwinsize(slave, (44, 122))
    child.term(signal.SIGWINCH)
    assert enough_output(box.rootfs / "tmp/size") == "44 122\n"
    assert child.term().status() == 43
    os.close(master), os.close(slave)


def flood(master):
    """Type until nothing is taken any more."""
    os.set_blocking(master, False)
    idle = 0
    while idle < 10:
        try:
            idle = 0 if os.write(master, b"some line\n" * 100) else idle + 1
        except BlockingIOError:
            idle += 1
            time.sleep(0.02)
        if select.select([master], [], [], 0)[0]:
            os.read(master, 65536)


@pytest.mark.parametrize("verb, how", [("run", "signal"), ("exec", "kill")])  # each takes ten seconds
def test_nobody_reads_the_output(ocirt, console, start, verb, how):
    """SIGTERM arrives, and the container's end is seen: its last output is waited for a while, and then said to be lost."""
    script = "trap 'exit 43' TERM; yes & echo x > /tmp/ready; while :; do wait; done"
    if verb == "run":
        console.shell(script).save()
        child = start("run", "--bundle", console, "c1")
    else:
        console.config["process"]["terminal"] = False
        console.save()
        ocirt.ok("run", "-d", "--bundle", console, "c1")
        child = start("exec", "-t", "c1", "sh", "-c", script)
    enough_output(console.rootfs / "tmp/ready")
    time.sleep(0.5)  # until the pipe is full
    if how == "signal":
        assert child.term().status(LIMIT) == 43
    else:
        ocirt.ok("delete", "--force", "c1")
        assert child.status(LIMIT) == 137
    assert b"nobody has read the container's last output" in child.process.stderr.read()
    assert ocirt.ids() == ([] if verb == "run" or how == "kill" else ["c1"])


def test_a_signal_ends_the_wait_for_a_reader(ocirt, console, start):
    console.shell("echo x > /tmp/ready; seq 1 40000").save()
    child = start("run", "--bundle", console, "c1")
    enough_output(console.rootfs / "tmp/ready")
    time.sleep(0.5)
    ocirt.ok("kill", "c1", "KILL")
    time.sleep(0.5)
    began = time.monotonic()
    assert child.term().status() == 137
    assert time.monotonic() - began < 5


def test_the_reader_goes_away(ocirt, console, start):
    """The container's terminal is hung up: its program cannot write any more, and is not left to wait for ever."""
    console.shell("while echo line; do :; done; exit 9").save()
    child = start("run", "--bundle", console, "c1")
    os.read(child.process.stdout.fileno(), 10)
    child.process.stdout.close()
    assert child.status() in (9, 129)


def test_a_container_that_has_closed_its_terminal(ocirt, console, start):
    """Nothing of what is typed can be read any more: that is no reason to look for it all the time."""
    console.shell("exec <&- >&- 2>&-; trap 'exit 43' TERM; echo x > /tmp/ready; while :; do sleep 0.05; done").save()
    master, slave = pty.openpty()
    child = start("run", "--bundle", console, "c1", stdin=slave, stdout=slave)
    enough_output(console.rootfs / "tmp/ready")
    flood(master)
    before = processor_time(child.process.pid)
    time.sleep(2)
    assert processor_time(child.process.pid) - before < 0.5
    assert child.term().status() == 43
    os.close(master), os.close(slave)


def processor_time(pid):
    """Seconds that the process has used."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_status_reader_that_does_not_read(ocirt, bundle, start):
    """Its pipe is full before the first line: signals arrive, and the end is seen."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writing, b"\n" * 4096)
    os.set_blocking(writing, True)
    bundle.config["root"]["readonly"] = False
    bundle.shell(TRAP).save()
    child = start("run", "--status-fd", writing, "--bundle", bundle, "c1", pass_fds=[writing])
    enough_output(bundle.rootfs / "tmp/ready")
    assert child.term().status(LIMIT) == 43
    os.close(reading), os.close(writing)


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs a C compiler")
def test_a_service_manager_that_does_not_answer(ocirt, bundle, start, tmp_path):
    """It takes READY=1, and does not close the pipe of BARRIER=1: only the barrier waits."""
    bundle.config["root"]["readonly"] = False
    program = bundle.path / "notify.c"
    program.write_text("""
#include <string.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
int main(void) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  strcpy(to.sun_path, getenv("NOTIFY_SOCKET"));
  return sendto(socket(AF_UNIX, SOCK_DGRAM, 0), "READY=1", 7, 0, (void *)&to, sizeof to) != 7;
}
""")
    subprocess.run(["gcc", "-static", "-o", bundle.rootfs / "bin/notify", program], check=True, timeout=LIMIT)
    (bundle.rootfs / "run").mkdir()
    bundle.shell("notify; " + TRAP).save()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "manager"))
        manager.settimeout(LIMIT)
        child = start("run", "--bundle", bundle, "c1", env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "manager")})
        while manager.recv(4096) != b"BARRIER=1":
            pass
        enough_output(bundle.rootfs / "tmp/ready")
        began = time.monotonic()
        assert child.term().status() == 43
        assert time.monotonic() - began < 10


@pytest.mark.parametrize("hook", ["createRuntime", "createContainer", "startContainer", "poststart"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_a_hook_hangs(ocirt, bundle, start, tmp_path, hook, number):
    """The program is not there yet, or not all that belongs to its start: the run is ended, and undone."""
    shared = bundle.rootfs / "tmp"
    ready = "/tmp/ready" if hook == "startContainer" else shared / "ready"
    bundle.config["root"]["readonly"] = False
    bundle.config["hooks"] = {hook: [{"path": "/bin/sh", "args": ["sh", "-c", f"echo x > {ready}; exec sleep 600"]}]}
    bundle.config["hooks"]["poststop"] = [{"path": "/bin/sh", "args": ["sh", "-c", f"echo x > {tmp_path / 'stopped'}"]}]
    bundle.save()
    child = start("run", "--bundle", bundle, "c1")
    enough_output(shared / "ready")
    assert child.term(number).status() == 1
    said = child.process.stderr.read().decode()
    assert "ended by a signal to the runtime" in said
    assert ocirt.ids() == [] and (tmp_path / "stopped").exists()


# ---- what a terminal shows ----


def test_lines_on_a_terminal(ocirt, console):
    """As with runc and crun each line begins at the left, however many terminals it has passed."""
    console.shell("echo one; echo two").save()
    assert run_with_terminal(ocirt, ["run", "--bundle", console, "c1"]) == (b"one\r\ntwo\r\n", 0)
    console.config["process"]["terminal"] = False
    console.args("sleep", "60").save()
    ocirt.ok("run", "-d", "--bundle", console, "c1")
    assert run_with_terminal(ocirt, ["exec", "-t", "c1", "sh", "-c", "echo one; echo two"]) == (b"one\r\ntwo\r\n", 0)


def test_a_terminal_shows_what_a_program_of_screens_writes(ocirt, console):
    """Which has the kernel change nothing: a new line is one line down, and no more."""
    console.shell("stty -opost; printf 'one\\ntwo'").save()
    assert run_with_terminal(ocirt, ["run", "--bundle", console, "c1"]) == (b"one\ntwo", 0)


def test_lines_in_a_pipe(ocirt, console):
    console.shell("echo one; echo two").save()
    done = subprocess.run(
        ocirt.command("run", "--bundle", console, "c1"), stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT
    )
    assert done.stdout == b"one\ntwo\n"


# ---- standard input that is no terminal ----


@pytest.mark.parametrize("verb", ["run", "exec"])
@pytest.mark.parametrize("typed, printed", [(b"", b""), (b"echo $((40 + 2))\n", b"42"), (b"echo $((40 + 2))", b"42")])
def test_a_shell_sees_the_end_of_the_input(ocirt, console, verb, typed, printed):
    """It switches its terminal to single characters and back, and so may lose an end that came sooner."""
    if verb == "run":
        console.args("sh").save()
        words = ["run", "--bundle", console, "c1"]
    else:
        console.config["process"]["terminal"] = False
        console.save()
        ocirt.ok("run", "-d", "--bundle", console, "c1")
        words = ["exec", "-t", "c1", "sh"]
    done = subprocess.run(ocirt.command(*words), input=typed, capture_output=True, timeout=QUICK)
    assert (done.returncode, done.stderr) == (0, b"")
    assert printed in done.stdout


def test_a_line_that_is_not_whole(ocirt, box):
    done = subprocess.run(
        ocirt.command("exec", "-t", "c1", "sh", "-c", "stty -echo; cat"),
        input=b"abc",
        capture_output=True,
        timeout=QUICK,
    )
    assert done.returncode == 0 and done.stdout.endswith(b"abc")


def test_sigterm_ends_a_run_without_input(ocirt, console, start):
    console.shell(TRAP).save()
    child = start("run", "--bundle", console, "c1")
    enough_output(console.rootfs / "tmp/ready")
    assert child.term().status() == 43


def test_a_file_is_read_and_written_where_it_stands(ocirt, box, tmp_path):
    """A descriptor of its own would begin at the file's first byte."""
    (tmp_path / "in").write_bytes(b"first\nsecond\n")
    (tmp_path / "out").write_bytes(b"before\n")
    with open(tmp_path / "in", "rb", buffering=0) as given, open(tmp_path / "out", "r+b", buffering=0) as taken:
        given.read(6), taken.seek(0, os.SEEK_END)
        subprocess.run(
            ocirt.command("exec", "-t", "c1", "sh", "-c", "stty -echo; cat"),
            stdin=given,
            stdout=taken,
            check=True,
            timeout=LIMIT,
        )
    assert (tmp_path / "out").read_bytes() in (b"before\nsecond\n", b"before\nsecond\nsecond\n")


@pytest.mark.parametrize("kind", ["pipe", "terminal", "socket"])
def test_the_callers_descriptors_still_block(ocirt, box, start, kind):
    """O_NONBLOCK is of the open file description, which the shell has, too. A socket cannot be opened again: it has the flag
    while the verb is at work, and not after."""
    pairs = {
        "pipe": os.pipe,
        "terminal": pty.openpty,
        "socket": lambda: tuple(end.detach() for end in socket.socketpair()),
    }
    one, two = pairs[kind]()
    given = one if kind == "pipe" else two
    child = start(
        "exec", "-t", "c1", "sh", "-c", TRAP, stdin=given, stdout=given if kind != "pipe" else subprocess.PIPE
    )
    enough_output(box.rootfs / "tmp/ready")
    assert os.get_blocking(given) or kind == "socket"
    assert child.term().status() == 43
    assert os.get_blocking(given)
    os.close(one), os.close(two)


# ---- the runtime's other children ----


def children(pid):
    """Name and state of each child of the process."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                head, _, rest = file.read().rpartition(") ")
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, parent, *_ = rest.split()
        if int(parent) == pid:
            found.append((head.partition("(")[2], state))
    return found


def test_the_python_that_has_compiled_leaves_no_zombie(start, box):
    """Python ends while the process of a foreground exec runs, and the runtime takes notice of it."""
    verb = start("exec", "--no-cache", "c1", "sleep", "100")
    end = time.monotonic() + QUICK
    while children(verb.process.pid) != [("sleep", "S")]:
        assert time.monotonic() < end, children(verb.process.pid)
        time.sleep(0.05)
    verb.term(signal.SIGKILL)
