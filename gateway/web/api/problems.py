"""What the API answers when it does not do what was asked: problem+json (RFC 9457) with the codes of the SMTP side.

Used by every route and by the handlers of the app. `code` and `enhanced` are what SMTP would say, so that a billing
system that speaks both needs one table; `detail` says what is wrong and what to do. A fault of ours never names itself.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any

from fastapi.responses import Response

from gateway.mail.reply import OUR_FAULT, Refused, Reply

MEDIA = "application/problem+json"
RETRY_SECONDS = 5

# What stands for a status that no room refused: who reads both protocols finds the same codes.
REPLIES: Mapping[int, Reply] = {
    400: Reply(501, "5.5.4", "The request cannot be read"),
    401: Reply(535, "5.7.8", "Send a valid API key: Authorization: Bearer gwk_…"),
    403: Reply(550, "5.7.1", "The API key may not do this"),
    404: Reply(550, "5.1.1", "There is no such thing here"),
    405: Reply(502, "5.5.1", "This method is not for this URL; see Allow"),
    408: Reply(421, "4.4.2", "The body did not arrive in time; send it again"),
    413: Reply(552, "5.3.4", "The body is too large; nothing was stored"),
    415: Reply(554, "5.6.1", "This media type is not taken here; see docs/api.md"),
    422: Reply(501, "5.5.4", "The request is not right"),
    429: Reply(451, "4.7.0", "Too many requests; wait as Retry-After says"),
    500: OUR_FAULT,
    503: Reply(451, "4.3.0", "The gateway cannot store anything just now; nothing was stored, please try again"),
}
STATUSES = tuple(status for status in REPLIES if status not in (400, 500))


def problem(
    status: int, reply: Reply | None = None, *, errors: Sequence[Mapping[str, str]] = (), retry: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:  # fmt: skip
    """The answer. `errors` are {"pointer", "detail"}; `retry` is Retry-After in seconds."""
    reply = reply or REPLIES.get(status) or REPLIES[400]
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": reply.text,
        "code": reply.code,
        "enhanced": reply.enhanced,
    }
    if errors:
        body["errors"] = list(errors)
    more = dict(headers or {})
    if retry is None and status in (429, 503):
        retry = RETRY_SECONDS
    if retry is not None:
        more["retry-after"] = str(max(retry, 1))
    return Response(json.dumps(body, ensure_ascii=False), status, more, MEDIA)


def refusal(refused: Refused, now: datetime) -> Response:
    """What a room refused, as HTTP: 4xx of SMTP are passing and become 429 or 503."""
    reply = refused.reply
    until = getattr(refused, "until", None)  # of a limit
    retry = int((until - now).total_seconds()) + 1 if until is not None else None
    return problem(_status(reply), reply, retry=retry)


def _status(reply: Reply) -> int:
    if reply.code in (404, 409):  # the inbox speaks HTTP's own
        return reply.code
    if reply.code == 451 and reply.enhanced == "4.7.0":
        return 429
    if reply.code == 452 and reply.enhanced == "4.5.3":
        return 422
    if reply.code < 500:
        return 503
    known = {"5.1.1": 404, "5.7.1": 403, "5.3.4": 413}
    return known.get(reply.enhanced, 422)
