"""Errors that only the library raises: the rest of the tree that :mod:`ocirt.errors` draws."""

from __future__ import annotations

from .errors import OcirtError, StateError


class ContainerExists(StateError):
    """There is a container ``id`` already."""


class WrongState(StateError):
    """The container ``id`` is not in a state that allows what was asked for."""


class StepError(OcirtError):
    """A step of the program failed; what had been done before it has been undone."""


class ProgramError(StepError):
    """The program to be executed is not there or cannot be executed: ``errno`` tells (ENOENT, EACCES, ENOEXEC...)."""


class InstallationError(OcirtError):
    """The executable is not there, cannot be started, or has ended without a word."""


class TimeoutExpired(OcirtError, TimeoutError):
    """The time was up.

    :param what: what took too long.
    :param timeout: how long it was allowed to take, in seconds.
    :param stdout: what had been read of its output by then.
    :param stderr: the same of its standard error.
    """

    timeout: float
    stdout: bytes
    stderr: bytes

    def __init__(self, what: str, timeout: float, stdout: bytes = b"", stderr: bytes = b"") -> None:
        self.timeout, self.stdout, self.stderr = timeout, stdout, stderr
        super().__init__(f"{what}: timed out after {timeout:g} s")
