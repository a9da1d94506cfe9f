"""`gateway bounce`: what is understood of a report or of a server's words, and what was missed.

Reading reports needs no configuration.
"""

import sys
from pathlib import Path

import click

from gateway.cli.bounce_correct import correct, dismiss, export, list_
from gateway.cli.common import json_option, show_json
from gateway.mail.advice import LATER, OURS, PAUSE, SLOW, STOP, advise, read_advice
from gateway.mail.dsn.batch import run
from gateway.mail.explained import tell_mail
from gateway.mail.reasons import explain, is_recipient_fault, read_rules, read_words, rules_now
from gateway.mail.received import read_mail


@click.group()
def bounce() -> None:
    """Reports and what they mean, and what was missed at addresses that failed."""


for verb in (list_, correct, dismiss, export):
    bounce.add_command(verb)


@bounce.command("parse")
@click.option("--batch", is_flag=True, help="Read paths on standard input, write a JSON line for each.")
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False))
@json_option
def parse(batch: bool, files: tuple[str, ...], as_json: bool) -> None:
    """Show what is understood of a received mail, and why."""
    if batch:
        run(sys.stdin, sys.stdout)
        return
    if not files:
        raise click.UsageError("name a file, or use --batch")
    for name in files:
        mail = read_mail(Path(name).read_bytes())
        if as_json:
            show_json({"file": name, "mail": mail})
        else:
            click.echo("\n".join([f"{name}:" if len(files) > 1 else "", *tell_mail(mail)]).lstrip("\n"))


@bounce.command("try")
@click.argument("words")
@click.option("--advice", "rules", type=click.Path(exists=True, dir_okay=False), help="Rules of your own to try.")
@click.option("--reasons", type=click.Path(exists=True, dir_okay=False), help="Rules on reasons of your own to try.")
@json_option
def try_(words: str, rules: str | None, reasons: str | None, as_json: bool) -> None:
    """Show which reason a server's WORDS mean, and what we would do: "550 5.1.1 no such user"."""
    status = read_words(words)
    try:
        own = read_rules(Path(reasons).read_text("utf-8")) if reasons else ()
    except ValueError as error:
        raise click.ClickException(f"{reasons}: {error}") from None
    reason, rule = explain(status, (*own, *rules_now()))
    suppresses = is_recipient_fault(status.because(reason))
    try:
        advice = advise(status, read_advice(Path(rules).read_text("utf-8")) if rules else None)
    except ValueError as error:
        raise click.ClickException(f"{rules}: {error}") from None
    if as_json:
        show_json({"status": status, "reason": reason, "rule": rule, "suppresses": suppresses, "advice": advice})
        return
    click.echo(f"reason      {reason}\nby rule     {rule}")
    click.echo(f"outcome     {'failed for good' if status.permanent else 'passing: tried again'}")
    click.echo(f"suppresses  {'yes: the address itself is wrong' if suppresses else 'no'}")
    wait = f", for {advice.seconds} s" if advice.seconds else ""
    click.echo(f"we then     {_DOES[advice.word]}{wait}{f' (rule: {advice.rule})' if advice.rule else ''}")


_DOES = {
    LATER: "do nothing beyond this recipient",
    SLOW: "use fewer connections to that destination",
    PAUSE: "leave that destination alone",
    STOP: "give this recipient up, although the code says it may pass",
    OURS: "leave that destination alone and tell the operator: the fault is on our side",
}
