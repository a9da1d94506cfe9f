"""A tenant's own SMTP server as people set one up: from what they say to what is kept, by password or OAuth consent.

Called by `gateway tenant smtp set` and by the settings pages. Refuses in words what could not work, before any secret
is used. Google and Microsoft need a client id only; their addresses are ours (`outbound.oauth`).
"""

from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from gateway.mail.reply import Refused
from gateway.outbound import oauth
from gateway.store.database import Transaction, to_ms
from gateway.store.routes import Secret, Server, begin_consent, check_server, put_server
from gateway.store.sealed import Seal
from gateway.store.tenants import add_identity, set_tenant


def make_server(
    *, host: str, port: int = 0, security: str = "", username: str = "", address: str = "", provider: str = "",
    login: bool = True, **more: Any,
) -> Server:  # fmt: skip
    """A server from what people say: the usual port, the username as the author. Raises Refused."""
    known = oauth.PROVIDERS.get(provider)
    host = host or (known.host if known else "")
    if not host or not (username or not login):
        raise _refuse("give a host and a username")
    address = address or username
    if "@" not in address:
        raise _refuse("the username is no mail address; say whom the mail comes from")
    security = security or ("tls" if port == 465 else "starttls")
    port = port or (465 if security == "tls" else known.port if known else 587)
    made = Server(host=host, port=port, security=security, username=username, address=address, **more)
    check_server(made)
    return made


def with_oauth(
    made: Server, provider: str, client_id: str, grant: str = oauth.CODE, *, directory: str = "common",
    scope: str = "", authorize_url: str = "", token_url: str = "",
) -> Server:  # fmt: skip
    """The same with OAuth; URLs and scope are for a provider that is none of PROVIDERS. Raises Refused."""
    if known := oauth.PROVIDERS.get(provider):
        scope = scope or (known.client_scope if grant == oauth.CLIENT else known.scope)
    kept = oauth.application(
        provider, client_id, grant, scope, directory=directory, authorize_url=authorize_url, token_url=token_url
    )
    return replace(made, **kept)


def begin_server_consent(
    tx: Transaction, now: datetime, seal: Seal, tenant_id: str, server: Server, secret: Secret, redirect: str,
    *, later: bool,
) -> oauth.Consent:  # fmt: skip
    """What to open in a browser; what its answer needs is kept for half an hour."""
    begun = oauth.begin(server, redirect)
    flow = {"server": asdict(server), "secret": asdict(secret), "verifier": begun.verifier, "redirect": redirect,
            "later": later}  # fmt: skip
    begin_consent(tx, to_ms(now), seal, tenant_id, begun.state, flow)
    return begun


def redeem(flow: dict[str, Any], code: str, now: datetime) -> tuple[Server, Secret]:
    """The server of a consent that was given, and its tokens. Blocks; raises Refused."""
    server, secret = Server(**flow["server"]), Secret(**flow["secret"])
    try:
        return server, oauth.redeem(server, secret, code, flow["verifier"], flow["redirect"], now)
    except oauth.OAuthRefused as refused:
        raise Refused(550, "5.7.8", refused.words) from None


def keep_server(
    tx: Transaction, now: datetime, seal: Seal, tenant_id: str, server: Server, secret: Secret, *, later: bool
) -> Server:
    """Keep it; from the next message on all mail goes through it, unless that is for later."""
    kept = put_server(tx, now, seal, tenant_id, server, secret)
    add_identity(tx, now, tenant_id, server.address)
    if not later:
        set_tenant(tx, tenant_id, sending="own")
    return kept


def _refuse(text: str) -> Refused:
    return Refused(501, "5.5.4", text)
