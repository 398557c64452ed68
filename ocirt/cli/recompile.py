"""A later verb (start, state, kill, delete) for a container whose stored program comes from another build.

A container outlives the executable that made it. Its state directory keeps config.json and the request, from which this
build compiles what the verb needs.
"""

from ..created_with import created_with
from .create import compile_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.request import Words


def compile_and_give(words: "Words") -> int:
    """Compile the container again, and give the executable the program.

    :param words: the request's words (:func:`ocirt.boot.read_request`): ``id``, ``root`` and ``output``, a descriptor.
    :returns: the exit status.
    :raises OcirtError: the state directory cannot be read or compiled.
    """
    config, request, _ = created_with(words)
    # The name by which create was called decides whose behaviour applies, not the name of this call.
    compile_program(config, {**words, "as": "", **request})
    return 0
