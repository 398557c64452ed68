"""How a task of asyncio ends the work of a thread (:mod:`.aio`): the thread asks whether it is to end."""

from __future__ import annotations

from contextvars import ContextVar

from ..library.thread import Stop

_current: ContextVar[Stop | None] = ContextVar("cancelled", default=None)


def begin(stop: Stop) -> None:
    """Let ``stop`` end the work that begins in this thread."""
    _current.set(stop)


def current() -> Stop:
    """What tells whether the work of this context is to end."""
    return _current.get() or (lambda: False)
