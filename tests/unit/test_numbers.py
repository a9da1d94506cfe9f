"""The number of a document in subjects and file names: a labelled table in three languages, masks, bounds."""

from pathlib import Path

import pytest

from gateway.mail.reply import Refused
from gateway.outbound.numbers import SUBJECT_LIMIT, find_number, words
from gateway.store.documents import DOCUMENT_TYPES
from gateway.store.settings import check_settings

TABLE = Path(__file__).with_name("numbers.tsv")


def labelled() -> list[tuple[str, str, str]]:
    lines = TABLE.read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return [(type.strip("-"), number, text) for type, number, text in rows]


def find(text: str, *masks: str) -> tuple[str, str]:
    is_file = text.startswith("file:")
    found = find_number("" if is_file else text, [text[5:]] if is_file else [], masks)
    return (found.type, found.number) if found else ("", "")


@pytest.mark.parametrize(("type", "number", "text"), labelled())
def test_the_table(type: str, number: str, text: str) -> None:
    assert find(text) == (type, number)


def test_the_table_is_large_and_has_what_is_no_number() -> None:
    rows = labelled()
    assert len(rows) > 180 and sum(not type for type, _, _ in rows) > 80
    assert {type for type, _, _ in rows if type} == set(DOCUMENT_TYPES) - {"autopay_failure"}


def test_marks_on_letters_and_their_absence_mean_the_same() -> None:
    for text in (
        "Notă de credit nr. 7",
        "Nota de credit nr. 7",
        "Nota\u0306 de credit nr.\u00a07",
        "NOTĂ DE CREDIT NR. 7",
    ):
        assert find(text) == ("credit_note", "7"), text
    for text in ("Chitanță 7", "Chitanţă 7", "Chitanta 7", "chitant\u0326a\u0306 7"):
        assert find(text) == ("receipt", "7"), text


def test_the_subject_counts_before_the_files_and_files_that_differ_say_nothing() -> None:
    assert find_number("Invoice 1", ["invoice_2.pdf"]).number == "1"  # type: ignore[union-attr]
    assert find_number("Hello", ["invoice_2.pdf", "invoice_3.pdf"]) is None
    assert find_number("Hello", ["invoice_2.pdf", "invoice 2.xml", "terms.pdf"]).number == "2"  # type: ignore[union-attr]


def test_a_tenants_own_masks_stand_in_place_of_our_words() -> None:
    assert find("Ref. CP-2026-0042, mulțumim", "CP-####-####") == ("invoice", "CP-2026-0042")
    assert find("Invoice 42", "CP-####-####") == ("", "")
    assert find("Notă de credit cp-2026-0042", "CP-####-####") == ("credit_note", "cp-2026-0042")
    assert find("About CN-12/b", "credit_note: CN-*") == ("credit_note", "CN-12/b")
    assert find("INV-7, please", "[invoice] INV-#*") == ("invoice", "INV-7")
    assert find("INV-77.", "[invoice] INV-#*", "INV-##") == ("invoice", "INV-77")
    assert find("file:CP-2026-0042.pdf", "CP-####-####") == ("invoice", "CP-2026-0042")
    for text in ("XCP-2026-0042", "CP-2026-00421", "CP-2026-004A", "CP-2026"):
        assert find(text, "CP-####-####") == ("", ""), text


@pytest.mark.parametrize("mask", ["", "ABC", "**-#", "#*-*", "a\n#", "foo: ##", "x" * 80 + "#"])
def test_a_mask_that_is_none_is_refused_with_the_right_form(mask: str) -> None:
    with pytest.raises(Refused, match="number pattern"):
        check_settings({"options": {"number_patterns": [mask]}})


def test_good_masks_are_taken_and_too_many_are_not() -> None:
    check_settings(
        {"options": {"number_patterns": ["CP-####-####", "[invoice] INV-#*", "credit_note: CN-*", "@@ ####"]}}
    )
    with pytest.raises(Refused, match="20 are the most"):
        check_settings({"options": {"number_patterns": ["#"] * 21}})


HOSTILE = {
    "Invoice " * 80: None,
    "Factura nr." * 60 + "x 1": None,
    "Factura " + "pentru luna " * 60 + "1": None,
    "Factura A" + "-A" * 300: None,
    "Factura " + "1-" * 250: None,
    "1" * 5000: None,
}


@pytest.mark.parametrize("text", HOSTILE)
def test_text_that_makes_a_greedy_search_explode_is_no_number(text: str) -> None:
    assert find_number(text, [text] * 30) is HOSTILE[text]
    assert find_number(text, [text] * 30, ["@@*@-####-####"]) is None


def test_only_the_beginning_of_a_subject_is_looked_at() -> None:
    assert find("x" * SUBJECT_LIMIT + " Invoice 42") == ("", "")


def test_every_word_is_about_a_type_of_document() -> None:
    assert set(words().type_of.values()) - {""} <= set(DOCUMENT_TYPES)
