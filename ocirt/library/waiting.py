"""What the blocking library and that for asyncio share: operations, which yield what they wait for. :func:`drive`
carries one out in the calling thread, with poll(2).
"""

from __future__ import annotations

import select
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from ..errors import RequestError

Value = TypeVar("Value")
POLL_SECONDS_MAX = 24 * 60 * 60
"""poll(2) takes milliseconds in an int, which is 24 days; a longer wait is several of these."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait until one of these descriptors is ready.

    :ivar fds: descriptor -> mask of events, as for poll(2); errors and hang-ups always count.
    :ivar deadline: when to give up, in seconds of the monotonic clock; ``None``: never.
    """

    fds: Mapping[int, int] = field(default_factory=dict)
    deadline: float | None = None

    def left(self) -> float | None:
        """Seconds until the deadline, not less than 0."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())


Ready = Mapping[int, int]
"""Descriptor -> events, for those that are ready; empty if the deadline has passed."""

Operation = Generator[Wait, Ready, Value]
"""An operation yields what it waits for, gets what is ready, and returns its value. An exception that interrupts a wait
(KeyboardInterrupt, the cancellation of a task) is thrown into the operation: it may wait for its cleanup, and
re-raises."""


async def carry_out(operation: Operation[Value], poll: Callable[[Wait], Awaitable[Ready]]) -> Value:
    """Carry out the operation.

    :param poll: waits.
    """
    go_on: Callable[[], Wait] = partial(next, operation)
    try:
        while True:
            try:
                while True:
                    go_on = partial(operation.send, await poll(go_on()))
            except StopIteration as stop:
                value: Value = stop.value
                return value
            except BaseException as error:
                if getattr(operation, "gi_frame", None) is None:  # the operation itself raised this error
                    raise
                go_on = partial(operation.throw, error)
    finally:
        del go_on  # the traceback of an error in it has this frame, which would then refer to itself


def drive(operation: Operation[Value]) -> Value:
    """Carry out the operation in this thread."""
    try:
        carry_out(operation, _poll).send(None)
    except StopIteration as stop:
        value: Value = stop.value
        return value
    raise AssertionError("poll(2) has returned, so nothing is awaited")


async def _poll(wait: Wait) -> Ready:
    """Wait with poll(2), which blocks the thread: this coroutine never suspends."""
    poll = select.poll()
    for fd, mask in wait.fds.items():
        poll.register(fd, mask)
    while True:
        left = wait.left()
        is_last = left is None or left < POLL_SECONDS_MAX
        # Round up: a wait that ended just before its deadline would begin again.
        ready = dict(poll.poll(None if left is None else min(left, POLL_SECONDS_MAX) * 1000 + 1))
        if ready or is_last:
            return ready


def deadline_in(seconds: float | None) -> float | None:
    """The moment ``seconds`` from now, in seconds of the monotonic clock; ``None`` for ``None``.

    :raises RequestError: it is no number.
    """
    if seconds is None:
        return None
    if not isinstance(seconds, (int, float)) or seconds != seconds:  # the last is NaN
        raise RequestError(f"timeout: found {seconds!r}, expected a number of seconds", "timeout")
    return time.monotonic() + seconds
