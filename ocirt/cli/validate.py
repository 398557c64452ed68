"""``ocirt validate``: all that is wrong with a config.json. Changes nothing and needs no privileges."""

import json
import os

from .output import write
from .packages import need
from .plan import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .parser import CommandLine


def run(line: "CommandLine") -> int:
    """Print the errors, sorted by their place in the document: a line each, in the words of create, or a JSON array.
    A valid config prints nothing (an empty array).

    :returns: the exit status, 1 where there are errors.
    :raises OcirtError: the file cannot be read, or this Python has no jsonschema.
    """
    options = line.options
    bundle = line.arguments[0] if line.arguments else "."
    data = read(options.config or os.path.join(bundle, "config.json"), "--config" if options.config else "")
    need("validate", "jsonschema")
    from ..validate import validate
    errors = validate(data)
    if options.format == "json":
        rows = [{"path": error.path, "found": str(error.found), "expected": error.expected} for error in errors]
        write(json.dumps(rows, indent=2) + "\n")
    else:
        write("".join([f"{error}\n" for error in errors]))
    return 1 if errors else 0
