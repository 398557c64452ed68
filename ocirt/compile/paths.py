"""Paths that are masked or read-only: config-linux.md, "Masked Paths" and "Readonly Paths"."""

from ..model.peers import RELATIVE_PATHS
from ..plan.steps import MaskPath, ReadonlyPath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.config import Linux
    from ..model.request import Request
    from ..model.text import AnyText, Text
    from ..plan.steps import Step


def restrict(linux: "Linux", request: "Request") -> "list[Step]":
    """Steps of init, after pivot_root.

    :raises ConfigError: a path is not absolute.
    """
    # Rootfs.finish has made the root itself read-only.
    readonly = _absolute([path for path in linux.readonly_paths if not is_root(path)], request)
    masked = _absolute(linux.masked_paths, request)
    steps: list[Step] = [ReadonlyPath(at, "config-linux.md#readonly-paths", path=path) for at, path in readonly]
    return steps + [MaskPath(at, "config-linux.md#masked-paths", path=path) for at, path in masked]


def is_root(path: "Text") -> bool:
    """Does a path name the root itself? An empty one names nothing."""
    return not path.is_empty() and path.is_path("/")


def _absolute(paths: "list[Text]", request: "Request") -> "list[tuple[str, AnyText]]":
    """The non-empty paths with their JSON paths. runc and crun do not find an empty path, so they ignore it."""
    if not request.does(RELATIVE_PATHS):
        return [(path.path, path.checked(absolute=True)) for path in paths]
    return [(path.path, path if path.is_absolute() else "/" + path) for path in paths if not path.is_empty()]
