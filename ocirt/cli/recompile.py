"""A later verb (start, state, kill, delete) of a container whose stored program is of another build.

A container outlives the executable that made it: its state directory keeps config.json and the
request, and from these this build compiles what the verb needs.
"""

from ..created_with import created_with
from .create import compile_program, execute, hand_over

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Never

    from ..model.request import Words


def compile_and_execute(words: "Words", arguments: list[str]) -> "Never":
    """Compile the container anew and become the executable again, which then runs the verb.

    :param words: the request's words (:func:`ocirt.boot.read_request`): ``id``, ``root`` and ``self``, a descriptor.
    :param arguments: the command line as the launcher got it.
    :raises OcirtError: the state directory cannot be read or compiled; there is no return otherwise.
    """
    config, request, _ = created_with(words)
    # By which name it was created counts, not by which this verb was called.
    program = hand_over(compile_program(config, {**words, "as": "", **request}))
    execute(words["self"], [arguments[0], f"@program={program}", *arguments[1:]])
