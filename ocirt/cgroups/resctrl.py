"""The statistics of a container's resctrl group that ``events`` prints, in the form of runc's types/events.go. The
kernel's Documentation/filesystems/resctrl.rst describes the files.
"""

import os

from ..errors import HostError
from ..model.text import bound
from .counters import Files, given

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..model.text import AnyText

INFO = {
    # The kernel's name of a resource; its member, the member of its info, and the files of the info.
    "L3": ("l3_cache", "l3_cache_info", ("min_cbm_bits", "num_closids")),
    "MB": ("mem_bw", "mem_bw_info", ("bandwidth_gran", "delay_linear", "min_bandwidth", "num_closids")),
}


def stats(root: str, group: "AnyText", monitoring: "AnyText | None") -> "dict[str, Any]":
    """The resctrl statistics of a container.

    :param root: the mount point of resctrl.
    :param group: the path of the container's group below it.
    :param monitoring: the path of the container's monitoring group, ``None`` if it has none.

    :raises HostError: the group does not exist.
    """
    directory = os.path.join(root, bound(group))
    present, default = _schemata(directory), _schemata(root)
    if present is None:
        raise HostError(directory, "the resctrl group of the container does not exist")
    found: dict[str, Any] = {}
    for resource, (name, info, files) in INFO.items():
        told = os.path.join(root, "info", resource)
        if os.path.isdir(told):
            numbers = Files(told)
            mask = {"cbm_mask": (numbers.text("cbm_mask") or "").strip()} if resource == "L3" else {}
            found[info] = given(**mask, **{file: numbers.number(file) for file in files})
            found |= given(
                **{f"{name}_schema_root": _line(default, resource), f"{name}_schema": _line(present, resource)}
            )
    return (
        found
        | given(schemata=present)
        | _monitoring(root, directory if monitoring is None else os.path.join(root, bound(monitoring)))
    )


def _schemata(directory: str) -> list[str] | None:
    text = Files(directory).text("schemata")
    return None if text is None else text.rstrip("\n").split("\n")


def _line(lines: list[str] | None, resource: str) -> str:
    return next((line.strip() for line in lines or () if line.strip().startswith(resource)), "")


def _monitoring(root: str, group: str) -> "dict[str, Any]":
    features = (Files(os.path.join(root, "info/L3_MON")).text("mon_features") or "").split()
    data = os.path.join(group, "mon_data")
    if not features or not os.path.isdir(data):
        return {}
    nodes = [Files(os.path.join(data, name)) for name in sorted(os.listdir(data))]
    found = {}
    if "mbm_total_bytes" in features or "mbm_local_bytes" in features:
        found["mbm_stats"] = [
            {name: node.number(name) for name in ("mbm_total_bytes", "mbm_local_bytes")} for node in nodes
        ]
    if "llc_occupancy" in features:
        found["cmt_stats"] = [{"llc_occupancy": node.number("llc_occupancy")} for node in nodes]
    return found
