"""Reads the JSON document of a billing system and says, field by field, what is wrong with it.

Called by the submission door, the HTTP API, and the CLI's validation. `read_document` gives a frozen `Document` or
raises `Refused(554 5.6.0)` that names the field and the right form in words, up to five lines; `explain` gives all of
them. Refused before anything is looked at: more than 4 MiB (64 MB with files inside), bytes that are not UTF-8, keys
given twice, NaN. No float exists anywhere: an amount is text, `"1200.00"`. What is accepted can be stored and is read
again as it was (`canonical`), from wherever it came.
"""

import base64
import binascii
import difflib
import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from gateway.mail.reply import Refused
from gateway.outbound.documents.accounts import check_accounts
from gateway.outbound.documents.fields import quoted
from gateway.outbound.documents.model import Document, Line, Party, Recipient, Totals
from gateway.outbound.documents.plausible import check_values_alone
from gateway.outbound.documents.sums import Complaint, check_sums

__all__ = [
    "Document", "Line", "Party", "Recipient", "Totals",
    "check_values", "explain", "read_document", "refuse", "sendable",
]  # fmt: skip

MAX_BYTES = 4 * 2**20  # 1,000 lines with all their details, in any script
MAX_BYTES_WITH_FILES = 64 * 10**6  # the largest mail as base64, and once more what is inside of its e-invoice
MAX_COMPLAINTS = 5
MAX_DEPTH = 32
MAX_EXPLAINED = 100

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202d\u202e\ud800-\udfff]")
_ONE_LINE = str.maketrans("\t\n\r\u2028\u2029", "     ")
_METHODS = {"bank", "link", "qr", "card", "cash", "direct_debit", "other"}
_REQUIRED = {
    "invoice": "totals", "credit_note": "totals", "estimate": "totals", "payment_plan": "totals",
    "receipt": "receipt", "refund": "refund", "statement": "statement", "subscription": "subscription",
}  # fmt: skip
_WORDS = {
    "missing": "is missing",
    "tuple_type": "is not a list; write […]",
    "dict_type": "is not an object; write {…}",
    "model_type": "is not an object; write {…}",
    "model_attributes_type": "is not an object; write {…}",
    "bool_type": "is neither true nor false",
    "int_type": "is not a whole number",
}


class _NotWhole:
    """A JSON number with a fraction, an exponent or 20 digits, as it was written: it is always wrong."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


def read_document(data: bytes) -> Document:
    """Read one JSON document of schema `urn:ar-gateway:document:1`.

    Raises `Refused` 554 5.6.0 with at most five complaints, a line each.
    """
    document, complaints = _read(data)
    if document is None or complaints:
        raise refuse(complaints)
    return document


def refuse(complaints: Sequence[Complaint]) -> Refused:
    """The refusal that says what is wrong with a document, in at most five lines."""
    lines = [f"{field} {message}".strip() for field, message in complaints[:MAX_COMPLAINTS]]
    if len(complaints) > MAX_COMPLAINTS:
        lines[-1] += f" (and {len(complaints) - MAX_COMPLAINTS} more)"
    return Refused(554, "5.6.0", "\n".join(lines))


def explain(data: bytes) -> list[Complaint]:
    """All that is wrong with a document, as (field, message); empty when it is right."""
    return _read(data)[1]


def sendable(document: Document) -> None:
    """Raise `Refused` 554 5.6.0 for a document that must not be mailed: a draft."""
    if document.status == "draft":
        name = f"{document.type} {document.number}"
        raise Refused(554, "5.6.0", f"{name} is a draft; send it when its status is open")


def _read(data: bytes) -> tuple[Document | None, list[Complaint]]:
    try:
        values = _parse(data)
    except ValueError as error:
        return None, [("", str(error))]
    return check_values(values)


def check_values(values: dict[str, Any]) -> tuple[Document | None, list[Complaint]]:
    """The document that plain values make (of JSON, or of an e-invoice), and what is wrong with it.

    A document comes back beside complaints when its fields are well formed and only its parts do not fit together.
    """
    complaints = list(itertools.islice(_walk(values, ""), MAX_EXPLAINED))
    try:
        document = Document.model_validate(values)
    except ValidationError as error:
        complaints += [_word(dict(found)) for found in error.errors(include_url=False)[:MAX_EXPLAINED]]
        return None, _once_per_field(complaints)
    if not complaints:
        complaints = _check_parts(document) + check_values_alone(document)
        complaints += check_sums(document) + check_accounts(document) + _check_files(document) + _check_size(document)
    return document, _once_per_field(complaints)


def _parse(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`; raises ValueError in words."""
    if len(data) > MAX_BYTES_WITH_FILES:
        raise ValueError(f"the document has {len(data)} bytes; at most {MAX_BYTES_WITH_FILES} are taken")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"the document is not UTF-8 at byte {error.start}; write it in UTF-8") from None
    try:
        values = json.loads(
            text, parse_float=_NotWhole, parse_int=_whole, parse_constant=_refuse_constant, object_pairs_hook=_pairs
        )
    except json.JSONDecodeError as error:
        raise ValueError(
            f"the document is not JSON: {error.msg} in line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise ValueError("the document is nested too deeply") from None
    if not isinstance(values, dict):
        raise ValueError("the document is not a JSON object; write {…}")
    files = values.get("files")
    inside = [file.get("content") for file in files if isinstance(file, dict)] if isinstance(files, list) else []
    if len(data) - sum(len(content) for content in inside if isinstance(content, str)) > MAX_BYTES:
        raise ValueError(f"the document has {len(data)} bytes; at most {MAX_BYTES} are taken, besides its files")
    return values


def _whole(text: str) -> int | _NotWhole:
    return int(text) if len(text) < 20 else _NotWhole(text)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"the document is not JSON: {name} is no number")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the field {quoted(twice)} is given twice; keep one")
    return values


def _walk(value: Any, path: str, depth: int = 0) -> Iterator[Complaint]:
    """Complaints that hold for every field: null, fractions as numbers, control characters, depth."""
    if depth > MAX_DEPTH:
        yield path, "is nested too deeply"
    elif value is None:
        yield path, "is null; leave the field out"
    elif isinstance(value, _NotWhole):
        yield path, f'{value.text[:40]} is a JSON number; write it as text: "{value.text[:40]}"'
    elif isinstance(value, str):
        if found := _CONTROL.search(value):
            yield path, f"holds the character U+{ord(found.group()):04X}, which no document may hold"
    elif isinstance(value, dict):
        for key, item in value.items():
            if _CONTROL.search(key):
                yield path, "has a field whose name holds control characters"
            yield from _walk(item, f"{path}.{key}" if path else key, depth + 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _walk(item, f"{path}[{number}]", depth + 1)


def _word(error: dict[str, Any]) -> Complaint:
    """One of pydantic's errors in our words."""
    place, kind, context = tuple(error["loc"]), str(error["type"]), error.get("ctx", {})
    path = _path(place)
    if kind == "form":
        return path, str(context["text"])
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(place[-1])[:100], _names(place[:-1]), 1)
        return path, "is unknown" + (f"; did you mean {near[0]}?" if near else "; leave it out")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return f"{path}.type", f"is not one of {', '.join(sorted(_METHODS))}"
    if kind == "literal_error":
        return path, f"{quoted(error['input'])} is not {context['expected']}"
    if kind == "string_too_long":
        return path, f"has {len(error['input'])} characters; at most {context['max_length']} are taken"
    if kind == "string_too_short":
        return path, "is empty"
    if kind == "too_long":
        return path, f"has {len(error['input'])} items; at most {context['max_length']} are taken"
    if kind in ("greater_than_equal", "less_than_equal"):
        return path, f"{quoted(error['input'])} is out of range: {error['msg'].removeprefix('Input should be ')}"
    if kind in _WORDS and kind != "missing":
        return path, f"{quoted(error['input'])} {_WORDS[kind]}" if not _large(error["input"]) else _WORDS[kind]
    return path, _WORDS.get(kind, error["msg"])


def _large(value: Any) -> bool:
    return isinstance(value, (dict, list, _NotWhole))


def _path(place: tuple[int | str, ...]) -> str:
    """`("lines", 0, "amount")` as `lines[0].amount`; the tag that pydantic adds for a payment method is left out."""
    path = ""
    for number, step in enumerate(place):
        if isinstance(step, int):
            path += f"[{step}]"
        elif not (number == 3 and place[:2] == ("payment", "methods") and step in _METHODS):
            path += f".{step}" if path else step
    return path


def _names(place: tuple[int | str, ...]) -> list[str]:
    """The fields that the object at `place` may have."""
    models: list[type[BaseModel]] = [Document]
    for step in place:
        inner = [
            found
            for model in models
            for name, field in model.model_fields.items()
            if step == (field.alias or name)
            for found in _models_in(field.annotation)
        ]
        models = inner or models
    return [field.alias or name for model in models for name, field in model.model_fields.items()]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]


def _check_parts(document: Document) -> list[Complaint]:
    needed = _REQUIRED.get(document.type)
    if needed and getattr(document, needed) is None:
        return [(needed, f"is missing; a document of type {document.type} has it")]
    return []


def _check_files(document: Document) -> list[Complaint]:
    found: list[Complaint] = []
    for number, file in enumerate(document.files):
        try:
            content = base64.b64decode("".join(file.content.split()), validate=True)
        except (binascii.Error, ValueError):
            found.append((f"files[{number}].content", "is not base64"))
            continue
        if file.content and file.sha256 and hashlib.sha256(content).hexdigest() != file.sha256:
            found.append((f"files[{number}].sha256", "is not the hash of the content"))
    return found


def _check_size(document: Document) -> list[Complaint]:
    """What did not come as JSON must not become more of it than would be read again."""
    size = len(document.canonical()) - sum(len(file.content) for file in document.files)
    return [("", f"the document has {size} bytes; at most {MAX_BYTES} are taken, besides its files")] * (
        size > MAX_BYTES
    )


def _once_per_field(complaints: list[Complaint]) -> list[Complaint]:
    """The first complaint about each field: the later ones follow from it."""
    first = {_shown(field): _shown(message) for field, message in reversed(complaints)}
    return list(first.items())[::-1]


def _shown(text: str) -> str:
    """Text that came with the document, fit for one line of an answer."""
    return _CONTROL.sub("\ufffd", text.translate(_ONE_LINE))[:300]
