"""Typos of domains: what is one slip away is suggested, what is right or ambiguous is not."""

import csv
import io

import pytest

from gateway.inbox.suggesting import known_domains, mend_domain, slips, used_domains
from gateway.inbox.worklist import Bounced, write_csv


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("ana@gmial.com", "ana@gmail.com"),
        ("Ana@gmai.com", "ana@gmail.com"),
        ("ion@mail.ri", "ion@mail.ru"),
        ("ion@yandeks.ru", "ion@yandex.ru"),
        ("ana@codrul-verd.md", "ana@codrul-verde.md"),
        ("ana@gmail.com", ""),  # it is what it says
        ("ana@firma-noua.md", ""),
        ("no address", ""),
    ],
)
def test_a_slip_of_a_known_domain_is_mended(wrong: str, meant: str) -> None:
    used = used_domains([("id:1", "a@codrul-verde.md"), ("id:2", "b@codrul-verde.md"), ("id:3", "c@firma-noua.md")])
    assert mend_domain(wrong, used) == meant


def test_two_domains_as_near_are_no_suggestion_and_one_customers_domain_is_not_known() -> None:
    assert mend_domain("ana@abcdef.md", {"abcdeg.md", "abcdeh.md"}) == ""
    assert used_domains([("id:1", "a@own.md"), ("id:1", "b@own.md")]) == known_domains()


def test_slips_are_counted_and_given_up_beyond_the_most() -> None:
    assert [slips("gmail", other, 2) for other in ("gmail", "gmial", "gmai", "gmaill", "gnail", "outlook")] == [
        0, 1, 1, 1, 1, 3
    ]  # fmt: skip


def test_no_cell_of_the_exported_worklist_is_a_formula() -> None:
    evil = Bounced("=cmd@a.md", ("+Evil SRL",), (), "full", "@SUM(1)", None, (), (("MDL", "-5"),), ("=x@a.md",), "")
    file = io.StringIO()
    write_csv(file, [evil])
    assert next(csv.DictReader(io.StringIO(file.getvalue()))) == {
        "address": "'=cmd@a.md", "customer": "'+Evil SRL", "reason": "full", "words": "'@SUM(1)", "since": "",
        "missed": "0", "at_stake": "'-5 MDL", "suggestions": "'=x@a.md",
    }  # fmt: skip
