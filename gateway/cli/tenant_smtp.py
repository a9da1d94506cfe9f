"""`gateway tenant smtp`: a tenant's own SMTP server, set up as an account in a mail program is, and really tested."""

import asyncio

import click

from gateway.cli.common import Context, json_option, pass_context, plain, show_json, told, utc_now
from gateway.cli.send import letterhead_of
from gateway.cli.tenant_smtp_set import set_
from gateway.outbound.desk import Desks
from gateway.outbound.mx import Resolver, is_public
from gateway.outbound.queue_list import list_waiting_for_own
from gateway.outbound.routing import Route, Router
from gateway.outbound.server_trial import WRONG, Step, Trial, try_server
from gateway.outbound.tenant_routes import TenantRoutes
from gateway.store.database import Transaction
from gateway.store.routes import (
    FALLBACK,
    drop_server,
    get_server,
    need_server,
    set_fallback,
)
from gateway.store.tenants import Tenant, set_tenant

REPORTS = {
    "": "not tested yet; run `gateway tenant smtp test`",
    "gateway": "come to the gateway",
    "at once": "an unknown address is refused at once",
    "elsewhere": "go to the return path's mailbox: forward that to the A/R inbox address",
}


@click.group()
def smtp() -> None:
    """A tenant's own SMTP server."""


smtp.add_command(set_)


@smtp.command("show")
@click.argument("slug")
@json_option
@pass_context
def show(context: Context, slug: str, as_json: bool) -> None:
    """Show a tenant's server, how it fares, and where its reports go."""
    tenant = context.tenant(slug)
    kept = context.read(need_server, tenant.id)
    server, inbox = kept.server, f"{tenant.slug}@{context.config.inbox_domain}"
    facts = plain(kept) | {"in_use": tenant.sending == "own", "inbox_address": inbox}
    if as_json:
        show_json(facts)
        return
    states = {"ok": "works", "failed": f"FAILS since {kept.changed_at:%Y-%m-%d %H:%M} UTC: {kept.words}"
              if kept.changed_at else "FAILS"}  # fmt: skip
    login = {"password": "by password", "oauth": f"by OAuth ({server.provider}, {server.grant})"}[server.auth]
    path = "the gateway's own, one for each delivery"
    if server.return_path == "tenant":
        path = f"{server.address}, since it lets no other through: reports go to that mailbox"
    lines = {
        "server": f"{server.host}:{server.port}, {server.security}, {server.connections} connections at most",
        "login": f"{server.username}, {login}" if server.username else "none",
        "author": server.address,
        "in use": "yes" if tenant.sending == "own" else f"no; gateway tenant set {slug} --sending own",
        "state": states.get(kept.state, "not tried yet"),
        "fallback": server.fallback,
        "return path": path,
        "reports": REPORTS.get(server.reports, server.reports),
        "A/R inbox": inbox,
        "tested": f"{kept.tested_at:%Y-%m-%d %H:%M} UTC" if kept.tested_at else "never",
    }
    for name, text in lines.items():
        click.echo(f"{name + ':':13} {text}")


@smtp.command("fallback")
@click.argument("slug")
@click.argument("when", type=click.Choice(FALLBACK))
@json_option
@pass_context
def fallback(context: Context, slug: str, when: str, as_json: bool) -> None:
    """Say WHEN mail may leave from the shared address, because the tenant's server fails: off, 30m or always."""
    context.write(set_fallback, context.tenant(slug).id, when)
    words = {"off": "its mail waits", "30m": "after 30 minutes its mail leaves from the shared address",
             "always": "its mail leaves from the shared address at once"}[when]  # fmt: skip
    told(as_json, f"when the server of {slug} fails, {words}", tenant=slug, fallback=when)


@smtp.command("clear")
@click.argument("slug")
@click.option("--yes", is_flag=True, help="Although mail waits for it.")
@click.option("--keep-author", is_flag=True, help="Go on with the tenant's own address, sent by the gateway itself.")
@json_option
@pass_context
def clear(context: Context, slug: str, yes: bool, keep_author: bool, as_json: bool) -> None:
    """Forget a tenant's server and its secret; its next mail leaves by the gateway, from the shared address."""
    tenant = context.tenant(slug)
    if context.read(get_server, tenant.id) is None:
        raise click.ClickException(f"{slug} has no SMTP server of its own")
    waiting = len(context.read(list_waiting_for_own, tenant.id, "", 1000))
    if waiting and not yes:
        raise click.ClickException(
            f"{waiting} mails wait for this server and would leave by the gateway, still with the tenant's author; "
            f"give them the shared address first (gateway tenant smtp fallback {slug} always), or say --yes"
        )
    context.write(_drop, tenant.id, keep_author)
    who = "its own address" if keep_author else context.config.shared_address
    told(as_json, f"forgot the server of {slug}; its next mail comes from {who}", tenant=slug, waiting=waiting)


def _drop(tx: Transaction, tenant_id: str, keep_author: bool) -> None:
    drop_server(tx, tenant_id)
    if not keep_author:
        set_tenant(tx, tenant_id, sending="shared")


# -- the test


@smtp.command("test")
@click.argument("slug")
@click.option("--to", "others", multiple=True, help="Send the test mail there, too.")
@click.option("--wait", default=60.0, show_default=True, help="Seconds to wait for the mail, and for the report.")
@json_option
@pass_context
def test(context: Context, slug: str, others: tuple[str, ...], wait: float, as_json: bool) -> None:
    """Really send: a mail to the tenant's A/R inbox, and one that must bounce; say what was found. 1 when it fails."""
    tenant = context.tenant(slug)
    context.read(need_server, tenant.id)
    steps = asyncio.run(_try(context, tenant, others, wait, as_json))
    if as_json:
        show_json({"tenant": slug, "steps": plain(steps)})
    if any(step.state == WRONG for step in steps):
        raise SystemExit(1)


async def _try(context: Context, tenant: Tenant, others: tuple[str, ...], wait: float, as_json: bool) -> list[Step]:
    config, letterhead = context.config, letterhead_of(context)
    desk = await Desks(context.database, context.seal, letterhead.shared).get(tenant.id)
    assert desk is not None
    routes = TenantRoutes(context.database, context.seal, utc_now)
    resolver = Resolver(allow=None if config.delivery.allow_private else is_public)
    router = Router(Route(helo=config.delivery.helo or config.hostname), resolver, routes)
    steps = []
    if not as_json:
        click.echo(f"this takes up to {2 * wait:g} seconds; progress follows", err=True)
    async for step in try_server(Trial(context.database, desk, letterhead, router, routes, utc_now, wait, others)):
        steps.append(step)
        if not as_json:
            mark = {"ok": "ok     ", "warning": "WARNING", "wrong": "WRONG  "}[step.state]
            click.echo(f"{mark}  {step.what}: {step.words}")
    return steps
