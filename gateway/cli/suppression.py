"""`gateway suppression`: addresses that mail no longer goes to."""

import click

from gateway.cli.common import Context, json_option, pass_context, plain, show_rows, tenant_option, told
from gateway.outbound.suppression import list_suppressed, unsuppress


@click.group()
def suppression() -> None:
    """Addresses that mail no longer goes to."""


@suppression.command("list")
@tenant_option
@json_option
@pass_context
def list_(context: Context, slug: str, as_json: bool) -> None:
    """List a tenant's suppressed addresses, since when and in whose words."""
    rows = [plain(one) for one in context.read(list_suppressed, context.tenant(slug).id)]
    show_rows(rows, as_json, empty="no address is suppressed")


@suppression.command("remove")
@tenant_option
@click.argument("address")
@json_option
@pass_context
def remove(context: Context, slug: str, address: str, as_json: bool) -> None:
    """Let mail go to ADDRESS again."""
    if not context.write(unsuppress, context.tenant(slug).id, address):
        raise click.ClickException(f"{address} is not suppressed; see `gateway suppression list`")
    told(as_json, f"mail goes to {address} again", removed=address)
