"""Which deliveries a verb of `gateway queue` means: IDs, or filters; how it is asked, shown and done.

Used by the commands in `cli.queue_verbs`. By a filter nothing is changed that was accepted after the command began, a
tenant alone means nothing (`--all` does), and more than ten are changed only after a yes.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

import click

from gateway.cli.common import (
    Context,
    counting,
    json_option,
    pass_context,
    plain,
    show_json,
    show_rows,
    tenant_option,
    told,
    utc_now,
)
from gateway.cli.durations import Duration
from gateway.outbound.queue_list import Filter, Key, count_queue, list_queue, next_keys
from gateway.store.database import Transaction, to_ms
from gateway.store.tenants import Tenant, list_tenants

MANY = 10  # deliveries that a filter may change without asking
PAGE = 1000  # deliveries of one transaction: a serving gateway writes beside us
SHOWN = 20  # of them, in a dry run

Does = Callable[[Transaction, int, str, Key], int]  # (transaction, now in ms, tenant, key) -> how many
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb: its words, what it does, and what it is meant for when nothing else is said."""

    name: str
    did: str
    does: Does
    states: tuple[str, ...] = ("queued",)
    held: bool | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was typed."""

    ids: tuple[str, ...]
    slug: str
    state: str | None
    recipient: str
    older: timedelta | None
    reason: str
    host: str
    all_: bool
    dry_run: bool
    yes: bool
    as_json: bool

    @property
    def filters(self) -> bool:
        """Whether a filter was named; a tenant alone is none."""
        return bool(self.recipient or self.older is not None or self.reason or self.host or self.state or self.all_)


FILTERS = (
    click.option("--to", "recipient", default="", help="Part of the recipient's address; @client.example: its domain."),
    click.option("--older", type=Duration(), default=None, help="Accepted longer ago: 30m, 2h, 3d."),
    click.option("--reason", default="", help="Why it waits or failed (docs/smtp.md), or part of what its hold says."),
    click.option("--host", default="", help="Part of the name of the server that was tried last."),
)


def choice_options(function: F) -> F:
    """The argument and options of every verb; the command gets them as `chosen`."""

    def command(context: Context, /, **typed: Any) -> None:
        more = {name: typed.pop(name) for name in list(typed) if name not in Chosen.__slots__}
        function(context, Chosen(**typed), **more)

    command.__doc__ = function.__doc__
    options = (
        click.argument("ids", nargs=-1),
        tenant_option,
        *FILTERS,
        click.option("--all", "all_", is_flag=True, help="All that the verb is for, of the tenant or of every one."),
        click.option("--dry-run", is_flag=True, help="Only show what would be changed."),
        click.option("--yes", is_flag=True, help="Do not ask, however many they are."),
        json_option,
    )
    for option in reversed(options):
        command = option(command)
    return pass_context(command)  # type: ignore[return-value]


def choice_filters(function: F) -> F:
    """The filters alone, for a list."""
    for option in reversed(FILTERS):
        function = option(function)
    return function


def perform(context: Context, chosen: Chosen, verb: Verb) -> None:
    """Do it to what was chosen, or show what it would be done to."""
    if bool(chosen.ids) == chosen.filters:
        wants = "name deliveries, or say which by --to, --older, --reason, --host, --state or --all"
        raise click.UsageError("name IDs or filters, not both" if chosen.ids else wants)
    if chosen.ids:
        _perform_each(context, chosen, verb)
    else:
        _perform_all(context, chosen, verb)


def parse_key(id: str) -> Key:
    """A message and one of its deliveries, or all of them (0)."""
    message_id, _, number = id.strip().lower().partition(".")
    return message_id, int(number) if number.isdigit() else 0


# -- by id


def _perform_each(context: Context, chosen: Chosen, verb: Verb) -> None:
    found = context.tenant(chosen.slug)
    if chosen.dry_run:
        rows = [row for id in chosen.ids for row in _rows_of(context, found, verb, parse_key(id))]
        _show_dry(chosen, verb, len(rows), rows)
        return
    counts = {id: context.write(verb.does, to_ms(utc_now()), found.id, parse_key(id)) for id in chosen.ids}
    lines = [
        f"{id}: {verb.did} {_deliveries(count)}" if count
        else f"{id}: nothing was {verb.did}; see `gateway queue show {id}`"
        for id, count in counts.items()
    ]  # fmt: skip
    told(chosen.as_json, "\n".join(lines), **{verb.did: counts})
    if not all(counts.values()):
        raise SystemExit(1)


def _rows_of(context: Context, tenant: Tenant, verb: Verb, key: Key) -> list[dict[str, Any]]:
    listed = context.read(list_queue, tenant.id, Filter(state="", message_id=key[0]), 1000)
    fits = [one for one in listed if one.state in verb.states and key[1] in (0, one.number)]
    return [{"tenant": tenant.slug, "id": one.id} | plain(one) for one in fits]


# -- by filter


def _perform_all(context: Context, chosen: Chosen, verb: Verb) -> None:
    wanted = _filter(chosen, verb)
    tenants = [context.tenant(chosen.slug)] if chosen.slug else context.read(list_tenants)
    counts = {tenant.slug: context.read(count_queue, tenant.id, wanted) for tenant in tenants}
    total = sum(counts.values())
    if chosen.dry_run:
        _show_dry(chosen, verb, total, _first(context, [t for t in tenants if counts[t.slug]], wanted))
        return
    if total > MANY and not chosen.yes:
        _ask(chosen, verb, total)
    done = 0
    with counting(verb.name, total) as advance:
        for tenant in tenants:
            done += _perform_tenant(context, tenant, wanted, verb, advance) if counts[tenant.slug] else 0
    text = f"{verb.did} {_deliveries(done)}" if done else f"nothing was {verb.did}; no delivery is meant by that"
    told(chosen.as_json, text, **{verb.did: done})


def _filter(chosen: Chosen, verb: Verb) -> Filter:
    state = chosen.state or verb.states[0]
    if state not in verb.states:
        raise click.UsageError(f"a delivery that is {state} cannot be {verb.did}; only {', '.join(verb.states)}")
    before = utc_now() - (chosen.older or timedelta())
    wanted = Filter(state, "", chosen.recipient, before, None, chosen.reason, chosen.host)
    return replace(wanted, held=verb.held) if state == "queued" else wanted


def _ask(chosen: Chosen, verb: Verb, total: int) -> None:
    if chosen.as_json or not sys.stdin.isatty():
        words = f"{_deliveries(total)} would be {verb.did}; look with --dry-run, and say --yes"
        raise click.ClickException(words)
    click.confirm(f"{verb.name} {_deliveries(total)}?", abort=True, err=True)


def _perform_tenant(
    context: Context, tenant: Tenant, wanted: Filter, verb: Verb, advance: Callable[[int], None]
) -> int:
    """Batch by batch, each in a transaction of its own."""
    done, after = 0, ("", 0)
    while keys := context.read(next_keys, tenant.id, wanted, after, PAGE):
        done += context.write(_apply, to_ms(utc_now()), tenant.id, keys, verb.does)
        advance(len(keys))
        after = keys[-1]
    return done


def _apply(tx: Transaction, now_ms: int, tenant_id: str, keys: Sequence[Key], does: Does) -> int:
    return sum(does(tx, now_ms, tenant_id, key) for key in keys)


def _first(context: Context, tenants: Sequence[Tenant], wanted: Filter) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for tenant in tenants:
        listed = context.read(list_queue, tenant.id, wanted, SHOWN - len(rows))
        rows += [{"tenant": tenant.slug, "id": one.id} | plain(one) for one in listed]
        if len(rows) >= SHOWN:
            break
    return rows


def _show_dry(chosen: Chosen, verb: Verb, total: int, rows: Sequence[dict[str, Any]]) -> None:
    if chosen.as_json:
        show_json({"dry_run": True, "verb": verb.name, "count": total, "first": rows[:SHOWN]})
        return
    click.echo(f"{_deliveries(total)} would be {verb.did}; nothing was changed")
    columns = ("tenant", "id", "recipient", "state", "attempts", "hold", "words")
    if rows:
        show_rows(rows[:SHOWN], False, empty="", columns=columns)
    if total > SHOWN:
        click.echo(f"and {total - SHOWN:,} more")


def _deliveries(count: int) -> str:
    return f"{count:,} deliver{'y' if count == 1 else 'ies'}"
