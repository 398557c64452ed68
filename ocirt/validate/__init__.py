"""What is wrong with a config.json, and what is likely to be: all of it at once.

Two views are put together: that of the schema (:mod:`.schema`), which knows every property, and that of the compiler
(:mod:`.semantic`), which knows what create will say. Where both find something at one place create's sentence stands.
Apart from these errors stand warnings: names that create ignores, as the specification wants it to (:mod:`.typos`), and
what create accepts only because every other runtime does.
"""

from ..errors import ConfigError
from ..model.json import parse
from . import schema, semantic, typos
from .place import order


def validate(data: bytes) -> list[ConfigError]:
    """The errors in the config that the bytes ``data`` hold, sorted by their place in the document.

    :returns: list of :class:`~ocirt.errors.ConfigError`; empty where it is valid. What is no JSON has one error.
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
    """The names in the config that the bytes ``data`` hold that nothing reads, and what create warns of, sorted by their place.

    :returns: list of :class:`~ocirt.errors.ConfigError`, which create does not raise; empty for what is no JSON.
    """
    try:
        (members, _), (copy, _) = parse(data), parse(data)
    except ConfigError:
        return []
    found = [*typos.warnings(members), *semantic.doubts(copy)]
    return sorted(found, key=lambda warning: order(members, warning.path))
