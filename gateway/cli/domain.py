"""`gateway domain`: domains that mail is signed for, what to publish in DNS, and what is wrong there."""

import asyncio
from collections.abc import Sequence
from typing import Any

import click

from gateway.cli.common import Context, json_option, pass_context, plain, show_json, show_rows, utc_now, working
from gateway.cli.domain_tls import tls
from gateway.mail.reply import Refused
from gateway.outbound.dns_records import Record, house_records, sending_records, sts_policy
from gateway.outbound.domain_watch import authors_of, check, keep
from gateway.outbound.findings import ERROR, Check, read_check
from gateway.outbound.key_rotation import add_signed_domain, make_keys, needed, rotate_keys
from gateway.outbound.signing import ED25519, RSA
from gateway.serve.parts import house_names, make_asker, make_resolver
from gateway.store.database import Database
from gateway.store.domains import (
    ACTIVE,
    PENDING,
    REPLACED,
    RETIRED,
    StoredDomain,
    StoredKey,
    all_domains,
    get_domain,
    list_keys,
)
from gateway.store.schema import OPERATOR
from gateway.store.sealed import Seal
from gateway.store.tenants import list_tenants, need_tenant

ALGORITHMS = {"rsa": RSA, "ed25519": ED25519}


@click.group()
def domain() -> None:
    """Domains that mail is signed for."""


domain.add_command(tls)


def make_domain(database: Database, seal: Seal, tenant_id: str, name: str, algorithms: tuple[str, ...]) -> None:
    """Keep a domain with fresh signing keys."""
    made = make_keys([ALGORITHMS[short] for short in algorithms])
    database.write_now(add_signed_domain, utc_now(), seal, tenant_id, name, made)


@domain.command("add")
@click.option("-t", "--tenant", "slug", default="", help="Whose domain; left out: the gateway's shared domain.")
@click.argument("name")
@click.option("--algorithm", "algorithms", multiple=True, type=click.Choice(list(ALGORITHMS)),
              default=("rsa", "ed25519"), show_default=True)  # fmt: skip
@json_option
@pass_context
def add(context: Context, slug: str, name: str, algorithms: tuple[str, ...], as_json: bool) -> None:
    """Add a domain with signing keys, and print what to publish (as a zone)."""
    name = name.lower().rstrip(".")
    tenant_id = context.read(need_tenant, slug).id if slug else OPERATOR
    if context.read(list_keys, tenant_id, name):
        raise click.ClickException(f"{name} has its keys already; see `gateway domain records {name}`")
    make_domain(context.database, context.seal, tenant_id, name, algorithms)
    found = _records(context, tenant_id, name)
    if as_json:
        show_json({"domain": name, "tenant": slug, "records": plain(found)})
        return
    click.echo(f"added {name}; publish these records, then run `gateway domain check {name}`:\n")
    _print_zone(found)


@domain.command("list")
@json_option
@pass_context
def list_(context: Context, as_json: bool) -> None:
    """List all domains and their keys."""
    owners = _owners(context)
    rows = [
        {"domain": one.name, "tenant": owners[one.tenant_id], "selector": key.selector, "algorithm": key.algorithm,
         "state": key.state, "dns": _state_of(one), "checked_at": one.checked_at}
        for one in context.read(all_domains)
        if one.tenant_id in owners
        for key in context.read(list_keys, one.tenant_id, one.name)
    ]  # fmt: skip
    show_rows(rows, as_json, empty="no domains yet; add one with `gateway domain add NAME`")


def _state_of(one: StoredDomain) -> str:
    return read_check(one.name, one.kept).state if one.checked_at else "not checked"


@domain.command("records")
@click.argument("name")
@click.option("--zone", is_flag=True, help="As lines of a zone file.")
@click.option("--table", is_flag=True, help="As a table (the default).")
@json_option
@pass_context
def records(context: Context, name: str, zone: bool, table: bool, as_json: bool) -> None:
    """Print what to publish in DNS for a domain, and for the gateway's own."""
    if zone + table + as_json > 1:
        raise click.UsageError("choose one of --zone, --table and --json")
    one = _need(context, name)
    found, house = _records(context, one.tenant_id, one.name), house_names(context.config)
    if zone:
        _print_zone(found)
    else:
        show_rows([plain(record) for record in found], as_json, empty="none")
    if one.tenant_id == OPERATOR and not as_json:
        where = f"https://mta-sts.{house.inbox_domain}/.well-known/mta-sts.txt"
        for line in (f"for MTA-STS serve this at {where}, as text/plain:", *sts_policy(house).strip().split("\r\n")):
            click.echo(f"{'; ' if zone else ''}{line}")


def _records(context: Context, tenant_id: str, name: str) -> list[Record]:
    house = house_names(context.config)
    found = sending_records(name, context.read(list_keys, tenant_id, name), house)
    return found + (house_records(house) if tenant_id == OPERATOR and name == house.shared else [])


def _print_zone(found: Sequence[Record]) -> None:
    for record in found:
        click.echo(f"; {record.why}\n{record.zone_line}")


# -- looking at DNS


@domain.command("check")
@click.argument("name", required=False, default="")
@json_option
@pass_context
def check_(context: Context, name: str, as_json: bool) -> None:
    """Ask DNS what is wrong with a domain (with every domain when none is named); exit status 1 on errors."""
    asked = [_need(context, name)] if name else context.read(all_domains)
    with working("asking DNS"):
        checks, told = asyncio.run(_look(context, asked))
    if as_json:
        show_json({"checks": [made.as_json() | {"domain": made.domain, "state": made.state} for made in checks],
                   "changed": told})  # fmt: skip
    else:
        for made in checks:
            _print_check(made)
        for sentence in told:
            click.echo(f"changed: {sentence}")
    if any(one.severity == ERROR for made in checks for one in made.findings):
        raise SystemExit(1)


async def _look(context: Context, asked: Sequence[StoredDomain]) -> tuple[list[Check], list[str]]:
    config = context.config
    house, ask = house_names(config), make_asker(config, make_resolver(config))
    checks, told = [], []
    for one in asked:
        keys = context.read(list_keys, one.tenant_id, one.name)
        checks.append(await check(ask, house, one, keys, context.read(authors_of, one)))
        told += context.write(keep, utc_now(), one, checks[-1])
    return checks, told


def _print_check(made: Check) -> None:
    aligned = {True: "its mail passes DKIM", False: "its mail does NOT pass DKIM", None: "nobody knows about DKIM yet"}
    click.echo(f"{made.domain}: {aligned[made.aligned]}")
    for one in made.findings:
        click.echo(f"  {one.severity.upper() if one.severity == ERROR else one.severity:8} {one.words}")
        if one.todo:
            click.echo(f"           -> {one.todo}")


# -- keys


@domain.command("keys")
@click.argument("name")
@json_option
@pass_context
def keys(context: Context, name: str, as_json: bool) -> None:
    """List a domain's keys, their states, and what to do with the record of each."""
    one = _need(context, name)
    rows = [
        {"selector": key.selector, "algorithm": key.algorithm, "state": key.state,
         "since": key.changed_at or key.created_at, "record": _advice(context, one, key)}
        for key in context.read(list_keys, one.tenant_id, one.name)
    ]  # fmt: skip
    show_rows(rows, as_json, empty=f"{one.name} has no keys; make some with `gateway domain rotate {one.name}`")


def _advice(context: Context, one: StoredDomain, key: StoredKey) -> str:
    if key.state == REPLACED:
        waits = context.read(needed, one.tenant_id, key)
        return "leave it: mail that it signed is queued" if waits else "leave it until the next check retires the key"
    return {
        PENDING: "publish it; the key signs once it is seen",
        ACTIVE: "leave it: the key signs",
        RETIRED: "take it out; a week after the change is kind to receivers that look late",
    }[key.state]


@domain.command("rotate")
@click.argument("name")
@click.option(
    "--now", "at_once", is_flag=True, help="Sign with the new keys at once, whatever DNS has: a key was stolen."
)
@json_option
@pass_context
def rotate(context: Context, name: str, at_once: bool, as_json: bool) -> None:
    """Make new signing keys; they sign once their records are seen in DNS, and the old ones are retired."""
    one = _need(context, name)
    made, told = context.write(rotate_keys, utc_now(), context.seal, one, make_keys(), at_once=at_once)
    fresh = [
        r for r in _records(context, one.tenant_id, one.name) if r.name.split(".")[0] in {k.selector for k in made}
    ]
    old = [k.selector for k in context.read(list_keys, one.tenant_id, one.name) if k.state in (ACTIVE, REPLACED)]
    old = [selector for selector in old if selector not in {key.selector for key in made}]
    if as_json:
        show_json({"domain": one.name, "publish": plain(fresh), "keep": old, "changed": told})
        return
    click.echo(f"publish these records for {one.name}:\n")
    _print_zone(fresh)
    click.echo()
    for sentence in told:
        click.echo(sentence)
    if not at_once:
        click.echo("a serving gateway looks for them every few minutes, and then signs with the new keys by itself")
        click.echo(f"to look now: gateway domain check {one.name}")
    if old:
        click.echo(f"leave the records of {', '.join(old)} in DNS: queued mail keeps its signature.")
        click.echo(f"`gateway domain keys {one.name}` says when they may go")


# -- which domain


def _owners(context: Context) -> dict[str, Any]:
    return {OPERATOR: "(shared)"} | {one.id: one.slug for one in context.read(list_tenants)}


def _need(context: Context, name: str) -> StoredDomain:
    name = name.lower().rstrip(".")
    for owner in _owners(context):
        found = context.read(get_domain, owner, name)
        if found is not None:
            return found
    raise Refused(550, "5.1.2", f"{name} is not known; add it with `gateway domain add {name}`")
