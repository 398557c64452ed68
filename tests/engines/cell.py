"""Cells: each engine under test runs in namespaces and cgroups of its own (cell.sh), where all its default paths are
free.

Whatever an engine makes there (daemons, mounts, bridges, files in /etc) ends when the cell is closed. A test that
checks what the engine itself removes must ask before that (:meth:`Cell.left`).
"""

import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from conformance import cells

PARENT = os.environ.get("OCIRT_TEST_PARENT", "/ocirt-test") + "-engines"
SUFFIX = "-proof" if "OCIRT_TEST_ENGINES_PROOF" in os.environ else ""
"""The end of the cells' names, while another run has cells with the same names (proof.py)."""
HERE = Path(__file__).parent
LIMIT = 60
"""The most seconds for a command of an engine; the slowest takes a quarter of this on a busy machine."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {
    "PATH": PATH,
    "HOME": "/run/home",
    "LANG": "C.UTF-8",
    "TERM": "xterm",
    "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",  # newer podmans write it to standard error, which tests compare
}
V2_FILES = {
    "memory.limit_in_bytes": "memory.max",
    "memory.soft_limit_in_bytes": "memory.low",
    "freezer.state": "cgroup.freeze",
}
"""The files of cgroup v2 for those of v1 that have the same content."""
FROZEN = {"0": "THAWED", "1": "FROZEN"}


class CellError(AssertionError):
    """A command in a cell failed."""


class Result:
    """The result of a command: ``status``, and ``out`` and ``err`` as text."""

    def __init__(self, words, status, out, err):
        self.words, self.status, self.out, self.err = words, status, out, err

    def __repr__(self):
        return f"{' '.join(map(str, self.words))}\nstatus {self.status}\nstdout: {self.out}\nstderr: {self.err}"


class Cell:
    """One cell. A context manager; ``name`` is unique among the cells of this machine's test runs at one time."""

    def __init__(self, name):
        self.name = name
        self.cgroup = cells.make(name + SUFFIX, PARENT)
        self.daemons = []
        # The cell's first process is a child of unshare, and ends with it.
        self.process = subprocess.Popen(
            [HERE / "cell.sh", self.cgroup], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        if self.process.stdout.readline() != "ready\n":
            self.close()
            raise CellError(f"the cell {name} cannot be made")
        self.pid = int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text())
        self.pidfd = os.pidfd_open(self.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """End all processes of the cell and remove its cgroups."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        for daemon in self.daemons:
            daemon.wait(LIMIT)
        cells.remove(self.cgroup)

    def path(self, path):
        """A path of the cell, as this process sees it."""
        return Path(f"/proc/{self.pid}/root{path}")

    def write(self, path, text, mode=0o644):
        """Write a file of the cell, and make its parent folders."""
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def command(self, *words, limit=LIMIT, env=None):
        """The words that run ``words`` in the cell from outside, ended after ``limit`` seconds."""
        inner = {**ENVIRONMENT, **(env or {})}
        return [
            str(HERE / "enter.sh"),
            str(self.pid),
            self.cgroup,
            "env",
            "-i",
            *(f"{name}={value}" for name, value in inner.items()),
            "timeout",
            "--foreground",
            "--kill-after=2",
            str(limit),
            *map(str, words),
        ]

    def __call__(self, *words, limit=LIMIT, env=None, input=None):
        """Run a command until it ends.

        :param input: text for standard input; by default it is /dev/null.
        """
        # Files, not pipes: processes that the command leaves behind may keep the streams open.
        with (
            tempfile.TemporaryFile("w+") as out,
            tempfile.TemporaryFile("w+") as err,
            tempfile.TemporaryFile("w+") as stdin,
        ):
            stdin.write(input or "")
            stdin.seek(0)
            done = subprocess.run(
                self.command(*words, limit=limit, env=env), stdin=stdin, stdout=out, stderr=err, timeout=limit + 20
            )
            out.seek(0), err.seek(0)
            return Result(words, done.returncode, out.read(), err.read())

    def ok(self, *words, **more):
        """Run a command that must succeed.

        :returns: its output, without the last newline.
        """
        result = self(*words, **more)
        if result.status != 0:
            raise CellError(result)
        return result.out.rstrip("\n")

    def daemon(self, *words, log, env=None):
        """Start a background process; its output goes to ``log``, a file in the cell."""
        self.write(log, "")
        with open(self.path(log), "w") as file:
            process = subprocess.Popen(
                self.command(*words, env=env, limit=3600),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.daemons.append(process)
        return process

    def terminal(self, *words, limit=LIMIT, env=None, typed=""):
        """Run a command with a terminal of its own.

        :param typed: what a person types, once the command has printed something.
        :returns: a :class:`Result` whose ``out`` is what the terminal showed, with plain line ends.
        """
        master, slave = os.openpty()
        process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *self.command(*words, limit=limit, env=env)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        shown = b""
        while True:
            try:
                some = os.read(master, 65536)
            except OSError:  # EIO: the last process has closed it
                break
            if not some:
                break
            shown += some
            if typed:
                os.write(master, typed.encode())
                typed = ""
        os.close(master)
        return Result(words, process.wait(limit + 20), re.sub("\r+\n", "\n", shown.decode(errors="replace")), "")

    # ---- the content of the cell ----

    def hierarchies(self):
        return [top for top in cells.hierarchies() if (Path(f"{top}{self.cgroup}")).exists()]

    def cgroups(self):
        """Paths of all cgroups below the cell's own, as the cell sees them, once each."""
        found = set()
        for top in self.hierarchies():
            root = f"{top}{self.cgroup}"
            found |= {folder[len(root) :] for folder, _, _ in os.walk(root) if folder != root}
        return sorted(found)

    def cgroup_of(self, pid, controller):
        """The folder, as this process sees it, of the cgroup of the cell's process ``pid``."""
        lines = self.path(f"/proc/{pid}/cgroup").read_text().splitlines()
        paths = {names: path for _, names, path in (line.split(":", 2) for line in lines)}
        if cells.kind() == "v2":
            return Path(f"{cells.TOP}{paths['']}")
        for names, path in paths.items():
            if controller in names.split(","):
                return Path(f"{cells.TOP}/{controller}{path}")
        raise CellError(f"no hierarchy {controller}")

    def in_cgroup(self, pid, controller, file):
        """The text of a file of cgroup v1 of the cell's process ``pid``; with cgroup v2 alone, of the one for it there."""
        folder = self.cgroup_of(pid, controller)
        if cells.kind() == "v1":
            return (folder / file).read_text().strip()
        text = (folder / V2_FILES.get(file, file)).read_text().strip()
        return FROZEN[text] if file == "freezer.state" else text

    def processes(self):
        """Command lines of all processes except the cell's first and kernel threads, by pid."""
        found = {}
        for folder in self.path("/proc").iterdir():
            if folder.name.isdigit() and folder.name != "1":
                try:
                    line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                except OSError:
                    continue
                if line:
                    found[int(folder.name)] = line
        return found

    def mounts(self):
        return [line.split()[4] for line in self.path("/proc/1/mountinfo").read_text().splitlines()]

    def left(self):
        """What runtimes and engines may leave behind: cgroups, mounts, processes and states of runtimes. The mount of
        podman's storage is excluded: with runc too, it depends on which of two podman processes ends first.
        """
        mounts = [path for path in self.mounts() if not path.endswith("/containers/storage/overlay")]
        states = [str(path) for root in ("/run/ocirt", "/run/runc") for path in self.path(root).glob("*")]
        return {
            "cgroups": self.cgroups(),
            "mounts": mounts,
            "processes": sorted(self.processes().values()),
            "states": states,
        }


def until(condition, what, seconds=LIMIT / 2):
    """Wait until ``condition()`` returns something true, and return that."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise CellError(f"waited {seconds} seconds for: {what}")
        time.sleep(0.02)
    return found


def end(process, limit=20):
    """End a daemon that :meth:`Cell.daemon` has started, by SIGTERM, then by SIGKILL."""
    if process.poll() is not None:
        return
    # nsenter, which has one child: timeout(1), which passes the signal on.
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for number, patience in ((signal.SIGTERM, limit), (signal.SIGKILL, 5)):
        for child in children:
            pidfd = os.pidfd_open(int(child))
            signal.pidfd_send_signal(pidfd, number)
            os.close(pidfd)
        try:
            process.wait(patience)
            return
        except subprocess.TimeoutExpired:
            continue
    raise CellError(f"{process.args} does not end")
