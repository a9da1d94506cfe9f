"""Words as a search sees them: without case, diacritics and punctuation, when they are kept and when asked for.

Called by the search index and by the search of the inbox. `plată`, `PLATĂ` and `plata` are one word, so are ş and ș, ё
and е; й stays itself, since it is a letter and no accented и. Pure; never raises; time linear.
"""

import re
import unicodedata
from collections.abc import Iterator

LONGEST = 60  # characters of a word that count

_MARKS = "\u0300-\u036f"
_MARK = re.compile(f"[{_MARKS}]+")
_WORD = re.compile(r"[^\W_]+")
_SPAN = re.compile(rf"[^\W_](?:[^\W_]|[{_MARKS}])*")
_PLAIN = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", "ħ": "h", "ŧ": "t"})


def fold(text: str) -> str:
    """The text without case and diacritics."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())
    return _MARK.sub("", apart.replace("и\u0306", "й")).translate(_PLAIN)


def words(text: str) -> list[str]:
    """The folded words of a text, in order: letters and digits; all else parts them."""
    return [word[:LONGEST] for word in _WORD.findall(fold(text))]


def spans(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, folded word) of each word where it stands in the text: the same words as `words` has."""
    for found in _SPAN.finditer(text):
        folded = fold(found[0])
        yield from ((found.start(), found.end(), one[:LONGEST]) for one in _WORD.findall(folded))
