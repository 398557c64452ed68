"""What RunHelper steps run: rare work that needs a library, done in a process of its own.

A helper is a module here with ``run(data)``: what the step's JSON says. It has the runtime's namespaces and rights, and
the descriptors that the step gave it. An :class:`~ocirt.errors.OcirtError` is its failure, and its text the whole line
that the user gets.
"""

import json
import sys
from importlib import import_module

from ..errors import OcirtError


def main(name):
    """Run the helper ``name`` with the JSON on standard input.

    :returns: the exit status; 1 with the error's text printed.
    """
    try:
        import_module(f".{name}", __name__).run(json.load(sys.stdin))
    except OcirtError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def need(module, extra, at):
    """Import ``module`` of a package that ocirt itself does without.

    :param extra: the extra of this package that it comes with.
    :param at: the JSON path that asks for it.
    :raises OcirtError: it is not installed.
    """
    import site
    site.main()  # the launcher starts Python without site, and with this package's own folder only
    try:
        return import_module(module)
    except ImportError as error:
        raise OcirtError(f"{at}: the Python package {error.name or module} is missing: install ocirt[{extra}]") from None
