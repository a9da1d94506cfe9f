"""A tenant's mailbox by OAuth 2: from what people say to what is kept, by a consent that a person gives in a browser.

Called by `gateway mailbox add` and `set`, and by the settings pages. Google and Microsoft need a client id only. Raises
Refused in words, before any secret is used.
"""

from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from gateway.mail.reply import Refused
from gateway.outbound import oauth
from gateway.store.database import Transaction, to_ms
from gateway.store.mailbox_account import Account, check_account
from gateway.store.mailboxes import add_mailbox, change_mailbox, get_mailbox
from gateway.store.routes import Secret, begin_consent
from gateway.store.sealed import Seal

# provider -> (host, what to ask for, what the application itself asks for; "": it is not allowed to)
IMAP = {
    "google": ("imap.gmail.com", "https://mail.google.com/", ""),
    "microsoft": (
        "outlook.office365.com",
        "https://outlook.office.com/IMAP.AccessAsUser.All offline_access",
        "https://outlook.office365.com/.default",
    ),
}


def account_with_oauth(
    account: Account, provider: str, client_id: str, grant: str = oauth.CODE, *, directory: str = "common",
    scope: str = "", authorize_url: str = "", token_url: str = "",
) -> Account:  # fmt: skip
    """The account with OAuth in place of a password; URLs and scope are for a provider that is none of ours."""
    if provider in oauth.PROVIDERS:
        scope = scope or IMAP[provider][2 if grant == oauth.CLIENT else 1]
    kept = oauth.application(
        provider, client_id, grant, scope, directory=directory, authorize_url=authorize_url, token_url=token_url
    )
    return replace(account, **kept)


def with_password(account: Account) -> Account:
    """The account with a password in place of OAuth."""
    return replace(
        account, auth="password", provider="", grant="", client_id="", scope="", authorize_url="", token_url=""
    )  # fmt: skip


def begin_mailbox_consent(
    tx: Transaction, now: datetime, seal: Seal, tenant_id: str, name: str, account: Account, secret: Secret,
    redirect: str,
) -> oauth.Consent:  # fmt: skip
    """What to open in a browser; what its answer needs is kept for half an hour."""
    check_account(name, account)
    begun = oauth.begin(account.server, redirect)
    flow = {"mailbox": name, "account": asdict(account), "secret": asdict(secret), "verifier": begun.verifier,
            "redirect": redirect}  # fmt: skip
    begin_consent(tx, to_ms(now), seal, tenant_id, begun.state, flow)
    return begun


def redeem_mailbox(flow: dict[str, Any], code: str, now: datetime) -> tuple[str, Account, Secret]:
    """The name and account of a consent that was given, and its tokens. Blocks; raises Refused."""
    account, secret = Account(**flow["account"]), Secret(**flow["secret"])
    try:
        secret = oauth.redeem(account.server, secret, code, flow["verifier"], flow["redirect"], now)
    except oauth.OAuthRefused as refused:
        raise Refused(550, "5.7.8", refused.words) from None
    return flow["mailbox"], account, secret


def keep_mailbox(
    tx: Transaction, now: datetime, seal: Seal, tenant_id: str, name: str, account: Account, secret: Secret
) -> None:
    """Read it from now on; one of this name is changed."""
    keep = add_mailbox if get_mailbox(tx, tenant_id, name) is None else change_mailbox
    keep(tx, now, seal, tenant_id, name, account, secret)


def _refuse(text: str) -> Refused:
    return Refused(501, "5.5.4", text)
