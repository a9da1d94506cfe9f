"""What proves how a document, or a conversation, was mailed: everything that is kept of it, read for a ZIP.

Called by the pages, the CLI and the HTTP API; `evidence_file` writes the ZIP. The bytes of mail are those that are
kept: what left is signed once and never changes, what came stays as it came. Notes and tags never leave the house, so
they are not here. *Accepted* is what a server said; *delivered* is said only where a report said so (S17).
"""

from dataclasses import dataclass
from datetime import datetime

from gateway.inbox.deliveries import ATTEMPTS_LIMIT
from gateway.inbox.reading import read_thread
from gateway.inbox.timeline import Line, timeline
from gateway.inbox.views import MessageView, ThreadView
from gateway.mail.reply import Refused
from gateway.store.database import Transaction
from gateway.store.documents import KeptPdf, get_document, list_pdfs
from gateway.store.tenants import Tenant

MAILS_MOST = EVENTS_MOST = 1000  # of a thread that are read (`store.messages`, `store.events`)
# How clerks order their work is nobody's proof; the words of notes are not kept in events anyway.
_WITHIN_THE_HOUSE = ("note.", "thread.")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a thread at a moment; `by` is who asked for it. `lines` are without the house's own work."""

    tenant: Tenant
    view: ThreadView
    lines: tuple[Line, ...]
    pdfs: tuple[KeptPdf, ...]
    at: datetime
    by: str

    @property
    def name(self) -> str:
        """What it is about, as file names begin: the document's number, else the thread."""
        return self.view.thread.document_number or self.view.thread.id

    @property
    def cut(self) -> bool:
        """Whether there is more than was read."""
        attempts = sum(len(one.attempts) for made in self.view.messages for one in made.deliveries)
        read = (len(self.view.messages), MAILS_MOST), (len(self.view.events), EVENTS_MOST), (attempts, ATTEMPTS_LIMIT)
        return any(many >= most for many, most in read)

    def sent(self) -> tuple[MessageView, ...]:
        """The mail that left, or is to leave, oldest first."""
        return tuple(made for made in self.view.messages if made.message.direction == "out")

    def came(self) -> tuple[MessageView, ...]:
        """The mail that came, oldest first."""
        return tuple(made for made in self.view.messages if made.message.direction == "in")

    def rerouted_at(self, message_id: str) -> datetime | None:
        """When a mail's bytes were made anew for another way, the latest time; None for nearly all."""
        at = (one.at for one in self.view.events if one.type == "message.rerouted" and one.message_id == message_id)
        return max(at, default=None)


def find_thread(tx: Transaction, tenant_id: str, name: str) -> str:
    """The thread of a document, `type/id`, or the id as it stands. Raises Refused 404 for an unknown document."""
    type, slash, document_id = name.partition("/")
    if not slash:
        return name.lower()
    found = get_document(tx, tenant_id, type, document_id)
    if found is None or not found.thread_id:
        raise Refused(404, "5.1.1", f"there is no document {name[:200]!r}; write type/id, or a thread's id")
    return found.thread_id


def read_evidence(tx: Transaction, now: datetime, tenant: Tenant, name: str, by: str) -> Evidence:
    """All that is kept of a thread, or of a document's. Raises Refused 404 when the tenant has no such thing."""
    thread_id = find_thread(tx, tenant.id, name)
    view = read_thread(tx, tenant.id, thread_id)
    if view is None:
        raise Refused(404, "5.1.1", f"there is no thread {name[:200]!r}; see `gateway inbox list --view all`")
    about = view.thread
    pdfs = list_pdfs(tx, tenant.id, about.document_type, about.document_id) if about.document_id else []
    lines = tuple(line for line in timeline(view) if not line.what.startswith(_WITHIN_THE_HOUSE))
    return Evidence(tenant, view, lines, tuple(pdfs), now, by)
