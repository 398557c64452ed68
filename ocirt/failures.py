"""Errors that only the library raises: the starred classes of the tree in :mod:`ocirt.errors`."""

from __future__ import annotations

from .errors import OcirtError, StateError
from .why import Why, out_of_time


class ContainerExists(StateError):
    """A container with the id ``id`` exists already."""


class WrongState(StateError):
    """The state of the container ``id`` does not allow the operation."""


class StepError(OcirtError):
    """A step of the program failed. The runtime has undone the earlier steps."""


class ProgramError(StepError):
    """The program does not exist or cannot be executed; ``errno`` says why (ENOENT, EACCES, ENOEXEC...)."""


class InstallationError(OcirtError):
    """The executable does not exist, cannot be started, or has ended without a report."""


class FileError(OcirtError):
    """A file of a sandbox cannot be read or written. ``file`` is its path in the container; ``errno`` says why, if the
    kernel has refused.
    """

    file: str

    def __init__(self, message: str, file: str) -> None:
        self.file = file
        super().__init__(message)


class TimeoutExpired(OcirtError, TimeoutError):
    """The time was up.

    :param what: what took too long.
    :param timeout: the limit, in seconds.
    :param stdout: the standard output until then.
    :param stderr: the standard error until then.
    """

    timeout: float
    stdout: bytes
    stderr: bytes

    def __init__(self, what: str, timeout: float, stdout: bytes = b"", stderr: bytes = b"") -> None:
        self.timeout, self.stdout, self.stderr = timeout, stdout, stderr
        super().__init__(f"{what}: timed out after {timeout:g} s")

    @property
    def why(self) -> Why:
        """The same as ``why`` of a result."""
        return out_of_time(self.timeout)


class ImageError(OcirtError):
    """An image, a layer or a registry's answer is broken, or the content store cannot be read or written."""

    phase = "image"


class NoImage(ImageError):
    """The store, or the registry, does not have the image."""
