"""Seats: what each of several processes may use, and the names that a node had."""

from pathlib import Path

import pytest

from gateway.config import Config, ConfigError, Delivery, Submission
from gateway.outbound.destinations import Pace
from gateway.outbound.routing import Route, Way
from gateway.serve.lock import former_names, hold
from gateway.serve.seat import SHARED, Seat, pack, seat_config, unpack
from gateway.store.routes import Server


def test_a_seat_alone_has_the_whole_and_the_nodes_name() -> None:
    assert seat_config(Config(), Seat()) == Config()


def test_seats_share_what_the_node_may_use_and_each_has_at_least_one() -> None:
    config = Config(node="a", submission=Submission(max_connections=10), delivery=Delivery(connections=2))
    one, three = seat_config(config, Seat(1, 4)), seat_config(config, Seat(3, 4))
    assert (one.node, three.node) == ("a.1", "a.3")
    assert one.submission.max_connections == three.submission.max_connections == 3
    assert one.delivery.connections == 1
    assert one.submission.max_message == config.submission.max_message
    assert one.submission.max_memory == config.submission.max_memory // 4
    assert seat_config(config, Seat(1, 64)).submission.max_memory == 2 * config.submission.max_message


@pytest.mark.parametrize("name", SHARED)
def test_what_is_shared_is_a_number_of_the_configuration(name: str) -> None:
    section, _, key = name.partition(".")
    assert isinstance(getattr(getattr(Config(), section), key), int)


def test_seats_share_the_connections_to_a_tenants_own_server() -> None:
    server = Server(host="smtp.acme.test", port=587, address="billing@acme.test", connections=6)
    way = Way("smtp acme 1", "", Route(helo="mail.gateway.test"), "acme", server)
    assert [Pace(seats=seats).bounds(way).most for seats in (1, 2, 4, 8)] == [6, 3, 1, 1]


def test_a_process_has_the_configuration_that_its_supervisor_has() -> None:
    config = Config(node="a", submission=Submission(port=2525), folder="/somewhere")
    assert unpack(pack(config, Seat(2, 3))) == (config, Seat(2, 3))


def test_names_of_seats_that_are_no_more_are_former_unless_somebody_holds_them(tmp_path: Path) -> None:
    node = Config(node="a", data=str(tmp_path))
    for number in (1, 2, 3, 12):
        with hold(seat_config(node, Seat(number, 12))):
            pass
    with hold(seat_config(Config(node="ab", data=str(tmp_path)), Seat(1, 2))):
        pass
    assert former_names(node, Seat()) == ["a.1", "a.2", "a.3", "a.12"]
    assert former_names(node, Seat(1, 2)) == ["a", "a.3", "a.12"]
    assert former_names(node, Seat(2, 2)) == []
    with hold(seat_config(node, Seat(3, 12))):
        assert former_names(node, Seat(1, 2)) == ["a", "a.12"]
        with pytest.raises(ConfigError, match=r"node a\.3"), hold(seat_config(node, Seat(3, 12))):
            pass
