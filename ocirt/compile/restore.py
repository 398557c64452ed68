"""Config, what restore asks for, Host -> Plan: a container whose processes criu restores.

The runtime makes on the host what create makes: state directory, cgroups with their limits, resctrl groups. Instead of
becoming init, the stage becomes criu, once it has entered the cgroups and a mount namespace in which the rootfs is
ready. criu makes all namespaces, mounts and processes of the container from its images; the container's first process
becomes the runtime's child.
"""

import json

from ..model.text import bound
from ..plan.steps import (
    NONE,
    Close,
    EnterRoot,
    ExecCriu,
    FinishRestore,
    JoinContainer,
    LoopbackUp,
    MakeDirectory,
    MeetCriu,
    PlaceCriuRoot,
    RunWithin,
    Spawn,
    StoreContainer,
    TalkToCriu,
    WritePidFile,
)
from . import hooks
from .container import Container
from .mount_options import SPEC as MOUNTS
from .namespaces import MOUNT, NETWORK
from .process import Process, check_terminal, every_cpu
from .seccomp import Seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.config import Config
    from ..model.host import Host
    from ..model.json import Members
    from ..model.request import Request
    from ..model.text import AnyText, Field
    from ..plan import Plan
    from ..plan.steps import Step

AT = "restore"
CGROUPS = ("cgroup", "cgroup2")


class Restored(Container):
    """A container that criu restores."""

    def __init__(self, config: "Config", request: "Request", host: "Host") -> None:
        check_terminal(config.process.terminal, request)
        super().__init__(config, request, host, by_criu=True)
        self.process = Process(config.process, config, request, host, self.plan, self.namespaces)
        Seccomp(config, config.process.no_new_privileges, host, self.plan)  # checks the profile, which exec will load
        self.rdt = self.resctrl()

    def compile(self, root: "AnyText", asked: "Members", log: str, **criu: "Field") -> "Plan":
        """Compile the plan.

        :param root: the directory at which the stage mounts the rootfs for criu.
        :param asked: the request to criu (:mod:`ocirt.criu.message`).
        :param log: the path of criu's log.
        :param criu: the fields of ExecCriu.
        """
        request, plan, cgroup, rdt = self.request, self.plan, self.cgroup, self.rdt
        life = hooks.Hooks(self.config, plan)
        if self.namespaces.new & NETWORK:  # criu restores no device of it
            plan.sections["in_criu_netns"] = [
                JoinContainer("linux.namespaces", "", flags=NETWORK),
                LoopbackUp("linux.namespaces", ""),
            ]
        # criu leaves the root's attributes and propagation as they are, so these steps set them.
        finish = self.rootfs.finish() + self.rootfs.propagate()
        plan.sections["in_restored_mntns"] = (
            [JoinContainer("linux.namespaces", "", flags=MOUNT), EnterRoot(AT, "", fd=NONE), *finish] if finish else []
        )
        plan.sections["host"] = [
            StoreContainer(AT, "", listen=0),
            *self.check_annotations(),
            *cgroup.before(self.resources),
            *(rdt.make() if rdt else []),
            *self.rootfs.reach(),
            *self.mounts.open(),
            *self.process.sockets(),
            Spawn(
                AT,
                "",
                section="stage",
                flags=MOUNT,
                cgroup=cgroup.register,
                allow_caller_cgroup=cgroup.allow_caller_cgroup,
            ),
            *cgroup.begin(self.resources),
            *cgroup.place(self.resources, True),
            *self.mounts.hand(),
            *self._conversation(asked, log, life),
            FinishRestore(AT, "", root=root, log=log),
        ]
        if request.pid_file is not None:
            plan.host.append(WritePidFile("--pid-file", "", path=request.text("pid-file", plan.trace)))
        plan.sections["stage"] = [
            *cgroup.wait(),
            *cgroup.join(),
            *every_cpu(),
            *self.process.raise_limits(),
            *self.rootfs.open(),
            PlaceCriuRoot("root.path", "", path=root),
            *self._points(),
            ExecCriu("--criu", "", **criu),
        ]
        self.lifecycle_sections(rdt, life)
        return plan

    def _conversation(self, asked: "Members", log: str, life: hooks.Hooks) -> "list[Step]":
        """Steps of the host that ask criu to restore the container, and those that the host runs while criu waits."""
        register = self.plan.register()

        def talk(until: str, more: "Members") -> TalkToCriu:
            data = json.dumps({**more, "until": until, "log": log})
            return TalkToCriu(AT, "", criu=register, console=self.process.console, until=until, data=data)

        def within(section: str) -> "list[Step]":
            return [RunWithin(AT, "", section=section)] if self.plan.sections[section] else []

        return [
            MeetCriu(AT, "", fd=register),
            talk("setup-namespaces", {"request": asked}),
            *within("in_criu_netns"),
            *(self.rdt.join() if self.rdt else []),
            *life.open("prestart", "create_runtime"),
            *life.run("prestart"),
            *life.run("create_runtime"),
            talk("post-restore", {}),
            *within("in_restored_mntns"),
            talk("", {}),
            Close(AT, "", fd=register),
        ]

    def _points(self) -> "list[Step]":
        """Steps that make the mount points that criu will need. They also mount the binds, beside criu's mount point,
        because other mount points may be in them. The content of a tmpfs comes from the images, with the mount points
        in it.
        """
        steps: list[Step] = []
        covered: list[str] = []
        for each, made in self.mounts.each():
            target = bound(each.target).rstrip("/")
            if any([target.startswith(path + "/") for path in covered]) or each.is_remount or each.fstype in CGROUPS:
                steps += self.mounts.pass_over(each)
                continue
            if each.is_bind:
                steps += made
            else:
                steps.append(MakeDirectory(each.at, MOUNTS, path=each.target, mode=0o755))
            if each.fstype == "tmpfs":
                covered.append(target)
        return steps
