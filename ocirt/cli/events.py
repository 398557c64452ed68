"""``ocirt events``: statistics and out-of-memory events of a container, in runc's JSON."""

import json
import re
import select
import time

from ..cgroups import oom
from ..cgroups.stats import stats
from ..errors import RequestError
from ..model.text import quote
from .containers import driver_of, hold, read
from .output import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..model.config import Config
    from ..model.host import Host
    from ..model.request import Request
    from .parser import CommandLine

INTERVAL = "5s"
UNITS = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(h|ms|m|us|\u00b5s|\u03bcs|ns|s)")


def run(line: "CommandLine") -> None:
    """Print events until the container ends, or its statistics once.

    :raises OcirtError: the container does not run, has no cgroups, or the interval is wrong.
    """
    interval = seconds(line.options.interval or INTERVAL)
    _, held = hold(line)
    config, request, host = read(line)
    driver = driver_of(config, request, host)

    def print_stats() -> None:
        _print("stats", request.id, stats(driver) | {"intel_rdt": _resctrl(config, request, host)})

    if line.options.stats:
        print_stats()
        return
    watch = oom.watch(driver)
    poll = select.poll()
    poll.register(watch.fd, watch.mask)
    pidfd = held.fileno()
    poll.register(pidfd, select.POLLIN)
    due = time.monotonic() + interval
    while True:
        ready = dict(poll.poll(max(0, due - time.monotonic()) * 1000))
        # The process that runs out of memory may be the last one: print the reason before the end.
        if (watch.fd in ready or pidfd in ready) and watch.take():
            _print("oom", request.id)
        if pidfd in ready:
            return
        if time.monotonic() >= due:
            print_stats()
            due = max(due + interval, time.monotonic())


def seconds(text: str) -> float:
    """A duration in Go's notation: ``5s``, ``100ms``, ``1m30.5s``.

    :returns: seconds.
    :raises RequestError: the text is no duration, or not greater than 0.
    """
    parts = _PART.findall(text)
    if not parts or "".join(map("".join, parts)) != text.removeprefix("+"):
        raise RequestError(f"--interval: found {quote(text)}, expected a duration greater than 0, like 500ms or 1m30s")
    found = sum([float(number) * UNITS[unit] for number, unit in parts])
    if found <= 0:
        raise RequestError(f"--interval: found {quote(text)}, expected a duration greater than 0")
    return found


def _resctrl(config: "Config", request: "Request", host: "Host") -> "dict[str, Any]":
    if not config.linux.has("intelRdt"):
        return {}
    from ..cgroups import resctrl
    from ..compile.rdt import Rdt
    from ..plan import Plan

    rdt = Rdt(config, request, host, Plan(config.trace))
    return resctrl.stats(rdt.root, rdt.group, rdt.monitoring)


def _print(kind: str, id: str, data: "dict[str, Any] | None" = None) -> None:
    event = {"type": kind, "id": id} | ({} if data is None else {"data": data})
    write(json.dumps(event, separators=(",", ":")) + "\n")
