"""Packages that are no part of ocirt, for the verbs that need one.

The launcher starts Python without site-packages (``-I -S``); only the folder of the package ocirt is searched.
"""

import sys
from importlib import import_module

from ..errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def need(verb: str, name: str) -> "Any":
    """Have the package ``name`` in reach of ``import``, for ``verb``.

    :raises HostError: this interpreter has no such package, or one that cannot be imported.
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
