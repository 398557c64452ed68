"""``ocirt why``, and ``delete --why``: why a container has ended. Nothing waits for this: it reads files that exist anyway."""

import json
import os

from .. import state_dir
from ..cgroups import stats as cgroup_stats
from ..cgroups.v1 import V1
from ..errors import OcirtError
from ..library.kernel_log import forbidden_call
from ..library.observe import oom_kills
from ..why import Why, explain
from .containers import driver_of, read, state_of
from .create import execute
from .output import write
from .root import root_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .parser import CommandLine


def run(line: "CommandLine") -> None:
    """Print why the container has ended. With ``delete``, this process then becomes the executable, which deletes it.

    :raises OcirtError: the container does not exist, or (except for ``delete --force``) has not ended.
    """
    found = state_of(line)
    is_delete = line.verb == "delete"
    if found.status == "stopped":
        why = why_of(line)
        write(json.dumps(why.to_json()) + "\n" if getattr(line.options, "format", None) == "json" else f"{why}\n")
    elif not is_delete:
        raise OcirtError(f"container {found.id} has not ended: it is {found.status}")
    if is_delete:
        execute(line.executable, [word for word in line.words if word != "--why=true"])


def why_of(line: "CommandLine") -> Why:
    """Why the stopped container of the command line has ended, as far as anybody knows."""
    root, id = root_of(line.options), line.arguments[0]
    end = state_dir.end_of(root, id)
    exit_code, signal = (None, 0) if end is None else (None if end & 0x7F else end >> 8, end & 0x7F)
    counted = _counted(line)
    call = forbidden_call(state_dir.pid_of(root, id)) if signal == 31 else ""
    sender = "ocirt kill" if signal and state_dir.sent_by_kill(root, id) == signal else ""
    failure = state_dir.failure_of(root, id)
    return explain(exit_code, signal, system_call=call, failure=failure, sender=sender, **counted)


def _counted(line: "CommandLine") -> "dict[str, Any]":
    """What the container's cgroups count; empty if it has none, or if they are gone."""
    try:
        driver = driver_of(*read(line))
        data = cgroup_stats.stats(driver)
        memory = data["memory"]["usage"]
        limit = memory.get("limit", 0)
        directory = driver.directory("pids") if isinstance(driver, V1) else driver.directory()
        return {
            "oom_kills": oom_kills(driver),
            "memory_limit": 0 if limit > 1 << 62 else limit,
            "memory_peak": memory.get("max", 0),
            "pids_limit": data["pids"].get("limit", 0),
            "pids_refused": _refused(directory),
        }
    except OcirtError:
        return {}


def _refused(directory: str) -> int:
    """How often pids.max of the cgroup has refused a process."""
    try:
        with open(os.path.join(directory, "pids.events")) as file:
            rows = dict([row.split() for row in file])
    except OSError:
        return 0
    return int(rows.get("max", 0))
