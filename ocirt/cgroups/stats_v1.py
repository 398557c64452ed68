"""Statistics of cgroup v1: the kernel's Documentation/admin-guide/cgroup-v1."""

from .counters import CPUSET, NO_LIMIT, Files, assemble, block_entry, cpus, given, huge_pages, memory_entry, page_sizes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .v1 import V1

TICK = 10_000_000
"""Nanoseconds of a tick, the unit of cpuacct.stat: USER_HZ is 100 on almost all architectures."""

BLOCK_IO = (
    # Member of blkio, and the end of the file's name.
    ("ioServiceBytesRecursive", "io_service_bytes"),
    ("ioServicedRecursive", "io_serviced"),
    ("ioQueueRecursive", "io_queued"),
    ("ioServiceTimeRecursive", "io_service_time"),
    ("ioWaitTimeRecursive", "io_wait_time"),
    ("ioMergedRecursive", "io_merged"),
    ("ioTimeRecursive", "time"),
    ("sectorsRecursive", "sectors"),
)

SCHEDULERS = (
    ("blkio.bfq.", "_recursive"),
    ("blkio.", "_recursive"),
    ("blkio.throttle.", "_recursive"),
    ("blkio.throttle.", ""),
)
"""What surrounds the names of BLOCK_IO, for each counter: BFQ, CFQ, the throttle. The first that counts is used."""


def stats(driver: "V1") -> "dict[str, Any]":
    """The statistics of the container of ``driver``.

    :raises HostError: a file cannot be read.
    """

    def files(controller: str) -> Files:
        return Files(driver.directory(controller) if driver.host.cgroups.hierarchy(controller) else None)

    return assemble(
        cpu(files("cpuacct"), files("cpu")),
        cpuset(files("cpuset")),
        memory(files("memory")),
        pids(files("pids")),
        block_io(files("blkio")),
        hugetlb(files("hugetlb")),
    )


def cpu(account: Files, scheduler: Files) -> "dict[str, Any]":
    """The statistics of the CPUs.

    :param account: the files of cpuacct.
    :param scheduler: the files of cpu.
    """
    ticks, throttling = account.pairs("cpuacct.stat"), scheduler.pairs("cpu.stat")
    by_mode = [line.split()[1:3] for line in (account.text("cpuacct.usage_all") or "").splitlines()[1:]]
    usage = given(
        total=account.number("cpuacct.usage"),
        percpu=list(map(int, (account.text("cpuacct.usage_percpu") or "").split())),
        percpu_kernel=[int(row[1]) for row in by_mode],
        percpu_user=[int(row[0]) for row in by_mode],
    )
    return {
        "usage": {**usage, "kernel": ticks.get("system", 0) * TICK, "user": ticks.get("user", 0) * TICK},
        "throttling": given(
            periods=throttling.get("nr_periods"),
            throttledPeriods=throttling.get("nr_throttled"),
            throttledTime=throttling.get("throttled_time"),
        ),
    }


def cpuset(files: Files) -> "dict[str, Any]":
    numbers = {name: files.number(f"cpuset.{name}") for name in CPUSET}
    exclusive = numbers.pop("cpu_exclusive")
    return {
        **given(cpus=cpus(files.text("cpuset.cpus"))),
        "cpu_exclusive": exclusive,
        **given(mems=cpus(files.text("cpuset.mems"))),
        **numbers,
    }


def memory(files: Files) -> "dict[str, Any]":
    raw = files.pairs("memory.stat")

    def entry(name: str) -> dict[str, int]:
        return memory_entry(
            *[
                files.number(f"memory.{name}{end}")
                for end in ("usage_in_bytes", "limit_in_bytes", "max_usage_in_bytes", "failcnt")
            ]
        )

    return {
        **given(cache=raw.get("cache")),
        "usage": entry(""),
        "swap": entry("memsw."),
        "kernel": entry("kmem."),
        "kernelTCP": entry("kmem.tcp."),
        **given(raw=dict(sorted(raw.items()))),
    }


def pids(files: Files) -> "dict[str, Any]":
    limit = files.number("pids.max")
    return given(current=files.number("pids.current"), limit=0 if limit == NO_LIMIT else limit)


def block_io(files: Files) -> "dict[str, Any]":
    for before, after in SCHEDULERS:
        found = {
            member: text
            for member, text in [(member, files.text(before + name + after)) for member, name in BLOCK_IO]
            if text is not None
        }
        entries = given(**{member: _block_entries(text) for member, text in found.items()})
        if entries:
            return entries
    return {}


def _block_entries(text: str) -> "list[dict[str, Any]]":
    """Entries for lines of ``8:0 Read 4096``, or without the word; the total over all devices is left out."""
    entries = []
    for line in text.splitlines():
        device, *rest = line.split()
        major, colon, minor = device.partition(":")
        if colon and rest:
            entries.append(block_entry(int(major), int(minor), rest[0] if len(rest) > 1 else "", int(rest[-1])))
    return entries


def hugetlb(files: Files) -> dict[str, dict[str, int]]:
    found = {}
    for size in page_sizes():
        # Reservations, if the kernel counts them.
        for name in (f"hugetlb.{size}.rsvd", f"hugetlb.{size}"):
            if files.text(f"{name}.usage_in_bytes") is not None:
                found[size] = huge_pages(
                    *[files.number(f"{name}.{end}") for end in ("usage_in_bytes", "max_usage_in_bytes", "failcnt")]
                )
                break
    return found
