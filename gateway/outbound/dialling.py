"""Opens a connection to one of a destination's servers: each in turn, until one speaks SMTP with us.

Called by `outbound.delivery`. What TLS must prove is the target's (and later a policy's) to say; opportunistic TLS that
fails is tried again without (RFC 7435), never where there is a login. Trouble is a `DeliveryStatus`, no exception.
"""

from collections.abc import Sequence
from dataclasses import replace

from gateway.mail.status import DeliveryStatus
from gateway.outbound.smtp_client import Connection, Target, Timeouts, connect


async def open_connection(targets: Sequence[Target], timeouts: Timeouts) -> Connection | DeliveryStatus:
    """A connection to the first server that takes one; else what the last one said. `targets` is not empty."""
    answer: Connection | DeliveryStatus | None = None
    for target in targets:
        answer = await _dial(target, timeouts)
        if isinstance(answer, Connection):
            return answer
    assert answer is not None
    return answer


async def _dial(target: Target, timeouts: Timeouts) -> Connection | DeliveryStatus:
    answer = await connect(target, timeouts)
    broken_tls = isinstance(answer, DeliveryStatus) and answer.status == "4.7.5"
    if broken_tls and target.tls == "opportunistic" and target.login is None:
        return await connect(replace(target, tls="off"), timeouts)  # RFC 3207: better than no mail
    return answer
