"""A seat: one of the serving processes of a node (`serve --workers N`), and its share of what the node may use.

Made by the supervisor, taken when a house is opened; a house alone has seat 1 of 1 and the whole. Limits that the
configuration sets for the node are divided, at least 1 for each; the name of a seat is the node's with its number, so
that what it had booked is its own when it is started again. Loops that a house needs once run in seat 1.
"""

import json
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from typing import Any

from gateway.config import Config

MOST = 64  # seats of one node
ORPHAN_SECONDS = 40.0  # for a process to end in good order once its supervisor is gone


@dataclass(frozen=True, slots=True)
class Seat:
    """Which of how many."""

    number: int = 1
    of: int = 1

    @property
    def first(self) -> bool:
        """Whether what a house needs once runs here."""
        return self.number == 1

    @property
    def alone(self) -> bool:
        """Whether nobody shares the node's ports and limits."""
        return self.of == 1

    def share(self, whole: int) -> int:
        """A part of `whole`, rounded up."""
        return max(-(-whole // self.of), 1)


# what a node may use at once: "section.key"
SHARED = (
    "submission.max_connections",
    "submission.max_connections_per_address",
    "submission.max_memory",
    "receiver.max_connections",
    "receiver.max_connections_per_address",
    "receiver.max_memory",
    "receiver.connections_per_minute",
    "receiver.messages_per_minute",
    "delivery.connections",
    "delivery.connections_per_destination",
    "workers.count",
)


def seat_config(config: Config, seat: Seat) -> Config:
    """The node's configuration as this seat has it: a name of its own, and its share."""
    if seat.alone:
        return config
    changes: dict[str, dict[str, int]] = {}
    for name in SHARED:
        section, _, key = name.partition(".")
        wanted = getattr(config, section)
        if not getattr(wanted, key):  # a rate that is off stays off
            continue
        least = 2 * wanted.max_message if key == "max_memory" else 1  # a large one must get through beside another
        changes.setdefault(section, {})[key] = max(seat.share(getattr(wanted, key)), least)
    sections = {name: replace(getattr(config, name), **values) for name, values in changes.items()}
    return replace(config, node=f"{config.node}.{seat.number}", **sections)


def pack(config: Config, seat: Seat) -> bytes:
    """What a supervisor sends to a process, in one line."""
    return json.dumps([asdict(config), asdict(seat)]).encode() + b"\n"


def unpack(line: bytes) -> tuple[Config, Seat]:
    """The reverse of `pack`."""
    data, seat = json.loads(line)
    values: dict[str, Any] = {}
    for f in fields(Config):
        section: Any = f.type if is_dataclass(f.type) else None
        values[f.name] = section(**data[f.name]) if section else data[f.name]
    return Config(**values), Seat(**seat)
