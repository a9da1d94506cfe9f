"""How much a destination bears: a gentle start, growth, trouble, rests and probes; and tenants in turn."""

from gateway.mail.advice import Advice
from gateway.mail.reasons import read_words
from gateway.mail.status import Action, DeliveryStatus
from gateway.outbound.destinations import FIRST_REST, LATEST, LINE, LONGEST_REST, SOON, Bounds, Destination, Flow, Flows
from gateway.outbound.queue import Booked
from gateway.outbound.routing import Route, Way

NOW = 1_800_000_000.0
LOST = DeliveryStatus(Action.DELAYED, "4.4.2", 0, "the connection was lost")
SILENT = DeliveryStatus(Action.DELAYED, "4.4.1", 0, "nobody answers")


def booked(tenant: str, number: int) -> Booked:
    """A delivery of a tenant."""
    return Booked(tenant, f"{number:020}", 1, "", "a@b.example", "", 1, 0)


def test_it_begins_gently_and_grows_by_one_for_each_window_of_successes() -> None:
    flow = Flow(Bounds(first=5, most=7))
    rooms = [flow.room(NOW)]
    for _ in range(5 + 6 + 7):
        flow.went_well()
        rooms.append(flow.room(NOW))
    assert rooms[0] == 5 and rooms[4] == 5 and rooms[6] == 6 and rooms[-1] == 7


def test_a_lost_connection_takes_one_back_and_a_window_of_them_is_a_rest() -> None:
    flow = Flow(Bounds(first=3, most=20))
    flow.broke(NOW, LOST)
    assert (flow.room(NOW), flow.rests(NOW)) == (2, False)
    flow.went_well()  # it was not a row
    flow.broke(NOW, LOST)
    assert not flow.rests(NOW)
    flow.broke(NOW, LOST)
    assert flow.rests(NOW) and flow.room(NOW) == 0 and flow.why == LOST


def test_a_rest_doubles_until_a_probe_comes_through() -> None:
    flow, now, rests = Flow(Bounds()), NOW, []
    for _ in range(8):
        flow.was_unreachable(now, SILENT)
        rests.append(flow.rest_until - now)
        now = flow.rest_until
        assert flow.room(now) == 1, "one probe, not the whole crowd"
    assert rests[:3] == [FIRST_REST, 2 * FIRST_REST, 4 * FIRST_REST] and rests[-1] == LONGEST_REST
    flow.went_well()
    assert flow.room(now) > 1 and flow.why is None


def test_words_that_ask_for_less_halve_it_and_a_named_time_is_a_rest() -> None:
    flow = Flow(Bounds(first=8, most=20))
    flow.was_told(NOW, Advice("slow"), LOST)
    assert (flow.room(NOW), flow.rests(NOW)) == (4, False)
    told = read_words("421 4.7.0 rate limited, try again in 10 minutes")
    flow.was_told(NOW, Advice("pause", 600), told)
    assert flow.rests(NOW + 599) and not flow.rests(NOW + 600) and flow.why == told


def test_a_shorter_rest_does_not_end_a_longer_one() -> None:
    flow = Flow(Bounds())
    flow.was_told(NOW, Advice("pause", 600), LOST)
    flow.was_told(NOW, Advice("pause", 10), LOST)
    assert flow.rests(NOW + 500)


def test_tenants_have_their_turns_however_long_another_ones_line_is() -> None:
    destination = Destination("k", Way("k", "b.example", Route("h")), Flow(Bounds()))
    for number in range(1000):
        destination.add(booked("big", number))
    destination.add(booked("small", 0))
    first = [made.tenant_id for made in (destination.take(), destination.take()) if made]
    assert sorted(first) == ["big", "small"] and len(destination) == 999
    numbers = [made.message_id for made in destination.take_all()]
    assert numbers == sorted(numbers), "in order within a tenant"
    assert destination.take() is None and len(destination) == 0


def test_a_full_line_of_one_tenant_is_no_full_line_of_another() -> None:
    destination = Destination("k", Way("k", "b.example", Route("h")), Flow(Bounds()))
    for number in range(LINE):
        assert not destination.is_full("big")
        destination.add(booked("big", number))
    assert destination.is_full("big") and not destination.is_full("small")
    destination.take()
    assert not destination.is_full("big")


def test_what_found_a_full_line_comes_again_at_twice_the_speed_of_the_line() -> None:
    destination, now = Destination("k", Way("k", "b.example", Route("h")), Flow(Bounds())), NOW
    for number in range(5 * LINE):
        destination.add(booked("big", number))
    assert destination.turn(now) > now + SOON, "nothing is known yet"
    for _ in range(45):  # a hundred a second
        now += 1
        for _ in range(100):
            destination.take()
        first = destination.turn(now)
    turns = [destination.turn(now) for _ in range(2000)]
    assert 2000 / 210 < turns[-1] - first < 2000 / 150
    assert now + SOON < first <= now + LINE / 150, "before the line has ended"
    assert max(destination.turn(now) for _ in range(200_000)) == now + LATEST


def test_a_pace_is_remembered_by_destination() -> None:
    flows = Flows()
    flow = flows.get("a", Bounds())
    assert flows.get("a", Bounds()) is flow and flows.get("b", Bounds()) is not flow
