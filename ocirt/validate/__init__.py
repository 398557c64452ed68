"""Find all errors of a config.json at once, and what its author probably did not mean.

The schema (:mod:`.schema`) knows every property, and the compiler (:mod:`.semantic`) knows what create will say. If both find
an error at one place, create's sentence is reported. Warnings are separate from these errors: they name what create ignores, as
the specification requires (:mod:`.typos`), and what create accepts only because every other runtime does.
"""

from ..errors import ConfigError
from ..model.json import parse
from . import schema, semantic, typos
from .place import order


def validate(data: bytes) -> list[ConfigError]:
    """The errors in the config that the bytes ``data`` hold, sorted by their place in the document.

    :returns: list of :class:`~ocirt.errors.ConfigError`; empty if the config is valid. A document that is not JSON has one error.
    """
    try:
        # Parsed twice rather than copied: Python copies less deep than it parses.
        (members, _), (copy, _) = parse(data), parse(data)
    except ConfigError as error:
        return [error]
    found: dict[str, ConfigError] = {}
    for each in [*semantic.errors(members, copy), *schema.errors("config", members)]:
        found.setdefault(each.path, each)
    return sorted(found.values(), key=lambda error: order(members, error.path))


def warnings(data: bytes) -> list[ConfigError]:
    """The warnings about the config in the bytes ``data``: names that nothing reads, and what create warns of, sorted by place.

    :returns: list of :class:`~ocirt.errors.ConfigError`, which create does not raise; empty if ``data`` is not JSON.
    """
    try:
        (members, _), (copy, _) = parse(data), parse(data)
    except ConfigError:
        return []
    found = [*typos.warnings(members), *semantic.doubts(copy)]
    return sorted(found, key=lambda warning: order(members, warning.path))
