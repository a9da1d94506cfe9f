"""The tables of a document beside its lines: entries of a statement, its ageing, instalments, documents it is about.

Called by the sheet. A table is said in two ways, both as text: `cells` for paper, one for each head; and for a mail,
which may be as narrow as a hand, `name`, `note` below it, and one or two `values`. Columns that would be empty are left
out. Where a table may break over pages, each row knows what is carried forward after it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from gateway.outbound.documents.fields import decimal_of
from gateway.outbound.documents.model import Document, Entry, Statement
from gateway.outbound.facts import is_one_fact, total_of
from gateway.outbound.texts import Language, is_zero

TEXT, DATE, NUMBER, STATE = "text", "date", "figure", "state"
_RELATIONS = {"receipt": "pays", "refund": "refunds", "credit_note": "credits"}


@dataclass(frozen=True, slots=True)
class Item:
    """A row. `strong` rows are sums; `carried` is what the next page begins with; `share` of the whole, 0 to 100.

    `number` is of the document that the row is about; it follows the name.
    """

    cells: tuple[str, ...]
    name: str
    note: str
    values: tuple[str, ...]
    number: str = ""
    strong: bool = False
    carried: str = ""
    share: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """`heads` and `kinds` are of the columns on paper, `short_heads` of those in a mail."""

    name: str
    title: str
    heads: tuple[str, ...]
    kinds: tuple[str, ...]
    short_heads: tuple[str, ...]
    items: tuple[Item, ...]


def tables_of(document: Document, words: Language) -> tuple[Table, ...]:
    """The tables that the document has, in the order of reading."""
    found: list[Table] = []
    if document.statement:
        found += [_entries(document, document.statement, words), _ageing(document, document.statement, words)]
    found.append(_installments(document, words))
    if not is_one_fact(document):
        found.append(_related(document, words))
    return tuple(_without_empty_columns(table) for table in found if table.items)


def _without_empty_columns(table: Table) -> Table:
    """The table without the columns in which no row says anything."""
    used = [at for at in range(len(table.heads)) if any(item.cells[at] for item in table.items)]
    items = (replace(item, cells=_pick(item.cells, used)) for item in table.items)
    return Table(
        table.name, table.title, _pick(table.heads, used), _pick(table.kinds, used), table.short_heads, tuple(items)
    )


def _pick(cells: Sequence[str], used: Iterable[int]) -> tuple[str, ...]:
    return tuple(cells[at] for at in used)


def _entries(document: Document, statement: Statement, words: Language) -> Table:
    """The entries between what was owed before and what is owed after, with the sums of the period."""
    label, currency = words.labels, document.currency
    with_balance = any(entry.balance for entry in statement.entries)
    items: list[Item] = []
    if statement.entries and statement.opening_balance:
        items.append(_balance_row(label["opening"], statement.start, statement.opening_balance, currency, words))
    items += [_entry(entry, currency, words, with_balance) for entry in statement.entries]
    if len(statement.entries) > 1:
        items.append(_turnover(statement.entries, currency, words, with_balance))
    if statement.entries:
        items.append(_balance_row(label["closing"], statement.end, statement.closing_balance, currency, words))
    return Table(
        name="entries",
        title=label["entries"],
        heads=tuple(label[name] for name in ("date", "entry", "due", "debit", "credit", "balance")),
        kinds=(DATE, TEXT, DATE, NUMBER, NUMBER, NUMBER),
        short_heads=(label["entry"], label["line_amount"], label["balance"]),
        items=tuple(items),
    )


def _entry(entry: Entry, currency: str, words: Language, with_balance: bool) -> Item:
    sides = ("" if is_zero(entry.debit) else entry.debit, "" if is_zero(entry.credit) else entry.credit)
    debit, credit, balance = (words.amount(text, currency) for text in (*sides, entry.balance))
    name = words.entry_type(entry.type)
    due = f"{words.labels['until_short']}\u00a0{words.short_date(entry.due_date)}" if entry.due_date else ""
    net = f"{decimal_of(entry.debit) - decimal_of(entry.credit):f}"
    return Item(
        cells=(
            words.short_date(entry.date),
            f"{name} {entry.number}".strip(),
            words.short_date(entry.due_date),
            debit,
            credit,
            balance,
        ),
        name=name,
        number=entry.number,
        note=" · ".join(part for part in (words.short_date(entry.date), due) if part),
        values=(words.amount(net, currency), balance),
        carried=balance if with_balance else "",
    )


def _balance_row(name: str, day: str, amount: str, currency: str, words: Language) -> Item:
    shown = words.amount(amount, currency)
    return Item(
        cells=(words.short_date(day), name, "", "", "", shown),
        name=name,
        note=words.short_date(day),
        values=("", shown),
        strong=True,
        carried=shown,
    )


def _turnover(entries: Sequence[Entry], currency: str, words: Language, with_balance: bool) -> Item:
    debit, credit = (total_of(getattr(entry, name) for entry in entries) for name in ("debit", "credit"))
    shown = tuple(words.amount(text, currency) for text in (debit, credit))
    net = words.amount(f"{decimal_of(debit) - decimal_of(credit):f}", currency)
    name = words.labels["turnover"]
    both = f"{words.labels['debit']} {shown[0]} · {words.labels['credit']} {shown[1]}"
    last = words.amount(entries[-1].balance, currency) if with_balance else ""
    return Item(("", name, "", *shown, ""), name, both, (net, ""), strong=True, carried=last)


def _ageing(document: Document, statement: Statement, words: Language) -> Table:
    """What is owed by its age, with bars: the largest has the full length."""
    label = words.labels
    most = max((decimal_of(one.amount) for one in statement.aging), default=decimal_of("0"))
    items = []
    for one in statement.aging:
        share = int(max(decimal_of(one.amount), decimal_of("0")) * 100 / most) if most > 0 else 0
        name, amount = words.bucket(one.bucket), words.amount(one.amount, document.currency)
        items.append(Item((name, amount), name, "", (amount,), share=share))
    return Table(
        "ageing", label["ageing"], (label["age"], label["balance"]), (TEXT, NUMBER), (label["age"], label["balance"]),
        tuple(items),
    )  # fmt: skip


def _installments(document: Document, words: Language) -> Table:
    """When how much is due, and what is paid; then what remains when some of it is paid."""
    label, currency = words.labels, document.currency
    plan = document.payment_plan.installments if document.payment_plan else ()
    items, paid_so_far = [], False
    for number, one in enumerate(plan, 1):
        name, amount = label["installment"].replace("{n}", str(number)), words.amount(one.amount, currency)
        state = label["installment_paid"] if one.paid else ""
        paid_so_far = paid_so_far or one.paid
        note = " · ".join(part for part in (words.day(one.due_date), state) if part)
        items.append(Item((name, words.day(one.due_date), state, amount), name, note, (amount,)))
    if plan:
        total = words.amount(total_of(one.amount for one in plan), currency)
        items.append(Item((label["total"], "", "", total), label["total"], "", (total,), strong=True))
    if paid_so_far:
        left = words.amount(total_of(one.amount for one in plan if not one.paid), currency)
        items.append(Item((label["remaining"], "", "", left), label["remaining"], "", (left,), strong=True))
    return Table(
        name="installments",
        title=label["installments"],
        heads=tuple(label[name] for name in ("installment_head", "due", "state", "line_amount")),
        kinds=(TEXT, DATE, STATE, NUMBER),
        short_heads=(label["installment_head"], label["line_amount"]),
        items=tuple(items),
    )


def _related(document: Document, words: Language) -> Table:
    """The documents that it pays, refunds, credits, or otherwise belongs to."""
    label, currency = words.labels, document.currency
    items = []
    for one in document.related:
        name, day, amount = words.entry_type(one.type), words.day(one.date), words.amount(one.amount, currency)
        items.append(Item((f"{name} {one.number}".strip(), day, amount), name, day, (amount,), one.number))
    if len(items) > 1 and all(one.amount for one in document.related):
        total = words.amount(total_of(one.amount for one in document.related), currency)
        items.append(Item((label["total"], "", total), label["total"], "", (total,), strong=True))
    return Table(
        name="related",
        title=label[_RELATIONS.get(document.type, "related")],
        heads=(label["document"], label["date"], label["line_amount"]),
        kinds=(TEXT, DATE, NUMBER),
        short_heads=(label["document"], label["line_amount"]),
        items=tuple(items),
    )
