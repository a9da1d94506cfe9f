"""One session with a mailbox's server: log in, look, fetch, wait; the porter of imapclient.

Used by the poller and by `gateway mailbox test`, in a thread: everything here blocks. Each command has its own limits
of time and bytes (`imap_wire`). Mail is read by BODY.PEEK[] from a folder that is opened read-only unless something is
to be done there, so that flags stay as they are. Whatever a server does, and whatever the libraries raise over it, is
`ImapFailed`, in words that hold no secret; nothing that was answered without sense is taken for mail.
"""

import contextlib
import functools
import imaplib
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from imapclient import IMAPClient, exceptions  # type: ignore[import-untyped]

from gateway.inbound.imap_wire import Allow, Patience, Place, Wire
from gateway.mail.status import clean
from gateway.store.mailbox_account import DELETE, MOVE, SEEN, Account

MANY = 50_000  # mails that one SEARCH may name: its answer is one line
HEAD_BYTES = 100 * 1024
UID_MAX = 2**32 - 1
_PASSING = re.compile(r"UNAVAILABLE|INUSE|LIMIT|SERVERBUG|closed the connection", re.I)  # RFC 5530 §3


class ImapFailed(Exception):
    """The server did not do as it should. `refused`: it does not let us in, so somebody must act."""

    def __init__(self, words: str, refused: bool = False) -> None:
        self.words, self.refused = clean(words, 300) or "no words", refused
        super().__init__(self.words)


@dataclass(frozen=True, slots=True)
class Login:
    """Who we are. `bearer`: the secret is an access token."""

    username: str
    secret: str = field(repr=False)
    bearer: bool = False


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder as it was when it was opened."""

    uidvalidity: int
    uidnext: int  # 0: the server did not say
    exists: int


@dataclass(frozen=True, slots=True)
class Sized:
    """A mail's size as the server says, and when it came there."""

    size: int
    at: datetime | None


class _Client(IMAPClient):  # type: ignore[misc]
    """imapclient over our own wire."""

    def __init__(self, place: Place) -> None:
        self._place = place
        super().__init__(place.host, place.port, ssl=place.tls is not None)

    def _create_IMAP4(self) -> Wire:
        return Wire(self._place)

    def _set_read_timeout(self) -> None:
        """The wire sets its own."""

    @property
    def wire(self) -> Wire:
        """The connection; the library's own log of it is off, which would hold the password."""
        wire: Wire = self._imap
        wire.debug = 0
        return wire


class ImapSession:
    """An open session."""

    def __init__(self, client: Any, patience: Patience, secret: str) -> None:
        self._client = client
        self._wire: Wire = client.wire
        self._patience = patience
        self._secret = secret
        self.capabilities: frozenset[str] = frozenset()

    def select(self, folder: str, *, readonly: bool) -> Folder:
        """Open a folder."""
        with self._guarded():
            found = self._client.select_folder(folder, readonly=readonly)
            validity, following = found.get(b"UIDVALIDITY"), found.get(b"UIDNEXT", 0)
            if not isinstance(validity, int) or not 0 < validity <= UID_MAX:
                raise ImapFailed("the server does not say the folder's UIDVALIDITY")
            sane = isinstance(following, int) and 0 < following <= UID_MAX + 1
            return Folder(validity, following if sane else 0, int(found.get(b"EXISTS", 0)))

    def last_uid(self, folder: Folder) -> int:
        """The UID of the newest mail, or one that no mail has yet; 0 for an empty folder."""
        if folder.uidnext > 1:
            beyond = self.find(folder.uidnext - 1, None, folder)
            return max([folder.uidnext - 1, *beyond])
        return max(self.find(0, None, folder), default=0)

    def find(self, after: int, since: date | None, folder: Folder) -> list[int]:
        """The UIDs beyond one, in order; those that came since a day. Of a huge folder the first part."""
        if folder.exists <= MANY or not folder.uidnext:
            return self._search(after, "*", since)
        while after < folder.uidnext:
            if found := self._search(after, str(min(after + MANY, UID_MAX)), since):
                return found
            after += MANY
        return []

    def _search(self, after: int, last: str, since: date | None) -> list[int]:
        with self._guarded():
            criteria: list[Any] = ["UID", f"{after + 1}:{last}"]
            found = self._client.search(criteria + (["SINCE", since] if since else []))
            return sorted({uid for uid in found if isinstance(uid, int) and after < uid <= UID_MAX})

    def sizes(self, uids: list[int], *, dated: bool) -> dict[int, Sized]:
        """What the server says of mails; one that is gone is missing."""
        with self._guarded():
            found = self._client.fetch(uids, ["RFC822.SIZE", "INTERNALDATE"] if dated else ["RFC822.SIZE"])
        sizes = {
            uid: Sized(size, _aware(data.get(b"INTERNALDATE")))
            for uid, data in found.items()
            if isinstance(size := data.get(b"RFC822.SIZE"), int) and size >= 0
        }
        self._check_gone([uid for uid in uids if uid not in sizes])
        return sizes

    def fetch(self, uids: list[int], expected: int) -> dict[int, bytes]:
        """The mails; `expected` is the sum of their sizes. One that was expunged is missing."""
        most = 2 * expected + self._patience.command_bytes + 2 * self._patience.message
        with self._guarded(self._patience.fetch, most, 2 * self._patience.message):
            found = self._client.fetch(uids, ["BODY.PEEK[]"])
        mails = {uid: data[b"BODY[]"] for uid, data in found.items() if isinstance(data.get(b"BODY[]"), bytes)}
        self._check_gone([uid for uid in uids if uid not in mails])
        if odd := next((uid for uid, raw in mails.items() if b"\n" not in raw), 0):
            raise ImapFailed(f"what the server sends as mail {odd} is none")
        return mails

    def _check_gone(self, uids: list[int]) -> None:
        """Mail that the server did not tell of must be expunged, else it would be lost."""
        if not uids:
            return
        with self._guarded():
            found = self._client.search(["UID", ",".join(map(str, uids))])
        if kept := [uid for uid in found if uid in uids]:
            raise ImapFailed(f"the server has mail {kept[0]} and does not send it")

    def head(self, uid: int) -> bytes:
        """The header of a mail that is too large to fetch, cut."""
        name = f"BODY.PEEK[HEADER]<0.{HEAD_BYTES}>"
        with self._guarded():
            found = self._client.fetch([uid], [name]).get(uid, {})
        return next((raw for raw in found.values() if isinstance(raw, bytes)), b"")

    def finish(self, uids: list[int], after: str, move_to: str) -> None:
        """Do with mails that were taken what the tenant asked for."""
        with self._guarded():
            if after == SEEN:
                self._client.add_flags(uids, [b"\\Seen"], silent=True)
            elif after == MOVE and "MOVE" in self.capabilities:
                self._client.move(uids, move_to)
            elif after in (MOVE, DELETE):
                if after == MOVE:
                    self._client.copy(uids, move_to)
                self._client.delete_messages(uids, silent=True)
                if "UIDPLUS" in self.capabilities:  # without it, an EXPUNGE would take others' deleted mail along
                    self._client.uid_expunge(uids)

    def idle(self, seconds: float, stop: Callable[[], bool]) -> bool:
        """Wait until the server says that something came; False when the time is over, or `stop` says so."""
        until, news = time.monotonic() + seconds, False
        with self._guarded(seconds + self._patience.command):
            self._client.idle()
            while not news and not stop() and time.monotonic() < until:
                line = self._wire.heard(2.0)
                if line is not None and line.startswith(b"* BYE"):
                    raise ImapFailed("the server ended the session")
                news = line is not None and (b" EXISTS" in line or b" RECENT" in line)
        with self._guarded():
            self._client.idle_done()
        return news

    def close(self, *, politely: bool = True) -> None:
        """End the session; a server that does not answer is left."""
        with contextlib.suppress(Exception):
            self._wire.allot(5.0, 2**16)
            if politely:
                self._client.logout()
        with contextlib.suppress(Exception):
            self._client.shutdown()

    def abandon(self) -> None:
        """End what a thread waits for there; from any thread."""
        with contextlib.suppress(Exception):
            self._wire.sock.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def _guarded(self, seconds: float = 0, most: int = 0, literal: int = 2**20) -> Iterator[None]:
        self._wire.allot(seconds or self._patience.command, most or self._patience.command_bytes, literal)
        with said(self._secret):
            yield


def open_session(account: Account, login: Login, allow: Allow | None, patience: Patience) -> ImapSession:
    """Dial, TLS as the account says, and log in. Raises ImapFailed."""
    tls = make_tls(account)
    place = Place(account.host, account.port, tls if account.security == "tls" else None, allow, patience)
    with said(login.secret):
        client = _Client(place)
        session = ImapSession(client, patience, login.secret)
        try:
            _log_in(session, client, account, login, tls)
        except BaseException:
            session.close(politely=False)
            raise
    return session


def _log_in(session: ImapSession, client: Any, account: Account, login: Login, tls: ssl.SSLContext | None) -> None:
    client.normalise_times = False
    if account.security == "starttls":
        client.starttls(ssl_context=tls)
    if client.wire.state != "NONAUTH":
        raise ImapFailed("the server calls us logged in before we said who we are")
    offered = _texts(client.capabilities())
    try:
        if login.bearer and "AUTH=OAUTHBEARER" in offered:
            client.oauthbearer_login(login.username, login.secret)
        elif login.bearer:
            client.oauth2_login(login.username, login.secret)
        elif "AUTH=PLAIN" in offered:
            client.plain_login(login.username, login.secret)
        elif "LOGINDISABLED" in offered:
            raise ImapFailed("the server lets nobody log in by password here", refused=True)
        else:
            client.login(login.username, login.secret)
    except exceptions.LoginError as error:
        words = _hide(f"login refused: {error}", login.secret)
        raise ImapFailed(words, refused=not _PASSING.search(words)) from None
    session.capabilities = _texts(client.capabilities())


def make_tls(account: Account) -> ssl.SSLContext | None:
    """A context that verifies, by the system's authorities and what the account trusts; None without TLS."""
    return None if account.security == "none" else _context(account.trusted)


@functools.lru_cache(256)  # reading the system's authorities costs more than a visit
def _context(trusted: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if trusted:
        context.load_verify_locations(cadata=trusted)
    return context


@contextlib.contextmanager
def said(secret: str) -> Iterator[None]:
    """Whatever goes wrong within is ImapFailed: the libraries raise nearly everything over a hostile answer."""
    try:
        yield
    except ImapFailed:
        raise
    except ssl.SSLCertVerificationError as error:
        raise ImapFailed(f"the certificate is not proven: {error.verify_message}", refused=True) from None
    except TimeoutError:
        raise ImapFailed("the server does not answer in time") from None
    except imaplib.IMAP4.error as error:
        raise ImapFailed(_hide(str(error), secret)) from None
    except OSError as error:
        raise ImapFailed(_hide(error.strerror or str(error) or type(error).__name__, secret)) from None
    except Exception as error:
        raise ImapFailed(f"the server's answer makes no sense ({type(error).__name__})") from None


def _hide(words: str, secret: str) -> str:
    return words.replace(secret, "***") if secret else words


def _texts(names: Iterable[Any]) -> frozenset[str]:
    return frozenset(name.decode("ascii", "replace").upper() for name in names if isinstance(name, bytes))


def _aware(at: object) -> datetime | None:
    return (at if at.tzinfo else at.replace(tzinfo=UTC)) if isinstance(at, datetime) else None
