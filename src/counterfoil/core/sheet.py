"""Tables for spreadsheets: CSV in which nothing is a formula (RFC 4180; T23).

Excel and its kin run what begins like a formula, also behind quotes, and after what they trim. An
apostrophe in front keeps it text.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

BYTE_ORDER_MARK: Final = "\ufeff"
"""First in the file, or Excel takes Chinese for something else."""

_BEGINNINGS: Final = tuple("=+-@\t\r\n|%\uff1d\uff0b\uff0d\uff20")
"""What a formula may begin with; full-width signs count where people type them."""


def rows(table: Iterable[Sequence[str]]) -> str:
    """The table as text, each row ended by CRLF."""
    written = io.StringIO(newline="")
    writer = csv.writer(written, quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n")
    writer.writerows([harmless(cell) for cell in row] for row in table)
    return written.getvalue()


def harmless(text: str) -> str:
    """The text, with an apostrophe before what a spreadsheet would run."""
    bare = text.lstrip(" \u3000\u00a0")
    return f"'{text}" if bare.startswith(_BEGINNINGS) else text
