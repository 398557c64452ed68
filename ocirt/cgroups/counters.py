"""The statistics of a container's cgroups that ``events`` prints, in the form of runc's types/events.go (1.3), because
engines parse that form.

As in runc, some members are left out if they are 0 or empty. Times are in nanoseconds, sizes in bytes. This module has
what both versions of cgroups share; :mod:`.stats_v1` and :mod:`.stats_v2` read the rest.
"""

import os

from ..errors import HostError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HUGE_PAGES = "/sys/kernel/mm/hugepages"
NO_LIMIT = (1 << 64) - 1

CPUSET = (
    "cpu_exclusive",
    "mem_hardwall",
    "mem_exclusive",
    "memory_migrate",
    "memory_spread_page",
    "memory_spread_slab",
    "memory_pressure",
    "sched_load_balance",
    "sched_relax_domain_level",
)
"""Members of ``cpuset``, each a file of cgroup v1."""


class Files:
    """The files of one cgroup. A file that does not exist reads as ``None``, or as 0 or empty, because kernels differ.

    :param directory: ``None`` if the controller does not exist; then no file exists.
    """

    def __init__(self, directory: str | None) -> None:
        self.directory = directory

    def text(self, name: str) -> str | None:
        """The content of the file, ``None`` if the file does not exist.

        :raises HostError: the file cannot be read.
        """
        if self.directory is None:
            return None
        try:
            with open(os.path.join(self.directory, name)) as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno in (19, 95):  # ENODEV: the cgroup is being removed; EOPNOTSUPP: not counted
                return None
            raise HostError(os.path.join(self.directory, name), reason(error)) from None

    def number(self, name: str, default: int = 0) -> int:
        """The number in the file; ``max`` is :data:`NO_LIMIT`."""
        return _number((self.text(name) or "").strip(), default)

    def pairs(self, name: str) -> dict[str, int]:
        """The lines of the file, each a word and a number, as a dict."""
        rows = [line.split() for line in (self.text(name) or "").splitlines()]
        return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].lstrip("-").isdigit()}


def _number(text: str, default: int) -> int:
    if text == "max":
        return NO_LIMIT
    return int(text) if text.lstrip("-").isdigit() else default


def given(**members: object) -> "dict[str, Any]":
    """The members that are not 0, empty or ``None``."""
    return {name: value for name, value in members.items() if value}


def cpus(text: str | None) -> list[int]:
    """The numbers in a list like ``0-2,4``."""
    found: list[int] = []
    for part in (text or "").strip().split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            found += range(int(first), int(last or first) + 1)
    return found


def memory_entry(usage: int = 0, limit: int = 0, peak: int = 0, failures: int = 0) -> dict[str, int]:
    return {"limit": limit, **given(usage=usage, max=peak), "failcnt": failures}


def block_entry(major: int, minor: int, operation: str, value: int) -> "dict[str, Any]":
    return given(major=major, minor=minor, op=operation, value=value)


def page_sizes(directory: str = HUGE_PAGES) -> list[str]:
    """The sizes of this kernel's huge pages, in the notation of its file names: ``2MB``."""
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return sorted([_page_size(int(name.removeprefix("hugepages-").removesuffix("kB"))) for name in names])


def _page_size(kilobytes: int) -> str:
    for unit in ("KB", "MB"):
        if kilobytes < 1024:
            return f"{kilobytes}{unit}"
        kilobytes //= 1024
    return f"{kilobytes}GB"


def huge_pages(usage: int, peak: int, failures: int) -> dict[str, int]:
    return {**given(usage=usage, max=peak), "failcnt": failures}


def assemble(
    cpu: "dict[str, Any]",
    cpuset: "dict[str, Any]",
    memory: "dict[str, Any]",
    pids: "dict[str, Any]",
    blkio: "dict[str, Any]",
    hugetlb: "dict[str, dict[str, int]]",
) -> "dict[str, Any]":
    """All statistics, in runc's order."""
    return {
        "cpu": cpu,
        "cpuset": cpuset,
        "memory": memory,
        "pids": pids,
        "blkio": blkio,
        "hugetlb": hugetlb,
        "intel_rdt": {},
        "network_interfaces": None,
    }
