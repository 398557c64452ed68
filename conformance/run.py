"""Runs programs, each as a process in a cell, with a time limit, and reads their output."""

from __future__ import annotations

import concurrent.futures
import math
import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from . import cells, tap
from .build import Suite

LIMIT = 90 * cells.SLOWNESS
"""The most seconds for a program; the slowest sleeps for 30 itself."""
JOBS = 4
"""Programs at a time: they sleep most of the time."""
NEEDS_HUGETLB = "hugetlb"
"""Programs with this in their name run last and one by one, because they need a controller that is active for the whole
machine."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SPY = Path(__file__).with_name("spy.sh")
PAUSE = 0.3 * cells.SLOWNESS
PACED = {
    "killsig": {"before_kill": f"sleep {PAUSE}"},
    "pidfile": {"before_create": """sed -i 's/"true"/"sleep", "30"/' "$bundle/config.json" """},
    "poststart": {"before_create": f"""sed -i "s/echo 'post-start called'/sleep {PAUSE}; &/" "$bundle/config.json" """},
}
"""Programs that race with the container that they start, and what the spy does to prevent that.

killsig sends a signal as soon as the container is running, perhaps before its shell has executed its first command,
``trap``. pidfile kills a container whose program, ``true``, may have ended by itself, and then treats the necessary
error as a failure. poststart expects what the container's shell writes before what the shell of its hook writes: both
have been started, in this order, and neither waits for the other.
"""
OF_RUNTIMETEST = b"util.RuntimeInsideValidate"
"""The function of the programs that run runtimetest in a container and give it ten seconds. Their executables name it."""
UNHURRIED = {"after_start": """while "$REAL" state "$2" | grep -q '"running"'; do sleep 0.1; done"""}
"""How the spy returns from start when the container has ended."""
OF_HURRIED_HOOKS = "hooks_stdin"
"""The program that gives each of its hooks one second."""


@dataclass
class Result:
    """What a program reported about a runtime.

    :ivar problems: what is wrong with the run itself: it died, timed out, printed no test.
    :ivar complaints: errors that it reported without a test.
    :ivar errors: the last lines of its standard error.
    """

    program: str
    tests: list[tap.Point] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    seconds: float = 0.0
    errors: list[str] = field(default_factory=list)

    def count(self, outcome: str) -> int:
        return sum(test.outcome == outcome for test in self.tests)

    def failures(self) -> list[str]:
        """Each failure once, with its count: in the words of the specification, or of the program."""
        found = [*self.problems, *self.complaints, *[each for test in self.tests for each in test.failures()]]
        return [text if count == 1 else f"{text} ({count} times)" for text, count in Counter(found).items()]


@dataclass(frozen=True)
class Runtime:
    """A runtime under test: its column's name, its executable, the lines of its ``--version``."""

    name: str
    path: str
    version: tuple[str, ...]


def runtime(name: str) -> Runtime:
    """The runtime ``name``, a command of PATH or a path.

    :raises cells.CellError: it does not start.
    """
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{PATH}")
    if path is None:
        raise cells.CellError(f"--runtime: found no executable {name}")
    path = os.path.abspath(path)
    done = subprocess.run(
        [path, "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=3 * cells.LIMIT
    )
    if done.returncode != 0:
        raise cells.CellError(f"--runtime: {name} --version: {done.stderr.strip() or done.returncode}")
    return Runtime(os.path.basename(path), path, tuple(done.stdout.splitlines()))


def clean() -> None:
    """Remove what a killed run has left: processes, cgroups, the hugetlb hierarchy."""
    cells.remove()
    cells.release_hugetlb()


def run(
    suite: Suite,
    runtime: Runtime,
    programs: Sequence[str],
    *,
    jobs: int = JOBS,
    limit: float = LIMIT,
    within: float = math.inf,
    done: Callable[[Result], None] | None = None,
) -> dict[str, Result]:
    """Run ``programs``.

    :param within: no program starts later than so many seconds from now.
    :param done: called with each :class:`Result` when it is available, in any order.
    :return: the results by program, in the order of ``programs``; without those that did not start.
    """
    results: dict[str, Result] = {}
    end = time.monotonic() + within

    def one(program: str) -> None:
        if time.monotonic() > end:
            return
        results[program] = result = program_in_cell(suite, runtime, program, limit)
        if done:
            done(result)

    last = [each for each in programs if NEEDS_HUGETLB in each]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        list(pool.map(one, [each for each in programs if each not in last]))
    if last:
        try:
            with cells.hugetlb():
                for program in last:
                    one(program)
        except cells.CellError as error:
            results.update({each: Result(each, problems=[str(error)]) for each in last if each not in results})
    return {program: results[program] for program in programs if program in results}


def unhurried(suite: Suite, program: str) -> dict[str, str]:
    """What the spy does to give runtimetest and hooks all the time that they need, on a machine that is said to be slow."""
    if cells.SLOWNESS == 1:
        return {}
    if program == OF_HURRIED_HOOKS:
        return {"before_create": f"""sed -i 's/"timeout": 1$/"timeout": {cells.SLOWNESS}/' "$bundle/config.json" """}
    return UNHURRIED if OF_RUNTIMETEST in (suite.folder / program).read_bytes() else {}


def program_in_cell(suite: Suite, runtime: Runtime, program: str, limit: float = LIMIT) -> Result:
    """The :class:`Result` of one program."""
    hooks = {**PACED.get(program, {}), **unhurried(suite, program)}
    more = {"RUNTIME": str(SPY), **hooks} if hooks else {}
    start = time.monotonic()
    status, out, err = in_cell(suite, program, f'exec "$SUITE/{program}"', runtime, limit, more)
    output = tap.parse(out)
    errors = err.splitlines()[-20:]
    problems = list(output.problems)
    if status is None:
        problems.append(f"timed out after {limit} s")
    elif status != 0:
        how = f"exit status {status}" if status > 0 else f"killed by signal {-status}"
        problems.append(how + _last_words(errors))
    return Result(program, output.tests, problems, output.complaints, time.monotonic() - start, errors)


def _last_words(errors: Sequence[str]) -> str:
    """The sentence of the specification with which a program died: the line before the one with the reference."""
    for line, following in zip(errors, errors[1:]):
        if following.startswith("Refer to: "):
            return f": {line}"
    return ""


def in_cell(
    suite: Suite, name: str, script: str, runtime: Runtime, limit: float, more: Mapping[str, str] | None = None
) -> tuple[int | None, str, str]:
    """Run the shell ``script`` in the cell ``name``, in a folder with the files that programs look for. Its environment
    has SUITE, SPY, TMPDIR, RUNTIME and, for the spy, REAL, and ``more``.

    :return: its exit status (``None``: it was ended after ``limit`` seconds), output and errors.
    """
    path = cells.make(name)
    environment = {
        "PATH": PATH,
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "TMPDIR": "/run/cell/tmp",
        "SPY": str(SPY),
        "SUITE": str(suite.folder),
        "RUNTIME": runtime.path,
        "REAL": runtime.path,
        **(more or {}),
    }
    script = f'cp "$SUITE/runtimetest" "$SUITE/{suite.rootfs}" .\n{script}'
    # Files, not pipes: a container that still runs keeps the streams open.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            [cells.SCRIPT, path, "sh", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=environment,
            start_new_session=True,
        )
        try:
            status: int | None = process.wait(limit)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            cells.remove(path)
            process.wait()
        return status, _text(out), _text(err)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")
