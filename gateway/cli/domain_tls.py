"""`gateway domain tls`: what TLS must prove with the mail hosts of somebody's domain before mail goes there."""

import asyncio
from datetime import datetime

import click

from gateway.cli.common import Context, json_option, pass_context, show_json, show_rows, utc_now, working
from gateway.mail.address import Address, valid_domain
from gateway.outbound.tls_view import TlsView, view_tls
from gateway.serve.parts import make_policies, make_resolver


@click.command()
@click.argument("name")
@json_option
@pass_context
def tls(context: Context, name: str, as_json: bool) -> None:
    """Show the TLS policy of a recipient's domain: MX, MTA-STS, DANE, and what they demand."""
    wanted = Address("", name.rpartition("@")[2].lower().rstrip(".")).ascii_domain
    if not valid_domain(wanted) or "." not in wanted:
        raise click.ClickException(f"{name!r} is not a domain; write one like customer.example")
    with working(f"asking DNS about {wanted}"):
        view = asyncio.run(_view(context, wanted, utc_now()))
    if as_json:
        show_json(view)
        return
    click.echo(f"{view.domain}\nMTA-STS: {view.mta_sts}\nDANE: {view.dane}")
    if context.config.delivery.relay:
        click.echo(f"(all mail goes to the relay {context.config.delivery.relay}, which has to see to this)")
    click.echo(f"TLS reports go to: {', '.join(view.reports_to) or 'nobody; it asks for none'}\n")
    rows = [
        {
            "host": host.host,
            "addresses": host.addresses,
            "DNSSEC": host.secure,
            "policy": host.policy or "none",
            "what TLS must be": host.demand,
        }
        for host in view.hosts
    ]
    show_rows(rows, False, empty="no mail hosts")
    for line in view.policy:
        click.echo(f"  {line}")
    for host in view.hosts:
        for record in host.tlsa:
            click.echo(f"  {host.host} TLSA {record}")


async def _view(context: Context, name: str, now: datetime) -> TlsView:
    resolver = make_resolver(context.config)
    return await view_tls(resolver, make_policies(context.config, context.database, resolver), name, now)
