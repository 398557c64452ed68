"""The modules that RunHelper and TalkToCriu steps run, each in a process of its own: rare work that needs a library.

A helper is a module of this package with two functions. ``run(data)`` carries out the step's JSON and returns a record that JSON
can hold; ``undo(record)`` gets this record if the create fails afterwards (the conversation with criu needs no undoing). A helper has the runtime's namespaces and the
descriptors that the step gave it. If python-prctl is installed, it keeps of root's capabilities only those in its
``CAPABILITIES`` (:mod:`ocirt.confine`). It ends with the runtime, until it calls :func:`~ocirt.confine.outlive`. A helper
reports a failure as an :class:`~ocirt.errors.OcirtError`, whose text is the whole line that the user sees.

If the work of a helper would be lost when the runtime is killed, the helper has ``GUARD``, the descriptors of a socket and of
the locked state directory. It then leaves a process behind, which undoes the work if the runtime is killed before the container
is created.
"""

import json
import os
import sys
from importlib import import_module

from ..confine import confine, rename
from ..errors import OcirtError
from ..packages import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any


def main(name: str, verb: str, id: str) -> int:
    """Do ``verb`` (run or undo) of the helper ``name`` with the JSON on standard input, and print the answer.

    :param id: the id of the container, which is part of the process' name.
    :returns: the exit status; 1 with the error's text printed.
    """
    helper, title = import_module(f".{name}", __name__), f"ocirt: {name} {id}"
    confine(title, helper.CAPABILITIES)
    try:
        *_, data = sys.stdin.read().splitlines()  # in a record, lines that a library printed may come first
        answer = getattr(helper, verb)(json.loads(data))
    except OcirtError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(answer), flush=True)
    if verb == "run" and hasattr(helper, "GUARD") and os.fork() == 0:
        rename(f"{title} (guard)")
        _guard(helper, answer)
    return 0


def _guard(helper: "ModuleType", record: "Any") -> None:
    """Wait until the runtime has created the container, undoes ``record`` itself (it then sends a byte), or has ended. This
    process keeps the runtime's lock of the state directory until then, so that a delete finds everything undone."""
    runtime, directory = helper.GUARD
    status = 1
    try:
        if not os.read(runtime, 1):
            from ..state_dir import is_being_created  # heavy

            if is_being_created(directory):
                helper.undo(record)
        status = 0
    finally:
        os._exit(status)


def need(module: str, at: str) -> "Any":
    """Import ``module``, of the package of the same name, which ocirt itself does not need.

    :param at: the JSON path that asks for it.
    :raises OcirtError: the package is not installed.
    """
    try:
        return load(module)
    except ImportError as error:
        from ..packages import command_for

        missing = error.name or module
        raise OcirtError(f"{at}: the Python package {missing} is missing; run: {command_for(module)}") from None
