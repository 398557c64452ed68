"""Containers that wait for their program: what :class:`ocirt.Pool` consists of.

A container of a pool is made by a process of its own (:mod:`.supervisor`), which the pool starts and does not wait for:
so neither a thread nor a task refills the pool. A cold container is late (``create --late``): it lacks only its program,
which ``start`` brings. In a warm one, Python has run a first program and waits for a second one on a pipe. Each container
runs one program. Beside the caller, its supervisor then removes it, or, if it can, makes the next one in its place
(``create --renew``).
"""

from __future__ import annotations

import json
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..descriptor import Descriptor
from ..errors import OcirtError, RequestError
from ..failures import InstallationError, TimeoutExpired
from . import arguments, lifecycle, limits, network
from .children import is_ready
from .connection import Connection
from .description import Description
from .lending import Lender
from .lifecycle import Bundle, Flags
from .network import Net, Networking
from .program import Program
from .report import Begin, End
from .runtime import Runtime
from .session import Session
from .streams import CHUNK, PIPE, Output, Stream, Streams, transfer
from .supervisor import Supervisor
from .waiting import Operation, Wait, deadline_in

PROGRAM, READY = 3, 4
"""Descriptors of a warm interpreter: the pipe with its program, and the one on which it says that it waits."""

WAITING = f"""
def _ocirt_wait():
    import json, os, sys
    from os import environ
    os.write({READY}, b"r")
    os.close({READY})
    with open({PROGRAM}, "rb") as pipe:
        told = pipe.read()
    if not told:
        sys.exit(0)
    told = json.loads(told)
    environ.update(told["env"])
    if told["cwd"] is not None:
        os.chdir(told["cwd"])
    sys.argv[:] = ["-c", *told["args"]]
    return compile(told["code"], "<string>", "exec")
_ocirt_program = _ocirt_wait()
del _ocirt_wait
exec(_ocirt_program)
"""
"""What a warm interpreter runs after the pool's first program."""


class Waiting:
    """A container of a pool, in the making or made.

    :ivar supervisor: the process that makes, supervises and removes it.
    :ivar program: the writing end of the pipe for a warm interpreter's program; ``None`` in a cold pool.
    :ivar ready: the reading end of the pipe on which a warm interpreter says that it waits; ``None`` in a cold pool.
    :ivar session: the container's files, in a pool of a sandbox.
    :ivar connection: its network, if that is an :class:`ocirt.Net`.
    :ivar is_renewed: has the supervisor's first container run a program?
    """

    def __init__(
        self,
        supervisor: Supervisor,
        session: Session | None,
        connection: Connection | None,
        program: Descriptor | None = None,
        ready: Descriptor | None = None,
    ) -> None:
        self.supervisor, self.session, self.program, self.ready = supervisor, session, program, ready
        self.connection = connection
        self._lock, self._says_ready = threading.Lock(), False
        self.is_renewed = False

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if is_finalizing():  # the kernel closes what is open
            return
        self.close()

    def close(self) -> None:
        """Give the container up. If it has not ended, its supervisor kills and removes it."""
        self.program = self.ready = None
        self.supervisor.streams.close()
        self.supervisor.release()
        if self.connection is not None:
            self.connection.close()
            self.connection.close_netns()

    def close_program(self) -> None:
        """Close the pipe, whose end is the end of the program."""
        self.program = None

    def says_ready(self, wait: bool) -> bool:
        """Has the warm interpreter said that it waits? It says so once, and several callers may ask.

        :param wait: is the answer, or the end of the pipe, there to read?
        """
        with self._lock:
            if wait and not self._says_ready and self.ready is not None:
                self._says_ready = os.read(self.ready.fileno(), 1) != b""
            return self._says_ready

    def put_files(self) -> None:
        """Put the files of a sandbox into the container, if that is possible without waiting. In a warm one, what the first
        program has written must not count as a change of the second.
        """
        is_taken = True if self.connection is None else self.connection.take_netns()
        if is_taken and (self.ready is None or self.says_ready(wait=is_ready(self.ready.fileno()))):
            for each in self.supervisor.lenders:
                each.go_on()

    def has_ended(self) -> bool:
        self.supervisor.take()
        return self.supervisor.ended is not None or self.supervisor.child.reap()


class Reserve:
    """The containers of a pool. Any thread may use it.

    :param config: what they are made from, a config or a sandbox; each gets its own cgroup beneath
        ``linux.cgroupsPath``, if that is given.
    :param size: how many wait.
    :param net: what the config has been made for.
    :param warm: the command line of the first program of a warm interpreter, ``[python, "-c", CODE]``; ``None``: cold.
    :ivar resources: ``linux.resources`` of each container.
    :raises RequestError: an argument cannot be used.
    """

    def __init__(
        self,
        runtime: Runtime,
        config: Mapping[str, Any] | Description,
        rootfs: lifecycle.Path | None,
        size: int,
        warm: Sequence[str] | None,
        flags: Flags,
        net: Networking | None = None,
    ) -> None:
        self.runtime, self.rootfs, self.flags, self.net = runtime, rootfs, flags, net
        self.sandbox = config if isinstance(config, Description) else None
        if isinstance(config, Description):
            for name, value in (("rootfs", rootfs), ("net", net)):
                if value is not None:
                    raise arguments.wrong(name, value, "none, because the sandbox has its own")
            self.net = config.net
        elif not isinstance(config, Mapping):
            raise arguments.wrong("config", config, "an ocirt.Sandbox, or a dict, as ocirt.sandbox makes it")
        elif net is not None:
            config = network.applied(net, config)
        self.size = arguments.count("size", size)
        if not size:
            raise arguments.wrong("size", size, "1 or more")
        self.warm = None if warm is None else arguments.words("warm", warm)
        if self.warm is not None and (len(self.warm) != 3 or self.warm[1] != "-c"):
            raise arguments.wrong(
                "warm", warm, "an interpreter and its first program: ['python3', '-c', 'import numpy']"
            )
        self._shared: Bundle | None = None
        self._id_of_all = lifecycle.new_id()
        self.resources: Mapping[str, Any]
        if isinstance(config, Description):
            self.resources = config.config(["unused"])["linux"].get("resources", {})
        else:
            self.config = self._with_program(config)
            self._shared = Bundle(None, self._with_own_cgroup(self._id_of_all), rootfs)
            self.resources = self._shared.resources
        self._owner, self._lock = os.getpid(), threading.Lock()
        self._waiting: deque[Waiting] = deque()
        self._leaving: deque[Supervisor] = deque()
        self._closed = False

    # ---- making containers ----

    def _with_program(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The config of a container, in a warm pool with its first program."""
        if self.warm is None:
            return dict(config)
        args = [self.warm[0], "-c", f"{self.warm[2]}\n{WAITING}"]
        return {**config, "process": {**(config.get("process") or {}), "args": args}}

    def _with_own_cgroup(self, id: str) -> dict[str, Any]:
        linux = self.config.get("linux")
        path = linux.get("cgroupsPath") if isinstance(linux, Mapping) else None
        if not isinstance(path, str) or not path:
            return self.config
        slice, colon, rest = path.partition(":")
        own = f"{slice}:{rest.partition(':')[0]}:{id}" if colon else f"{path.rstrip('/')}/{id}"
        return {**self.config, "linux": {**self.config["linux"], "cgroupsPath": own}}

    def _bundle(self, id: str) -> tuple[Bundle, Session | None]:
        """What a container is made from, and its files."""
        if self.sandbox is not None:
            session = Session(self.sandbox, is_late=True)
            return session.bundle(self.runtime, self._with_program, is_renewed=self.warm is None), session
        # The config is checked and written once. A container's differs in the name of its cgroup alone.
        assert self._shared is not None
        return self._shared.renamed(self._id_of_all, id), None

    def _make(self) -> Waiting:
        """Start the making of a container, and do not wait for it."""
        self.check()
        id = lifecycle.new_id()
        bundle, session = self._bundle(id)
        connection = self._connection(id)
        try:
            if connection is not None:
                connection.lead(bundle)
            if self.warm is None:
                streams, flags = Streams.open(None, None, None), replace(self.flags, late=True, remove=True, renew=True)
                supervisor = lifecycle.supervise("create", self.runtime, bundle, id, streams, (), flags)
                waiting = Waiting(supervisor, session, connection)
            else:
                streams, program, ready = Streams.open(PIPE, PIPE, PIPE), Descriptor.pipe(), Descriptor.pipe()
                # This function keeps the descriptors open until the process has them.
                theirs = program[0].fileno(), ready[1].fileno()
                supervisor = lifecycle.supervise("run", self.runtime, bundle, id, streams, theirs, self.flags)
                waiting = Waiting(supervisor, session, connection, program[1], ready[0])
            waiting.supervisor.start()
            return waiting
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        finally:
            bundle.close()

    def _connection(self, id: str) -> Connection | None:
        """The network of a container. A cold one is connected when it is made: it runs nothing before its program. The
        first program of a warm one reaches nothing, and a published port can be one container's alone: these are
        connected when their program starts.
        """
        if not isinstance(self.net, Net):
            return None
        begins_early = self.warm is None and not self.net.publish
        return Connection(self.net, self.runtime, id, begins_early=begins_early, is_awaited=False)

    def check(self) -> None:
        """:raises OcirtError: the pool is closed, or belongs to another process."""
        if self._owner != os.getpid():
            raise OcirtError(
                f"the pool belongs to process {self._owner}: this process, {os.getpid()}, comes from a fork after the "
                "pool was made, and must make a pool of its own"
            )
        if self._closed:
            raise OcirtError("the pool is closed")

    def fill(self) -> Operation[None]:
        """Fill the pool, and wait until one container is ready. While the first is made, its program is compiled and
        kept for the others.
        """
        self.check()
        with self._lock:
            if not self._waiting:
                self._waiting.append(self._make())
            first = self._waiting[0]
        try:
            yield from self._until_ready(first, deadline_in(self.runtime.timeout))
        except BaseException:
            yield from self.close()
            raise
        lifecycle.pass_on_warnings(first.supervisor)
        self.refill()

    def refill(self, returning: bool = False) -> None:
        """Start as many containers as are missing, and put the files into those that have been made.

        :param returning: will the container that the caller uses be followed by another? As long as half of the pool
            waits, it is not replaced then.
        """
        with self._lock:
            for each in self._waiting:
                each.put_files()
            least = (self.size + 1) // 2 if returning else self.size
            while not self._closed and len(self._waiting) < least:
                self._waiting.append(self._make())
            for _ in range(len(self._leaving)):
                supervisor = self._leaving.popleft()
                if not supervisor.child.reap() or supervisor.child.was_killed:
                    self._leaving.append(supervisor)

    # ---- using one ----

    def _until_ready(self, waiting: Waiting, deadline: float | None) -> Operation[None]:
        """Wait until the container waits for its program.

        :raises OcirtError: it could not be made, or its first program has ended.
        :raises TimeoutExpired: the time was up.
        """
        supervisor = waiting.supervisor
        if waiting.ready is not None and not waiting.says_ready(wait=False):
            says = waiting.ready.fileno()
            with supervisor.child.watched() as pidfd:
                ready = yield Wait({says: select.POLLIN, pidfd: select.POLLIN}, deadline)
            if not ready:
                raise TimeoutExpired(f"the first program of {supervisor.id}", self.runtime.timeout)
            if not waiting.says_ready(wait=says in ready):
                yield from self._fail_warm(supervisor, deadline)
        try:
            yield from supervisor.begin(deadline)
        except BaseException as error:
            yield from lifecycle.undo(supervisor)
            if isinstance(error, OcirtError):
                raise limits.explained(error) from None
            raise

    def _fail_warm(self, supervisor: Supervisor, deadline: float | None) -> Operation[None]:
        """:raises OcirtError: says why there is no warm interpreter."""
        output = Output(1 << 16)
        with supervisor.child.watched() as pidfd:
            yield from transfer(supervisor.streams.ours, b"", pidfd, output, deadline)
        yield from supervisor.end(deadline)
        if supervisor.ended is None:
            raise limits.explained(supervisor.failure())
        said = output.of(2).decode("utf-8", "replace").strip().splitlines()
        raise RequestError(
            f"warm: the first program has ended with {supervisor.ended.returncode}, expected one that returns: "
            + (said[-1] if said else "it has written no error"),
            "warm",
        )

    def take(self, deadline: float | None) -> Operation[Waiting]:
        """A container that is ready: the one that waits longest, or a new one."""
        while True:
            self.check()  # before the lock, which a thread may have held when this process was forked
            with self._lock:
                found = self._waiting.popleft() if self._waiting else self._make()
            try:
                yield from self._until_ready(found, deadline)
            except BaseException as error:
                self.give_up(found)
                if found.is_renewed and isinstance(error, InstallationError):
                    continue  # something outside has removed the last container, or killed the supervisor
                raise
            if not found.has_ended():
                return found
            self.give_up(found)  # something outside has killed it, or its supervisor
            yield from self._delete_killed()

    def _delete_killed(self) -> Operation[None]:
        """Remove the containers of supervisors that something outside has killed, and which therefore could not."""
        with self._lock:
            killed = [each for each in self._leaving if each.child.reap() and each.child.was_killed]
            for each in killed:
                self._leaving.remove(each)
        for each in killed:
            yield from lifecycle.delete(each)

    def put_back(self, waiting: Waiting) -> bool:
        """Keep the container that follows the one that has ended.

        :returns: False if no container follows, or enough of them wait.
        """
        if not waiting.supervisor.renews:
            return False
        with self._lock:
            # With a size of 1, another container is made while the program runs: both stay, and nothing more is started.
            if self._closed or len(self._waiting) >= max(self.size, 2):
                return False
            waiting.supervisor.renew()
            if self.sandbox is not None:
                waiting.session = Session(self.sandbox, is_late=True)
                for lender in waiting.supervisor.lenders:
                    if isinstance(lender, Lender):  # a container whose network is lent as well is not renewed
                        lender.renew(waiting.session.receive)
            waiting.is_renewed = True
            self._waiting.append(waiting)
            return True

    def give_up(self, waiting: Waiting) -> None:
        """Leave the container to its supervisor, which kills it if it has not ended, and removes it."""
        waiting.close()
        pasta = None if waiting.connection is None else waiting.connection.pasta
        with self._lock:
            self._leaving += [each for each in (waiting.supervisor, pasta) if each is not None]

    def program(self, args: Sequence[str], env: Mapping[str, str] | None, cwd: str | None) -> tuple[bytes, bytes]:
        """What the supervisor gets (:meth:`.program.Program.message`), or nothing and what a warm interpreter reads.

        :raises RequestError: an argument cannot be used.
        """
        found = Program.of(args, cwd, env)
        if self.warm is None:
            return found.message()
        words = found.args
        if len(words) < 3 or words[0] != self.warm[0] or words[1] != "-c":
            raise arguments.wrong(
                "args", list(args), f"[{self.warm[0]!r}, '-c', CODE, ...], because this pool's interpreters run already"
            )
        told = {"code": words[2], "args": words[3:], "env": found.env, "cwd": cwd}
        return b"", json.dumps(told).encode()

    def run(
        self,
        args: Sequence[str],
        env: Mapping[str, str] | None,
        cwd: str | None,
        stdout: Stream,
        stderr: Stream,
        input: bytes,
        timeout: float | None,
        output: Output,
    ) -> Operation[tuple[Begin, End, tuple[str, ...], Session | None]]:
        """Run a program in a container of the pool until it ends.

        :returns: how it began and ended, what its network has refused, and in a pool of a sandbox the container's files.
        :raises OcirtError: the program could not be run.
        :raises TimeoutExpired: it ran too long. The container has been killed.
        """
        message, program = self.program(args, env, cwd)
        if self.warm is not None and (stdout, stderr) != (PIPE, PIPE):
            raise RequestError("stdout, stderr: expected PIPE: an interpreter of a warm pool has its streams already")
        deadline = deadline_in(timeout)
        try:
            waiting = yield from self.take(deadline)
        except TimeoutExpired:
            if timeout is None:
                raise
            raise TimeoutExpired("a container of the pool", timeout) from None
        supervisor = waiting.supervisor
        began = time.monotonic_ns()
        connection = waiting.connection
        try:
            if connection is not None and not (yield from connection.lend(supervisor.child, deadline)):
                assert timeout is not None
                raise TimeoutExpired("pasta, which connects the container", timeout)
            if waiting.program is None:
                supervisor.streams = Streams.open(PIPE, stdout, stderr)
                supervisor.send_program(message, lifecycle.memfd("program", program))
            else:
                yield from _write(waiting.program.fileno(), program, deadline)
                waiting.close_program()
            assert supervisor.began is not None
            self.refill(supervisor.began.renews)
            in_time = yield from _communicate(supervisor, input, output, deadline)
            if not in_time:
                assert timeout is not None
                raise TimeoutExpired(f"container {supervisor.id}", timeout, output.of(1), output.of(2))
            if supervisor.ended is None or (self.warm is None and supervisor.started is None):
                raise supervisor.failure()
            begin = supervisor.started or Begin(supervisor.began.pid, supervisor.began.start_time, began)
            end, denied = supervisor.ended, () if connection is None else (yield from connection.refused())
            return begin, end, denied, waiting.session
        finally:
            if not self.put_back(waiting):
                self.give_up(waiting)
            if connection is not None and not connection.begins_early:  # the next one may publish the same port
                yield from connection.end()

    def close(self) -> Operation[None]:
        """Remove all containers that wait, and wait until those that ran are removed."""
        if self._owner != os.getpid():
            return
        with self._lock:
            self._closed = True
            waiting = list(self._waiting)
            self._waiting.clear()
        for each in waiting:
            self.give_up(each)
        deadline = deadline_in(self.runtime.timeout)
        while self._leaving:
            supervisor = self._leaving.popleft()
            if not (yield from supervisor.child.end(deadline)):
                raise TimeoutExpired(f"the end of {supervisor.id}", self.runtime.timeout)
            if supervisor.child.was_killed:
                yield from lifecycle.delete(supervisor)
        if self._shared is not None:
            self._shared.close()


def _write(fd: int, data: bytes, deadline: float | None) -> Operation[None]:
    """Write all of ``data`` to a pipe. Without a reader, or after the deadline, the rest is dropped: the process has
    ended or is about to be killed.
    """
    rest = memoryview(data)
    os.set_blocking(fd, False)
    while rest:
        if not (yield Wait({fd: select.POLLOUT}, deadline)):
            return
        try:
            rest = rest[os.write(fd, rest[:CHUNK]) :]
        except BlockingIOError:
            continue
        except BrokenPipeError:
            return


def _communicate(supervisor: Supervisor, input: bytes, output: Output, deadline: float | None) -> Operation[bool]:
    """Write the program's input and read its outputs until it ends, and wait for the report of its end. If the time is
    up or the output exceeds the limit, kill it.

    :returns: False if the time was up.
    """
    if supervisor.pidfd is None:
        with supervisor.child.watched() as child:
            in_time = yield from transfer(supervisor.streams.ours, input, child, output, deadline)
    else:
        in_time = yield from transfer(supervisor.streams.ours, input, supervisor.pidfd, output, deadline)
    if not in_time or output.truncated:
        lifecycle.kill(supervisor)
    yield from supervisor.report(deadline_in(supervisor.runtime.timeout))
    return in_time
