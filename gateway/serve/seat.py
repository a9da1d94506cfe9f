"""A seat: one of the serving processes of a node (`serve --workers N`), and its share of what the node may use.

Made by the supervisor, taken when a house is opened; a house alone has seat 1 of 1 and the whole. Limits that the
configuration sets for the node are divided, at least 1 for each; the name of a seat is the node's with its number, so
that what it had booked is its own when it is started again. Loops that a house needs once run in seat 1.
"""

import struct
from dataclasses import dataclass, replace

from gateway.config import Config

MOST = 64  # seats of one node
LENGTH = struct.Struct(">I")  # of what a supervisor sends to a process
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
    "receiver.max_connections",
    "receiver.max_connections_per_address",
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
        changes.setdefault(section, {})[key] = seat.share(getattr(getattr(config, section), key))
    sections = {name: replace(getattr(config, name), **values) for name, values in changes.items()}
    return replace(config, node=f"{config.node}.{seat.number}", **sections)
