"""`gateway init` and `gateway serve`."""

import os
from datetime import timedelta
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from gateway.cli.common import Context, pass_context, utc_now, working
from gateway.cli.domain import make_domain
from gateway.config import Config, write_sample
from gateway.mail.address import parse_address
from gateway.store.database import Database
from gateway.store.domains import list_keys
from gateway.store.schema import OPERATOR
from gateway.store.sealed import make_secret, read_key_file, write_key_file
from gateway.store.upgrade import upgrade


@click.command()
@click.option("--domain", default="", help="Your domain: names the gateway mail.DOMAIN and its addresses after it.")
@click.option("--database", default="", help="postgresql://… instead of SQLite in the data folder.")
@pass_context
def init(context: Context, domain: str, database: str) -> None:
    """Make configuration, keys, certificate and database; upgrade them when they exist. Safe to repeat."""
    if not context.path.exists():
        context.path.write_text(write_sample(_names(domain) | ({"database": database} if database else {})), "utf-8")
        click.echo(f"wrote {context.path}")
    make_installation(context.config)
    shared = parse_address(context.config.shared_address).domain
    if shared.endswith(".example"):
        click.echo(f"the names in {context.path} are examples, good for a trial; put your own there and run this again")
    click.echo(f"ready. Publish the records of `gateway domain records {shared}`, then:")
    click.echo("  gateway tenant add SLUG --company NAME")
    click.echo("  gateway serve")


def _names(domain: str) -> dict[str, str]:
    if not domain:
        return {}
    return {
        "hostname": f"mail.{domain}",
        "shared_address": f"noreply-invoice@{domain}",
        "return_domain": f"return.{domain}",
        "inbox_domain": f"inbox.{domain}",
    }


def make_installation(config: Config) -> None:
    """What a configuration needs beside it: folder, key file, certificate, schema, the shared domain's keys."""
    config.data_path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not config.key_path.exists():
        write_key_file(config.key_path)
    seal = read_key_file(config.key_path)
    certificate, key = config.certificate_paths
    if not config.tls_certificate and not certificate.exists():
        write_certificate(certificate, key, config.hostname)
    database = Database(config.database_url)
    try:
        with working("bringing the database up to date"):
            upgrade(database.engine)
        database.write_now(make_secret, seal, OPERATOR, "reply-key")
        shared = parse_address(config.shared_address).domain
        if not database.read_now(list_keys, OPERATOR, shared):
            make_domain(database, seal, OPERATOR, shared, ("rsa", "ed25519"))
    finally:
        database.close()


def write_certificate(certificate: Path, key: Path, hostname: str) -> None:
    """A self-signed certificate for a year, so that STARTTLS works from the first day; replace it with a real one."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:64])])
    now = utc_now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname), x509.DNSName("localhost")]), critical=False)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    descriptor = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@click.command()
@click.option("--workers", type=int, default=1, show_default=True, help="How many processes serve side by side.")
@pass_context
def serve(context: Context, workers: int) -> None:
    """Run the gateway until it is told to stop (SIGTERM, Ctrl-C)."""
    if workers != 1:
        from gateway.serve.supervise import supervise  # a supervisor needs no room of the house

        supervise(context.config, workers)
        return
    from gateway.serve.process import run  # loads every room; other commands need not wait for that

    run(context.config)
