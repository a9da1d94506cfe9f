"""`gateway inbox search`, `reindex` and `saved` as an admin types them."""

from pathlib import Path

import pytest
from journeys.letters import compose
from journeys.shell import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """An installation with one tenant and one document's thread, whose mail was only stored."""
    made = Shell(tmp_path)
    made("init", "--domain", "acme.example")
    made("tenant", "add", "acme", "--company", "Acme SRL")
    return made


def test_threads_are_found_when_the_index_was_built(shell: Shell) -> None:
    (shell.folder / "mail.eml").write_bytes(compose("Plată târzie", "Contul nr. 5"))
    shell("send", "mail.eml", "--to", "ana@client.example")
    assert shell("inbox", "search", "plata", "--json").json["lines"] == []
    assert "reindex" in shell("inbox", "search", "plata").err
    assert shell("inbox", "reindex", "--json").json == {"threads": 1}
    found = shell("inbox", "search", "plata", "from:acme", "--json").json
    assert [part for line in found["lines"] for part in line["snippet"] if part[1]] == [["Plată", True]]
    assert "[Plată]" in shell("inbox", "search", "plata").out
    assert "indexed 1 threads" in shell("inbox", "reindex", "--fresh").out
    assert shell("inbox", "search", "nimic").out.strip() == "nothing was found"


def test_a_wrong_query_says_what_to_write(shell: Shell) -> None:
    assert "did you mean from:" in shell("inbox", "search", "form:ana", status=1).err
    assert "close it with )" in shell("inbox", "saved", "add", "big", "(a", status=1).err
    shell("inbox", "reindex", "--fresh", "--tenant", "acme", status=2)


def test_searches_are_saved_by_name(shell: Shell) -> None:
    shell("inbox", "saved", "add", "big", "amount:>1000", "is:open")
    assert [one["query"] for one in shell("inbox", "saved", "list", "--json").json] == ["amount:>1000 is:open"]
    shell("inbox", "saved", "remove", "big")
    assert "there is no search 'big'" in shell("inbox", "saved", "remove", "big", status=1).err
