"""linux.netDevices: config-linux.md, "Network Devices". The compiler imports this module only if a config has some.

The runtime moves the devices after the mounts, when most of what can fail has been done, and before the hooks, which
may need the devices. If create fails later or is killed, the devices move back. After create the devices belong to the
namespace: when it ends, the kernel itself gives physical devices back, and the runtime must not do so earlier.
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

    :raises ConfigError: a device cannot have this name, or the container has no network namespace.
    :raises HostError: the caller may not move devices.
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
        """Steps of the host, after it has opened the namespaces to join: the target must not be the runtime's own
        namespace.
        """
        return [] if self.joined is None else [AssertNotHostNamespace(AT, SPEC, fd=self.joined, file="net")]

    def move(self) -> "list[Step]":
        """Steps of the host, once init is in its namespaces."""
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
        """Steps of the host, once the container is created: from now on the runtime does not move the devices back."""
        return [Close(AT, SPEC, fd=self.watch)]


def _check(name: str, at: str, template: bool) -> None:
    """Check a name by the kernel's rules, dev_valid_name and dev_alloc_name.

    :param template: may the name end with %d, for which the kernel finds a free number?
    :raises ConfigError: the kernel would refuse the name.
    """
    good = 0 < len(name.encode("utf-8", "surrogatepass")) <= NAME_MAX and name not in (".", "..")
    good = good and not any([letter in "/:" or letter in SPACES for letter in name])
    if not good or (template and "%" in name and not (name.endswith("%d") and name.count("%") == 1)):
        raise ConfigError(
            at,
            quote(name),
            f"a network device's name: 1 to {NAME_MAX} bytes without /, : and spaces"
            + (", perhaps with %d at its end" if template else ""),
        )
