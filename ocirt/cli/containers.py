"""Existing containers, for verbs of Python: what they were compiled from, and their cgroups."""

import fcntl
import os
import time

from .. import state_dir
from ..cgroups.choose import choose
from ..created_with import created_with
from ..descriptor import Descriptor
from ..errors import NoContainer, OcirtError, StateError, reason, refusal
from ..model.config import parse
from ..model.host import Host
from ..model.request import Request
from ..plan import Plan
from .root import root_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..cgroups import Driver
    from ..model.config import Config
    from .parser import CommandLine

LOCK_SECONDS = 10
"""The longest time that a verb waits for the lock of a state directory (core/state/container.h)."""


def state_of(line: "CommandLine") -> state_dir.State:
    """The :class:`~ocirt.state_dir.State` of the container that the command line names.

    :raises StateError: the container does not exist.
    """
    return state_dir.read(root_of(line.options), line.arguments[0])


def hold(line: "CommandLine") -> tuple[int, Descriptor]:
    """Pid and pidfd of the first process of the container that the command line names.

    :raises StateError: the container does not exist.
    :raises OcirtError: the container has no process, or its process has ended.
    """
    found = state_of(line)
    if found.pid:
        try:
            pidfd = Descriptor.of_process(found.pid)
        except ProcessLookupError:
            pass
        else:
            # The pidfd holds this process. If the state still has its pid, it is the container's.
            if state_of(line).pid == found.pid:
                return found.pid, pidfd
    raise OcirtError(f"container not running: {found.id} is {state_of(line).status}")


def lock(line: "CommandLine") -> int:
    """Lock the container that the command line names, as every verb does that changes a container.

    :returns: a descriptor of the state directory, with the lock. If this process becomes the executable, that inherits
        both.
    :raises StateError: the container does not exist, or another process has held the lock for LOCK_SECONDS.
    """
    id = line.arguments[0]
    path = os.path.join(root_of(line.options), id)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        ours = os.fstat(fd)
        # Check this before writing there with the caller's rights. core/state/container.c has the same rule.
        if ours.st_uid != os.geteuid() or ours.st_mode & 0o022:
            raise StateError(id, "its state directory belongs to another user, or others may write to it")
        _wait_for_lock(fd, id)
        present = os.stat(path, follow_symlinks=False)
        if (ours.st_dev, ours.st_ino) != (present.st_dev, present.st_ino):
            raise FileNotFoundError
        state_dir.tell_holder(fd)
    except FileNotFoundError:
        raise NoContainer(id) from None
    except OSError as error:
        raise StateError(id, reason(error)) from None
    os.set_inheritable(fd, True)
    return fd


def _wait_for_lock(fd: int, id: str) -> None:
    """flock(2) has no time limit, so try until one has passed, as core/state/container.c does."""
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                pid = state_dir.holder(fd)
                who = f"process {pid}" if pid else "a process that the journal does not name"
                raise StateError(id, f"{who} has kept it locked for {LOCK_SECONDS} s") from None
        except OSError as error:
            raise StateError(id, f"lock: {refusal('flock', error)}") from None
        time.sleep(0.005)


def read(line: "CommandLine") -> "tuple[Config, Request, Host]":
    """The Config, Request and Host with which the container that the command line names was created.

    :raises StateError: the container does not exist, is still being created, or its state directory is broken.
    """
    id, root = line.arguments[0], root_of(line.options)
    if state_dir.read(root, id).bundle == "":
        raise StateError(id, "is still being created, or its create was cut off")
    data, words, _ = created_with({"id": id, "root": root})
    return parse(data), Request(words), Host()


def driver_of(config: "Config", request: Request, host: Host) -> "Driver":
    """The :class:`~ocirt.cgroups.Driver` of an existing container, for reading.

    :raises OcirtError: this host cannot compile what the container was compiled from.
    """
    return choose(config, request, host, Plan(config.trace))
