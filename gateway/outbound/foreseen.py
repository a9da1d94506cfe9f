"""What the door's transaction will ask, known before its turn: on PostgreSQL a batch asks it all in one round trip.

Said by `submission` with the write that calls `accepting.keep`. Only speed: what is not foreseen is asked when it is
needed, and what another door of the batch changes is asked again.
"""

from collections.abc import Iterator

from gateway.outbound.desk import Desk
from gateway.outbound.handed import Ready
from gateway.outbound.suppression import suppression_of
from gateway.store.database import Question
from gateway.store.documents import document_by_key
from gateway.store.tenants import revision_of
from gateway.store.threads import key_of_thread


def questions_of(desk: Desk, ready: Ready) -> Iterator[Question]:
    """What `accepting.keep` asks of the tenant, the thread, the document and each recipient."""
    tenant_id, control = desk.tenant.id, ready.control
    yield revision_of(tenant_id)
    if ready.about.standing:
        yield key_of_thread(tenant_id, ready.message.thread_id)
    if control.document_type and ready.document is None and not ready.noted:
        yield document_by_key(tenant_id, control.document_type, control.document_id)
    for rcpt in ready.recipients:
        yield suppression_of(tenant_id, str(rcpt.address))
