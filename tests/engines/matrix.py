"""Side by side: the same commands of every engine once with runc and once with ocirt, each in a fresh cell. In a root of
hack/engines-root crun is a second reference: ocirt must do what one of the two does.

    python -m tests.engines.matrix [ENGINE...]      (in a private mount namespace; hack/test --engines runs it as a
    test)

A line of a table (tables.py) is a command of the engine. The results of the runs are compared: exit status, standard
output, and of standard error whether it is empty and which of the texts it has that engines and people match. Ids,
times, addresses and pids are removed first. Lines that begin with ``@`` inspect the cell:

    @tty COMMAND            the command with a terminal
    @sorted COMMAND         the command, whose lines may come in any order
    @numbers COMMAND        the command, whose numbers, and spaces with them, differ each time
    @mounts COMMAND         the command, which prints mountinfo
    @status COMMAND         the command, whose output differs each time
    @sh COMMAND             a shell command in the cell
    @wait NAME TEXT         wait until the log of a container has the text (not compared)
    @until COMMAND          wait until a shell command in the cell succeeds (not compared)
    @cgroups NAME           the content of the files of the container's cgroups
    @process NAME           identity, capabilities, limits, namespaces and mounts of the container's first process
    @left                   what the cell has that it did not have at the beginning

A line that begins with ``!KEY`` must differ from runc's, for the reason REASONS[KEY]. If it does not differ, that is a
failure, too. The reasons are about the runc of Debian 12: with a newer one the line may be equal.
"""

import os
import re
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.engines import images
from tests.engines.cell import Cell, CellError, until
from tests.engines.expected import PATHS
from tests.engines.installed import installed
from tests.engines.tables import ALIKE, REASONS, TABLES

TEXTS = (
    "permission denied",
    "no such file or directory",
    "executable file not found in $path",
    "not running",
    "does not exist",
    "already exists",
    "already in use",
    "no such container",
    "no such process",
    "is not a directory",
    "invalid argument",
    "operation not permitted",
    "read-only file system",
    "can only kill running",
    "unhealthy",
    "paused",
)
FILES = {
    "memory": (
        "limit_in_bytes",
        "soft_limit_in_bytes",
        "memsw.limit_in_bytes",
        "swappiness",
        "oom_control",
        "use_hierarchy",
    ),
    "cpu": ("shares", "cfs_quota_us", "cfs_period_us"),
    "cpuset": ("cpus", "mems", "cpu_exclusive"),
    "pids": ("max",),
    "freezer": ("state",),
    "devices": ("list",),
    "blkio": ("bfq.weight", "throttle.read_bps_device"),
}
IN_ROOT = "OCIRT_TEST_ROOT" in os.environ
"""Do the tests run in a root of another Debian?"""
REFERENCES = ("runc", "crun") if IN_ROOT else ("runc",)
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")


def normal(text, before):
    """Remove what differs in each run."""
    for pattern, word in (
        (r"\b[0-9a-f]{64}\b", "ID64"),
        (r"\b[0-9a-f]{12}\b", "ID12"),
        # Sets of capabilities and signals, which also have 16 digits, are compared.
        (r"(?<!\b(?:Cap|Sig)[A-Z][a-z]{2}:\t)\b[0-9a-f]{11,40}\b", "HEX"),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?\+0000 UTC|Z)?", "TIME"),
        (r"\b([A-Z][a-z]{2} ){1,2} ?\d+ \d\d:\d\d(:\d\d)?( \d{4})?", "DATE"),
        (r"\b10\.\d+\.\d+\.\d+\b|\b172\.\d+\.\d+\.\d+\b", "ADDRESS"),
        (r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b", "MAC"),
        (r"\b(About an?|Less than an?|\d+) (second|minute)s?( ago)?", "AGO"),
        (r"\b[a-z]+_[a-z]+\d?\b(?=\s*$)", "NAME"),
        (r"\b\d+(\.\d+)?(ms|µs)\b", "DURATION"),
        ("|".join(PATHS.values()), "RUNTIME"),
        (rf"\b({'|'.join(PATHS)})\b", "RUNTIME"),
        (r"(net|mnt|ipc|pid|uts|user|cgroup|time):\[\d+\]", r"\1:[NUMBER]"),
        # The words before the part of a message that engines and people match.
        (r"exec failed: (unable to start container process|process\.args): ", "exec failed: "),
    ):
        text = re.sub(pattern, word, text)
    return text


def texts(err):
    """Which of the matched texts standard error has. Of a command that is a directory runc 1.1 says that permission is
    denied, runc 1.3 that it is a directory, and ocirt both.
    """
    low = err.lower()
    if ": is a directory" in low:
        return ["permission denied"]
    return [text for text in TEXTS if text in low]


class Run:
    """One pass through a table."""

    def __init__(self, engine, cell):
        self.engine, self.cell, self.before = engine, cell, cell.left()

    def line(self, line):
        """:returns: what is compared, as text."""
        if not line.startswith("@"):
            return self._result(self.engine(*shlex.split(line)))
        kind, _, rest = line[1:].partition(" ")
        return getattr(self, f"_{kind}")(rest)

    def _result(self, result):
        err = texts(result.err) if result.status else bool(result.err)
        return f"status {result.status}\n{normal(result.out, self.before)}{'' if result.out.endswith(chr(10)) else chr(10)}stderr {err}"

    def _tty(self, rest):
        return self._result(self.cell.terminal(*self.engine.words(*shlex.split(rest))))

    def _sorted(self, rest):
        result = self.engine(*shlex.split(rest))
        result.out = "\n".join(sorted(result.out.splitlines()))
        return self._result(result)

    def _numbers(self, rest):
        result = self.engine(*shlex.split(rest))
        result.out = re.sub(" +", " ", re.sub(r"\d+", "N", result.out))
        return self._result(result)

    def _mounts(self, rest):
        result = self.engine(*shlex.split(rest))
        result.out = "\n".join(sorted(map(mount, result.out.splitlines())))
        return self._result(result)

    def _status(self, rest):
        result = self.engine(*shlex.split(rest))
        return f"status {result.status}, {'some' if result.out else 'no'} output"

    def _sh(self, rest):
        return self._result(self.cell("sh", "-c", rest))

    def _wait(self, rest):
        name, text = rest.split(" ", 1)
        try:
            until(lambda: text in (found := self.engine.log(name)) and found, f"{text} in the log of {name}", 8)
        except CellError:
            pass  # the next lines differ, or did not need the text
        return ""

    def _until(self, rest):
        try:
            until(lambda: self.cell("sh", "-c", rest).status == 0, rest, 8)
        except CellError:
            pass
        return ""

    def _pid(self, name):
        pid = self.engine.pid(name)
        if not pid:
            raise CellError(f"{name} does not run")
        return pid

    def _cgroups(self, name):
        try:
            pid, lines = self._pid(name), []
        except (CellError, AssertionError) as error:
            return f"none: {normal(str(error), self.before)}"
        for controller, files in FILES.items():
            folder = self.cell.cgroup_of(pid, controller)
            lines.append(f"{controller} {normal(str(folder), self.before)}")
            for file in files:
                path = folder / f"{controller}.{file}"
                lines.append(f"  {file}: {sorted(path.read_text().split(chr(10))) if path.exists() else None}")
        return "\n".join(lines)

    def _process(self, name):
        try:
            proc = self.cell.path(f"/proc/{self._pid(name)}")
        except (CellError, AssertionError) as error:
            return f"none: {normal(str(error), self.before)}"
        keep = (
            "Uid",
            "Gid",
            "Groups",
            "Cap",
            "NoNewPrivs",
            "Seccomp:",
            "SigBlk",
            "SigIgn",
            "SigCgt",
            "NSpid",
            "Umask",
            "THP_enabled",
        )
        lines = [
            line
            for line in (proc / "status").read_text().splitlines()
            if line.startswith(keep) and not line.startswith("NSpid")
        ]
        lines += (proc / "limits").read_text().splitlines() + [
            (proc / "oom_score_adj").read_text(),
            (proc / "uid_map").read_text(),
        ]
        lines += sorted((proc / "environ").read_text().split("\0")) + [
            f"cwd {(proc / 'cwd').readlink()}",
            f"session {(proc / 'sessionid').read_text()}",
        ]
        own = self.cell.path("/proc/1")
        lines += [
            f"{space} {'shared' if (proc / 'ns' / space).readlink() == (own / 'ns' / space).readlink() else 'own'}"
            for space in NAMESPACES
        ]
        lines += sorted(mount(line) for line in (proc / "mountinfo").read_text().splitlines())
        lines += [f"fd {fd.name} {re.sub('[0-9]+', 'N', str(fd.readlink()))}" for fd in sorted((proc / "fd").iterdir())]
        return normal("\n".join(lines), self.before)

    def _left(self, _):
        def rest():
            after = self.cell.left()
            # Only the innermost: runc's earlier containers may have left those above, and BuildKit keeps one of its own.
            after["cgroups"] = [
                each for each in after["cgroups"] if not any(more.startswith(f"{each}/") for more in after["cgroups"])
            ]
            return {
                key: extra for key in after if (extra := [each for each in after[key] if each not in self.before[key]])
            }

        try:
            until(lambda: not rest(), "nothing left", 5)
        except CellError:
            pass
        return normal("\n".join(f"{key}: {values}" for key, values in rest().items()), self.before)


def mount(line):
    """A line of mountinfo without its numbers (and without the directories of an overlay), in the form of ALIKE."""
    fields, _, rest = line.partition(" - ")
    _, _, _, root, point, *options = fields.split()
    kind, source, more = rest.split(" ", 2)
    options = [re.sub(":[0-9]+", ":N", option) for option in options]
    more = "" if kind == "overlay" else re.sub("size=[0-9]+k|nr_inodes=[0-9]+", "", more)
    line = f"mount {point} {root if kind not in ('cgroup', 'cgroup2') else 'ROOT'} {options} {kind} {source} {more}"
    for pattern, instead in ALIKE:
        line = re.sub(f"^{pattern}$", instead, line)
    return line


def lines_of(table):
    """The lines of a table: (key of the reason for which the line differs, or None; line)."""
    for line in table.splitlines():
        line = line.strip()
        if line and not line.startswith("#"):
            yield tuple(line[1:].split(" ", 1)) if line.startswith("!") else (None, line)


def is_command(line):
    """Is a line a command of an engine, not an inspection of the cell?"""
    return not line.startswith("@") or line.startswith(("@tty", "@sorted", "@numbers", "@mounts", "@status"))


def run(name, runtime, archives):
    """Go through the table ``name`` once.

    :returns: the result of each line, and seconds.
    """
    table, make = TABLES[name]
    with Cell(f"matrix-{name}-{runtime}") as cell:
        passed, begun = Run(make(cell, archives, runtime), cell), time.monotonic()
        return [passed.line(line) for _, line in lines_of(table)], time.monotonic() - begun


class Difference:
    """A line with different results, or a line that should have differed and did not.

    :ivar others: reference -> its result.
    """

    def __init__(self, engine, line, key, others, ocirt):
        self.engine, self.line, self.key, self.others, self.ocirt = engine, line, key, others, ocirt

    def is_expected(self):
        """Does the result differ from runc's as the table says, or equal that of one reference where it says nothing?"""
        same = self.ocirt in self.others.values()
        return IN_ROOT or self.ocirt != self.others["runc"] if self.key else same

    def __repr__(self):
        reason = f" (expected: {REASONS[self.key]})" if self.key else ""
        if self.others["runc"] == self.ocirt:
            return f"{self.engine} {self.line}: no difference, though one is expected: {REASONS[self.key]}"
        shown = [f"{self.engine} {self.line}{reason}"]
        for name, other in self.others.items():
            theirs, ours = other.splitlines(), self.ocirt.splitlines()
            if set(theirs) == set(ours):
                shown += [f"  {name}: {other!r}", f"  ocirt: {self.ocirt!r}"]
                continue
            shown += [f"  {name}: {each}" for each in theirs if each not in ours or len(theirs) < 5]
            shown += [f"  ocirt, not {name}: {each}" for each in ours if each not in theirs or len(ours) < 5]
        return "\n".join(shown)


def compare(name, archives):
    """Run a table with all runtimes.

    :returns: the number of commands, the unexpected differences, and the expected ones.
    """
    results = {runtime: run(name, runtime, archives)[0] for runtime in (*REFERENCES, "ocirt")}
    ours = results.pop("ocirt")
    table = list(lines_of(TABLES[name][0]))
    lines = [
        Difference(name, line, key, {reference: theirs[n] for reference, theirs in results.items()}, ours[n])
        for n, (key, line) in enumerate(table)
    ]
    return (
        sum(is_command(line) for _, line in table),
        [each for each in lines if not each.is_expected()],
        [each for each in lines if each.key and each.is_expected()],
    )


def main(names):
    archives = Path(tempfile.mkdtemp())
    images.make(archives)
    bad = 0
    with installed():
        for name in names or TABLES:
            begun = time.monotonic()
            commands, found, known = compare(name, archives)
            print(
                f"{name}: {commands} commands, {len(found)} differences, {len(known)} known ones, {time.monotonic() - begun:.0f} s",
                flush=True,
            )
            for difference in found:
                print(difference, flush=True)
            bad += len(found)
    shutil.rmtree(archives)
    return bad != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
