"""What is wrong with a template, before anybody is mailed with it.

Called by `template lint`, by the settings pages before they save, and by our own tests. `lint_texts` looks at texts:
known variables, the same in all languages, brackets in pairs, nothing empty. `lint_mail` looks at a rendered mail: its
size, its links, its pictures, contrast in light and dark, and whether the text part says all that the HTML says.
`lint` is both. It finds; it changes nothing and refuses nothing.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from html.parser import HTMLParser

from gateway.outbound.brand import Brand, contrast
from gateway.outbound.documents import Document
from gateway.outbound.filling import NOUNS, OPTIONAL, TOKEN, TOKENS
from gateway.outbound.rendering import Rendered, render_mail
from gateway.outbound.texts import LANGUAGES, language, templates

__all__ = ["Finding", "lint", "lint_mail", "lint_texts"]

MAX_HTML = 102_000  # Gmail cuts what is longer
READABLE = 4.5  # WCAG 2.2 §1.4.3, contrast of text
PARTS = ("title", "subject", "preheader", "lead", "button")
_FLAGS = ("act", "pdf", "bundle", "alone")  # facts that a language may word without
_VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())
_DARK = re.compile(r"@media \(prefers-color-scheme: dark\) \{(.*?)\n\}", re.S)
_RULE = re.compile(r"\.(\w+) \{ ([^}]*?) \}")
_COLOUR = re.compile(r"(?:^|;)\s*color:\s*(#[0-9a-fA-F]{6})")
_BACKGROUND = re.compile(r"(?:^|;)\s*background:\s*(#[0-9a-fA-F]{6})")
_STRIPPED = "()[],.;:·–—…-"


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect: the `rule` that is broken, `where`, and what it is in words."""

    rule: str
    where: str
    text: str


def lint(
    key: str,
    code: str,
    document: Document,
    brand: Brand,
    today: date,
    texts: Mapping[str, Mapping[str, str]] | None = None,
) -> list[Finding]:
    """All that is wrong with template `key` in language `code` (ro, ru, en), looked at with one document.

    `texts` is what a tenant changed, by language and part. Raises `Refused` when the document does not fit.
    """
    found = lint_texts(key, code, texts)
    if found:
        return found
    document = document.model_copy(update={"language": code})
    own = (texts or {}).get(code)
    return lint_mail(render_mail(key, document, brand, today, attach_pdf=False, texts=own), brand)


def lint_texts(key: str, code: str, texts: Mapping[str, Mapping[str, str]] | None = None) -> list[Finding]:
    """What is wrong with the texts of a template in one language, beside the other languages."""
    said = {other: dict(language(other).template(key)) | dict((texts or {}).get(other, {})) for other in LANGUAGES}
    here = said[code]
    found = [finding for part, text in here.items() for finding in _marks(part, text)]
    needed = [part for part in PARTS if part != "button" or templates()[key].link]
    found += [Finding("empty", part, f"the {part} says nothing") for part in needed if not here.get(part, "").strip()]
    for part in needed:
        mine = _variables(here.get(part, ""))
        for other in LANGUAGES:
            if missing := sorted(_variables(said[other].get(part, "")) - mine):
                names = ", ".join(f"{{{name}}}" for name in missing)
                found.append(Finding("variables", part, f"lacks {names}, which {other} has"))
    return found


def lint_mail(rendered: Rendered, brand: Brand) -> list[Finding]:
    """What is wrong with a rendered mail."""
    size = len(rendered.html.encode())
    found = (
        [Finding("size", "html", f"has {size} bytes; Gmail cuts what is over {MAX_HTML}")] if size > MAX_HTML else []
    )
    page = _Page(rendered.html)
    found += page.findings
    for text, colours in page.texts:
        for mode, (ink, ground) in zip(("light", "dark"), colours, strict=True):
            if (ratio := contrast(ink, ground)) < READABLE:
                what = f'"{text[:40]}" in {ink} on {ground} has a contrast of {ratio:.1f}; {READABLE} is needed'
                found.append(Finding("contrast", mode, what))
    plain = _words(f"{rendered.subject} {rendered.text} {brand.company}")
    for text in page.said:
        if missing := sorted(_words(text) - plain):
            found.append(Finding("plain-text", "text", f'"{text[:60]}" is not said in the text part: {missing[0]}'))
    return list(dict.fromkeys(found))


def _marks(part: str, text: str) -> Iterator[Finding]:
    """Brackets that do not fit, and variables that do not exist."""
    bare = TOKEN.sub("", OPTIONAL.sub(lambda match: match[2], text))
    if stray := re.search(r"[\[\]{}]", bare):
        yield Finding("marks", part, f"has a {stray.group()} without its counterpart, or one within another")
    names = [*TOKEN.findall(text), *(option[0] for option in OPTIONAL.findall(text) if option[0])]
    for name in dict.fromkeys(names):
        if name not in TOKENS:
            yield Finding("unknown-variable", part, f"speaks of {{{name}}}, which does not exist")


def _variables(text: str) -> set[str]:
    """The facts that a text speaks of; the forms of a noun differ by language and are none."""
    named = {*TOKEN.findall(text), *(option[0] for option in OPTIONAL.findall(text) if option[0])}
    return named - {*NOUNS, *_FLAGS}


def _words(text: str) -> set[str]:
    return {word.strip(_STRIPPED) for word in text.split()} - {""}


Ground = tuple[tuple[str, str], tuple[str, str]]  # (ink, ground) in light and in dark


class _Page(HTMLParser):
    """Walks a mail as a client would: which text stands in which colours, where links lead, what is fetched."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.findings: list[Finding] = []
        self.texts: list[tuple[str, Ground]] = []
        self.said: list[str] = []
        dark = _DARK.search(html)
        self._dark = dict(_RULE.findall(dark[1])) if dark else {}
        self._open: list[tuple[str, Ground, bool]] = [("", (("#000000", "#ffffff"), ("#000000", "#ffffff")), False)]
        self.feed(html)
        if not dark:
            self.findings.append(Finding("dark-mode", "html", "has no colours for dark mode"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at the element, and remember its colours for what is within."""
        given = {name: value or "" for name, value in attrs}
        self._look(tag, given)
        _, (light, dark), hidden = self._open[-1]
        style = given.get("style", "")
        light = _coloured(light, style, given.get("bgcolor", ""))
        dark = _coloured(dark, style, given.get("bgcolor", ""))
        for name in given.get("class", "").split():
            dark = _coloured(dark, self._dark.get(name, "").replace(" !important", ""), "")
        hidden = hidden or "display:none" in style or "font-size:0" in style or tag in ("style", "title", "script")
        if tag not in _VOID:
            self._open.append((tag, (light, dark), hidden))

    def handle_endtag(self, tag: str) -> None:
        """Leave the element."""
        if any(opened == tag for opened, _, _ in self._open):
            while self._open.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        """Text that is seen: its colours, and unless it is a heading or a table's head, that it is said in words."""
        _, colours, hidden = self._open[-1]
        if hidden or not data.strip():
            return
        self.texts.append((data.strip(), colours))
        if not any(tag in ("h1", "th") for tag, _, _ in self._open):
            self.said.append(data.strip())

    def _look(self, tag: str, given: Mapping[str, str]) -> None:
        for name, value in given.items():
            if value.strip().lower().startswith("data:") or "url(" in value.lower().replace(" ", ""):
                self.findings.append(Finding("data-uri", tag, f"{name} holds what mail clients do not show"))
        href = given.get("href", "")
        if tag == "a" and not href.startswith("https://"):
            self.findings.append(Finding("https", tag, f"the link {href[:80]!r} does not begin with https://"))
        if tag == "img" and not given.get("alt", "").strip():
            self.findings.append(Finding("alt", tag, "a picture has no alternative text"))
        if tag == "img" and not given.get("src", "").startswith("cid:"):
            self.findings.append(Finding("picture", tag, "a picture is not in the mail; clients block it"))


def _coloured(colours: tuple[str, str], style: str, bgcolor: str) -> tuple[str, str]:
    ink, ground = _COLOUR.search(style), _BACKGROUND.search(style)
    inherited = bgcolor if re.fullmatch(r"#[0-9a-fA-F]{6}", bgcolor) else colours[1]
    return ink[1] if ink else colours[0], ground[1] if ground else inherited
