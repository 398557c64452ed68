"""Where the containers' state is kept, for the verbs of Python. The launcher does the same for its own."""

import os

from ..state_dir import default_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace


def root_of(options: "Namespace") -> str:
    """The root directory: ``--root``, else :func:`~ocirt.state_dir.default_root` of this environment."""
    return os.path.abspath(str(options.root)) if options.root else default_root(os.environ)
