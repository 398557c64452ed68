"""Labels of a security module: config.md, "Linux Process" (``apparmorProfile``, ``selinuxLabel``); config-linux.md,
"Mount Label".

A label that the kernel cannot apply is an error, as runtime.md, "Create", requires: without the label the program would
have more rights. The compiler imports this module only if a config has a label.
"""

from ..errors import HostError
from ..model import crun
from ..model.host import APPARMOR, SELINUX
from ..plan.steps import WriteProc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.config import Config, Process
    from ..model.exec import ExecProcess
    from ..model.host import Host
    from ..model.text import AnyText
    from ..plan.steps import Step

SPEC = "config.md#linux-process"
APPARMOR_ATTRIBUTE = "attr/apparmor/exec"
"""In /proc/PID: AppArmor's own. The file attr/exec is that of the kernel's first security module that has one."""
UNLABELLED = ("proc", "sysfs", "mqueue", "cgroup", "cgroup2")
"""File systems without an option for a label."""


def process_labels(process: "Process | ExecProcess", host: "Host") -> "list[Step]":
    """Steps of init, while it has its privileges, that set the label for the next execve.

    :raises HostError: the kernel lacks the module.
    """
    steps: list[Step] = []
    profile, label = process.apparmor_profile, process.selinux_label
    if profile is not None and not profile.is_empty():
        _need(host.has_apparmor, profile.path, "AppArmor", f"{APPARMOR} is not Y")
        steps.append(WriteProc(profile.path, SPEC, file=f"self/{APPARMOR_ATTRIBUTE}", value="exec " + profile))
    if label is not None and not label.is_empty():
        _need(host.has_selinux, label.path, "SELinux", f"{SELINUX} is missing")
        steps.append(WriteProc(label.path, SPEC, file="self/attr/exec", value=label))
    return steps


def mount_option(config: "Config", host: "Host", fstype: str) -> "list[AnyText]":
    """The options that label a new file system of type ``fstype``.

    :raises HostError: the kernel lacks SELinux.
    """
    label = config.linux.mount_label
    if label is None or label.is_empty():
        return []
    _need(host.has_selinux, label.path, "SELinux", f"{SELINUX} is missing")
    return [] if fstype in UNLABELLED else [crun.mount_context(config) + "=" + label]


def _need(enabled: bool, path: str, name: str, why: str) -> None:
    if not enabled:
        raise HostError(path, f"this kernel runs without {name} ({why})")
