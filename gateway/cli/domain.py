"""`gateway domain`: domains that mail is signed for, and what to publish in DNS."""

import click
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.cli.common import Context, json_option, pass_context, show_rows, utc_now
from gateway.cli.domain_tls import tls
from gateway.config import Config
from gateway.outbound.dns_records import Record, receiving_records, sending_records
from gateway.outbound.signing import generate_key, public_record
from gateway.store.database import Transaction
from gateway.store.domains import add_domain, add_key, list_domains, list_keys
from gateway.store.schema import OPERATOR
from gateway.store.sealed import Seal
from gateway.store.tenants import list_tenants, need_tenant

ALGORITHMS = {"rsa": "rsa-sha256", "ed25519": "ed25519-sha256"}


@click.group()
def domain() -> None:
    """Domains that mail is signed for."""


domain.add_command(tls)


def make_domain(tx: Transaction, seal: Seal, tenant_id: str, name: str, algorithms: tuple[str, ...]) -> None:
    """Keep a domain with fresh signing keys."""
    now = utc_now()
    add_domain(tx, now, tenant_id, name)
    for short in algorithms:
        key = generate_key(ALGORITHMS[short])
        selector = f"ar{now:%Y%m}{'r' if short == 'rsa' else 'e'}"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        add_key(tx, now, seal, tenant_id, name, selector, ALGORITHMS[short], private, public_record(key))


@domain.command("add")
@click.option("-t", "--tenant", "slug", default="", help="Whose domain; left out: the gateway's shared domain.")
@click.argument("name")
@click.option("--algorithm", "algorithms", multiple=True, type=click.Choice(list(ALGORITHMS)),
              default=("rsa", "ed25519"), show_default=True)  # fmt: skip
@pass_context
def add(context: Context, slug: str, name: str, algorithms: tuple[str, ...]) -> None:
    """Add a domain with signing keys, and print what to publish (as a zone)."""
    name = name.lower().rstrip(".")
    tenant_id = context.read(need_tenant, slug).id if slug else OPERATOR
    if context.read(list_keys, tenant_id, name):
        raise click.ClickException(f"{name} has its keys already; see `gateway domain records {name}`")
    context.write(make_domain, context.seal, tenant_id, name, algorithms)
    click.echo(f"added {name}; publish these records:\n")
    _print_zone(_records(context, tenant_id, name))


@domain.command("list")
@json_option
@pass_context
def list_(context: Context, as_json: bool) -> None:
    """List all domains and their keys."""
    owners = [(OPERATOR, "(shared)"), *((t.id, t.slug) for t in context.read(list_tenants))]
    rows = [
        {"domain": name, "tenant": slug, "selector": key.selector, "algorithm": key.algorithm, "state": key.state}
        for tenant_id, slug in owners
        for name in context.read(list_domains, tenant_id)
        for key in context.read(list_keys, tenant_id, name)
    ]
    show_rows(rows, as_json, empty="no domains yet; add one with `gateway domain add NAME`")


@domain.command("records")
@click.argument("name")
@click.option("--zone", is_flag=True, help="As lines of a zone file.")
@json_option
@pass_context
def records(context: Context, name: str, zone: bool, as_json: bool) -> None:
    """Print what to publish in DNS for a domain, and for the gateway's own."""
    name = name.lower().rstrip(".")
    owners = [OPERATOR, *(t.id for t in context.read(list_tenants))]
    owner = next((o for o in owners if name in context.read(list_domains, o)), "")
    if not owner:
        raise click.ClickException(f"{name} is not known; add it with `gateway domain add {name}`")
    found = _records(context, owner, name)
    if zone:
        _print_zone(found)
        return
    show_rows([{"name": r.name, "type": r.type, "value": r.value, "why": r.why} for r in found], as_json, empty="none")


def _records(context: Context, tenant_id: str, name: str) -> list[Record]:
    config = context.config
    found = sending_records(name, context.read(list_keys, tenant_id, name), config.hostname)
    return found + (_house_records(config) if tenant_id == OPERATOR else [])


def _house_records(config: Config) -> list[Record]:
    return [
        *receiving_records(config.return_domain, config.hostname, returns=True),
        *receiving_records(config.inbox_domain, config.hostname, returns=False),
    ]


def _print_zone(found: list[Record]) -> None:
    for record in found:
        click.echo(f"; {record.why}\n{record.zone_line}")
