"""Cgroups: one interface for all drivers. A driver decides and gives steps; the executor acts."""

from ..errors import HostError, RequestError
from ..model.text import quote
from ..plan.steps import (
    NODEV,
    NOEXEC,
    NONE,
    NOSUID,
    Bind,
    MakeSymlink,
    Mount,
    SetMountAttributes,
    Warn,
)
from .devices import allow_everything, rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Protocol

    from ..model.config import Resources
    from ..model.host import Hierarchy, Host
    from ..model.request import Request
    from ..model.text import AnyText, Field
    from ..plan.steps import Step

    class CgroupMount(Protocol):
        """What a driver reads of an entry of ``mounts``. :class:`ocirt.compile.mount_options.Parsed` has these
        members.
        """

        at: str
        spec: str
        fstype: str
        superblock: list[str]

        @property
        def target(self) -> AnyText: ...

        @property
        def options(self) -> Sequence[AnyText]: ...

        @property
        def set(self) -> int: ...

        @property
        def clear(self) -> int: ...

        def first_propagation(self) -> dict[str, int]: ...


TOP = NOSUID | NODEV | NOEXEC
"""MOUNT_ATTR_* bits of the tmpfs in which the hierarchies of cgroup v1 are mounted."""
NONE_OF_ITS_OWN = "this container has no cgroups of its own"
NOT_APPLIED = "this limit is not applied: with --cgroup-manager disabled the container stays in the caller's cgroups"
PAUSED = "cannot exec in a paused container (use --ignore-paused to override)"


class Driver:
    """What a plan needs to know about the container's cgroups. This class is the driver for ``--cgroup-manager
    disabled``: the container has no cgroups of its own and stays in the caller's.

    :ivar register: descriptor register of a v2 directory into which init is cloned (``Spawn.cgroup``), or ``NONE``.
    :ivar allow_caller_cgroup: 1 if a child that may not enter that directory stays in the caller's cgroup; 2: without a warning if
        the runtime could not make it.
    :ivar skip_unwritable: 1 if the runtime skips hierarchies that it may not write.
    :ivar without: what the runtime does about a limit in such a hierarchy: 0 an error, 2 a warning, if the caller has
        given ``--rootless true``.
    :ivar zero_is_a_limit: does ``pids.limit`` 0 mean no task at all? Before ociVersion 1.3.0 it means "no limit", like
        -1, because Go cannot distinguish 0 from a missing property.
    :ivar takes_subgroup: may the container's cgroup be a child of the unit's (crun's ``run.oci.systemd.subgroup``)?
    :ivar can_renew: can the steps of :meth:`renew` and create make the cgroups of the next container (``--renew``)?
    :ivar is_first: does the runtime make the cgroup in the time in which its thread makes the network namespace, and only
        then wait for the thread?
    """

    register, allow_caller_cgroup, skip_unwritable, without, zero_is_a_limit = NONE, 0, 0, 0, True
    takes_subgroup = is_first = False
    can_renew = True

    def __init__(self, host: "Host") -> None:
        self.host = host

    def path(self, hierarchy: "Hierarchy") -> "AnyText":
        """The path of the container's cgroup below the mount of ``hierarchy``."""
        return hierarchy.own

    def before(self, resources: "Resources") -> "list[Step]":
        """Steps of the host before it starts the first child."""
        return self.make() + self.limit(resources) + self.open()

    def begin(self, resources: "Resources") -> "list[Step]":
        """Steps of the host right after it has made the first child: they ask another process to make the cgroup."""
        return []

    def place(self, resources: "Resources", first: bool) -> "list[Step]":
        """Steps of the host once the first child exists. If the child waits for its cgroup (:meth:`wait`), one of the
        steps sends the event *placed*: the child is in its cgroup, or may join it.

        :param first: must the device rules apply before that event?
        """
        return []

    def wait(self) -> "list[Step]":
        """Steps of the first child, before the first step that needs its cgroup."""
        return []

    def make(self) -> "list[Step]":
        """Steps of the host: make the cgroups and fill the registers that :meth:`join` and ``register`` name."""
        return []

    def limit(self, resources: "Resources") -> "list[Step]":
        """Steps that write ``linux.resources`` (:class:`~ocirt.model.config.Resources`): create runs them before
        anything joins the cgroups, and ``update`` later.

        :raises ConfigError: a limit has no meaning here.
        :raises HostError: this host lacks the controller of a limit.
        """
        memory, cpu, pids = resources.memory, resources.cpu, resources.pids
        numbers = [
            memory.limit,
            memory.reservation,
            memory.swap,
            cpu.shares,
            cpu.quota,
            cpu.realtime_runtime,
            cpu.idle,
            pids.limit,
        ]
        # Engines write -1 and 0 for what they do not limit.
        asked = [
            each.path
            for each in numbers
            if each is not None
            and not each.equals(-1)
            and not (each.equals(0) and (each is not numbers[-1] or not self.zero_is_a_limit))
        ]
        asked += [each.path for each in (cpu.cpus, cpu.mems) if each is not None and not each.is_empty()]
        groups = ("blockIO", "hugepageLimits", "network", "rdma", "unified")
        asked += [resources.at(name) for name in groups if resources.value.get(name)]
        # Device rules change nothing if device nodes do not work anyway, so they need no warning then.
        given = rules(resources.devices)
        if given and not allow_everything(given) and self.host.euid == 0 and not self.host.in_user_namespace:
            asked.append(resources.at("devices"))
        return [Warn(at, "", message=f"{at}: {NOT_APPLIED}") for at in asked]

    def open(self) -> "list[Step]":
        """Steps of the host, after the limits: fill the registers."""
        return []

    def join(self) -> "list[Step]":
        """Steps of init: enter the cgroups, before anything else."""
        return []

    def settle(self) -> "list[Step]":
        """Steps of init once it has made its cgroup namespace: enter a cgroup below the root of that namespace."""
        return []

    def assert_thawed(self) -> "list[Step]":
        """Steps of the host, for exec: fail if the container's processes are frozen."""
        return []

    def open_for(self, beneath: "Mapping[str, str]") -> "list[Step]":
        """Steps of the host, for exec, instead of :meth:`open`: the new process enters the container's cgroups, or
        cgroups below them.

        :param beneath: controller -> path below the container's cgroup; ``""`` stands for every controller that is not
            named.
        :raises RequestError: a controller does not exist.
        """
        for controller, path in beneath.items():
            where = f"{controller}:{path}" if controller else path
            raise RequestError(f"--cgroup {quote(where)}: expected none: the container has no cgroup of its own")
        return self.open()

    def mount_point(self) -> str:
        """The mount that has the directory in ``register``; empty if ``register`` is ``NONE``."""
        return ""

    def mount(self, mount: "CgroupMount", in_namespace: bool) -> "list[Step]":
        """Steps of init for an entry of ``mounts`` with type ``cgroup`` or ``cgroup2``: it shows the container's own
        cgroups, each v1 hierarchy in a directory as on the host. In a cgroup namespace they look like roots.

        :param in_namespace: does the container have another cgroup namespace than the runtime?
        :raises HostError: the host has no cgroup v2 hierarchy.
        """
        cgroups = self.host.cgroups
        if mount.fstype == "cgroup2" or cgroups.is_v2:
            if cgroups.unified is None:
                raise HostError(mount.at, "this host has no cgroup v2 hierarchy")
            if not in_namespace:
                # A new mount would show the whole hierarchy, and change its options for the whole host.
                attributes = {"set": mount.set, "clear": mount.clear, **mount.first_propagation()}
                return [self._bind(mount, cgroups.unified, target=mount.target, **attributes)]
            return [
                Mount(
                    mount.at,
                    mount.spec,
                    fstype="cgroup2",
                    source="cgroup2",
                    bind=cgroups.unified.mount + self.path(cgroups.unified),
                    target=mount.target,
                    options=[*mount.superblock, *mount.options],
                    set=mount.set,
                    clear=mount.clear,
                    **mount.first_propagation(),
                )
            ]
        return self._mount_hierarchies(mount)

    def _mount_hierarchies(self, mount: "CgroupMount") -> "list[Step]":
        tmpfs = {"fstype": "tmpfs", "source": "tmpfs", "options": ("mode=755",)}
        steps: list[Step] = [Mount(mount.at, mount.spec, target=mount.target, set=TOP, **tmpfs)]
        for each in self.host.cgroups.hierarchies:
            name = each.mount.rpartition("/")[2]
            steps.append(self._bind(mount, each, target=mount.target + "/" + name))
            steps += [
                MakeSymlink(mount.at, mount.spec, to=name, path=mount.target + "/" + controller)
                for controller in each.controllers
                if len(each.controllers) > 1 and controller != name
            ]
        propagation = mount.first_propagation()["propagation"]
        if mount.set | mount.clear | propagation:
            steps.append(
                SetMountAttributes(
                    mount.at,
                    mount.spec,
                    target=mount.target,
                    set=mount.set,
                    clear=mount.clear,
                    propagation=propagation,
                    recursive=1,
                )
            )
        if mount.clear & TOP:  # the entry's options apply to the hierarchies
            steps.append(SetMountAttributes(mount.at, mount.spec, target=mount.target, set=mount.clear & TOP))
        return steps

    def _bind(self, mount: "CgroupMount", hierarchy: "Hierarchy", **fields: "Field") -> Bind:
        # If the runtime skipped the container's cgroup, the container is in the caller's, and sees that one, as in
        # runc.
        more: dict[str, str] = {"otherwise": hierarchy.mount + hierarchy.own} if self.skip_unwritable else {}
        return Bind(
            mount.at,
            mount.spec,
            source=hierarchy.mount + self.path(hierarchy),
            recursive=1,
            optional=self.skip_unwritable,
            **more,
            **fields,
        )

    def signal(self, outlive: bool) -> "list[Step]":
        """Steps of ``kill --all``.

        :param outlive: can processes outlive the first one, because the container has no pid namespace of its own?
        """
        return []

    def thaw(self) -> "list[Step]":
        """Steps that thaw frozen processes, because SIGKILL does not end a frozen process on cgroup v1."""
        return []

    def pause(self) -> "list[Step]":
        """Steps of ``pause``; empty if the host has no freezer."""
        return []

    def resume(self) -> "list[Step]":
        """Steps of ``resume``."""
        return []

    def facts(self) -> "dict[str, AnyText]":
        """The fields of :class:`~ocirt.plan.steps.Facts` that name files of this cgroup."""
        return {}

    def delete(self) -> "list[Step]":
        """Steps that kill all remaining processes in the cgroups and remove the cgroups."""
        return []

    def renew(self) -> "list[Step]":
        """Steps that remove what the next container must not share with the one that has ended."""
        return self.delete()

    # ---- for the verbs of Python, which read cgroups but never write them ----

    def directory(self) -> str:
        """The directory of a cgroup that has all processes of the container, as a host path.

        :raises HostError: the container has no cgroup of its own.
        """
        raise HostError("--cgroup-manager disabled", NONE_OF_ITS_OWN)

    def freezer(self) -> str | None:
        """The directory of the cgroup whose freezer pauses the container, ``None`` if the host has no freezer."""
        return None

    def paths(self) -> dict[str, str]:
        """The container's cgroups: controller (as in /proc/PID/cgroup, ``""`` for cgroup v2) -> path."""
        return {}

    def own(self) -> dict[str, str]:
        """What the plan took from the Host about the caller's cgroups: mount of a hierarchy -> path. The request keeps
        it, so that a later build of ocirt compiles with the same paths.
        """
        return {}


def is_rootless(request: "Request", host: "Host") -> bool:
    """Does the runtime skip cgroups that it may not write? ``--rootless`` says so; by default it skips them, as runc
    does, if the caller lacks some of root's rights.
    """
    if request.rootless != "auto":
        return request.rootless == "true"
    return host.euid != 0 or host.in_user_namespace
