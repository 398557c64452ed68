"""Device rules: config-linux.md, "Allowed Device list", in one form for every driver."""

from ..errors import ConfigError
from ..model.config import ANY
from ..model.text import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.config import DeviceRule
    from ..model.text import Number

BOTH = ("b", "c")

ALLOWED = (
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:8 rwm",
    "c 1:7 rwm",
    "c 5:0 rwm",
    "c 1:5 rwm",
    "c 1:9 rwm",
    "c 136:* rwm",
    "c 5:2 rwm",
    "c 10:200 rwm",
)
"""What is allowed after the config's own rules, in the kernel's notation: mknod of any device, the default devices,
pseudoterminals, and tun, which containers with CAP_NET_ADMIN make themselves. (runc removed tun once and had to restore
it.)"""


class Rule:
    """One rule. It overrides all earlier rules for the accesses that it matches.

    :ivar at: JSON path of the rule.
    :ivar allow: does the rule allow the access?
    :ivar kinds: kinds of devices: ``b``, ``c`` or both.
    :ivar major, minor: Number (an ``int`` in :data:`ALLOWED`), or ``None`` for every number.
    :ivar access: some of ``r``, ``w`` and ``m``.
    """

    __slots__ = ("at", "allow", "kinds", "major", "minor", "access")

    def __init__(
        self,
        at: str,
        allow: bool,
        kinds: tuple[str, ...],
        major: "Number | int | None",
        minor: "Number | int | None",
        access: str,
    ) -> None:
        self.at, self.allow, self.kinds, self.access = at, allow, kinds, access
        self.major, self.minor = major, minor

    @property
    def is_whole(self) -> bool:
        """Does the rule match every device and every access?"""
        return self.kinds == BOTH and self.major is self.minor is None and set(self.access) == set("rwm")


def allow_everything(given: list[Rule]) -> bool:
    """Do these rules deny nothing? Then nothing changes if the runtime cannot apply them."""
    wholes = [number for number, rule in enumerate(given) if rule.is_whole]
    return bool(wholes) and all([rule.allow for rule in given[wholes[-1] :]])


def rules(devices: "list[DeviceRule]") -> list[Rule]:
    """The rules of ``linux.resources.devices``.

    :param devices: list of :class:`ocirt.model.config.DeviceRule`.
    :raises ConfigError: an entry breaks the specification's rules.
    """
    return [_rule(each) for each in devices]


def _rule(rule: "DeviceRule") -> Rule:
    allow = rule.allow
    kind = "a" if rule.type is None or rule.type.is_empty() else rule.type.read()
    if kind not in ("a", *BOTH):
        raise ConfigError(rule.at("type"), quote(kind), '"a", "b" or "c"')
    # runc ignores the letter a, which some tools write for all: it is no access by itself.
    access = "" if rule.access is None else rule.access.read().replace("a", "")
    if not access or not set("rwm").issuperset(access):
        raise ConfigError(rule.at("access"), quote(access), 'some of "r", "w" and "m"')
    return Rule(rule.path, allow, BOTH if kind == "a" else (kind,), _number(rule.major), _number(rule.minor), access)


def _number(number: "Number | None") -> "Number | None":
    return None if number is None or number.equals(ANY) else number
