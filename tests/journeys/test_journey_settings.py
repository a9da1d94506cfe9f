"""The settings of a running house: a test that was begun on a page really dials, and tells what was found."""

import asyncio
import http.client
from urllib.parse import urlencode

from journeys.house import Place, open_journey
from journeys.letters import in_thread
from journeys.own_server import connect_tenant, own_server
from sqlalchemy import func, select

from gateway.store.database import Transaction
from gateway.store.routes import Secret, get_server, put_server
from gateway.store.schema import trial
from gateway.store.trials import Trial, get_trial
from gateway.store.users import add_user, start_session


def send(port: int, path: str, cookie: str, form: dict[str, str]) -> tuple[int, str]:
    """A form of our own pages."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        origin = "http://127.0.0.1:8025"
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": origin,
            "Cookie": f"gw_session={cookie}",
        }
        connection.request("POST", path, urlencode(form), headers)
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Location", "")
    finally:
        connection.close()


def test_a_server_is_really_tried_from_the_page(place: Place) -> None:
    async def run() -> None:
        web = {"port": -1, "public_url": "http://127.0.0.1:8025"}
        async with own_server(place.folder) as server, open_journey(place, web=web) as journey:
            await connect_tenant(journey, place.folder, server.port)

            def prepare(tx: Transaction) -> tuple[str, str]:
                now, tenant_id = journey.clock(), journey.tenant_id
                kept = get_server(tx, tenant_id)
                assert kept
                put_server(tx, now, journey.house.seal, tenant_id, kept.server, Secret(password="not the password"))
                user = add_user(tx, now, tenant_id, "admin@acme.test", "a long password", role="admin")
                cookie, session = start_session(tx, now, user)
                return cookie, session.csrf

            cookie, csrf = await journey.write(prepare)
            port, form = journey.house.ports.web, {"csrf": csrf}
            answer = await in_thread(send, port, "/settings/delivery/server/test", cookie, form)
            assert answer == (303, "/settings/delivery/server#test")

            async def ended() -> Trial | None:
                found = await journey.house.database.read(get_trial, journey.tenant_id, "server")
                return found if found and found.ended_at else None

            found = await journey.until(ended)
            assert [(what, state) for what, state, _ in found.steps] == [("login", "wrong")], found
            assert found.by == "admin@acme.test" and "not the password" not in str(found.steps)
            count = await journey.house.database.read(lambda tx: tx.first(select(func.count()).select_from(trial))[0])
            assert count == 1

    asyncio.run(run())
