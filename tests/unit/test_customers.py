"""Whose a document is: the key of a customer; and the proof in the link by which it turns reminders off."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inbox.timeline import WAYS
from gateway.mail.address import parse_address
from gateway.mail.preferences import preferences_key, preferences_token, read_preferences_token
from gateway.mail.verp import thread_mac
from gateway.outbound.branding import frame_fields
from gateway.outbound.control import Control
from gateway.outbound.customers import KEY_LENGTH, UNWANTED, composed_key, customer_key
from gateway.outbound.documents import Document, read_document
from gateway.outbound.letterhead import Letterhead
from gateway.outbound.texts import templates
from gateway.store.preferences import BY_MAIL, BY_ONE_CLICK, CUSTOMER, ON_THE_PAGE, OPTIONAL, is_optional
from gateway.store.tenants import Tenant

TENANT_ID, THREAD_ID = "t" * 20, "h" * 20
KEY = preferences_key(b"k" * 32)


def document(**party: Any) -> Document:
    made = {
        "schema": "urn:ar-gateway:document:1", "type": "invoice", "id": "1", "number": "F-1", "currency": "MDL",
        "totals": {"total": "1.00"}, "customer": {"name": "Codrul Verde SRL"} | party,
    }  # fmt: skip
    return read_document(json.dumps(made).encode())


@pytest.mark.parametrize(
    ("party", "key"),
    [
        ({"id": "C-7", "idno": "1002600000016", "email": "a@x.test"}, "id:C-7"),
        ({"idno": "1002 6000 00016", "vat": "0200016", "email": "a@x.test"}, "idno:1002600000016"),
        ({"vat": "ro 12345", "email": "a@x.test"}, "vat:RO12345"),
        ({"email": "Ana@X.Test"}, "mail:ana@x.test"),
        ({"contacts": [{"email": "b@x.test", "send": "cc"}, {"email": "A@x.test"}]}, "mail:a@x.test"),
        ({"contacts": [{"email": "b@x.test", "send": "cc"}]}, "name:codrul verde srl"),
        ({"name": "  CODRUL   Verde\u00a0SRL "}, "name:codrul verde srl"),
    ],
)
def test_a_customer_is_known_by_the_first_that_is_given(party: dict[str, Any], key: str) -> None:
    assert customer_key(document(**party)) == key


def test_kinds_of_keys_never_collide() -> None:
    same = "1002600000016"
    made = [{"id": same}, {"idno": same}, {"vat": same}, {"name": same}, {"id": f"idno:{same}"}]
    assert len({customer_key(document(**party)) for party in made}) == len(made)


def test_a_key_fits_its_column_and_long_names_stay_apart() -> None:
    first, second = (customer_key(document(name="ă" * 290 + end)) for end in "ab")
    assert first != second
    assert max(len(first), len(second)) <= KEY_LENGTH
    assert len(customer_key(document(id="x" * 191))) <= KEY_LENGTH


def test_whoever_pays_the_customer_is_the_one_who_is_billed() -> None:
    made = document(id="c-1").model_copy(update={"payer": document(id="p-1").customer})
    assert customer_key(made) == "id:c-1"


@pytest.mark.parametrize(
    ("control", "key"),
    [
        (Control(), ""),
        (Control(customer="c-7", customer_name="X"), "id:c-7"),
        (Control(customer_name="Vlad SRL"), "mail:ana@x.test"),
    ],
)
def test_a_composed_mail_names_its_customer_by_its_fields_only(control: Control, key: str) -> None:
    assert composed_key(control, parse_address("Ana@x.test")) == key


def test_a_name_without_an_address_is_a_key_too() -> None:
    assert composed_key(Control(customer_name="Vlad  SRL"), None) == "name:vlad srl"


# -- the link


def test_a_token_names_its_tenant_and_thread() -> None:
    token = preferences_token(KEY, TENANT_ID, THREAD_ID)
    assert read_preferences_token(KEY, token) == (TENANT_ID, THREAD_ID)
    assert token.isascii() and token.isalnum() and token == token.lower()


@given(at=st.integers(0, 65), letter=st.sampled_from("0123456789abcdefghijklmnopqrstuvwxyz"))
def test_a_token_with_another_letter_is_none(at: int, letter: str) -> None:
    token = preferences_token(KEY, TENANT_ID, THREAD_ID)
    changed = token[:at] + letter + token[at + 1 :]
    assert (read_preferences_token(KEY, changed) != ("", "")) == (changed == token)


@given(st.text(max_size=3000))
def test_any_text_is_read_as_no_token(text: str) -> None:
    assert read_preferences_token(KEY, text) == ("", "")


def test_another_key_none_and_the_proof_of_a_reply_address_prove_nothing() -> None:
    token = preferences_token(KEY, TENANT_ID, THREAD_ID)
    assert read_preferences_token(preferences_key(b"j" * 32), token) == ("", "")
    assert read_preferences_token(b"", preferences_token(b"", TENANT_ID, THREAD_ID)) == ("", "")
    assert thread_mac(b"k" * 32, TENANT_ID, THREAD_ID) not in token


# -- the header


def frame(optional: bool, public_url: str = "https://mail.acme.test") -> bytes:
    letterhead = Letterhead(
        "mail.x.test", parse_address("n@x.test"), "r.x.test", "inbox.x.test", b"k" * 32, public_url=public_url
    )
    tenant = Tenant(TENANT_ID, "acme", "Acme", "ro", "Europe/Chisinau", "", "shared", {})
    now = datetime(2026, 11, 24, tzinfo=UTC)
    made = letterhead.frame(tenant, parse_address("n@x.test"), "m" * 20, THREAD_ID, now, optional=optional)
    return b"".join(frame_fields(made))


def test_the_header_names_the_page_and_an_address_in_short_lines() -> None:
    fields = frame(optional=True)
    token = preferences_token(KEY, TENANT_ID, THREAD_ID)
    named = f"List-Unsubscribe: <https://mail.acme.test/preferences/{token}>,\r\n <mailto:acme+{THREAD_ID}"
    assert named.encode() in fields
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in fields
    assert max(map(len, fields.split(b"\r\n"))) < 200


def test_mail_that_a_customer_needs_has_no_such_header_and_without_pages_no_click() -> None:
    assert b"unsubscribe" not in frame(optional=False).lower()
    assert b"<mailto:" in frame(optional=True, public_url="")
    assert b"List-Unsubscribe-Post" not in frame(optional=True, public_url="")


def test_every_reminder_and_nothing_else_may_be_turned_off() -> None:
    assert set(templates()) >= OPTIONAL == set(UNWANTED)
    assert not is_optional("new_invoice", {}) and not is_optional("estimate", {})
    assert is_optional("estimate", {"reminder": True}) and is_optional("late_payment_reminder", {})


def test_every_way_of_turning_off_has_its_translations() -> None:
    assert {CUSTOMER, BY_ONE_CLICK, ON_THE_PAGE, BY_MAIL} <= set(WAYS)
