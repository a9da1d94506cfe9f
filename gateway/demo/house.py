"""`gateway run`: a whole gateway on loopback with a sample tenant, and a fake outside world that answers it.

Everything lives in one folder, made anew with `--fresh`. Some real documents are submitted over SMTP at the start, so
that the inbox shows a day's life: accepted, refused, full, bounced, answered.
"""

import asyncio
import contextlib
import json
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.cli.setup import make_installation
from gateway.config import Config, read_config, write_sample
from gateway.demo.samples import TENANT, document_mail, level0_mail, sample_documents, submit
from gateway.demo.world import World, start_world
from gateway.serve.house import House, open_house, utc_now
from gateway.store.database import Transaction
from gateway.store.tenants import add_credential, add_tenant, find_tenant, set_tenant
from gateway.store.users import add_user, list_users

PASSWORD = "demo-password"  # noqa: S105 printed on purpose: everything here listens on loopback only
CLERK = "clerk@acme.example"


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo that runs: the house and its outside world."""

    house: House
    world: World


def write_demo_config(folder: Path, *, submission: int, receiver: int, web: int) -> Config:
    """The demo's configuration file. The receiver's port must be a real one: the outside world is told it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "gateway.toml"
    changes = {
        "hostname": "mail.gateway.example",
        "shared_address": "noreply-invoice@gateway.example",
        "return_domain": "return.gateway.example",
        "inbox_domain": "inbox.gateway.example",
        "log": "warning",
        "submission.port": submission,
        "submission.tls_port": -1 if submission <= 0 else submission + 1,
        "receiver.port": receiver,
        "delivery.allow_private": True,
        "delivery.retry_first_seconds": 15,
        "web.port": web,
        "web.public_url": f"http://127.0.0.1:{web}",
    }
    path.write_text(write_sample(changes), "utf-8")
    return read_config(path)


def make_sample_tenant(tx: Transaction) -> None:
    """The sample tenant with a credential and a clerk, unless it is there."""
    if find_tenant(tx, TENANT.slug):
        return
    now = utc_now()
    made = add_tenant(
        tx, now, TENANT.slug, TENANT.company,
        language=TENANT.language, timezone=TENANT.timezone, contact_email=TENANT.contact_email,
        brand=dict(TENANT.brand),
    )  # fmt: skip
    set_tenant(tx, made.id)
    add_credential(tx, now, made.id, username=TENANT.username, password=PASSWORD, label="billing system")
    if not list_users(tx, made.id):
        add_user(tx, now, made.id, CLERK, PASSWORD, name="Maria Ceban", language="ro")


@contextlib.asynccontextmanager
async def open_demo(config: Config, *, pace: float = 1.0) -> AsyncIterator[Demo]:
    """The sample tenant's gateway with its outside world, while the context lasts."""
    make_installation(config)
    world = await start_world(return_to=("127.0.0.1", config.receiver.port), clock=utc_now, pace=pace)
    hosts = {"*": [("mx.world.example", "127.0.0.1", world.port)]}
    try:
        async with open_house(config, hosts=hosts) as house:
            await house.database.write(make_sample_tenant)
            yield Demo(house, world)
    finally:
        await world.stop()


def submit_samples(port: int, certificate: Path, told: Callable[[str], None]) -> None:
    """Hand the sample documents over by SMTP, as a billing system would, and one composed mail."""
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False  # it dials 127.0.0.1; the certificate names the host
    now = utc_now()
    for sample in sample_documents(now.date()):
        raw = document_mail(sample.document, now=now)
        answer = submit(
            "127.0.0.1", port, TENANT.username, PASSWORD, raw, TENANT.author, sample.recipients, tls=context
        )
        told(f"{', '.join(sample.recipients):58} {answer}")
    recipient = "ion.munteanu@client.example"
    raw = level0_mail(now=now, recipient=recipient)
    answer = submit("127.0.0.1", port, TENANT.username, PASSWORD, raw, TENANT.author, [recipient], tls=context)
    told(f"{recipient:58} {answer}")


def write_sample_invoice(folder: Path) -> Path:
    """A document to play with: the file that the printed command sends."""
    path = folder / "invoice.json"
    path.write_text(json.dumps(sample_documents(utc_now().date())[0].document, ensure_ascii=False, indent=2), "utf-8")
    return path


async def run_demo(config: Config, ready: Callable[[Demo], None], told: Callable[[str], None]) -> None:
    """Run until told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    write_sample_invoice(config.path("."))
    async with open_demo(config) as demo:
        ready(demo)
        certificate, _ = config.certificate_paths
        await asyncio.to_thread(submit_samples, demo.house.ports.submission, certificate, told)
        told("")
        await stop.wait()
