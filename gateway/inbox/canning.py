"""Canned answers: add, change, remove, list, and fill one for a thread, in its customer's language.

A text may have the FIELDS in braces; what a thread does not know is left in its braces for the clerk to see. Called by
the pages, the CLI and the HTTP API. Refuses unknown fields when a text is kept, not when a customer waits.
"""

import re
from datetime import datetime

from gateway.inbox.reading import read_documents
from gateway.inbox.views import DocumentFacts
from gateway.mail.reply import Refused
from gateway.outbound.texts import language
from gateway.store.canned import Canned, drop_canned, get_canned, list_canned, put_canned
from gateway.store.customers import get_customer
from gateway.store.database import Transaction, new_id, to_ms
from gateway.store.documents import get_document
from gateway.store.settings import LANGUAGES
from gateway.store.tenants import get_tenant
from gateway.store.threads import Thread, get_thread

FIELDS = ("number", "balance", "total", "issue_date", "due_date", "customer", "company", "promised_on")
NAME_LENGTH, BODY_LENGTH = 100, 10_000
_FIELD = re.compile(r"\{([^{}\n]{0,40})\}")

__all__ = ["FIELDS", "Canned", "add_canned", "change_canned", "fill_canned", "language_for", "list_canned"]
__all__ += ["remove_canned"]


def add_canned(
    tx: Transaction, now: datetime, tenant_id: str, by: str, *, lang: str, name: str, body: str
) -> str:  # fmt: skip
    """Keep a new answer in one language; its id, under which `change_canned` adds others. Raises Refused."""
    canned_id = new_id()
    change_canned(tx, now, tenant_id, by, canned_id, lang=lang, name=name, body=body)
    return canned_id


def change_canned(
    tx: Transaction, now: datetime, tenant_id: str, by: str, canned_id: str, *, lang: str, name: str, body: str
) -> None:
    """Keep an answer's text in a language. Raises Refused for what cannot be one."""
    name, body = " ".join(name.split()), body.replace("\r\n", "\n").strip()
    if lang not in LANGUAGES:
        raise Refused(501, "5.5.4", f"the language {lang[:20]!r} is not one of {', '.join(LANGUAGES)}")
    if not 1 <= len(name) <= NAME_LENGTH or not 1 <= len(body) <= BODY_LENGTH:
        raise Refused(501, "5.5.4", f"give it a name of 1 to {NAME_LENGTH} and a text of 1 to {BODY_LENGTH} characters")
    if unknown := [one for one in _FIELD.findall(body) if one not in FIELDS]:
        raise Refused(501, "5.5.4", f"{{{unknown[0]}}} is no field; there are {', '.join(FIELDS)}")
    put_canned(tx, to_ms(now), tenant_id, canned_id, lang, name=name, body=body, author=by)


def remove_canned(tx: Transaction, tenant_id: str, canned_id: str, lang: str = "") -> None:
    """Forget an answer in a language, or in all. Raises Refused 404 when there is none."""
    if not drop_canned(tx, tenant_id, canned_id, lang):
        raise Refused(404, "5.1.1", f"there is no canned answer {canned_id[:40]}")


def fill_canned(tx: Transaction, tenant_id: str, canned_id: str, thread_id: str) -> str:
    """An answer's text for a thread: in its customer's language, if it has that, else the tenant's, else any.

    Raises Refused 404 when either is not the tenant's.
    """
    found, texts = get_thread(tx, tenant_id, thread_id), get_canned(tx, tenant_id, canned_id)
    if found is None or not texts:
        raise Refused(404, "5.1.1", f"there is no canned answer {canned_id[:40]}, or no thread {thread_id[:40]}")
    wanted = (language_for(tx, tenant_id, found), *LANGUAGES)
    text = min(texts, key=lambda one: wanted.index(one.language))
    facts = read_documents(tx, tenant_id, [(found.document_type, found.document_id)]) if found.document_id else {}
    tenant = get_tenant(tx, tenant_id)
    document = facts.get((found.document_type, found.document_id))
    said = _said(found, document, tenant.company if tenant else "", text.language)
    return _FIELD.sub(lambda match: said.get(match[1]) or match[0], text.body)


def _said(found: Thread, document: DocumentFacts | None, company: str, lang: str) -> dict[str, str]:
    words = language(lang)
    said = {"number": found.document_number, "customer": found.customer, "company": company}
    said["promised_on"] = words.date(found.promised_on)
    if document is not None:
        said |= {name: words.money(getattr(document, name), document.currency) for name in ("balance", "total")}
        said |= {name: words.date(getattr(document, name)) for name in ("issue_date", "due_date")}
        said["customer"] = found.customer or document.customer
    return said


def language_for(tx: Transaction, tenant_id: str, found: Thread) -> str:
    """In which language to write to a thread's customer: the customer's, the document's, else the tenant's."""
    document = get_document(tx, tenant_id, found.document_type, found.document_id) if found.document_id else None
    customer = get_customer(tx, tenant_id, document.customer_key) if document and document.customer_key else None
    tenant = get_tenant(tx, tenant_id)
    known = (customer.language if customer else "", document.language if document else "")
    return next((one for one in known if one in LANGUAGES), tenant.language if tenant else LANGUAGES[0])
