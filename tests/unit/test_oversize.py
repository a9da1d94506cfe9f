"""Which files stay behind when a mail would be too large, and what a logo may be: decided without a database."""

import base64
import io

import pytest
from PIL import Image

from gateway.mail.address import parse_address
from gateway.mail.header_mailboxes import Mailbox
from gateway.mail.reply import Refused
from gateway.outbound.attachments import Attachment
from gateway.outbound.oversize import OVERHEAD, encoded, left_behind, link
from gateway.outbound.rendered import Rendered, compose
from gateway.store.assets import MAX_BYTES, _check_logo

MB = 10**6


def mail(*sizes: int) -> Rendered:
    files = tuple(Attachment(f"file-{n}.pdf", "application/pdf", bytes(size)) for n, size in enumerate(sizes))
    return Rendered("Subject", "<p>ă</p>" * 9000, "ă\n" * 9000, files, "ro")


def sizes(files: tuple[Attachment, ...]) -> list[int]:
    return [len(file.data) for file in files]


@pytest.mark.parametrize(
    ("given", "behind"),
    [((), []), ((1 * MB,), []), ((16 * MB,), [16 * MB]), ((1 * MB, 15 * MB, 2 * MB), [15 * MB]),
     ((9 * MB, 8 * MB, 7 * MB), [9 * MB, 8 * MB]), ((14 * MB,), [])],
)  # fmt: skip
def test_the_largest_stay_behind_until_the_rest_fits(given: tuple[int, ...], behind: list[int]) -> None:
    assert sizes(left_behind(mail(*given), 20 * MB)) == behind


def test_what_goes_is_never_larger_than_the_limit_as_it_is_sent() -> None:
    made = mail(700_000, 100_000, 3)
    limit = 1_500_000
    assert not left_behind(made, limit)
    to = [Mailbox("", parse_address("ana@client.test"))]
    whole = compose(made, to, [], [b"Message-ID: <x@y.example>\r\n"])
    assert len(whole) + 4096 <= limit
    for file in made.attachments:
        assert len(base64.encodebytes(file.data).replace(b"\n", b"\r\n")) < encoded(file)
    assert OVERHEAD > 32 * 1024


def test_links_are_unguessable_and_each_is_another() -> None:
    links = link(mail(1, 2).attachments, "https://mail.gateway.example", 20 * MB)
    assert len({one.token for one in links}) == 2 and all(len(one.token) >= 22 for one in links)
    assert links[0].url == f"https://mail.gateway.example/f/{links[0].token}"


def test_without_an_address_that_customers_reach_it_says_what_to_set() -> None:
    assert link((), "", 20 * MB) == ()
    with pytest.raises(Refused) as caught:
        link(mail(25 * MB).attachments, "", 20 * MB)
    text = str(caught.value.reply)
    assert text.startswith("552 5.3.4") and "file-0.pdf (25.0 MB)" in text
    assert "web.public_url" in text and "delivery.max_message" in text


def picture(width: int, height: int, kind: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "#0b6b4f").save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_logo_is_a_png_or_a_jpeg_and_its_size_is_known(kind: str) -> None:
    assert _check_logo(picture(600, 200, kind)) == (f"image/{kind.lower()}", (600, 200))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<svg/>", "neither PNG nor JPEG"),
        (b"", "neither PNG nor JPEG"),
        (picture(10, 10, "GIF"), "neither PNG nor JPEG"),
        (picture(10, 10, "PNG")[:20], "damaged"),
        (picture(10, 10, "JPEG")[:30], "damaged"),
        (picture(2001, 10, "PNG"), "2001 × 10 pixels"),
        (picture(10, 2001, "JPEG"), "10 × 2001 pixels"),
        (picture(10, 10, "PNG") + bytes(MAX_BYTES), "bytes; at most"),
    ],
)
def test_what_is_no_fit_logo_is_refused_in_words(content: bytes, words: str) -> None:
    with pytest.raises(Refused, match=words):
        _check_logo(content)
