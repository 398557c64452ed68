"""The known word that a mistyped one was meant to be.

Imported only where there is a mistake to explain: difflib takes longer to import than most verbs to run.
"""

from difflib import get_close_matches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, known: "Iterable[str]") -> str:
    """The word of ``known`` that ``word`` is most like, whatever its case; empty where none is like it."""
    by_folded = {each.lower(): each for each in known}
    found = get_close_matches(word.lower(), by_folded, n=1)
    return by_folded[found[0]] if found else ""
