"""linux.intelRdt: config-linux.md, "IntelRdt". Imported only where it is set.

A container without ``closID`` has a group of its own, called like itself, which goes with it. A group that is named is
shared: made where it is missing, if there is a schema for it, and never removed with a container. If the named group
exists already, a helper (``ocirt/helpers/resctrl.py``) refuses a create whose l3CacheSchema or memBwSchema differs from
what the group has.
"""

from ..errors import ConfigError, HostError, RequestError, reason
from ..model.json import encode
from ..model.text import bound, quote
from ..plan.steps import JoinResctrlGroup, MakeResctrlGroup, RemoveResctrlGroup, RunHelper, WriteResctrlSchema

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..model.config import Config
    from ..model.host import Host
    from ..model.request import Request
    from ..model.text import AnyText, Text
    from ..plan import Plan
    from ..plan.steps import Step

SPEC = "config-linux.md#intelrdt"
AT = "linux.intelRdt"
BANDWIDTH = "MB:"


class Rdt:
    """The resctrl groups of a container.

    :raises ConfigError: a property cannot be what it is.
    :raises HostError: resctrl is not mounted.
    """

    def __init__(self, config: "Config", request: "Request", host: "Host", plan: "Plan") -> None:
        self.rdt, self.id = config.linux.intel_rdt, request.text("id", plan.trace)
        self.name = _given(self.rdt.clos_id)
        if self.name is not None and self.name != "/" and ("/" in self.name or self.name in (".", "..")):
            raise ConfigError(f"{AT}.closID", quote(self.name), "the name of a group, or / for the default group")
        if host.resctrl is None:
            raise HostError(AT, "no resctrl file system is mounted (at /sys/fs/resctrl)")
        self.root = host.resctrl
        self.group = self.id if self.name is None else "." if self.name == "/" else self.name
        self.monitoring: AnyText | None = None
        if self.rdt.enable_monitoring:
            self.monitoring = "mon_groups/" + self.id if self.name == "/" else self.group + "/mon_groups/" + self.id
        self.schemas = self._schemas()
        self.compared = [(path, line) for path, line, compared in self.schemas if compared]
        self.record = plan.register() if self.compared else None

    def _schemas(self) -> list[tuple[str, str, bool]]:
        """The lines for the file schemata in the spec's order: JSON path, line, is it compared with a group that
        is there already?"""
        cache, bandwidth = _given(self.rdt.l3_cache_schema), _given(self.rdt.mem_bw_schema)
        if bandwidth is not None and (not bandwidth.startswith(BANDWIDTH) or "\n" in bandwidth):
            raise ConfigError(f"{AT}.memBwSchema", quote(bandwidth), f"one line that starts with {BANDWIDTH}")
        named = self.name is not None
        found = [
            (f"{AT}.{name}", line, named)
            for name, line in (("l3CacheSchema", cache), ("memBwSchema", bandwidth))
            if line is not None
        ]
        for schema in self.rdt.schemata:
            line = schema.read()
            if not line or "\n" in line:
                raise ConfigError(schema.path, quote(line), "one line of a schemata file, like L3:0=ff;1=f")
            found.append((schema.path, line, False))
        return found

    def make(self) -> "list[Step]":
        """Steps of the host, before the child."""
        at = AT if self.name is None else f"{AT}.closID"
        make = self.name is None or bool(self.schemas)
        steps: list[Step] = []
        if self.record is not None:
            data = [
                encode(each)
                for each in (self.root, bound(self.group), *[word for pair in self.compared for word in pair])
            ]
            steps.append(RunHelper(AT, SPEC, helper="resctrl", data="[" + ",".join(data) + "]", record=self.record))
        steps.append(MakeResctrlGroup(at, SPEC, root=self.root, path=self.group, make=int(make)))
        steps += [
            WriteResctrlSchema(path, SPEC, root=self.root, path=self.group, value=line)
            for path, line, _ in self.schemas
        ]
        if self.monitoring is not None:
            steps.append(MakeResctrlGroup(f"{AT}.enableMonitoring", SPEC, root=self.root, path=self.monitoring, make=1))
        return steps

    def join(self) -> "list[Step]":
        """Steps of the host, when init's pid is known."""
        steps: list[Step] = [JoinResctrlGroup(AT, SPEC, root=self.root, path=self.group)]
        if self.monitoring is not None:
            steps.append(JoinResctrlGroup(f"{AT}.enableMonitoring", SPEC, root=self.root, path=self.monitoring))
        return steps

    def remove(self) -> "list[Step]":
        """Steps of delete."""
        steps: list[Step] = []
        if self.monitoring is not None:
            steps.append(
                RemoveResctrlGroup(f"{AT}.enableMonitoring", SPEC, root=self.root, path=self.monitoring, keep=0)
            )
        return [*steps, RemoveResctrlGroup(AT, SPEC, root=self.root, path=self.group, keep=int(self.name is not None))]


def change(
    config: "Config", request: "Request", host: "Host", plan: "Plan", schemas: "Mapping[str, str]"
) -> "tuple[list[Step], list[Step]]":
    """For ``update``: steps that write ``schemas``, flag -> line, into the group of the container, and for each, the last
    first, one that puts back what is there now.

    :raises RequestError: the container has no group, or a line cannot be what it is.
    """
    for flag, line in schemas.items():
        if not config.linux.has("intelRdt"):
            raise RequestError(f"{flag}: this container was created without {AT}")
        name = BANDWIDTH if flag == "--mem-bw-schema" else "L3"
        if not line.startswith(name) or "\n" in line:
            raise RequestError(f"{flag}: found {quote(line)}, expected one line that starts with {name}")
    rdt = Rdt(config, request, host, plan)
    try:
        with open(f"{rdt.root}/{bound(rdt.group)}/schemata") as file:
            present = {line.strip().partition(":")[0]: line.strip() for line in file}
    except OSError as error:
        raise HostError(f"{rdt.root}/{bound(rdt.group)}/schemata", reason(error)) from None

    def write(flag: str, line: str) -> "Step":
        return WriteResctrlSchema(flag, SPEC, root=rdt.root, path=rdt.group, value=line)

    # A resource that is not there cannot be written either.
    back = [write(flag, present.get(line.partition(":")[0], line)) for flag, line in reversed(list(schemas.items()))]
    return [write(*each) for each in schemas.items()], back


def _given(text: "Text | None") -> str | None:
    """A text's value, ``None`` where it is absent or empty."""
    return None if text is None else text.read() or None
