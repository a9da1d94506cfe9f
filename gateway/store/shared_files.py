"""Files that were too large to go along with a mail: kept behind a link that only its reader knows, for 90 days.

Written when a mail is composed, read by `web.shared_files`. A link holds 128 random bits; the table holds their hash,
so that whoever reads the database cannot open one. What has expired is deleted when the next file is kept.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, delete, func, insert, select

from gateway.store.database import Transaction, need_time, storable
from gateway.store.events import add_event, event_data
from gateway.store.schema import event, shared_file

LIFETIME = timedelta(days=90)
_LIFETIME_MS = int(LIFETIME.total_seconds() * 1000)
_QUIET_MS = 3600 * 1000
CHUNK = 2**20  # bytes: what is read at a time


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A file behind a link, without its bytes."""

    tenant_id: str
    message_id: str
    thread_id: str
    filename: str
    content_type: str
    size: int
    expires_at: datetime


_NAMES = tuple(SharedFile.__dataclass_fields__)


def new_token() -> str:
    """What a link holds: 22 characters."""
    return secrets.token_urlsafe(16)


def put_shared_file(
    tx: Transaction, now_ms: int, tenant_id: str, token: str, message_id: str, thread_id: str,
    file: tuple[str, str, bytes],
) -> datetime:  # fmt: skip
    """Keep a file, (name, media type, bytes), behind `token`; until when."""
    tx.change(delete(shared_file).where(shared_file.c.tenant_id == tenant_id, shared_file.c.expires_at <= now_ms))
    values = {
        "message_id": message_id,
        "thread_id": thread_id,
        "filename": storable(file[0]),
        "content_type": file[1],
        "content": file[2],
        "created_at": now_ms,
        "expires_at": now_ms + _LIFETIME_MS,
    }
    tx.change(insert(shared_file).values(tenant_id=tenant_id, token=_hash(token), **values))
    return need_time(now_ms + _LIFETIME_MS)


def find_shared_file(tx: Transaction, now_ms: int, token: str) -> SharedFile | None:
    """The file behind a link; None for a link that is unknown or has expired. The link decides the tenant."""
    size = func.length(shared_file.c.content).label("size")
    columns = [size if name == "size" else shared_file.c[name] for name in _NAMES]
    row = tx.first(_valid(select(*columns), now_ms, token))
    return SharedFile(**dict(zip(_NAMES, row, strict=True)) | {"expires_at": need_time(row[-1])}) if row else None


def read_shared_file(tx: Transaction, now_ms: int, token: str, at: int) -> bytes:
    """At most CHUNK bytes of it from `at` on; b"" at its end, and for a link that leads nowhere any more."""
    row = tx.first(_valid(select(func.substr(shared_file.c.content, at + 1, CHUNK)), now_ms, token))
    return bytes(row[0]) if row else b""


def note_download(tx: Transaction, now_ms: int, file: SharedFile) -> None:
    """Say in the thread that a file was fetched; once an hour at the most, since anybody with the link may ask."""
    data = {"filename": file.filename}
    seen = select(event.c.event_id).where(
        event.c.tenant_id == file.tenant_id,
        event.c.thread_id == file.thread_id,
        event.c.message_id == file.message_id,
        event.c.type == "pdf.downloaded",
        event.c.data == event_data(data),
        event.c.at > now_ms - _QUIET_MS,
    )
    if tx.first(seen.limit(1)) is None:
        thread_id, message_id = file.thread_id, file.message_id
        add_event(tx, now_ms, file.tenant_id, "pdf.downloaded", thread_id=thread_id, message_id=message_id, data=data)


def _valid(wanted: Select[tuple[object, ...]], now_ms: int, token: str) -> Select[tuple[object, ...]]:
    return wanted.where(shared_file.c.token == _hash(token), shared_file.c.expires_at > now_ms)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
