"""Keys of the API and webhooks on their pages: what is secret is shown once, and what is revoked stays visible."""

import re
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import ClassVar

import pytest
from journeys.inbox_seed import NOW, House
from journeys.pages import Admin

from gateway.settings.workshop import Workshop
from gateway.store.api_keys import find_api_key
from gateway.store.database import Database
from gateway.store.event_feed import Horizon, list_feed
from gateway.store.webhooks import add_endpoint, list_endpoints, read_secrets


def test_a_key_is_shown_once_works_with_its_scopes_and_ends(admin: Admin, database: Database) -> None:
    page = admin.post("/settings/api-keys", 200, label="ERP", lasts="90", **{"s.events:read": "1"})
    text = re.findall(r"<code>(gwk_[\w-]{20,})</code>", page)[0]
    found = database.read_now(find_api_key, NOW, text)
    assert found is not None and found.scopes == ("events:read",) and found.label == "ERP"
    assert found.expires_at is not None and (found.expires_at - NOW).days == 90
    page = admin.get("/settings/api-keys")
    assert text not in page and "ERP" in page
    admin.post("/settings/api-keys/revoke", prefix=found.prefix)
    assert database.read_now(find_api_key, NOW, text) is None
    admin.post("/settings/api-keys/revoke", 404, prefix=found.prefix)


def test_an_endpoint_is_added_rotated_rewound_and_removed(
    admin: Admin, database: Database, workshop: Workshop, house: House
) -> None:
    page = admin.post("/settings/webhooks", 200, url="https://erp.example/hook", types="recipient.bounced")
    secret = re.findall(r"<code>(whsec_[^<]+)</code>", page)[0]
    (one,) = database.read_now(list_endpoints, house.tenant)
    assert one.types == frozenset({"recipient.bounced"})
    now_ms = int(NOW.timestamp() * 1000)
    assert database.read_now(read_secrets, workshop.seal, now_ms, house.tenant, one.id) == [secret]
    page = admin.post(f"/settings/webhooks/{one.id}", 200, action="rotate")
    fresh = re.findall(r"<code>(whsec_[^<]+)</code>", page)[0]
    assert database.read_now(read_secrets, workshop.seal, now_ms, house.tenant, one.id) == [fresh, secret]
    admin.post(f"/settings/webhooks/{one.id}", action="replay", since="2026-11-01")
    (again,) = database.read_now(list_endpoints, house.tenant)
    assert again.cursor < one.cursor
    admin.post(f"/settings/webhooks/{one.id}", 422, action="replay", since="soon")
    assert fresh not in admin.get(f"/settings/webhooks/{one.id}")
    admin.post(f"/settings/webhooks/{one.id}", action="remove")
    assert not database.read_now(list_endpoints, house.tenant)


@pytest.mark.parametrize(("url", "types"), [("http://10.0.0.1/x", ""), ("https://erp.example/", "no.such")])
def test_what_cannot_be_an_endpoint_is_refused_in_words(admin: Admin, url: str, types: str) -> None:
    assert 'role="alert"' in admin.post("/settings/webhooks", 422, url=url, types=types)


class Taker(BaseHTTPRequestHandler):
    """An endpoint that refuses what it is sent first, and takes the rest."""

    came: ClassVar[list[tuple[str, bytes]]] = []

    def do_POST(self) -> None:
        """One event."""
        body = self.rfile.read(int(self.headers["content-length"]))
        self.came.append((self.headers["webhook-id"], body))
        code, said = (503, b"busy just now") if len(self.came) == 1 else (204, b"")
        self.send_response(code)
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""


def test_an_endpoint_is_tried_and_gets_one_event_again(
    admin: Admin, database: Database, workshop: Workshop, house: House
) -> None:
    server = HTTPServer(("127.0.0.1", 0), Taker)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/hook"
        one, _ = database.write_now(add_endpoint, NOW, workshop.seal, house.tenant, url, frozenset(), inner=True)
        path = f"/settings/webhooks/{one.id}"
        page = admin.post(path, 200, action="test")
        assert "busy just now" in page and "503" in page and "Nu a primit evenimentul." in page
        assert b'"type":"webhook.test"' in Taker.came[0][1]
        event_id = database.read_now(list_feed, house.tenant, "", 1, Horizon("z")).events[0].id
        page = admin.post(path, 200, action="again", event=event_id)
        assert "A primit evenimentul." in page and Taker.came[1][0] == event_id
        assert f'name="event" value="{event_id}"' in admin.get(path)
        admin.post(path, 404, action="again", event="0" * 20)
        admin.post(path, 404, action="again")
        assert len(Taker.came) == 2
    finally:
        server.shutdown()
        server.server_close()
