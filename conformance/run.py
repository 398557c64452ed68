"""Runs programs, each as a process in a cell, with a time limit, and reads what they print."""

import concurrent.futures
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field

from . import cells, tap

LIMIT = 90
"""Seconds a program may take; the slowest waits for 30 of its own."""
JOBS = 4
"""Programs at a time: most of their time they sleep."""
NEEDS_HUGETLB = "hugetlb"
"""Programs with this in their name run last and one by one: what they need is active for the whole machine."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Result:
    """What a program said of a runtime.

    :ivar problems: what is wrong with the run as such: it died, timed out, printed no test.
    :ivar errors: the last lines of its standard error.
    """

    program: str
    tests: list[tap.Test] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0
    errors: list[str] = field(default_factory=list)

    def count(self, outcome):
        return sum(test.outcome == outcome for test in self.tests)

    @property
    def outcome(self):
        """``"not ok"``; ``"skip"`` where nothing failed and something was skipped; else ``"ok"``."""
        if self.problems or self.count("not ok"):
            return "not ok"
        return "skip" if self.count("skip") else "ok"


@dataclass(frozen=True)
class Runtime:
    """A runtime to be judged: its column's name, its executable, the lines of its ``--version``."""

    name: str
    path: str
    version: tuple[str, ...]


def runtime(name):
    """The runtime that ``name``, a command of PATH or a path, starts.

    :raises cells.CellError: it does not start.
    """
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{PATH}")
    if path is None:
        raise cells.CellError(f"--runtime: there is no executable {name}")
    path = os.path.abspath(path)
    done = subprocess.run([path, "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30)
    if done.returncode != 0:
        raise cells.CellError(f"--runtime: {name} --version: {done.stderr.strip() or done.returncode}")
    return Runtime(os.path.basename(path), path, tuple(done.stdout.splitlines()))


def clean():
    """Take away what a killed run has left: processes, cgroups, the hugetlb hierarchy."""
    cells.remove()
    cells.release_hugetlb()


def run(suite, runtime, programs, *, jobs=JOBS, limit=LIMIT, done=None):
    """Run ``programs``.

    :param done: called with each :class:`Result` as it comes, in any order.
    :return: the results by program, in the order of ``programs``.
    """
    results = {}

    def one(program):
        result = program_in_cell(suite, runtime, program, limit)
        results[program] = result
        if done:
            done(result)

    last = [each for each in programs if NEEDS_HUGETLB in each]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, [each for each in programs if each not in last]))
    if last:
        with cells.hugetlb():
            for program in last:
                one(program)
    return {program: results[program] for program in programs}


def program_in_cell(suite, runtime, program, limit=LIMIT):
    """One program's :class:`Result`."""
    script = ('cp "$SUITE/runtimetest" "$SUITE/rootfs-amd64.tar.gz" . && exec "$SUITE/$0"')
    start = time.monotonic()
    status, out, err = in_cell(suite, program, ["sh", "-c", script, program], runtime, limit)
    stream = tap.parse(out)
    problems = list(stream.problems)
    if status is None:
        problems.append(f"timed out after {limit} s")
    elif status != 0:
        problems.append(f"exit status {status}" if status > 0 else f"killed by signal {-status}")
    return Result(program, stream.tests, problems, time.monotonic() - start, err.splitlines()[-20:])


def in_cell(suite, name, command, runtime, limit):
    """Run ``command`` in the cell ``name``, with ``RUNTIME``, ``SUITE`` and ``TMPDIR`` in its environment.

    :return: its exit status (``None``: it was ended after ``limit`` seconds), output and errors.
    """
    path = cells.make(name)
    environment = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", "RUNTIME": runtime.path,
                   "SUITE": str(suite.folder), "TMPDIR": "/run/cell/tmp"}
    # Files, not pipes: a container that is left running keeps the streams open.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen([cells.SCRIPT, path, *command], stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=err, env=environment, start_new_session=True)
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            cells.remove(path)
            process.wait()
        return status, _text(out), _text(err)


def _text(file):
    file.seek(0)
    return file.read().decode("utf-8", "replace")
