"""Images for asyncio: the same functions as :meth:`ocirt.Image.pull`, :meth:`~ocirt.Image.load`,
:meth:`~ocirt.Image.find`, and :func:`.prune.prune`, awaited.

    from ocirt.images import aio as images

    image = await images.pull("python:3.13-slim")

Each works in a thread. A cancelled task ends when its thread has: a pull stops at the next part that arrives, the
others complete their work first. Nothing half done remains.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from ..library.eventloop import drive
from ..library.thread import Stop, in_thread
from . import cancel
from . import prune as pruning
from .image import Image

__all__ = ["find", "load", "prune", "pull"]

Parameters = ParamSpec("Parameters")
Value = TypeVar("Value")


def _awaited(call: Callable[Parameters, Value]) -> Callable[Parameters, Coroutine[Any, Any, Value]]:
    """The coroutine function that runs ``call`` in a thread."""

    @wraps(call)
    async def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Value:
        def work(stop: Stop) -> Value:
            cancel.begin(stop)
            return call(*args, **kwargs)

        return await drive(in_thread(work))

    return run


pull = _awaited(Image.pull)
load = _awaited(Image.load)
find = _awaited(Image.find)
prune = _awaited(pruning.prune)
