"""What clerks do with threads, one or many at once: close, reopen, wait, snooze, assign, spam, tag; and undo it.

Called by the pages, the CLI and the HTTP API. Each change is an event that names who made it; each act returns what
undoes it for ten seconds. Threads on which an act changes nothing are left out of its answer. A thread that is not the
tenant's refuses the whole act (404).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from gateway.mail.reply import Refused
from gateway.store.database import Transaction, to_ms
from gateway.store.events import add_event
from gateway.store.tags import read_tag, tag_thread, untag_thread
from gateway.store.threads import (
    CLOSED,
    OPEN,
    SPAM,
    WAITING,
    Standing,
    get_thread,
    lane_of,
    put_standing,
    read_standings,
)
from gateway.store.undoing import put_undo, take_undo
from gateway.store.users import find_assignee

MOST = 500  # threads in one act
LONGEST_SNOOZE = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Done:
    """What an act changed. `undo` brings it back within ten seconds (`undo`); "" when nothing was changed."""

    threads: tuple[str, ...]
    undo: str


REOPENED = "reopened"  # the chip of a thread that a person opened
Change = Callable[[Standing], Standing | None]  # how a thread stands after it; None: it changes nothing


def close(tx: Transaction, now: datetime, tenant_id: str, thread_ids: Sequence[str], by: str) -> Done:
    """Nothing more is to be done in them."""

    def change(was: Standing) -> Standing | None:
        return None if was.state in (CLOSED, SPAM) else _to(was, CLOSED)

    return _act(tx, now, tenant_id, thread_ids, by, change, "thread.closed")


def reopen(tx: Transaction, now: datetime, tenant_id: str, thread_ids: Sequence[str], by: str) -> Done:
    """They are to be done: closed, waiting, snoozed or spam until now. An earlier reason is their chip again."""

    def change(was: Standing) -> Standing | None:
        return None if was.state == OPEN else _to(replace(was, chip=was.chip or REOPENED), OPEN)

    return _act(tx, now, tenant_id, thread_ids, by, change, "thread.opened")


def wait(tx: Transaction, now: datetime, tenant_id: str, thread_ids: Sequence[str], by: str) -> Done:
    """The customer is to answer: they open again by themselves when mail comes."""

    def change(was: Standing) -> Standing | None:
        return None if was.state == WAITING and was.snoozed_until is None else _to(was, WAITING)

    return _act(tx, now, tenant_id, thread_ids, by, change, "thread.waiting")


def snooze(tx: Transaction, now: datetime, tenant_id: str, thread_ids: Sequence[str], by: str, until: datetime) -> Done:
    """Out of the way until then, or until mail comes. Raises Refused for a time that is past or a year ahead."""
    if not now < until <= now + LONGEST_SNOOZE:
        raise Refused(501, "5.5.4", f"{until:%Y-%m-%d %H:%M} is past or more than a year ahead; name a time to come")
    until_ms = to_ms(until)

    def change(was: Standing) -> Standing | None:
        return None if was.snoozed_until == until_ms else _to(was, WAITING, until_ms)

    return _act(tx, now, tenant_id, thread_ids, by, change, "thread.snoozed", until=until.isoformat())


def mark_spam(tx: Transaction, now: datetime, tenant_id: str, thread_ids: Sequence[str], by: str) -> Done:
    """They are spam: mail that comes to them is kept and opens nothing. `reopen` takes that back."""

    def change(was: Standing) -> Standing | None:
        return None if was.state == SPAM else _to(was, SPAM)

    return _act(tx, now, tenant_id, thread_ids, by, change, "thread.spam")


def assign(tx: Transaction, now: datetime, tenant_id: str, thread_ids: Sequence[str], by: str, to: str) -> Done:
    """They are a person's to do; `to` is a user's id or e-mail, "" for nobody's. Raises Refused for an unknown one."""
    found = find_assignee(tx, tenant_id, to) if to else None
    if to and found is None:
        raise Refused(550, "5.1.1", f"{to[:100]!r} is no user of this tenant who may work in its inbox")
    user_id, name = (found.id, found.name or found.email) if found else ("", "")

    def change(was: Standing) -> Standing | None:
        return None if was.assignee == user_id else replace(was, assignee=user_id)

    return _act(tx, now, tenant_id, thread_ids, by, change, "thread.assigned" if to else "thread.unassigned", to=name)


def tag(tx: Transaction, now: datetime, tenant_id: str, thread_ids: Sequence[str], by: str, name: str) -> Done:
    """Give them a tag. Raises Refused for what is no tag."""
    return _tag(tx, now, tenant_id, thread_ids, by, read_tag(name), tag_thread)


def untag(tx: Transaction, now: datetime, tenant_id: str, thread_ids: Sequence[str], by: str, name: str) -> Done:
    """Take a tag away from them."""
    return _tag(tx, now, tenant_id, thread_ids, by, read_tag(name), untag_thread)


_TAGGING: dict[Callable[[Transaction, str, str, str], bool], str] = {
    tag_thread: "thread.tagged",
    untag_thread: "thread.untagged",
}


def _tag(
    tx: Transaction, now: datetime, tenant_id: str, thread_ids: Sequence[str], by: str, name: str,
    how: Callable[[Transaction, str, str, str], bool],
) -> Done:  # fmt: skip
    standings = _need(tx, tenant_id, thread_ids)
    changed = [one for one in standings if how(tx, tenant_id, one, name)]
    for one in changed:
        add_event(tx, to_ms(now), tenant_id, _TAGGING[how], thread_id=one, data={"by": by, "tag": name})
    data = {"tag": name, "added": how is tag_thread, "threads": changed}
    return Done(tuple(changed), put_undo(tx, to_ms(now), tenant_id, by, data) if changed else "")


def _to(was: Standing, state: str, snoozed_until: int | None = None) -> Standing:
    lane = lane_of(state, was.chip, snoozed=snoozed_until is not None)
    unread = 0 if state in (CLOSED, SPAM) else was.unread
    return replace(was, state=state, lane=lane, unread=unread, snoozed_until=snoozed_until)


def _need(tx: Transaction, tenant_id: str, thread_ids: Sequence[str]) -> dict[str, Standing]:
    wanted = list(dict.fromkeys(thread_ids))
    if len(wanted) > MOST:
        raise Refused(552, "5.5.3", f"{len(wanted)} threads at once; {MOST} are the most")
    found = read_standings(tx, tenant_id, wanted)
    if missing := [one for one in wanted if one not in found]:
        raise Refused(404, "5.1.1", f"there is no thread {missing[0][:40]}")
    return {one: found[one] for one in wanted}


def _act(
    tx: Transaction, now: datetime, tenant_id: str, thread_ids: Sequence[str], by: str, change: Change, event: str,
    **data: Any,
) -> Done:  # fmt: skip
    kept = []
    for thread_id, was in _need(tx, tenant_id, thread_ids).items():
        after = change(was)
        if after is None:
            continue
        put_standing(tx, tenant_id, thread_id, after, to_ms(now) if event == "thread.opened" else 0)
        more = {"chip": after.chip} if event == "thread.opened" else {}
        add_event(tx, to_ms(now), tenant_id, event, thread_id=thread_id, data={"by": by, **more, **data})
        kept.append((thread_id, asdict(was), asdict(after)))
    undo_id = put_undo(tx, to_ms(now), tenant_id, by, {"standings": kept}) if kept else ""
    return Done(tuple(one[0] for one in kept), undo_id)


def undo(tx: Transaction, now: datetime, tenant_id: str, undo_id: str, by: str) -> tuple[str, ...]:
    """Bring back how threads stood before an act of this person; the threads.

    One that was changed since by somebody else stays as it is. Raises Refused 409 when it is too late.
    """
    kept, now_ms = take_undo(tx, to_ms(now), tenant_id, undo_id, by), to_ms(now)
    if kept is None:
        raise Refused(409, "5.5.1", "it is too late to undo that; do the opposite instead")
    if "tag" in kept:
        how = untag_thread if kept["added"] else tag_thread
        changed = [one for one in kept["threads"] if how(tx, tenant_id, one, kept["tag"])]
        for one in changed:
            data = {"by": by, "tag": kept["tag"]}
            add_event(tx, now_ms, tenant_id, _TAGGING[how], thread_id=one, data=data)
        return tuple(changed)
    found = read_standings(tx, tenant_id, [one[0] for one in kept["standings"]])
    back = []
    for thread_id, was, after in kept["standings"]:
        now_is = found.get(thread_id)  # that somebody has seen it meanwhile changes nothing
        if now_is and replace(now_is, unread=0) == replace(Standing(**after), unread=0):
            put_standing(tx, tenant_id, thread_id, Standing(**was))
            data = {"by": by, "state": was["state"]}
            add_event(tx, now_ms, tenant_id, "thread.restored", thread_id=thread_id, data=data)
            back.append(thread_id)
    return tuple(back)


def need_thread_of(tx: Transaction, tenant_id: str, thread_id: str) -> str:
    """The thread's id. Raises Refused 404 when it is not the tenant's."""
    if get_thread(tx, tenant_id, thread_id) is None:
        raise Refused(404, "5.1.1", f"there is no thread {thread_id[:40]}")
    return thread_id
