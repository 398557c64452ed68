"""Capabilities: config.md, "Linux Process". As the specification requires, the runtime warns of capabilities that it
cannot grant, and goes on.
"""

from ..plan.steps import DropBounding, SetCapabilities, Warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.config import Capabilities as View
    from ..model.exec import _Capabilities
    from ..model.host import Host
    from ..model.text import Text
    from ..plan.steps import Step

AT, SPEC = "process.capabilities", "config.md#linux-process"
NAMES = (
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
)
"""In the order of their numbers, linux/capability.h."""
BITS = {f"CAP_{name}": 1 << number for number, name in enumerate(NAMES)}
LENT = BITS["CAP_SYS_ADMIN"]
SETS = ("bounding", "permitted", "inheritable", "effective", "ambient")


class Capabilities:
    """The five sets that a container's process gets. Without ``process.capabilities`` all are empty, as in runc.

    :param view: the view of ``process.capabilities``.
    :param in_user_namespace: will the process enter a user namespace, where the kernel gives it all capabilities?
    """

    def __init__(self, view: "View | _Capabilities", host: "Host", in_user_namespace: bool) -> None:
        self.unknown: list[str] = []
        self.lendable = LENT if in_user_namespace else host.permitted & LENT
        asked = {name: self._bits(getattr(view, name)) for name in SETS}
        if in_user_namespace:
            mine = ceiling = (2 << host.last_capability) - 1 if any(asked.values()) else 0
        else:
            mine, ceiling = (host.permitted, host.bounded(asked["bounding"])) if any(asked.values()) else (0, 0)
        # capset(2): a process cannot gain capabilities, and each set is limited by another.
        self.bounding = asked["bounding"] & ceiling
        self.permitted = asked["permitted"] & mine
        self.inheritable = asked["inheritable"] & self.bounding
        self.effective = asked["effective"] & self.permitted
        self.ambient = asked["ambient"] & self.permitted & self.inheritable
        # An ambient capability that is permitted but not inheritable is left out silently, as in runc: many a
        # config.json comes from a `runc spec` before 1.3, which asked for such capabilities.
        asked["ambient"] &= ~self.permitted | self.ambient
        self.refused = {name: bits & ~getattr(self, name) for name, bits in asked.items()}
        self.lacking = self.refused["bounding"] & ~ceiling | self.refused["permitted"] & ~mine

    def _bits(self, texts: "list[Text]") -> int:
        found = 0
        for text in texts:
            name = text.read()
            if name in BITS:
                found |= BITS[name]
            elif name not in self.unknown:
                self.unknown.append(name)
        return found

    def warn(self) -> "list[Step]":
        """Steps of the host: a warning for each capability that is not granted."""
        messages = []
        if self.unknown:
            messages.append(f"{AT}: ignoring unknown capabilities: {' '.join(self.unknown)}")
        refused = [
            " ".join([name, *[each for each, bit in BITS.items() if bits & bit]])
            for name, bits in self.refused.items()
            if bits
        ]
        if refused:
            lacking = " ".join([each for each, bit in BITS.items() if self.lacking & bit])
            messages.append(
                f"{AT}: ignoring capabilities that cannot be granted: {', '.join(refused)}"
                + (f"; the runtime itself lacks {lacking}" if lacking else "")
            )
        return [Warn(AT, SPEC, message=message) for message in messages]

    def drop(self) -> "list[Step]":
        """Steps of init while it is still root."""
        return [DropBounding(AT, SPEC, keep=self.bounding)]

    def set(self, lend: bool = False) -> "list[Step]":
        """Steps of init as the container's user.

        :param lend: leave the process CAP_SYS_ADMIN until it executes its program; the program's capabilities depend on
            the other sets alone.
        """
        lent = self.lendable if lend else 0
        return [
            SetCapabilities(
                AT,
                SPEC,
                effective=self.effective | lent,
                permitted=self.permitted | lent,
                inheritable=self.inheritable,
                ambient=self.ambient,
            )
        ]
