"""Work that blocks for long (a layer is read and compressed), as an operation: a thread of its own does it."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from ..descriptor import Descriptor
from ..errors import OcirtError
from .waiting import Operation, Wait
from .warn import keep, warn

Value = TypeVar("Value")
Stop = Callable[[], bool]
"""Shall the work end early? Its result does not count then."""


def in_thread(work: Callable[[Stop], Value]) -> Operation[Value]:
    """Do ``work`` in a thread, and wait for its end.

    What the work warns of is a warning once it has ended. If an exception interrupts the wait, the work is asked to stop, and the exception goes on once it has ended: the
    thread uses files that the caller closes then.

    :param work: asks the function that it gets, from time to time.
    """
    stop = threading.Event()
    found: list[Value] = []
    warned: list[str] = []
    failed: list[BaseException] = []
    reading, writing = Descriptor.pipe()

    def do() -> None:
        keep(warned)
        try:
            found.append(work(stop.is_set))
        except BaseException as error:
            failed.append(error)
        finally:
            writing.close()  # the reading end hangs up

    thread = threading.Thread(target=do, name="ocirt-work", daemon=True)
    thread.start()
    interruption: BaseException | None = None
    try:
        while True:
            try:
                yield Wait({reading.fileno(): select.POLLIN})
                break
            except GeneratorExit:
                stop.set()
                raise
            except BaseException as error:
                stop.set()
                interruption = error
    finally:
        thread.join()
        reading.close()
    try:
        if interruption is not None:
            raise interruption
        for text in warned:
            warn(text)
        if failed:
            raise failed.pop()
        return found[0]
    finally:
        del interruption  # its traceback has this frame, which would then refer to itself


def until(stop: Stop, items: Iterable[Value]) -> Iterator[Value]:
    """The items, until their reader shall stop.

    :raises OcirtError: it shall.
    """
    for each in items:
        if stop():
            raise OcirtError("interrupted")
        yield each
