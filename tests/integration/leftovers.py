"""A container must leave nothing behind. This module compares what exists before and after."""

import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path

from tests.integration import library
from tests.integration.harness import LIMIT, left_cgroups

PR_SET_CHILD_SUBREAPER = 36


class Adopted:
    """In the block, orphans become children of this process, so that none can hide. They are reaped at once, because
    the end of a process that has joined a pid namespace is delayed until then.
    """

    def __enter__(self):
        self.own, self.before, self.spawning = set(), children(), False
        self.init, self.handler = subprocess.Popen.__init__, signal.signal(signal.SIGCHLD, lambda *_: self.reap())
        subprocess.Popen.__init__ = lambda *words, **more: self.spawn(*words, **more)
        subreaper(1)
        return self

    def __exit__(self, *_):
        end = time.monotonic() + LIMIT
        while children() - self.own - self.before and time.monotonic() < end:
            time.sleep(0.001)
        subreaper(0)
        subprocess.Popen.__init__ = self.init
        signal.signal(signal.SIGCHLD, self.handler)

    def spawn(self, process, *words, **more):
        """For subprocess.Popen, which reaps the process itself."""
        self.spawning = True
        try:
            self.init(process, *words, **more)
            self.own.add(process.pid)
        finally:
            self.spawning = False
        self.reap()

    def reap(self):
        """Reap the processes that have ended."""
        if self.spawning:
            return
        self.own &= children()
        for pid in children() - self.own:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass


def subreaper(yes):
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, yes, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def children():
    """Pids of the children of this process."""
    return set(map(int, library.children()))


def mounts():
    with open("/proc/self/mountinfo") as lines:
        return sorted(line.split()[4] for line in lines)


def tree(path):
    """Every file below ``path``."""
    return sorted(os.path.join(folder, name) for folder, folders, files in os.walk(path) for name in [*folders, *files])


class Leftovers:
    """What exists now; :meth:`found` compares.

    :param ocirt: the runtime, whose containers all count.
    :param places: directories, in which further files count.
    """

    def __init__(self, ocirt, *places):
        self.ocirt, self.places = ocirt, places
        self.before, self.children = self.look(), children()

    def look(self):
        return {
            "containers": self.ocirt.ids(),
            "cgroups": left_cgroups(),
            "mounts": mounts(),
            "files": [path for place in self.places for path in tree(place)],
        }

    def found(self):
        """What has been left behind, as text; empty if nothing has. Killed processes get some time to end."""
        end = time.monotonic() + LIMIT
        while (left := children() - self.children) and time.monotonic() < end:
            time.sleep(0.001)
        now = self.look()
        said = [
            f"{name}: {sorted(set(now[name]) ^ set(self.before[name]))}"
            for name in now
            if now[name] != self.before[name]
        ]
        return said + [f"process {pid}: {describe(pid)}" for pid in left]


def describe(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[0] + ") " + Path(f"/proc/{pid}/wchan").read_text()
    except OSError as error:
        return str(error)
