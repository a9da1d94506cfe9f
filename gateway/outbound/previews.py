"""How a mail will look before anybody is mailed: of a sample or a given document, in the tenant's own words.

Called by `template preview` and the settings pages, with texts that are kept or only tried; in a worker, since it runs
what others wrote. Nothing is stored or sent. A sample is one that ships with the gateway; it fits the template.
"""

import base64
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from gateway.mail.address import Address
from gateway.mail.header import date as date_field
from gateway.mail.header_mailboxes import Mailbox
from gateway.mail.reply import Refused
from gateway.outbound.brand import Brand
from gateway.outbound.branding import Frame, frame_fields
from gateway.outbound.documents import Document
from gateway.outbound.filling import tell
from gateway.outbound.lint import Finding, lint_samples, lint_texts
from gateway.outbound.rendered import LOGO_ID, Rendered, compose
from gateway.outbound.rendering import render_mail
from gateway.outbound.tenant_texts import check_texts, sample_situations
from gateway.outbound.texts import LANGUAGES

__all__ = ["lint_template", "message_of", "page_of", "preview_mail", "sample_facts", "try_texts"]

TextsByLanguage = Mapping[str, Mapping[str, str]]


def preview_mail(
    key: str,
    code: str,
    brand: Brand,
    document: Document | None = None,
    today: date | None = None,
    attach_pdf: bool | None = None,
    texts: Mapping[str, str] | None = None,
    draw: bool = True,
    personal: str = "",
) -> Rendered:
    """The mail of template `key` in language `code`, about `document` on the day `today`, else about a sample.

    `draw` is False when nobody looks at the PDF, of which the words speak all the same.
    Raises `Refused` as `render_mail` does: a document that does not fit, a text that is wrong.
    """
    related: tuple[Document, ...] = ()
    if document is None or today is None:
        sample = next(sample_situations(key, code))
        document = sample.document.model_copy(update={"seller": None})  # the tenant is the one who sends it
        today, related = sample.today, sample.related
    document = document.model_copy(update={"language": code})
    return render_mail(
        key, document, brand, today, attach_pdf, personal, related_documents=related, texts=texts, draw=draw
    )


def page_of(rendered: Rendered) -> str:
    """The HTML part as a browser can show it: the logo stands in it."""
    if rendered.logo is None:
        return rendered.html
    data = base64.b64encode(rendered.logo.data).decode("ascii")
    return rendered.html.replace(f"cid:{LOGO_ID}", f"data:{rendered.logo.media_type};base64,{data}")


def message_of(rendered: Rendered, brand: Brand, author: Address, to: Mailbox, now: datetime) -> bytes:
    """The whole message as a file that mail clients open (RFC 5322), neither signed nor to be sent."""
    frame = Frame(
        author_name=brand.company,
        author=author,
        reply_to_name=brand.company,
        reply_to=author,
        message_id=f"preview@{author.domain}",
        thread_root=f"thread.preview@{author.domain}",
        language=rendered.language,
        date=now,
    )
    return compose(rendered, [to], [], [*frame_fields(frame), date_field(now)])


def sample_facts(key: str, code: str, company: str) -> dict[str, Any]:
    """Every variable that a tenant's text may speak of, as the template's sample has it."""
    sample = next(sample_situations(key, code))
    return tell(code, sample.document, company, sample.today)


def try_texts(key: str, code: str, brand: Brand, texts: TextsByLanguage) -> list[Finding]:
    """Check what a tenant is about to say in one language; gives the warnings. Raises `Refused` for what is wrong."""
    check_texts(key, code, texts.get(code, {}), brand)
    return [one for one in lint_texts(key, code, texts) if one.level == "warning"]


def lint_template(key: str, brand: Brand | None, texts: TextsByLanguage) -> list[tuple[str, Finding]]:
    """(language, finding) of all that is wrong with a template, as the tenant of `brand` has it, else with ours."""
    found = []
    for code in LANGUAGES:
        try:
            found += [(code, one) for one in lint_samples(key, code, brand, texts)]
        except Refused as refused:
            found.append((code, Finding("text", "text", refused.reply.text)))
    return found
