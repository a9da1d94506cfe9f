"""The period of a statement in subjects and file names, in three languages; what names no year is none."""

import pytest

from gateway.outbound.numbers import find_type
from gateway.outbound.periods import find_period

OCTOBER = ("2026-10-01", "2026-10-31")
THIRD = ("2026-07-01", "2026-09-30")


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("Extras de cont pentru octombrie 2026", OCTOBER),
        ("Extras de cont, luna octombrie a anului 2026", None),
        ("Выписка по счёту за октябрь 2026 г.", OCTOBER),
        ("Statement of account, October 2026", OCTOBER),
        ("Statement for Oct. 2026", OCTOBER),
        ("Extras de cont 10.2026", OCTOBER),
        ("Extras de cont 10/2026", OCTOBER),
        ("statement_2026-10.pdf", OCTOBER),
        ("Extras de cont 01.10.2026 - 31.10.2026", OCTOBER),
        ("Extras de cont 01.10–31.10.2026", OCTOBER),
        ("Акт сверки за период с 01.10.2026 по 31.10.2026", OCTOBER),
        ("Extras de cont: 2026-10-01 până la 2026-10-31", OCTOBER),
        ("Act de verificare 15.12-14.01.2027", ("2026-12-15", "2027-01-14")),
        ("Extras de cont la 31.10.2026", ("2026-10-31", "2026-10-31")),
        ("Extras de cont, trimestrul III 2026", THIRD),
        ("Extras de cont T3 2026", THIRD),
        ("Акт сверки за 3 квартал 2026", THIRD),
        ("Акт сверки за III кв. 2026 г.", THIRD),
        ("Statement Q3 2026", THIRD),
        ("Extras de cont pentru februarie 2028", ("2028-02-01", "2028-02-29")),
        ("Extras de cont pentru octombrie", None),
        ("Extras de cont 2026", None),
        ("Extras de cont 31.02.2026", None),
        ("Statement", None),
        ("Statement of 12,500.00 MDL", None),
    ],
)  # fmt: skip
def test_the_table(text: str, period: tuple[str, str] | None) -> None:
    assert find_period([text]) == period


def test_the_subject_counts_before_the_files() -> None:
    assert find_period(["Extras de cont", "extras_2026-10.pdf"]) == OCTOBER
    assert find_period(["Extras de cont 10.2026", "extras_2026-11.pdf"]) == OCTOBER


@pytest.mark.parametrize(
    ("text", "type"),
    [
        ("Extras de cont pentru octombrie 2026", "statement"),
        ("Выписка за октябрь", "statement"),
        ("account_statement_2026-10.pdf", "statement"),
        ("Factura și extrasul de cont", "invoice"),
        ("Bună ziua", ""),
    ],
)
def test_the_type_that_words_say_without_a_number(text: str, type: str) -> None:
    assert find_type([text]) == type


def test_hostile_text_costs_nothing() -> None:
    for text in ("1" * 100_000, "01.10-" * 20_000, "octombrie " * 20_000, "iii " * 30_000):
        assert find_period([text]) is None
