"""``ocirt diff``: what a container has changed in its root."""

import json

from ..images.node import shown
from ..images.root import root_of
from .output import write
from .root import root_of as states_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .parser import CommandLine

LETTERS = {"added": "A", "changed": "C", "removed": "D"}
"""As docker and podman print them."""


def run(line: "CommandLine") -> None:
    """Print the changes, one a line or as JSON.

    :raises OcirtError: the container does not exist, or its changes are not apart from the rest.
    """
    changes = root_of(states_of(line.options), line.arguments[0]).changes()
    if line.options.json:
        write(json.dumps([{"path": each.path, "kind": each.kind} for each in changes], indent=2) + "\n")
    else:
        write("".join([f"{LETTERS[each.kind]} {shown(each.path)}\n" for each in changes]))
