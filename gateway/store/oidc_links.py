"""Who is whom at an identity provider: a user is found by (issuer, subject), which never changes hands; an e-mail may.

Called by `web.oidc.login`, the account page and `gateway user unlink`. A verified e-mail links an existing user once;
from then on only the subject counts, and another subject with the same e-mail does not become that user.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select

from gateway.mail.reply import Refused
from gateway.store.database import Transaction, need_time, to_ms
from gateway.store.events import add_event
from gateway.store.schema import oidc_link
from gateway.store.tenants import find_tenant, get_tenant
from gateway.store.users import User, add_user, find_user, get_user


@dataclass(frozen=True, slots=True)
class Link:
    """That a user is somebody at a provider."""

    issuer: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a provider vouches for. `slug`: the tenant that it must be, "" for any; `create`: the role of a new user."""

    issuer: str
    subject: str
    email: str  # "" when it is not verified
    name: str = ""
    slug: str = ""
    create: str = ""


def list_links(tx: Transaction, tenant_id: str, user_id: str) -> list[Link]:
    """Where a user is known."""
    where = (oidc_link.c.tenant_id == tenant_id) & (oidc_link.c.user_id == user_id)
    rows = tx.all(select(oidc_link.c.issuer, oidc_link.c.created_at).where(where).order_by(oidc_link.c.created_at))
    return [Link(row[0], need_time(row[1])) for row in rows]


def find_person(tx: Transaction, now: datetime, claimed: Claimed) -> User:
    """The user that somebody is. Raises Refused when they are none of ours, may not log in, or are another tenant's."""
    where = (oidc_link.c.issuer == claimed.issuer) & (oidc_link.c.subject == claimed.subject)
    row = tx.first(select(oidc_link.c.tenant_id, oidc_link.c.user_id).where(where))
    if row:
        found = get_user(tx, row[0], row[1])
        if found is None:
            raise Refused(550, "5.7.1", "this user may not log in any more; ask your administrator")
        return _of_tenant(tx, found[0], claimed.slug)
    by_email = find_user(tx, claimed.email) if claimed.email else None
    if by_email is not None:
        user = _of_tenant(tx, by_email[0], claimed.slug)
        if any(one.issuer == claimed.issuer for one in list_links(tx, user.tenant_id, user.id)):
            raise Refused(550, "5.7.1", "the provider knows this user as somebody else; unlink them first")
    else:
        user = _make(tx, now, claimed)
    _link(tx, now, user, claimed)
    return user


def _of_tenant(tx: Transaction, user: User, slug: str) -> User:
    tenant = get_tenant(tx, user.tenant_id)  # None for who runs the gateway: no provider vouches for that
    if tenant is None or (slug and tenant.slug != slug):
        raise Refused(550, "5.7.1", "the provider says that this user belongs to another company")
    return user


def _make(tx: Transaction, now: datetime, claimed: Claimed) -> User:
    tenant = find_tenant(tx, claimed.slug) if claimed.slug and claimed.create and claimed.email else None
    if tenant is None:
        raise Refused(550, "5.7.1", "there is no user with this e-mail; ask your administrator to add one")
    return add_user(tx, now, tenant.id, claimed.email, None, name=claimed.name[:100].strip(), role=claimed.create)


def _link(tx: Transaction, now: datetime, user: User, claimed: Claimed) -> None:
    values = {"issuer": claimed.issuer, "subject": claimed.subject, "created_at": to_ms(now)}
    tx.change(insert(oidc_link).values(tenant_id=user.tenant_id, user_id=user.id, **values))
    data = {"user": user.email, "by": user.email, "issuer": claimed.issuer}
    add_event(tx, to_ms(now), user.tenant_id, "user.linked", data=data)


def unlink(tx: Transaction, now: datetime, user: User, by: str) -> int:
    """Forget who a user is at providers; how many there were."""
    where = (oidc_link.c.tenant_id == user.tenant_id) & (oidc_link.c.user_id == user.id)
    gone = tx.change(delete(oidc_link).where(where))
    if gone:
        add_event(tx, to_ms(now), user.tenant_id, "user.unlinked", data={"user": user.email, "by": by})
    return gone
