"""``ocirt list``: the containers under the root directory."""

import json
import os
import pwd

from .. import state
from ..errors import HostError, StateError, reason
from .output import write
from .root import root_of

COLUMNS = ("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")


def run(line):
    """Print the list. A state directory that cannot be read is a warning, not the end of the list.

    :raises HostError: the root directory cannot be read.
    """
    root = root_of(line.options)
    try:
        ids = state.ids(root)
    except OSError as error:
        raise HostError(f"--root {root}", reason(error)) from None
    if line.options.quiet:
        write("".join([f"{id}\n" for id in ids]))
        return
    states = []
    for id in ids:
        try:
            states.append(state.read(root, id))
        except StateError as error:
            if os.path.isdir(os.path.join(root, id)):  # otherwise it was deleted while we read
                line.log.warning(str(error))
    write(as_json(states) if line.options.format == "json" else as_table(states))


def owner(uid):
    """The name of the user ``uid``, ``#uid`` where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def as_json(states):
    """An array of state objects with owner, ``null`` where there is none, as runc prints it."""
    members = [each.to_json() | {"owner": owner(each.uid)} for each in states]
    return json.dumps(members or None, ensure_ascii=False, separators=(",", ":")) + "\n"


def as_table(states):
    """The table, its columns as wide as runc's: 12 letters, and 3 between a longer value and the next."""
    rows = [COLUMNS, *((each.id, str(each.pid), each.status, each.bundle, state.timestamp(each.created),
                        owner(each.uid)) for each in states)]
    widths = [max(12, 3 + max(map(len, column))) for column in zip(*rows)][:-1] + [0]
    return "".join(["".join([f"{value:{width}}" for value, width in zip(row, widths)]) + "\n" for row in rows])
