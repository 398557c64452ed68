"""Reading the state directories of containers: ``<root>/<id>`` with state.json and the journal.

The layout is versioned and frozen (docs/architecture.md, "State directory"; core/state/journal.h), so that any build
can read what any other build has written.
"""

import json
import os
import select
import string
import struct
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from .descriptor import Descriptor
from .errors import NoContainer, OcirtError, StateError, reason, refusal
from .model.host import INITIAL_MAP
from .process_stat import ProcessStat, start_time_of

if TYPE_CHECKING:
    from collections.abc import Mapping

JOURNAL = struct.Struct("<8sIIiIQqqiIQ")
"""The head of the journal: magic, version, phase, pid of init, number of effects, start time of init, time of creation
(seconds, nanoseconds), pid of the creating process, hooks_run, start time of the creating process."""
HOLDER, HOLDER_AT = struct.Struct("<iQ"), 68
"""Later in the journal: pid and start time of the process that has the lock of the state directory."""
END, END_AT, END_KNOWN, END_SENT = struct.Struct("<II"), 80, 1 << 31, 1 << 30
"""Later still: the wait status of init, with END_KNOWN, if a process of the runtime has waited for it; and the last signal
that the verb kill has sent."""
JOURNAL_SIZE = 4096
MAGIC, VERSION = b"ocirtjnl", 1
CREATING, CREATED, RUNNING = 1, 2, 3
"""Phases in the journal."""

_ID_LETTERS = frozenset(string.ascii_letters + string.digits + "_+-.")


@dataclass(frozen=True, slots=True)
class State:
    """A container at one moment: the members of runtime-spec runtime.md, "State", and ocirt's own.

    While ``status`` is ``creating`` only id, pid, status, created and owner are known; the others are empty.
    """

    id: str
    status: str
    """``creating``, ``created``, ``running``, ``paused`` or ``stopped``."""
    pid: int
    """The pid of the first process, in the reader's pid namespace; 0 if it has ended."""
    created: int
    """When create was called, in nanoseconds since the epoch."""
    oci_version: str = ""
    bundle: str = ""
    rootfs: str = ""
    annotations: dict[str, str] = field(default_factory=dict)
    uid: int = 0
    """The owner of the state directory."""

    @property
    def has_started(self) -> bool:
        """Has the container's program been started, and not ended?"""
        return self.status in ("running", "paused")

    @property
    def is_alive(self) -> bool:
        """Is the container created, and has its first process not ended?"""
        return self.has_started or self.status == "created"

    def to_json(self) -> dict[str, Any]:
        """The state as the specification's JSON object, without owner; annotations only if there are any."""
        members = {
            "ociVersion": self.oci_version,
            "id": self.id,
            "pid": self.pid,
            "status": self.status,
            "bundle": self.bundle,
            "rootfs": self.rootfs,
            "created": timestamp(self.created),
        }
        return members | ({"annotations": self.annotations} if self.annotations else {})


def default_root(environment: "Mapping[str, str]") -> str:
    """The default for the directory of the containers' states: /run/ocirt for root; for other users ``ocirt`` in their
    run-time directory, which is $XDG_RUNTIME_DIR or else /run/user/UID. Root of a user namespace that a user has made
    (rootless podman) counts as such a user, unless USER is root, as in a container of its own. The executable has the
    same rule (core/launch/request.c).

    :param environment: has XDG_RUNTIME_DIR and USER.
    """
    uid = os.geteuid()
    directory = environment.get("XDG_RUNTIME_DIR") or (f"/run/user/{uid}" if uid else "")
    return os.path.join(directory, "ocirt") if directory and acts_for_user(environment) else "/run/ocirt"


def acts_for_user(environment: "Mapping[str, str]") -> bool:
    """Do containers, and what belongs to them, lie in the user's directories? See :func:`default_root`."""
    return os.geteuid() != 0 or (environment.get("USER") != "root" and _in_a_users_namespace())


def _in_a_users_namespace() -> bool:
    with open("/proc/self/uid_map") as file:
        return list(map(int, file.read().split())) != INITIAL_MAP


def ids(root: str) -> list[str]:
    """The ids of the containers under the directory ``root``, sorted; empty if the directory does not exist.

    :raises OSError: the directory cannot be read.
    """
    try:
        with os.scandir(root) as entries:
            return sorted(
                entry.name
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and _ID_LETTERS.issuperset(entry.name)
            )
    except FileNotFoundError:
        return []


def read(root: str, id: str) -> State:
    """The :class:`State` of the container ``id`` under the directory ``root``.

    :raises NoContainer: the container does not exist.
    :raises StateError: its state directory is broken.
    """
    try:
        directory = Descriptor(
            os.open, os.path.join(root, id), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        )
    except FileNotFoundError:
        raise NoContainer(id) from None
    except OSError as error:
        raise StateError(id, reason(error)) from None
    try:
        return _read(directory.fileno(), id)
    finally:
        directory.close()


def _read(directory: int, id: str) -> State:
    info = os.fstat(directory)
    # Read the journal before state.json: create writes state.json before the journal says created.
    journal = _contents(directory, "journal", id)
    if journal is None or not journal.strip(b"\0"):
        if not {"journal", "program"}.issuperset(os.listdir(directory)):
            raise NoContainer(id)  # not ocirt's directory: a create that has just begun leaves no other file
        return State(id, "creating", 0, info.st_mtime_ns, uid=info.st_uid)  # create has just begun
    if len(journal) != JOURNAL_SIZE or not journal.startswith(MAGIC):
        raise StateError(id, "the journal is broken")
    (_, version, phase, pid, _, start_time, seconds, nanoseconds, creator, _, creator_start_time) = JOURNAL.unpack_from(
        journal
    )
    if version != VERSION or phase not in (CREATING, CREATED, RUNNING):
        raise StateError(id, f"the journal has version {version}, phase {phase}: not of this build's making")
    alive = pid > 0 and lives(pid, start_time)
    created = seconds * 1_000_000_000 + nanoseconds
    if phase == CREATING:
        # If the creating process has ended, the create was cut off.
        status = "creating" if lives(creator, creator_start_time) else "stopped"
        return State(id, status, pid if alive else 0, created, uid=info.st_uid)
    members = _state_json(directory, id)
    status = "stopped" if not alive else "running" if phase == RUNNING else "created"
    if alive and _says_1(members.get("pausedFile"), info.st_uid == os.geteuid()):
        status = "paused"
    return State(
        id,
        status,
        pid if alive else 0,
        created,
        members["ociVersion"],
        members["bundle"],
        members["rootfs"],
        members.get("annotations") or {},
        info.st_uid,
    )


def _says_1(path: Any, ours: bool) -> bool:
    """Does the file ``path`` of a cgroup, which state.json names, contain 1? If it does not exist, the answer is no. In
    the state directory of another user only a path below /sys/fs/cgroup is opened, because opening other files can have
    effects.
    """
    try:
        if not ours and (not path.startswith("/sys/fs/cgroup/") or "/../" in path):
            return False
        with open(path, "rb") as file:
            return file.read(1) == b"1"
    except (AttributeError, OSError, TypeError, ValueError):
        return False


def _contents(directory: int, name: str, id: str) -> bytes | None:
    """The content of the file ``name`` of the state directory, ``None`` if it does not exist."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with Descriptor(partial(os.open, dir_fd=directory), name, flags).file("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o170000 != 0o100000:
                raise StateError(id, f"{name} is no regular file")
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(id, f"{name}: {reason(error)}") from None


def _state_json(directory: int, id: str) -> dict[str, Any]:
    data = _contents(directory, "state.json", id)
    if data is None:
        raise StateError(id, "state.json is missing")
    try:
        members = json.loads(data)
        if all(isinstance(members[name], str) for name in ("ociVersion", "bundle", "rootfs")):
            found: dict[str, Any] = members
            return found
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise StateError(id, "state.json is broken")


def end_of(root: str, id: str) -> int | None:
    """The wait status of the container's first process, ``None`` if the runtime does not know it: the journal has what a
    process of the runtime has waited for; a process that nobody has collected yet tells it itself.
    """
    head = _head(root, id)
    end, _ = END.unpack_from(head, END_AT)
    if end & END_KNOWN:
        return int(end & ~(END_KNOWN | END_SENT))
    members = JOURNAL.unpack_from(head)
    pid, start_time = members[3], members[5]
    try:
        found = ProcessStat(pid)
    except OSError:
        return None
    return found.wait_status if found.start_time == start_time else None


def pid_of(root: str, id: str) -> int:
    """The pid that the container's first process has, or had."""
    pid: int = JOURNAL.unpack_from(_head(root, id))[3]
    return pid


def sent_by_kill(root: str, id: str) -> int:
    """The last signal that ``ocirt kill`` has sent to the container's first process; 0 if it has sent none."""
    sent: int = END.unpack_from(_head(root, id), END_AT)[1]
    return sent


def failure_of(root: str, id: str) -> str:
    """The error of the ``start`` that has failed; empty if none has failed."""
    try:
        with open(os.path.join(root, id, "failure"), "rb") as file:
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _head(root: str, id: str) -> bytes:
    try:
        with open(os.path.join(root, id, "journal"), "rb") as file:
            head = file.read(END_AT + END.size)
    except OSError as error:
        raise StateError(id, f"journal: {reason(error)}") from None
    if len(head) < END_AT + END.size:
        raise StateError(id, "the journal is broken")
    return head


def is_being_created(directory: int) -> bool:
    """Has the create of the state directory (an open descriptor) not committed yet?"""
    journal = os.open("journal", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    with open(journal, "rb", buffering=0):
        phase: int = JOURNAL.unpack(os.pread(journal, JOURNAL.size, 0))[2]
    return phase == CREATING


def tell_holder(directory: int) -> None:
    """Record in the journal that this process has the lock of the state directory (an open descriptor). A file of that
    name that is no journal is not changed.
    """
    try:
        journal = os.open("journal", os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return  # the create was cut off before it made a journal
    with open(journal, "r+b", buffering=0):
        if os.fstat(journal).st_size == JOURNAL_SIZE and os.pread(journal, JOURNAL.size, 0)[
            :12
        ] == MAGIC + VERSION.to_bytes(4, "little"):
            os.pwrite(journal, HOLDER.pack(os.getpid(), start_time_of(os.getpid())), HOLDER_AT)


def holder(directory: int) -> int:
    """The pid of the process that has the lock of the state directory, by the journal; 0 if the journal names none."""
    try:
        journal = os.open("journal", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return 0
    with open(journal, "rb", buffering=0):
        data = os.pread(journal, HOLDER.size, HOLDER_AT)
    pid: int = HOLDER.unpack(data)[0] if len(data) == HOLDER.size else 0
    return pid


def lives(pid: int, start_time: int) -> bool:
    """Does the process ``pid`` that began at ``start_time`` (clock ticks since boot) still run?

    A zombie has ended. A pidfd holds the process, so that its pid cannot pass to another one during the check.

    :raises OcirtError: the kernel refuses a pidfd, so that the answer is unknown.
    """
    try:
        pidfd = Descriptor.of_process(pid)
    except ProcessLookupError:
        return False
    except OSError as error:
        raise OcirtError(refusal("pidfd_open", error)) from None
    if start_time_of(pid) != start_time:
        return False
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return not poll.poll(0)


def timestamp(nanoseconds: int) -> str:
    """Nanoseconds since the epoch as RFC 3339 in UTC, the fraction without trailing zeros, as Go writes it."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    digits = f".{fraction:09}".rstrip("0").rstrip(".")
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + digits + "Z"
