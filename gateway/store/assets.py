"""Pictures of a tenant: its logo, as it was given, checked before it is kept.

Written by the CLI and (later) the settings pages; read when a mail is composed. Only PNG and JPEG, since mail clients
show nothing else everywhere, and small: every mail carries it. What it holds is never decoded here. A change counts as
one of the tenant's settings, so that it holds for the next message (S13).
"""

from sqlalchemy import delete, select

from gateway.mail.picture import picture_size
from gateway.mail.reply import Refused
from gateway.store.database import Transaction
from gateway.store.schema import asset
from gateway.store.tenants import set_tenant

LOGO = "logo"
MAX_BYTES = 200 * 1024
MAX_PIXELS = 2000  # each way
_TYPES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


def put_logo(tx: Transaction, now_ms: int, tenant_id: str, content: bytes) -> tuple[int, int]:
    """Keep a tenant's logo, in place of the one it had; (width, height). Raises Refused for what is no fit picture."""
    content_type, size = _check_logo(content)
    values = {"content_type": content_type, "content": content, "created_at": now_ms}
    made = tx.upsert(asset).values(tenant_id=tenant_id, name=LOGO, **values)
    tx.change(made.on_conflict_do_update(index_elements=["tenant_id", "name"], set_=values))
    set_tenant(tx, tenant_id)
    return size


def remove_logo(tx: Transaction, tenant_id: str) -> bool:
    """Forget it; False when there was none."""
    set_tenant(tx, tenant_id)
    return bool(tx.change(delete(asset).where(asset.c.tenant_id == tenant_id, asset.c.name == LOGO)))


def get_logo(tx: Transaction, tenant_id: str) -> bytes | None:
    """A tenant's logo: PNG or JPEG."""
    row = tx.first(select(asset.c.content).where(asset.c.tenant_id == tenant_id, asset.c.name == LOGO))
    return bytes(row[0]) if row else None


def _check_logo(content: bytes) -> tuple[str, tuple[int, int]]:
    """(media type, (width, height)) of a picture that may be a logo."""
    if len(content) > MAX_BYTES:
        raise _refuse(f"the logo has {len(content)} bytes; at most {MAX_BYTES} are taken, since every mail carries it")
    kind = next((kind for magic, kind in _TYPES.items() if content.startswith(magic)), "")
    if not kind:
        raise _refuse("the logo is neither PNG nor JPEG, the pictures that every mail client shows; convert it")
    size = picture_size(content)
    if size is None:
        raise _refuse("the logo's file is damaged: it does not say how large the picture is; save it again")
    if max(size) > MAX_PIXELS:
        raise _refuse(f"the logo has {size[0]} × {size[1]} pixels; at most {MAX_PIXELS} each way, 600 wide is enough")
    return kind, size


def _refuse(text: str) -> Refused:
    return Refused(501, "5.5.4", text)
