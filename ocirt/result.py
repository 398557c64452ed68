"""The result of a command, and the error for a command that has failed."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from .errors import OcirtError
from .why import Why, explain

UNKNOWN = explain(None)

if TYPE_CHECKING:
    from .library.changes import Changes
    from .library.inside import Files


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a command.

    :ivar args: the command's words; empty if a bundle's config.json has them.
    :ivar returncode: its exit status; 128 and the signal's number if a signal has ended it, as on the command line.
    :ivar stdout: its standard output, if that was a pipe.
    :ivar stderr: its standard error, if that was a pipe.
    :ivar signal: the signal that has ended it, or 0.
    :ivar oom: has the kernel killed any process of the container because memory ran out? For :func:`ocirt.run` only.
    :ivar truncated: did the output exceed the limit? The command has then been killed.
    :ivar seconds: how long it ran, from the execution of its program to its end, without the time to make and remove
        the container.
    :ivar cpu_seconds: CPU time; for a container that of all its processes, for a further process in one also that of
        the children that it has waited for.
    :ivar memory_peak: the most memory, in bytes. For :func:`ocirt.run` that of the whole container, if it has a memory
        cgroup (before Linux 5.19 on cgroup v1 only), otherwise the largest resident size of a single process.
    :ivar why: why it has ended, as a sentence and as data.
    :ivar denied: what the container has wanted to reach and may not, as :class:`ocirt.Net` writes it; for a further
        process in a container, everything that this container has wanted so far. Empty without a ``Net``.
    """

    args: tuple[str, ...]
    returncode: int
    stdout: bytes = b""
    stderr: bytes = b""
    signal: int = 0
    oom: bool = False
    truncated: bool = False
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    memory_peak: int = 0
    why: Why = UNKNOWN
    denied: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Standard output as text; bytes that are not UTF-8 become U+FFFD."""
        return self.stdout.decode("utf-8", "replace")

    def check(self) -> Result:
        """This result, if the command has succeeded.

        :raises CommandFailed: it has failed.
        """
        if self.returncode != 0 or self.truncated:
            raise CommandFailed(self)
        return self


@dataclass(frozen=True, slots=True)
class SandboxResult(Result):
    """The result of :meth:`ocirt.Sandbox.run`.

    :ivar files: the files of the sandbox after the run: ``result.files["/tmp/picture.png"]``. What programs wrote stays in
        memory until this object is gone, or ``files.close()`` is called.
    :ivar changes: what the programs have added, changed and removed.
    """

    files: Files = field(kw_only=True, repr=False, compare=False)
    changes: Changes = field(kw_only=True, repr=False, compare=False)

    @classmethod
    def of(cls, result: Result, files: Files, changes: Changes) -> SandboxResult:
        """The same result with the files of a sandbox."""
        values = {each.name: getattr(result, each.name) for each in fields(result)}
        return cls(**values, files=files, changes=changes)


class CommandFailed(OcirtError):
    """A command that had to succeed has ended with another status than 0; ``result`` has the details."""

    result: Result

    def __init__(self, result: Result) -> None:
        self.result = result
        super().__init__(
            f"{' '.join(result.args) or 'the container'}: exit status {result.returncode}"
            + (" (out of memory)" if result.oom else "")
        )
