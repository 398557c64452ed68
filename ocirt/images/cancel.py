"""How a task of asyncio ends the work of a thread (:mod:`.aio`): the thread looks whether it is to end."""

from __future__ import annotations

import threading
from contextvars import ContextVar

_current: ContextVar[threading.Event | None] = ContextVar("cancelled", default=None)


def begin() -> threading.Event:
    """Make the event that ends the work that begins in this context."""
    event = threading.Event()
    _current.set(event)
    return event


def current() -> threading.Event:
    """The event that ends the work of this context."""
    return _current.get() or threading.Event()
