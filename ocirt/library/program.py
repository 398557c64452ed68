"""The program of a call: what ``run``, ``exec`` and ``start`` of each class take for it. They all mean the same, are
checked here, and go to the executable as flags, as a message to a late container, or as a config.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .arguments import directory, variables, words, wrong
from .terminal import Terminal, checked

User = int | str | tuple[int, int]
"""The number of a user; or of user and group, as ``"UID:GID"`` or ``(UID, GID)``."""
ID_MAX = (1 << 32) - 2
"""The kernel takes -1 for "no change"."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that a call runs.

    :ivar args: the program and its arguments.
    :ivar cwd: the working directory; ``None``: that of the container.
    :ivar env: further environment variables.
    :ivar user: the numbers of the user and the group (``None``: that of the container); ``None``: the container's user.
    :ivar terminal: the rows and columns of its terminal; ``None`` if it has none.
    """

    args: list[str]
    cwd: str | None
    env: dict[str, str]
    user: tuple[int, int | None] | None = None
    terminal: tuple[int, int] | None = None

    @classmethod
    def of(
        cls,
        args: Sequence[str],
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        user: User | None = None,
        terminal: Terminal = False,
    ) -> Program:
        """The program that these arguments of a call describe.

        :raises RequestError: an argument cannot be used.
        """
        return cls(
            words("args", args),
            None if cwd is None else directory("cwd", cwd),
            variables("env", env),
            None if user is None else ids("user", user),
            None if terminal is False else checked(terminal),
        )

    @property
    def late_flags(self) -> list[str]:
        """Flags of ``start`` for a late container, and some of those of ``exec``."""
        flags = [] if self.cwd is None else ["--cwd", self.cwd]
        for name, value in self.env.items():
            flags += ["--env", f"{name}={value}"]
        return flags

    @property
    def exec_flags(self) -> list[str]:
        """Flags of ``exec``."""
        flags = self.late_flags
        if self.user is not None:
            flags += ["--user", ":".join([str(each) for each in self.user if each is not None])]
        return flags if self.terminal is None else [*flags, "--tty"]

    def message(self) -> tuple[bytes, bytes]:
        """What :meth:`.supervisor.Supervisor.send_program` sends to a late container: its message, and the content of the
        memfd.
        """
        env = [f"{name}={value}" for name, value in self.env.items()]
        texts = [self.cwd or "", *self.args, *env, ""]
        return struct.pack("=II", len(self.args), 0), os.fsencode("\0".join(texts))


def ids(name: str, user: User) -> tuple[int, int | None]:
    """The numbers of a user and a group; ``None`` if the group is not named.

    :raises RequestError: the value is no user.
    """
    found: Sequence[object] = user.split(":") if isinstance(user, str) else user if isinstance(user, tuple) else [user]
    numbers = [int(each) if isinstance(each, str) and _is_number(each) else each for each in found]
    good = [isinstance(each, int) and not isinstance(each, bool) and 0 <= each <= ID_MAX for each in numbers]
    if len(numbers) not in (1, 2) or not all(good) or (isinstance(user, tuple) and len(user) != 2):
        raise wrong(name, user, "the number of a user, or of user and group: 1000, (1000, 100) or '1000:100'")
    uid, gid = (*numbers, None)[:2]
    assert isinstance(uid, int) and (gid is None or isinstance(gid, int))
    return uid, gid


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def with_group(name: str, user: User) -> tuple[int, int]:
    """The numbers of a user and a group in a sandbox, where a number alone is that of both.

    :raises RequestError: the value is no user.
    """
    uid, gid = ids(name, user)
    return uid, uid if gid is None else gid
