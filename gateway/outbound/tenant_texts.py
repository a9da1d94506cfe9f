"""What a tenant says in place of the product's texts: which parts, how they are stored, and checked when they are set.

Called by the commands and the settings pages; `filling` puts them into mail. A tenant changes only what it wants
(S85): parts that it did not write follow the product, also when that improves. `product_texts` gives ours in the
tenant's language (`tenant_language`), so that one starts from what is there. `check_texts` fills a text in for every
sample document that fits, so that no mail fails on it days later; it runs what others wrote: call it in a worker.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from gateway.mail.header_text import scrub
from gateway.mail.reply import Refused
from gateway.outbound.brand import Brand
from gateway.outbound.filling import OPTIONAL, PARTS, TOKEN, Texts, fill
from gateway.outbound.gallery import Situation, situations
from gateway.outbound.tenant_facts import BUTTON
from gateway.outbound.tenant_language import compile_text, variables_of
from gateway.outbound.texts import LANGUAGES, language, templates
from gateway.store.database import Transaction
from gateway.store.template_settings import change_setting

__all__ = ["PARTS", "SAMPLES", "bare", "change_texts", "check_texts", "product_texts", "sample_situations", "to_jinja"]

SAMPLES = Path(str(files("gateway") / "templates" / "samples"))
_MARKS = re.compile(r"(?<!\{)\{\w+\}(?!\})|\[\?\w+ ")  # the product's own marks, in which nobody should write
_MARK = r"[ \t]*(?:\{%[^\n]*?%\})?[ \t]*"
_OWN_LINE = re.compile(rf"^{_MARK}\{{\{{-?\s*button\s*-?\}}\}}{_MARK}$", re.M)
_PLAINEST = ("new_invoice",)  # whose samples stand for a type that is not a template's first
_BARE: Mapping[str, Any] = {
    "due_date": "", "issue_date": "", "contract": "", "purchase_order": "", "valid_days": None, "payment": None,
    "links": None, "lines": (), "taxes": (), "related": (), "metadata": {},
}  # fmt: skip


def product_texts(key: str, code: str) -> dict[str, str]:
    """Our own texts of a template, by PARTS, in the language in which a tenant writes."""
    known = language(code).template(key)
    texts = {"text" if part == "lead" else part: to_jinja(text) for part, text in known.items() if part != "alt"}
    if templates()[key].link:
        texts["text"] += f"\n\n{{{{ {BUTTON} }}}}"
    return {part: texts[part] for part in PARTS if part in texts}


def to_jinja(text: str) -> str:
    """A text with our marks, as a tenant would write it."""

    def option(match: re.Match[str]) -> str:
        asked = [match[1]] if match[1] else list(dict.fromkeys(TOKEN.findall(match[2])))
        return f"{{% if {' and '.join(asked)} %}}{token(match[2])}{{% endif %}}" if asked else token(match[2])

    def token(part: str) -> str:
        return TOKEN.sub(r"{{ \1 }}", part)

    said, at = [], 0
    for match in OPTIONAL.finditer(text):
        said += [token(text[at : match.start()]), option(match)]
        at = match.end()
    return "".join((*said, token(text[at:])))


def sample_situations(key: str, code: str, brand: Brand | None = None) -> Iterator[Situation]:
    """Template `key` about each sample that fits it, in language `code`; as the tenant's when `brand` is given."""
    others = templates()[key].fits[1:]
    for one in _samples():
        fits = one.key == key or (one.document.type in others and one.key in _PLAINEST)
        if fits and one.document.language == code:
            yield replace(one, key=key, brand=replace(brand, language=code) if brand else one.brand)


@functools.cache
def _samples() -> tuple[Situation, ...]:
    return tuple(situations(SAMPLES))


def bare(situation: Situation) -> Situation:
    """The same with a document that says no more than it must."""
    return replace(situation, document=situation.document.model_copy(update=_BARE))


def change_texts(tx: Transaction, tenant_id: str, key: str, code: str, texts: Mapping[str, str]) -> None:
    """Keep what a tenant says, by PARTS; "" forgets a part, which then follows the product again. Check it before."""
    if unknown := texts.keys() - PARTS.keys():
        raise _refuse(f"a template has no {min(unknown)!r}; there are {', '.join(PARTS)}")
    change_setting(tx, tenant_id, key, code, {part: text or None for part, text in texts.items()})


def check_texts(key: str, code: str, texts: Mapping[str, str], brand: Brand | None = None) -> list[Texts]:
    """Look at what a tenant is about to say, by PARTS; what it says of the samples. To be called in a worker.

    Raises `Refused` 501 5.5.4 with what is wrong and where: see `tenant_language` for what a text may hold.
    """
    if key not in templates() or code not in LANGUAGES:
        raise _refuse(f"there is no template {key!r} in {code!r}; there are {', '.join(templates())}")
    for part, text in texts.items():
        _check_part(key, code, part, text)
    said = []
    for one in sample_situations(key, code, brand):
        for pdf in (True, False):
            try:
                said.append(fill(key, code, one.document, one.brand.company, one.today, pdf=pdf, texts=texts))
            except Refused as refused:
                raise _refuse(f"{refused.reply.text} (tried with the sample {one.document.number})") from None
    return said


def _check_part(key: str, code: str, part: str, text: str) -> None:
    """One part as it is written."""
    where = f"the {part} of the template {key} ({code})"
    if part not in PARTS:
        raise _refuse(f"a template has no {part!r}; there are {', '.join(PARTS)}")
    if part == "button" and not templates()[key].link:
        raise _refuse(f"the template {key} has no button")
    if part != "text" and (len(text.splitlines()) > 1 or scrub(text) != text):
        raise _refuse(f"{where} must be one line without control characters")
    if scrub(text.replace("\n", "").replace("\t", "")) != text.replace("\n", "").replace("\t", ""):
        raise _refuse(f"{where} holds control characters")
    if found := _MARKS.search(text):
        raise _refuse(f"{where} holds {found.group().strip()!r}; write {{{{ number }}}} and {{% if due_date %}}")
    try:
        compile_text(text, code)
    except Refused as refused:
        raise _refuse(f"{where} {refused.reply.text}") from None
    if BUTTON in variables_of(text, code):
        _check_button(key, where, part, text)


def _check_button(key: str, where: str, part: str, text: str) -> None:
    if part != "text":
        raise _refuse(f"{where} cannot hold the button; it stands in the text")
    if not templates()[key].link:
        raise _refuse(f"the template {key} has no button that its text could place")
    if not re.search(
        r"^[ \t]*(?:\{%[^\n]*%\})?[ \t]*\{\{-?\s*button\s*-?\}\}[ \t]*(?:\{%[^\n]*%\})?[ \t]*$", text, re.M
    ):
        raise _refuse(f"{where} must place {{{{ button }}}} on a line of its own")


def _refuse(text: str) -> Refused:
    return Refused(501, "5.5.4", text)
