"""The files that a clerk puts beside an answer: named safely, of the type that their content is, few and small enough.

Called by whoever takes files from a person, on a thread of its own (archives are looked into). Raises Refused in words
that name the file: programs and scripts are no files of a mail, since providers refuse the whole mail for one.
"""

import re
from collections.abc import Sequence

from gateway.mail.file_type import file_type
from gateway.mail.reply import Refused
from gateway.outbound.answering import most_of_files
from gateway.outbound.attachments import Attachment, ascii_filename
from gateway.outbound.submission import Door

MOST_FILES = 10


def most_bytes(door: Door) -> int:
    """Bytes that the files of one answer may have together."""
    return most_of_files(door)


def attach(given: Sequence[tuple[str, bytes]]) -> tuple[Attachment, ...]:
    """(name, content) as somebody gave them -> files of a mail. Raises Refused 552 or 554."""
    if len(given) > MOST_FILES:
        raise Refused(552, "5.3.4", f"{len(given)} files; {MOST_FILES} are the most beside an answer")
    return tuple(_one(name, content) for name, content in given)


def _one(name: str, content: bytes) -> Attachment:
    safe = _safe(name)
    if not content:
        raise Refused(554, "5.6.0", f"the file {safe} is empty; choose another")
    found = file_type(name, content)
    if found.danger:
        raise Refused(
            554, "5.7.0", f"the file {safe} is or holds a program ({found.danger}), which mail providers refuse; "
            "send a link to it",
        )  # fmt: skip
    return Attachment(safe, found.media_type, content)


def _safe(name: str) -> str:
    """A name without its path, that every system takes."""
    stem, dot, ending = re.split(r"[/\\]", name)[-1].rpartition(".")
    if dot and stem and re.fullmatch(r"[A-Za-z0-9]{1,10}", ending):
        return ascii_filename(stem, ending.lower())
    return ascii_filename(f"{stem}{dot}{ending}")
