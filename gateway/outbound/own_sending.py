"""One message through a tenant's own server: which return path it takes, and what its refusals mean.

Called by `outbound.delivery` for a way that is a tenant's. Our return path is tried first; a server that lets only its
user's address through (Postfix's reject_sender_login_mismatch, Exchange's SendAs) is asked again at once with the
tenant's address, and that is remembered. A refusal that concerns us and not the recipient (sender, login, relaying) is
passing for the mail, and an alarm for the tenant: nothing falls back in silence (S12).
"""

from dataclasses import replace
from functools import cache
from importlib.resources import files

from gateway.mail.message import read_head
from gateway.mail.reasons import Rule, first_match, read_rules
from gateway.mail.reply import Refused
from gateway.mail.status import Action, DeliveryStatus
from gateway.outbound.branding import read_author
from gateway.outbound.routing import Way
from gateway.outbound.smtp_client import Connection, Outcome, Transaction
from gateway.outbound.tenant_routes import TenantRoutes

SENDER, US = "sender", "us"


@cache
def installed_rules() -> tuple[Rule, ...]:
    """What servers mean, as data."""
    text = files("gateway.mail").joinpath("own_server.toml").read_text("utf-8")
    return read_rules(text, frozenset((SENDER, US)), "about")


def about(status: DeliveryStatus) -> str:
    """Whether a refusal is about the sender or about us; "" when it is about the recipient, or none."""
    rule = first_match(status, installed_rules()) if status.code >= 400 else None
    return rule.reason if rule else ""


async def send(routes: TenantRoutes | None, way: Way, connection: Connection, made: Transaction) -> Outcome:
    """Send one message to one recipient, by whichever way."""
    if routes is not None and way.server is not None:
        return await send_by_own(routes, way, connection, made)
    return (await connection.send(made))[0]


async def send_by_own(routes: TenantRoutes, way: Way, connection: Connection, made: Transaction) -> Outcome:
    """Send one message to one recipient; see the file's head. The outcome never fails a mail for a fault of ours."""
    tenant_id, server = way.tenant_id, way.server
    assert server is not None
    own = author_of(made.raw) or server.address
    first = replace(made, return_path=own) if routes.wants_own_return_path(tenant_id, server) else made
    outcome = (await connection.send(first))[0]
    if first is made and about(outcome.status) == SENDER and connection.reusable:
        outcome = (await connection.send(replace(made, return_path=own)))[0]
        if about(outcome.status) != SENDER and outcome.status.code not in (0, 421):
            await routes.learn_return_path(tenant_id, server.version)
    if about(outcome.status):
        status = replace(outcome.status, action=Action.DELAYED, reason="relay_failed")
        await routes.went_wrong(tenant_id, server.version, status)
        return replace(outcome, status=status)
    if outcome.status.code not in (0, 421):
        await routes.went_well(tenant_id, server.version)
    return outcome


def author_of(raw: bytes) -> str:
    """The address in From of a message of ours; "" when it cannot be read."""
    try:
        return str(read_author(read_head(raw)).address)
    except Refused:
        return ""
