"""Annotations that change what the runtime does: which ones it applies, ignores or refuses.

Engines copy annotations from strangers (CRI-O and containerd copy those of a pod, if their operator allows it). So an
annotation that reaches directories of the host works only under a flag of the caller, and an annotation that asks for
something ocirt cannot do is an error, because the container would otherwise do something else. ``ocirt features`` lists
all of them, for engines that filter.
"""

from ..errors import ConfigError
from ..model import crun
from ..model.json import member
from ..model.text import quote
from ..plan.steps import Warn
from .namespaces import LATER as NETWORK_LATER
from .namespaces import RECEIVER as NETWORK_RECEIVER
from .rootfs import LOWER, SCRATCH, SIZE, UPPER, WORK
from .scratch import OVERLAYS, RECEIVER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..cgroups import Driver
    from ..model.config import Config
    from ..model.host import Host
    from ..model.request import Request
    from ..plan import Plan
    from ..plan.steps import Step
    from .hardening import Hardening

ROOTFS, NETWORK = "org.ocirt.rootfs.", "org.ocirt.network."
OF_HOST = (LOWER, UPPER, WORK, SIZE, SCRATCH, OVERLAYS, RECEIVER, NETWORK_RECEIVER, NETWORK_LATER)
"""Annotations that name directories and sockets of the host."""
LANDLOCK, CORESCHED = "org.ocirt.landlock", "org.ocirt.coresched"
WASM = "module.wasm.image/"
APPLIED, WITH_FLAG, IGNORED, REFUSED = range(4)

KNOWN = {
    # a name, or a prefix of names: what the runtime does with it
    **dict.fromkeys((*OF_HOST, LANDLOCK, CORESCHED), WITH_FLAG),
    "org.systemd.property.": APPLIED,
    "org.criu.config": APPLIED,
    **dict.fromkeys(crun.ANNOTATIONS, APPLIED),
    # podman writes this annotation for every runtime, and its containers run without it.
    "run.oci.systemd.force_cgroup_v1": IGNORED,
    crun.PREFIX: REFUSED,
    "krun.": REFUSED,
    WASM: REFUSED,
}


def unsafe() -> list[str]:
    """What ``features`` lists: names of annotations, or prefixes of names."""
    return sorted(
        {
            ROOTFS,
            NETWORK,
            LANDLOCK,
            CORESCHED,
            crun.PREFIX,
            *[name for name, fate in KNOWN.items() if fate == APPLIED and not name.startswith(crun.PREFIX)],
        }
    )


def check(config: "Config", request: "Request", cgroup: "Driver") -> "list[Step]":
    """Steps of the host: a warning for each annotation that is ignored.

    :raises ConfigError: an annotation asks for something that ocirt cannot do.
    """
    steps: list[Step] = []
    for allowed, flag, names in (
        (request.rootfs_annotations, "--rootfs-annotations", OF_HOST),
        (request.hardening_annotations, "--hardening-annotations", (LANDLOCK, CORESCHED)),
    ):
        if not allowed:
            steps += [
                _warn(name, f"it works only with {flag}") for name in names if config.annotation(name) is not None
            ]
    for prefix in (crun.PREFIX, "krun.", WASM):
        for rest, value in config.annotations_with(prefix).items():
            fate = KNOWN.get(prefix + rest, KNOWN[prefix])
            if fate == REFUSED:
                raise ConfigError(
                    member("annotations", prefix + rest),
                    quote(value.bound()),
                    "no annotation that asks for what crun does and ocirt does not",
                )
            if fate == IGNORED:
                steps.append(_warn(prefix + rest, "ocirt does not apply it"))
    return steps + _check_subgroup(config, cgroup)


def further_restrictions(config: "Config", host: "Host", plan: "Plan") -> "Hardening | None":
    """What annotations restrict further; ``None`` if that is nothing. The caller lets them."""
    rules, cores = config.annotation(LANDLOCK), config.annotation(CORESCHED)
    if rules is None and cores is None:
        return None
    from .hardening import Hardening  # rare

    return Hardening(rules, cores, config, host, plan)


def _check_subgroup(config: "Config", cgroup: "Driver") -> "list[Step]":
    steps: list[Step] = []
    subgroup, delegated = crun.subgroup(config), crun.delegated(config)
    if subgroup and not cgroup.takes_subgroup:
        steps.append(_warn(crun.SUBGROUP, "it works only with systemd as the cgroup manager, on cgroup v2"))
    if delegated and not (subgroup and cgroup.takes_subgroup):
        steps.append(_warn(crun.DELEGATE, f"it works only with {crun.SUBGROUP}, and systemd as the cgroup manager"))
    return steps


def _warn(name: str, reason: str) -> Warn:
    at = member("annotations", name)
    return Warn(at, "", message=f"{at} has no effect: {reason}")
