"""Tags of threads: words of a tenant's own, in lower case, to find threads by. The one writer of `thread_tag`."""

from collections.abc import Sequence

from sqlalchemy import delete, func, insert, select

from gateway.mail.reply import Refused
from gateway.store.database import Transaction, storable
from gateway.store.schema import thread_tag

TAG_LENGTH, MOST_TAGS = 50, 20


def read_tag(text: str) -> str:
    """A tag as it is kept. Raises Refused for what is none."""
    tag = storable("-".join(text.lower().split()))
    if not tag or len(tag) > TAG_LENGTH or "," in tag or not tag.isprintable():
        raise Refused(501, "5.5.4", f"{text[:60]!r} is no tag; write a word of 1 to {TAG_LENGTH} characters, no comma")
    return tag


def tag_thread(tx: Transaction, tenant_id: str, thread_id: str, tag: str) -> bool:
    """Give a thread a tag; False when it has it already. Raises Refused when it has too many."""
    known = tags_of(tx, tenant_id, [thread_id]).get(thread_id, ())
    if tag in known:
        return False
    if len(known) >= MOST_TAGS:
        raise Refused(552, "5.5.4", f"the thread has {MOST_TAGS} tags, and no thread may have more; remove one")
    tx.change(insert(thread_tag).values(tenant_id=tenant_id, thread_id=thread_id, tag=tag))
    return True


def untag_thread(tx: Transaction, tenant_id: str, thread_id: str, tag: str) -> bool:
    """Take a tag away; False when the thread does not have it."""
    where = (thread_tag.c.tenant_id == tenant_id) & (thread_tag.c.thread_id == thread_id) & (thread_tag.c.tag == tag)
    return bool(tx.change(delete(thread_tag).where(where)))


def tags_of(tx: Transaction, tenant_id: str, thread_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """thread id -> its tags in order; one query."""
    where = (thread_tag.c.tenant_id == tenant_id) & thread_tag.c.thread_id.in_(thread_ids)
    found: dict[str, tuple[str, ...]] = {}
    for thread_id, tag in tx.all(
        select(thread_tag.c.thread_id, thread_tag.c.tag).where(where).order_by(thread_tag.c.tag)
    ):
        found[thread_id] = (*found.get(thread_id, ()), tag)
    return found


def list_tags(tx: Transaction, tenant_id: str, limit: int = 200) -> list[tuple[str, int]]:
    """The tenant's tags with their numbers of threads, the most used first."""
    count = func.count()
    query = select(thread_tag.c.tag, count).where(thread_tag.c.tenant_id == tenant_id).group_by(thread_tag.c.tag)
    return [(row[0], row[1]) for row in tx.all(query.order_by(count.desc(), thread_tag.c.tag).limit(limit))]
