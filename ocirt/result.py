"""What a command has given, and the error if that is no success."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import OcirtError


@dataclass(frozen=True, slots=True)
class Result:
    """What a command has given.

    :ivar args: the command's words; empty where they stand in a bundle's config.json.
    :ivar returncode: its exit status; 128 and the signal's number if a signal has ended it, as on the command line.
    :ivar stdout: what it wrote to standard output, if that was a pipe.
    :ivar stderr: the same of standard error.
    :ivar signal: the signal that has ended it, or 0.
    :ivar oom: has the kernel killed any process of the container for want of memory? For :func:`ocirt.run` only.
    :ivar truncated: was there more output than it may give? It has been killed then.
    :ivar seconds: how long it ran, from the execution of its program to its end: the making and the removal of the
        container are not in it.
    :ivar cpu_seconds: CPU time, of a container that of all its processes, of a further process in one also that of the
        children that it has waited for.
    :ivar memory_peak: the most memory, in bytes. For :func:`ocirt.run` that of the whole container, where it has a
        memory cgroup (before Linux 5.19 on cgroup v1 only); else the largest resident size of a single process.
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

    @property
    def text(self) -> str:
        """Standard output as text; what is no UTF-8 becomes U+FFFD."""
        return self.stdout.decode("utf-8", "replace")

    def check(self) -> Result:
        """This result.

        :raises CommandFailed: it is not one of success.
        """
        if self.returncode != 0 or self.truncated:
            raise CommandFailed(self)
        return self


class CommandFailed(OcirtError):
    """A command that was to succeed has ended with another status than 0; ``result`` tells all of it."""

    result: Result

    def __init__(self, result: Result) -> None:
        self.result = result
        super().__init__(
            f"{' '.join(result.args) or 'the container'}: exit status {result.returncode}"
            + (" (out of memory)" if result.oom else "")
        )
