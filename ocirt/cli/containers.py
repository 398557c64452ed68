"""Containers that are there, for verbs of Python: what they were compiled from, and their cgroups."""

import fcntl
import os

from .. import cgroups, state
from ..errors import NoContainer, StateError, reason
from ..model.config import parse
from ..model.host import Host
from ..model.request import Request
from ..plan import Plan
from ..stored import stored
from .root import root_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..cgroups import Driver
    from ..model.config import Config
    from .parser import CommandLine


def state_of(line: "CommandLine") -> state.State:
    """The :class:`~ocirt.state.State` of the container that the command line names.

    :raises StateError: there is none.
    """
    return state.read(root_of(line.options), line.arguments[0])


def lock(line: "CommandLine") -> int:
    """A descriptor of the state directory of the container that the command line names, with the lock that verbs hold
    which change a container. An executable that this process becomes inherits it.

    :raises StateError: there is no such container (any more).
    """
    id = line.arguments[0]
    path = os.path.join(root_of(line.options), id)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX)
        ours, present = os.fstat(fd), os.stat(path, follow_symlinks=False)
        if (ours.st_dev, ours.st_ino) != (present.st_dev, present.st_ino):
            raise FileNotFoundError
    except FileNotFoundError:
        raise NoContainer(id) from None
    except OSError as error:
        raise StateError(id, reason(error)) from None
    os.set_inheritable(fd, True)
    return fd


def read(line: "CommandLine") -> "tuple[Config, Request, Host]":
    """The container that the command line names, as it was created: its Config, Request and Host.

    :raises StateError: there is none, it is still being created, or its state directory is broken.
    """
    id, root = line.arguments[0], root_of(line.options)
    if state.read(root, id).bundle == "":
        raise StateError(id, "is still being created, or its create was cut off")
    data, words, _ = stored({"id": id, "root": root})
    return parse(data), Request(words), Host()


def driver_of(config: "Config", request: Request, host: Host) -> "Driver":
    """The :class:`~ocirt.cgroups.Driver` of such a container, for reading.

    :raises OcirtError: what was compiled cannot be compiled here.
    """
    return cgroups.choose(config, request, host, Plan(config.trace))
