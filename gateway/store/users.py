"""People who log in to the pages, and their sessions.

A session's cookie holds `tenant.token`; the table holds only the token's SHA-256: a stolen database opens
no session.
Passwords are argon2id. A new login is a new session (no fixation); sessions end by time or by logging out.
"""

import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, insert, or_, select, update

from gateway.mail.address import parse_address
from gateway.mail.reply import Refused
from gateway.store.database import Transaction, need_time, new_id, storable, to_ms
from gateway.store.events import add_event
from gateway.store.schema import OPERATOR, session, user
from gateway.store.settings import LANGUAGES
from gateway.store.tenants import hash_password

ROLES = ("clerk", "admin", "auditor")  # of a tenant's people
RUNS_IT = "operator"  # the role of who runs the gateway, and belongs to no tenant
SESSION_TIME = timedelta(hours=12)
SEEN_TIME = timedelta(minutes=10)  # how often a session notes that it is in use
EPOCH = need_time(0)
OPERATOR_WORD = "the operator"  # who changes logins by commands, as events say it


@dataclass(frozen=True, slots=True)
class User:
    """A person of one tenant."""

    tenant_id: str
    id: str
    email: str
    name: str
    role: str
    language: str
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """Who is looking at a page. `csrf` must come back with every change; `second`: they proved more than a password."""

    user: User
    csrf: str
    second: bool = False
    id: str = ""
    started_at: datetime = EPOCH
    seen_at: datetime = EPOCH  # to ten minutes
    address: str = ""
    browser: str = ""  # as it calls itself


@dataclass(frozen=True, slots=True)
class Proof:
    """How somebody logged in, and from where."""

    address: str = ""
    browser: str = ""
    second: bool = False


_COLUMNS = (user.c.tenant_id, user.c.user_id, user.c.email, user.c.name, user.c.role, user.c.language)


def add_user(
    tx: Transaction, now: datetime, tenant_id: str, email: str, password: str | None, *, name: str = "",
    role: str = "clerk", language: str = "", password_hash: str = "",
) -> User:  # fmt: skip
    """Make a user. Raises Refused when the e-mail is taken or malformed, or the password shorter than 10 characters.

    A user of `OPERATOR` runs the gateway, whatever role is asked for; nobody else can.
    `password_hash` is that of the password when somebody computed it beforehand, off the writer's thread. Without a
    password, only an identity provider lets them in.
    """
    address, role = parse_address(email).key, RUNS_IT if tenant_id == OPERATOR else role
    if role not in ROLES and tenant_id != OPERATOR:
        raise Refused(501, "5.5.4", f"the role {role!r} is not one of {', '.join(ROLES)}")
    if language and language not in LANGUAGES:
        raise Refused(501, "5.5.4", f"the language {language!r} is not one of {', '.join(LANGUAGES)}")
    if password is not None and len(password) < 10:
        raise Refused(501, "5.5.4", "the password is shorter than 10 characters; choose a longer one")
    if tx.first(select(user.c.user_id).where(user.c.email == address)):
        raise Refused(550, "5.7.1", f"{address} is a user already")
    made = User(tenant_id, new_id(), address, name or address.partition("@")[0], role, language)
    tx.change(
        insert(user).values(
            tenant_id=tenant_id,
            user_id=made.id,
            email=address,
            name=made.name,
            password_hash="" if password is None else password_hash or hash_password(password),
            role=role,
            language=language,
            created_at=to_ms(now),
        )
    )
    return made


def list_users(tx: Transaction, tenant_id: str) -> list[User]:
    """A tenant's users who may log in."""
    where = (user.c.tenant_id == tenant_id) & user.c.disabled_at.is_(None)
    return [User(*row) for row in tx.all(select(*_COLUMNS).where(where).order_by(user.c.email))]


def list_people(tx: Transaction, tenant_id: str) -> list[User]:
    """All of a tenant's users; those who may not log in are last."""
    rows = tx.all(select(*_COLUMNS, user.c.disabled_at).where(user.c.tenant_id == tenant_id).order_by(user.c.email))
    return sorted((replace(User(*row[:6]), disabled=row[6] is not None) for row in rows), key=lambda one: one.disabled)


def change_user(
    tx: Transaction, now: datetime, tenant_id: str, user_id: str, *, role: str, disabled: bool
) -> User | None:
    """Give a user another role, stop them from logging in, or let them again; None when the tenant has no such user.

    Their sessions end. Raises Refused for a role that there is not, and when nobody would administer the tenant.
    """
    if role not in ROLES:
        raise Refused(501, "5.5.4", f"the role {role!r} is not one of {', '.join(ROLES)}")
    people = list_people(tx, tenant_id)
    found = next((one for one in people if one.id == user_id), None)
    if found is None:
        return None
    others = any(one.role == "admin" and not one.disabled and one.id != user_id for one in people)
    if found.role == "admin" and not found.disabled and not others and (disabled or role != "admin"):
        raise Refused(550, "5.7.1", "this is the last administrator; make somebody else one first")
    where = (user.c.tenant_id == tenant_id) & (user.c.user_id == user_id)
    tx.change(update(user).where(where).values(role=role, disabled_at=to_ms(now) if disabled else None))
    if (role, disabled) != (found.role, found.disabled):
        end_sessions(tx, tenant_id, user_id)
    return found


def disable_user(tx: Transaction, now: datetime, tenant_id: str, email: str) -> bool:
    """Stop a user from logging in and end their sessions; False when the tenant has no such user."""
    where = (user.c.tenant_id == tenant_id) & (user.c.email == email.lower())
    row = tx.first(select(user.c.user_id).where(where))
    if not row:
        return False
    tx.change(update(user).where(where).values(disabled_at=to_ms(now)))
    end_sessions(tx, tenant_id, row[0])
    return True


def set_password(
    tx: Transaction, now: datetime, tenant_id: str, email: str, password: str, password_hash: str = "", *,
    by: str = OPERATOR_WORD,
) -> bool:  # fmt: skip
    """Give a user a new password and end their sessions; False when the tenant has no such user. `by`: who does it."""
    where = (user.c.tenant_id == tenant_id) & (user.c.email == email.lower())
    row = tx.first(select(user.c.user_id).where(where))
    if not row:
        return False
    if len(password) < 10:
        raise Refused(501, "5.5.4", "the password is shorter than 10 characters; choose a longer one")
    tx.change(update(user).where(where).values(password_hash=password_hash or hash_password(password)))
    end_sessions(tx, tenant_id, row[0])
    add_event(tx, to_ms(now), tenant_id, "user.password_changed", data={"user": email.lower(), "by": by})
    return True


def set_name(tx: Transaction, tenant_id: str, user_id: str, name: str) -> None:
    """What colleagues see. Raises Refused when it is empty, longer than 100 characters or no single line."""
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise Refused(501, "5.5.4", "the name is empty, longer than 100 characters or not one line")
    where = (user.c.tenant_id == tenant_id) & (user.c.user_id == user_id)
    tx.change(update(user).where(where).values(name=name.strip()))


def set_language(tx: Transaction, tenant_id: str, user_id: str, language: str) -> None:
    """The language of a user's pages."""
    where = (user.c.tenant_id == tenant_id) & (user.c.user_id == user_id)
    tx.change(update(user).where(where).values(language=language))


def find_user(tx: Transaction, email: str) -> tuple[User, str] | None:
    """(user, password hash) of someone who may log in. The one query without a tenant: nobody is logged in yet."""
    return _find(tx, func.lower(user.c.email) == email.lower())


def get_user(tx: Transaction, tenant_id: str, user_id: str) -> tuple[User, str] | None:
    """The same of a user who is known already; the hash is "" for one without a password."""
    return _find(tx, (user.c.tenant_id == tenant_id) & (user.c.user_id == user_id))


def _find(tx: Transaction, where: Any) -> tuple[User, str] | None:
    row = tx.first(select(*_COLUMNS, user.c.password_hash).where(where, user.c.disabled_at.is_(None)))
    return (User(*row[:6]), row[6]) if row else None


def start_session(tx: Transaction, now: datetime, who: User, proof: Proof = Proof()) -> tuple[str, Session]:
    """(the cookie's value, the session) of a new login."""
    token = secrets.token_urlsafe(32)
    address, browser = storable(proof.address[:100]), storable(proof.browser[:300])
    started = Session(who, secrets.token_urlsafe(24), proof.second, _digest(token), now, now, address, browser)
    tx.change(
        insert(session).values(
            tenant_id=who.tenant_id,
            session_id=started.id,
            user_id=who.id,
            csrf=started.csrf,
            created_at=to_ms(now),
            expires_at=to_ms(now + SESSION_TIME),
            seen_at=to_ms(now),
            second=int(proof.second),
            address=address,
            browser=browser,
        )
    )
    tx.change(delete(session).where(session.c.tenant_id == who.tenant_id, session.c.expires_at < to_ms(now)))
    return f"{who.tenant_id}.{token}", started


_SESSION = tuple(session.c[name] for name in "csrf second session_id created_at seen_at address browser".split())
_JOINED = select(*_COLUMNS, *_SESSION).join_from(
    session, user, (user.c.tenant_id == session.c.tenant_id) & (user.c.user_id == session.c.user_id)
)


def _session(row: Any) -> Session:
    csrf, second, id, started, seen, address, browser = row[6:]
    return Session(User(*row[:6]), csrf, bool(second), id, need_time(started), need_time(seen), address, browser)


def find_session(tx: Transaction, now: datetime, cookie: str) -> Session | None:
    """The session of a cookie, while it lasts and its user may log in."""
    where = [session.c.expires_at > to_ms(now), user.c.disabled_at.is_(None), *_cookie_matches(cookie)]
    row: Any = tx.first(_JOINED.where(*where))
    return _session(row) if row else None


def note_seen(tx: Transaction, now: datetime, found: Session) -> None:
    """A session is in use."""
    where = (session.c.tenant_id == found.user.tenant_id) & (session.c.session_id == found.id)
    tx.change(update(session).where(where).values(seen_at=to_ms(now)))


def list_sessions(tx: Transaction, now: datetime, tenant_id: str, user_id: str = "") -> list[Session]:
    """The sessions of a user (or of all a tenant's users) that last, the one used last first."""
    where = [session.c.tenant_id == tenant_id, session.c.expires_at > to_ms(now), user.c.disabled_at.is_(None)]
    where += [session.c.user_id == user_id] if user_id else []
    return [_session(row) for row in tx.all(_JOINED.where(*where).order_by(session.c.seen_at.desc()))]


def end_sessions(tx: Transaction, tenant_id: str, user_id: str, *, only: str = "", but: str = "") -> int:
    """End a user's sessions: all, the one whose id is `only`, or all but one. How many ended."""
    where = [session.c.tenant_id == tenant_id, session.c.user_id == user_id]
    where += [session.c.session_id == only] if only else []
    where += [session.c.session_id != but] if but else []
    return tx.change(delete(session).where(*where))


def end_logins_of(tx: Transaction, now: datetime, who: User, by: str, *, only: str = "", but: str = "") -> int:
    """The same, said in an event when there were some."""
    ended = end_sessions(tx, who.tenant_id, who.id, only=only, but=but)
    if ended:
        add_event(tx, to_ms(now), who.tenant_id, "user.sessions_ended", data={"user": who.email, "by": by})
    return ended


def end_session(tx: Transaction, cookie: str) -> None:
    """Log out."""
    tx.change(delete(session).where(*_cookie_matches(cookie)))


def _cookie_matches(cookie: str) -> tuple[Any, Any]:
    tenant_id, _, token = cookie.partition(".")
    return session.c.tenant_id == tenant_id, session.c.session_id == _digest(token)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def people_of(tx: Transaction, tenant_id: str) -> dict[str, str]:
    """user id -> name (or e-mail) of all who ever logged in for a tenant, for showing who a thread is assigned to."""
    rows = tx.all(select(user.c.user_id, user.c.name, user.c.email).where(user.c.tenant_id == tenant_id))
    return {row[0]: row[1] or row[2] for row in rows}


def find_assignee(tx: Transaction, tenant_id: str, named: str) -> User | None:
    """A user of the tenant who may work, by id or e-mail; None when there is none, or they may not."""
    where = (user.c.tenant_id == tenant_id) & or_(user.c.user_id == named, user.c.email == named.lower())
    row = tx.first(select(*_COLUMNS).where(where, user.c.disabled_at.is_(None), user.c.role != "auditor"))
    return User(*row) if row else None
