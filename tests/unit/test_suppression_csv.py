"""Suppressed addresses as CSV: what other services write is understood, nothing else slips in, formulas stay text."""

import io
from datetime import UTC, datetime

import pytest

from gateway.mail.reply import Refused
from gateway.outbound.suppression import Entry, Suppressed
from gateway.outbound.suppression_csv import LINE_LENGTH, Fault, read_entries, write_entries, write_header

SINCE = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


def read(text: str) -> list[Entry | Fault]:
    return list(read_entries(io.StringIO(text, newline="")))


def only(text: str) -> Entry:
    [found] = read(text)
    assert isinstance(found, Entry), found
    return found


@pytest.mark.parametrize(
    ("file", "reason", "evidence", "since"),
    [
        (
            'status,reason,email,created\n5.1.1,"550 5.1.1 user unknown",a@x.example,1700000000\n',
            "mailbox_unknown",
            "5.1.1 550 5.1.1 user unknown",
            datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
        ),
        (
            "EmailAddress,SuppressionReason,Origin,CreatedAt\na@x.example,HardBounce,Recipient,2024-05-06T07:08:09-05:00\n",
            "blocked",
            "HardBounce",
            datetime.fromisoformat("2024-05-06T07:08:09-05:00"),
        ),
        (
            'address,code,error,created_at\na@x.example,550,"No such user here",2024-01-02 10:00:00 UTC\n',
            "mailbox_unknown",
            "550 No such user here",
            datetime(2024, 1, 2, 10, tzinfo=UTC),
        ),
        ("Email;Motiv\r\na@x.example;a plecat\r\n", "blocked", "", None),
        ("\ufeffmail\tnote\na@x.example\tx\n", "blocked", "", None),
        ("address,reason,evidence\na@x.example,mailbox_disabled,552 5.2.1\n", "mailbox_disabled", "552 5.2.1", None),
        ("address,reason\na@x.example,allowed\n", "allowed", "", None),
    ],
)
def test_the_files_of_others_are_read_as_ours(file: str, reason: str, evidence: str, since: datetime | None) -> None:
    found = only(file)
    assert (found.address, found.reason, found.source, found.created_at) == ("a@x.example", reason, "import", since)
    assert found.evidence == evidence


@pytest.mark.parametrize(
    ("reason", "evidence"),
    [
        ("spam_rejected", ""),
        ("mailbox_full", "552 5.2.2 over quota"),
        ("", "550 5.7.1 blocked using zen.spamhaus.org"),
        ("", "421 4.7.0 try again later"),
        ("expired", ""),
    ],
)
def test_what_is_no_fault_of_the_address_is_left_out_and_told(reason: str, evidence: str) -> None:
    [found] = read(f"address,reason,evidence\na@x.example,{reason},{evidence}\n")
    assert isinstance(found, Fault) and found.line == 2 and "is no fault of the address" in found.why


def test_a_line_that_cannot_be_used_is_told_with_its_number_and_the_others_are_read() -> None:
    found = read('address,expires\na@x.example,\nnobody,\n\n"b@x.example",soon\nc@x.example,2027-01-31\n')
    assert [one.line for one in found if isinstance(one, Fault)] == [3, 5]
    assert [one.address for one in found if isinstance(one, Entry)] == ["a@x.example", "c@x.example"]
    last = found[-1]
    assert isinstance(last, Entry) and last.expires_at == datetime(2027, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("", "must name the columns"),
        ("a@x.example\nb@x.example\n", "it says: a@x.example"),
        ("address\n" + "x" * (LINE_LENGTH + 1), "line 2 has more than"),
        ("\x89PNG\0\0\0", "must name the columns"),
        ('address\n"' + ("x" * 1000 + "\n") * 200, "is no CSV"),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused_as_a_whole(file: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        read(file)


@pytest.mark.parametrize("address", ["=cmd@x.example", "+1@x.example", "-a@x.example", "ana@x.example"])
def test_a_spreadsheet_sees_no_formula_and_reading_gives_what_was_written(address: str) -> None:
    file = io.StringIO()
    write_header(file)
    evidence = '=HYPERLINK("http://evil.example","550 5.1.1 no such user")'
    assert write_entries(file, [Suppressed(address, "mailbox_unknown", evidence, "", SINCE, "bounce", SINCE)]) == 1
    cells = file.getvalue().split("\n")[1].split(",")
    assert cells[0][0] not in "=+-@" and not cells[2].lstrip('"').startswith("=")
    found = only(file.getvalue())
    assert (found.address, found.reason, found.evidence) == (address, "mailbox_unknown", evidence)
    assert found.created_at == found.expires_at == SINCE
