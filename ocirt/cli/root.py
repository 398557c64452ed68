"""Where the containers' state is kept, for the verbs of Python. The launcher does the same for its own."""

import os

from ..model.host import INITIAL_MAP


def root_of(options):
    """The root directory: ``--root``, else /run/ocirt, else, without privileges, $XDG_RUNTIME_DIR/ocirt."""
    if options.root:
        return os.path.abspath(options.root)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and (os.geteuid() != 0 or _is_root_of_a_user()):
        return os.path.join(runtime, "ocirt")
    return "/run/ocirt"


def _is_root_of_a_user():
    """Whether this root is that of a user namespace made by a user (rootless podman), and does not say otherwise by USER."""
    with open("/proc/self/uid_map") as file:
        return list(map(int, file.read().split())) != INITIAL_MAP and os.environ.get("USER") != "root"
