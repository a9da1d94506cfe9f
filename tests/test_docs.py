"""The documentation is complete and true: what exists is written down, and what is written down exists.

Tables on the pages are compared with the code. Two parts of docs/operations.md are made from it: run this file,
`python tests/test_docs.py`, to write them anew, and gateway.example.toml too.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import click
import pytest
from postroom.postgres import Postgres
from sqlalchemy import Engine, inspect

from gateway import cli, config
from gateway.inbound.replies import OPENS
from gateway.inbox.acting import REOPENED
from gateway.inbox.search_operators import OPERATORS
from gateway.mail.classify import Kind
from gateway.mail.reasons import SUPPRESSING, VOCABULARY
from gateway.outbound.control import FIELDS
from gateway.outbound.queue import STATES
from gateway.outbound.triggers import TRIGGERS
from gateway.store import upgrade
from gateway.store.database import open_engine
from gateway.store.events import TYPES
from gateway.store.schema import metadata
from gateway.web.words import CHIPS, KINDS

ROOT = Path(__file__).resolve().parents[1]
OPERATIONS, SMTP, GLOSSARY = (ROOT / "docs" / f"{name}.md" for name in ("operations", "smtp", "glossary"))
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "docs" / "design.md", OPERATIONS, SMTP, GLOSSARY)


@cache
def read(page: Path) -> str:
    """The text of a page."""
    return page.read_text("utf-8")


def first_column(page: Path, heading: str) -> list[str]:
    """The first cells, without back-ticks, of the table under the header cell `heading`."""
    found = re.search(rf"^\| {re.escape(heading)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", read(page), re.M)
    assert found, f"{page.name} has no table that begins with | {heading} |"
    return [line.split("|")[1].strip().strip("`") for line in found[1].strip().split("\n")]


def rows(page: Path, heading: str) -> dict[str, list[str]]:
    """The table's rows by their first cells."""
    names = set(first_column(page, heading))
    lines = [line.strip("|").split("|") for line in read(page).split("\n") if line.startswith("|")]
    named = {cells[0].strip(" `"): [cell.strip() for cell in cells] for cells in lines}
    return {name: named[name] for name in names}


# -- commands


def commands() -> Iterator[tuple[str, click.Command]]:
    """("queue list", its command) of every command that does something."""

    def walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
        if isinstance(command, click.Group):
            for name in command.list_commands(click.Context(command)):
                found = command.get_command(click.Context(command), name)
                assert found is not None
                yield from walk(f"{path} {name}".strip(), found)
        else:
            yield path, command

    yield from walk("", cli.gateway)


def commands_text() -> str:
    """Every command with its arguments and options, as docs/operations.md lists them."""
    lines = []
    for path, command in commands():
        about = " ".join((command.help or "").split())
        wanted = [p.make_metavar(click.Context(command)) for p in command.params if isinstance(p, click.Argument)]
        lines.append(f"- **`gateway {' '.join((path, *wanted))}`** {about}")
        for option in command.params:
            if isinstance(option, click.Option) and option.name != "as_json":
                lines.append(f"  - `{'`, `'.join((*option.opts, *option.secondary_opts))}`{_explain(option)}")
    return "\n".join(lines) + "\n"


def _explain(option: click.Option) -> str:
    words = f" {option.help}" if option.help else ""
    if isinstance(option.type, click.Choice):
        words += f" One of {', '.join(map(str, option.type.choices))}."
    default = option.default
    if option.show_default and default not in (None, "", ()) and not option.is_flag:
        words += f" Default: {', '.join(default) if isinstance(default, tuple) else default}."
    return words


def test_every_command_and_option_is_on_the_page_as_it_is() -> None:
    assert part(OPERATIONS, "commands") == commands_text(), "run: python tests/test_docs.py"


def test_every_command_and_option_says_what_it_does() -> None:
    for path, command in commands():
        assert command.help, f"gateway {path} has no help"


SPAN = re.compile(r"`gateway (?:-c \S+ )?([a-z-]+(?: [a-z]+)?)")
BLOCK = re.compile(r"^ *```.*\n(.*?)```", re.M | re.S)
LINE = re.compile(r"^ *(?:sudo (?:-u \S+ )?)?(?:\S*/)?gateway (?:-c \S+ )?([a-z-]+(?: [a-z]+)?)", re.M)


def named_commands() -> Iterator[tuple[str, str]]:
    """(where, the words after `gateway`) in back-ticks and code blocks of every page and every text of the code."""
    for page in (*PAGES, *sorted((ROOT / "gateway").rglob("*.py"))):
        text = page.read_text("utf-8")
        blocks = BLOCK.findall(text) if page.suffix == ".md" else []
        for words in (*SPAN.findall(text), *(words for block in blocks for words in LINE.findall(block))):
            yield page.name, words


def test_no_page_and_no_message_names_a_command_that_does_not_exist() -> None:
    known = {" ".join(path.split()[:deep]) for path, _ in commands() for deep in (1, 2)}  # and groups within groups
    groups = {path.split()[0] for path, _ in commands() if " " in path}
    unknown = []
    for where, words in named_commands():
        first, _, second = words.partition(" ")
        if first not in known or (first in groups and second and f"{first} {second}" not in known):
            unknown.append(f"{where}: gateway {words}")
    assert not unknown, unknown
    assert len(list(named_commands())) > 60


def test_every_exit_status_is_explained() -> None:
    used = {0}  # what a program ends with by itself
    for path in sorted((ROOT / "gateway" / "cli").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in ("_end", "sys.exit", "SystemExit"):
                used |= {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, int)}
    assert {int(status) for status in first_column(OPERATIONS, "exit status")} == used


# -- configuration


def config_text() -> str:
    """Every key, its default and its meaning, as docs/operations.md lists them."""
    lines, last = ["| key | default | meaning |", "|---|---|---|"], None
    for section, key, default, about in config.describe():
        if section != last and section:
            lines.append(f"| **[{section}]** | | |")
        last = section
        shown = str(default).lower() if isinstance(default, bool) else default
        shown = f'"{default}"' if isinstance(default, str) else shown
        lines.append(f"| `{key}` | `{shown}` | {about.replace('|', '/')} |")
    return "\n".join(lines) + "\n"


def test_every_key_of_the_configuration_is_on_the_page_as_it_is() -> None:
    assert part(OPERATIONS, "config") == config_text(), "run: python tests/test_docs.py"


def test_the_example_is_the_sample_that_init_writes() -> None:
    assert read(ROOT / "gateway.example.toml") == config.write_sample(), "run: python tests/test_docs.py"


# -- words


def test_every_table_is_explained_with_its_one_writer() -> None:
    told = {name: cells[2] for name, cells in rows(GLOSSARY, "table").items()}
    assert told == {table.name: table.comment for table in metadata.tables.values()}


def test_every_event_is_explained() -> None:
    assert sorted(first_column(SMTP, "event")) == sorted(TYPES)


def test_every_field_of_a_billing_system_is_explained() -> None:
    assert set(first_column(SMTP, "field")) == set(FIELDS)


def test_every_event_of_a_document_is_explained_with_its_template() -> None:
    told = {name: (cells[1].strip("` ") if cells[1].startswith("`") else "", bool(cells[2])) for name, cells in
            rows(SMTP, "document event").items()}  # fmt: skip
    assert told == {name: (trigger.template, trigger.holds) for name, trigger in TRIGGERS.items()}


def test_every_operator_of_a_search_is_explained() -> None:
    told = {name: cells[1] for name, cells in rows(OPERATIONS, "operator").items()}
    assert told == {operator.example: operator.about for operator in OPERATORS.values()}
    assert all(operator.example.startswith(f"{name}:") for name, operator in OPERATORS.items())


def test_every_state_of_a_delivery_is_explained() -> None:
    assert sorted(first_column(SMTP, "state")) == sorted(STATES)


def test_every_reason_is_explained_and_whether_it_suppresses() -> None:
    told = {name: cells[2] == "yes" for name, cells in rows(SMTP, "reason").items()}
    assert told == {reason: reason in SUPPRESSING for reason in VOCABULARY}


def test_every_kind_of_incoming_mail_is_explained() -> None:
    assert set(first_column(SMTP, "kind")) == {*map(str, Kind), "unreadable"} == set(KINDS)


OPENING = ("open_thread", "open_by_machine")


def set_chips() -> set[str]:
    """The chips that some code gives a thread, apart from reasons."""
    found = {*OPENS.values(), REOPENED}
    for path in (ROOT / "gateway").rglob("*.py"):
        module = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in OPENING and len(node.args) > 4:
                found |= set(_values(path, node.args[4]))
    return found


def _values(path: Path, node: ast.expr) -> Iterator[str]:
    """The texts that an argument can be: written there, or constants of its module. What is computed is a reason."""
    if isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from _values(path, value)
    elif isinstance(node, ast.Name) and node.id.isupper():
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield str(getattr(import_module(name), node.id))


def test_every_chip_is_explained_and_has_words_on_the_page() -> None:
    chips = set_chips()
    assert {"reply", "unclear", "reopened"} <= chips
    assert set(first_column(SMTP, "chip")) == chips | {"a reason"}
    assert chips | VOCABULARY <= set(CHIPS), f"gateway/web/words.py says nothing of {(chips | VOCABULARY) - set(CHIPS)}"


LOGGED = re.compile(r"\blog\.(debug|info|warning|error)\(\s*\"([a-z_.]+)\"")


def test_every_line_of_the_log_is_explained() -> None:
    written = {
        found[2]: found[1]
        for path in (ROOT / "gateway").rglob("*.py")
        if "demo" not in path.parts
        for found in LOGGED.finditer(path.read_text("utf-8"))
    }
    assert {name: cells[1] for name, cells in rows(OPERATIONS, "event").items()} == written


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]*))?\)", read(page)):
            path = (page.parent / target).resolve() if target else page
            assert path.exists(), f"{page.name} links to {target}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.M)
                known = {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
                assert anchor in known, f"{page.name} links to {target}#{anchor}"


# -- the schema


def shape(engine: Engine) -> dict[str, object]:
    """All that a database says of its tables, apart from Alembic's own."""
    seen = inspect(engine)
    shown: dict[str, object] = {}
    for table in seen.get_table_names():
        if table != "alembic_version" and not table.startswith("search_words"):  # FTS5's own, made with the schema
            columns = [{k: str(v) for k, v in column.items()} for column in seen.get_columns(table)]
            shown[table] = (columns, seen.get_pk_constraint(table), seen.get_unique_constraints(table))
    with engine.connect() as connection:
        found = connection.exec_driver_sql(_INDEXES[engine.dialect.name]).all()
    shown["indexes"] = sorted((row[0], re.sub(r"\s+", " ", row[1])) for row in found if row[1])
    return shown


# The inspector knows no index of expressions on SQLite.
_INDEXES = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name <> 'alembic_version'",
    "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' "
    "AND tablename <> 'alembic_version'",
}


def assert_migrations_make_the_schema(migrated_url: str, made_url: str) -> None:
    """Compare a database that the migrations made with one that `store.schema` made."""
    migrated, made = open_engine(migrated_url), open_engine(made_url)
    try:
        assert upgrade.outdated(migrated) == "the database is empty; run `gateway init`"
        assert upgrade.upgrade(migrated) == upgrade.HEAD
        assert upgrade.outdated(migrated) == ""
        first = shape(migrated)
        assert upgrade.upgrade(migrated) == upgrade.HEAD
        assert shape(migrated) == first, "a second time must change nothing"
        metadata.create_all(made)
        wanted = shape(made)
        assert len(wanted) == len(metadata.tables) + 1
        for name in wanted:
            assert first[name] == wanted[name], name
        assert first.keys() == wanted.keys()
    finally:
        migrated.dispose()
        made.dispose()


@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_migrations_make_the_schema_on_sqlite(tmp_path: Path) -> None:
    assert_migrations_make_the_schema(*(f"sqlite:///{tmp_path / name}.db" for name in ("migrated", "made")))


@pytest.mark.integration
def test_migrations_make_the_schema_on_postgresql(postgres: Postgres) -> None:
    assert_migrations_make_the_schema(postgres.create_database(), postgres.create_database())


def test_the_newest_migration_is_the_one_that_this_version_asks_for() -> None:
    versions = ROOT / "gateway" / "store" / "migrations" / "versions"
    found = {path.name.partition("_")[0] for path in versions.glob("[0-9]*.py")}
    assert max(found) == upgrade.HEAD
    for path in versions.glob("[0-9]*.py"):
        assert f'revision = "{path.name.partition("_")[0]}"' in path.read_text("utf-8"), path.name


# -- the parts that are made


def part(page: Path, name: str) -> str:
    """The text between a page's markers."""
    found = re.search(_between(name), read(page), re.S)
    assert found, f"{page.name} has no part {name}"
    return found[2]


def _between(name: str) -> str:
    return rf"(<!-- {name}: [^\n]*-->\n\n?)(.*?)(\n?<!-- end of {name} -->)"


def write_parts() -> None:
    """Write the made parts anew."""
    text = read(OPERATIONS)
    for name, made in (("config", config_text()), ("commands", commands_text())):
        found = re.search(_between(name), text, re.S)
        assert found
        text = f"{text[: found.start()]}{found[1].strip()}\n\n{made}\n{found[3].strip()}{text[found.end() :]}"
    OPERATIONS.write_text(text, "utf-8")
    (ROOT / "gateway.example.toml").write_text(config.write_sample(), "utf-8")


if __name__ == "__main__":
    write_parts()
