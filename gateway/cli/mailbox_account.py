"""The options of `gateway mailbox add` and `set`: an account as in a mail program, by password or OAuth consent.

Loaded by `gateway.cli.mailbox`. Refuses what could not work before any secret is asked for.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from gateway.cli.common import Context, told, utc_now
from gateway.mail.reply import Refused
from gateway.outbound import oauth
from gateway.settings.mailbox_oauth import (
    IMAP,
    account_with_oauth,
    begin_mailbox_consent,
    keep_mailbox,
    redeem_mailbox,
    with_password,
)
from gateway.store.database import to_ms
from gateway.store.mailbox_account import AFTER, MOVE, OURS, SECURITY, TAKES, Account
from gateway.store.routes import Secret, take_consent
from gateway.store.tenants import Tenant

F = TypeVar("F", bound=Callable[..., Any])

REDIRECT_PORT = 8765
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
    return _with_login(replace(account, **changes), given)


def _with_login(account: Account, given: dict[str, Any]) -> Account:
    """How it logs in, when that was given."""
    if not given["provider"]:
        return with_password(account) if given["password_stdin"] else account
    grant = oauth.CLIENT if given["client_credentials"] else oauth.CODE
    more = {name: given[name] for name in ("directory", "scope", "authorize_url", "token_url")}
    return account_with_oauth(account, given["provider"], given["client_id"], grant, **more)


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
    begun = context.write(
        begin_mailbox_consent, utc_now(), context.seal, tenant.id, name, account, secret, redirect
    )  # fmt: skip
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
    except Refused:
        flow = {}
    if "mailbox" not in flow:  # or it is one of an SMTP account
        words = "no consent for a mailbox was begun with this address, or half an hour has passed; begin again"
        raise Refused(550, "5.7.1", words)
    name, account, secret = redeem_mailbox(flow, code, utc_now())
    context.write(keep_mailbox, utc_now(), context.seal, tenant.id, name, account, secret)
    text = f"{account.username} is read from now on; next: gateway mailbox test {name} -t {tenant.slug}"
    told(as_json, text, tenant=tenant.slug, mailbox=name)
