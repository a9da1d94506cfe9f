"""`gateway api-key`: by what programs are a tenant over HTTP, and what each of them may do."""

from datetime import timedelta

import click

from gateway.cli.common import Context, json_option, pass_context, show_json, show_rows, tenant_option, told, utc_now
from gateway.cli.durations import Duration
from gateway.store.api_keys import SCOPES, add_api_key, list_api_keys, revoke_api_key


@click.group("api-key")
def api_key() -> None:
    """Keys of the HTTP API."""


@api_key.command("add")
@tenant_option
@click.option("--label", default="", help="What it is for.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help="What it may do; left out: all.")
@click.option("--expires", type=Duration(), default=None, help="It ends after so long (90d); left out: never.")
@json_option
@pass_context
def add(
    context: Context, slug: str, label: str, scopes: tuple[str, ...], expires: timedelta | None, as_json: bool
) -> None:
    """Make an API key; it is shown this once."""
    found, now = context.tenant(slug), utc_now()
    ends = now + expires if expires else None
    made, text = context.write(
        add_api_key, now, found.id, label=label, scopes=scopes, expires_at=ends, by="gateway api-key add"
    )
    if as_json:
        show_json({"tenant": found.slug, "key": text, "prefix": made.prefix, "scopes": made.scopes, "expires_at": ends})
        return
    click.echo(f"key     {text}")
    click.echo(f"scopes  {', '.join(made.scopes)}")
    click.echo("The key is shown this once; it is kept as a hash.")


@api_key.command("list")
@tenant_option
@json_option
@pass_context
def list_(context: Context, slug: str, as_json: bool) -> None:
    """List a tenant's API keys by their prefixes."""
    rows = [
        {
            "prefix": one.prefix,
            "label": one.label,
            "scopes": list(one.scopes),
            "created_at": one.created_at,
            "expires_at": one.expires_at,
            "last_used_at": one.last_used_at,
            "revoked_at": one.revoked_at,
        }
        for one in context.read(list_api_keys, context.tenant(slug).id)
    ]
    show_rows(rows, as_json, empty="no API keys yet; add one with `gateway api-key add`")


@api_key.command("revoke")
@tenant_option
@click.argument("prefix")
@json_option
@pass_context
def revoke(context: Context, slug: str, prefix: str, as_json: bool) -> None:
    """End the API key with PREFIX; the gateway notices within seconds."""
    if not context.write(revoke_api_key, utc_now(), context.tenant(slug).id, prefix):
        raise click.ClickException(f"there is no API key {prefix[:16]!r}; see `gateway api-key list`")
    told(as_json, f"revoked {prefix[:16]}", revoked=prefix[:16])
