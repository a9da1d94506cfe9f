"""The rules of the house, executed: who may import whom, who may use which library, who writes a table, how long.

Reads the source with `ast` and never runs it. Each rule is a table at the top of its part; an exception stands in the
table with its reason, and an exception that is no longer needed fails too. A rule tells all that breaks it at once.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest
from sqlalchemy import Table

from gateway.store import schema

ROOT = Path(__file__).resolve().parents[1]
Function = ast.FunctionDef | ast.AsyncFunctionDef
Complaints = list[str]


@dataclass(frozen=True)
class Source:
    """One Python file of the tree."""

    path: Path

    @cached_property
    def name(self) -> str:
        """Its path from the top of the tree, as failures name it."""
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def module(self) -> str:
        """Its dotted name; a package's own file is named as the package."""
        return self.name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def place(self) -> str:
        """Its dotted name within the package: `outbound.queue`."""
        return self.module.removeprefix("gateway").lstrip(".")

    @property
    def room(self) -> str:
        """The part of the house that it stands in: `outbound`, `config`, ... ("" for gateway/__init__.py)."""
        return self.place.split(".")[0]

    @cached_property
    def lines(self) -> list[str]:
        """Its text, line by line."""
        return self.path.read_text("utf-8").removesuffix("\n").split("\n")

    @cached_property
    def tree(self) -> ast.Module:
        """Its text as Python sees it."""
        return ast.parse("\n".join(self.lines))

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node of the tree."""
        return tuple(ast.walk(self.tree))

    @cached_property
    def imports(self) -> tuple[tuple[ast.stmt, str], ...]:
        """(statement, dotted module) of everything it imports; `from package import module` names the module."""
        return tuple(self._imports())

    def _imports(self) -> Iterator[tuple[ast.stmt, str]]:
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from ((node, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = "." * node.level + (node.module or "")
                for alias in node.names:
                    inner = f"{base}.{alias.name}"
                    yield node, inner if alias.name == "*" or inner in modules() else base

    @cached_property
    def functions(self) -> tuple[tuple[Function, bool], ...]:
        """(function, whether it is public): every function and method, those within functions too."""
        return tuple(_walk(self.tree, True))


def _walk(node: ast.AST, public: bool) -> Iterator[tuple[Function, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield child, public and not child.name.startswith("_")
            yield from _walk(child, False)
        else:
            yield from _walk(child, public and not getattr(child, "name", "").startswith("_"))


@cache
def sources(folder: str) -> tuple[Source, ...]:
    """The Python files below a folder."""
    found = sorted((ROOT / folder).rglob("*.py"))
    return tuple(Source(path) for path in found if "__pycache__" not in path.parts)


def everything() -> tuple[Source, ...]:
    """All our Python."""
    return (*sources("gateway"), *sources("tests"), *sources("bench"))


@cache
def modules() -> frozenset[str]:
    """Every module of the package by its dotted name."""
    return frozenset(source.module for source in sources("gateway"))


def within(name: str, allowed: Iterable[str]) -> bool:
    """Whether a dotted name is one of those allowed, or below one."""
    return any(name == one or name.startswith(f"{one}.") for one in allowed)


def none(complaints: Complaints) -> None:
    """Fail with every complaint, a line each."""
    assert not complaints, "\n" + "\n".join(complaints)


# -- who may import whom

QUEUE_AND_SUPPRESSION = ("outbound.queue", "outbound.queue_list", "outbound.queue_scheduled", "outbound.suppression")
SET_UP = tuple(
    f"outbound.{one}" for one in "https texts oauth server_account server_trial domain_watch suppression_csv".split()
)
_ASKED = "beforehand documents document_pdf handed handed_document message_acts printing requests request_preview"
REQUESTS = (*(f"outbound.{name}" for name in _ASKED.split()), "outbound.template_list", "wire.capacity", "wire.workers")
WRITING_MAIL = tuple(f"outbound.{one}" for one in "answering attachments letterhead signature texts".split())
_SENT = "automation control customers desk document_mail documents handed request_preview requests submission".split()
SENDING = tuple(f"outbound.{one}" for one in _SENT)  # documents by hand
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "": (),
    "config": (),  # and rooms are given values, never the Config
    "mail": (),
    "wire": ("mail",),
    "store": ("mail",),
    "outbound": ("store", "mail", "wire"),
    "inbound": (
        *(f"outbound.{one}" for one in "queue queue_find numbers suppression oauth".split()),
        *("store", "mail", "wire"),
    ),
    "inbox": (*WRITING_MAIL, *SENDING, *QUEUE_AND_SUPPRESSION, "store", "mail"),
    "settings": ("outbound", "store", "mail", "wire"),  # what administrators do; so inbox stays small
    "web": ("inbox", "settings", "outbound.submission", *QUEUE_AND_SUPPRESSION, *SET_UP, *REQUESTS, "store", "mail"),
}
ROOTS = ("serve", "cli", "demo")  # these may import anything
IMPURE = frozenset(
    "asyncio multiprocessing os random secrets select socket sqlite3 ssl subprocess tempfile threading time".split()
)


def test_a_room_imports_only_the_rooms_that_it_may() -> None:
    none(
        [
            f"{source.name}:{node.lineno}: {source.room} may not import {module}"
            for source in sources("gateway")
            if source.room not in ROOTS
            for node, module in source.imports
            if module.startswith("gateway.")
            and not within(module.removeprefix("gateway."), (source.room, *MAY_IMPORT[source.room]))
        ]
    )


def test_the_room_of_mail_is_pure() -> None:
    none(
        [
            f"{source.name}:{node.lineno} imports {module}; mail/ takes bytes and gives values"
            for source in sources("gateway/mail")
            for node, module in source.imports
            if (top := module.split(".")[0]) != "gateway" and (top in IMPURE or top not in sys.stdlib_module_names)
        ]
    )


def test_imports_name_whole_modules() -> None:
    none(
        [
            f"{source.name}:{node.lineno} imports {module}; name in full what is used"
            for source in everything()
            for node, module in source.imports
            if module.startswith(".") or module.endswith(".*")
        ]
    )


def test_no_module_imports_itself_through_others() -> None:
    known = {s.module: sorted({m for _, m in s.imports if m in modules()}) for s in sources("gateway")}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"a cycle: {' -> '.join((*path[path.index(module) :], module))}"
        if module not in done:
            for other in known[module]:
                visit(other, (*path, module))
            done.add(module)

    for module in known:
        visit(module, ())


def test_an_import_within_a_function_says_why() -> None:
    none(
        [
            f"{source.name}:{node.lineno}: say in a comment why it is not imported at the top"
            for source in sources("gateway")
            for function, _ in source.functions
            for node in ast.walk(function)
            if isinstance(node, ast.Import | ast.ImportFrom)
            and "#" not in "".join(source.lines[node.lineno - 2 : (node.end_lineno or node.lineno) + 1])
        ]
    )


# -- libraries and their porters: each is spoken to in a few places, so that it can be replaced there

PORTERS: dict[str, tuple[str, ...]] = {
    "aiosmtpd": ("wire",),
    "alembic": ("store",),
    "argon2": ("store.tenants",),
    "authlib": ("outbound.oauth",),
    "babel": ("outbound.texts", "outbound.sheet", "web.translation", "demo.mails"),
    "click": ("cli",),
    "cryptography": ("store.sealed", "outbound.signing", "outbound.dane", "cli.setup", "serve.health"),
    "dns": ("outbound.mx", "outbound.dns_questions"),
    "dkim": ("inbound.sender_checks",),
    "email": ("cli.send", "demo"),  # the standard library's: too slow and too trusting for the doors
    "fastapi": ("web",),
    "fontpkg_pt_sans": ("outbound.pdf",),
    "imapclient": ("inbound.imap_session",),
    "joserfc": ("web.oidc.claims",),
    "jinja2": ("outbound.pages", "outbound.tenant_language", "web.pages"),
    "markupsafe": ("web",),
    "nh3": ("inbox.parts",),
    "pypdf": ("outbound.einvoice",),
    "pickle": ("wire.workers", "wire.worker_main"),  # between our own processes only
    "pydantic": ("outbound.documents", "web.api"),
    "pydantic_core": ("outbound.documents",),
    "rich": ("cli.common",),
    "segno": ("outbound.pdf", "web.second_step"),
    "smtplib": ("demo",),  # the outside world's; ours is outbound.smtp_client
    "spftrace": ("inbound.sender_checks",),
    "sqlalchemy": ("store", *QUEUE_AND_SUPPRESSION, "outbound.queue_find", "inbox"),
    "starlette": ("web",),
    "structlog": ("cli.common", "serve", "store", "wire", "inbound", "outbound", "web", "settings", "demo"),
    "subprocess": ("wire.fork_server", "cli.browser"),
    "threading": ("store.database", "store.reads", "store.writer", "wire.workers", "wire.fork_server", "serve.seated"),
    "uvicorn": ("serve",),
    "uvloop": ("serve",),
    "weasyprint": ("outbound.pdf",),
    "cssselect2": ("outbound.pdf",),
    "pydyf": ("outbound.pdf",),
}
DISTRIBUTIONS = {"argon2": "argon2-cffi", "dkim": "dkimpy", "dns": "dnspython"}
NEVER_IMPORTED = {
    "httptools": "uvicorn takes it when it is there",
    "python-multipart": "fastapi reads forms with it",
    "tzdata": "zoneinfo reads it where the system has none",
}
COME_WITH_ANOTHER = {
    "cssselect2": "weasyprint",
    "markupsafe": "jinja2",
    "pydantic-core": "pydantic",
    "pydyf": "weasyprint",
    "starlette": "fastapi",
}


def test_a_library_is_imported_by_its_porters_only() -> None:
    none(
        [
            f"{source.name}:{node.lineno} imports {top}; its porters are {', '.join(PORTERS.get(top, ('nobody yet',)))}"
            for source in sources("gateway")
            for node, module in source.imports
            if (top := module.split(".")[0]) != "gateway"
            and (top in PORTERS or top not in sys.stdlib_module_names)
            and not within(source.place, PORTERS.get(top, ()))
        ]
    )


def test_a_porter_has_something_to_carry() -> None:
    used = {(module.split(".")[0], source.place) for source in sources("gateway") for _, module in source.imports}
    none(
        [
            f"{place} imports {library} no more"
            for library, places in PORTERS.items()
            for place in places
            if not any(top == library and within(own, (place,)) for top, own in used)
        ]
    )


def test_dependencies_are_what_the_porters_import() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {re.split(r"[^\w.-]", line)[0].replace("_", "-").lower() for line in project["dependencies"]}
    imported = {DISTRIBUTIONS.get(top, top).replace("_", "-") for top in PORTERS if top not in sys.stdlib_module_names}
    assert imported - COME_WITH_ANOTHER.keys() == declared - NEVER_IMPORTED.keys()


# -- tables: one file writes each, and the table's comment says which

TABLES = {name: value for name, value in vars(schema).items() if isinstance(value, Table)}
WRITING = frozenset(("insert", "update", "delete", "upsert"))
RAW_SQL = re.compile(r"\b(?:INSERT\s+INTO|DELETE\s+FROM|UPDATE\s+\w+\s+SET)\b", re.I)


def written_tables(source: Source) -> set[str]:
    """The tables (by their names in `store.schema`) that a file inserts into, updates or deletes from."""
    known: dict[str, str] = {}
    for node in source.nodes:
        if isinstance(node, ast.ImportFrom) and node.module == "gateway.store.schema":
            known |= {alias.asname or alias.name: alias.name for alias in node.names if alias.name in TABLES}
    written = set()
    for node in source.nodes:
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Name):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in WRITING and node.args[0].id in known:
                written.add(known[node.args[0].id])
    return written


@pytest.mark.parametrize("table", sorted(TABLES))
def test_a_table_is_written_in_the_one_file_that_it_names(table: str) -> None:
    writers = {source.place.replace(".", "/") for source in sources("gateway") if table in written_tables(source)}
    assert writers == {TABLES[table].comment}


def test_a_table_is_named_as_it_is_imported() -> None:
    whole = [s.name for s in sources("gateway") for _, module in s.imports if module == "gateway.store.schema.*"]
    assert not [s for s in whole if not s.startswith("gateway/store/migrations")]


def test_no_table_is_written_in_sql_of_ones_own() -> None:
    none(
        [
            f"{source.name}:{node.lineno} writes by hand"
            for source in sources("gateway")
            for node in source.nodes
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and RAW_SQL.search(node.value)
        ]
    )


# -- sizes

FILE_LINES, FUNCTION_LINES = 300, 40
TESTS_FILE_LINES, TESTS_FUNCTION_LINES = 500, 50  # a journey is told from its beginning to its end
LONGER_FILES: dict[str, tuple[int, str]] = {
    "tests/journeys/test_web.py": (680, "every route of the pages stands in one list"),
    "gateway/config.py": (330, "every key of the configuration, a line each"),
    "gateway/outbound/queue.py": (800, "two tables that change together, and a table has one writing file"),
    "gateway/outbound/delivery.py": (465, "one loop, whose counters no second file may touch"),
    "gateway/outbound/documents/model.py": (350, "the schema's object model: fields, no logic"),
    "gateway/store/database.py": (340, "the door of the database, with its ids and times"),
    "gateway/store/transaction.py": (340, "all that differs between the dialects, in one view of them"),
    "gateway/store/schema.py": (880, "every table, in one place"),
}
LONGER_FUNCTIONS: dict[str, tuple[int, str]] = {
    "gateway/outbound/queue.py:enqueue": (54, "a row of twenty columns, each said once"),
    "gateway/wire/smtp_server.py:listen": (45, "fourteen options, each with its own line"),
    "tests/postroom/postfix.py:_settings": (56, "main.cf as a table"),
}
GENERATED = "gateway/store/migrations/versions/"  # written once, by Alembic, and never edited again


def of_tests(name: str) -> bool:
    """Whether a file is a test or a benchmark."""
    return name.startswith(("tests/", "bench/"))


def test_a_file_is_short() -> None:
    complaints = []
    for source in everything():
        usual = TESTS_FILE_LINES if of_tests(source.name) else FILE_LINES
        limit = LONGER_FILES.get(source.name, (usual, ""))[0]
        if len(source.lines) > limit and not source.name.startswith(GENERATED):
            complaints.append(f"{source.name} has {len(source.lines)} lines, more than {limit}")
    none(complaints)


def test_a_function_is_short() -> None:
    complaints = []
    for source in everything():
        usual = TESTS_FUNCTION_LINES if of_tests(source.name) else FUNCTION_LINES
        for function, _ in source.functions:
            limit = LONGER_FUNCTIONS.get(f"{source.name}:{function.name}", (usual, ""))[0]
            if length(function) > limit and not source.name.startswith(GENERATED):
                complaints.append(f"{source.name}:{function.lineno}: {function.name} has {length(function)} lines")
    none(complaints)


def length(function: Function) -> int:
    """The lines of a function, its signature included."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def test_an_exception_from_the_sizes_is_needed() -> None:
    known = {source.name: source for source in everything()}
    short = [name for name in LONGER_FILES if len(known[name].lines) <= FILE_LINES]
    for name in LONGER_FUNCTIONS:
        path, _, wanted = name.partition(":")
        found = [function for function, _ in known[path].functions if function.name == wanted]
        short += [] if any(length(function) > FUNCTION_LINES for function in found) else [name]
    assert not short, f"drop the exceptions of {short}"


# -- words

# methods that asyncio calls, whose meaning is its own documentation's
CALLBACKS = frozenset("connection_made data_received eof_received connection_lost pause_writing resume_writing".split())
REFUSED_NAMES = re.compile(r"(?:service|util|helper|manager|handler)s?\Z", re.I)
TO_DO = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME)\b")


def test_a_file_says_what_it_is() -> None:
    none(
        [
            f"{source.name}: open with 1-12 lines on what it is, who calls it, what it promises"
            for source in everything()
            if not 1 <= len(list(filter(None, (ast.get_docstring(source.tree) or "").split("\n")))) <= 12
        ]
    )


def test_a_public_function_says_what_it_does() -> None:
    none(
        [
            f"{source.name}:{function.lineno}: {function.name} has no docstring"
            for source in sources("gateway")
            if not source.name.startswith(GENERATED)
            for function, public in source.functions
            if public and function.name not in CALLBACKS and not ast.get_docstring(function)
        ]
    )


def test_names_are_nouns_of_the_field() -> None:
    complaints = []
    for source in everything():
        classes = [node.name for node in source.nodes if isinstance(node, ast.ClassDef)]
        words = [part for name in source.name.removesuffix(".py").split("/") for part in name.split("_")]
        words += [re.findall(r"[A-Z]+[a-z0-9]*|[a-z0-9]+", name)[-1] for name in classes]
        complaints += [f"{source.name}: {word} is no noun of the field" for word in words if REFUSED_NAMES.match(word)]
    none(complaints)


def test_only_the_command_line_prints() -> None:
    none(
        [
            f"{source.name}:{node.lineno} calls {node.func.id}"
            for source in sources("gateway")
            if source.room not in ("cli", "demo")
            for node in source.nodes
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("print", "breakpoint", "input")
        ]
    )


def test_nothing_is_left_to_do_in_a_comment() -> None:
    none([f"{s.name}: do it, or file an issue" for s in everything() if TO_DO.search("\n".join(s.lines))])


# -- the tree as others get it

PRIVATE = re.compile(r"(?<![\w.)\]}-])/(?:work|root|home/\w+|Users/\w+|opt/gw)/")
REGISTRIES = re.compile(r"\b(?:pypi|pythonhosted|npmjs|rubygems|crates)\.(?:org|com|io)\b")


def tree() -> list[Path]:
    """The files that a commit of the checkout would hold."""
    argv = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [path for name in done.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_names_a_private_path_or_a_registry() -> None:
    complaints = []
    for path in tree():
        text = path.read_bytes().decode("utf-8", "replace")
        found = [] if "\0" in text else [*PRIVATE.findall(text), *REGISTRIES.findall(text)]
        complaints += [f"{path.relative_to(ROOT)} names {one}" for one in found]
    none(complaints)


def test_no_secret_database_or_log_is_in_the_tree() -> None:
    refused = (".db", ".db-wal", ".db-shm", ".key", ".pem", ".sqlite", ".log")
    none([str(path.relative_to(ROOT)) for path in tree() if path.name.endswith(refused)])
