"""Compiles gateway/templates/email/mail.mjml to mail.html, by mrml. Run by `make mail`; a test compares the two.

The source is MJML with Jinja in it. mrml knows no Jinja, so each of its tags is a token while mrml works: a comment
where a statement stands among elements, a word within attributes and for values. `python scripts/mjml.py`.
Refuses a source that mrml warns about, and a result with an unknown element, without a tag, or with statements in
another order.
"""

import re
import sys
from pathlib import Path

import mrml

SOURCE = Path(__file__).resolve().parents[1] / "gateway/templates/email/mail.mjml"
TARGET = SOURCE.with_suffix(".html")
TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.S)
TOKEN = re.compile(r"<!--jinja(\d+)-->|jinja(\d+)x")
COMMENT = re.compile(r"<!--.*?-->", re.S)
BETWEEN = re.compile(r"(?<=>)\s+|\s+(?=<)")

# What mrml has no word for: the classes by which dark mode finds the page, and the table within the card.
CLASSES = (
    ("<body style=", '<body class="bg" style='),
    ('border-radius:8px;overflow:hidden;"><table ', 'border-radius:8px;overflow:hidden;"><table class="card" '),
)


def compile_mail(source: str) -> str:
    """The HTML of `source`, with its Jinja where it stood. Raises `ValueError` as the head of this file says."""
    tags: list[str] = []
    output = mrml.to_html(_without_jinja(COMMENT.sub("", source), tags))
    if output.warnings:
        raise ValueError(f"mrml warns: {output.warnings}")
    html = output.content
    for old, new in CLASSES:
        if html.count(old) != 1:
            raise ValueError(f"mrml writes {old!r} {html.count(old)} times, where once was expected")
        html = html.replace(old, new)
    if unknown := re.search(r"</?mj[\w-]*", html):
        raise ValueError(f"mrml knows no {unknown[0]}")
    _check(html, tags)
    return TOKEN.sub(lambda match: _tag(match, tags), html).strip() + "\n"


def _without_jinja(source: str, tags: list[str]) -> str:
    """`source` with tokens in place of its tags, which are appended to `tags`."""
    parts, end, within = [], 0, False
    for match in TAG.finditer(source):
        literal = source[end : match.start()]
        if "<" in literal or ">" in literal:
            within = literal.rfind("<") > literal.rfind(">")  # an attribute, not text
        number = len(tags)
        statement = match[0].startswith("{%") and not within
        parts += [literal, f"<!--jinja{number}-->" if statement else f"jinja{number}x"]
        tags.append(match[0])
        end = match.end()
    return "".join([*parts, source[end:]])


def _check(html: str, tags: list[str]) -> None:
    found = [int(match[1] or match[2]) for match in TOKEN.finditer(html)]
    if missing := [tags[number] for number in sorted(set(range(len(tags))) - set(found))]:
        raise ValueError(f"mrml lost {', '.join(missing)}")
    statements = [number for number in found if tags[number].startswith("{%")]
    if statements != sorted(set(statements)):
        raise ValueError("mrml changed the order of statements")


def _tag(match: re.Match[str], tags: list[str]) -> str:
    """A tag; one that stood among elements ends its line, which Jinja takes away again."""
    return f"{tags[int(match[1])]}\n" if match[1] else tags[int(match[2])]


if __name__ == "__main__":
    TARGET.write_text(compile_mail(SOURCE.read_text("utf-8")), "utf-8")
    sys.stdout.write(f"{TARGET}\n")
