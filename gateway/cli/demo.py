"""`gateway run`: everything on loopback in one command, to look at and to play with."""

import asyncio
import shutil
import socket
import sys
from pathlib import Path

import click

from gateway.cli.common import console


@click.command()
@click.option(
    "--folder", default="demo-data", show_default=True, type=click.Path(file_okay=False), help="Where it lives."
)
@click.option("--fresh", is_flag=True, help="Begin anew: delete the folder first.")
@click.option("--port", default=8080, show_default=True, help="Port of the pages; the others follow it when taken.")
def run(folder: str, fresh: bool, port: int) -> None:
    """Run a whole gateway with a sample tenant and a fake outside world, and say what to look at."""
    from gateway.demo.house import Demo, run_demo, write_demo_config  # the whole house; other commands need not load it
    from gateway.serve.logs import set_up_logging

    path = Path(folder)
    if fresh and path.exists():
        if not (path / "gateway.toml").exists():
            raise click.ClickException(f"{path} does not look like a demo's folder; delete it yourself")
        shutil.rmtree(path)
    config = write_demo_config(path, submission=_free(2587), receiver=_free(2525), web=_free(port))
    set_up_logging(config.log)

    def ready(demo: Demo) -> None:
        _introduce(demo, path)

    asyncio.run(run_demo(config, ready, click.echo))


def _free(wanted: int) -> int:
    """The wanted port, or the next free one above it."""
    for port in range(wanted, wanted + 200, 2):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise click.ClickException(f"no free port from {wanted} on")


def _this_command() -> str:
    """How the person who reads can call this command: as they did, when it is not on the PATH."""
    called = sys.argv[0]
    if called.endswith(".py"):
        return f"{Path(sys.executable).name} {called}"
    return Path(called).name if shutil.which(Path(called).name) else called


def _introduce(demo: object, folder: Path) -> None:
    from gateway.demo.behaviours import TABLE  # the demo's rooms: other commands need not load them
    from gateway.demo.house import CLERK, PASSWORD, Demo  # the same
    from gateway.demo.samples import TENANT  # the same

    assert isinstance(demo, Demo)
    ports, config = demo.house.ports, folder / "gateway.toml"
    gateway, invoice = _this_command(), folder / "invoice.json"
    click.echo(f"""
The A/R mail gateway runs, with a sample tenant and a fake outside world. All of it listens on 127.0.0.1 only.

  inbox      http://127.0.0.1:{ports.web}/      log in as {CLERK}, password {PASSWORD}
  SMTP       127.0.0.1:{ports.submission} (STARTTLS) or {ports.submission_tls} (TLS)
             user {TENANT.username}, password {PASSWORD}
  returns    127.0.0.1:{ports.receiver}: bounces and replies come in here

Send another invoice from a second terminal, by SMTP or by command; then look at the inbox, or ask what became of it:

  curl smtp://127.0.0.1:{ports.submission} --user {TENANT.username}:{PASSWORD} --mail-from {TENANT.author} \\
    --mail-rcpt person@client.example -H "From: {TENANT.author}" \\
    -F "=@{invoice};type=application/vnd.ar-gateway.document+json;encoder=base64"
  {gateway} -c {config} send --to person@client.example {invoice}
  {gateway} -c {config} trace person@client.example

What a recipient does is chosen by the name before the @, at any domain:
""")
    out = console()
    for behaviour in TABLE:
        out.print(f"  {behaviour.local_part + '@':20} {behaviour.what:30} {behaviour.note}")
    click.echo("\nSubmitting the sample documents over SMTP:\n")
