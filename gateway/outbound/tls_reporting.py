"""Sends yesterday's TLS reports to the domains that want them (RFC 8460): one for each day and domain, by one node.

Run by `serve`. A domain's counts are taken out of the table in the transaction that queues its mail, so that however
many nodes there are, one reports. The mail is the operator's: signed for the shared domain, queued and tried like any
other, for a day. A domain without a record is not told; one whose DNS is silent is asked again, for three days.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import structlog

from gateway.mail.address import Address
from gateway.mail.verp import return_token
from gateway.outbound.dns_questions import NoSuchName, Questions, Silent
from gateway.outbound.https import Unfetched, fetch
from gateway.outbound.letterhead import Letterhead
from gateway.outbound.queue import Recipient, enqueue
from gateway.outbound.signing import Signer, SigningKey, load_key
from gateway.outbound.tls_report import MEDIA_TYPE, Submitter, Wanted, make_mail, make_report, pack, read_record
from gateway.store.database import Database, Transaction, new_id, random_bytes, to_ms
from gateway.store.domains import open_keys
from gateway.store.messages import Message, add_message
from gateway.store.schema import OPERATOR
from gateway.store.sealed import Seal
from gateway.store.threads import add_thread, find_thread
from gateway.store.tls_results import TlsResult, add_results, list_ended, take_results

log = structlog.get_logger()

EVERY_SECONDS = 900.0
SPREAD_SECONDS = 4 * 3600  # the reports of a day leave over so long, each at its own time (§4.1)
FIRST_SECONDS = 300  # after midnight: the last counts of all nodes are written by then
LATEST = timedelta(days=3)
AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class TlsReports:
    """What reporting needs. `find` gives addresses that may be dialled for a host."""

    database: Database
    seal: Seal
    letterhead: Letterhead
    questions: Questions
    find: Callable[[str], Awaitable[Sequence[str]]]
    https_port: int = 443

    async def run(self, clock: Callable[[], datetime]) -> None:
        """A round every quarter of an hour, for ever."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await self.round(clock())
            except Exception as error:
                log.error("tls.reports_failed", error=type(error).__name__, exc_info=True)

    async def round(self, now: datetime) -> int:
        """Report what is due; to how many domains."""
        ended = await self.database.read(list_ended, f"{now.astimezone(UTC):%Y-%m-%d}")
        due = [(day, domain) for day, domain in ended if due_at(day, domain) <= now]
        sent = 0
        for start in range(0, len(due), AT_ONCE):
            sent += sum(await asyncio.gather(*(self._report(*one, now) for one in due[start : start + AT_ONCE])))
        return sent

    async def _report(self, day: str, domain: str, now: datetime) -> bool:
        try:
            wanted = read_record((await self.questions.texts(f"_smtp._tls.{domain}"))[0])
        except NoSuchName:
            wanted = Wanted()
        except Silent:
            if _ended(day) + LATEST > now:
                return False
            wanted = Wanted()
        results = await self.database.write(self._take, day, domain, wanted, now)
        if not results or not (wanted.mail or wanted.web):
            return False
        posted = [await self._post(place, results) for place in wanted.web]
        if wanted.web and not any(posted) and not wanted.mail and _ended(day) + LATEST > now:
            await self.database.write(add_results, results)  # the next round tries again
            return False
        return True

    def _take(self, tx: Transaction, day: str, domain: str, wanted: Wanted, now: datetime) -> list[TlsResult]:
        """The counts of a day and domain, and the mails that tell them, in one transaction."""
        results = take_results(tx, day, domain)
        if results and wanted.mail:
            keys = open_keys(tx, self.seal, OPERATOR, self.letterhead.shared.domain)
            signer = Signer([SigningKey(k.domain, k.selector, k.algorithm, load_key(private)) for k, private in keys])
            for address in wanted.mail:
                self._queue(tx, make_report(results, self._submitter), domain, address, signer, now)
        return results

    @property
    def _submitter(self) -> Submitter:
        return Submitter(self.letterhead.hostname, f"postmaster@{self.letterhead.shared.domain}")

    def _queue(
        self, tx: Transaction, report: dict[str, Any], domain: str, to: Address, signer: Signer, now: datetime
    ) -> None:
        now_ms, key, made = to_ms(now), f"tls-report/{domain}"[:230], new_id()
        thread = find_thread(tx, OPERATOR, key)
        thread_id = thread.id if thread else add_thread(tx, now_ms, OPERATOR, key=key, subject=f"TLS reports: {domain}")
        message_id, author = self.letterhead.rfc_message_id(made), self.letterhead.shared
        raw = signer.sign(make_mail(report, domain, to, author, message_id, now), now)
        message = Message(
            tenant_id=OPERATOR, id=made, thread_id=thread_id, direction="out", kind="relay", created_at=now,
            rfc_message_id=message_id, author=str(author), recipients=str(to),
            subject=f"Report Domain: {domain} Submitter: {self.letterhead.hostname} Report-ID: <{report['report-id']}>",
        )  # fmt: skip
        add_message(tx, message, raw)
        recipient = Recipient(str(to), return_token(random_bytes(10)))
        expires_at = now_ms + 86_400_000  # §4.1: reports are tried for a day
        enqueue(tx, now_ms, OPERATOR, made, thread_id, [recipient], due_at=now_ms, expires_at=expires_at)

    async def _post(self, place: tuple[str, int, str], results: Sequence[TlsResult]) -> bool:
        """Hand the report to a web server; whether it took it."""
        host, port, path = place
        port = self.https_port if port == 443 else port
        body = pack(make_report(results, self._submitter))
        try:
            answer = await fetch(host, await self.find(host), path, port=port, post=(MEDIA_TYPE, body))
        except Unfetched as error:
            log.info("tls.report_refused", domain=results[0].domain, host=host, why=str(error))
            return False
        if answer.code // 100 != 2:
            log.info("tls.report_refused", domain=results[0].domain, host=host, why=f"it answered {answer.code}")
        return answer.code // 100 == 2


def _ended(day: str) -> datetime:
    return datetime.combine(date.fromisoformat(day), time(), UTC) + timedelta(days=1)


def due_at(day: str, domain: str) -> datetime:
    """When the report of a day and domain leaves: the same on every node, and not all at midnight."""
    dice = int.from_bytes(hashlib.sha256(f"{day} {domain}".encode()).digest()[:4])
    return _ended(day) + timedelta(seconds=FIRST_SECONDS + dice % SPREAD_SECONDS)
