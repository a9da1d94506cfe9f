"""`gateway tenant retry`: how soon and how long a tenant's mail is tried again, for all of it or for one route."""

from dataclasses import dataclass
from datetime import timedelta

import click

from gateway.cli.common import Context, json_option, pass_context, show_rows, told
from gateway.cli.durations import Duration, say_duration
from gateway.outbound.retry import Retry
from gateway.outbound.retry_options import read_retry, set_retry
from gateway.store.settings import ROUTES


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be changed, in seconds; None: nothing."""

    first: int | None
    longest: int | None
    expire: int | None

    @property
    def anything(self) -> bool:
        """Whether something is."""
        return (self.first, self.longest, self.expire) != (None, None, None)


@click.command("retry")
@click.argument("slug")
@click.option("--route", type=click.Choice(ROUTES), default=None, help="Only of mail by this route; else of all.")
@click.option("--first", type=Duration(), default=None, help="Wait before the first retry; it doubles after each.")
@click.option("--longest", type=Duration(), default=None, help="Longest wait between two tries.")
@click.option(
    "--expire", type=Duration(), default=None, help="Give up after so long; mail that is accepted from now on."
)
@json_option
@pass_context
def retry(
    context: Context, slug: str, route: str | None, first: timedelta | None, longest: timedelta | None,
    expire: timedelta | None, as_json: bool,
) -> None:  # fmt: skip
    """Show or change how soon and how long a tenant's mail is tried again; 0 goes back to the configuration's."""
    found = context.tenant(slug)
    asked = Asked(_seconds(first), _seconds(longest), _seconds(expire))
    if asked.anything:
        context.write(set_retry, found.id, route or "", asked.first, asked.longest, asked.expire)
        names = [name for name in ("first", "longest", "expire") if getattr(asked, name) is not None]
        text = f"changed {slug}: {', '.join(names)}{f' of route {route}' if route else ''}"
        told(as_json, text, tenant=slug, route=route or "", changed=names)
        return
    rows = [_row(context, found.id, name) for name in ([route] if route else ROUTES)]
    if not as_json:
        for row in rows:
            row.update({key: say_duration(float(row[key])) for key in ("first", "longest", "expire")})
    show_rows(rows, as_json, empty="")


def _seconds(time: timedelta | None) -> int | None:
    return None if time is None else int(time.total_seconds())


def _row(context: Context, tenant_id: str, route: str) -> dict[str, str | int]:
    found = context.read(read_retry, tenant_id, route, house_retry(context))
    return {"route": route, "first": int(found.first), "longest": int(found.longest), "expire": int(found.expire)}


def house_retry(context: Context) -> Retry:
    """The configuration's policy, from which tenants may differ."""
    wanted = context.config.delivery
    return Retry(
        first=wanted.retry_first_seconds, longest=wanted.retry_longest_seconds, expire=wanted.expire_seconds
    )  # fmt: skip
