"""What every compilation for a container begins with, and the sections that all of them share."""

from ..cgroups.choose import choose
from ..model.config import SPEC_VERSION
from ..plan import Plan
from ..plan.steps import Facts, KillInit, Warn
from . import hooks
from .mounts import Mounts
from .namespaces import Namespaces
from .rootfs import Rootfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..cgroups import Driver
    from ..model.config import Config
    from ..model.host import Host
    from ..model.request import Request
    from ..model.text import AnyText
    from ..plan.steps import Step
    from .hardening import Hardening
    from .rdt import Rdt


class Container:
    """A container as config.json, the request and the host describe it. Each of its parts gives steps.

    :param by_criu: does criu make the namespaces and processes? Then no init runs beside the runtime, and the runtime
        maps the ids of all mounts.
    :raises ConfigError: the config cannot be applied, or this build cannot apply it.
    :raises HostError: the host cannot do what the config asks for.
    """

    def __init__(self, config: "Config", request: "Request", host: "Host", by_criu: bool = False) -> None:
        self.config, self.request, self.host = config, request, host
        self.plan = plan = Plan(config.trace)
        self.resources = config.linux.resources
        self.namespaces = Namespaces(config, request, host, plan)
        self.rootfs = Rootfs(config, request, plan, self.namespaces)
        self.cgroup = choose(config, request, host, plan)
        if not by_criu:
            self.namespaces.share()
        self.mounts = Mounts(config, request, host, plan, self.namespaces, self.rootfs, self.cgroup, inside=not by_criu)

    def resctrl(self) -> "Rdt | None":
        """The container's resctrl groups, ``None`` if the config asks for none."""
        if not self.config.linux.has("intelRdt"):
            return None
        from .rdt import Rdt  # rare

        return Rdt(self.config, self.request, self.host, self.plan)

    def check_annotations(self) -> "list[Step]":
        """Steps of the host: a warning for each annotation that has no effect.

        :raises ConfigError: an annotation asks for what ocirt does not do.
        """
        if not self.config.has("annotations"):
            return []
        from .annotations import check  # none in many configs

        return check(self.config, self.request, self.cgroup)

    def lifecycle_sections(self, rdt: "Rdt | None", life: hooks.Hooks) -> None:
        """Fill the sections of the verbs that act on an existing container, and the facts that these verbs read."""
        config, plan, cgroup = self.config, self.plan, self.cgroup
        own_pids = any(
            [
                entry.type.equals("pid") and (entry.file is None or entry.file.is_empty())
                for entry in config.linux.namespaces
            ]
        )
        plan.sections["signal"] = cgroup.signal(outlive=not own_pids)
        plan.sections["pause"] = cgroup.pause()
        plan.sections["resume"] = cgroup.resume()
        plan.sections["delete"] = [
            *cgroup.thaw(),
            KillInit("delete", "runtime.md#delete"),
            *cgroup.delete(),
            *(rdt.remove() if rdt else []),
            *life.open("poststop", warn=True),
            *life.run("poststop"),
        ]
        plan.facts = facts(config, self.request, plan, self.rootfs, cgroup, cgroup.facts())


def warn_of_doubts(plan: Plan, beneath: str = "") -> "list[Step]":
    """Steps of the host: a warning for each value that the specification forbids and the runtime accepts as all its
    peers do.

    :param beneath: warn only of values whose JSON path begins with this.
    """
    return [
        Warn(at, "", message=f"{at}: found {found}, expected {expected}: {instead}")
        for at, (found, expected, instead) in plan.trace.doubts.items()
        if at.startswith(beneath)
    ]


def further_restrictions(config: "Config", request: "Request", host: "Host", plan: Plan) -> "Hardening | None":
    """What annotations restrict further, if the caller lets them; ``None`` if that is nothing."""
    if not request.hardening_annotations:
        return None
    from . import annotations  # rare

    return annotations.further_restrictions(config, host, plan)


def facts(
    config: "Config", request: "Request", plan: Plan, rootfs: Rootfs, cgroup: "Driver", files: "dict[str, AnyText]"
) -> Facts:
    """What the program knows about the container.

    :param files: the fields that name files of cgroups.
    """
    _ = config.annotations  # checks their types; the raw text is passed on
    annotations = config.raw("annotations") if config.has("annotations") else "{}"
    return Facts(
        "state",
        "runtime.md#state",
        oci_version=SPEC_VERSION,
        id=request.text("id", plan.trace),
        bundle=request.text("bundle", plan.trace),
        rootfs=rootfs.path,
        annotations=annotations,
        request=request.to_json(cgroup.own()),
        **files,
    )
