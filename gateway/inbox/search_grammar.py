"""The language of the search box: words, "phrases", beginnings*, -not, OR, brackets, and operator:value.

Pure: text in, a tree out; what an operator means stands in `inbox.search_operators`. One grammar for the page, the
command line and the API. A query that makes no sense raises `WrongQuery`, whose words say what to write; nothing else
is ever raised.
    query  = either ;  either = both { ("OR" | "|") both } ;  both = one { ["AND"] one }
    one    = ("-" | "NOT") one | "(" either ")" | [operator ":"] ( word | '"' phrase '"' | "(" either ")" )
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.mail.reply import Refused

LONGEST = 500  # characters of a query
MOST_TERMS = 40
DEEPEST = 12


class WrongQuery(Refused):
    """A query that makes no sense. `sentence` is the English text with %(names)s, for translation; `values` fill it."""

    def __init__(self, sentence: str, **values: object) -> None:
        self.sentence = sentence
        self.values: Mapping[str, object] = values
        super().__init__(501, "5.5.4", sentence % values if values else sentence)

    def __reduce__(self) -> tuple[type[Refused], tuple[int, str, str]]:
        """As its plain words: the sentence is for pages of this process."""
        return Refused, (self.reply.code, self.reply.enhanced, self.reply.text)


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that is looked for. `operator` is "" for words; `quoted`: as a phrase; `prefix`: it may go on."""

    operator: str
    text: str
    quoted: bool = False
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class All:
    """All of these."""

    parts: tuple["Query", ...]


@dataclass(frozen=True, slots=True)
class Any:
    """One of these at least."""

    parts: tuple["Query", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """None of this."""

    part: "Query"


Query = Term | All | Any | Not

_QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "\u00a0": " "})
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<operator>[A-Za-z][A-Za-z_-]{0,19}):(?=\S) | (?P<quoted>"[^"]*")(?P<star>\*?) | (?P<open>\() | (?P<close>\))
    | (?P<or>OR(?=[\s()]|$)|\|{1,2}) | (?P<and>AND(?=[\s()]|$)) | (?P<not>NOT(?=[\s()]|$)|-(?=[^\s)|-]))
    | (?P<word>[^\s()"|]+) | (?P<torn>"))""",
    re.X,
)
_WORD = re.compile(r'(?P<word>[^\s()"|]+)')


def parse(text: str) -> Query:
    """The tree of a query; an empty text is `All(())`, which everything matches. Raises WrongQuery."""
    if len(text) > LONGEST:
        raise WrongQuery("the search is longer than %(most)s characters; look for less at once", most=LONGEST)
    reader = _Reader(_read_tokens(text.translate(_QUOTES).strip()))
    found = reader.either("", 0) if reader.more() else All(())
    if reader.more():
        raise WrongQuery("there is a ) without its (; take it out, or put it into quotes")
    return found


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    star: bool = False


def _read_tokens(text: str) -> list[_Token]:
    tokens, at = list[_Token](), 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:  # only spaces are left
            break
        kind = next(name for name, value in found.groupdict().items() if value is not None and name != "star")
        if kind == "torn":
            raise WrongQuery('a " is open; close the phrase with another "')
        after_operator = tokens and tokens[-1].kind == "operator"
        joined = kind in ("operator", "or", "and", "not") and after_operator and found.start() == at
        if joined and (word := _WORD.match(text, at)):  # amount:-5, file:a:b
            found, kind = word, "word"
        tokens.append(_Token(kind, found[kind], bool(found.groupdict().get("star"))))
        at = found.end()
    if sum(one.kind in ("word", "quoted") for one in tokens) > MOST_TERMS:
        raise WrongQuery("the search has more than %(most)s words; look for less at once", most=MOST_TERMS)
    return tokens


class _Reader:
    """Reads tokens from left to right."""

    def __init__(self, tokens: list[_Token]) -> None:
        self.tokens = tokens
        self.at = 0

    def more(self) -> bool:
        return self.at < len(self.tokens)

    def _kind(self) -> str:
        return self.tokens[self.at].kind if self.more() else ""

    def _take(self) -> _Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def either(self, operator: str, depth: int) -> Query:
        parts = [self._both(operator, depth)]
        while self._kind() == "or":
            self._take()
            parts.append(self._both(operator, depth))
        return parts[0] if len(parts) == 1 else Any(tuple(parts))

    def _both(self, operator: str, depth: int) -> Query:
        parts: list[Query] = []
        while self._kind() not in ("", "or", "close"):
            if self._kind() == "and":
                self._take()
                continue
            parts.append(self._one(operator, depth))
        if not parts:
            raise WrongQuery("OR and brackets need words on both sides, as: factura OR cont")
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _one(self, operator: str, depth: int) -> Query:
        if depth > DEEPEST:
            raise WrongQuery("the search has brackets within brackets within brackets; write it more simply")
        made = self._take()
        if made.kind == "not":
            if self._kind() in ("", "or", "close", "and"):
                raise WrongQuery("after - or NOT stands what should not be found, as: -rambursare")
            return Not(self._one(operator, depth + 1))
        if made.kind == "open":
            return self._bracket(operator, depth)
        if made.kind == "operator":
            return self._value(made.text.lower(), operator, depth)
        if made.kind == "quoted":
            return Term(operator, made.text[1:-1], True, made.star)
        return Term(operator, made.text.rstrip("*"), False, made.text.endswith("*"))

    def _bracket(self, operator: str, depth: int) -> Query:
        if self._kind() == "close":
            raise WrongQuery("the brackets () are empty; write words into them, or take them out")
        found = self.either(operator, depth + 1)
        if self._kind() != "close":
            raise WrongQuery("a ( is open; close it with )")
        self._take()
        return found

    def _value(self, name: str, outer: str, depth: int) -> Query:
        if outer:
            raise WrongQuery("%(inner)s: stands within %(outer)s:( ); take it out of the brackets",
                             inner=name, outer=outer)  # fmt: skip
        if self._kind() not in ("word", "quoted", "open"):
            raise WrongQuery("after %(name)s: stands what is looked for, without a space between", name=name)
        return self._one(name, depth + 1)
