"""`gateway suppression`, and the limits of tenants and credentials, as an admin types them."""

from pathlib import Path

import pytest
from journeys.shell import Shell, mail, send


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """An installation with one tenant and one credential."""
    made = Shell(tmp_path_factory.mktemp("cli-suppression"))
    made("init", "--domain", "gateway.test")
    made("tenant", "add", "acme", "--company", "Acme Servicii SRL", "--contact", "office@acme.test")
    made("credential", "add", "--username", "erp")
    return made


def rows(shell: Shell, *args: str) -> dict[str, dict[str, str]]:
    return {row["address"]: row for row in shell("suppression", "list", "--json", *args).json}


def test_mail_is_stopped_allowed_and_let_go_again(shell: Shell) -> None:
    assert shell("suppression", "add", "Ana@Client.test", "--expires", "90d").out.startswith(
        "no mail goes to Ana@Client.test any more, until 2"
    )
    made = rows(shell)["ana@client.test"]
    assert (made["reason"], made["source"], made["evidence"]) == ("blocked", "person", "stopped by the operator")
    assert made["expires_at"]
    sent = shell("send", "--json", "-", given=mail("ana@client.test")).json[0]
    assert "ana@client.test is suppressed since" in sent["text"] and "was not mailed" in sent["text"]
    assert "a person stopped mail to the address on" in shell("trace", sent["message"]).out
    forced = shell("send", "--json", "-", given=mail("ana@client.test", X_AR_Force="suppressed")).json[0]
    assert "suppressed" not in forced["text"]
    assert "whatever servers say" in shell("suppression", "allow", "ana@client.test").out
    assert rows(shell)["ana@client.test"]["reason"] == "allowed"
    assert "suppressed" not in shell("send", "--json", "-", given=mail("ana@client.test")).json[0]["text"]
    assert shell("suppression", "remove", "ana@client.test", "--json").json == {"removed": "ana@client.test"}
    assert rows(shell) == {}


def test_wrong_words_are_refused_with_the_right_form(shell: Shell) -> None:
    assert "is no time ahead; write 90d" in shell("suppression", "add", "a@b.test", "--expires", "soon", status=2).err
    assert "2020-01-01 is over" in shell("suppression", "add", "a@b.test", "--expires", "2020-01-01", status=1).err
    assert "is not a mail address" in shell("suppression", "allow", "nobody", status=1).err
    assert "spam_rejected" in shell("suppression", "add", "a@b.test", "--reason", "spam_rejected", status=2).err


def test_a_file_goes_in_and_comes_out_again(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "old.csv"
    file.write_text("Email;Reason\na@x.test;550 5.1.1 no such user\nb@x.test;550 5.7.1 spamhaus\n=c@x.test;\nnobody;\n")
    told = shell("suppression", "import", str(file))
    assert told.out == "2 added, 0 there already, 2 left out\n"
    assert "line 3: 550 5.7.1 spamhaus: ip_blocked is no fault of the address" in told.err
    assert "line 5: 'nobody' is not a mail address" in told.err
    again = shell("suppression", "import", "--json", str(file)).json
    assert (again["added"], again["known"], again["left_out"]) == (0, 2, 2)
    assert [fault["line"] for fault in again["faults"]] == [3, 5]
    out = shell("suppression", "export").out
    assert out.split("\n")[0] == "address,reason,evidence,source,since,expires"
    assert "\n'=c@x.test,blocked,,import," in out
    copy = tmp_path / "copy.csv"
    shell("suppression", "export", "-o", str(copy))
    assert copy.read_text("utf-8") == out
    for address in ("a@x.test", "=c@x.test"):
        shell("suppression", "remove", address)
    assert shell("suppression", "import", "-", given=out).out == "2 added, 0 there already, 0 left out\n"
    assert shell("suppression", "export").out.split("\n")[1].split(",")[:2] == ["'=c@x.test", "blocked"]
    assert list(rows(shell, "a@x")) == ["a@x.test"]
    assert "more than 1" in shell("suppression", "list", "--limit", "1").err
    assert "must name the columns" in shell("suppression", "import", "-", given="a@b.test\n", status=1).err
    assert len(shell("suppression", "export", "--json").json) == 2


def test_what_has_expired_is_off_the_list(shell: Shell) -> None:
    given = "address,expires\nold@x.test,2020-01-01\nnew@x.test,2099-01-01\n"
    assert shell("suppression", "import", "-", given=given).out.startswith("1 added, 0 there already")
    assert "new@x.test" in rows(shell) and "old@x.test" not in rows(shell)


def test_limits_are_set_shown_and_told(shell: Shell) -> None:
    sent = [send(shell, "zoe@client.test") for _ in range(2)]
    assert len(sent) == 2
    assert "no limit is set" in shell("tenant", "usage", "acme").out
    before = shell("tenant", "usage", "acme", "--json").json
    count = sum(hour["messages"] for hour in before["hours"] if hour["credential"] == "cli")
    assert count >= 2 and before["limits"] == []
    shell("tenant", "set", "acme", "--per-day", str(count), "--per-hour", "1000")
    told = shell("send", "-", given=mail("zoe@client.test"), status=1).err
    assert f"451 4.7.0 Daily limit of {count} reached for tenant acme; it resets at 00:00 +0" in told
    shown = shell("tenant", "usage", "acme").out
    assert f"the tenant: {count} of {count} messages today (100 %), until 00:00" in shown
    assert shown.count("\n") == 24 + 3 and "█" in shown
    assert "refused" in shell("inbox", "list").out
    shell("tenant", "set", "acme", "--per-day", "0", "--per-hour", "0")
    send(shell, "zoe@client.test")


def test_a_credential_is_limited(shell: Shell) -> None:
    assert shell("credential", "limit", "erp", "--per-hour", "10").out == "erp may hand over 10 an hour\n"
    [row] = shell("credential", "list", "--json").json
    assert (row["per_hour"], row["per_day"]) == (10, None)
    shell("credential", "limit", "ERP", "--per-day", "50", "--per-hour", "0")
    [row] = shell("credential", "list", "--json").json
    assert (row["per_hour"], row["per_day"]) == (None, 50)
    assert "there is no credential 'nobody'" in shell("credential", "limit", "nobody", "--per-day", "1", status=1).err
    assert "say --per-hour" in shell("credential", "limit", "erp", status=2).err
