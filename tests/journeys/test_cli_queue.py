"""`gateway queue` and `tenant retry` as an admin types them: filters, what is asked before much is changed, summaries.

Nothing serves, so what is queued stays queued.
"""

import pytest
from journeys.shell import Shell, send


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """An installation with two tenants: acme has 12 deliveries to one domain and 2 to another, beta has 1."""
    made = Shell(tmp_path_factory.mktemp("cli-queue"))
    made("init", "--domain", "gateway.test")
    for slug in ("acme", "beta"):
        made("tenant", "add", slug, "--company", slug.title())
    many = ", ".join(f"p{number}@many.test" for number in range(12))
    send(made, f"{many}, ana@few.test, bob@few.test", tenant="acme")
    send(made, "carl@many.test", tenant="beta")
    return made


def states(shell: Shell, *filters: str) -> dict[str, int]:
    """How many deliveries there are by state, and of them those held."""
    rows = shell("queue", "list", "--state", "all", "--json", *filters).json
    counts: dict[str, int] = {}
    for row in rows:
        name = "held" if row["hold"] else row["state"]
        counts[name] = counts.get(name, 0) + 1
    return counts


@pytest.mark.timeout(300)  # a dozen processes, one after the other
def test_a_dry_run_shows_and_changes_nothing(shell: Shell) -> None:
    told = shell("queue", "cancel", "--to", "@many.test", "--dry-run")
    assert told.out.startswith("13 deliveries would be cancelled; nothing was changed\n")
    assert "carl@many.test" in told.out and "ana@few.test" not in told.out
    found = shell("queue", "cancel", "--to", "@many.test", "-t", "beta", "--dry-run", "--json").json
    assert (found["verb"], found["count"], found["first"][0]["recipient"]) == ("cancel", 1, "carl@many.test")
    id = found["first"][0]["id"]
    dry = shell("queue", "retry", id, "-t", "beta", "--dry-run", "--json").json
    assert (dry["count"], dry["first"][0]["id"]) == (1, id)
    assert states(shell) == {"queued": 15}


@pytest.mark.timeout(300)  # a dozen processes, one after the other
def test_a_filter_that_means_many_asks_first(shell: Shell) -> None:
    told = shell("queue", "hold", "--to", "@many.test", status=1)
    assert told.err == "Error: 13 deliveries would be held; look with --dry-run, and say --yes\n"
    assert shell("queue", "hold", "--to", "@few.test", "--why", "amount").out == "held 2 deliveries\n"
    assert shell("queue", "hold", "--all", "-t", "acme", "--yes", "--json").json == {"held": 12}
    assert states(shell) == {"held": 14, "queued": 1}
    assert shell("queue", "release", "--reason", "amount").out == "released 2 deliveries\n"
    nothing = shell("queue", "release", "--all", "--yes", "--older", "1h").out
    assert nothing == "nothing was released; no delivery is meant by that\n"
    assert shell("queue", "release", "--all", "--yes", "--json").json == {"released": 12}
    assert shell("queue", "cancel", "--to", "bob@", "--json").json == {"cancelled": 1}
    assert shell("queue", "retry", "--state", "cancelled", "--json").json == {"queued": 1}
    assert states(shell) == {"queued": 15}


def test_what_is_meant_must_be_said(shell: Shell) -> None:
    wrong = {
        "queue cancel -t acme": "or --all",
        "queue cancel abc --to x": "name IDs or filters, not both",
        "queue list --older 2": "is no length of time; write 90s, 10m, 2h, 3d or 1w",
    }
    for command, words in wrong.items():
        assert words in shell(*command.split(), status=2).err, command


def test_the_summary_says_what_waits_by_domain(shell: Shell) -> None:
    [full, few] = shell("queue", "summary", "--json").json
    assert (full["domain"], full["waiting"], full["held"]) == ("many.test", 13, 0)
    assert full["why"] == {"not tried yet": 13}
    assert few["domain"] == "few.test"
    told = shell("queue", "summary", "--limit", "1").out
    assert "many.test" in told and "not tried yet 13" in told and "and 1 more domains" in told


@pytest.mark.timeout(300)  # a dozen processes, one after the other
def test_a_tenants_policy_is_shown_and_changed(shell: Shell) -> None:
    usual = {"route": "direct", "first": 300, "longest": 14_400, "expire": 432_000}
    assert shell("tenant", "retry", "acme", "--json").json[0] == usual
    shell("tenant", "retry", "acme", "--first", "10m", "--expire", "2d")
    told = shell("tenant", "retry", "acme", "--route", "smtp", "--expire", "1d", "--json").json
    assert told == {"tenant": "acme", "route": "smtp", "changed": ["expire"]}
    rows = {row["route"]: row for row in shell("tenant", "retry", "acme", "--json").json}
    assert (rows["direct"]["first"], rows["direct"]["expire"], rows["smtp"]["expire"]) == (600, 172_800, 86_400)
    shown = shell("tenant", "retry", "acme").out.split("\n")
    assert shown[1].split() == ["direct", "10m", "4h", "2d"]
    assert "is not a number of 600 to" in shell("tenant", "retry", "acme", "--expire", "1m", status=1).err
    shell("tenant", "retry", "acme", "--first", "0", "--expire", "0")
    assert shell("tenant", "retry", "acme", "--json").json[0] == usual
