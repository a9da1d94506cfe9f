"""The language of a tenant's own texts: the harmless part of Jinja2, in the sandbox, over plain data.

Called by filling, in a worker process. There are variables, conditions, loops over what a document lists, and a few
filters; there are no calls, no assignments, no loops within loops, no arithmetic and nothing to load, so that a text is
done in time and size that grow with the document and no faster. `compile_text` refuses the rest in words; the sandbox
and the worker's limits stand behind it. A variable that is empty and unguarded is refused too: no sentence has a hole.
The result is plain text: the mail escapes it. A line that holds nothing but marks is no line.
"""

import difflib
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gateway.mail.reply import Refused
from gateway.outbound.documents.fields import date_of, decimal_of
from gateway.outbound.tenant_facts import BUTTON, LISTS, RECORDS, VARIABLES
from gateway.outbound.texts import capitalised, language

__all__ = ["FILTERS", "MAX_OUTPUT", "Missing", "compile_text", "say", "variables_of"]

MAX_SOURCE = 10_000  # characters of a text as it is written
MAX_OUTPUT = 20_000  # and as it is said
MAX_DEPTH = 30  # of marks and brackets within one another

FILTERS = (
    "capitalize", "capitalised", "d", "date", "default", "length", "lower", "money", "number", "replace", "short_date",
    "trim", "truncate", "upper",
)  # fmt: skip
_TESTS = ("defined", "divisibleby", "eq", "even", "ge", "gt", "in", "le", "lt", "ne", "none", "odd", "undefined")
_LOOP = ("index", "index0", "revindex", "first", "last", "length")
_ALLOWED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.If, nodes.For, nodes.CondExpr,
    nodes.And, nodes.Or, nodes.Not, nodes.Compare, nodes.Operand, nodes.Filter, nodes.Test, nodes.Getattr,
    nodes.Getitem, nodes.Slice, nodes.Concat, nodes.Tuple, nodes.List, nodes.Neg,
)  # fmt: skip
_NAMING = (nodes.Name, nodes.Getattr, nodes.Getitem)
_ONLY_MARKS = re.compile(r"^[ \t]*((?:\{%[^\n]*?%\}[ \t]*|\{#[^\n]*?#\}[ \t]*)+)\n", re.M)


class Missing(ValueError):
    """A sentence needs a variable that is empty."""

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"there is no {path}")


def say(source: str, code: str, facts: Mapping[str, Any]) -> str:
    """What a text says with these facts (`tenant_facts`), in the language `code`; may hold BUTTON_MARK.

    Raises `Refused` for a text that is none and for too long a result, `Missing` for an empty variable that the text
    does not ask for first.
    """
    template, said, size = compile_text(source, code), [], 0
    try:
        for part in template.generate(facts):
            said.append(part)
            if (size := size + len(part)) > MAX_OUTPUT:
                raise Refused(554, "5.6.0", f"says more than {MAX_OUTPUT} characters")
    except (Refused, Missing, MemoryError):
        raise
    except Exception as error:  # it is a program of somebody else's: it may fail in any way
        raise Refused(554, "5.6.0", f"cannot be filled in: {error}") from None
    return "".join(said)


@functools.lru_cache(256)
def compile_text(source: str, code: str) -> Template:
    """A text, ready to be said. Raises `Refused` 501 5.5.4 for what it may not hold, with its line."""
    if len(source) > MAX_SOURCE:
        raise _wrong(f"has {len(source)} characters; {MAX_SOURCE} are allowed")
    environment = _environment(code)
    try:
        tree = environment.parse(source)
        _Check(tree).look()
        tree = environment.parse(_ONLY_MARKS.sub(r"\1", source))
        _guard(environment, tree, frozenset())
        compiled = environment.compile(tree)
    except TemplateSyntaxError as error:
        raise _wrong(f"cannot be read: {error.message}", error.lineno) from None
    except (RecursionError, SyntaxError, OverflowError):
        raise _wrong("is nested too deep") from None
    except ValueError as error:  # a number of thousands of digits
        raise _wrong(f"cannot be read: {error}") from None
    return Template.from_code(environment, compiled, {})


def variables_of(source: str, code: str) -> set[str]:
    """The variables that a text speaks of, as `number` and `document.due_date`. Raises `Refused` as `compile_text`."""
    compile_text(source, code)
    tree = _environment(code).parse(source)
    named = {path for path in map(_path, tree.find_all(_NAMING)) if path}
    return {path for path in named if path.partition(".")[0] in (*VARIABLES, *LISTS, *RECORDS, BUTTON)}


@functools.cache
def _environment(code: str) -> ImmutableSandboxedEnvironment:
    words = language(code)
    environment = ImmutableSandboxedEnvironment(
        autoescape=False, undefined=StrictUndefined, finalize=_shown, cache_size=0
    )
    own: dict[str, Callable[..., Any]] = {
        "capitalised": capitalised,
        "date": lambda day: words.date(_day(day)),
        "short_date": lambda day: words.short_date(_day(day)),
        "money": lambda amount, currency: words.money(_amount(amount), str(currency)),
        "number": lambda amount: words.number(_amount(amount)),
        "default": _default,
        "d": _default,
        "replace": _replace,
        "truncate": lambda text, length=80: text if len(text) <= length else text[: max(length - 1, 0)].rstrip() + "…",
    }
    kept = {name: environment.filters[name] for name in FILTERS if name not in own}
    environment.filters = kept | own | {"told": _told}
    environment.tests = {name: environment.tests[name] for name in _TESTS}
    environment.globals = {}
    return environment


def _shown(value: Any) -> Any:
    """What a text may print: text and numbers, no list or record as a whole."""
    if not isinstance(value, str | int | StrictUndefined):
        raise ValueError("it prints a whole list; loop over it, as {% for line in lines %}, or name a part of it")
    return value


def _default(value: Any, instead: Any = "") -> Any:
    """`instead` when there is nothing: unlike Jinja's own, also for an empty text."""
    return instead if isinstance(value, StrictUndefined) or value in ("", None) else value


def _replace(text: Any, old: str, new: str) -> str:
    whole = str(text)
    if len(whole) + whole.count(old) * len(new) > MAX_OUTPUT:
        raise ValueError(f"a replacement makes more than {MAX_OUTPUT} characters")
    return whole.replace(old, new)


def _day(text: Any) -> str:
    try:
        return str(text) if date_of(text) else ""
    except (TypeError, ValueError):
        raise ValueError(f"{str(text)[:40]!r} is no day; days are those of document, as document.due_date") from None


def _amount(text: Any) -> str:
    try:
        return f"{decimal_of(str(text)):f}" if text != "" else ""
    except ArithmeticError:
        raise ValueError(f"{str(text)[:40]!r} is no amount; amounts are those of document, as document.total") from None


def _told(value: Any, path: str) -> Any:
    """The value of a variable that the sentence needs."""
    if value == "" or isinstance(value, StrictUndefined):
        raise Missing(path)
    return value


def _wrong(text: str, line: int = 0) -> Refused:
    return Refused(501, "5.5.4", f"line {line} {text}" if line > 1 else text)


class _Check:
    """Looks at every node of a text, and refuses what is not of the language."""

    def __init__(self, tree: nodes.Template) -> None:
        self._tree = tree
        self._items: dict[str, tuple[str, ...]] = {}  # the variable of the loop that is open: what its items have

    def look(self) -> None:
        """Raise `Refused` for the first thing that the language does not have."""
        self._walk(self._tree, 0, False)

    def _walk(self, node: nodes.Node, depth: int, looping: bool) -> None:
        if depth > MAX_DEPTH:
            raise _wrong("is nested too deep", node.lineno)
        if not isinstance(node, _ALLOWED):
            raise _wrong(_word(node), node.lineno)
        if isinstance(node, nodes.For):
            self._loop(node, depth, looping)
            return
        if isinstance(node, nodes.Name):
            self._name(node)
        elif isinstance(node, nodes.Getattr):
            self._member(node, node.node, node.attr)
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
            self._member(node, node.node, node.arg.value)
        elif isinstance(node, nodes.Filter):
            _known(node, "filter", node.name, FILTERS)
        elif isinstance(node, nodes.Test):
            _known(node, "test", node.name, _TESTS)
        for child in node.iter_child_nodes():
            self._walk(child, depth + 1, looping)

    def _loop(self, node: nodes.For, depth: int, looping: bool) -> None:
        """A loop over a list of the document's, with a name of its own, and none within."""
        target, over = node.target, node.iter.node if isinstance(node.iter, nodes.Getitem) else node.iter
        if looping:
            raise _wrong("has a loop within a loop; no list of a document holds another", node.lineno)
        if not isinstance(over, nodes.Name) or over.name not in LISTS or node.recursive:
            raise _wrong(f"can only loop over {', '.join(LISTS)}, as {{% for line in lines %}}", node.lineno)
        if not isinstance(target, nodes.Name) or target.name in (*VARIABLES, *LISTS, *RECORDS, BUTTON, "loop"):
            raise _wrong("needs another name for what it loops over, as {% for line in lines %}", node.lineno)
        self._walk(node.iter, depth + 1, True)
        self._items = {target.name: LISTS[over.name], "loop": _LOOP}
        for child in (*node.body, *node.else_, *([node.test] if node.test else ())):
            self._walk(child, depth + 1, True)
        self._items = {}

    def _name(self, node: nodes.Name) -> None:
        known = (*VARIABLES, *LISTS, *RECORDS, BUTTON, *self._items)
        if node.name not in known:
            near = difflib.get_close_matches(node.name, [*known, "none"], 3, 0.55)
            hint = f"did you mean {' or '.join(near)}?" if near else "`gateway template show` lists them"
            raise _wrong(f"speaks of {node.name!r}, which is no variable; {hint}", node.lineno)

    def _member(self, node: nodes.Expr, of: nodes.Node, name: str) -> None:
        known = self._items.get(of.name, RECORDS.get(of.name)) if isinstance(of, nodes.Name) else None
        if name.startswith("_") or (known is not None and name not in known):
            near = difflib.get_close_matches(name, known or (), 3, 0.55) or known or ()
            hint = f"; there is {', '.join(near)}" if near else ""
            raise _wrong(f"speaks of {name!r}, which {_path(of) or 'that'} does not have{hint}", node.lineno)


def _known(node: nodes.Node, what: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise _wrong(f"uses the {what} {name!r}; there are {', '.join(known)}", node.lineno)


def _word(node: nodes.Node) -> str:
    """What is wrong with a node that the language does not have."""
    if isinstance(node, nodes.Call):
        return "calls something; there are only variables and filters, as {{ company|upper }}"
    if isinstance(node, nodes.BinExpr):
        return f"reckons with {node.operator}; texts do not reckon"
    name = {"Assign": "set", "AssignBlock": "set", "FromImport": "import"}.get(type(node).__name__)
    return f"uses {{% {name or type(node).__name__.lower()} %}}; there are only if and for"


def _path(node: nodes.Node) -> str:
    """`document.due_date` of such a node; "" of any other."""
    if isinstance(node, nodes.Name):
        return node.name
    if not isinstance(node, nodes.Getattr | nodes.Getitem):
        return ""
    name = node.attr if isinstance(node, nodes.Getattr) else getattr(node.arg, "value", None)
    before = _path(node.node)
    return f"{before}.{name}" if before and isinstance(name, str) else ""


def _guard(environment: ImmutableSandboxedEnvironment, node: nodes.Node, asked: frozenset[str]) -> None:
    """Make each variable that is said without being asked for (`{% if … %}`, `default`) fail when it is empty."""
    if isinstance(node, nodes.If | nodes.CondExpr):
        asked |= {path for path in map(_path, (node.test, *node.test.find_all(_NAMING))) if path}
    if isinstance(node, nodes.Output):
        node.nodes = [_needed(environment, child, asked) for child in node.nodes]
    for child in node.iter_child_nodes():
        _guard(environment, child, asked)


def _needed(environment: ImmutableSandboxedEnvironment, node: nodes.Expr, asked: frozenset[str]) -> nodes.Expr:
    if isinstance(node, nodes.Filter) and node.node is not None:
        if node.name not in ("default", "d"):
            node.node = _needed(environment, node.node, asked)
        return node
    path = _path(node)
    if not path or path in asked or path == BUTTON or path.partition(".")[0] not in (*VARIABLES, *RECORDS):
        return node
    wrapped = nodes.Filter(node, "told", [nodes.Const(path)], [], None, None)
    wrapped.set_lineno(node.lineno).set_environment(environment)
    return wrapped
