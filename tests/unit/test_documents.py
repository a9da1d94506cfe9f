"""Reading documents: the schema's verdict and ours, what goes beyond the schema, and the words of a refusal."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.mail.address import Address
from gateway.mail.reply import Refused
from gateway.outbound.documents import explain, read_document, sendable

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "gateway/outbound/document.schema.json").read_text())
SAMPLES = sorted((ROOT / "tests/corpus/documents").glob("*.json"))
ORACLE = jsonschema.Draft202012Validator(SCHEMA)


def sample(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / "tests/corpus/documents/invoice_ro.json").read_text())
    return document | changes


def encode(document: Any) -> bytes:
    return json.dumps(document).encode()


def changed(path: str, value: Any) -> bytes:
    """The sample with one field replaced; `path` as in our messages."""
    document = sample()
    *parents, last = path.replace("[", ".").replace("]", "").split(".")
    here: Any = document
    for step in parents:
        here = here[int(step)] if step.isdigit() else here[step]
    here[int(last) if last.isdigit() else last] = value
    return encode(document)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_samples_are_read_and_their_canonical_form_reads_the_same(path: Path) -> None:
    document = read_document(path.read_bytes())
    assert read_document(document.canonical()) == document
    assert read_document(document.canonical()).canonical() == document.canonical()


def test_the_canonical_form_does_not_depend_on_the_order_of_fields() -> None:
    document = sample()
    assert (
        read_document(encode(document)).canonical()
        == read_document(encode(dict(reversed(document.items())))).canonical()
    )


MINIMAL: dict[str, dict[str, Any]] = {
    "invoice": {"totals": {"total": "1.00"}},
    "estimate": {"totals": {"total": "1.00"}},
    "credit_note": {"totals": {"total": "-1.00"}},
    "payment_plan": {
        "totals": {"total": "1"},
        "payment_plan": {"installments": [{"due_date": "2026-12-01", "amount": "1", "x": 1}]},
    },
    "receipt": {"receipt": {"amount": "1.00", "paid_at": "2026-12-01"}},
    "refund": {"refund": {"amount": "1.00", "refunded_at": "2026-12-01"}},
    "autopay_failure": {"autopay": {"attempt": 2, "reason": "declined"}},
    "statement": {"statement": {"from": "2026-11-01", "to": "2026-11-30", "closing_balance": "1.00"}},
    "subscription": {"subscription": {"plan": "M"}},
}  # fmt: skip


@pytest.mark.parametrize("kind", MINIMAL)
def test_every_type_is_read_and_asks_for_its_part(kind: str) -> None:
    head = {"type": kind, "id": "1", "number": "N-1", "currency": "MDL", "customer": {"name": "Ana"}}
    assert read_document(encode(head | MINIMAL[kind])).type == kind
    part = next(iter(MINIMAL[kind]))
    if kind != "autopay_failure":
        assert explain(encode(head)) == [(part, f"is missing; a document of type {kind} has it")]


# --- the schema as an oracle -----------------------------------------------------------------------------------------

# Where we say no and the schema says yes, on purpose. (The other way round there is no difference.)
STRICTER = (
    "is a JSON number",  # 1.0 as an integer; fractions in open objects: no float anywhere
    "is not in the calendar",  # 2026-02-30
    "is no time",  # "format" is not asserted by a validator
    "does not exist; ISO 4217",  # the schema knows any three capitals
    "mail address",
    "than RFC 5321",
    "misplaced dot",
    "IBAN",
    "check digits",
    "names no host",  # https://?
    "is null",  # null in open objects
    "U+",  # control characters, which a database and a mail cannot carry
    "is not base64",
    "is not the hash",
    "is not the sum",
    "is not lines - discount",
    "is not net + tax",
    "is not total - paid",
    "; that is ",  # the sum that would be right
    "is not the opening balance, and",
    "add up to",
    "is more than the original amount",
    "is before",
    "is after the end",
    "; an amount in",
    "is not above 0",
    "is below 0",
    "nested too deeply",
)

# Only where a text ends with a newline: Python's $ lets it pass, JSON Schema's does not.
NEWLINE = (
    "is no date",
    "is not a decimal",
    "is no country",
    "is no SHA-256",
    "is no account number",
    "is no web address",
)

TEXTS = (
    "", "x", "1200.00", "1.200,00", "-5", "2026-12-31", "2026-02-30", "31.12.2026", "MDL", "ZZZ", "ro", "to", "open",
    "bank", "qr", "card", "epc", "https://a.example/", "http://", "a@b.example", "ș" * 400, "1\n",
)  # fmt: skip
NAMES = ("name", "email", "type", "iban", "amount", "from", "to", "total", "x", "charge", "lines", "due_date", "paid")
numbers = st.integers(-3, 4000) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.sampled_from(TEXTS) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        found += places(item, (*path, key))
    return found


RICH = [json.loads(path.read_text()) for path in SAMPLES if "long" not in path.stem] + [
    {"type": kind, "id": "1", "number": "N-1", "currency": "MDL", "customer": {"name": "Ana"}} | part
    for kind, part in MINIMAL.items()
]


@given(st.data())
@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
def test_our_verdict_is_the_schemas_except_where_we_are_stricter_on_purpose(data: st.DataObject) -> None:
    document = json.loads(json.dumps(data.draw(st.sampled_from(RICH))))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places(document) or [("type",)]))
        here = document
        for step in path[:-1]:
            here = here[step]
        match data.draw(st.sampled_from(["replace", "delete", "add"])):
            case "replace":
                here[path[-1]] = data.draw(json_values)
            case "delete":
                here.pop(path[-1], None) if isinstance(here, dict) else here.pop(path[-1])
            case "add" if isinstance(here, dict):
                names = [
                    "custmer",
                    "email",
                    "notes",
                    "valid_days",
                    "revision",
                    "payer",
                    "files",
                    "contacts",
                    "adjustments",
                ]
                here[data.draw(st.sampled_from(names))] = data.draw(json_values)
    allowed = ORACLE.is_valid(document)
    complaints = explain(encode(document))
    if allowed:
        reasons = STRICTER + (NEWLINE if "\\n" in json.dumps(document) else ())
        assert all(any(reason in message for reason in reasons) for _, message in complaints), complaints
    else:
        assert complaints


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("totals.total", "1.200,00", 'totals.total "1.200,00" is not a decimal amount; write 1200.00'),
        ("totals.total", "1,200.50 MDL", 'totals.total "1,200.50 MDL" is not a decimal amount; write 1200.50'),
        ("totals.total", "1 200,5", 'totals.total "1 200,5" is not a decimal amount; write 1200.5'),
        ("totals.total", 1200, 'totals.total 1200 is a JSON number; write it as text: "1200.00"'),
        ("totals.total", 1200.5, 'totals.total 1200.5 is a JSON number; write it as text: "1200.5"'),
        ("due_date", "31.12.2026", 'due_date "31.12.2026" is no date; write 2026-12-31'),
        ("due_date", "2026-12-31T00:00:00Z", 'due_date "2026-12-31T00:00:00Z" is no date; write 2026-12-31'),
        ("due_date", "2026-02-30", 'due_date "2026-02-30" is not in the calendar'),
        ("due_date", None, "due_date is null; leave the field out"),
        ("currency", "LEI", 'currency "LEI" does not exist; ISO 4217 has MDL (or RON)'),
        ("currency", "mdl", 'currency "mdl" does not exist; ISO 4217 has MDL'),
        ("custmer", {}, "custmer is unknown; did you mean customer?"),
        ("lines[0].amout", "1", "lines[0].amout is unknown; did you mean amount?"),
        ("payment.methods[0].ibn", "1", "payment.methods[0].ibn is unknown; did you mean iban?"),
        ("status", "opne", "did you mean open?"),
        ("number", 42, 'number 42 is not text; write "42"'),
        ("number", "", "number is empty"),
        ("lines", {}, "lines is not a list; write […]"),
        ("customer", "Ana", 'customer "Ana" is not an object; write {…}'),
        ("links.view", "javascript:alert(1)", 'links.view "javascript:alert(1)" is no web address; write https://…'),
        ("payment.methods[0].iban", "MD24AG000225100013104169", "its check digits do not fit"),
        ("payment.methods[0].iban", "MD24AG00022510001310416", "has 23 characters; an IBAN of MD has 24"),
        ("customer.contacts[0].email", "ana@", "'ana@' is not a mail address; write local@domain"),
        ("totals.lines", "1000.05", "they add up to 1000.00"),
        ("totals.total", "1300.00", "1000.00 + 200.00 is 1200.00"),
        ("totals.balance", "1100.00", "is not total - paid - credited; that is 1200.00"),
        ("notes", "a\x00b", "notes holds the character U+0000, which no document may hold"),
        ("notes", "a\ud800b", "notes holds the character U+D800"),
        ("payment.methods[1].expires_at", "tomorrow", 'is no time; write 2026-12-31T23:59:59+02:00'),
    ],
)  # fmt: skip
def test_a_refusal_names_the_field_and_the_right_form(path: str, value: Any, words: str) -> None:
    with pytest.raises(Refused) as caught:
        read_document(changed(path, value))
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (554, "5.6.0")
    assert words in caught.value.reply.text


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "is not JSON: "),
        (b"[]", "is not a JSON object"),
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"id": "1", "id": "2"}', 'the field "id" is given twice; keep one'),
        (b'{"a": "\xff"}', "is not UTF-8 at byte 7"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 500 + b"1" + b"}" * 500, "nested too deeply"),
        (b'{"id": "' + b"x" * 2**22 + b'"}', "at most 4194304 are taken"),
        (b"1" * 10_000, "is not a JSON object"),
    ],
)
def test_what_is_no_document_is_refused_in_words(data: bytes, words: str) -> None:
    with pytest.raises(Refused, match=words):
        read_document(data)


def test_at_most_five_complaints_are_answered_and_all_are_explained() -> None:
    document = sample(**{f"unknown{number}": 1 for number in range(7)})
    with pytest.raises(Refused) as caught:
        read_document(encode(document))
    assert len(caught.value.reply.lines()) == 5
    assert caught.value.reply.text.endswith("(and 2 more)")
    assert len(explain(encode(document))) == 7


def test_a_refusal_can_always_be_said(text: str = "\ud800\n\x00x" * 50) -> None:
    with pytest.raises(Refused) as caught:
        read_document(encode({"type": text, text: text, "customer": {text: 1}}))
    for line in caught.value.reply.lines():
        line.encode()
        assert line.isprintable()


def test_files_may_make_a_document_larger() -> None:
    content = "QUFB" * 2**19
    assert read_document(encode(sample(files=[{"filename": "a.pdf", "content": content}]))).files[0].content == content
    assert explain(encode(sample(files=[{"filename": "a.pdf", "content": "*"}])))[0][1] == "is not base64"


def test_rounding_per_line_is_tolerated() -> None:
    lines = [{"description": "x", "amount": "3.335"}] * 3
    totals = {"lines": "10.01", "total": "10.01"}
    assert explain(encode(sample(lines=lines, totals=totals))) == []
    assert explain(encode(sample(lines=lines, totals=totals | {"lines": "10.03"}))) != []


def test_rounding_may_belong_to_total_or_to_balance() -> None:
    for totals in (
        {"net": "9.98", "tax": "2.00", "rounding": "0.02", "total": "12.00", "balance": "12.00"},
        {"net": "9.98", "tax": "2.00", "rounding": "0.02", "total": "11.98", "balance": "12.00"},
    ):
        assert explain(encode(sample(lines=[], taxes=[], totals=totals))) == []


def test_a_domestic_account_number_is_no_iban() -> None:
    assert explain(changed("payment.methods[0].iban", "2251 0001 3104 168")) == []
    assert explain(changed("payment.methods[0].iban", "MD24 AG00 0225 1000 1310 4168")) == []


def test_recipients_are_the_payers_contacts_each_mailbox_once() -> None:
    customer = sample()["customer"]
    payer = {
        "name": "Holding",
        "email": "unused@h.example",
        "contacts": [
            {"email": "b@h.example", "send": "bcc"},
            {"email": "A@h.example", "send": "cc", "name": "twice"},
            {"email": "a@h.example", "name": "Ana"},
            {"email": "never@h.example", "send": "none"},
        ],
    }
    found = read_document(encode(sample(payer=payer))).recipients()
    assert [(r.kind, r.name, str(r.address)) for r in found] == [
        ("to", "Ana", "a@h.example"),
        ("bcc", "", "b@h.example"),
    ]
    found = read_document(encode(sample(payer={"name": "Holding"}))).recipients()
    assert found[0].address == Address("ana.rusu", "vinaria.example")
    found = read_document(encode(sample(customer={"name": "Ana", "email": "ana@x.example"}))).recipients()
    assert [(r.kind, r.name, str(r.address)) for r in found] == [("to", "Ana", "ana@x.example")]
    assert read_document(encode(sample(customer=customer | {"contacts": []}))).recipients() == ()


def test_a_draft_is_not_sent() -> None:
    with pytest.raises(Refused, match="invoice CP-2026-0042 is a draft; send it when its status is open"):
        sendable(read_document(encode(sample(status="draft"))))
    sendable(read_document(encode(sample())))
