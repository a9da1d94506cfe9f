"""A tenant's templates: which are on and with PDF, what their texts say, how a mail looks, and a test mail of one.

Called by the settings pages. What a tenant wrote is only run in a worker. A text is checked before it is kept, with
every sample document that fits; a preview and a test mail are of a sample too, so neither needs a document of the
tenant's. Raises Refused in words.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gateway.mail.address import parse_address
from gateway.mail.header_mailboxes import Mailbox
from gateway.mail.reply import Refused
from gateway.outbound.brand import Brand
from gateway.outbound.filling import PARTS, texts_of
from gateway.outbound.handed import Handed, Receipt, parse_recipients
from gateway.outbound.ingredients import tenant_brand
from gateway.outbound.lint import Finding
from gateway.outbound.previews import lint_template, message_of, page_of, preview_mail, sample_facts, try_texts
from gateway.outbound.rendered import Rendered
from gateway.outbound.submission import accept
from gateway.outbound.tenant_texts import change_texts, product_texts
from gateway.outbound.texts import LANGUAGES, templates
from gateway.outbound.triggers import Choice, choice_of
from gateway.settings.workshop import Workshop, confined
from gateway.store.assets import get_logo
from gateway.store.database import Transaction
from gateway.store.template_settings import list_settings
from gateway.store.tenants import Tenant

__all__ = ["page_of"]

TEXT_LIMIT = 10_000  # characters of one part
BY = "test mail"  # what a test mail came by, for its timeline


@dataclass(frozen=True, slots=True)
class Listed:
    """A template as the list shows it. `own` are the languages in which the tenant says something else."""

    key: str
    choice: Choice
    own: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One text of a template: what the tenant says ("": as the product), and what the product says."""

    name: str
    own: str
    ours: str


@dataclass(frozen=True, slots=True)
class Texts:
    """A template's texts in one language, all that is known for its editing."""

    key: str
    code: str
    choice: Choice
    parts: tuple[Part, ...]
    brand: Brand
    all: Mapping[str, Mapping[str, str]]  # by language, what the tenant says in each


def list_templates(tx: Transaction, tenant_id: str) -> list[Listed]:
    """The fourteen templates as a tenant has them, in the product's order."""
    settings = list_settings(tx, tenant_id)
    return [
        Listed(key, choice_of(key, settings), tuple(code for code in LANGUAGES if texts_of(settings, key, code)))
        for key in templates()
    ]


def read_texts(tx: Transaction, tenant: Tenant, key: str, code: str) -> Texts:
    """What a template says in a language, as the tenant has it."""
    settings = list_settings(tx, tenant.id)
    own, ours = texts_of(settings, key, code), product_texts(key, code)
    parts = tuple(Part(name, own.get(name, ""), ours[name]) for name in PARTS if name in ours)
    brand = tenant_brand(tenant, get_logo(tx, tenant.id))
    every = {other: texts_of(settings, key, other) for other in LANGUAGES}
    return Texts(key, code, choice_of(key, settings), parts, brand, every)


def read_parts(found: Texts, form: Mapping[str, str]) -> dict[str, str]:
    """The texts of a form; one that says what the product says is "", so that it follows the product."""
    said = {}
    for part in found.parts:
        text = form.get(part.name, part.own).replace("\r\n", "\n").replace("\r", "\n").strip("\n")[:TEXT_LIMIT]
        said[part.name] = "" if text.strip() in ("", part.ours.strip()) else text
    return said


async def check(workshop: Workshop, found: Texts, said: Mapping[str, str]) -> list[Finding]:
    """Try texts with every sample; the warnings. Raises Refused for what is wrong."""
    every = dict(found.all) | {found.code: {part: text for part, text in said.items() if text}}
    warnings: list[Finding] = await confined(workshop, try_texts, found.key, found.code, found.brand, every)
    return warnings


async def keep(workshop: Workshop, tenant_id: str, found: Texts, said: Mapping[str, str]) -> list[Finding]:
    """Check texts and keep them; the warnings. Raises Refused for what is wrong, with nothing kept."""
    warnings = await check(workshop, found, said)
    await workshop.door.database.write(change_texts, tenant_id, found.key, found.code, said)
    return warnings


async def lint(workshop: Workshop, found: Texts) -> list[Finding]:
    """What is wrong with the template in this language, as it is kept."""
    told: list[tuple[str, Finding]] = await confined(workshop, lint_template, found.key, found.brand, dict(found.all))
    return [one for code, one in told if code == found.code]


async def preview(workshop: Workshop, found: Texts, said: Mapping[str, str], *, draw: bool = False) -> Rendered:
    """The mail about a sample, with these texts. Raises Refused for texts that are wrong."""
    texts = {part: text for part, text in said.items() if text}
    rendered: Rendered = await confined(
        workshop, preview_mail, found.key, found.code, found.brand, None, None, found.choice.attach_pdf, texts, draw
    )
    return rendered


def variables(found: Texts) -> dict[str, Any]:
    """Every variable that a text may speak of, as the sample has it."""
    facts = sample_facts(found.key, found.code, found.brand.company)
    del facts["button"]
    return facts


async def send_test(workshop: Workshop, tenant: Tenant, found: Texts, to: str, now: datetime) -> Receipt:
    """Mail the template, as it is kept, about a sample to a person of the tenant. Raises Refused."""
    if tenant.suspended:
        raise Refused(550, "5.7.1", "this tenant's account is suspended; ask the operator of the gateway")
    desk = await workshop.door.desks.get(tenant.id, fresh=True)
    author = desk.author if desk else workshop.door.letterhead.shared
    rendered = await preview(workshop, found, found.all[found.code], draw=True)
    rendered = replace(rendered, subject=f"[Test] {rendered.subject}")
    raw = message_of(rendered, found.brand, author, Mailbox("", parse_address(to)), now)
    return await accept(workshop.door, Handed(tenant.id, BY, parse_recipients((to,)), raw), now)
