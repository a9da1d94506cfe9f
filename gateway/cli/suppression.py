"""`gateway suppression`: addresses that mail no longer goes to, and those where it goes whatever servers say."""

import contextlib
import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import IO, Any

import click

from gateway.cli.common import Context, json_option, pass_context, plain, show_rows, tenant_option, told, utc_now
from gateway.mail.address import parse_address
from gateway.mail.reasons import BLOCKED, SUPPRESSING
from gateway.outbound.suppression import (
    ALLOWED,
    Entry,
    forget_expired,
    import_suppressed,
    list_suppressed,
    put_suppressed,
    unsuppress,
)
from gateway.outbound.suppression_csv import Fault, read_entries, write_entries, write_header
from gateway.store.database import to_ms

PAGE = 1000  # addresses of one transaction: a serving gateway writes beside us
SHOWN = 20  # faults of a file that are told one by one
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


class Until(click.ParamType[datetime]):
    """A time ahead: 12h, 90d, 8w, or a day as 2027-01-31."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The time that is meant, UTC."""
        if isinstance(value, datetime):
            return value
        if found := re.fullmatch(r"([1-9][0-9]{0,3})([hdw])", value):
            return utc_now() + timedelta(**{_UNITS[found[2]]: int(found[1])})
        try:
            return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            self.fail(f"{value!r} is no time ahead; write 90d, 12h, 8w or 2027-01-31", param, ctx)


expires_option = click.option("--expires", type=Until(), default=None, help="Until when: 12h, 90d, 8w or 2027-01-31.")


@click.group()
def suppression() -> None:
    """Addresses that mail no longer goes to."""


@suppression.command("list")
@tenant_option
@click.argument("part", required=False, default="")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="How many at most.")
@json_option
@pass_context
def list_(context: Context, slug: str, part: str, limit: int, as_json: bool) -> None:
    """List a tenant's suppressed addresses, since when and in whose words; PART of an address, or a reason, finds."""
    found = context.tenant(slug)
    context.write(forget_expired, to_ms(utc_now()), found.id)
    rows = [asdict(one) for one in context.read(list_suppressed, found.id, limit=limit + 1, part=part)]
    show_rows(rows[:limit], as_json, empty="no address is suppressed")
    if len(rows) > limit:
        click.echo(f"there are more than {limit}; see `gateway suppression export`", err=True)


@suppression.command("add")
@tenant_option
@click.argument("address")
@click.option("--reason", type=click.Choice((BLOCKED, *sorted(SUPPRESSING))), default=BLOCKED, show_default=True)
@click.option("--why", default="stopped by the operator", show_default=True, help="For whoever reads it later.")
@expires_option
@json_option
@pass_context
def add(
    context: Context, slug: str, address: str, reason: str, why: str, expires: datetime | None, as_json: bool
) -> None:
    """Stop mail to ADDRESS."""
    _put(context, slug, Entry(parse_address(address).key, reason, why, expires_at=expires))
    told(as_json, f"no mail goes to {address} any more{_until(expires)}", added=address, expires_at=plain(expires))


@suppression.command("allow")
@tenant_option
@click.argument("address")
@click.option("--why", default="allowed by the operator", show_default=True, help="For whoever reads it later.")
@expires_option
@json_option
@pass_context
def allow(context: Context, slug: str, address: str, why: str, expires: datetime | None, as_json: bool) -> None:
    """Let mail go to ADDRESS whatever servers say: it is not suppressed again by itself."""
    _put(context, slug, Entry(parse_address(address).key, ALLOWED, why, expires_at=expires))
    text = f"mail goes to {address} whatever servers say{_until(expires)}"
    told(as_json, text, allowed=address, expires_at=plain(expires))


def _put(context: Context, slug: str, entry: Entry) -> None:
    now_ms, found = to_ms(utc_now()), context.tenant(slug)
    context.write(put_suppressed, now_ms, found.id, entry)


def _until(expires: datetime | None) -> str:
    return f", until {expires:%Y-%m-%d %H:%M} UTC" if expires else ""


@suppression.command("remove")
@tenant_option
@click.argument("address")
@json_option
@pass_context
def remove(context: Context, slug: str, address: str, as_json: bool) -> None:
    """Let mail go to ADDRESS again, until it fails for good again; or end what `allow` said."""
    if not context.write(unsuppress, context.tenant(slug).id, address):
        raise click.ClickException(f"{address} is not suppressed; see `gateway suppression list`")
    told(as_json, f"mail goes to {address} again", removed=address)


@suppression.command("import")
@tenant_option
@click.argument("file", type=click.File("r", encoding="utf-8-sig", errors="replace"))
@click.option("--expires", type=Until(), default=None, help="Until when, where the file does not say: 90d, 2027-01-31.")
@json_option
@pass_context
def import_(context: Context, slug: str, file: IO[str], expires: datetime | None, as_json: bool) -> None:
    """Add the addresses of FILE: CSV with a header that names `address`; "-" is standard input.

    Columns reason, evidence, since and expires are read when they are there, and what the exports of other sending
    services call them. Addresses that are on the list already stay as they are.
    """
    found, now_ms = context.tenant(slug), to_ms(utc_now())
    context.write(forget_expired, now_ms, found.id)
    added = known = left_out = 0
    faults: list[Fault] = []
    with _bar(file) as step:
        for page in _pages(read_entries(file)):
            wrong = [one for one in page if isinstance(one, Fault)]
            left_out, faults = left_out + len(wrong), [*faults, *wrong][:SHOWN]
            entries = [_with_end(one, expires) for one in page if isinstance(one, Entry)]
            counts = context.write(import_suppressed, now_ms, found.id, entries)
            added, known = added + counts[0], known + counts[1]
            step()
    for fault in () if as_json else faults:
        click.echo(f"line {fault.line}: {fault.why}", err=True)
    text = f"{added:,} added, {known:,} there already, {left_out:,} left out"
    told(as_json, text, added=added, known=known, left_out=left_out, faults=faults)


def _with_end(entry: Entry, expires: datetime | None) -> Entry:
    return entry if entry.expires_at or expires is None else replace(entry, expires_at=expires)


def _pages(found: Iterator[Entry | Fault]) -> Iterator[list[Entry | Fault]]:
    while page := list(itertools.islice(found, PAGE)):
        yield page


@contextlib.contextmanager
def _bar(file: IO[str]) -> Iterator[Callable[[], None]]:
    """A bar on a terminal that grows as the file is read; nothing in a pipe."""
    try:
        size = os.fstat(file.fileno()).st_size
    except (OSError, ValueError):
        size = 0
    if not size or not sys.stderr.isatty():
        yield lambda: None
        return
    with click.progressbar(length=size, label="importing", file=sys.stderr) as bar:
        yield lambda: bar.update(file.buffer.tell() - bar.pos)  # type: ignore[attr-defined]


@suppression.command("export")
@tenant_option
@click.option("-o", "--output", type=click.File("w", encoding="utf-8"), default="-", help="Into a file.")
@json_option
@pass_context
def export(context: Context, slug: str, output: IO[str], as_json: bool) -> None:
    """Write a tenant's list as CSV, safe for spreadsheets; `gateway suppression import` reads it."""
    found, after = context.tenant(slug), ""
    context.write(forget_expired, to_ms(utc_now()), found.id)
    if as_json:
        json_text = json.dumps(plain(context.read(list_suppressed, found.id)), ensure_ascii=False, indent=2)
        output.write(json_text + "\n")
        return
    write_header(output)
    while page := context.read(list_suppressed, found.id, after=after, limit=PAGE):
        write_entries(output, page)
        after = page[-1].address
