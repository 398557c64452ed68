"""Paths that are masked or read-only: config-linux.md, "Masked Paths" and "Readonly Paths"."""

from ..model.peers import RELATIVE_READONLY
from ..plan.steps import MaskPath, ReadonlyPath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.config import Linux
    from ..model.request import Request
    from ..plan.steps import Step


def restrict(linux: "Linux", request: "Request") -> "list[Step]":
    """Steps of init, after pivot_root.

    :raises ConfigError: a path is not absolute.
    """
    takes_relative = request.does(RELATIVE_READONLY)
    steps: list[Step] = [
        ReadonlyPath(
            path.path,
            "config-linux.md#readonly-paths",
            path="/" + path if takes_relative and not path.is_absolute() else path.checked(absolute=True),
        )
        for path in linux.readonly_paths
    ]
    return steps + [
        MaskPath(path.path, "config-linux.md#masked-paths", path=path.checked(absolute=True))
        for path in linux.masked_paths
    ]
