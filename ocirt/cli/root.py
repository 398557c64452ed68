"""Where the containers' state is kept, for the verbs of Python. The launcher does the same for its own."""

import os

from ..model.host import INITIAL_MAP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace


def root_of(options: "Namespace") -> str:
    """The root directory: ``--root``, else /run/ocirt, else, without privileges, $XDG_RUNTIME_DIR/ocirt."""
    if options.root:
        return os.path.abspath(str(options.root))
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and (os.geteuid() != 0 or _is_root_of_a_user()):
        return os.path.join(runtime, "ocirt")
    return "/run/ocirt"


def _is_root_of_a_user() -> bool:
    """Whether this root is that of a user namespace made by a user (rootless podman), and does not say otherwise by USER."""
    with open("/proc/self/uid_map") as file:
        return list(map(int, file.read().split())) != INITIAL_MAP and os.environ.get("USER") != "root"
