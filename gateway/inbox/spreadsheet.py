"""CSV that spreadsheets open without running anything (RFC 4180): what would be a formula begins with an apostrophe.

Called by what leaves the inbox as a list. Rows are text already; numbers that are ours are written as they are.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from typing import IO

_FORMULA = re.compile(r"[=+\-@\t\r]")


def write_rows(file: IO[str], rows: Iterable[Sequence[str]]) -> None:
    """Write rows, their cells made safe."""
    writer = csv.writer(file, lineterminator="\n")
    for row in rows:
        writer.writerow([f"'{cell}" if _FORMULA.match(cell) else cell for cell in row])
