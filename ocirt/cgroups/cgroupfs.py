"""What all drivers share that make cgroups themselves: paths, steps on cgroups, and the limits that both
versions have.
"""

from ..errors import ConfigError, HostError
from ..model.text import Template, bound, quote
from ..plan.steps import EVENTS, Receive, Send, WriteCgroup
from . import Driver, is_rootless

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeVar

    from ..model.config import Cpu, HugepageLimit, Linux, Pids, Rdma, Resources
    from ..model.host import Hierarchy, Host
    from ..model.request import Request
    from ..model.text import AnyText, Field, Number, Text
    from ..plan import Plan
    from ..plan.steps import Step

    Made = TypeVar("Made", bound=Step)

INT64_MAX = (1 << 63) - 1
SHORTEST, LONGEST = 1000, 1000000
"""The shortest and longest quota or period that the kernel accepts, in microseconds (min_cfs_quota_period and
max_cfs_quota_period)."""
NO_LIMIT = "max"
WARN = 2
"""A value of ``skip_unwritable`` in a step that writes a limit: if the runtime may not write the cgroup, it warns and
goes on."""


class Cgroupfs(Driver):
    """A driver for one container with cgroups in ``hierarchies``.

    An absolute ``linux.cgroupsPath`` begins at each hierarchy's mount, a relative one (also one of the form
    ``slice:prefix:name``) at the cgroup that :meth:`beneath` returns. Without ``linux.cgroupsPath`` the path is the id.

    :raises ConfigError: ``linux.cgroupsPath`` cannot be used.
    """

    at = "linux.cgroupsPath"
    """The property that an error of a step names: it says, or could say, which path the cgroups have."""

    def __init__(
        self, linux: "Linux", request: "Request", host: "Host", plan: "Plan", hierarchies: "Iterable[Hierarchy]"
    ) -> None:
        super().__init__(host)
        self.skip_unwritable = int(is_rootless(request, host))
        self.without = WARN if request.rootless == "true" else 0
        path = linux.cgroups_path
        self.has_path = path is not None and not path.is_empty()
        self.tail, self.is_relative = self.locate(path if self.has_path else None, request.text("id", plan.trace))
        self.own_paths = request.own_cgroups
        self.all = tuple(hierarchies)
        self._paths = {each.mount: self._path(each) for each in self.all}

    def locate(self, path: "Text | None", id: "Text") -> "tuple[AnyText, bool]":
        """The path in every hierarchy, and whether it is relative to the caller's cgroup.

        :param path: the value of ``linux.cgroupsPath``, ``None`` if it is missing or empty.
        """
        if path is None:
            return id, True
        if path.goes_up():
            raise ConfigError(path.path, quote(path.bound()), "a path without ..")
        if path.is_path("/"):
            raise ConfigError(path.path, quote(path.bound()), "a cgroup of the container's own")
        return path, not path.is_absolute()

    def path(self, hierarchy: "Hierarchy") -> "AnyText":
        return self._paths[hierarchy.mount]

    def _path(self, hierarchy: "Hierarchy") -> "AnyText":
        return self.beneath(self._own(hierarchy)).rstrip("/") + "/" + self.tail if self.is_relative else self.tail

    def beneath(self, own: str) -> str:
        """The cgroup at which a relative path begins, if the caller's cgroup is ``own``."""
        return own

    def _own(self, hierarchy: "Hierarchy") -> str:
        if self.own_paths is None:
            return hierarchy.own
        return self.own_paths.get(hierarchy.mount, hierarchy.own)

    def own(self) -> dict[str, str]:
        return {each.mount: self._own(each) for each in self.all} if self.is_relative else {}

    def _step(
        self,
        kind: "type[Made]",
        hierarchy: "Hierarchy",
        at: str | None = None,
        spec: str = "config-linux.md#cgroups-path",
        **fields: "Field",
    ) -> "Made":
        return kind(at or self.at, spec, hierarchy=hierarchy.mount, path=self.path(hierarchy), **fields)

    def _files(self, name: str, hierarchy: "Hierarchy", **files: "AnyText") -> "dict[str, AnyText]":
        """Facts about files of the cgroup of ``hierarchy``, which the facts call ``name``."""
        return {f"{name}_hierarchy": hierarchy.mount, f"{name}_path": self.path(hierarchy), **files}

    def paths(self) -> dict[str, str]:
        return {name: bound(self.path(each)) for each in self.all for name in each.controllers or ("",)}

    def placed(self, kind: "type[Send] | type[Receive]") -> "Send | Receive":
        """The step that lets the first child go on to the steps that need its cgroup, or the child's step that waits
        for this.
        """
        return kind(self.at, "config-linux.md#cgroups-path", event=EVENTS.index("placed"))

    def wait(self) -> "list[Step]":
        return [self.placed(Receive)]

    def release(self, resources: "Resources", first: bool) -> "list[Step]":
        """The last steps of :meth:`place`: they let the first child go on, and apply the device rules."""
        placed, rules = self.placed(Send), self.filter_devices(resources)
        return [*rules, placed] if first else [placed, *rules]

    def filter_devices(self, resources: "Resources") -> "list[Step]":
        """Steps that apply the device rules, if these take so long that :meth:`limit` does not apply them."""
        return []

    # ---- limits ----

    def _hierarchy(self, controller: str, at: str) -> "Hierarchy":
        """The hierarchy of ``controller``.

        :raises HostError: the host has no such hierarchy.
        """
        raise NotImplementedError

    def _write(
        self, controller: str, file: str, value: "AnyText | Number", at: str, spec: str, **more: "Field"
    ) -> WriteCgroup:
        return self._step(
            WriteCgroup,
            self._hierarchy(controller, at),
            at,
            f"config-linux.md#{spec}",
            file=file,
            value=value if isinstance(value, (str, Template)) else Template(value),
            **{"skip_unwritable": self._if_unwritable(value), **more},
        )

    def _if_unwritable(self, value: object) -> int:
        """``skip_unwritable`` for a step that writes ``value``: a missing write changes nothing if the value is no limit."""
        return self.skip_unwritable if is_no_limit(value) else self.without

    def _numbers(
        self, controller: str, spec: str, *rows: "tuple[str, Number | None]", **more: "Field"
    ) -> list[WriteCgroup]:
        """Writes of numbers, each a pair of file and Number; as in runc neither ``None`` nor 0 is written."""
        return [
            self._write(
                controller,
                file,
                number,
                number.path,
                spec,
                **({"skip_unwritable": 1, **more} if self.skip_unwritable and number.equals(-1) else more),
            )
            for file, number in rows
            if number is not None and not number.equals(0)
        ]

    ALLOWED_SETS = ""
    """The end of the name of the parent cgroup's files that list the CPUs and nodes a cpuset may use."""

    def _cpuset(self, cpu: "Cpu") -> list[WriteCgroup]:
        return [
            self._write("cpuset", file, text, text.path, "cpu", usage=f"../{file}{self.ALLOWED_SETS}")
            for file, text in (("cpuset.cpus", cpu.cpus), ("cpuset.mems", cpu.mems))
            if text is not None and not text.is_empty()
        ]

    def _pids(self, pids: "Pids", zero: str | None = None) -> list[WriteCgroup]:
        """:param zero: the text to write for a limit of 0, if 0 is a limit and the kernel expects another text."""
        limit = pids.limit
        if limit is None:
            return []
        value: str | Number = NO_LIMIT if limit.equals(-1) else limit.checked(0, (1 << 63) - 1, "-1 (no limit) or more")
        if limit.equals(0) and not self.zero_is_a_limit:
            value = NO_LIMIT
        elif zero and limit.equals(0):
            value = zero
        return [self._write("pids", "pids.max", value, limit.path, "pids")]

    def _rdma(self, devices: "dict[str, Rdma]") -> list[WriteCgroup]:
        steps = []
        for name, device in devices.items():
            limits = Template(name)
            for key, number in (("hca_handle", device.hca_handles), ("hca_object", device.hca_objects)):
                if number is not None:
                    limits = limits + f" {key}=" + number
            if len(limits.pieces) == 1:
                raise ConfigError(device.path, "neither hcaHandles nor hcaObjects", "one of them")
            steps.append(self._write("rdma", "rdma.max", limits, device.path, "rdma"))
        return steps


def is_no_limit(value: object) -> bool:
    return isinstance(value, str) and value == NO_LIMIT


def shares(cpu: "Cpu") -> "Number | None":
    """``cpu.shares``, ``None`` if it is missing or 0, which asks for nothing.

    :raises ConfigError: the value is outside the kernel's range; cgroup v1 would change it silently.
    """
    number = cpu.shares
    return None if number is None or number.equals(0) else number.checked(2, 1 << 18)


def bandwidth(cpu: "Cpu") -> "tuple[Number | None, Number | None]":
    """``cpu.quota`` and ``cpu.period`` in the kernel's range, in microseconds; ``None`` if missing or 0, which asks for
    nothing.

    :raises ConfigError: the kernel would refuse the value, without saying which values it accepts.
    """
    quota, period = cpu.quota, cpu.period
    if quota is not None and not quota.equals(0) and not quota.equals(-1):
        quota.checked(SHORTEST, INT64_MAX, f"{SHORTEST} microseconds or more, or -1 (no limit)")
    if period is not None and not period.equals(0):
        period.checked(SHORTEST, LONGEST, f"{SHORTEST} to {LONGEST} microseconds")
    return (None if quota is None or quota.equals(0) else quota), (
        None if period is None or period.equals(0) else period
    )


def page_size(limit: "HugepageLimit") -> str:
    """The size of an entry of ``hugepageLimits``, in the notation of the kernel's file names.

    :raises ConfigError: it is no size.
    """
    size = limit.page_size.read()
    if not (size[:-2].isascii() and size[:-2].isdigit() and size[-2:] in ("KB", "MB", "GB")):
        raise ConfigError(limit.page_size.path, quote(size), 'a page size like "2MB"')
    return size


def missing(at: str, controller: str) -> HostError:
    return HostError(at, f"this host has no cgroup hierarchy with the controller {controller}")
