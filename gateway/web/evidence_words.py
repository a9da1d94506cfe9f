"""The words of an evidence in its reader's language: the timeline as a page for paper, and the README.

`teller` makes what `inbox.evidence_file.pack` asks; the page is drawn in a worker (`outbound.printing`). Times are told
in the tenant's zone and in UTC. What is accepted by a server is never called delivered; the page says what each means.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.inbox.evidence import Evidence
from gateway.inbox.evidence_file import ATTEMPTS, EVENTS, MANIFEST, TIMELINE, Entry, Packed, attempts_of
from gateway.inbox.timeline import msgid
from gateway.store.tenants import Tenant
from gateway.web.pages import environment
from gateway.web.translation import LANGUAGES, Reader, translation, zone

LINES_MOST = 600  # of each table on paper: a worker has 30 s for it; the files beside it have all
FILES: dict[str, str] = {
    "sent/": msgid("the messages that were sent, byte for byte as they were signed and given to the servers"),
    "pdf/": msgid("PDF files: those that went with the messages, and those kept of the document"),
    "reports/": msgid("the reports of mail servers, byte for byte as they came"),
    "replies/": msgid("the answers, and other mail that came, byte for byte as it came"),
    TIMELINE: msgid("what happened, in order, for people"),
    ATTEMPTS: msgid("every attempt to give a message to a server: when, to which, how it was encrypted, what it said"),
    EVENTS: msgid("what happened, in order, for programs"),
    MANIFEST: msgid("the size and the SHA-256 of every file, what it is, and where its bytes come from"),
}
ACCEPTED = msgid(
    "“Accepted by the recipient's server” means that the server took the message over and answered so; it does not say "
    "that a person has read it, nor in which folder it lies."
)
REPORTED = msgid(
    "That a message is in the mailbox is said only where a report of the recipient's server said so; such reports are "
    "among the files."
)
CHECK = msgid(
    "A file is unchanged when its SHA-256 is the one of the manifest. The DKIM signature of a message proves which "
    "domain signed it, for as long as the domain's DNS shows the key."
)
LEFT_OUT = msgid("Not everything fitted into this file; what is missing is named in the manifest.")


@dataclass(frozen=True, slots=True)
class Stamp:
    """A time in two clocks: the tenant's, with its distance from UTC, and UTC itself."""

    local: str
    utc: str


class Paper:
    """How times and sizes are written on paper, for one tenant and language."""

    def __init__(self, tenant: Tenant, language: str) -> None:
        self.language = language if language in LANGUAGES else "ro"
        self.reader = Reader(self.language, zone(tenant.timezone))
        self.zone_name = tenant.timezone or "UTC"

    def stamp(self, at: datetime) -> Stamp:
        """`24.11.2026 11:30:05 +02:00` and `2026-11-24 09:30:05 UTC`."""
        here = at.astimezone(self.reader.zone)
        offset = f"{here:%z}"
        day = self.reader.day(here.date().isoformat())
        return Stamp(f"{day} {here:%H:%M:%S} {offset[:3]}:{offset[3:5]}", f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC")


def teller(tenant: Tenant, language: str) -> Callable[[Evidence, Packed], tuple[str, str]]:
    """What tells an evidence in a language (ro, ru, en; another is Romanian): (the README, the timeline's page)."""
    paper = Paper(tenant, language)

    def tell(found: Evidence, packed: Packed) -> tuple[str, str]:
        return _readme(found, packed, paper), _page(found, packed, paper)

    return tell


def _page(found: Evidence, packed: Packed, paper: Paper) -> str:
    attempts = attempts_of(found)
    # what each attempt said has a table of its own
    lines = [line for line in found.lines if line.what != "attempt"]
    return (
        environment(paper.language)
        .get_template("evidence/timeline.html")
        .render(
            found=found,
            paper=paper,
            reader=paper.reader,
            sent=_files(packed, "sent"),
            pdfs=_files(packed, "pdf"),
            came=[*_files(packed, "report"), *_files(packed, "reply")],
            mails={made.message.id: made for made in found.view.messages},
            attempts=attempts[:LINES_MOST],
            more_attempts=max(len(attempts) - LINES_MOST, 0),
            lines=lines[:LINES_MOST],
            more_lines=max(len(lines) - LINES_MOST, 0),
            missing=bool(packed.left_out) or found.cut,
            texts=(ACCEPTED, REPORTED, CHECK),
            left_out=LEFT_OUT,
            files={"attempts": ATTEMPTS, "events": EVENTS, "manifest": MANIFEST},
        )
    )


def _files(packed: Packed, what: str) -> list[Entry]:
    return [one for one in packed.entries if one.what == what]


def _readme(found: Evidence, packed: Packed, paper: Paper) -> str:
    say = translation(paper.language).gettext
    there = {one.name.split("/")[0] + "/" for one in packed.entries if "/" in one.name}
    named = [name for name in FILES if not name.endswith("/") or name in there]
    stamp = paper.stamp(found.at)
    about = " · ".join(part for part in (found.view.subject(), found.view.customer()) if part)
    texts = [ACCEPTED, REPORTED, CHECK, *([LEFT_OUT] if packed.left_out or found.cut else [])]
    return "\n".join(
        [
            say("How it was mailed, with proof"),
            f"{found.tenant.company} · {found.view.thread.document_number or found.view.thread.id}",
            about,
            f"{say('Made on')} {stamp.local} ({stamp.utc})",
            "",
            *(f"{name:<16}{say(FILES[name])}" for name in named),
            "",
            *(say(text) for text in texts),
            "",
        ]
    )
