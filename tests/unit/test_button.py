"""X-AR-Button in composed mail: only bodies change, in any charset and encoding; what is sealed is refused."""

from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest

from gateway.mail.message import decode, walk
from gateway.mail.reply import Refused
from gateway.outbound.brand import Brand
from gateway.outbound.button import add_button, link_of
from gateway.outbound.control import Control

BRAND = Brand(company="Acme", colour="#aa3300")
LINK = "https://pay.test/x?a=1&b=2"
LABEL = "Plătiți acum"
LINE = f"{LABEL}: {LINK}"
HEAD = "From: a@b.test\r\nSubject: x\r\nMIME-Version: 1.0\r\n"


def parsed(raw: bytes) -> EmailMessage:
    found = message_from_bytes(raw, policy=policy.default)
    assert not any(part.defects for part in found.walk())
    return found


def text_of(raw: bytes, kind: str = "plain") -> str:
    part = parsed(raw).get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def single(text: str, charset: str, encoding: str, kind: str = "plain") -> bytes:
    mail = EmailMessage(policy=policy.SMTP)
    mail["From"], mail["Subject"] = "a@b.test", "x"
    mail.set_content(text, subtype=kind, charset=charset, cte=encoding)
    return mail.as_bytes()


@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
@pytest.mark.parametrize(
    ("charset", "words", "kept"),
    [
        ("utf-8", "Bună ziua, счёт", "utf-8"),
        ("windows-1251", "Счёт на оплату", "utf-8"),
        ("koi8-r", "Счёт на оплату", "utf-8"),
        ("iso-8859-2", "Bună ziua", "utf-8"),  # it has ţ with a cedilla, not ț
        ("windows-1250", "Bună ziua", "utf-8"),
        ("iso-8859-16", "Bună ziua, ține", "iso-8859-16"),
    ],
)
def test_the_text_keeps_its_charset_or_becomes_utf_8(charset: str, words: str, kept: str, encoding: str) -> None:
    made = add_button(single(f"{words}\n\n-- \nAcme\n", charset, encoding), LABEL, LINK, BRAND)
    assert text_of(made) == f"{words}\n\n{LINE}\n\n-- \nAcme\n"
    assert parsed(made).get_content_charset() == kept
    assert str(parsed(made)["content-transfer-encoding"]) == encoding


@pytest.mark.parametrize("charset", ["windows-1251", "koi8-r", "iso-8859-5"])
def test_a_russian_label_stays_in_a_russian_charset(charset: str) -> None:
    made = add_button(single("Счёт\n", charset, "8bit"), "Оплатить", LINK, BRAND)
    assert text_of(made) == f"Счёт\n\nОплатить: {LINK}\n"
    assert parsed(made).get_content_charset() == charset


@pytest.mark.parametrize("charset", ["utf-8", "windows-1251", "koi8-r", "us-ascii"])
@pytest.mark.parametrize("encoding", ["7bit", "quoted-printable", "base64"])
def test_html_gets_its_button_before_the_body_ends_in_ascii(charset: str, encoding: str) -> None:
    raw = single("<html><body><p>Hi</p></BODY ></html>\n", charset, encoding, "html")
    made = add_button(raw, LABEL, LINK, BRAND)
    html = text_of(made, "html")
    assert html.index("<p>Hi</p>") < html.index("<table") < html.index("</table>") < html.index("</BODY >")
    assert 'href="https://pay.test/x?a=1&amp;b=2"' in html and "Pl&#259;ti&#539;i acum" in html
    assert 'bgcolor="#aa3300"' in html and html.isascii() and html.count("<table") == 1
    assert parsed(made).get_content_charset() == charset


def test_html_that_ends_nowhere_and_text_that_declares_nothing() -> None:
    made = add_button(f"{HEAD}Content-Type: text/html\r\n\r\n<p>Hi".encode(), "Pay", LINK, BRAND)
    assert b"<p>Hi\r\n<table" in made and made.endswith(b"</table>\r\n")
    made = add_button(b"From: a@b.test\r\nSubject: x\r\n\r\nHello\r\n", LABEL, LINK, BRAND)
    assert text_of(made) == f"Hello\n\n{LINE}\n"
    made = add_button("From: a@b.test\r\nSubject: x\r\n\r\nBună\r\n".encode(), "Pay", LINK, BRAND)
    assert made.endswith("Bună\r\n\r\nPay: ".encode() + LINK.encode() + b"\r\n") and b"Content-" not in made


def mixed() -> bytes:
    mail = EmailMessage(policy=policy.SMTP)
    mail["From"], mail["Subject"] = "a@b.test", "x"
    mail.set_content("Bună\n", cte="quoted-printable")
    mail.add_alternative("<html><body>Bună <img src='cid:l'></body></html>", subtype="html", cte="base64")
    html = mail.get_payload(1)
    assert isinstance(html, EmailMessage)
    html.add_related(b"\x89PNG", "image", "png", cid="<l>")
    mail.add_attachment(b"%PDF-1\r\n\xff", maintype="application", subtype="pdf", filename="f.pdf")
    mail.add_attachment("anexă text\n", filename="note.txt", cte="8bit")
    mail.add_attachment("<body>anexă</body>", subtype="html", filename="a.html", cte="8bit")
    inner = EmailMessage(policy=policy.SMTP)
    inner["Subject"] = "inner"
    inner.set_content("inner text\n")
    mail.add_attachment(inner)
    return mail.as_bytes()


def test_only_bodies_change_and_attachments_stay_byte_for_byte() -> None:
    raw = mixed()
    made = add_button(raw, LABEL, LINK, BRAND)
    assert text_of(made) == f"Bună\n\n{LINE}\n"
    assert "<table" in text_of(made, "html")
    before, after = walk(raw), walk(made)
    assert [(one.path, one.content_type) for one in before] == [(one.path, one.content_type) for one in after]
    for one, other in zip(before, after, strict=True):
        if not one.content_type.startswith(("multipart/", "text/", "message/")) or one.filename or one.path[:1] > (1,):
            assert raw[one.start : one.end] == made[other.start : other.end], one.path
    changed = [o.path for o, a in zip(before, after, strict=True) if decode(raw, o) != decode(made, a)]
    assert [path for path in changed if path and path[0] != 1] == []
    assert raw.partition(b"\r\n\r\n")[0] == made.partition(b"\r\n\r\n")[0]
    assert made.count(b"inner text") == 1


def test_long_links_are_encoded_and_no_line_is_too_long() -> None:
    link = "https://pay.test/" + "x" * 1900
    for kind in ("plain", "html"):
        made = add_button(single("Hi\n", "us-ascii", "7bit", kind), "Pay", link, BRAND)
        assert all(len(line) <= 998 for line in made.split(b"\r\n"))
        assert link in text_of(made, kind)


def test_a_label_is_one_harmless_line() -> None:
    made = add_button(single("<body></body>", "utf-8", "8bit", "html"), 'a<b> & "c"\x00\r\nx', LINK, BRAND)
    assert "a&lt;b&gt; &amp; &quot;c&quot; x" in text_of(made, "html")


@pytest.mark.parametrize(
    "content",
    [
        'Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nHi\r\n--b--\r\n',
        'Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: multipart/encrypted; boundary=b\r\n\r\n'
        "--b\r\n\r\nHi\r\n--b--\r\n--c--\r\n",
        "Content-Type: application/pkcs7-mime; smime-type=signed-data\r\n\r\nMIIB\r\n",
        "Content-Type: text/plain\r\n\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\nHi\r\n",
    ],
)  # fmt: skip
def test_signed_and_encrypted_mail_is_refused(content: str) -> None:
    with pytest.raises(Refused, match="signed or encrypted"):
        add_button((HEAD + content).encode(), "Pay", LINK, BRAND)


def test_a_mail_without_a_body_is_refused() -> None:
    raw = f"{HEAD}Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n"
    with pytest.raises(Refused, match="no text or HTML body"):
        add_button(raw.encode(), "Pay", LINK, BRAND)


def test_the_link_is_the_documents_else_the_payments_and_must_be_https() -> None:
    assert link_of(Control(view_url="https://a.test/v", pay_url="https://a.test/p")) == "https://a.test/v"
    assert link_of(Control(pay_url="https://a.test/p")) == "https://a.test/p"
    with pytest.raises(Refused, match="add X-AR-View-URL or X-AR-Pay-URL"):
        link_of(Control())
    for link in ("http://a.test/", "https:///x", "https://a.test/ă", "https://[x"):
        with pytest.raises(Refused, match="X-AR-View-URL"):
            link_of(Control(view_url=link))
