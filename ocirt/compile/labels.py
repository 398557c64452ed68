"""Labels of a security module: config.md, "Linux Process" (``apparmorProfile``, ``selinuxLabel``); config-linux.md, "Mount
Label".

A label that the kernel cannot apply is an error, as runtime.md, "Create", asks for: what is run without it would be
run with more rights. Imported only where a config has one.
"""

from ..errors import HostError
from ..plan.steps import WriteProc

SPEC = "config.md#linux-process"
SELINUX, APPARMOR = "/sys/fs/selinux/enforce", "/sys/kernel/security/apparmor/profiles"
"""Files that are there where the module is at work."""
APPARMOR_ATTRIBUTE = "attr/apparmor/exec"
"""In /proc/PID, since Linux 5.8; before, AppArmor had attr/exec to itself."""
UNLABELLED = ("proc", "sysfs", "mqueue", "cgroup", "cgroup2")
"""File systems that take no option ``context``."""


def process_labels(process, host):
    """Steps of init, while it has its privileges, that set what the next execve applies.

    :raises HostError: the kernel lacks the module.
    """
    steps = []
    profile, label = process.apparmor_profile, process.selinux_label
    if not _is_absent(profile):
        _need(host, profile.path, APPARMOR, "AppArmor")
        file = APPARMOR_ATTRIBUTE if host.has_file(f"/proc/self/{APPARMOR_ATTRIBUTE}") else "attr/exec"
        steps.append(WriteProc(profile.path, SPEC, file=f"self/{file}", value="exec " + profile))
    if not _is_absent(label):
        _need(host, label.path, SELINUX, "SELinux")
        steps.append(WriteProc(label.path, SPEC, file="self/attr/exec", value=label))
    return steps


def mount_option(linux, host, fstype):
    """The options that label a new file system of type ``fstype``.

    :raises HostError: the kernel lacks SELinux.
    """
    label = linux.mount_label
    if _is_absent(label):
        return []
    _need(host, label.path, SELINUX, "SELinux")
    return [] if fstype in UNLABELLED else ["context=" + label]


def _is_absent(label):
    return label is None or label.is_empty()


def _need(host, path, file, name):
    if not host.has_file(file):
        raise HostError(path, f"this kernel runs without {name} (there is no {file})")
