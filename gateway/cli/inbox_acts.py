"""`gateway inbox close|reopen|wait|snooze|assign|spam|tag|note|promise|reply|canned …`: what clerks do, in a shell.

Each command calls the function that the page calls, as "admin"; a thread is named by its id.
"""

import asyncio
import mimetypes
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from gateway.cli.common import (
    Context,
    json_option,
    owner_of,
    pass_context,
    show_json,
    show_rows,
    tenant_option,
    told,
    utc_now,
)
from gateway.cli.send import open_door
from gateway.inbox import acting, canning, noting, promising, replying
from gateway.outbound.attachments import Attachment
from gateway.store.canned import list_canned

BY = "admin"
threads_argument = click.argument("threads", nargs=-1, required=True, metavar="THREAD...")
thread_argument = click.argument("thread")


def _act(
    context: Context, slug: str, threads: tuple[str, ...], as_json: bool, act: Callable[..., acting.Done], *more: Any
) -> None:
    ids = [one.lower() for one in threads]
    done = context.write(act, utc_now(), owner_of(context, slug)[0], ids, BY, *more)
    left = [one for one in ids if one not in done.threads]
    text = "".join(
        [f"changed {', '.join(done.threads)}\n"] * bool(done.threads) + [f"{one} is so already\n" for one in left]
    )
    told(as_json, text.strip(), changed=done.threads, unchanged=left, undo=done.undo)


def _simple(name: str, act: Callable[..., acting.Done], about: str) -> click.Command:
    @click.command(name, help=about)
    @tenant_option
    @threads_argument
    @json_option
    @pass_context
    def command(context: Context, slug: str, threads: tuple[str, ...], as_json: bool) -> None:
        _act(context, slug, threads, as_json, act)

    return command


@click.command("snooze")
@tenant_option
@threads_argument
@click.option("--until", required=True, help="When they open again, where the tenant is: 2026-12-01T09:00.")
@json_option
@pass_context
def snooze(context: Context, slug: str, threads: tuple[str, ...], until: str, as_json: bool) -> None:
    """Put threads off until a time, or until mail comes."""
    _act(context, slug, threads, as_json, acting.snooze, _moment(until, owner_of(context, slug)[1]))


def _moment(text: str, zone: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"{text!r} is no time; write 2026-12-01T09:00") from None
    return (found if found.tzinfo else found.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


@click.command("assign")
@tenant_option
@threads_argument
@click.option("--to", "to", default="", help="The user's e-mail; left out: nobody's.")
@json_option
@pass_context
def assign(context: Context, slug: str, threads: tuple[str, ...], to: str, as_json: bool) -> None:
    """Give threads to a user."""
    _act(context, slug, threads, as_json, acting.assign, to)


@click.command("tag")
@tenant_option
@threads_argument
@click.option("--name", required=True, help="The tag.")
@click.option("--remove", is_flag=True, help="Take it away.")
@json_option
@pass_context
def tag(context: Context, slug: str, threads: tuple[str, ...], name: str, remove: bool, as_json: bool) -> None:
    """Give threads a tag, or take it away."""
    _act(context, slug, threads, as_json, acting.untag if remove else acting.tag, name)


@click.command("note")
@tenant_option
@thread_argument
@click.argument("text")
@json_option
@pass_context
def note(context: Context, slug: str, thread: str, text: str, as_json: bool) -> None:
    """Note TEXT in a thread for the clerks; it never leaves."""
    made = context.write(noting.add_note, utc_now(), owner_of(context, slug)[0], thread.lower(), text, BY)
    told(as_json, f"noted in {thread}", note=made, thread=thread)


@click.command("promise")
@tenant_option
@thread_argument
@click.option("--on", "on", type=click.DateTime(["%Y-%m-%d"]), help="The day by which the customer pays.")
@click.option("--amount", default="", help="When only a part was promised, how much.")
@click.option("--forget", is_flag=True, help="It holds no more.")
@json_option
@pass_context
def promise(
    context: Context, slug: str, thread: str, on: datetime | None, amount: str, forget: bool, as_json: bool
) -> None:  # fmt: skip
    """Note a promise to pay: reminders sleep until that day, and the thread opens when it is broken."""
    tenant_id, now = owner_of(context, slug)[0], utc_now()
    if forget:
        known = context.write(promising.forget_promise, now, tenant_id, thread.lower(), BY)
        told(as_json, "forgotten" if known else "nothing was promised", thread=thread, forgotten=known)
        return
    if on is None:
        raise click.UsageError("name the day with --on, or --forget")
    context.write(promising.promise, now, tenant_id, thread.lower(), on.date(), BY, amount=amount)
    told(as_json, f"{thread}: promised by {on:%Y-%m-%d}", thread=thread, on=f"{on:%Y-%m-%d}", amount=amount)


@click.command("reply")
@tenant_option
@thread_argument
@click.option("--message", default="", help="The mail that is answered; left out: the last of a person.")
@click.option("--all", "everyone", is_flag=True, help="Answer everybody whom it named.")
@click.option("--forward", is_flag=True, help="Pass it on, with its files, to --to.")
@click.option("--to", "to", multiple=True, help="A recipient, instead of whom the mail names.")
@click.option("--cc", "cc", multiple=True, help="Another one, with --to.")
@click.option("--subject", default="", help="Another subject.")
@click.option("--file", "files", multiple=True, type=click.Path(exists=True, dir_okay=False), help="A file to attach.")
@click.option("--canned", default="", help="A canned answer, filled, instead of standard input.")
@click.option("--then", type=click.Choice(replying.THEN[1:]), default="waiting", show_default=True,
              help="How the thread stands afterwards.")  # fmt: skip
@json_option
@pass_context
def reply(context: Context, /, slug: str, thread: str, as_json: bool, canned: str, **wanted: Any) -> None:
    """Answer a thread with the text on standard input; it leaves after ten seconds."""
    tenant_id = owner_of(context, slug)[0]
    text = context.read(canning.fill_canned, tenant_id, canned, thread.lower()) if canned else sys.stdin.read()
    files = tuple(_file(Path(name)) for name in wanted.pop("files"))
    made = replying.Reply(
        tenant_id=tenant_id, thread_id=thread.lower(), by=BY, text=text, files=files,
        message_id=wanted.pop("message").lower(), **wanted,
    )  # fmt: skip
    sent = asyncio.run(replying.reply(open_door(context), utc_now(), made))
    told(as_json, f"{sent.text}", message=sent.message_id, thread=thread, leaves_at=sent.leaves_at.isoformat())


def _file(path: Path) -> Attachment:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Attachment(path.name, kind, path.read_bytes())


@click.group("canned")
def canned() -> None:
    """Canned answers, with fields such as {number} and {balance}."""


@canned.command("list")
@tenant_option
@json_option
@pass_context
def canned_list(context: Context, slug: str, as_json: bool) -> None:
    """List the canned answers."""
    found = context.read(list_canned, owner_of(context, slug)[0])
    if as_json:
        show_json(found)
        return
    rows = [{"id": one.id, "language": one.language, "name": one.name, "text": one.body[:100]} for one in found]
    show_rows(rows, False, empty="there are no canned answers")


@canned.command("set")
@tenant_option
@click.option("--id", "canned_id", default="", help="The answer that is changed; left out: a new one.")
@click.option("--language", default="ro", show_default=True, help="ro, ru or en.")
@click.option("--name", required=True, help="What it is called.")
@click.argument("text")
@json_option
@pass_context
def canned_set(
    context: Context, slug: str, canned_id: str, language: str, name: str, text: str, as_json: bool
) -> None:  # fmt: skip
    """Keep TEXT as a canned answer in a language."""
    tenant_id, now, words = owner_of(context, slug)[0], utc_now(), {"lang": language, "name": name, "body": text}
    if canned_id:
        context.write(canning.change_canned, now, tenant_id, BY, canned_id, **words)
    else:
        canned_id = context.write(canning.add_canned, now, tenant_id, BY, **words)
    told(as_json, f"kept as {canned_id}", id=canned_id, language=language)


@canned.command("remove")
@tenant_option
@click.option("--language", default="", help="Only that one; left out: all.")
@click.argument("canned_id", metavar="ID")
@json_option
@pass_context
def canned_remove(context: Context, slug: str, canned_id: str, language: str, as_json: bool) -> None:
    """Forget a canned answer."""
    context.write(canning.remove_canned, owner_of(context, slug)[0], canned_id, language)
    told(as_json, f"removed {canned_id}", id=canned_id)


COMMANDS = (
    _simple("close", acting.close, "Close threads: nothing more is to be done."),
    _simple("reopen", acting.reopen, "Put threads back on the list."),
    _simple("wait", acting.wait, "Let threads wait for the customer."),
    _simple("spam", acting.mark_spam, "Call threads spam: mail to them opens nothing."),
    snooze, assign, tag, note, promise, reply, canned,
)  # fmt: skip
