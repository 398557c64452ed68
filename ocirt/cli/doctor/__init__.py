"""``ocirt doctor``: what this host can and cannot do for a container, and how to mend it.

A topic is a module with a function that yields findings. No topic changes anything on the host, and each works for any
user, inside a container as well as on a host.
"""

import json

from ...errors import reason
from ...model.host import Host
from ..output import write
from ..plan import bundle_of
from . import bundle, control_groups, engines, kernel, programs, storage, users
from .finding import FAULT, GOOD, NOTE, Finding, fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterable, Iterator

    from ..parser import CommandLine

    Found = tuple[str, Finding]
    Look = Callable[[Host, Namespace], Iterator[Finding]]

TOPICS: "dict[str, Look]" = {
    "kernel": lambda host, _: kernel.examine(host),
    "cgroups": lambda host, _: control_groups.examine(host),
    "users": lambda host, options: users.examine(host, options.root),
    "storage": lambda host, _: storage.examine(host),
    "programs": lambda host, _: programs.examine(host),
    "engines": lambda host, _: engines.examine(host),
}
"""In the order in which they are printed."""


def run(line: "CommandLine") -> int:
    """Print what was found about this host, or with an argument or ``--config`` what would fail for that bundle on it.

    :returns: the exit status, 1 if there is a fault.
    :raises OcirtError: the bundle's config.json cannot be read.
    """
    host, options = Host(), line.options
    if line.arguments or options.config:
        folder, data = bundle_of(line.arguments[0] if line.arguments else ".", options.config)
        found = [("bundle", each) for each in bundle.examine(host, options, folder, data)]
    else:
        found = [(topic, each) for topic, look in TOPICS.items() for each in _examined(look, host, options)]
    if options.json:
        write(json.dumps([_row(topic, each) for topic, each in found], indent=2) + "\n")
    else:
        write(as_text(found))
    return 1 if FAULT in [each.level for _, each in found] else 0


def _examined(look: "Look", host: Host, options: "Namespace") -> "Iterator[Finding]":
    """The findings of a topic. A file that an outer container hides ends its topic, and no other one."""
    try:
        yield from look(host, options)
    except OSError as error:
        yield fault(f"{error.filename}: {reason(error)}: the rest of this topic is unknown", "show the file to ocirt")


def _row(topic: str, finding: Finding) -> dict[str, str]:
    return {"topic": topic, "level": finding.level, "found": finding.found, "mend": finding.mend}


def as_text(found: "Iterable[Found]") -> str:
    """A line for each finding, and one that counts them."""
    lines = [f"{each.level:6}{topic:10}{each}" for topic, each in found]
    count = {level: [each.level for _, each in found].count(level) for level in (GOOD, NOTE, FAULT)}
    faults, notes = [f"{count[level]} {level}{'s' * (count[level] != 1)}" for level in (FAULT, NOTE)]
    return "\n".join([*lines, f"{faults}, {notes}, {count[GOOD]} good"]) + "\n"
