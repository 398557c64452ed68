"""The files of one run of a sandbox: what the runtime lends, what is put there, and what has changed in the end."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from .description import LATER, REAP, RECEIVER, SCRATCH, SIZE, Description
from .inside import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, Files, openat2
from .lending import Lender
from .lifecycle import Bundle
from .program import Program
from .quota import Disk
from .runtime import Runtime

TMP_MODE = 0o1777
EXECUTABLE = "/.ocirt-live"
"""A file for the container of an open sandbox: create wants an executable, which never runs."""
WAITS = ["sleep", "infinity"]
"""What runs in it without root's rights: then the kernel lets nobody join a container whose program has not begun."""


TERMINALS = {
    "destination": "/dev/pts",
    "type": "devpts",
    "source": "devpts",
    "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "max=16"],
}
"""For the terminals of a sandbox. It could use up those of the whole host without a maximum of its own."""


class Session:
    """A run, from the moment when the runtime lends its files.

    :ivar files: of the container; empty before that.
    :ivar before: what the library and the runtime have made before any program ran: (overlay, path) -> inode and change
        time.
    """

    def __init__(
        self, sandbox: Description, program: Program | None = None, is_live: bool = False, is_late: bool = False
    ) -> None:
        """:param program: what runs; ``None`` for an open sandbox and for a pool.
        :param is_live: is it an open sandbox, whose own program never runs?
        :param is_late: does a pool make the container, and put the files there when it is made?
        """
        self.sandbox, self._program, self._is_live, self._is_late = sandbox, program, is_live, is_late
        self.user = sandbox.owner(program)
        self.files = Files({}, self.user)
        self.scratch: int | None = None
        self._disk: Disk | None = None
        self.before: dict[tuple[int, str], tuple[int, int]] = {}

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if not is_finalizing():
            self.close()

    @property
    def must_start(self) -> bool:
        """Must the program of an open sandbox run?"""
        return self._is_live and os.geteuid() != 0

    def close(self) -> None:
        """Let the changes go. The files close themselves."""
        held, self.scratch, self._disk = self.scratch, None, None
        if held is not None:
            os.close(held)

    def reached_limit(self) -> int:
        """The limit of what programs may write, in bytes, if they have written so much, or as many files as it allows;
        otherwise 0. A quota shows as the size of a file system, as for df(1).
        """
        if self.scratch is None:
            return 0
        space = os.statvfs(self.upper(0))
        return 0 if space.f_bavail and space.f_favail else self.sandbox.disk

    def config(self, receiver: str) -> dict[str, Any]:
        """The config.json of this run.

        :param receiver: the path of the socket that gets the container's files.
        """
        own = Program.of(WAITS if self.must_start else [EXECUTABLE]) if self._is_live else self._program
        found = self.sandbox.config_of(own)
        found["annotations"][RECEIVER] = receiver
        if self.sandbox.disk_in is not None:
            self._disk = Disk(self.sandbox.disk_in, self.sandbox.disk)
            del found["annotations"][SIZE]
            found["annotations"][SCRATCH] = self._disk.path
        if self._is_live or "terminal" in found["process"]:
            found["mounts"].append(TERMINALS)
        if self._is_live:
            found["annotations"][REAP] = "1"
        if self._is_late:
            found["annotations"][LATER] = "1"
        return found

    def bundle(
        self,
        runtime: Runtime,
        change: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None,
        is_renewed: bool = False,
    ) -> Bundle:
        """What the container of this run is made from. Its lender lets this object put the files there.

        :param change: what becomes of config.json.
        :param is_renewed: may other containers follow, whose files are other sessions'?
        """
        lender = Lender(runtime, self.receive, 2 if self._is_late else 1, is_kept=is_renewed)
        try:
            config = self.config(lender.path)
            bundle = Bundle(None, config if change is None else change(config), None)
        except BaseException:
            lender.close()
            raise
        bundle.lenders.append(lender)
        return bundle

    @property
    def overlays(self) -> list[tuple[str, tuple[str, ...]]]:
        """The place of each overlay in the container, and its lower layers, the topmost first."""
        return [("/", self.sandbox.layers), *self.sandbox.copies.items()]

    def upper(self, number: int) -> str:
        """A path of the directory with the changes of an overlay, while this object is open."""
        return f"/proc/self/fd/{self.scratch}/{number}/upper"

    def receive(self, lent: Sequence[int]) -> None:
        """Put the files into the container, before its program starts.

        :param lent: descriptors of the place for what it writes and, for a late container, of its root. They belong to
            this object.
        :raises FileError: a file cannot be put there.
        """
        self.scratch, *lent_root = lent
        root = lent_root[0] if lent_root else openat2(self.scratch, "merged", os.O_PATH | os.O_DIRECTORY, 0)
        roots = {"/": root}
        # No program runs yet, and links of the image lead to nowhere outside.
        within = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
        for path in [*self.sandbox.copies, *(["/tmp"] if self.sandbox.readonly else [])]:
            roots[path] = openat2(root, path, os.O_PATH | os.O_DIRECTORY, within)
        self.files = Files(roots, self.user, self._disk)
        self._permit(root, roots)
        for path, content in self.sandbox.content.items():
            self.files.write(path, content)
        if self._is_live and not self.must_start:
            self.files.write(EXECUTABLE, b"", mode=0o755)
        self._remember()

    def _permit(self, root: int, roots: dict[str, int]) -> None:
        """Give the roots the permissions of what they show, and let the programs write at the top of each Copy."""
        for number, (path, lower) in enumerate(self.overlays):
            own, status = f"/proc/self/fd/{roots[path]}", os.stat(lower[-1])
            os.chmod(own, stat.S_IMODE(status.st_mode))
            if os.geteuid() == 0:
                os.chown(own, *(self.user if number else (status.st_uid, status.st_gid)))
        if not self.sandbox.readonly:
            self._open_tmp()

    def _open_tmp(self) -> None:
        """Let everybody write to /tmp, as programs expect. Without root's rights the image's owner must have done so."""
        directory = self.files.directory("/tmp")
        try:
            if stat.S_IMODE(os.fstat(directory).st_mode) != TMP_MODE:
                with suppress(PermissionError):
                    os.chmod(f"/proc/self/fd/{directory}", TMP_MODE)
        finally:
            os.close(directory)

    def _remember(self) -> None:
        for number, _ in enumerate(self.overlays):
            top = self.upper(number)
            for folder, folders, names, fd in os.fwalk(top):
                for name in [*folders, *names]:
                    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    path = os.path.relpath(os.path.join(folder, name), top)
                    self.before[number, path] = _mark(status)

    def is_new(self, number: int, path: str, status: os.stat_result) -> bool:
        """Has a program of the container made or changed the file? A directory that was there has not changed if
        something in it has.
        """
        mark, before = _mark(status), self.before.get((number, path))
        return before is None or before[0] != mark[0] or (before != mark and not stat.S_ISDIR(status.st_mode))


def _mark(status: os.stat_result) -> tuple[int, int]:
    return status.st_ino, status.st_ctime_ns
