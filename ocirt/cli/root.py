"""Where the containers' state is kept, for the verbs of Python. The launcher does the same for its own."""

import os


def root_of(options):
    """The root directory: ``--root``, else /run/ocirt, else, without privileges, $XDG_RUNTIME_DIR/ocirt."""
    if options.root:
        return os.path.abspath(options.root)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if os.geteuid() != 0 and runtime:
        return os.path.join(runtime, "ocirt")
    return "/run/ocirt"
