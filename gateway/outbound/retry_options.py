"""A tenant's own retry policy: how soon and how long its mail is tried, for all of it or for one route.

Read by the queue when an attempt ended in vain (most end well, and ask nothing), so a change holds from the next
attempt on; read by the door from its desk, since when a delivery expires is settled when it is accepted.
"""

from gateway.mail.reply import Refused
from gateway.outbound.retry import Retry
from gateway.store.database import Transaction
from gateway.store.settings import EXPIRE, RETRY_FIRST, RETRY_LONGEST, ROUTE_RETRY, ROUTES
from gateway.store.tenants import get_tenant, set_tenant


def read_retry(tx: Transaction, tenant_id: str, route: str, house: Retry) -> Retry:
    """The policy of a tenant on a route; the house's where it says nothing, or there is no such tenant."""
    tenant = get_tenant(tx, tenant_id)
    return house.chosen(tenant.options, route) if tenant and tenant.options else house


def set_retry(
    tx: Transaction, tenant_id: str, route: str, first: int | None, longest: int | None, expire: int | None
) -> None:
    """Set a tenant's policy, of a route or ("") of all; seconds, 0 goes back to what else holds, None leaves it.

    Raises Refused.
    """
    if route and route not in ROUTES:
        raise Refused(501, "5.5.4", f"{route[:40]!r} is no route; there are {', '.join(ROUTES)}")
    given = {RETRY_FIRST: first, RETRY_LONGEST: longest, EXPIRE: expire}
    changes = {name: value or None for name, value in given.items() if value is not None}
    if not route:
        set_tenant(tx, tenant_id, options=changes)
        return
    tenant = get_tenant(tx, tenant_id)
    own: dict[str, dict[str, int]] = dict(tenant.options.get(ROUTE_RETRY, {})) if tenant else {}
    own[route] = {name: value for name, value in {**own.get(route, {}), **changes}.items() if value}
    set_tenant(tx, tenant_id, options={ROUTE_RETRY: {name: said for name, said in own.items() if said} or None})
