"""Which features of HTML and CSS a mail uses, and which mail clients do not have them, by the data of caniemail.

Called by lint. `features_of` reads a mail as clients do (conditional comments for Outlook alone are left aside) and
names features by caniemail's slugs; `unsupported` says which of them some client that matters lacks, but for those
whose absence harms nobody: they stand in GRACEFUL, each with its reason. The data is gateway/templates/email/
caniemail.json, made by scripts/caniemail.py; what it does not know is not judged.
"""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib.resources import files

__all__ = ["GRACEFUL", "Feature", "features", "features_of", "unsupported"]

IMPORTANT = (
    "Gmail in a browser", "Gmail for iOS", "Gmail for Android", "Outlook for Windows", "Outlook in a browser",
    "Outlook for iOS", "Apple Mail", "Mail on the iPhone", "Yahoo Mail in a browser", "Mail.ru in a browser",
)  # fmt: skip

# What a client may lack without harm: what is seen then, and why that is good enough.
GRACEFUL: Mapping[str, str] = {
    "css-at-media": "narrow screens get tighter margins; without it the mail is fluid all the same",
    "css-at-media-prefers-color-scheme": "without it the mail is light, or the client darkens it by itself",
    "css-border-radius": "without it corners are square",
    "css-cursor": "a hand instead of an arrow, or an arrow",
    "css-height": "Yahoo makes it the least height, which is the same for a picture and an empty cell",
    "css-outline": "only takes away what some browsers draw around links",
    "css-selector-child": "only in rules for narrow screens, which Outlook for Windows does not have at all",
    "css-word-spacing": "only sets it to what it is",
    "css-white-space-nowrap": "amounts and dates have no-break spaces too",
    "css-color-scheme": "without it the mail is light",
    "css-opacity": "a second way to hide the preheader, beside display and height",
    "css-overflow": "a second way to hide the preheader, beside display",
    "css-max-height": "a second way to hide the preheader, beside display",
    "css-overflow-wrap": "without it a very long word widens its column",
    "css-word-break": "without it a very long word widens its column",
    "css-word-wrap": "without it a very long word widens its column",
    "css-selector-attribute": "only for [data-ogsc] and [data-ogsb], which Outlook in a browser sets itself",
    "css-table-layout": "only on narrow screens, where columns are laid out by their content without it",
    "html-meta-color-scheme": "without it the mail is light, or the client darkens it by itself",
    "html-aria-label": "for screen readers; what is seen is the same",
    "html-aria-hidden": "for screen readers; what is seen is the same",
    "html-target": "links open where the client opens links",
    "html-doctype": "web mail shows a mail within its own page",
    "html-body": "its colour is said again on the outermost table",
}

_ELEMENTS = (
    dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), "html-h1-h6")
    | dict.fromkeys(("ul", "ol", "dl", "li", "dt", "dd"), "html-lists")
    | dict.fromkeys(("table", "tr", "td", "th", "tbody", "thead", "tfoot"), "html-table")
    | dict.fromkeys(
        ("article", "aside", "details", "figcaption", "figure", "footer", "header", "main", "mark", "nav", "section"),
        "html-semantics",
    )
    | {"b": "html-strong", "s": "html-strike", "map": "html-image-maps", "area": "html-image-maps"}
)
_SHORTHANDS = ("margin", "padding", "border", "font", "list-style", "outline", "text-decoration", "background")
_SIDES = frozenset(("left", "right", "top", "bottom"))
_FUNCTIONS = {
    "rgb": "css-rgb", "rgba": "css-rgba", "calc": "css-unit-calc", "var": "css-variables", "min": "css-function-min",
    "max": "css-function-max", "clamp": "css-function-clamp", "light-dark": "css-function-light-dark",
    "linear-gradient": "css-linear-gradient", "radial-gradient": "css-radial-gradient",
    "conic-gradient": "css-conic-gradient", "oklch": "css-modern-color", "lch": "css-modern-color",
    "lab": "css-modern-color", "oklab": "css-modern-color",
}  # fmt: skip
_COMMENT = re.compile(r"/\*.*?\*/", re.S)
_UNIT = re.compile(r"(?<![\w#.-])-?(?:\d+\.?\d*|\.\d+)(%|[a-z]+)")
_FUNCTION = re.compile(r"([a-z-]+)\(")
_STRING = re.compile(r"\"[^\"]*\"|'[^']*'")
_AT = re.compile(r"@([\w-]+)\s*([^{;]*)")
_CONDITION = re.compile(r"\(\s*(prefers-color-scheme|prefers-reduced-motion|hover|any-hover|orientation)\b")
_PSEUDO = re.compile(r"(::?)([\w-]+)")
_ATTRIBUTE = re.compile(r"\[[^\]]*\]")


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature of HTML or CSS: its name for people, and the clients that lack it."""

    slug: str
    title: str
    lacking: tuple[str, ...]


@functools.cache
def features() -> Mapping[str, Feature]:
    """All that the data knows, by slug."""
    text = (files("gateway") / "templates" / "email" / "caniemail.json").read_text("utf-8")
    data = json.loads(text)
    return {
        slug: Feature(slug, title, tuple(c for c, verdict in zip(data["clients"], row, strict=True) if verdict == "n"))
        for slug, (title, row) in data["features"].items()
    }


def unsupported(html: str) -> list[Feature]:
    """The features that a mail uses and a client of IMPORTANT lacks; those of GRACEFUL are accepted."""
    known = features()
    used = [known[slug] for slug in sorted(features_of(html)) if slug in known and slug not in GRACEFUL]
    return [one for one in used if any(client in IMPORTANT for client in one.lacking)]


def features_of(html: str) -> set[str]:
    """The slugs of what a mail uses; some of them are unknown to the data."""
    page = _Uses()
    page.feed(html)
    page.close()
    return page.found


class _Uses(HTMLParser):
    """Collects what elements, attributes and styles a mail has."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self._in_style = False

    def handle_decl(self, decl: str) -> None:
        """The doctype."""
        self.found.add("html-doctype")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element with its attributes."""
        given = {name: value or "" for name, value in attrs}
        self.found.add(_ELEMENTS.get(tag, f"html-{tag}"))
        if tag in ("input", "button"):
            self.found.add(f"html-{tag}-{given.get('type', 'submit' if tag == 'button' else 'text')}")
        if tag == "meta" and given.get("name") == "color-scheme":
            self.found.add("html-meta-color-scheme")
        self.found |= {f"html-{name}" for name in given if name not in ("style", "class", "id")} & features().keys()
        href = given.get("href", "")
        self.found |= {"html-mailto-links"} if href.startswith("mailto:") else set()
        self.found |= {"html-anchor-links"} if href.startswith("#") else set()
        self.found |= set(_declarations(given.get("style", "")))
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        """The end of a style sheet."""
        self._in_style = False

    def handle_data(self, data: str) -> None:
        """A style sheet."""
        if self._in_style:
            self.found |= set(_sheet(data))


def _sheet(css: str) -> Iterator[str]:
    """What a style sheet uses."""
    if _COMMENT.search(css):
        yield "css-comments"
    css = _STRING.sub('""', _COMMENT.sub("", css))
    at = 0
    while at < len(css):
        opens = min((found for sign in "{};" if (found := css.find(sign, at)) >= 0), default=len(css))
        prelude, sign = css[at:opens].strip(), css[opens : opens + 1]
        at = opens + 1
        if prelude.startswith("@"):
            yield from _at_rule(prelude)
        elif sign == "{":
            yield from _selectors(prelude)
        elif prelude:
            yield from _declarations(prelude)


def _at_rule(prelude: str) -> Iterator[str]:
    found = _AT.match(prelude)
    if not found:
        return
    yield f"css-at-{found[1]}"
    for name in _CONDITION.findall(found[2]):
        yield f"css-at-media-{name.removeprefix('any-')}"
    yield from _values(found[2])


def _selectors(prelude: str) -> Iterator[str]:
    yield from ("css-selector-grouping",) if "," in prelude else ()
    yield from ("css-selector-attribute",) if _ATTRIBUTE.search(prelude) else ()
    bare = _ATTRIBUTE.sub("", prelude)
    for colons, name in _PSEUDO.findall(bare):
        if name != "root":
            yield f"css-pseudo-{'element' if colons == '::' or name in ('before', 'after') else 'class'}-{name}"
    bare = _PSEUDO.sub("", bare)
    for sign, name in ((".", "class"), ("#", "id"), ("*", "universal"), (">", "child"), ("+", "adjacent-sibling"),
                       ("~", "general-sibling")):  # fmt: skip
        if sign in bare:
            yield f"css-selector-{name}"
    if re.search(r"[\w\])]\s+[\w.#\[*]", prelude.replace(",", " , ")):
        yield "css-selector-descendant"
    if re.search(r"[.#][\w-]+[.#]", bare):
        yield "css-selector-chaining"
    if re.search(r"(?:^|[\s,>+~])[a-z]", bare):
        yield "css-selector-type"


def _declarations(style: str) -> Iterator[str]:
    """What declarations use: properties, values, units."""
    for declaration in _STRING.sub('""', style).split(";"):
        name, colon, value = declaration.partition(":")
        name, value = name.strip().lower(), value.strip().lower()
        if not colon or name.startswith(("mso-", "-")):
            continue  # for one client on purpose; the others pass it over
        yield _property(name, value)
        if "!important" in value:
            yield "css-important"
        if name not in ("font-family",):
            yield from _values(value)


def _property(name: str, value: str) -> str:
    if name == "display":
        word = value.split()[0] if value else ""
        return f"css-display-{word}" if word in ("none", "flex", "grid") else "css-display"
    if name == "white-space" and value.split()[:1] in (["nowrap"], ["normal"]):
        return "css-white-space-nowrap"  # Outlook for Windows takes no value; of pre-line the breaks would be lost
    if name in _SIDES:
        return "css-left-right-top-bottom"
    if f"css-{name}" in features():
        return f"css-{name}"
    shorthand = next((one for one in _SHORTHANDS if name.startswith(f"{one}-")), name)
    return f"css-{shorthand}"


def _values(value: str) -> Iterator[str]:
    for unit in _UNIT.findall(value):
        yield f"css-unit-{'percent' if unit == '%' else unit}"
    for name in _FUNCTION.findall(value):
        if name in _FUNCTIONS:
            yield _FUNCTIONS[name]
