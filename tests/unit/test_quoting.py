"""The new words of a reply stand apart from quote and signature; nothing is lost; inline answers stay in place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail.quoting import split_reply

NEW = "Bună ziua,\n\nam achitat astăzi: 1200,00 MDL.\n\nMulțumesc"

QUOTES = {
    "gmail ro": (
        "În data de lun., 16 nov. 2026 la 09:10, Pilda SRL <noreply@pilda.example> a scris:\n\n>"
        " Factura 102\n> Vă mulțumim"
    ),
    "gmail ru": "пн, 16 нояб. 2026 г. в 09:10, Pilda SRL <noreply@pilda.example>:\n\n> Счёт 102",
    "gmail en": "On Mon, Nov 16, 2026 at 9:10 AM Pilda SRL <noreply@pilda.example> wrote:\n\n> Invoice 102",
    "gmail en wrapped": (
        "On Mon, Nov 16, 2026 at 9:10 AM Pilda Societate cu Raspundere Limitata <\n"
        "noreply-invoice@pilda.example> wrote:\n\n> Invoice 102"
    ),
    "outlook en": (
        "________________________________\nFrom: Pilda SRL <noreply@pilda.example>\nSent: Monday,"
        " November 16, 2026 9:10 AM\nTo: ana@client.example\nSubject: Invoice 102\n\nInvoice 102"
    ),
    "outlook en without rule": (
        "From: Pilda SRL <noreply@pilda.example>\nSent: Monday, November 16, 2026 9:10 AM\nTo:"
        " ana@client.example\nSubject: Invoice 102\n\nInvoice 102"
    ),
    "outlook ro": (
        "De la: Pilda SRL <noreply@pilda.example>\nTrimis: luni, 16 noiembrie 2026 09:10\nCătre:"
        " ana@client.example\nSubiect: Factura 102\n\nFactura 102"
    ),
    "outlook ru": (
        "От: Pilda SRL <noreply@pilda.example>\nОтправлено: 16 ноября 2026 г. 9:10\nКому:"
        " ana@client.example\nТема: Счёт 102\n\nСчёт 102"
    ),
    "outlook bold": (
        "*From:* Pilda SRL <noreply@pilda.example>\n*Sent:* Monday, November 16, 2026 9:10 AM\n*To:*"
        " ana@client.example\n*Subject:* Invoice 102\n\nInvoice 102"
    ),
    "outlook original": "-----Original Message-----\nFrom: Pilda SRL\nSent: Monday\n\nInvoice 102",
    "outlook mesaj original": "-----Mesaj original-----\nDe la: Pilda SRL\n\nFactura 102",
    "apple en": "> On 16 Nov 2026, at 09:10, Pilda SRL <noreply@pilda.example> wrote:\n> \n> Invoice 102",
    "apple ro": "> Pe 16 nov. 2026, la 09:10, Pilda SRL <noreply@pilda.example> a scris:\n> \n> Factura 102",
    "apple ru": "> 16 нояб. 2026 г., в 09:10, Pilda SRL <noreply@pilda.example> написал(а):\n> \n> Счёт 102",
    "thunderbird en": "On 16.11.2026 09:10, Pilda SRL wrote:\n> Invoice 102",
    "thunderbird ro": "Pe 16.11.2026 09:10, Pilda SRL a scris:\n> Factura 102",
    "thunderbird ru": "16.11.2026 09:10, Pilda SRL пишет:\n> Счёт 102",
    "mail.ru": "Понедельник, 16 ноября 2026, 9:10 +03:00 от Pilda SRL <noreply@pilda.example>:\n \n> Счёт 102",
    "mail.ru original": "-------- Исходное сообщение --------\nОт: Pilda SRL\n\nСчёт 102",
    "yandex": '16.11.2026, 09:10, "Pilda SRL" <noreply@pilda.example>:\n> Счёт 102',
    "yandex blockquote": '16.11.2026, 09:10, "Pilda SRL" <noreply@pilda.example>:\nСчёт 102',
    "roundcube": "On 2026-11-16 09:10, Pilda SRL wrote:\n> Invoice 102",
    "roundcube ro": "La 2026-11-16 09:10, Pilda SRL a scris:\n> Factura 102",
    "forwarded ru": "-------- Пересылаемое сообщение --------\n16.11.2026, Pilda\n\nСчёт",
    "bare quote": "> Invoice 102\n> Thank you",
}


@pytest.mark.parametrize("client", sorted(QUOTES))
def test_the_quote_of_each_client_is_folded(client: str) -> None:
    reply = split_reply(f"{NEW}\n\n{QUOTES[client]}\n")
    assert reply.text == NEW
    assert reply.quoted.replace(" ", "") == QUOTES[client].replace(" ", "")


@pytest.mark.parametrize("client", sorted(QUOTES))
def test_line_ends_make_no_difference(client: str) -> None:
    text = f"{NEW}\n\n{QUOTES[client]}\n"
    assert split_reply(text.replace("\n", "\r\n")) == split_reply(text) == split_reply(text.replace("\n", "\r"))


@pytest.mark.parametrize(
    "signature",
    [
        "-- \nAna Ionescu\nContabil-șef",
        "--\nAna",
        "Sent from my iPhone",
        "Trimis de pe iPhone-ul meu",
        "Trimis din Outlook pentru Android",
        "Отправлено с iPhone",
        "Отправлено из Mail.ru для Android",
        "Отправлено с мобильного устройства",
        "Get Outlook for iOS<https://aka.ms/o0ukef>",
    ],
)
def test_signatures_are_folded_with_and_without_a_quote(signature: str) -> None:
    assert split_reply(f"{NEW}\n\n{signature}\n").text == NEW
    assert split_reply(f"{NEW}\n\n{signature}\n\n{QUOTES['gmail en']}\n").text == NEW


def test_inline_answers_keep_the_quote_around_them() -> None:
    text = (
        "On 16.11.2026 09:10, Pilda SRL wrote:\n> When do you pay?\n\nTomorrow.\n\n> And the rest?\n"
        "\nNext week.\n\n-- \nAna"
    )
    reply = split_reply(text)
    assert reply.inline
    assert reply.text == text.partition("\n\n-- ")[0]
    assert reply.quoted == "-- \nAna"


def test_a_quote_that_was_wrapped_is_no_inline_answer() -> None:
    text = f"{NEW}\n\nOn 16.11.2026 09:10, Pilda SRL wrote:\n> " + "word " * 14 + "\nwrapped\n> more\n"
    reply = split_reply(text)
    assert (reply.text, reply.inline) == (NEW, False)


@pytest.mark.parametrize(
    "text",
    [
        "Total: 100",
        "From: 1 March we pay by card.",
        "He wrote:",
        "Sumele sunt:\n- 100\n- 200\n\nMulțumesc",
        "a -- b",
        "Ana a scris: plătim mâine",
        "",
        (
            "Trimis factura 102 azi la ora 10, vă rog să confirmați primirea ei de către contabilul"
            " dumneavoastră șef, mulțumesc mult"
        ),
    ],
)
def test_words_that_only_look_like_a_quote_are_kept(text: str) -> None:
    assert split_reply(text).text == text.rstrip()


@given(
    st.lists(
        st.sampled_from(
            ["", "a", "> b", "--", "-- ", "On 1.1.2026 10:00, X wrote:", "From: x", "Sent: y", "To: z", "____________"]
        ),
        max_size=30,
    )
)
def test_no_line_is_lost(lines: list[str]) -> None:
    reply = split_reply("\n".join(lines))
    kept = [line.rstrip() for line in f"{reply.text}\n{reply.quoted}".split("\n") if line.strip()]
    assert kept == [line.rstrip() for line in lines if line.strip()]
