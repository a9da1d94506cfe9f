"""How fast a mailbox is taken in: 10,000 mails from a real Dovecot, stored durably, and judged, beside its peers.

    python -m bench.imap [--mails 10000] [--takes all|reports_and_replies] [--boxes 2000 --idle 32]

Peers: mbsync with its fsync (when it is installed), and imapclient in batches of 200 with the standard library's
parser, which stores nothing. Everything runs on this machine; the mailbox is a maildir of 3 to 60 KB mails in the page
cache. Ours is the poller's own pull with the loop that judges what it has spooled beside it: worker processes, the
database (SQLite with synchronous=FULL, or --database), cursor and all. Two figures: until the last mail is on disk with
the cursor behind it, and until the last is in its thread. How long another door's commits wait meanwhile is printed.
"""

import argparse
import asyncio
import email
import email.policy
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import enumerate as enumerate_threads

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from postroom.dovecot import PASSWORD, Dovecot, start_dovecot  # noqa: E402

from gateway.cli.setup import make_installation  # noqa: E402
from gateway.config import Config  # noqa: E402
from gateway.inbound.destinations import Names  # noqa: E402
from gateway.inbound.imap_poller import ImapPoller, Pace  # noqa: E402
from gateway.inbound.imap_pull import Pull, Threads  # noqa: E402
from gateway.inbound.imap_reading import Reader  # noqa: E402
from gateway.inbound.imap_session import Login, open_session  # noqa: E402
from gateway.inbound.imap_wire import Patience  # noqa: E402
from gateway.inbound.reception import Reception  # noqa: E402
from gateway.inbound.spooling import Spooling  # noqa: E402
from gateway.mail.received import ReceivedMail, read_mail, read_mails  # noqa: E402
from gateway.store.database import Database  # noqa: E402
from gateway.store.mailbox_account import Account  # noqa: E402
from gateway.store.mailboxes import add_mailbox, claim_mailboxes, get_mailbox, list_mailboxes  # noqa: E402
from gateway.store.routes import Secret  # noqa: E402
from gateway.store.sealed import read_key_file  # noqa: E402
from gateway.store.spool import spool_depth  # noqa: E402
from gateway.store.tenants import add_tenant  # noqa: E402
from gateway.wire.workers import WorkerPool  # noqa: E402

USER = "bench@acme.test"
SIZES, WEIGHTS = (3000, 5000, 8000, 15000, 30000, 60000), (30, 30, 15, 10, 10, 5)


def fill(dovecot: Dovecot, mails: int) -> int:
    """A maildir of plain and multipart mails; the bytes in all."""
    chance, total = random.Random(5), 0
    folder = dovecot.room.path / "mail" / USER
    for name in ("cur", "new", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(mails):
        size = chance.choices(SIZES, WEIGHTS)[0]
        raw = _mail(number, size, chance)
        (folder / "cur" / f"{1790000000 + number}.M{number}P1.bench,S={len(raw)}:2,").write_bytes(raw)
        total += len(raw)
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, dovecot.room.owner.pw_uid, dovecot.room.owner.pw_gid)
    return total


def _mail(number: int, size: int, chance: random.Random) -> bytes:
    head = (f"From: Client {number} <c{number}@client{number % 500}.test>\nTo: {USER}\nSubject: Re: Factura {number}\n"
            f"Date: Tue, 24 Nov 2026 10:00:00 +0200\nMessage-ID: <{number}.bench@client.test>\nMIME-Version: 1.0\n"
            f"In-Reply-To: <f{number}@else.test>\n")  # fmt: skip
    words = "Bună ziua, am achitat factura ieri după-amiază.\n" * 8
    if size < 6000:
        more = "rând de text obișnuit\n" * (size // 24)
        return f"{head}Content-Type: text/plain; charset=utf-8\n\n{words}{more}".encode()
    data = "\n".join(chance.randbytes(54).hex()[:76] for _ in range(size // 77))
    return (f'{head}Content-Type: multipart/mixed; boundary="b"\n\n--b\n'
            f"Content-Type: text/plain; charset=utf-8\n\n{words}\n"
            f"--b\nContent-Type: application/pdf; name=plata.pdf\nContent-Transfer-Encoding: base64\n\n{data}\n"
            "--b--\n").encode()  # fmt: skip


async def ours(dovecot: Dovecot, folder: Path, chosen: argparse.Namespace) -> tuple[float, float, int]:
    """(seconds until all is stored, until all is judged, mails kept or left alone) of a pull into a fresh database."""
    config = Config(data=str(folder), database=chosen.database)
    make_installation(config)
    database, seal = Database(config.database_url), read_key_file(folder / "gateway.key")
    now = datetime.now(UTC)
    tenant = await database.write(add_tenant, now, "bench", "Bench SRL")
    made = Account(host="127.0.0.1", port=dovecot.imap_port, security="none", username=USER, takes=chosen.takes,
                   since="2026-01-01")  # fmt: skip
    await database.write(add_mailbox, now, seal, tenant.id, "box", made, Secret(password=PASSWORD))
    pool = WorkerPool(chosen.workers, preload=("gateway.mail.received",))
    reader = Reader(Reception(
        database, partial(pool.run, read_mail, seconds=10), Names("r.test", "i.test", b"k"),
        read_some=partial(pool.run, read_mails, seconds=10),
    ))  # fmt: skip
    clock = lambda: datetime.now(UTC)  # noqa: E731
    spooling = Spooling(reader, "n1", clock)
    with ThreadPoolExecutor(1) as threads:
        ready = await asyncio.gather(*(pool.run(read_mail, b"", seconds=60) for _ in range(chosen.workers)))
        assert ready
        waits: list[float] = []
        beside = [asyncio.create_task(one) for one in (_commit_beside(database, waits), spooling.run())]
        started = time.perf_counter()
        now_ms = int(now.timestamp() * 1000) + 1000
        (box,) = await database.write(claim_mailboxes, now_ms, "n1", now_ms + 10**7, 1)
        session = open_session(made, Login(USER, PASSWORD), None, Patience())
        pull = Pull(reader, spooling, "n1", box, session, Threads(threads), clock, Patience())
        while await pull.run():  # again, when the spool was full
            pass
        stored, pulled = time.perf_counter() - started, len(waits)
        while (await database.read(spool_depth)).mails:  # noqa: ASYNC110 the loop tells nobody when it is done
            await asyncio.sleep(0.02)
        judged = time.perf_counter() - started
        session.close()
        for one in beside:
            one.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    for what, some in ("pull", waits[:pulled]), ("judging", waits[pulled:]):
        say_waits(what, sorted(some))
    found = await database.read(get_mailbox, tenant.id, "box")
    pool.close()
    database.close()
    assert found is not None
    return stored, judged, found.taken + found.passed


def say_waits(what: str, waits: list[float]) -> None:
    """How long a door waited for its commits."""
    if waits:
        middle, most = waits[len(waits) // 2] * 1000, waits[-1] * 1000
        print(f"a door beside the {what} waited for its commit {middle:.0f} ms in the median, "
              f"{waits[len(waits) * 99 // 100] * 1000:.0f} ms at 99 %, {most:.0f} ms at the most")  # fmt: skip


async def _commit_beside(database: Database, waits: list[float]) -> None:
    """How long others' commits take meanwhile: they wait for the writer, as a message that is accepted does."""
    while True:
        begun = time.perf_counter()
        await database.write(lambda tx: None)
        waits.append(time.perf_counter() - begun)
        await asyncio.sleep(0.02)


async def many(dovecot: Dovecot, folder: Path, boxes: int, idle: int) -> tuple[float, int, int, float]:
    """(seconds, threads, bytes, seconds of CPU) until each of many mailboxes was looked at once, by verified TLS.

    Bytes are what this process grew by; `idle` of the mailboxes are waited for then.
    """
    config = Config(data=str(folder))
    make_installation(config)
    database, seal = Database(config.database_url), read_key_file(folder / "gateway.key")
    now = datetime.now(UTC)
    tenant = await database.write(add_tenant, now, "bench", "Bench SRL")
    made = Account(host="127.0.0.1", port=dovecot.imaps_port, username=USER, trusted=dovecot.cert.read_text())
    for number in range(boxes):
        await database.write(add_mailbox, now, seal, tenant.id, f"box{number}", made, Secret(password=PASSWORD))

    async def read(raw: bytes) -> ReceivedMail:
        return read_mail(raw)

    reception = Reception(database, read, Names("r.test", "i.test", b"k"))
    poller = ImapPoller(reception, seal, "n1", lambda: datetime.now(UTC), None, Pace(idle_threads=idle, every=86_400))
    began, before = time.process_time(), resident()
    started, threads, looked, size = time.perf_counter(), 0, 0, 0
    task = asyncio.create_task(poller.run())
    while looked < boxes:
        await asyncio.sleep(0.5)
        size = max(size, resident() - before)
        threads = max(threads, sum(one.name.startswith("imap") for one in enumerate_threads()))
        looked = sum(one.polled_at is not None for one in await database.read(list_mailboxes, tenant.id))
    seconds, used = time.perf_counter() - started, time.process_time() - began
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    database.close()
    return seconds, threads, size, used


def cpu_seconds() -> float:
    """Seconds of CPU of this process and of its children that have ended; Dovecot has not."""
    return sum(os.times()[:4])


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def imapclient_and_stdlib(dovecot: Dovecot) -> tuple[float, int]:
    """Batches of 200, parsed by the standard library; nothing is stored."""
    from imapclient import IMAPClient  # type: ignore[import-untyped] # the peer

    started, count = time.perf_counter(), 0
    with IMAPClient("127.0.0.1", dovecot.imap_port, ssl=False) as client:
        client.login(USER, PASSWORD)
        client.select_folder("INBOX", readonly=True)
        uids = client.search()[:3000]
        for begin in range(0, len(uids), 200):
            for data in client.fetch(uids[begin : begin + 200], ["BODY.PEEK[]"]).values():
                mail = email.message_from_bytes(data[b"BODY[]"], policy=email.policy.default)
                [part.get_content() for part in mail.walk() if not part.is_multipart()]
                count += 1
    return time.perf_counter() - started, count


def mbsync(folder: Path, dovecot: Dovecot) -> tuple[float, int] | None:
    """mbsync into a maildir with its usual fsync; None when it is not installed."""
    program = shutil.which("mbsync")
    if program is None:
        return None
    (folder / "m").mkdir()
    (folder / "rc").write_text(
        f"IMAPAccount a\nHost 127.0.0.1\nPort {dovecot.imap_port}\nUser {USER}\nPass {PASSWORD}\nSSLType None\n"
        "AuthMechs LOGIN\n\nIMAPStore r\nAccount a\n\n"
        f"MaildirStore l\nPath {folder}/m/\nInbox {folder}/m/INBOX\nSubFolders Verbatim\n\n"
        "Channel c\nFar :r:\nNear :l:\nPatterns INBOX\nCreate Near\nSync Pull\nSyncState *\n"
    )
    started = time.perf_counter()
    subprocess.run([program, "-q", "-c", str(folder / "rc"), "c"], check=False)
    return time.perf_counter() - started, len(list((folder / "m" / "INBOX").glob("*/*")))


def main() -> None:
    """Measure each, ours first and last, and print the ratios."""
    parser = argparse.ArgumentParser(description="how fast a mailbox is taken in")
    parser.add_argument("--mails", type=int, default=10_000)
    parser.add_argument("--takes", default="all")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--database", default="", help="URL of an empty PostgreSQL database, instead of SQLite")
    parser.add_argument("--boxes", type=int, default=2000, help="mailboxes to look at, one visit each")
    parser.add_argument("--idle", type=int, default=0, help="of them, those that are waited for with IDLE")
    chosen = parser.parse_args()
    with start_dovecot() as dovecot, tempfile.TemporaryDirectory(prefix="bench-imap-") as name:
        folder = Path(name)
        dovecot.add_user(USER)
        print(f"{chosen.mails} mails, {fill(dovecot, chosen.mails) / 1e6:.0f} MB")
        imapclient_and_stdlib(dovecot)  # Dovecot writes its index
        rates: dict[str, float] = {}
        for what, run in {
            "imapclient + stdlib": imapclient_and_stdlib,
            "mbsync, fsync": partial(mbsync, folder),
        }.items():
            before = cpu_seconds()
            if (done := run(dovecot)) is None:
                print(f"{what:28} is not installed")
                continue
            rates[what] = done[1] / done[0]
            say_rate(what, done[0], done[1], before)
        before = cpu_seconds()
        stored, judged, count = asyncio.run(ours(dovecot, folder / "ours", chosen))
        for what, seconds in (f"ours, {chosen.takes}, stored", stored), (f"ours, {chosen.takes}, judged", judged):
            say_rate(what, seconds, count, before)
            print("  " + ", ".join(f"{count / seconds / rate:.1f} times {peer}" for peer, rate in rates.items()))
        if chosen.boxes:
            seconds, threads, size, used = asyncio.run(many(dovecot, folder / "many", chosen.boxes, chosen.idle))
            print(f"{chosen.boxes} mailboxes looked at in {seconds:.0f} s: {chosen.boxes / seconds:.0f} a second, "
                  f"with {threads} threads for them and {size / 1e6:.0f} MB more at the most, "
                  f"{used / chosen.boxes * 1000:.1f} ms of CPU each")  # fmt: skip


def say_rate(what: str, seconds: float, mails: int, before: float) -> None:
    """A line of the result."""
    used = (cpu_seconds() - before) / mails * 1000
    print(f"{what:28} {mails / seconds:8.0f} mails/s  ({mails} in {seconds:.1f} s), {used:.2f} ms of CPU each in all")


if __name__ == "__main__":
    main()
