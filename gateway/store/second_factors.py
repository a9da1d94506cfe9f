"""The second step of a login: an authenticator app's secret, sealed, and recovery codes, hashed and good for one time.

Used by the login and account pages and by `gateway user totp`. A code is taken once: the step used last is kept, and
only a later one is right, decided in the statement that writes it. Each change is an event without a thread.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import ColumnElement, delete, func, insert, select, update

from gateway.store.database import Transaction, from_ms, to_ms
from gateway.store.events import add_event
from gateway.store.schema import recovery_code, second_factor
from gateway.store.sealed import Seal
from gateway.store.totp import DIGITS, match_step
from gateway.store.users import User, end_sessions

SECRET_BYTES = 20  # RFC 4226 §4: 160 bits are recommended
RECOVERY_CODES = 10
PENDING = timedelta(hours=1)  # of a secret whose first code has not been seen
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is taken for another
_GROUPS = 4  # of four: 79 bits, so that a plain hash of one cannot be searched
_CODE = re.compile(rf"\d{{{DIGITS}}}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Factor:
    """A user's second step: since when it is asked for, and how many recovery codes are left."""

    confirmed_at: datetime | None
    codes: int


def get_factor(tx: Transaction, tenant_id: str, user_id: str) -> Factor | None:
    """A user's second step when it was confirmed; None when none is asked for."""
    row = tx.first(select(second_factor.c.confirmed_at).where(*_factor(tenant_id, user_id)))
    if row is None or row[0] is None:
        return None
    left = tx.all(select(func.count()).select_from(recovery_code).where(*_codes(tenant_id, user_id)))[0][0]
    return Factor(from_ms(row[0]), int(left))


def users_with_factor(tx: Transaction, tenant_id: str) -> frozenset[str]:
    """The ids of a tenant's users who log in by two steps."""
    where = (second_factor.c.tenant_id == tenant_id) & second_factor.c.confirmed_at.is_not(None)
    return frozenset(row[0] for row in tx.all(select(second_factor.c.user_id).where(where)))


def begin_factor(tx: Transaction, now: datetime, seal: Seal, who: User) -> bytes | None:
    """A new secret, not asked for until a code of it was seen; None when the user has a second step already."""
    if get_factor(tx, who.tenant_id, who.id):
        return None
    secret = secrets.token_bytes(SECRET_BYTES)
    tx.change(delete(second_factor).where(*_factor(who.tenant_id, who.id)))
    sealed = seal.close(secret, *_place(who))
    values = {"tenant_id": who.tenant_id, "user_id": who.id, "secret_sealed": sealed, "created_at": to_ms(now)}
    tx.change(insert(second_factor).values(values))
    return secret


def pending_secret(tx: Transaction, now: datetime, seal: Seal, who: User) -> bytes | None:
    """The secret that waits for its first code; None when there is none, or it waited for an hour."""
    fresh = second_factor.c.created_at > to_ms(now - PENDING)
    where = (*_factor(who.tenant_id, who.id), second_factor.c.confirmed_at.is_(None), fresh)
    row = tx.first(select(second_factor.c.secret_sealed).where(*where))
    return seal.open(row[0], *_place(who)) if row else None


def confirm_factor(tx: Transaction, now: datetime, seal: Seal, who: User, code: str) -> list[str] | None:
    """Ask for codes from now on; the recovery codes, which are shown once. None: no secret waits, or it is no code."""
    secret = pending_secret(tx, now, seal, who)
    step = match_step(secret, _digits(code), now) if secret else 0
    if not step:
        return None
    values = {"confirmed_at": to_ms(now), "last_step": step}
    tx.change(update(second_factor).where(*_factor(who.tenant_id, who.id)).values(values))
    add_event(tx, to_ms(now), who.tenant_id, "user.second_step_on", data={"user": who.email, "by": who.email})
    return _make_codes(tx, who)


def use_code(tx: Transaction, now: datetime, seal: Seal, who: User, code: str) -> bool:
    """Whether this is a right code of the app, or a recovery code; whichever it is, it is right no second time."""
    if not _CODE.match(_digits(code)):
        return _use_recovery_code(tx, now, who, code)
    row = tx.first(select(second_factor.c.secret_sealed).where(*_factor(who.tenant_id, who.id)))
    step = match_step(seal.open(row[0], *_place(who)), _digits(code), now) if row else 0
    where = (*_factor(who.tenant_id, who.id), second_factor.c.confirmed_at.is_not(None))
    later = second_factor.c.last_step < step  # RFC 6238 §5.2: never the same twice
    return bool(step and tx.change(update(second_factor).where(*where, later).values(last_step=step)))


def _use_recovery_code(tx: Transaction, now: datetime, who: User, code: str) -> bool:
    where = (*_codes(who.tenant_id, who.id), recovery_code.c.code_hash == _digest(code))
    if not tx.change(delete(recovery_code).where(*where)):
        return False
    add_event(tx, to_ms(now), who.tenant_id, "user.recovery_code_used", data={"user": who.email, "by": who.email})
    return True


def renew_codes(tx: Transaction, now: datetime, who: User) -> list[str]:
    """New recovery codes; the old ones are right no more."""
    add_event(tx, to_ms(now), who.tenant_id, "user.recovery_codes_made", data={"user": who.email, "by": who.email})
    return _make_codes(tx, who)


def remove_factor(tx: Transaction, now: datetime, who: User, by: str) -> bool:
    """Ask for no codes any more; whether some were asked for."""
    had = get_factor(tx, who.tenant_id, who.id) is not None
    tx.change(delete(second_factor).where(*_factor(who.tenant_id, who.id)))
    tx.change(delete(recovery_code).where(*_codes(who.tenant_id, who.id)))
    if had:
        add_event(tx, to_ms(now), who.tenant_id, "user.second_step_off", data={"user": who.email, "by": by})
    return had


def reset_factor(tx: Transaction, now: datetime, who: User, by: str) -> bool:
    """The same for somebody who lost telephone and codes; their sessions end. By an administrator or the operator."""
    had = remove_factor(tx, now, who, by)
    end_sessions(tx, who.tenant_id, who.id)
    return had


def _make_codes(tx: Transaction, who: User) -> list[str]:
    tx.change(delete(recovery_code).where(*_codes(who.tenant_id, who.id)))
    made = [_make_code() for _ in range(RECOVERY_CODES)]
    rows = [{"tenant_id": who.tenant_id, "user_id": who.id, "code_hash": _digest(code)} for code in made]
    tx.change(insert(recovery_code), rows)
    return made


def _make_code() -> str:
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(_GROUPS))


def _digest(code: str) -> str:
    return sha256("".join(re.findall(r"[a-z0-9]", code.lower())).encode()).hexdigest()


def _digits(code: str) -> str:
    return re.sub(r"[\s-]", "", code)


def _factor(tenant_id: str, user_id: str) -> tuple[ColumnElement[bool], ...]:
    return second_factor.c.tenant_id == tenant_id, second_factor.c.user_id == user_id


def _codes(tenant_id: str, user_id: str) -> tuple[ColumnElement[bool], ...]:
    return recovery_code.c.tenant_id == tenant_id, recovery_code.c.user_id == user_id


def _place(who: User) -> tuple[str, ...]:
    return who.tenant_id, "second_factor", who.id
