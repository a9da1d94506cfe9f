"""The areas of the pages: the main navigation, and who sees which.

Read by the frame of every page. An area is a line here; its own pages stand below its path. That an area is not shown
protects nothing: each route checks for itself who may look.
"""

from dataclasses import dataclass

from gateway.inbox.timeline import msgid
from gateway.store.users import RUNS_IT
from gateway.web.site import Visit

ALL = ("clerk", "admin", "auditor")


@dataclass(frozen=True)
class Area:
    """One entry of the navigation: its first page, its name (a msgid) and the roles that see it."""

    path: str
    name: str
    roles: tuple[str, ...] = ALL

    def holds(self, here: str) -> bool:
        """Whether a page's path is of this area."""
        path = here.partition("?")[0]
        return path == self.path or (path.startswith(f"{self.path}/") and self.path != "/operator")


AREAS = (
    Area("/inbox", msgid("Inbox")),
    Area("/documents", msgid("Documents")),
    Area("/customers", msgid("Customers")),
    Area("/bounces", msgid("Bounced addresses")),
    Area("/runs", msgid("Billing runs")),
    Area("/operator", msgid("The gateway"), (RUNS_IT,)),
    Area("/operator/queue", msgid("Queue"), (RUNS_IT,)),
    Area("/operator/tenants", msgid("Tenants"), (RUNS_IT,)),
    Area("/settings", msgid("Settings"), ("admin", "auditor")),
)


def areas_of(visit: Visit) -> tuple[Area, ...]:
    """The areas that a visitor sees, in order."""
    return tuple(area for area in AREAS if visit.session.user.role in area.roles)
