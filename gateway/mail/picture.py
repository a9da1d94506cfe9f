"""How large a PNG or JPEG is, read from its first bytes, without decoding it.

Called by whoever places a picture in a mail (Outlook needs its width and height in the HTML) and whoever accepts one
from a tenant. Reads untrusted bytes: it is bounded by their length and never raises. What is neither PNG nor JPEG, or
ends before it says its size, has none.
"""

_PNG = b"\x89PNG\r\n\x1a\n"
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # SOF markers (ITU T.81 table B.1)
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels; None for what is no PNG or JPEG, or has no size."""
    size = _png(data) if data.startswith(_PNG) else _jpeg(data) if data.startswith(b"\xff\xd8") else None
    return size if size and min(size) > 0 else None


def _png(data: bytes) -> tuple[int, int] | None:
    if data[12:16] != b"IHDR" or len(data) < 24:
        return None
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """Walk the segments up to the frame header, which says height and then width."""
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker in _FRAMES:
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        if marker == 0xFF:  # padding
            at += 1
        elif marker in _BARE:
            at += 2
        else:
            at += 2 + max(int.from_bytes(data[at + 2 : at + 4], "big"), 2)
    return None
