"""Paths that are masked or read-only: config-linux.md, "Masked Paths" and "Readonly Paths"."""

from ..plan.steps import MaskPath, ReadonlyPath


def restrict(linux):
    """Steps of init, after pivot_root.

    :raises ConfigError: a path is not absolute.
    """
    steps = [ReadonlyPath(path.path, "config-linux.md#readonly-paths", path=path.checked(absolute=True))
             for path in linux.readonly_paths]
    return steps + [MaskPath(path.path, "config-linux.md#masked-paths", path=path.checked(absolute=True))
                    for path in linux.masked_paths]
