"""Programs for other orders of a config's mounts, compiled after the runtime has got its own.

podman takes the bind mounts of a container from a Go map, in random order. One of them has more options than the
others, so its place among them makes another program. Python therefore compiles the other orders, too, when it has kept
the program of the first one: the process goes on alone, at the lowest priority, and keeps nothing of the caller's.
"""

import posix
from _signal import SIG_DFL, SIGALRM, alarm, signal
from fcntl import LOCK_EX, LOCK_NB, flock

from ..compile import compile
from ..errors import OcirtError
from ..model.config import Config, check_version
from ..model.request import Request
from ..model.text import clean
from ..plan.cache import keep_another
from ..plan.encode import encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..model.host import Host
    from ..model.json import Members
    from ..model.request import Words
    from ..plan.filters import Filters

SWITCH = b"OCIRT_AHEAD"
"""If this variable is ``off``, no other order is compiled."""
ORDERS = 8
"""The most orders that one create has compiled."""
SECONDS = 1
"""The longest life of the process after that of the runtime. It is a member of the caller's cgroups meanwhile."""
LOCK = "ahead"
"""A file of the cache's directory: one process compiles ahead at a time."""
LOWEST = 19


def compile_ahead(config: Config, words: "Words", host: "Host", filters: "Filters | None", build: str) -> None:
    """Keep the programs for the other orders of the config's mounts, if there are any.

    :param words: the request's words (:func:`ocirt.boot.read_request`), with ``cache``.
    :param filters: the kept seccomp filters, if the config has a profile.
    """
    orders = list(other_orders(config.value.get("mounts") or []))
    if not orders or posix.environ.get(SWITCH) == b"off":
        return
    leave_caller()
    directory = words["cache"].rpartition("/")[0]
    try:
        lock = posix.open(
            f"{directory}/{LOCK}", posix.O_RDWR | posix.O_CREAT | posix.O_NOFOLLOW | posix.O_CLOEXEC, 0o600
        )
        flock(lock, LOCK_EX | LOCK_NB)
        for mounts in orders:
            other = Config({**config.value, "mounts": mounts}, config.sources)
            check_version(other.oci_version)
            program = encoded(compile(other, Request(words), host, filters), build)
            keep_another(directory, words["cache-key"], words["cache-request"], other, host, program, build)
    except (OSError, OcirtError):
        pass  # what is not kept ahead is compiled when a container asks for it


def leave_caller() -> None:
    """Give up the caller's descriptors, session, terminal and directory, and end soon. All modules must be imported."""
    null = posix.open("/dev/null", posix.O_RDWR)
    for fd in range(3):
        posix.dup2(null, fd)
    posix.closerange(3, posix.sysconf("SC_OPEN_MAX"))  # the runtime waits for the end of a pipe among them
    posix.setsid()
    posix.chdir("/")
    signal(SIGALRM, SIG_DFL)
    alarm(SECONDS)
    posix.setpriority(posix.PRIO_PROCESS, 0, LOWEST)
    try:
        posix.sched_setscheduler(0, posix.SCHED_IDLE, posix.sched_param(0))
    except OSError:
        pass  # musl refuses it, because POSIX means a process and Linux a thread: the priority must do


def other_orders(mounts: "list[Members]") -> "Iterator[list[Members]]":
    """The other orders in which an engine may list ``mounts``, at most ORDERS: those of the longest row of bind mounts
    that do not cover each other. Mounts that differ only in source and destination may change places in one program.
    """
    first, end = _row(mounts)
    row = mounts[first:end]
    places = [f"{clean(mount['destination'])}/" for mount in row]
    if any([one != other and one.startswith(other) for one in places for other in places]):
        return
    kinds = [_kind(mount) for mount in row]
    counts = {kind: kinds.count(kind) for kind in kinds}
    found = 0
    for order in _arrangements(counts):
        if order != kinds and found < ORDERS:
            found += 1
            left = {kind: [mount for mount, its in zip(row, kinds) if its == kind] for kind in counts}
            yield [*mounts[:first], *[left[kind].pop(0) for kind in order], *mounts[end:]]
        elif found == ORDERS:
            return


def _row(mounts: "list[Members]") -> tuple[int, int]:
    """Where the longest row of bind mounts begins and ends."""
    best = first = 0, 0
    for index, mount in enumerate(mounts):
        is_bind = mount.get("type") == "bind" or not {"bind", "rbind"}.isdisjoint(mount.get("options") or ())
        first = (first[0], index + 1) if is_bind else (index + 1, index + 1)
        best = max(best, first, key=lambda row: row[1] - row[0])
    return best


def _kind(mount: "Members") -> str:
    """What of a mount makes another program."""
    return repr([(name, None if name in ("destination", "source") else value) for name, value in mount.items()])


def _arrangements(counts: dict[str, int]) -> "Iterator[list[str]]":
    """All ways to put so many of each kind in a row."""
    if not any(counts.values()):
        yield []
    for kind, count in counts.items():
        if count:
            for rest in _arrangements({**counts, kind: count - 1}):
                yield [kind, *rest]
