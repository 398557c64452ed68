"""linux.netDevices: config-linux.md, "Network Devices". Imported only where there are any.

The runtime moves them once the mounts stand, so that most of what can fail has been done, and before the hooks that
may want them; if the create fails later, or is killed, they are given back. From then on they are the namespace's: it is
the kernel that gives physical devices back when that ends, and the runtime must not do it before.
"""

from ..errors import ConfigError, HostError
from ..model.json import encode, member
from ..model.text import quote
from ..plan.steps import AssertNotHostNamespace, Close, OpenInitNamespace, RunHelper
from .namespaces import NETWORK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.config import Config
    from ..model.host import Host
    from ..plan import Plan
    from ..plan.steps import Step
    from .namespaces import Namespaces

SPEC = "config-linux.md#network-devices"
AT = "linux.netDevices"
NAME_MAX = 15
"""Bytes of a network device's name, IFNAMSIZ without the NUL."""
SPACES = " \t\n\v\f\r"


class NetDevices:
    """The devices of a config that has some.

    :raises ConfigError: a name cannot be one, or there is no network namespace to move them to.
    :raises HostError: the caller may not move any.
    """

    def __init__(self, config: "Config", host: "Host", plan: "Plan", namespaces: "Namespaces") -> None:
        if not namespaces.has(NETWORK):
            raise ConfigError(AT, "an object", "nothing without a network namespace in linux.namespaces")
        if host.euid != 0:
            raise HostError(AT, "only root can move network devices")
        self.record, self.watch = plan.register(), plan.register()
        self.joined = namespaces.registers.get(NETWORK)
        self.register = plan.register() if self.joined is None else self.joined
        self.devices: list[dict[str, str]] = []
        taken: set[str] = set()
        for name, device in config.linux.net_devices.items():
            at = member(AT, name)
            _check(name, at, template=False)
            to = "" if device.name is None else device.name.read()
            if to:
                _check(to, f"{at}.name", template=True)
            to = to or name
            if to in taken and "%" not in to:
                raise ConfigError(
                    f"{at}.name" if device.has("name") else at,
                    f"{quote(to)} a second time",
                    "each name in the container once",
                )
            taken.add(to)
            self.devices.append({"at": at, "name": name, "to": to})

    def guard(self) -> "list[Step]":
        """Steps of the host, after the namespaces to join have been opened: the devices must leave the runtime's."""
        return [] if self.joined is None else [AssertNotHostNamespace(AT, SPEC, fd=self.joined, file="net")]

    def move(self) -> "list[Step]":
        """Steps of the host, when init is in its namespaces."""
        steps: list[Step] = (
            [] if self.joined is not None else [OpenInitNamespace(AT, SPEC, fd=self.register, file="net")]
        )
        objects = [
            "{" + ",".join([f"{encode(key)}:{encode(value)}" for key, value in device.items()]) + "}"
            for device in self.devices
        ]
        return [
            *steps,
            RunHelper(
                AT,
                SPEC,
                helper="netdevices",
                data="[" + ",".join(objects) + "]",
                record=self.record,
                network=self.register,
                guard=self.watch,
            ),
        ]

    def keep(self) -> "list[Step]":
        """Steps of the host, once the container is created: nobody gives them back any more."""
        return [Close(AT, SPEC, fd=self.watch)]


def _check(name: str, at: str, template: bool) -> None:
    """The kernel's own rules, dev_valid_name and dev_alloc_name."""
    good = 0 < len(name.encode("utf-8", "surrogatepass")) <= NAME_MAX and name not in (".", "..")
    good = good and not any([letter in "/:" or letter in SPACES for letter in name])
    if not good or (template and "%" in name and not (name.endswith("%d") and name.count("%") == 1)):
        raise ConfigError(
            at,
            quote(name),
            f"a network device's name: 1 to {NAME_MAX} bytes without /, : and spaces"
            + (", perhaps with %d at its end" if template else ""),
        )
