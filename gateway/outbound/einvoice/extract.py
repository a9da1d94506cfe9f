"""Finds texts in the tree of an e-invoice by path, and remembers which were used and for what.

The ground of `mapping`. Marks each element whose text was carried over, so that the rest can be listed as lost, and
keeps where each field came from, so that a complaint can name the place. A path is `a/b/@c`; a step may have
conditions: `[p]` there is a text at `p`, `[!p]` there is none, `[p='v|w']` one is either, `[p!='v|w']` none is,
`[p~='v']` there is none, or one is `v`; `$currency` is the document's.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from gateway.outbound.documents.sums import Complaint
from gateway.outbound.einvoice.xml import Element

Take = Callable[["Extract", Element, str], Any]
Table = Mapping[str, Take]

_STEP = re.compile(r"(?P<name>[^\[/]+)(?P<conditions>(?:\[[^\]]*\])*)(?:/|\Z)")
_CONDITION = re.compile(r"\[(?P<path>[^=!~\]]*)(?:(?P<sign>!=|~=|=)'(?P<value>[^']*)')?\]|\[!(?P<absent>[^\]]*)\]")


@dataclass(frozen=True, slots=True)
class Found:
    """A text and the element that has it; `path` is the XPath."""

    element: Element
    text: str
    attribute: str = ""

    @property
    def path(self) -> str:
        """Its XPath."""
        return f"{self.element.path}/@{self.attribute}" if self.attribute else self.element.path


@dataclass(slots=True)
class Extract:
    """What is known while one document is read. `currency` is the document's (BT-5)."""

    currency: str = ""
    origins: dict[str, Found] = field(default_factory=dict)
    complaints: list[Complaint] = field(default_factory=list)
    cut: bool = False  # a list was too long: its sum, and what hangs on it, are not to be judged

    def fill(self, element: Element, table: Table, at: str) -> dict[str, Any]:
        """The fields of `table`, those that the XML does not have left out."""
        values = {name: take(self, element, f"{at}.{name}" if at else name) for name, take in table.items()}
        return {name: value for name, value in values.items() if value not in ("", None, {}, [])}

    def find(self, element: Element, path: str) -> Iterator[Found]:
        """Every text at `path` that is not empty, in the order of the document."""
        steps = _steps(path)
        attribute = steps[-1].name[1:] if steps[-1].name[0] == "@" else ""
        for here in self.select(element, steps[:-1] if attribute else steps):
            text = here.attributes.get(attribute, "").strip() if attribute else here.text
            if text:
                yield Found(here, text, attribute)

    def select(self, element: Element, steps: "tuple[_Step, ...]") -> Iterator[Element]:
        """Every element at the end of `steps`."""
        if not steps:
            yield element
            return
        step = steps[0]
        if element.counts.get(step.name):
            for child in element.children:
                if child.name == step.name and all(self._holds(child, one) for one in step.conditions):
                    yield from self.select(child, steps[1:])

    def _holds(self, element: Element, condition: "_Condition") -> bool:
        found = [one.text for one in self.find(element, condition.path)]
        if not condition.value:
            return bool(found) is (condition.sign == "=")
        wanted = self.currency if condition.value == "$currency" else condition.value
        any_is = any(one in wanted.split("|") for one in found)
        if condition.sign == "=":
            return any_is
        return not any_is if condition.sign == "!=" else not found or any_is

    def first(self, element: Element, paths: tuple[str, ...]) -> Found | None:
        """The first text at the first of `paths` that has one; nothing is marked."""
        return next((found for path in paths for found in self.find(element, path)), None)

    def use(self, found: Found, at: str) -> str:
        """Mark a text as carried over to the field `at`, and return it."""
        if not found.attribute:
            found.element.used = True
        self.origins[at] = found
        return found.text

    def complain(self, at: str, words: str) -> None:
        """Note what is wrong with a field."""
        self.complaints.append((at, words))


@dataclass(frozen=True, slots=True)
class _Condition:
    """`sign` is =, != or ~=; without a `value`: whether there is a text at all."""

    path: str
    sign: str = "="
    value: str = ""


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    conditions: tuple[_Condition, ...] = ()


@cache
def _steps(path: str) -> tuple[_Step, ...]:
    """A path of our tables, taken apart."""
    found, at = [], 0
    while at < len(path):
        match = _STEP.match(path, at)
        assert match, path
        conditions = [
            _Condition(one["absent"], "!=")
            if one["absent"]
            else _Condition(one["path"], one["sign"] or "=", one["value"] or "")
            for one in _CONDITION.finditer(match["conditions"])
        ]
        found.append(_Step(match["name"], tuple(conditions)))
        at = match.end()
    return tuple(found)


def elements(extract: Extract, element: Element, path: str) -> list[Element]:
    """The elements at `path`."""
    return list(extract.select(element, _steps(path)))
