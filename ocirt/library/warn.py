"""Warnings of the library. They point to the line of the program that has called it, however many frames lie between: those
of operations, and of what carries them out.
"""

from __future__ import annotations

import sys
import threading
import warnings

PACKAGE = __name__.partition(".")[0]
_of_thread = threading.local()


def warn(text: str) -> None:
    """Warn of something, at once or where :func:`keep` says."""
    kept: list[str] | None = getattr(_of_thread, "kept", None)
    if kept is not None:
        kept.append(text)
        return
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == PACKAGE:
        frame, level = frame.f_back, level + 1
    warnings.warn(text, RuntimeWarning, stacklevel=level)


def keep(texts: list[str]) -> None:
    """Keep the warnings of this thread in a list, for the thread that waits for it: only that one has the caller's line."""
    _of_thread.kept = texts
