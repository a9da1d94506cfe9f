"""The size of a picture is read from its head, and from bytes that lie nothing but an answer or None comes back."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail.picture import picture_size

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">IIBBBBB", 640, 80, 8, 6, 0, 0, 0)
EXIF = b"\xff\xe1" + struct.pack(">H", 2 + 40) + b"Exif\0\0" + b"\xff\xc0" * 17  # a thumbnail's frame within
FRAME = b"\xff\xc2" + struct.pack(">HBHHB", 17, 8, 90, 300, 3) + b"\x01\x22\x00" * 3
JPEG = b"\xff\xd8" + EXIF + b"\xff\xff" + FRAME + b"\xff\xd9"


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (PNG + struct.pack(">I", zlib.crc32(PNG[12:])), (640, 80)),
        (JPEG, (300, 90)),
        (PNG[:20], None),
        (PNG[:16] + b"\0" * 8, None),
        (JPEG[:40], None),
        (b"\xff\xd8" + b"\xff\xe1\x00\x00" * 50, None),
        (b"GIF89a\x01\x00\x01\x00", None),
        (b"<svg width='3' height='4'/>", None),
        (b"", None),
    ],
    ids=["png", "jpeg", "short-png", "png-of-nothing", "short-jpeg", "jpeg-of-nothing", "gif", "svg", "empty"],
)
def test_a_size_is_read_or_there_is_none(data: bytes, size: tuple[int, int] | None) -> None:
    assert picture_size(data) == size


@given(st.sampled_from([b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b""]), st.binary(max_size=300))
def test_no_bytes_make_it_fail(start: bytes, rest: bytes) -> None:
    size = picture_size(start + rest)
    assert size is None or min(size) > 0
