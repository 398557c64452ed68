"""``ocirt validate``: all errors of a config.json. The verb changes nothing and needs no privileges."""

import json

from .output import write
from .packages import need
from .plan import bundle_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .parser import CommandLine


def run(line: "CommandLine") -> int:
    """Print the errors, sorted by their place in the document: one a line, with create's texts, or as a JSON array. The
    warnings follow; ``--strict`` turns them into errors. For a valid config the output is empty (an empty array).

    :returns: the exit status, 1 if there are errors.
    :raises OcirtError: the file cannot be read, or this Python has no jsonschema.
    """
    options = line.options
    _, data = bundle_of(line.arguments[0] if line.arguments else ".", options.config)
    need("validate", "jsonschema")
    from ..validate import validate, warnings

    errors, doubts = validate(data), warnings(data)
    if options.strict:
        errors, doubts = errors + doubts, []
    levels = [*[("error", each) for each in errors], *[("warning", each) for each in doubts]]
    if options.format == "json":
        rows = [
            {"level": level, "path": each.path, "found": str(each.found), "expected": each.expected}
            for level, each in levels
        ]
        write(json.dumps(rows, indent=2) + "\n")
    else:
        write("".join([f"{'warning: ' if level == 'warning' else ''}{each}\n" for level, each in levels]))
    return 1 if errors else 0
