"""The one door in, as a serving gateway has it: mail is read in workers, its senders are checked in DNS.

Called when a house is opened; every way mail comes in (the receiver's ports, tenants' mailboxes) is given the same.
"""

from collections.abc import Sequence
from functools import partial

from gateway.config import Config, ConfigError
from gateway.inbound.destinations import Names
from gateway.inbound.reception import Reception, Unreadable
from gateway.inbound.sender_checks import SenderChecks
from gateway.mail.reasons import ask_first, read_rules
from gateway.mail.received import ReceivedMail, judge_again, read_mail, read_mails
from gateway.outbound.advice_file import AdviceFile
from gateway.outbound.letterhead import Letterhead
from gateway.outbound.mx import Resolver
from gateway.store.database import Database
from gateway.wire.workers import WorkerFailed, WorkerPool


def make_reception(
    config: Config, database: Database, letterhead: Letterhead, workers: WorkerPool, resolver: Resolver | None
) -> Reception:
    """The reception; without a resolver nobody's sender is checked. Raises ConfigError."""
    _ask_own_reasons(config)
    checks = SenderChecks(resolver.questions.lookup, workers.run) if resolver is not None else None
    seconds = config.workers.parse_seconds
    read, read_some = partial(_read, workers, seconds), partial(_read_some, workers, seconds)
    return Reception(database, read, names_of(letterhead), checks, read_some)


def names_of(letterhead: Letterhead) -> Names:
    """The gateway's names as incoming mail knows them."""
    return Names(
        letterhead.return_domain, letterhead.inbox_domain, letterhead.reply_key, letterhead.hostname,
        letterhead.shared.key,
    )  # fmt: skip


def _ask_own_reasons(config: Config) -> None:
    """Let the operator's rules on why mail failed come before ours, in this process. Raises ConfigError."""
    path = config.path(config.delivery.reasons) if config.delivery.reasons else None
    try:
        ask_first(AdviceFile(path, read_rules, "delivery.reasons") if path else None)
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"delivery.reasons: {path} cannot be used: {words}; mend the file, or empty the key for our rules alone"
        ) from None


async def _read(workers: WorkerPool, seconds: float, raw: bytes) -> ReceivedMail:
    try:
        return judge_again(await workers.run(read_mail, raw, seconds=seconds))
    except WorkerFailed as error:
        if error.kind != "crashed":
            raise Unreadable(error.kind) from None
    try:  # a worker may die for reasons that have nothing to do with this mail; twice, it is the mail
        return judge_again(await workers.run(read_mail, raw, seconds=seconds))
    except WorkerFailed as error:
        await workers.run(read_mail, b"", seconds=10.0)  # if not even this can be read, it is we: 451
        raise Unreadable(error.kind) from None


async def _read_some(workers: WorkerPool, seconds: float, raws: Sequence[bytes]) -> list[ReceivedMail] | None:
    """Several mails in the time of one; when that is not enough, or one breaks the worker, each is read alone."""
    try:
        return [judge_again(mail) for mail in await workers.run(read_mails, raws, seconds=seconds)]
    except WorkerFailed:
        return None
