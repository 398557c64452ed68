"""Packages that do not belong to ocirt, for the verbs that need one.

The launcher starts Python without site-packages (``-I -S``), so Python searches only the folder of the
package ocirt.
"""

import sys
from importlib import import_module

from ..errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def need(verb: str, name: str) -> "Any":
    """Make the package ``name`` importable, for ``verb``.

    :raises HostError: this interpreter does not have the package, or cannot import it.
    """
    try:
        import_module(name)
        return
    except ImportError:
        import site

        site.main()  # the interpreter's own site-packages, those of its virtual environment included
    try:
        import_module(name)
    except ImportError as error:
        from ..packages import command_for

        raise HostError(
            f"ocirt {verb}",
            f"needs the Python package {name}, which {sys.executable} cannot import "
            f"({' '.join(str(error).split())}); run: {command_for(name)}",
        ) from None
