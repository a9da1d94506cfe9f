"""The text part of a mail about a document: what the HTML part says, as a person would type it.

Called by rendering with what both parts show. At most 76 columns where words allow; tables are aligned by blanks;
no-break spaces hold, and long words and addresses are never cut.
"""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from gateway.mail.header_text import scrub
from gateway.outbound.filling import Texts
from gateway.outbound.pages import page
from gateway.outbound.sheet import Sheet

WIDTH = 76
_MOST_NAME = 24  # columns of a fact's name before its value moves to the right


def plain_text(shown: dict[str, Any], texts: Texts, sheet: Sheet) -> str:
    """The text part, lines ended by \\n. `shown` is what the HTML template is given."""
    lines = [(row["name"] + (f" ({row['count']})" if row["count"] else ""), (row["amount"],)) for row in shown["rows"]]
    sums = [(name, (value,)) for name, value in (*shown["totals"], sheet.grand)]
    said = (texts.lead, *(value for _, value in sheet.facts))
    name = "" if any(sheet.number in text for text in said) else f"{scrub(f'{sheet.title} {sheet.number}')}\n"
    values = shown | {
        "block": name + _columns([sheet.headline, *sheet.facts]),
        "items": _table(lines, shown["more"], sums) if lines or shown["totals"] else "",
        "tables": [_titled(table) for table in shown["tables"]],
        "payment": _columns(shown["ways"]),
        "notes": [_wrap(note) for note in sheet.notes],
        "personal": _blocks(shown["personal"]),
        "before": _blocks([["".join(line) for line in lines] for lines in shown["before"]]),
        "after": _blocks(shown["after"]),
        "downloads": [_linked(one) for one in shown["downloads"]],
        "preferences": _linked(shown["preferences"]),
        "imprint": "\n".join(_wrap(line) for line in shown["imprint"]),
    }
    wrapped = {name: _wrap(getattr(texts, name)) for name in ("greeting", "footer")}
    body = page("email/mail.txt").render(values | {"t": wrapped})
    clean = [scrub(line).rstrip() if line != "-- " else line for line in body.split("\n")]
    return "\n".join(clean).strip("\n") + "\n"


Line = tuple[str, Sequence[str]]


def _titled(table: dict[str, Any]) -> str:
    """A table under its title; heads stand over the amounts when there are several."""
    rows, sums = ([_line(row) for row in table[part]] for part in ("rows", "sums"))
    heads = table["heads"] if len(table["heads"]) > 2 else ()
    return f"{scrub(table['title'])}\n{_table(rows, table['more'], sums, heads)}"


def _line(row: dict[str, Any]) -> Line:
    name = f"{row['name']} {row['number']}".strip()
    return name + (f" ({row['note']})" if row["note"] else ""), row["values"]


def _table(rows: Sequence[Line], more: str, sums: Sequence[Line], heads: Sequence[str] = ()) -> str:
    """Names on the left, amounts in columns on the right, sums below a line."""
    cells = [values for _, values in (*rows, *sums)] + [heads[1:]] * bool(heads)
    widths = [max(len(scrub(value)) for value in column) + 2 for column in zip(*cells, strict=True)]
    left = max(WIDTH - 2 - sum(widths), 20)
    rule = ["  " + "-" * (left + sum(widths))]
    lines = [*_filled(heads[0], heads[1:], widths, left), *rule] if heads else []
    for name, values in rows:
        lines += _filled(name, values, widths, left)
    lines += [f"  {more}"] if more else []
    lines += rule if sums and rows else []
    for name, values in sums:
        lines += _filled(name, values, widths, left, last=True)
    return "\n".join(lines)


def _filled(name: str, values: Sequence[str], widths: Sequence[int], left: int, last: bool = False) -> list[str]:
    """One row: the amounts stand beside the first line of its name, or the last."""
    parts = textwrap.wrap(scrub(name), left, break_long_words=False) or [""]
    at = len(parts) - 1 if last else 0
    if len(parts[at]) > left:  # a long word leaves no room
        at += 1
        parts.insert(at, "")
    amounts = "".join(f"{scrub(value):>{width}}" for value, width in zip(values, widths, strict=True))
    parts[at] = f"{parts[at]:<{left}}{amounts}".rstrip()
    return [f"  {part}" for part in parts]


def _columns(pairs: Iterable[tuple[str, str]]) -> str:
    pairs = list(pairs)
    width = min(max((len(name) for name, _ in pairs), default=0), _MOST_NAME) + 3
    return "\n".join(f"  {scrub(name) + ': ':<{width}}{scrub(value)}" for name, value in pairs)


def _blocks(blocks: Iterable[Sequence[str]]) -> list[str]:
    """Paragraphs of lines."""
    return ["\n".join(_wrap(line) for line in lines) for lines in blocks]


def _linked(said: Sequence[str]) -> str:
    """A sentence, and what its link is called; the URL stands on a line of its own, so that no client breaks it."""
    return f"{_wrap(f'{said[0]} {said[1]}:')}\n{said[2]}" if said else ""


def _wrap(text: str) -> str:
    """Paragraphs filled to 76 columns."""
    lines = (
        textwrap.wrap(line, WIDTH, break_long_words=False, break_on_hyphens=False) or [""] for line in text.split("\n")
    )
    return "\n".join("\n".join(parts) for parts in lines)
