"""Keeping a search under a name: it is read first, so that what is kept always finds something or says nothing.

Called by the pages, the command line and the HTTP API; listing and removing are `store.saved_searches`' own.
"""

from datetime import datetime

from gateway.inbox.search_grammar import parse
from gateway.inbox.search_operators import Asking, express
from gateway.store.database import Transaction, to_ms
from gateway.store.saved_searches import SavedSearch, put_search


def keep_search(
    tx: Transaction, now: datetime, tenant_id: str, name: str, query: str, *, user: str = "", shared: bool = False
) -> SavedSearch:
    """Keep a search for a user, or for everybody of the tenant. Raises WrongQuery, or Refused for the name."""
    express(parse(query), Asking(now.date(), user or "me"))
    return put_search(tx, to_ms(now), tenant_id, "" if shared else user, name, query)
