"""Mail to postmaster and abuse (RFC 5321 §4.5.1, RFC 2142 §4): taken, the operator's, and no tenant's."""

import asyncio

from journeys.house import HOSTNAME, INBOX, RETURNS, Place, open_journey
from journeys.letters import compose

from gateway.inbox.listing import list_page
from gateway.store.schema import OPERATOR


def test_the_postmaster_of_each_of_our_domains_is_taken_in_any_case_and_shown_to_the_operator(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            named = [f"postmaster@{INBOX}", f"Postmaster@{RETURNS}", f"POSTMASTER@{HOSTNAME}", f"abuse@{INBOX}"]
            for number, address in enumerate(named):
                raw = compose(f"Question {number}", author="Hans <hans@remote.test>", to=address)
                answer = await journey.come(raw, address, return_path="hans@remote.test")
                assert answer.code == 250, (address, answer)
            page = await journey.house.database.read(list_page, OPERATOR, view="todo")
            assert sorted(line.thread.subject for line in page.lines) == [f"Question {n}" for n in range(4)]
            assert {(line.thread.state, line.thread.chip) for line in page.lines} == {("open", "reply")}
            assert not await journey.threads() and not await journey.threads(journey.other_id)

    asyncio.run(run())


def test_postmaster_without_a_domain_is_taken_and_other_names_are_not(place: Place) -> None:
    async def run() -> None:
        async with open_journey(place) as journey:
            answer = await journey.come(compose("Q", to="postmaster"), "postmaster", return_path="hans@remote.test")
            assert answer.code == 250, answer
            for address in ("postmaster@elsewhere.test", f"webmaster@{INBOX}", f"root@{HOSTNAME}"):
                answer = await journey.come(compose("Q", to=address), address, return_path="hans@remote.test")
                assert (answer.stage, answer.code) == ("rcpt", 550), (address, answer)

    asyncio.run(run())
