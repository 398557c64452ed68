"""The directory of the containers' states, for the verbs of Python. The launcher has the same rule for its verbs."""

import os

from ..state_dir import default_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace


def root_of(options: "Namespace") -> str:
    """The root directory: ``--root``, or :func:`~ocirt.state_dir.default_root` for this environment."""
    return os.path.abspath(str(options.root)) if options.root else default_root(os.environ)
