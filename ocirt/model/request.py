"""What the command line asks for."""

from ..errors import RequestError
from .json import encode
from .peers import DIFFERENCES
from .text import Text, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from .json import Json
    from .text import Trace

    Words: TypeAlias = Mapping[str, Json]
    """A request: its words by name, as :func:`ocirt.boot.read_request` returns them, or as :meth:`Request.to_json` has
    stored them."""

LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-.")
CHOICES = {
    "cgroup-manager": ("auto", "cgroupfs", "systemd", "disabled"),
    "rootless": ("auto", "true", "false"),
    "as": ("ocirt", *DIFFERENCES),
}
SWITCHES = (
    "systemd-cgroup",
    "no-pivot",
    "no-new-keyring",
    "detach",
    "rootfs-annotations",
    "hardening-annotations",
    "init",
    "late",
    "renew",
)
SOCKET_GIVEN = "-"
"""The value for a socket in state.json: after create only its existence matters."""


class Request:
    """A verb on a container and its flags.

    :param words: a mapping of the flags' names to their values, as the launcher writes them (``"1"`` for a switch),
        with ``verb``, ``id``, ``bundle`` and ``root``; paths are absolute. Words for other modules are ignored.
    :raises RequestError: the id or a flag's value cannot be used.

    :ivar listen_fds: how many descriptors from 3 on a service manager passes to the container, sd_listen_fds(3); those
        of ``preserve_fds`` follow them.
    :ivar notify_socket: the caller's NOTIFY_SOCKET, sd_notify(3); ``None`` if the caller has none.
    :ivar cgroup_manager: ``auto`` until :func:`ocirt.cgroups.choose.choose` replaces it by its choice.
    :ivar runtime_dir: the caller's XDG_RUNTIME_DIR, if systemd may be asked for cgroups; otherwise ``None``.
    :ivar called_as: the runtime by whose name ocirt was called, see :meth:`does`.
    :ivar late: does ``start`` bring the program, its directory, further variables and the standard streams?
    :ivar renew: is a late container that has ended replaced by the next one?
    :ivar own_cgroups: mount of a hierarchy -> the cgroup of the process that called create; ``None`` during create
        itself, when the Host knows it.
    """

    __slots__ = (
        "verb",
        "id",
        "bundle",
        "root",
        "cgroup_manager",
        "rootless",
        "preserve_fds",
        "systemd_cgroup",
        "no_pivot",
        "no_new_keyring",
        "detach",
        "console_socket",
        "pidfd_socket",
        "pid_file",
        "own_cgroups",
        "layer",
        "upper",
        "work",
        "rootfs_annotations",
        "hardening_annotations",
        "listen_fds",
        "notify_socket",
        "runtime_dir",
        "init",
        "late",
        "renew",
        "called_as",
    )

    cgroup_manager: str
    rootless: str
    called_as: str
    systemd_cgroup: bool
    no_pivot: bool
    rootfs_annotations: bool
    hardening_annotations: bool
    no_new_keyring: bool
    detach: bool
    init: bool
    late: bool
    renew: bool

    def __init__(self, words: "Words") -> None:
        self.verb: str = words["verb"]
        self.bundle: str = words["bundle"]
        self.root: str = words["root"]
        self.id = checked_id(words["id"])
        for name, choices in CHOICES.items():
            value = words.get(name) or choices[0]
            if value not in choices:
                raise RequestError(f"--{name} {quote(value)}: expected {', '.join(choices[:-1])} or {choices[-1]}")
            setattr(self, "called_as" if name == "as" else name.replace("-", "_"), value)
        for name in SWITCHES:
            setattr(self, name.replace("-", "_"), words.get(name) == "1")
        if self.systemd_cgroup and words.get("cgroup-manager") in (None, "", "auto"):
            self.cgroup_manager = "systemd"
        self.preserve_fds = _preserved(words.get("preserve-fds") or "0")
        self.listen_fds = int(words.get("listen-fds") or 0)
        self.runtime_dir: str | None = words.get("runtime-dir") or None
        self.notify_socket: str | None = words.get("notify-socket") or None
        self.console_socket: str | None = words.get("console-socket") or None
        self.pidfd_socket: str | None = words.get("pidfd-socket") or None
        self.pid_file: str | None = words.get("pid-file") or None
        self.layer: str | None = words.get("layer") or None
        self.upper: str | None = words.get("upper") or None
        self.work: str | None = words.get("work") or None
        for name in ("upper", "work"):
            if getattr(self, name) is not None and self.layer is None:
                raise RequestError(f"--{name}: found without --layer, expected at least one --layer as well")
        if (self.upper is None) != (self.work is None):
            raise RequestError("--upper and --work: found one of them, expected both or neither")
        self.own_cgroups: Mapping[str, str] | None = words.get("own-cgroups")

    def does(self, difference: str) -> bool:
        """Does the runtime by whose name ocirt was called have ``difference``, one of :mod:`.peers`?"""
        return difference in DIFFERENCES.get(self.called_as, ())

    @property
    def is_detached(self) -> bool:
        """Does the runtime end while the container runs?"""
        return self.verb == "create" or self.detach

    def text(self, name: str, trace: "Trace") -> Text:
        """The word ``name`` as a Text: ``id``, ``bundle``, ``root``, ``pid-file``, ``console-socket`` or
        ``pidfd-socket``.
        """
        return Text(getattr(self, name.replace("-", "_")), f"${name}", trace)

    def to_json(self, own_cgroups: "Mapping[str, str]") -> str:
        """The flags as one JSON object of words. Together with the container's id and bundle, :class:`Request` needs no
        more to compile the container again. The text is the same for all containers with the same flags.

        :param own_cgroups: what the plan took from the Host about the caller's cgroups, see ``own_cgroups``.
        """
        words = {"verb": self.verb, "cgroup-manager": self.cgroup_manager, "rootless": self.rootless}
        if self.called_as in DIFFERENCES:
            words["as"] = self.called_as
        words |= {name: "1" for name in SWITCHES if getattr(self, name.replace("-", "_"))}
        if self.preserve_fds:
            words["preserve-fds"] = str(self.preserve_fds)
        if self.runtime_dir is not None:
            words["runtime-dir"] = self.runtime_dir
        if self.notify_socket is not None:
            words["notify-socket"] = SOCKET_GIVEN
        if self.console_socket is not None:
            words["console-socket"] = SOCKET_GIVEN
        members = [f"{encode(name)}:{encode(value)}" for name, value in words.items()]
        members.append(
            '"own-cgroups":{'
            + ",".join([f"{encode(mount)}:{encode(path)}" for mount, path in own_cgroups.items()])
            + "}"
        )
        return "{" + ",".join(members) + "}"


def checked_id(id: str) -> str:
    """Check the id of a container: letters, digits, ``_+-.``, as in runc.

    :returns: the id.
    :raises RequestError: no container can have this id.
    """
    if not id:
        raise RequestError("container id cannot be empty", "id")
    if not LETTERS.issuperset(id) or id in (".", ".."):
        raise RequestError(
            f"container id {quote(id)}: expected letters, digits and _+-. only, and neither . nor ..", "id"
        )
    if len(id) > 255:
        raise RequestError(f"container id {quote(id)}: expected at most 255 letters", "id")
    return id


def _preserved(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise RequestError(f"--preserve-fds {quote(value)}: expected a number of descriptors")
    return int(value)
