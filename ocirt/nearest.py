"""The known word that the author of a mistyped word meant.

This module is imported only to explain a mistake, because difflib takes longer to import than most verbs
take to run.
"""

from difflib import get_close_matches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, known: "Iterable[str]") -> str:
    """The word of ``known`` that is most similar to ``word``, ignoring case; empty if no word is similar."""
    by_folded = {each.lower(): each for each in known}
    folded = word.lower()
    # Two letters in the wrong order are the most frequent mistake, and for difflib a large one.
    swapped = [folded[:i] + folded[i + 1] + folded[i] + folded[i + 2 :] for i in range(len(folded) - 1)]
    found = [each for each in swapped if each in by_folded] or get_close_matches(folded, by_folded, n=1)
    return by_folded[found[0]] if found else ""
