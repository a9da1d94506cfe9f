"""What is wrong with a template, before anybody is mailed with it.

Called by `template lint`, by the settings pages before they save, and by our own tests. `lint_texts` looks at texts:
known variables, the same in all languages, brackets in pairs, nothing empty; a tenant's in its own language.
`lint_mail` looks at a rendered mail: its size, its links, its pictures, contrast in light and dark, whether the text
part says all that the HTML says, and whether the mail clients that matter have what it uses. `lint` is both. It finds;
it changes nothing and refuses nothing. What a tenant wrote is run: call it in a worker then.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from html.parser import HTMLParser
from typing import Literal

from gateway.mail.reply import Refused
from gateway.outbound.brand import Brand, contrast
from gateway.outbound.documents import Document
from gateway.outbound.filling import NOUNS, OPTIONAL, PARTS, TOKEN, TOKENS, fill
from gateway.outbound.lint_clients import IMPORTANT, unsupported
from gateway.outbound.rendering import Rendered, render_mail
from gateway.outbound.tenant_facts import BUTTON
from gateway.outbound.tenant_language import variables_of
from gateway.outbound.tenant_texts import bare, check_texts, sample_situations
from gateway.outbound.texts import LANGUAGES, language, templates

__all__ = ["Finding", "lint", "lint_mail", "lint_marks", "lint_samples", "lint_texts"]

MAX_HTML = 102_000  # Gmail cuts what is longer
READABLE = 4.5  # WCAG 2.2 §1.4.3, contrast of text
_FLAGS = ("act", "pdf", "bundle", "alone")  # facts that a language may word without
_VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())
_DARK = re.compile(r"@media \(prefers-color-scheme: dark\) \{(.*?)\n\}", re.S)
_RULE = re.compile(r"\.(\w+) \{ ([^}]*?) \}")
_COLOUR = re.compile(r"(?:^|;)\s*color:\s*(#[0-9a-fA-F]{6})")
_BACKGROUND = re.compile(r"(?:^|;)\s*background:\s*(#[0-9a-fA-F]{6})")
_FONT_SIZE = re.compile(r"(?:^|;)\s*font(?:-size)?:[^;]*?\b(\d+)")  # MJML makes cells of size 0, and texts in them not
_STRIPPED = "()[],.;:·–—…-"


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect: the `rule` that is broken, `where`, and what it is in words. A `warning` breaks no mail by itself."""

    rule: str
    where: str
    text: str
    level: Literal["error", "warning"] = "error"


TextsByLanguage = Mapping[str, Mapping[str, str]]


def lint(
    key: str,
    code: str,
    document: Document,
    brand: Brand,
    today: date,
    texts: TextsByLanguage | None = None,
) -> list[Finding]:
    """All that is wrong with template `key` in language `code` (ro, ru, en), looked at with one document.

    `texts` is what a tenant changed, by language and part. Raises `Refused` when the document does not fit.
    """
    found = lint_texts(key, code, texts)
    if any(finding.level == "error" for finding in found):
        return found
    document = document.model_copy(update={"language": code})
    own = (texts or {}).get(code)
    return found + lint_mail(render_mail(key, document, brand, today, attach_pdf=False, texts=own), brand)


def lint_samples(key: str, code: str, brand: Brand | None, texts: TextsByLanguage | None = None) -> list[Finding]:
    """All that is wrong with a template, looked at with every sample that fits it; of the tenant's `brand`, or ours."""
    found: list[Finding] = []
    for one in sample_situations(key, code, brand):
        found += lint(key, code, one.document, one.brand, one.today, texts)
    return list(dict.fromkeys(found))


def lint_texts(key: str, code: str, texts: TextsByLanguage | None = None) -> list[Finding]:
    """What is wrong with the texts of a template in one language, beside the other languages."""
    own = (texts or {}).get(code, {})
    ours = {_part(name): text for name, text in language(code).template(key).items()}
    found = [finding for part, text in ours.items() if part not in own for finding in lint_marks(part, text)]
    try:
        check_texts(key, code, own) if own else None
    except Refused as refused:
        return [*found, Finding("text", _named(refused.reply.text), refused.reply.text)]
    needed = [part for part in PARTS if part != "button" or templates()[key].link]
    found += [
        Finding("empty", part, f"the {part} says nothing")
        for part in needed
        if not own.get(part, ours.get(part, "")).strip()
    ]
    return found + _differences(key, code, needed, texts or {}) + _needs(key, code, own)


def _part(name: str) -> str:
    """A part of ours by the name that a tenant knows."""
    return "text" if name == "lead" else name


def _named(text: str) -> str:
    return next((part for part in PARTS if f"the {part} of" in text or f"in its {part};" in text), "text")


def _differences(key: str, code: str, needed: list[str], texts: TextsByLanguage) -> list[Finding]:
    """Facts that another language says and this one does not: a defect of ours, and a warning of a tenant's."""
    said = {other: _said(key, other, texts.get(other, {})) for other in LANGUAGES}
    found: list[Finding] = []
    for part in needed:
        lacking: dict[str, list[str]] = {}
        for other in LANGUAGES:
            if missing := sorted(said[other].get(part, set()) - said[code].get(part, set())):
                lacking.setdefault(", ".join(f"{{{name}}}" for name in missing), []).append(other)
        for names, others in lacking.items():
            written = any(part in texts.get(one, {}) for one in (code, *others))
            has = "has" if len(others) == 1 else "have"
            text = f"lacks {names}, which {' and '.join(others)} {has}"
            found.append(Finding("variables", part, text, "warning" if written else "error"))
    return found


def _said(key: str, code: str, own: Mapping[str, str]) -> dict[str, set[str]]:
    """The facts that each part speaks of in one language; the forms of a noun differ by language and are none."""
    found = {_part(name): _variables(text) for name, text in language(code).template(key).items()}
    for part, text in own.items():
        try:
            found[part] = variables_of(text, code) - {*NOUNS, *_FLAGS, BUTTON}
        except Refused:  # it is told where that language is looked at
            found.pop(part, None)
    return found


def _needs(key: str, code: str, own: Mapping[str, str]) -> list[Finding]:
    """What a tenant's texts need that a document may lack: such a mail would be held."""
    found = []
    for one in sample_situations(key, code) if own else ():
        scant = bare(one)
        try:
            fill(key, code, scant.document, scant.brand.company, scant.today)
        except Refused:
            continue  # ours need it too
        try:
            fill(key, code, scant.document, scant.brand.company, scant.today, texts=own)
        except Refused as refused:
            text = f"{refused.reply.text}; the mail about such a document is held"
            found.append(Finding("may-be-missing", _named(text), text, "warning"))
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
    for feature in unsupported(rendered.html):
        lacking = ", ".join(client for client in feature.lacking if client in IMPORTANT)
        found.append(Finding("clients", "html", f"{feature.title} is used, which {lacking} does not have"))
    return list(dict.fromkeys(found))


def lint_marks(part: str, text: str) -> Iterator[Finding]:
    """What is wrong with one of our own texts: brackets that do not fit, variables that do not exist."""
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
        self._sizes = [16]
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
        hidden = hidden or "display:none" in style or tag in ("style", "title", "script")
        if tag not in _VOID:
            size = _FONT_SIZE.search(style)
            self._sizes.append(int(size[1]) if size else self._sizes[-1])
            self._open.append((tag, (light, dark), hidden))

    def handle_endtag(self, tag: str) -> None:
        """Leave the element."""
        if any(opened == tag for opened, _, _ in self._open):
            while self._open.pop()[0] != tag:
                self._sizes.pop()
            self._sizes.pop()

    def handle_data(self, data: str) -> None:
        """Text that is seen: its colours, and unless it is a heading or a table's head, that it is said in words."""
        _, colours, hidden = self._open[-1]
        if hidden or not self._sizes[-1] or not data.strip():
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
