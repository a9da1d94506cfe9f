"""The options of `gateway mailbox add` and `set`: an account as in a mail program, by password or OAuth consent.

Loaded by `gateway.cli.mailbox`. Refuses what could not work before any secret is asked for.
"""

import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from gateway.cli.common import Context, told, utc_now
from gateway.mail.reply import Refused
from gateway.outbound import oauth
from gateway.store.database import Transaction, to_ms
from gateway.store.mailbox_account import AFTER, MOVE, OURS, SECURITY, TAKES, Account
from gateway.store.mailboxes import add_mailbox, change_mailbox, get_mailbox
from gateway.store.routes import Secret, begin_consent, take_consent
from gateway.store.sealed import Seal
from gateway.store.tenants import Tenant

F = TypeVar("F", bound=Callable[..., Any])

REDIRECT_PORT = 8765
# provider -> (host, what to ask for, what the application itself asks for; "": it is not allowed to)
IMAP = {
    "google": ("imap.gmail.com", "https://mail.google.com/", ""),
    "microsoft": (
        "outlook.office365.com",
        "https://outlook.office.com/IMAP.AccessAsUser.All offline_access",
        "https://outlook.office365.com/.default",
    ),
}
_OPTIONS = (
    click.option("--host", default="", help="The IMAP server."),
    click.option("--port", type=int, default=0, help="Its port; 993, or 143 without TLS from the start."),
    click.option("--security", type=click.Choice(SECURITY), default=None,
                 help="TLS from the start, STARTTLS required, or none (in the clear: only inside one's own network)."),
    click.option("--username", default="", help="Usually the mail address."),
    click.option("--password-stdin", is_flag=True, help="Read the password from standard input instead of a prompt."),
    click.option("--trust", type=click.Path(exists=True, dir_okay=False), default=None,
                 help="A PEM file: certificates to believe beside the system's."),
    click.option("--folder", default="", help="The folder to read; INBOX unless given."),
    click.option("--takes", type=click.Choice(TAKES), default=None,
                 help=f"Only reports and replies to our mail ({OURS}, the usual), or all mail."),
    click.option("--after", default="", metavar="WHAT",
                 help=f"What becomes there of taken mail: {', '.join(AFTER[:2])}, move:FOLDER or {AFTER[3]}."),
    click.option("--since", default="", metavar="DAY", help="Take mail that came from this day on, as 2026-11-01."),
    click.option("--oauth", "provider", type=click.Choice([*oauth.PROVIDERS, "custom"]), default=None,
                 help="Log in by OAuth 2 instead of a password."),
    click.option("--client-id", default="", help="Of the application that is registered with the provider."),
    click.option("--client-secret-stdin", is_flag=True, help="Read the application's secret from standard input."),
    click.option("--client-credentials", is_flag=True, help="The application itself may read: no browser."),
    click.option("--directory", default="common", show_default=True, help="Microsoft: the company's directory."),
    click.option("--authorize-url", default="", help="Of a custom provider."),
    click.option("--token-url", default="", help="Of a custom provider."),
    click.option("--scope", default="", help="What to ask a custom provider for."),
    click.option("--redirect-port", type=int, default=REDIRECT_PORT, show_default=True,
                 help="Of http://localhost, where the provider sends the browser back to."),
    click.option("--code", default="", help="The address that the browser ended at, to finish; - asks for it."),
)  # fmt: skip


def account_options(command: F) -> F:
    """The options that say what an account is."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def make_account(given: dict[str, Any]) -> Account:
    """A new account from the options."""
    host = given["host"] or IMAP.get(given["provider"] or "", ("",))[0]
    if not host or not given["username"]:
        raise click.UsageError("give --host and --username; see --help")
    security = given["security"] or ("starttls" if given["port"] == 143 else "tls")
    made = Account(host=host, port=given["port"] or (993 if security == "tls" else 143), security=security,
                   username=given["username"])  # fmt: skip
    return change_account(made, given)


def change_account(account: Account, given: dict[str, Any]) -> Account:
    """An account with what was given."""
    changes: dict[str, Any] = {
        name: given[name]
        for name in ("host", "port", "security", "username", "folder", "takes", "since")
        if given[name]
    }
    if given["trust"]:
        changes["trusted"] = Path(given["trust"]).read_text("ascii")
    if given["after"]:
        after, _, folder = given["after"].partition(":")
        if after not in AFTER or (after == MOVE) != bool(folder):
            raise click.UsageError("--after is leave, seen, delete, or move:FOLDER")
        changes |= {"after": after, "move_to": folder}
    return replace(account, **changes, **_oauth(given))


def _oauth(given: dict[str, Any]) -> dict[str, Any]:
    """What OAuth needs, when a provider is given."""
    if not given["provider"]:
        return {"auth": "password", "grant": "", "provider": ""} if given["password_stdin"] else {}
    if not given["client_id"]:
        raise click.UsageError("give --client-id, of an application that is registered with the provider")
    known, grant = oauth.PROVIDERS.get(given["provider"]), oauth.CLIENT if given["client_credentials"] else oauth.CODE
    scope = given["scope"]
    if known and not scope:
        scope = IMAP[given["provider"]][2 if grant == oauth.CLIENT else 1]
        if not scope:
            raise click.UsageError("this provider lets no application read by itself; leave --client-credentials out")
    urls = {
        name: given[name] or (getattr(known, name).format(directory=given["directory"]) if known else "")
        for name in ("authorize_url", "token_url")
    }
    for name, url in urls.items():
        if name == "token_url" or grant == oauth.CODE:
            oauth.check_url(url)
    return {"auth": "oauth", "provider": given["provider"], "grant": grant, "client_id": given["client_id"],
            "scope": scope} | urls  # fmt: skip


def read_secret(given: dict[str, Any]) -> Secret:
    """From standard input or a prompt."""
    if given["provider"]:
        needed = given["client_credentials"] or given["client_secret_stdin"]
        return Secret(client_secret=_read("Client secret", given["client_secret_stdin"]) if needed else "")
    return Secret(password=_read("Password", given["password_stdin"]))


def _read(what: str, from_stdin: bool) -> str:
    text = sys.stdin.readline().rstrip("\r\n") if from_stdin else str(click.prompt(what, hide_input=True, err=True))
    if not text:
        raise click.ClickException(f"the {what.lower()} is empty")
    return text


# -- consents


def begin_consent_for(
    context: Context, tenant: Tenant, name: str, account: Account, secret: Secret, given: dict[str, Any], as_json: bool
) -> None:
    """Say which address to open; what the answer needs is kept for half an hour."""
    redirect = f"http://localhost:{given['redirect_port']}/"
    begun = oauth.begin(account.server, redirect)
    flow = {"mailbox": name, "account": asdict(account), "secret": asdict(secret), "verifier": begun.verifier,
            "redirect": redirect}  # fmt: skip
    context.write(begin_consent, to_ms(utc_now()), context.seal, tenant.id, begun.state, flow)
    text = (
        f"open this address as {account.username}, and allow it:\n\n{begun.url}\n\nThe browser ends at {redirect}…, "
        f"which may show nothing; then, within half an hour:\n  gateway mailbox add {name} -t {tenant.slug} --code -"
    )
    told(as_json, text, tenant=tenant.slug, mailbox=name, open=begun.url, redirect=redirect)


def finish_consent(context: Context, tenant: Tenant, name: str, code: str, as_json: bool) -> None:
    """Take the tokens, and keep the mailbox."""
    code = str(click.prompt("The address that the browser ended at", err=True)) if code == "-" else code
    code, state = oauth.read_answer(code)
    try:
        flow = context.write(take_consent, to_ms(utc_now()), context.seal, tenant.id, state)
        account, secret = Account(**flow["account"]), Secret(**flow["secret"])
    except (Refused, KeyError):  # or it is one of an SMTP account
        raise Refused(
            550,
            "5.7.1",
            "no consent for a mailbox was begun with this address, or half an hour has passed; begin again",
        ) from None
    try:
        secret = oauth.redeem(account.server, secret, code, flow["verifier"], flow["redirect"], utc_now())
    except oauth.OAuthRefused as refused:
        raise Refused(550, "5.7.8", refused.words) from None
    context.write(_keep, context.seal, tenant.id, flow["mailbox"], account, secret)
    text = f"{account.username} is read from now on; next: gateway mailbox test {flow['mailbox']} -t {tenant.slug}"
    told(as_json, text, tenant=tenant.slug, mailbox=flow["mailbox"])


def _keep(tx: Transaction, seal: Seal, tenant_id: str, name: str, account: Account, secret: Secret) -> None:
    keep = add_mailbox if get_mailbox(tx, tenant_id, name) is None else change_mailbox
    keep(tx, utc_now(), seal, tenant_id, name, account, secret)
