"""``ocirt features``: what this build supports, in the form of features.md and features-linux.md.

Every claim comes from the table or model of the module that implements the feature, so that claims and code cannot
differ. tests/unit/test_features.py compiles a config for each.
"""

import json
from pkgutil import iter_modules

from .. import __version__, cgroups
from ..compile import annotations, capabilities, hooks, libseccomp, memorypolicy, mount_options, namespaces, seccomp
from ..errors import HostError
from ..model import config, peers, processor
from ..model.host import OLDEST_KERNEL
from .flags import SPEC_VERSION, VERBS
from .output import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .parser import CommandLine

CHECKPOINT = ("org.ocirt.checkpoint.enabled", "org.opencontainers.runc.checkpoint.enabled")
"""The names by which engines look for checkpoint and restore: ocirt's, and runc's, which they know."""

OLDEST_VERSION = "1.0.0"
"""The oldest ociVersion that ocirt accepts: it accepts every 1.x (:func:`ocirt.model.config.check_version`)."""


def run(line: "CommandLine") -> None:
    """Print the features as one JSON object.

    :raises OcirtError: standard output cannot be written.
    """
    write(json.dumps(features(), indent=2) + "\n")


def features() -> "dict[str, Any]":
    """The features structure, runtime-spec 1.3.0."""
    from .._build import BUILD_ID

    drivers = {module.name for module in iter_modules(cgroups.__path__)}
    return {
        "ociVersionMin": OLDEST_VERSION,
        "ociVersionMax": SPEC_VERSION,
        "hooks": [vars(config.Hooks)[point].name for point in hooks.STATUS],
        "mountOptions": sorted(mount_options.KNOWN),
        "linux": {
            "namespaces": sorted(namespaces.KINDS),
            "capabilities": list(capabilities.BITS),
            "cgroup": {
                **{name: name in drivers for name in ("v1", "v2", "systemd")},
                "systemdUser": "systemd" in drivers,
                "rdma": _reads(config.Resources, "rdma"),
            },
            "seccomp": _seccomp(),
            "apparmor": {"enabled": _reads(config.Process, "apparmorProfile")},
            "selinux": {"enabled": _reads(config.Process, "selinuxLabel") and _reads(config.Linux, "mountLabel")},
            "memoryPolicy": {"modes": list(memorypolicy.MODES), "flags": list(memorypolicy.FLAGS)},
            "intelRdt": dict.fromkeys(("enabled", "schemata", "monitoring"), _reads(config.Linux, "intelRdt")),
            "mountExtensions": {"idmap": {"enabled": _reads(config.Mount, "uidMappings")}},
            "netDevices": {"enabled": _reads(config.Linux, "netDevices")},
        },
        "annotations": {
            **_libseccomp_version(),
            **dict.fromkeys(CHECKPOINT, "true" if "checkpoint" in VERBS else "false"),
            **{f"org.ocirt.as.{name}": "; ".join(does) for name, does in peers.DIFFERENCES.items()},
            "org.ocirt.commit": BUILD_ID,
            "org.ocirt.kernel.minimum": ".".join(map(str, OLDEST_KERNEL)),
            "org.ocirt.version": __version__,
        },
        "potentiallyUnsafeConfigAnnotations": annotations.unsafe(),
    }


def _reads(view: type, name: str) -> bool:
    """Does the model's ``view`` have the property ``name``? The compiler applies every property of a view, and ignores
    or refuses all others.
    """
    return any(getattr(each, "name", "") == name for each in vars(view).values())


def _seccomp() -> "dict[str, Any]":
    """The names come from this build. The running kernel decides which flags are supported, and only libseccomp can ask
    it.
    """
    found: dict[str, Any] = {
        "enabled": True,
        "actions": sorted(seccomp.ACTIONS),
        "operators": sorted(seccomp.OPERATORS),
        "archs": sorted([f"SCMP_ARCH_{name}" for name in processor.ARCHITECTURES]),
        "knownFlags": list(seccomp.FLAGS),
    }
    try:
        found["supportedFlags"] = [name for name, flag in seccomp.FLAGS.items() if libseccomp.kernel_takes(flag)]
    except HostError:
        pass
    return found


def _libseccomp_version() -> dict[str, str]:
    try:
        return {"io.github.seccomp.libseccomp.version": libseccomp.version()}
    except HostError:
        return {}
