"""`gateway mailbox`: tenants' IMAP mailboxes, which the gateway reads for reports and replies to its mail.

Secrets come from standard input or a prompt, never from an argument, which every process of the machine sees. What a
mailbox holds besides reports and replies is left alone unless the tenant asks otherwise.
"""

from dataclasses import replace
from typing import Any

import click

from gateway.cli.common import (
    Context,
    json_option,
    pass_context,
    plain,
    show_json,
    show_rows,
    tenant_option,
    told,
    utc_now,
)
from gateway.cli.mailbox_account import (
    account_options,
    begin_consent_for,
    change_account,
    finish_consent,
    make_account,
    read_secret,
)
from gateway.cli.mailbox_trial import test
from gateway.outbound import oauth
from gateway.store.mailbox_account import check_account
from gateway.store.mailboxes import (
    Mailbox,
    add_mailbox,
    change_mailbox,
    drop_mailbox,
    list_mailboxes,
    need_mailbox,
    open_mailbox_secret,
)
from gateway.store.routes import Secret
from gateway.store.spool import Depth, spool_depths
from gateway.store.tenants import list_tenants


@click.group()
def mailbox() -> None:
    """Tenants' IMAP mailboxes: reports and replies that lie there are taken."""


mailbox.add_command(test)


@mailbox.command("add")
@click.argument("name")
@tenant_option
@account_options
@json_option
@pass_context
def add(context: Context, /, name: str, slug: str, code: str, as_json: bool, **given: Any) -> None:
    """Read a mailbox of a tenant's from now on, or from a day on; NAME is what commands call it."""
    tenant = context.tenant(slug)
    if code:
        finish_consent(context, tenant, name, code, as_json)
        return
    account = make_account(given)
    check_account(name, account)
    secret = read_secret(given)
    if account.grant == oauth.CODE:
        begin_consent_for(context, tenant, name, account, secret, given, as_json)
        return
    context.write(add_mailbox, utc_now(), context.seal, tenant.id, name, account, secret)
    text = f"{account.username} is read from now on; next: gateway mailbox test {name} --tenant {tenant.slug}"
    told(as_json, text, tenant=tenant.slug, mailbox=name, account=_shown(account))


@mailbox.command("set")
@click.argument("name")
@tenant_option
@account_options
@click.option("--new-password", is_flag=True, help="Ask for another password.")
@click.option("--connect", is_flag=True, help="Begin another OAuth consent.")
@json_option
@pass_context
def set_(
    context: Context, /, name: str, slug: str, code: str, new_password: bool, connect: bool, as_json: bool, **given: Any
) -> None:
    """Change what is given of the mailbox NAME; another host, user or folder is read from its end on."""
    tenant = context.tenant(slug)
    if code:
        finish_consent(context, tenant, name, code, as_json)
        return
    account = change_account(context.read(need_mailbox, tenant.id, name).account, given)
    check_account(name, account)
    if (connect or given["provider"]) and account.grant == oauth.CODE:
        kept = context.read(open_mailbox_secret, context.seal, tenant.id, name)
        secret = read_secret(given) if given["provider"] else Secret(client_secret=kept.client_secret)
        begin_consent_for(context, tenant, name, account, secret, given, as_json)
        return
    fresh = new_password or given["password_stdin"] or given["client_secret_stdin"] or given["provider"]
    changed = read_secret(given) if fresh else None
    context.write(change_mailbox, utc_now(), context.seal, tenant.id, name, account, changed)
    told(as_json, f"changed {name}", tenant=tenant.slug, mailbox=name, account=_shown(account))


@mailbox.command("list")
@click.option("-t", "--tenant", "slug", default="", help="Of this tenant only.")
@json_option
@pass_context
def list_(context: Context, slug: str, as_json: bool) -> None:
    """List mailboxes: what is taken from them, how they fare, when they were read, what waits to be judged."""
    tenants = {one.id: one.slug for one in context.read(list_tenants)}
    found = context.read(list_mailboxes, context.tenant(slug).id if slug else "")
    depths = context.read(spool_depths)
    waits = [depths.get((one.tenant_id, one.name), Depth()) for one in found]
    if as_json:
        rows = zip(found, waits, strict=True)
        show_json([_facts(one, tenants.get(one.tenant_id, "")) | {"spool": plain(depth)} for one, depth in rows])
        return
    columns = ("tenant", "name", "user", "server", "takes", "state", "read", "waiting", "taken", "left")
    empty = "no mailboxes; add one with `gateway mailbox add`"
    rows_ = [
        _row(one, tenants.get(one.tenant_id, "")) | {"waiting": depth.mails}
        for one, depth in zip(found, waits, strict=True)
    ]
    show_rows(rows_, False, empty=empty, columns=columns)


@mailbox.command("rm")
@click.argument("name")
@tenant_option
@json_option
@pass_context
def rm(context: Context, name: str, slug: str, as_json: bool) -> None:
    """Forget the mailbox NAME and its secret; what was taken from it stays."""
    tenant = context.tenant(slug)
    context.read(need_mailbox, tenant.id, name)
    context.write(drop_mailbox, tenant.id, name)
    told(as_json, f"{name} is read no more", tenant=tenant.slug, mailbox=name)


def _row(box: Mailbox, slug: str) -> dict[str, Any]:
    account = box.account
    state = {"ok": "works", "": "not looked at yet"}.get(box.state, "")
    if box.failures or not state:
        since = f" since {box.changed_at:%Y-%m-%d %H:%M} UTC" if box.changed_at else ""
        state = f"FAILS{since}: {box.words}"
    return {
        "tenant": slug, "name": box.name, "user": account.username, "server": f"{account.host}:{account.port}",
        "takes": account.takes, "state": state, "read": box.polled_at, "taken": box.taken, "left": box.passed,
    }  # fmt: skip


def _facts(box: Mailbox, slug: str) -> dict[str, Any]:
    facts: dict[str, Any] = plain(box)
    del facts["tenant_id"]
    return facts | {"tenant": slug, "account": _shown(box.account)}


def _shown(account: Any) -> Any:
    return plain(replace(account, trusted="(certificates)" if account.trusted else ""))
