"""What the drivers share that make cgroups by themselves: paths, steps on cgroups, limits that every version knows."""

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
"""Microseconds of a quota or a period that the kernel takes (min_cfs_quota_period and max_cfs_quota_period)."""
NO_LIMIT = "max"
WARN = 2
"""As ``skip_unwritable`` of a step that writes a limit: where the cgroup may not be written, go on with a warning."""


class Cgroupfs(Driver):
    """A driver for one container whose cgroups lie in ``hierarchies``.

    An absolute ``linux.cgroupsPath`` lies beneath each hierarchy's mount, a relative one (also one of the form
    ``slice:prefix:name``) where :meth:`beneath` says; without one the path is the id.

    :raises ConfigError: ``linux.cgroupsPath`` cannot be used.
    """

    at = "linux.cgroupsPath"
    """What an error of a step is about: the property that says, or could say, where the cgroups are."""

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
        """The path in every hierarchy, and whether it is one beneath the caller's cgroup.

        :param path: what ``linux.cgroupsPath`` says, ``None`` where it says nothing.
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
        """The cgroup beneath which a relative path lies, by the caller's ``own``."""
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
        """Facts about files of the cgroup of ``hierarchy``, which is there called ``name``."""
        return {f"{name}_hierarchy": hierarchy.mount, f"{name}_path": self.path(hierarchy), **files}

    def paths(self) -> dict[str, str]:
        return {name: bound(self.path(each)) for each in self.all for name in each.controllers or ("",)}

    def placed(self, kind: "type[Send] | type[Receive]") -> "Send | Receive":
        """The step that tells the first child that it may go on to what needs its cgroup, or waits for that."""
        return kind(self.at, "config-linux.md#cgroups-path", event=EVENTS.index("placed"))

    def wait(self) -> "list[Step]":
        return [self.placed(Receive)]

    def release(self, resources: "Resources", first: bool) -> "list[Step]":
        """The last steps of :meth:`place`: they let the first child go on, and have the device rules hold."""
        placed, rules = self.placed(Send), self.filter_devices(resources)
        return [*rules, placed] if first else [placed, *rules]

    def filter_devices(self, resources: "Resources") -> "list[Step]":
        """Steps that have the device rules hold, where that takes so long that it is no part of :meth:`limit`."""
        return []

    # ---- limits ----

    def _hierarchy(self, controller: str, at: str) -> "Hierarchy":
        """The hierarchy in which ``controller`` is.

        :raises HostError: there is none.
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
        """What becomes of ``value`` where the cgroup may not be written: nobody misses what is no limit."""
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
    """What the files of a cpuset are called in the cgroup above, whose CPUs and nodes are all that can be had: the end of the name."""

    def _cpuset(self, cpu: "Cpu") -> list[WriteCgroup]:
        return [
            self._write("cpuset", file, text, text.path, "cpu", usage=f"../{file}{self.ALLOWED_SETS}")
            for file, text in (("cpuset.cpus", cpu.cpus), ("cpuset.mems", cpu.mems))
            if text is not None and not text.is_empty()
        ]

    def _pids(self, pids: "Pids", zero: str | None = None) -> list[WriteCgroup]:
        """:param zero: what is written for a limit of 0, where it is one and not 0 is written."""
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
    """``cpu.shares``, ``None`` where there are none or 0, which asks for nothing.

    :raises ConfigError: what lies outside the kernel's range, which cgroup v1 would change in silence.
    """
    number = cpu.shares
    return None if number is None or number.equals(0) else number.checked(2, 1 << 18)


def bandwidth(cpu: "Cpu") -> "tuple[Number | None, Number | None]":
    """``cpu.quota`` and ``cpu.period`` in the kernel's range; ``None`` where there is none or 0, which asks for nothing.

    :raises ConfigError: what the kernel refuses, without saying what it would take.
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
    """The size of an entry of ``hugepageLimits``, as the kernel's file names have it.

    :raises ConfigError: it is none.
    """
    size = limit.page_size.read()
    if not (size[:-2].isascii() and size[:-2].isdigit() and size[-2:] in ("KB", "MB", "GB")):
        raise ConfigError(limit.page_size.path, quote(size), 'a page size like "2MB"')
    return size


def missing(at: str, controller: str) -> HostError:
    return HostError(at, f"this host has no cgroup hierarchy with the controller {controller}")
