"""What a tenant's program, or person, does to a message that was accepted: cancel it, or try it again.

Called by the HTTP API. Names the tenant in everything: what is another's is not found. Never sends twice what a server
accepted. Refuses in words: 550 5.1.1 for a message that there is not, 409 when there is nothing to be done with it.
"""

from datetime import datetime

from gateway.mail.reply import Refused
from gateway.outbound.queue import cancel, retry_failed
from gateway.outbound.retry import Retry
from gateway.outbound.retry_options import read_retry
from gateway.store.database import Transaction, to_ms
from gateway.store.messages import get_message


def cancel_message(tx: Transaction, now: datetime, tenant_id: str, message_id: str, by: str) -> int:
    """End what is still queued of a message; how many deliveries."""
    _need(tx, tenant_id, message_id)
    changed = cancel(tx, to_ms(now), tenant_id, (message_id, 0), by)
    if not changed:
        raise Refused(409, "5.5.1", "nothing of it is queued any more; it was sent, failed or was cancelled before")
    return changed


def retry_message(tx: Transaction, now: datetime, tenant_id: str, message_id: str, by: str, house: Retry) -> int:
    """Queue again what waits, failed or was cancelled of a message; how many deliveries."""
    _need(tx, tenant_id, message_id)
    now_ms = to_ms(now)
    expires_at = now_ms + int(1000 * read_retry(tx, tenant_id, "", house).expire)
    changed = retry_failed(tx, now_ms, tenant_id, (message_id, 0), by, expires_at)
    if not changed:
        raise Refused(409, "5.5.1", "a server accepted all of it, or is being asked just now; nothing is sent twice")
    return changed


def _need(tx: Transaction, tenant_id: str, message_id: str) -> None:
    made = get_message(tx, tenant_id, message_id)
    if made is None or made.direction != "out":
        raise Refused(550, "5.1.1", f"there is no message {message_id!r} that left")
