"""The operations on a container. Each of them is a generator (:mod:`.waiting`)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass
from typing import Any, Protocol

from .. import state_dir as states
from ..descriptor import Descriptor
from ..errors import HostError, OcirtError, RequestError, reason
from ..failures import TimeoutExpired
from ..model.request import checked_id
from . import arguments, limits, pidfd, report, submounts
from .children import Child
from .lending import Lending
from .program import Program
from .report import Begin, End
from .runtime import Runtime
from .streams import Output, Streams, transfer
from .supervisor import Supervisor
from .waiting import Operation, deadline_in
from .warn import warn

Path = str | os.PathLike[str]
MFD_NOEXEC_SEAL = 8


def verb(
    runtime: Runtime, id: str, *words: str, input: bytes | None = None, streams: Streams | None = None
) -> Operation[bytes]:
    """Run a verb of the executable until it ends.

    An exception that interrupts the caller is raised only then, because a verb must not be left half done.

    :param id: the container that the verb acts on, for the error.
    :param input: the standard input of the verb.
    :param streams: its standard streams instead, which this call gives away. Errors go to a file of their own.
    :returns: what the verb has printed; empty with ``streams``.
    :raises OcirtError: the verb failed.
    :raises TimeoutExpired: the verb took more than the runtime's time-out, and has been killed.
    """
    files: list[Descriptor] = []
    interruption: BaseException | None = None
    try:
        null = os.O_RDONLY | os.O_CLOEXEC
        files.append(memfd("input", input) if input is not None else Descriptor(os.open, os.devnull, null))
        files += [memfd("output"), memfd("error")]
        given, options = dict(enumerate([each.fileno() for each in files])), list[str]()
        if streams is not None:
            given, options = dict(enumerate([*streams.given, files[2].fileno()])), ["--log", "/proc/self/fd/3"]
        child, deadline = Child(), deadline_in(runtime.timeout)
        ended: bool | None = None
        while ended is None:
            try:
                if not child.is_started:
                    child.start(runtime, runtime.command(*options, *words), given)
                ended = yield from child.end(deadline)
            except BaseException as error:
                if isinstance(error, GeneratorExit) or not child.is_started:
                    raise
                interruption = error
        if not ended:
            child.kill()
            yield from child.end(None)
            raise TimeoutExpired(f"{words[0]} {id}", runtime.timeout)
        if interruption is not None:
            raise interruption
        failure = report.error_in(report.parse(contents(files[2])), id)
        if failure is not None:
            raise failure
        return contents(files[1])
    finally:
        del interruption  # its traceback has this frame, which would then refer to itself
        for each in files:
            each.close()
        if streams is not None:
            streams.given_away()


def memfd(name: str, data: bytes = b"") -> Descriptor:
    """A file in memory that contains ``data``, with its offset at the start."""
    try:
        file = Descriptor(os.memfd_create, name, os.MFD_CLOEXEC | MFD_NOEXEC_SEAL)
    except OSError:  # before Linux 6.3
        file = Descriptor(os.memfd_create, name, os.MFD_CLOEXEC)
    rest = memoryview(data)
    while rest:
        rest = rest[os.pwrite(file.fileno(), rest, len(data) - len(rest)) :]
    return file


def contents(file: Descriptor) -> bytes:
    data = b""
    while part := os.pread(file.fileno(), 1 << 20, len(data)):
        data += part
    return data


class Bundle:
    """What a container is made from: a bundle's directory, or a config as a dict.

    :ivar directory: of the bundle. For a config without a bundle it is the rootfs: so the library makes no directory
        and need not remove one, and relative paths in the config cannot lead anywhere else.
    :ivar config: config.json as a memfd; ``None`` if the directory has a config.json, and after :meth:`close`.
    :ivar args: the command line in a config that is a dict.
    :ivar resources: ``linux.resources`` in such a config.
    :ivar lenders: what this process does while the executable makes the container, in this order.
    :raises RequestError: neither is given, or what is given cannot be used.
    """

    def __init__(self, directory: Path | None, config: Mapping[str, Any] | None, rootfs: Path | None) -> None:
        self.config: Descriptor | None = None
        self.args: Sequence[str] = ()
        self.resources: Mapping[str, Any] = {}
        self.lenders: list[Lending] = []
        for name, value in (("bundle", directory), ("rootfs", rootfs)):
            if value is not None and not (isinstance(value, (str, os.PathLike)) and os.fspath(value)):
                raise arguments.wrong(
                    name, value, "a directory (a command is run by config=ocirt.sandbox([...]), rootfs=...)"
                )
        if config is not None and not isinstance(config, Mapping):
            raise arguments.wrong("config", config, "a dict, as ocirt.sandbox makes it")
        if config is None:
            if directory is None or rootfs is not None:
                raise (
                    RequestError(
                        "bundle: found none, expected a bundle's directory, or a config and its rootfs", "bundle"
                    )
                    if directory is None
                    else RequestError(
                        "rootfs: found one for a bundle, whose config.json names its own; expected a config", "rootfs"
                    )
                )
            self.directory = os.path.abspath(directory)
            return
        members = dict(config)  # what changes below is replaced: a deep copy took a fifth of the time of a run here
        if rootfs is not None:
            members["root"] = {**(members.get("root") or {}), "path": os.path.abspath(rootfs)}
        root = members.get("root")
        path = root.get("path") if isinstance(root, dict) else None
        if directory is None:
            if not (isinstance(path, str) and os.path.isabs(path)):
                raise RequestError(
                    f"config: root.path: found {path!r}, expected an absolute path, or the argument rootfs or bundle",
                    "root.path",
                )
            directory = path
        self.directory = os.path.abspath(directory)
        if isinstance(root, dict) and root.get("readonly") is True and isinstance(path, str):
            mounts = members.get("mounts") or []
            if isinstance(mounts, list):
                places = [str(each.get("destination", "")) for each in mounts if isinstance(each, dict)]
                below = submounts.readonly_binds(os.path.join(self.directory, path), places)
                if below:
                    members["mounts"] = below + mounts
        try:
            data = json.dumps(members).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise RequestError(f"config: {error}", "config") from None
        process = members.get("process")
        self.args = deepcopy(process.get("args") or ()) if isinstance(process, dict) else ()
        linux = members.get("linux")
        self.resources = deepcopy(linux.get("resources") or {}) if isinstance(linux, dict) else {}
        self.config = memfd("config.json", data)

    def renamed(self, old: str, new: str) -> Bundle:
        """The same with ``new`` wherever the config, which is a dict, has ``old``."""
        assert self.config is not None
        found = copy(self)
        found.lenders = [*self.lenders]
        found.config = memfd("config.json", contents(self.config).replace(old.encode(), new.encode()))
        return found

    def annotate(self, annotations: Mapping[str, str]) -> None:
        """Give the config, which is a dict, further annotations. It is written once for all of them."""
        assert self.config is not None
        members = json.loads(contents(self.config))
        members["annotations"] = {**(members.get("annotations") or {}), **annotations}
        self.config = memfd("config.json", json.dumps(members).encode())

    def close(self) -> None:
        """Let config.json go."""
        if self.config is not None:
            self.config.close()
            self.config = None


def new_id() -> str:
    return f"ocirt-{os.urandom(8).hex()}"


@dataclass(frozen=True, slots=True)
class Flags:
    """How a container is made: ``init`` puts an init before the program; for ``limits`` see :mod:`.limits`; with
    ``late``, ``start`` brings the program; with ``remove``, the supervisor removes a created container that has ended;
    with ``renew``, it makes another in the place of one that has run a program, if that is possible.
    """

    init: bool = False
    limits: limits.Limits = "required"
    late: bool = False
    remove: bool = False
    renew: bool = False

    def __post_init__(self) -> None:
        limits.checked(self.limits)

    @property
    def words(self) -> list[str]:
        """Flags of ``create`` and ``run``."""
        given = {"--init": self.init, "--late": self.late, "--remove": self.remove, "--renew": self.renew}
        return [name for name, is_given in given.items() if is_given]


def start(runtime: Runtime, id: str, program: Program, streams: Streams) -> Operation[None]:
    """Run the program of a late container.

    :param streams: those of the program. In any case they are given away.
    """
    yield from verb(runtime, id, "start", *program.late_flags, "--", id, "--", *program.args, streams=streams)


def supervise(
    name: str, runtime: Runtime, bundle: Bundle, id: str, streams: Streams, pass_fds: Sequence[int], flags: Flags
) -> Supervisor:
    """The supervisor for the verb ``name``, create or run. A config that is a dict comes from the caller, so its
    annotations may choose directories of the host. A bundle may come from somebody else, so its annotations may not.
    """
    words = [name, *flags.words, "--bundle", bundle.directory, "--", id]
    if bundle.config is not None:
        words[1:1] = ["--rootfs-annotations", "--hardening-annotations"]
    given = limits.options(flags.limits)
    return Supervisor(runtime, id, words, streams, pass_fds, bundle.config, given, bundle.lenders, late=flags.late)


def pass_on_warnings(supervisor: Supervisor) -> None:
    """Turn the executable's warnings so far into Python's warnings."""
    for line in supervisor.lines:
        if line.get("level") == "warning":
            warn(f"container {supervisor.id}: {line.get('msg')}")


def remove(supervisor: Supervisor, is_made: bool = False) -> Operation[None]:
    """End the container of a supervisor, whatever its state, and the supervisor. Nothing of the container remains.

    :param is_made: does the container certainly exist? The supervisor then reports how it has ended.
    :raises TimeoutExpired: the supervisor did not end within the runtime's time-out.
    """
    supervisor.take()
    if supervisor.began is None and not is_made:
        supervisor.child.kill()
        yield from supervisor.child.end(None)
    yield from delete(supervisor)
    if not (yield from supervisor.end(deadline_in(supervisor.runtime.timeout))):
        raise TimeoutExpired(f"the end of {supervisor.id}", supervisor.runtime.timeout)


def undo(supervisor: Supervisor) -> Operation[None]:
    """Clean up after a supervisor that has ended too early. If it has reported what failed, it has cleaned up itself;
    if it was killed, it has not.
    """
    if report.error_in(supervisor.lines) is None:
        yield from delete(supervisor)


def delete(supervisor: Supervisor) -> Operation[None]:
    """Remove what there is of the container of a supervisor."""
    yield from verb(supervisor.runtime, supervisor.id, "delete", "--force", "--", supervisor.id)


def run(
    runtime: Runtime,
    bundle: Bundle,
    id: str,
    streams: Streams,
    pass_fds: Sequence[int],
    input: bytes,
    timeout: float | None,
    output: Output,
    flags: Flags,
) -> Operation[tuple[Begin | None, End]]:
    """Run a container from its creation to its removal.

    :returns: how its process began (``None`` if the supervisor did not report this), and how it ended.
    :raises OcirtError: the container could not be run. Nothing of it remains.
    :raises TimeoutExpired: it ran too long. Nothing of it remains.
    """
    deadline = deadline_in(timeout)
    supervisor = supervise("run", runtime, bundle, id, streams, pass_fds, flags)
    removed = False
    try:
        supervisor.start()
        bundle.close()
        in_time = yield from supervisor.lend(deadline)
        if in_time:
            with supervisor.child.watched() as end:
                in_time = yield from transfer(streams.ours, input, end, output, deadline)
        if not in_time or output.truncated:
            removed = True
            yield from remove(supervisor, output.truncated)
        if not in_time:
            assert timeout is not None
            raise TimeoutExpired(f"container {id}", timeout, output.of(1), output.of(2))
        yield from supervisor.end(None)
        if supervisor.ended is None:
            yield from undo(supervisor)
            raise limits.explained(supervisor.failure())
        return supervisor.began, supervisor.ended
    except BaseException:
        if not removed and not supervisor.child.reap():
            yield from remove(supervisor)
        raise
    finally:
        streams.close()
        supervisor.release()
        pass_on_warnings(supervisor)


def communicate(supervisor: Supervisor, input: bytes, timeout: float | None, output: Output) -> Operation[End]:
    """Write a process's input and read its outputs until it ends. If the time is up or the output exceeds the limit,
    kill it.

    :raises TimeoutExpired: the time was up.
    """
    try:
        with supervisor.child.watched() as end:
            in_time = yield from transfer(supervisor.streams.ours, input, end, output, deadline_in(timeout))
        if not in_time or output.truncated:
            kill(supervisor)
        yield from supervisor.end(None)
    except BaseException:
        kill(supervisor)
        yield from supervisor.end(None)
        raise
    if not in_time:
        assert timeout is not None
        raise TimeoutExpired(f"a process in {supervisor.id}", timeout, output.of(1), output.of(2))
    if supervisor.ended is None:
        raise supervisor.failure()
    return supervisor.ended


def wait(supervisor: Supervisor, timeout: float | None) -> Operation[End]:
    """Wait until a process ends.

    :raises TimeoutExpired: the process has not ended in time. It continues to run.
    """
    if not (yield from supervisor.end(deadline_in(timeout))):
        assert timeout is not None
        raise TimeoutExpired(f"a process in {supervisor.id}", timeout)
    if supervisor.ended is None:
        raise supervisor.failure()
    return supervisor.ended


def kill(supervisor: Supervisor, number: int = 9) -> bool:
    """Send a signal to the supervised process.

    :returns: False if the process has ended.
    """
    try:
        supervisor.kill(number)
        return True
    except ProcessLookupError:
        return False


class Network(Protocol):
    """What connects a container to a network, and ends with it: a :class:`~.connection.Connection`."""

    def refused(self) -> Operation[tuple[str, ...]]: ...

    def end(self) -> Operation[None]: ...


class Lifecycle:
    """An existing container.

    :ivar supervisor: of a container that this process has made; ``None`` for a container that :meth:`load` found.
    :ivar network: of a container that this process has made with a :class:`ocirt.Net`; otherwise ``None``.
    :ivar pidfd: of its first process; ``None`` if that has ended.
    """

    def __init__(self, runtime: Runtime, id: str, supervisor: Supervisor | None, held: Descriptor | None) -> None:
        self.runtime, self.id, self.supervisor, self._held = runtime, id, supervisor, held
        self._ended: End | None = None
        self.network: Network | None = None

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if is_finalizing():  # the kernel closes what is open
            return
        self.let_go()

    def let_go(self) -> None:
        """Close the descriptors of this object."""
        self._held = None
        if self.supervisor is not None:
            self.supervisor.release()

    @property
    def pidfd(self) -> int | None:
        if self.supervisor is not None:
            return self.supervisor.pidfd
        held = self._held
        return None if held is None else held.fileno()

    @property
    def ended(self) -> End | None:
        """How the container has ended, as far as the supervisor has reported it; :meth:`wait` waits for the report."""
        return self._ended if self.supervisor is None else self.supervisor.ended

    @classmethod
    def create(
        cls, runtime: Runtime, bundle: Bundle, id: str, streams: Streams, pass_fds: Sequence[int], flags: Flags
    ) -> Operation[Lifecycle]:
        """Create a container.

        :raises OcirtError: the container could not be created. Nothing of it remains.
        """
        supervisor = supervise("create", runtime, bundle, id, streams, pass_fds, flags)
        try:
            yield from supervisor.begin()
        except BaseException as error:
            if supervisor.child.is_started:
                yield from undo(supervisor)
            if isinstance(error, OcirtError):
                raise limits.explained(error) from None
            raise
        finally:
            bundle.close()
            pass_on_warnings(supervisor)
        return cls(runtime, id, supervisor, None)

    @classmethod
    def load(cls, runtime: Runtime, id: str) -> Lifecycle:
        """Find an existing container.

        :raises StateError: it does not exist, or its state directory is broken.
        """
        checked_id(id)
        while True:  # repeat if another container has got this id meanwhile
            pid = states.read(runtime.root, id).pid
            if pid == 0:
                return cls(runtime, id, None, None)
            try:
                held = Descriptor.of_process(pid)
            except ProcessLookupError:
                continue
            # The pidfd holds this process. If the state still has its pid, it is the container's.
            if states.read(runtime.root, id).pid == pid:
                return cls(runtime, id, None, held)

    def state(self) -> states.State:
        return states.read(self.runtime.root, self.id)

    def verb(self, name: str, *words: str, input: bytes | None = None) -> Operation[bytes]:
        return verb(self.runtime, self.id, name, *words, input=input)

    def start(self, program: Program | None = None, streams: Streams | None = None) -> Operation[None]:
        """:param program: that of a late container, with its ``streams``."""
        if program is None or streams is None:
            yield from self.verb("start", "--", self.id)
        else:
            yield from start(self.runtime, self.id, program, streams)

    def kill(self, number: int, all: bool) -> Operation[None]:
        if not all and not pidfd.takes_signal(self.state().pid, int(number)):
            warn(
                f"container {self.id}: its program has no handler for signal {int(number)}, so the kernel "
                "drops it for the first process of a pid namespace: make the container with init=True, or send SIGKILL"
            )
        yield from self.verb("kill", *(["--all"] if all else []), "--", self.id, str(int(number)))

    def pause(self) -> Operation[None]:
        yield from self.verb("pause", "--", self.id)

    def resume(self) -> Operation[None]:
        yield from self.verb("resume", "--", self.id)

    def update(self, resources: Mapping[str, Any]) -> Operation[None]:
        try:
            data = json.dumps(arguments.resources(resources)).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise RequestError(f"resources: {error}", "resources") from None
        yield from self.verb("update", "--resources", "-", "--", self.id, input=data)

    def wait(self, timeout: float | None) -> Operation[End | None]:
        """Wait until the first process has ended.

        :returns: how it has ended; ``None`` if the kernel does not report it.
        :raises TimeoutExpired: the process has not ended in time.
        """
        deadline = deadline_in(timeout)
        if self.supervisor is not None:
            in_time = yield from self.supervisor.end(deadline)
        elif (held := self._held) is not None and self._ended is None:
            # Another thread may delete the container meanwhile. ``held`` keeps the descriptor open.
            found = yield from pidfd.end(held.fileno(), deadline)
            in_time, self._ended = found is not False, found if isinstance(found, End) else self._ended
        else:
            in_time = True
        if not in_time:
            assert timeout is not None
            raise TimeoutExpired(f"container {self.id}", timeout)
        return self.ended

    def delete(self, force: bool) -> Operation[None]:
        """Remove the container.

        :param force: kill it first, and accept that it does not exist.
        :raises TimeoutExpired: the supervisor did not end within the runtime's time-out.
        """
        yield from self.verb("delete", *(["--force"] if force else []), "--", self.id)
        if self.supervisor is not None and not (yield from self.supervisor.end(deadline_in(self.runtime.timeout))):
            raise TimeoutExpired(f"the end of {self.id}", self.runtime.timeout)
        if self.network is not None:
            yield from self.network.end()
        self.let_go()

    def refused(self) -> Operation[tuple[str, ...]]:
        """What the container's network has refused so far; empty if it has no :class:`ocirt.Net`."""
        return () if self.network is None else (yield from self.network.refused())

    def exec(
        self, program: Program, flags: Sequence[str], streams: Streams, pass_fds: Sequence[int]
    ) -> Operation[Supervisor]:
        """Start a process in the container, and wait until its program has been executed.

        :param flags: further flags, which :func:`exec_flags` returns.
        :raises WrongState: the container does not run.
        :raises ProgramError: the program cannot be executed.
        """
        words = ["exec", *program.exec_flags, *flags, "--", self.id, *program.args]
        supervisor = Supervisor(self.runtime, self.id, words, streams, pass_fds)
        yield from supervisor.begin()
        return supervisor


def ids_of(runtime: Runtime) -> Sequence[str]:
    """The ids of all containers of a runtime.

    :raises HostError: the directory of their states cannot be read.
    """
    try:
        return states.ids(runtime.root)
    except OSError as error:
        failure = HostError("root", f"{runtime.root}: {reason(error)}")
        failure.errno = error.errno
        raise failure from None


def exec_flags(additional_gids: Iterable[int], capabilities: Iterable[str], no_new_privileges: bool) -> list[str]:
    """The flags of ``exec`` for these arguments."""
    flags = ["--no-new-privs"] if no_new_privileges else []
    for name, values in (("--additional-gids", map(str, additional_gids)), ("--cap", capabilities)):
        for value in values:
            flags += [name, value]
    return flags
