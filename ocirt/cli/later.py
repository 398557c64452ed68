"""A later verb (start, state, kill, delete) of a container whose stored program is of another build.

A container outlives the executable that made it: its state directory keeps config.json and the
request, and from these this build compiles what the verb needs.
"""

import json
import os

from ..errors import StateError, reason
from .create import compile_program, execute, hand_over


def compile_and_execute(words, arguments):
    """Compile the container anew and become the executable again, which then runs the verb.

    :param words: the launcher's ``key=value`` words as a dict: ``id``, ``root`` and ``self``, a descriptor.
    :param arguments: the command line as the launcher got it.
    :raises OcirtError: the state directory cannot be read or compiled; there is no return otherwise.
    """
    program = hand_over(compile_program(*stored(words)))
    execute(int(words["self"]), [arguments[0], f"@program={program}", *arguments[1:]])


def stored(words):
    """The bytes of config.json and the request's words that the container of ``words`` was created with.

    :raises StateError: state.json or config.json is missing, or state.json is not what create writes.
    """
    id, directory = words["id"], os.path.join(words["root"], words["id"])
    try:
        with open(os.path.join(directory, "state.json"), "rb") as file:
            state = json.load(file)
        with open(os.path.join(directory, "config.json"), "rb") as file:
            config = file.read()
        return config, {**words, **state["request"], "id": id, "root": words["root"], "bundle": state["bundle"]}
    except OSError as error:
        raise StateError(id, f"{os.path.basename(error.filename)}: {reason(error)}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise StateError(id, "state.json is not what create writes") from None
