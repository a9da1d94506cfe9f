"""A serving gateway tells of itself: what it is at, its health, the mail that it counts; its row goes when it ends."""

import asyncio

from journeys.house import Place, make_config, open_journey

from gateway.store.database import Database
from gateway.store.measures import Measure, list_measures
from gateway.store.nodes import Node, list_nodes


def test_a_process_tells_of_itself_and_its_mail_and_takes_its_row_away(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            database = journey.house.database

            async def told() -> list[Node]:
                return await database.read(list_nodes)

            (node,) = await journey.until(told)
            found = {one["what"]: one["state"] for one in node.report["findings"]}
            assert found["disk"] in ("ok", "warning") and found["search"] and "tenants" not in found
            assert node.report["destinations"] == [] and node.report["most_connections"] == 200
            assert not node.silent(journey.clock())

            async def measured() -> list[Measure]:
                return await database.read(list_measures, 0)

            assert await journey.until(measured)

    asyncio.run(run())
    database = Database(make_config(place).database_url)
    try:
        assert database.read_now(list_nodes) == []
    finally:
        database.close()
