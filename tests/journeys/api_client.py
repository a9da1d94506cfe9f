"""A plain HTTP client of the API of a running house: the standard library's, over a socket, with a tenant's key."""

import asyncio
import http.client
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from journeys.house import Journey

from gateway.store.api_keys import add_api_key


@dataclass(frozen=True)
class ApiAnswer:
    """What the API said."""

    code: int
    headers: dict[str, str]
    raw: bytes

    @property
    def data(self) -> Any:
        """Its JSON."""
        return json.loads(self.raw)


def call(
    port: int, method: str, path: str, body: Any = None, *, key: str = "", kind: str = "application/json",
    headers: dict[str, str] | None = None,
) -> ApiAnswer:  # fmt: skip
    """One request of its own connection; a body that is not bytes is sent as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        sent = {"Authorization": f"Bearer {key}"} if key else {}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent |= ({"Content-Type": kind} if body is not None else {}) | (headers or {})
        connection.request(method, path, data, sent)
        answer = connection.getresponse()
        return ApiAnswer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


@dataclass
class Program:
    """A billing system that speaks HTTP, with a key of its tenant."""

    journey: Journey
    key: str
    made: list[str] = field(default_factory=list)

    async def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> ApiAnswer:
        """One request; the event loop runs on."""
        port = self.journey.house.ports.web
        return await asyncio.to_thread(call, port, method, path, body, **{"key": self.key, **options})


async def make_program(journey: Journey, *scopes: str, tenant_id: str = "") -> Program:
    """A program with a new key of the tenant, `acme` unless another is named; no scopes are all of them."""
    tenant_id = tenant_id or journey.tenant_id
    made = await journey.write(add_api_key, datetime.now(UTC), tenant_id, label="test", scopes=scopes)
    return Program(journey, made[1])
