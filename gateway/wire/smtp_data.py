"""The content of one message as it arrives after DATA: found, checked and unstuffed without looking at any line.

Used by `wire.smtp_connection`, one `DataReader` per message. Promises: only CRLF.CRLF ends the message (RFC 5321
§4.1.1.4), every byte is scanned a constant number of times at the speed of C, memory stays within 1.5 times the size
limit, and NUL, bare CR and bare LF are found wherever chunks are cut (SMTP smuggling, CVE-2023-51764). A message that
breaks a rule is read to its end and forgotten, then refused; it is never an exception in the middle.
"""

import re
from collections.abc import Iterator

from gateway.mail.reply import Reply
from gateway.wire.capacity import NO_MEMORY, Capacity

END = b"\r\n.\r\n"
SLICE = 2**20  # unstuffing more than this at once could hold the event loop for long
_DOT = b"\r\n."
_OFFENCE = re.compile(rb"\x00|\r(?=[^\n])|(?<!\r)\n")
_WORDS = {b"\x00": "NUL byte", b"\r": "bare CR", b"\n": "bare LF"}


class DataReader:
    """Collects one message. Feed it chunks until it says where the message ended, then `take` or read `refusal`."""

    def __init__(self, message_bytes: int, header_bytes: int, capacity: Capacity | None = None) -> None:
        self.total = 0  # bytes fed
        self.done = False
        self._message_bytes = message_bytes
        self._header_bytes = header_bytes
        self._store = bytearray(b"\r\n")  # as if a line had just ended: the first line needs no case of its own
        self._room = message_bytes + message_bytes // 2 + 64  # dot-stuffing adds at most a third
        self._lines = 0
        self._crs = 0
        self._crlfs = 0
        self._stuffed = False
        self.refusal: Reply | None = None
        self._capacity = capacity or Capacity()
        self._held = 0  # bytes that the capacity counts as ours

    def feed(self, chunk: bytes) -> int:
        """Take `chunk`; returns how many of its bytes belong to the message when it is complete, else -1."""
        store = self._store
        before = len(store)
        store += chunk
        start = max(before - 4, 0)
        dot = store.find(_DOT, start)  # most messages have no line that begins with a dot: this one search is enough
        found = store.find(END, dot) if dot >= 0 else -1
        self._stuffed = self._stuffed or dot != found
        end = len(store) if found < 0 else found + len(END)
        self.total += end - before
        self._check(before, end)
        if found >= 0:
            del store[found + 2 :]
            self.done = True
            if self.refusal is None:
                self._measure()
            self._weigh()
            return end - before
        if len(store) > self._room and self.refusal is None:
            self._refuse_size()
        self._weigh()
        if self.refusal is not None:
            del store[:-4]
        return -1

    def let_go(self) -> None:
        """Nobody holds the message any more, nor what `take` returned."""
        self._capacity.hold(-self._held)
        self._held = 0

    def _weigh(self) -> None:
        """Tell the capacity what we hold; a message for which there is no memory is refused."""
        more = (0 if self.refusal is not None else len(self._store)) - self._held
        self._held += more
        if not self._capacity.hold(more):
            self.refusal = NO_MEMORY
            self.let_go()

    @property
    def large(self) -> bool:
        """Whether `slices` should be used instead of `take`."""
        return len(self._store) > SLICE

    def take(self) -> bytes:
        """The message with CRLF line ends, dots unstuffed (RFC 5321 §4.5.2). Call it once, when `refusal` is None."""
        return b"".join(self.slices())

    def slices(self) -> Iterator[bytes]:
        """What `take` returns, in pieces of about SLICE bytes."""
        store, self._store = bytes(self._store), bytearray()
        if not self._stuffed:
            yield store[2:]
            return
        start, first = 0, True
        while start < len(store):
            end = store.find(b"\r\n", start + SLICE)  # a piece begins with CRLF, so that no CRLF-dot is cut in two
            end = len(store) if end < 0 else end
            piece = store[start:end].replace(_DOT, b"\r\n")
            yield piece[2:] if first else piece
            start, first = end, False

    def _check(self, before: int, end: int) -> None:
        """Count line ends of the new bytes: as many CR as LF as CRLF, or something is bare."""
        store = self._store
        lines = self._lines
        self._lines += store.count(b"\n", before, end)
        self._crs += store.count(b"\r", before, end)
        self._crlfs += store.count(b"\r\n", before - 1, end)
        pending = store[end - 1] == 13  # its LF may be in the next chunk
        bare = self._lines != self._crlfs or self._crs - pending != self._crlfs
        if self.refusal is None and (bare or store.find(b"\x00", before, end) >= 0):
            offence = _OFFENCE.search(store, before - 1, end)
            if offence is None:  # cannot be; refuse rather than trust the miscount
                self.refusal = Reply(554, "5.6.0", "the message has a bare CR or LF; end every line with CR LF")
                return
            line = lines + store.count(b"\n", before, offence.start()) + 1
            words = _WORDS[offence.group()]
            advice = "remove it" if words == "NUL byte" else "end every line with CR LF and nothing else"
            self.refusal = Reply(554, "5.6.0", f"{words} in line {line} of the message; {advice}")

    def _measure(self) -> None:
        store = self._store
        limit = self._header_bytes + 2
        header_fits = len(store) <= limit or store.find(b"\r\n\r\n", 0, limit + 2) >= 0
        size = len(store) - 2
        if size > self._message_bytes:
            size -= store.count(_DOT)  # the stuffed dots do not count (RFC 1870 §5)
        if size > self._message_bytes:
            self._refuse_size()
        elif not header_fits:
            text = f"the header section has more than {self._header_bytes} bytes"
            self.refusal = Reply(554, "5.6.0", text)

    def _refuse_size(self) -> None:
        limit = self._message_bytes
        words = f"{limit / 2**20:g} MiB" if limit % 2**20 == 0 else f"{limit} bytes"
        self.refusal = Reply(552, "5.3.4", f"the message is larger than {words}; nothing was stored")
