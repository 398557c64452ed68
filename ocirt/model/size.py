"""Sizes as people write them, ``512m`` or ``1.5g``: one parser for the command line and the library."""

import re
from decimal import Decimal

EXPECTED = "a number of bytes like 512m or 1.5g"

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+) ?([kKmMgGtTpP]?)(?:[iI]?[bB])?", re.ASCII)
_FACTORS = {unit: 1024**power for power, unit in enumerate(("", "k", "m", "g", "t", "p"))}


def parse_size(text: str) -> int | None:
    """The number of bytes in ``text``, as docker and runc read it: ``1.5g`` is 1610612736, a unit is a power of 1024.

    :returns: ``None`` if the text is no size.
    """
    found = _SIZE.fullmatch(text)
    return int(Decimal(found[1]) * _FACTORS[found[2].lower()]) if found else None
