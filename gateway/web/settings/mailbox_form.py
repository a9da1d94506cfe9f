"""The form of a mailbox, read: the account that it means, and whether the login that is kept is still the one meant.

Used by `web.settings.mailboxes`. What a page cannot say (certificates, a folder to move to, a provider of the
operator's choice) stays as it is.
"""

from dataclasses import replace

from fastapi import HTTPException

from gateway.inbox.timeline import msgid
from gateway.outbound import oauth
from gateway.settings.mailbox_oauth import IMAP, account_with_oauth, with_password
from gateway.store.mailbox_account import AFTER, ALL, OURS, Account
from gateway.store.mailboxes import Mailbox

SECURITY = {"tls": msgid("TLS from the start (port 993)"), "starttls": msgid("STARTTLS (port 143)")}
TAKES = {OURS: msgid("Only reports and replies to our mail"), ALL: msgid("All mail")}


def read_account(form: dict[str, str], box: Mailbox | None) -> Account:
    """The account of a form. Raises HTTPException 400 for what its lists do not offer, Refused for what cannot work."""
    port, security = form.get("port", "").strip(), form.get("security", "tls")
    if security not in SECURITY or form.get("takes") not in TAKES or (port and not port.isdecimal()):
        raise HTTPException(400)
    account = box.account if box else Account(host="", username="")
    after = form.get("after", "leave") if form.get("after") in AFTER[:2] + AFTER[3:] else account.after
    made = replace(
        account, host=form.get("host", "").strip().lower(), port=int(port[:6] or (993 if security == "tls" else 143)),
        security=security, username=form.get("username", "").strip(), folder=form.get("folder", "").strip() or "INBOX",
        takes=form["takes"], after=after, move_to=account.move_to if after == "move" else "",
        since=form.get("since", "").strip(),
    )  # fmt: skip
    return _with_login(made, form, account.provider)


def _with_login(made: Account, form: dict[str, str], known: str) -> Account:
    """The account with how the form wants it to log in; `known` is the provider that is kept."""
    provider, client_id = form.get("provider", ""), form.get("client_id", "").strip()[:500]
    if not provider:
        return with_password(made)
    if provider not in IMAP:
        if provider != known:
            raise HTTPException(400)
        return made
    made, directory = replace(made, host=IMAP[provider][0], port=993, security="tls"), form.get("directory", "").strip()
    if provider == known and (made.grant == oauth.CLIENT or not directory):
        return replace(made, client_id=client_id or made.client_id)
    return account_with_oauth(made, provider, client_id, directory=directory or "common")


def same_application(box: Mailbox, account: Account) -> bool:
    """Whether the secret that is kept is of this application, and would be sent to where it was sent before."""
    known = box.account
    return (known.client_id, known.token_url) == (account.client_id, account.token_url)


def same_login(box: Mailbox | None, account: Account) -> bool:
    """Whether the tokens that are kept are of this login."""
    if box is None or box.account.auth != account.auth or not same_application(box, account):
        return False
    known = box.account
    return (known.host, known.username, known.scope) == (account.host, account.username, account.scope)
