"""Statistics of cgroup v2, in the form of v1, as in runc. The kernel's Documentation/admin-guide/cgroup-v2.rst
describes the files.
"""

from .counters import CPUSET, NO_LIMIT, Files, assemble, block_entry, cpus, given, huge_pages, memory_entry, page_sizes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PRESSURE = ("avg10", "avg60", "avg300")


def stats(directory: str) -> "dict[str, Any]":
    """The statistics of the cgroup ``directory``.

    :raises HostError: a file cannot be read.
    """
    files = Files(directory)
    return assemble(cpu(files), cpuset(files), memory(files), pids(files), block_io(files), hugetlb(files))


def pressure(files: Files, name: str) -> "dict[str, Any]":
    """Pressure stall information, as ``psi``; empty if the kernel does not count it."""
    rows = {}
    for line in (files.text(name) or "").splitlines():
        kind, *fields = line.split()
        values = dict([field.partition("=")[::2] for field in fields])
        rows[kind] = {**{key: float(values.get(key, 0)) for key in PRESSURE}, "total": int(values.get("total", 0))}
    none = {**dict.fromkeys(PRESSURE, 0), "total": 0}
    return {"psi": {"some": rows.get("some", none), "full": rows.get("full", none)}} if rows else {}


def cpu(files: Files) -> "dict[str, Any]":
    rows = files.pairs("cpu.stat")

    def nanoseconds(key: str) -> int:
        return rows.get(key, 0) * 1000

    return {
        "usage": {
            **given(total=nanoseconds("usage_usec")),
            "kernel": nanoseconds("system_usec"),
            "user": nanoseconds("user_usec"),
        },
        "throttling": given(
            periods=rows.get("nr_periods"),
            throttledPeriods=rows.get("nr_throttled"),
            throttledTime=nanoseconds("throttled_usec"),
        ),
        **pressure(files, "cpu.pressure"),
    }


def cpuset(files: Files) -> "dict[str, Any]":
    """The effective lists, because the settings themselves may be empty. Only v1 has the flags."""
    lists = {name: cpus(files.text(f"cpuset.{name}.effective")) for name in ("cpus", "mems")}
    return {
        name: value
        for name, value in {
            "cpus": lists["cpus"],
            CPUSET[0]: 0,
            "mems": lists["mems"],
            **dict.fromkeys(CPUSET[1:], 0),
        }.items()
        if value != []
    }


def memory(files: Files) -> "dict[str, Any]":
    raw = files.pairs("memory.stat")
    usage, limit = files.number("memory.current"), files.number("memory.max")
    swap, swap_limit = files.number("memory.swap.current"), files.number("memory.swap.max")
    # v1 counts memory and swap together, for which v2 has no peak.
    both = limit + swap_limit if NO_LIMIT not in (limit, swap_limit) else NO_LIMIT
    has_swap = files.text("memory.swap.current") is not None
    return {
        **given(cache=raw.get("file")),
        "usage": memory_entry(usage, limit, files.number("memory.peak")),
        "swap": memory_entry(usage + swap, both if has_swap else limit),
        "kernel": memory_entry(),
        "kernelTCP": memory_entry(),
        **given(raw=dict(sorted(raw.items()))),
        **pressure(files, "memory.pressure"),
    }


def pids(files: Files) -> "dict[str, Any]":
    limit = files.number("pids.max")
    current = files.number("pids.current", -1)
    if current < 0:  # the controller is not enabled
        current = len((files.text("cgroup.procs") or "").split())
    return given(current=current, limit=0 if limit == NO_LIMIT else limit)


def block_io(files: Files) -> "dict[str, Any]":
    tables: dict[str, list[dict[str, Any]]] = {"ioServiceBytesRecursive": [], "ioServicedRecursive": []}
    keys = {
        "rbytes": ("ioServiceBytesRecursive", "Read"),
        "wbytes": ("ioServiceBytesRecursive", "Write"),
        "rios": ("ioServicedRecursive", "Read"),
        "wios": ("ioServicedRecursive", "Write"),
    }
    for line in (files.text("io.stat") or "").splitlines():
        device, *fields = line.split()
        major, colon, minor = device.partition(":")
        for key, _, value in [field.partition("=") for field in fields if colon]:
            if key in keys:
                table, operation = keys[key]
                tables[table].append(block_entry(int(major), int(minor), operation, int(value)))
    return {**given(**tables), **pressure(files, "io.pressure")}


def hugetlb(files: Files) -> dict[str, dict[str, int]]:
    found = {}
    for size in page_sizes():
        for name in (f"hugetlb.{size}.rsvd", f"hugetlb.{size}"):
            if files.text(f"{name}.current") is not None:
                failures = files.pairs(f"hugetlb.{size}.events").get("max", 0)
                found[size] = huge_pages(files.number(f"{name}.current"), 0, failures)
                break
    return found
