"""The lines below an answer: in the thread's language, never twice, and none for a tenant that wants none."""

from dataclasses import replace

import pytest

from gateway.outbound.signature import signature_of
from gateway.store.tenants import Tenant

ALFA = Tenant(
    "t1", "alfa", "Alfa SRL", "ro", "Europe/Chisinau", "office@alfa.example", "shared", {"phone": "+373 22 000 111"}
)
REACHED = ("+373 22 000 111", "office@alfa.example")


@pytest.mark.parametrize(
    ("language", "wish"), [("ro", "Cu stimă,"), ("ru", "С уважением,"), ("en", "Kind regards,"), ("", "Kind regards,")]
)
def test_it_is_said_in_the_language_of_the_thread(language: str, wish: str) -> None:
    assert signature_of(ALFA, "Maria Ceban", language, "Plata a venit.") == (wish, "Maria Ceban", "Alfa SRL", *REACHED)


def test_what_is_written_at_the_end_is_not_said_twice() -> None:
    assert signature_of(ALFA, "Maria Ceban", "ro", "Da.\n\nCu stimă,\nMaria Ceban") == ("Alfa SRL", *REACHED)
    assert signature_of(ALFA, "Maria Ceban", "ro", "Da.\n\ncu stimă,\nalfa srl") == ("Maria Ceban", *REACHED)
    assert signature_of(ALFA, "Maria Ceban", "ro", "Maria Ceban de la Alfa SRL răspunde.")[1:3] == (
        "Maria Ceban", "Alfa SRL",
    )  # fmt: skip


def test_a_program_signs_as_the_company_and_a_tenant_may_want_none() -> None:
    assert signature_of(ALFA, "", "en", "Yes.") == ("Kind regards,", "Alfa SRL", *REACHED)
    assert signature_of(replace(ALFA, options={"reply_signature": "off"}), "Maria", "ro") == ()
