"""The place for what a container writes, which the runtime makes itself: annotations of :mod:`.rootfs`."""

from ..errors import ConfigError
from ..model.text import quote
from ..plan.steps import EVENTS, NONE, CloneTree, Lend, OpenScratch, OpenSocket, Receive, Send

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.config import Config
    from ..model.request import Request
    from ..model.text import AnyText, Text
    from ..plan import Plan
    from ..plan.steps import Step
    from .namespaces import Namespaces

SIZE, DIRECTORY = "org.ocirt.rootfs.size", "org.ocirt.rootfs.scratch"
OVERLAYS, RECEIVER = "org.ocirt.rootfs.overlays", "org.ocirt.rootfs.receiver"
LATER = "org.ocirt.rootfs.later"
ROOT = "config.md#root"
MERGED = "merged"
"""Where init mounts the overlay, in the place."""
INODE_BYTES, INODES_MIN = 1024, 1024
"""The tmpfs may have one file for so many of its bytes, because the kernel's own limit does not depend on the size; and
it may have so many in any case."""
OVERLAYS_MAX = 64


class Scratch:
    """The place, and how init and the runtime deal with it.

    :ivar at: the JSON path that asks for the place.
    :raises ConfigError: the annotations contradict each other.
    """

    def __init__(self, config: "Config", request: "Request", plan: "Plan", namespaces: "Namespaces") -> None:
        size, directory = config.annotation(SIZE), config.annotation(DIRECTORY)
        found = directory if size is None else size
        assert found is not None
        if size is not None and directory is not None:
            raise ConfigError(directory.path, "a directory", f"no directory with {SIZE}, or no size")
        self.at, self.directory = found.path, directory
        self._size = 0 if size is None else _number(size)
        overlays, self._receiver = config.annotation(OVERLAYS), config.annotation(RECEIVER)
        self._overlays = 1 if overlays is None else _number(overlays, OVERLAYS_MAX)
        self._fd = plan.register()
        later = config.annotation(LATER)
        self._root = NONE if later is None or not _number(later, 1) else plan.register()
        self._socket = NONE if self._receiver is None else plan.register()
        self._namespaces, self._request = namespaces, request

    def open(self, place: "AnyText") -> OpenScratch:
        """The step of init that makes the place.

        :param place: the host path of the directory; empty for a tmpfs.
        :raises ConfigError: init cannot make it in such a container.
        """
        if not self._namespaces.has_mount or self._namespaces.has_stage or self._request.no_pivot:
            raise ConfigError(
                self.at,
                "a place for changes that the runtime makes",
                "a mount namespace of its own, no --no-pivot, no namespaces to join and no time namespace",
            )
        inodes = max(INODES_MIN, self._size // INODE_BYTES)
        return OpenScratch(
            self.at,
            ROOT,
            fd=self._fd,
            source=place,
            options=() if self.directory is not None else [f"size={self._size}", f"nr_inodes={inodes}", "mode=755"],
            directories=[
                MERGED,
                *[f"{each}{name}" for each in range(self._overlays) for name in ("", "/upper", "/work")],
            ],
        )

    def connect(self) -> "list[Step]":
        """Steps of the host, before init."""
        if self._receiver is None:
            return []
        return [OpenSocket(self._receiver.path, ROOT, fd=self._socket, path=self._receiver)]

    @property
    def is_lent(self) -> bool:
        """Does somebody get the place before init enters the root?"""
        return self._receiver is not None

    def send(self) -> "list[Step]":
        """The steps of init that send the place to the runtime. A receiver that comes later gets the root as well: then
        the place no longer leads to it, and it may be read-only.
        """
        root: list[Step] = [] if self._root == NONE else [CloneTree(self.at, ROOT, fd=self._root, path=MERGED)]
        return [*root, self._mounted(Send)]

    def lend(self) -> "list[Step]":
        """The steps of the host that receive the place and lend it."""
        if self._root == NONE:
            return [self._mounted(Receive), Lend(self.at, ROOT, fd=self._socket, lent=self._fd, waits=1)]
        lent = [Lend(self.at, ROOT, fd=self._socket, lent=fd, waits=0) for fd in (self._fd, self._root)]
        return [self._mounted(Receive), *lent]

    def _mounted(self, kind: "type[Send] | type[Receive]") -> "Step":
        return kind(self.at, ROOT, event=EVENTS.index("mounted"), first=self._fd, count=1 + (self._root != NONE))


def _number(text: "Text", most: int = 1 << 62) -> int:
    value = text.read()
    if not (value.isascii() and value.isdigit() and 0 < int(value) <= most):
        raise ConfigError(text.path, quote(value), f"a number from 1 to {most}")
    return int(value)
