"""A later verb (start, state, kill, delete) for a container whose stored program comes from another build.

A container outlives the executable that made it. Its state directory keeps config.json and the request, from which this
build compiles what the verb needs.
"""

from ..created_with import created_with
from .create import compile_program, execute, hand_over

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Never

    from ..model.request import Words


def compile_and_execute(words: "Words", arguments: list[str]) -> "Never":
    """Compile the container again and become the executable again, which then runs the verb. Returns only by an error.

    :param words: the request's words (:func:`ocirt.boot.read_request`): ``id``, ``root`` and ``self``, a descriptor.
    :param arguments: the command line as the launcher got it.
    :raises OcirtError: the state directory cannot be read or compiled.
    """
    config, request, _ = created_with(words)
    # The name by which create was called decides whose behaviour applies, not the name of this call.
    program = hand_over(compile_program(config, {**words, "as": "", **request}))
    execute(words["self"], [arguments[0], f"@program={program}", *arguments[1:]])
