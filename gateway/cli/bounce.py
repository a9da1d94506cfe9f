"""`gateway bounce`: what the gateway understands of a report or of a server's words. Needs no configuration."""

import sys
from pathlib import Path

import click

from gateway.cli.common import json_option, show_json
from gateway.mail.dsn.batch import run
from gateway.mail.reasons import explain, is_recipient_fault, read_words
from gateway.mail.received import read_mail


@click.group()
def bounce() -> None:
    """Reports and what they mean."""


@bounce.command("parse")
@click.option("--batch", is_flag=True, help="Read paths on standard input, write a JSON line for each.")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False))
def parse(batch: bool, files: tuple[str, ...]) -> None:
    """Show what is understood of a received mail, and why."""
    if batch:
        run(sys.stdin, sys.stdout)
        return
    if not files:
        raise click.UsageError("name a file, or use --batch")
    for name in files:
        show_json({"file": name, "mail": read_mail(Path(name).read_bytes())})


@bounce.command("try")
@click.argument("words")
@json_option
def try_(words: str, as_json: bool) -> None:
    """Show which reason a server's WORDS mean: "550 5.1.1 no such user"."""
    status = read_words(words)
    reason, rule = explain(status)
    suppresses = is_recipient_fault(status.because(reason))
    if as_json:
        show_json({"status": status, "reason": reason, "rule": rule, "suppresses": suppresses})
        return
    click.echo(f"reason      {reason}\nby rule     {rule}")
    click.echo(f"outcome     {'failed for good' if status.permanent else 'passing: tried again'}")
    click.echo(f"suppresses  {'yes: the address itself is wrong' if suppresses else 'no'}")
