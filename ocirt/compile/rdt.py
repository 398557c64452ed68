"""linux.intelRdt: config-linux.md, "IntelRdt". The compiler imports this module only if a config has it.

A container without ``closID`` has a group of its own with the container's name, which delete removes. A group with a
``closID`` is shared: create makes it if it is missing and the config has a schema for it, and delete never removes it.
If the shared group exists already, a helper (``ocirt/helpers/resctrl.py``) refuses to create a container whose
l3CacheSchema or memBwSchema differs from that of the group.
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

    :raises ConfigError: a property has an impossible value.
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
        """The lines for the file schemata in the specification's order: JSON path, line, and whether the helper
        compares the line with that of an existing group.
        """
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
        """Steps of the host, before it starts the child."""
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
        """Steps of the host, once it knows init's pid."""
        steps: list[Step] = [JoinResctrlGroup(AT, SPEC, root=self.root, path=self.group)]
        if self.monitoring is not None:
            steps.append(JoinResctrlGroup(f"{AT}.enableMonitoring", SPEC, root=self.root, path=self.monitoring))
        return steps

    def remove(self) -> "list[Step]":
        """Steps of delete that remove the groups."""
        steps: list[Step] = []
        if self.monitoring is not None:
            steps.append(
                RemoveResctrlGroup(f"{AT}.enableMonitoring", SPEC, root=self.root, path=self.monitoring, keep=0)
            )
        return [*steps, RemoveResctrlGroup(AT, SPEC, root=self.root, path=self.group, keep=int(self.name is not None))]


def change(
    config: "Config", request: "Request", host: "Host", plan: "Plan", schemas: "Mapping[str, str]"
) -> "tuple[list[Step], list[Step]]":
    """Steps of ``update`` that change the container's group, and the steps that undo the change.

    :param schemas: flag -> line for the file schemata.
    :returns: the steps that write the lines, and for each, the last one first, a step that writes what the group has
        now.
    :raises RequestError: the container has no group, or a line is impossible.
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

    # If the group has no line for a resource, the kernel refuses the write as well, so there is nothing to undo.
    back = [write(flag, present.get(line.partition(":")[0], line)) for flag, line in reversed(list(schemas.items()))]
    return [write(*each) for each in schemas.items()], back


def _given(text: "Text | None") -> str | None:
    """The value of a text, ``None`` if it is missing or empty."""
    return None if text is None else text.read() or None
