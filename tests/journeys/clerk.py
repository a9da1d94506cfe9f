"""A clerk at the pages of a running house: real requests over a socket, with a session's cookie and the forms' tokens.

Used by journeys. Pages are read as a browser without scripts reads them: forms are found in the HTML and sent as they
stand, with what the clerk types.
"""

import asyncio
import http.client
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from journeys.house import Journey

from gateway.store.database import Transaction
from gateway.store.users import add_user, find_user, start_session

ORIGIN = "http://127.0.0.1:8080"  # the public URL of a journey's house


@dataclass
class Clerk:
    """Somebody who is logged in at a house's pages."""

    port: int
    cookie: str
    csrf: str = ""

    async def get(self, path: str) -> str:
        """A page, which must be there."""
        code, text, _ = await asyncio.to_thread(self._ask, "GET", path, "")
        assert code == 200, (path, code)
        return text

    async def post(self, path: str, **form: str) -> str:
        """Send a form with its token; where it leads. It must lead somewhere."""
        if not self.csrf:
            found = re.search(r'name="csrf" value="([\w-]+)"', await self.get("/inbox"))
            assert found
            self.csrf = found[1]
        code, text, location = await asyncio.to_thread(self._ask, "POST", path, urlencode(form | {"csrf": self.csrf}))
        assert code == 303, (path, code, re.sub(r"<[^>]+>|\s+", " ", text)[-500:])
        return location

    def _ask(self, method: str, path: str, body: str) -> tuple[int, str, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {"Cookie": self.cookie, "Origin": ORIGIN, "Content-Type": "application/x-www-form-urlencoded"}
            connection.request(method, path, body if method == "POST" else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.getheader("Location", "")
        finally:
            connection.close()


async def make_clerk(journey: Journey, email: str = "maria@acme.test") -> Clerk:
    """A new clerk of the tenant `acme`, with a session."""

    def begin(tx: Transaction) -> str:
        now = datetime.now(UTC)
        add_user(tx, now, journey.tenant_id, email, "a long enough secret", name="Maria Ceban")
        found = find_user(tx, email)
        assert found
        return start_session(tx, now, found[0])[0]

    return Clerk(journey.house.ports.web, f"gw_session={await journey.write(begin)}")
