"""Compare an existing resctrl group with the schemas that a config gives it.

config-linux.md, "IntelRdt": if closID is set and the group exists, its schemata must match l3CacheSchema and memBwSchema;
otherwise the runtime must generate an error.
"""

import os

from ..errors import HostError, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

CAPABILITIES: tuple[str, ...] = ()
"""Empty, because the files belong to root."""


def run(data: list[str]) -> None:
    """Compare the group with the schemas. A group that does not exist yet agrees with every schema.

    :param data: the resctrl mount, the group below it, then for each schema its JSON path and its line.
    :raises HostError: the group gives another value to a domain that a line names, or cannot be read.
    """
    root, group, *schemas = data
    path = os.path.join(root, group, "schemata")
    try:
        with open(path) as file:
            lines = file.read().split("\n")
    except FileNotFoundError:
        return
    except OSError as error:
        raise HostError(path, reason(error)) from None
    for at, wanted in zip(schemas[::2], schemas[1::2], strict=True):
        if not agrees(lines, wanted):
            raise HostError(
                at, f"found {wanted}, but the group {group} exists already, with another schema (see {path})"
            )


def undo(record: None) -> None:
    """Do nothing, because :func:`run` changes nothing."""


def agrees(lines: "Iterable[str]", wanted: str) -> bool:
    """Does one of the lines of a file schemata give what ``wanted`` (``L3:0=ff;1=f``) gives to each domain that it names?

    Masks are hexadecimal and percentages decimal; read as hexadecimal, either are equal only if their digits are.
    """
    resource, _, _ = wanted.partition(":")
    try:
        present = next(_domains(line) for line in lines if line.strip().partition(":")[0] == resource)
        return all(present.get(domain) == value for domain, value in _domains(wanted).items())
    except (StopIteration, ValueError):
        return False


def _domains(line: str) -> dict[int, int]:
    """Domain -> value of a line ``L3:0=ff;1=f``."""
    _, colon, values = line.partition(":")
    if not colon:
        raise ValueError(line)
    pairs = [each.partition("=")[::2] for each in values.strip().rstrip(";").split(";")]
    return {int(domain, 16): int(value, 16) for domain, value in pairs}
