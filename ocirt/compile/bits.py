"""Lists of numbers in the kernel's notation, like ``0-3,7``, and their bit masks."""

from ..errors import ConfigError
from ..model.text import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def parse(text: str, path: str, name: str, limit: int) -> set[int]:
    """The numbers that the list ``text`` names.

    :param path: the JSON path of the text, for the error.
    :param name: what the numbers are, for the error.
    :param limit: the first number that is too large.
    :raises ConfigError: the text is no such list.
    """
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = [word.strip() for word in part.partition("-")]
        if not _is_number(first, limit) or (dash and not _is_number(last, limit)) or (dash and int(last) < int(first)):
            raise ConfigError(path, quote(text), f"{name} from 0 to {limit - 1} like 0-3,7")
        found.update(range(int(first), int(last or first) + 1))
    return found


def _is_number(word: str, limit: int) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 10 and int(word) < limit


def mask(numbers: "Iterable[int]") -> bytes:
    """The mask in the kernel's layout: one bit for each number, in whole words of 64 bits; empty if ``numbers`` is
    empty.
    """
    size = (max(numbers) // 64 + 1) * 8 if numbers else 0
    return sum([1 << number for number in numbers]).to_bytes(size, "little")
