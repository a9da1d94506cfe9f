"""Opens a connection to one of a destination's servers: each in turn, until one speaks SMTP with us.

Called by `outbound.delivery`. What TLS must prove is in the target, by its route or by a policy of the recipient's
domain; the words of what fails name that policy. Opportunistic TLS that fails is tried again without (RFC 7435), never
where there is a login or a policy. Each session is noted for TLS reports. Trouble is a `DeliveryStatus`, no exception.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from gateway.mail.status import DeliveryStatus, clean
from gateway.outbound.smtp_client import Connection, Target, Timeouts, connect
from gateway.outbound.smtp_terms import passing
from gateway.outbound.smtp_tls import TlsFailure
from gateway.outbound.tls_policy import DANE, MTA_STS, MTA_STS_TESTING
from gateway.outbound.tls_tally import Tally

NAMES = {DANE: "DANE", MTA_STS: "MTA-STS"}
SECONDS = 300.0  # for all servers of one attempt


async def open_connection(
    targets: Sequence[Target], timeouts: Timeouts, tally: Tally | None = None, seconds: float = SECONDS
) -> Connection | DeliveryStatus:
    """A connection to the first server that takes one; else what the last one said. `targets` is not empty.

    All of them together have `seconds`: a domain of ten hosts that answer slowly holds nobody for an hour.
    """
    answer: Connection | DeliveryStatus = passing("4.4.2", f"no session within {seconds:g} s", targets[0].label)
    try:
        async with asyncio.timeout(seconds) as limit:
            for target in targets:
                answer = await _dial(target, timeouts, tally)
                if isinstance(answer, Connection):
                    break
    except TimeoutError:
        if not limit.expired():
            raise
    return answer


async def _dial(target: Target, timeouts: Timeouts, tally: Tally | None) -> Connection | DeliveryStatus:
    answer = await connect(target, timeouts)
    if tally is not None:
        tally.note(target, answer)
    if not isinstance(answer, TlsFailure):
        return answer
    if target.policy == MTA_STS_TESTING:  # counted; the mail goes as it would without the policy
        target = replace(target, tls="opportunistic", verify=False)
        answer = await connect(target, timeouts)
    if isinstance(answer, TlsFailure) and target.tls == "opportunistic" and target.login is None:
        return await connect(replace(target, tls="off"), timeouts)  # RFC 3207: better than no mail
    if isinstance(answer, TlsFailure) and target.policy in NAMES:
        words = f"{NAMES[target.policy]} of {target.counted.domain if target.counted else target.host} demands TLS"
        return replace(answer, text=clean(f"{words} that proves the server: {answer.text}"))
    return answer
