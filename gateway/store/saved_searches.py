"""Searches that were given a name: a user's own, or everybody's of the tenant (user "").

Written for `inbox.searches`, which looks at the query first. A name is unique among a user's own and among everybody's.
"""

from dataclasses import dataclass

from sqlalchemy import delete, func, select

from gateway.mail.reply import Refused
from gateway.store.database import Transaction, new_id, storable
from gateway.store.schema import saved_search

MOST = 100  # of one user, and of everybody's
NAME_LIMIT = 60


@dataclass(frozen=True, slots=True)
class SavedSearch:
    """A search with a name. `user_id`: whose it is; "" for everybody's."""

    id: str
    user_id: str
    name: str
    query: str


def put_search(tx: Transaction, now_ms: int, tenant_id: str, user_id: str, name: str, query: str) -> SavedSearch:
    """Keep a search under a name; the one of that name gets the new query. Raises Refused."""
    name = " ".join(storable(name).split())
    if not name or len(name) > NAME_LIMIT:
        raise Refused(501, "5.5.4", f"a search needs a name of 1 to {NAME_LIMIT} characters")
    where = (saved_search.c.tenant_id == tenant_id) & (saved_search.c.user_id == user_id)
    count = tx.first(select(func.count()).select_from(saved_search).where(where, saved_search.c.name != name))[0]
    if count >= MOST:
        raise Refused(550, "5.7.1", f"there are {MOST} saved searches already; remove one first")
    values = {"tenant_id": tenant_id, "search_id": new_id(), "user_id": user_id, "name": name,
              "query": storable(query), "created_at": now_ms}  # fmt: skip
    table = tx.upsert(saved_search).values(values)
    tx.change(
        table.on_conflict_do_update(
            index_elements=["tenant_id", "user_id", "name"], set_={"query": table.excluded["query"]}
        )
    )
    return next(one for one in list_searches(tx, tenant_id, user_id) if (one.user_id, one.name) == (user_id, name))


def list_searches(tx: Transaction, tenant_id: str, user_id: str = "") -> list[SavedSearch]:
    """Everybody's searches and a user's own, by name."""
    columns = (saved_search.c.search_id, saved_search.c.user_id, saved_search.c.name, saved_search.c.query)
    where = (saved_search.c.tenant_id == tenant_id) & saved_search.c.user_id.in_(("", user_id))
    rows = tx.all(select(*columns).where(where).order_by(saved_search.c.name, saved_search.c.search_id))
    return [SavedSearch(*row) for row in rows]


def delete_search(tx: Transaction, tenant_id: str, user_id: str, search_id: str) -> bool:
    """Forget a search; False when it is none of the user's own and none of everybody's."""
    where = (saved_search.c.tenant_id == tenant_id) & (saved_search.c.search_id == search_id)
    return bool(tx.change(delete(saved_search).where(where, saved_search.c.user_id.in_(("", user_id)))))
