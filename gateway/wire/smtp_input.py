"""The commands of a client that have arrived and were not obeyed yet: one buffer, cut at CRLF and never rescanned.

Used by `wire.smtp_channel`. Pure. Only CRLF ends a command; a buffer that ends in a bare LF is dropped whole and
yields BARE_LF, so that a client which ends lines so is told instead of left waiting, and nothing behind it is obeyed.
"""

BARE_LF = b"\n"


class TooLong(Exception):
    """There is more than one command's worth of bytes without a line end."""


class CommandBuffer:
    """Bytes in, lines out."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._position = 0

    def __len__(self) -> int:
        return len(self._data) - self._position

    def add(self, data: bytes) -> None:
        """Append what arrived."""
        self._data += data

    def clear(self) -> None:
        """Forget everything."""
        self._data.clear()
        self._position = 0

    def take_all(self) -> bytes:
        """Everything, when it is no command but the beginning of a message."""
        rest = bytes(self._data[self._position :])
        self.clear()
        return rest

    def compact(self) -> None:
        """Give back the memory of what was cut."""
        if self._position:
            del self._data[: self._position]
            self._position = 0

    def cut(self, limit: int, long_limit: int, *, long: bool) -> bytes | None:
        """The next line without its CRLF, or None when it is not complete.

        A line has at most `limit` bytes, AUTH and (when `long`) any line `long_limit`; raises `TooLong`.
        """
        data, start = self._data, self._position
        end = data.find(b"\r\n", start)
        size = (len(data) if end < 0 else end) - start
        if size > limit and (size > long_limit or not (long or data[start : start + 5].upper() == b"AUTH ")):
            raise TooLong
        if end < 0:
            if size and data.endswith(b"\n"):
                self.clear()
                return BARE_LF
            return None
        line = bytes(data[start:end])
        if end + 2 == len(data):
            self.clear()
        else:
            self._position = end + 2
        return line
