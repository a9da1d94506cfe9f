"""`gateway tenant numbers` and the masks of a tenant, and the operator's inbox, as an admin types them."""

import pytest
from journeys.shell import Shell


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """An installation with one tenant."""
    made = Shell(tmp_path_factory.mktemp("cli-numbers"))
    made("init", "--domain", "gateway.test")
    made("tenant", "add", "acme", "--company", "Acme Servicii SRL", "--contact", "office@acme.test")
    return made


def test_numbers_are_explained_by_our_words_and_by_a_tenants_masks(shell: Shell) -> None:
    said = shell("tenant", "numbers", "acme", "Factura nr. ABC 0001").out
    assert "invoice ABC 0001: the subject says 'Factura' and 'ABC 0001'" in said
    assert "no document" in shell("tenant", "numbers", "acme", "Factura 2026").out
    found = shell("tenant", "numbers", "acme", "Salut", "--file", "credit_note_CN-7.pdf", "--json").json
    assert (found["found"]["type"], found["found"]["number"]) == ("credit_note", "CN-7")
    shell("tenant", "set", "acme", "--number-pattern", "CP-####-####", "--number-pattern", "credit_note: NC-#*")
    assert shell("tenant", "show", "acme", "--json").json["options"]["number_patterns"] == [
        "CP-####-####",
        "credit_note: NC-#*",
    ]
    assert "fits the mask 'CP-####-####'" in shell("tenant", "numbers", "acme", "Plata CP-2026-0042").out
    assert "its own patterns" in shell("tenant", "numbers", "acme", "Factura nr. 42").out
    shell("tenant", "set", "acme", "--no-number-patterns")
    assert "invoice 42" in shell("tenant", "numbers", "acme", "Factura nr. 42").out


def test_a_mask_that_is_none_is_refused_with_the_right_form(shell: Shell) -> None:
    assert "write CP-####-####" in shell("tenant", "set", "acme", "--number-pattern", "ABC", status=1).err
    assert "is no type of document" in shell("tenant", "set", "acme", "--number-pattern", "bill: ##", status=1).err


def test_the_operators_inbox_is_that_of_the_postmaster(shell: Shell) -> None:
    assert "nothing to do" in shell("inbox", "list", "--tenant", "postmaster").out
    assert "there is no thread" in shell("inbox", "show", "--tenant", "postmaster", "x" * 20, status=1).err
