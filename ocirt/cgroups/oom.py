"""Waiting for the kernel to kill a process because a container runs out of memory."""

import os
import select

from ..errors import HostError, reason
from . import NONE_OF_ITS_OWN
from .v1 import V1
from .v2 import V2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from . import Driver

    Watch: TypeAlias = "EventWatch | FileWatch"


class EventWatch:
    """cgroup v1: an eventfd that ``cgroup.event_control`` registers (admin-guide/cgroup-v1/memory.rst, "OOM Control").
    The write only asks for a notification; it sets nothing.

    :param directory: of the memory cgroup.
    :raises HostError: the cgroup does not exist, or may not be watched.
    """

    mask = select.POLLIN

    def __init__(self, directory: str) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.path = os.path.join(directory, "memory.oom_control")
        try:
            # The kernel keeps only the eventfd, so the two files can be closed.
            with (
                open(self.path, "rb") as control,
                open(os.path.join(directory, "cgroup.event_control"), "wb", 0) as asking,
            ):
                asking.write(f"{self.fd} {control.fileno()}".encode())
        except OSError as error:
            os.close(self.fd)
            raise HostError(directory, f"watch memory.oom_control: {reason(error)}") from None

    def take(self) -> bool:
        """Has the container run out of memory since the last call?"""
        try:
            count = os.eventfd_read(self.fd)
        except BlockingIOError:
            return False
        # The kernel also counts the end of the cgroup once.
        return count > 1 or os.path.exists(self.path)


class FileWatch:
    """cgroup v2: memory.events, about whose changes the kernel notifies (admin-guide/cgroup-v2.rst).

    :param directory: of the cgroup.
    :raises HostError: the cgroup does not exist.
    """

    mask = select.POLLPRI

    def __init__(self, directory: str) -> None:
        try:
            self.fd = os.open(os.path.join(directory, "memory.events"), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise HostError(directory, f"watch memory.events: {reason(error)}") from None
        self.kills = self._kills()

    def _kills(self) -> int:
        try:
            text = os.pread(self.fd, 4096, 0).decode()
        except OSError:  # the cgroup has been removed
            return 0
        return int(dict([line.split() for line in text.splitlines()]).get("oom_kill", 0))

    def take(self) -> bool:
        before, self.kills = self.kills, self._kills()
        return self.kills > before


def watch(driver: "Driver") -> "Watch":
    """A watch that becomes readable if the kernel kills a process of the container because memory runs out.

    :raises HostError: the container has no memory cgroup.
    """
    if isinstance(driver, V1):
        return EventWatch(driver.directory("memory"))
    if isinstance(driver, V2):
        return FileWatch(driver.directory())
    raise HostError("--cgroup-manager disabled", NONE_OF_ITS_OWN)
