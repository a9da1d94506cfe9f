"""Where Google and Microsoft send a browser back to: a consent that was begun on a settings page is taken, once.

One address for both, since that is what people register with a provider: the tenant's own server, and its mailboxes.
"""

import asyncio
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from gateway.mail.reply import Refused
from gateway.outbound import oauth
from gateway.outbound.server_account import keep_server, redeem
from gateway.settings.mailbox_oauth import keep_mailbox, redeem_mailbox
from gateway.store.database import to_ms
from gateway.store.routes import take_consent
from gateway.web.settings.mailboxes import mailbox_page
from gateway.web.settings.places import Looking, again
from gateway.web.settings.server import HOME, REDIRECT, server_page
from gateway.web.site import Visit, need_workshop, site_of

router = APIRouter()


@router.get(REDIRECT)
async def take_answer(request: Request, visit: Looking, state: str = "") -> Response:
    """Take the provider's answer: the tokens are fetched, and what the consent was for is kept."""
    if visit.session.user.role != "admin":
        raise HTTPException(403, "role")
    site, workshop = site_of(request), need_workshop(request)
    flow: dict[str, Any] = {}
    try:
        code, state = oauth.read_answer(str(request.url))
        flow = await site.database.write(take_consent, to_ms(site.clock()), workshop.seal, visit.tenant.id, state)
        return again(await _keep(request, visit, flow, code))
    except Refused as refused:
        name = str(flow.get("mailbox", ""))
        return await (mailbox_page(request, visit, name, refused) if name else server_page(request, visit, refused))


async def _keep(request: Request, visit: Visit, flow: dict[str, Any], code: str) -> str:
    """Keep what the consent was for; its page. Raises Refused."""
    site, seal, now = site_of(request), need_workshop(request).seal, site_of(request).clock()
    if "mailbox" in flow:
        name, account, tokens = await asyncio.to_thread(redeem_mailbox, flow, code, now)
        await site.database.write(keep_mailbox, now, seal, visit.tenant.id, name, account, tokens)
        return f"/settings/mailboxes/{name}"
    if "server" not in flow:
        raise HTTPException(404)
    server, secret = await asyncio.to_thread(redeem, flow, code, now)
    await site.database.write(keep_server, now, seal, visit.tenant.id, server, secret, later=bool(flow["later"]))
    return HOME
