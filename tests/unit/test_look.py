"""Where the document of a mail may be, by the types of its parts: `handed_document.look`, asked for every mail."""

import pytest

from gateway.outbound.handed_document import look

PLAIN_PDF, E_INVOICE = b"%PDF-1.7 nothing inside", b"%PDF-1.7 /Type /EmbeddedFile"


def mail(*parts: tuple[str, bytes]) -> bytes:
    body = b"".join(b"--b\r\nContent-Type: %s\r\n\r\n%s\r\n" % (kind.encode(), text) for kind, text in parts)
    return b'From: a@b.example\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n' + body + b"--b--\r\n"


@pytest.mark.parametrize(
    ("parts", "where"),
    [
        ([("text/plain", b"words of json, xml and pdf")], "nowhere"),
        ([("text/plain", b""), ("Application/JSON", b"{}")], "here"),
        ([("text/html", b""), ("application/json", b"{}")], "here"),
        ([("text/plain", b""), ("application/pdf", PLAIN_PDF)], "nowhere"),
        ([("text/plain", b""), ("application/pdf", E_INVOICE)], "worker"),
        ([("text/plain", b""), ("text/xml", b"<a/>")], "worker"),
        ([("text/html", b"<p>"), ("text/xml", b"<a/>")], "nowhere"),
        ([("text/html\r\nContent-Disposition: attachment", b"<p>"), ("text/xml", b"<a/>")], "worker"),
        ([("text/plain", b"")] * 60 + [("application/json", b"{}")], "here"),
        ([("text/plain", b"")] * 60, "nowhere"),
    ],
)
def test_the_types_of_its_parts_say_where_a_document_may_be(parts: list[tuple[str, bytes]], where: str) -> None:
    assert look(mail(*parts))[1] == where


def test_the_parts_that_were_looked_at_come_with_the_answer() -> None:
    parts, _ = look(mail(("text/plain", b"a"), ("application/pdf", PLAIN_PDF)))
    assert [part.content_type for part in parts] == ["multipart/mixed", "text/plain", "application/pdf"]
