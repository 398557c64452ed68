"""What RunHelper steps run: rare work that needs a library, done in a process of its own.

A helper is a module here with ``run(data)``, which does what the step's JSON says and returns what JSON can hold, and
``undo(record)``, which gets that if the create fails afterwards. It has the runtime's namespaces and rights, and the
descriptors that the step gave it, but of root's capabilities only those in its ``CAPABILITIES`` where python-prctl is installed
(:mod:`ocirt.confine`). It ends with the runtime, until it says by :func:`~ocirt.confine.outlive` that it must not. An :class:`~ocirt.errors.OcirtError` is its failure, and its text the whole line that
the user gets. One whose work would be lost with the runtime has ``GUARD``, the descriptors of a socket and of the locked state
directory: it leaves a process behind that undoes it if the runtime is killed before the container is created.
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

    :param id: the container's, by which a person knows the process.
    :returns: the exit status; 1 with the error's text printed.
    """
    helper, title = import_module(f".{name}", __name__), f"ocirt: {name} {id}"
    confine(title, helper.CAPABILITIES)
    try:
        *_, data = sys.stdin.read().splitlines()  # before it, in a record, may stand what a library had to say
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
    """Wait until the runtime has created the container, undoes ``record`` itself, which it tells by a byte, or is gone. The lock
    of the state directory, which is the runtime's, is held until then: delete finds everything undone."""
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
    """Import ``module``, of the package of its name, which ocirt itself does without.

    :param at: the JSON path that asks for it.
    :raises OcirtError: it is not installed.
    """
    try:
        return load(module)
    except ImportError as error:
        from ..packages import command_for

        missing = error.name or module
        raise OcirtError(f"{at}: the Python package {missing} is missing; run: {command_for(module)}") from None
