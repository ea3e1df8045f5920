"""Reads sanctions lists in every form we know (specs/aml.md 6).

Three forms: OFAC's ``SDN.XML`` and ``SDN_ADVANCED.XML``, and a CSV of our own for every other
list, which is read here. Nothing here stores anything.
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from types import MappingProxyType
from typing import Final

from counterfoil.providers.screening.addresses import normalise_address
from counterfoil.providers.screening.list_content import ListedAddress, ListImport
from counterfoil.providers.screening.list_file import (
    MeasuredFile,
    Readable,
    address_problem,
    refuse,
)
from counterfoil.providers.screening.ofac import read_sdn, read_sdn_advanced

MAX_CSV_BYTES: Final = 64 * 1024 * 1024

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


def read_csv(
    file: bytes | Readable, list_code: str, *, publish_date: date | None = None
) -> ListImport:
    """Read a CSV with a column ``address`` and perhaps ``asset_label, names, programs, entry_uid``.

    UTF-8, with or without a byte order mark; several names or programmes in one cell are
    parted by ``;``; other columns are ignored. Raises `Invalid` naming the row at fault, since
    whoever wrote the file can mend it.
    """
    measured = MeasuredFile(file, MAX_CSV_BYTES)
    addresses: dict[ListedAddress, None] = {}
    entries: set[str] = set()
    for number, row in _csv_rows(measured):
        listed = _csv_address(number, row)
        addresses[listed] = None
        entries.add(f"uid {listed.entry_uid}" if listed.entry_uid else f"row {number}")
    return measured.result(
        list_code, "csv", publish_date, entry_count=len(entries), addresses=addresses
    )


READERS: Final[Mapping[str, Callable[[bytes | Readable, str], ListImport]]] = MappingProxyType(
    {"csv": read_csv, "sdn": read_sdn, "sdn_advanced": read_sdn_advanced}
)
"""Form of a file to the function ``(file, list_code)`` that reads it."""


def _csv_rows(measured: MeasuredFile) -> Iterator[tuple[int, dict[str, str]]]:
    text = io.TextIOWrapper(io.BufferedReader(measured), encoding="utf-8-sig", newline="")
    try:
        reader = csv.reader(text, strict=True)
        columns = [name.strip().lower() for name in next(reader, [])]
        _check_columns(columns)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, _csv_row(reader.line_num, columns, cells)
    except UnicodeDecodeError:
        refuse("must be UTF-8 text")
    except csv.Error as error:
        refuse(f"is not a proper CSV: {error}")


def _check_columns(columns: list[str]) -> None:
    if "address" not in columns:
        found = ", ".join(columns)[:200] or "none"
        refuse(f"must have a column named address in its first line; it has {found}")
    if len(set(columns)) < len(columns):
        refuse("must not have two columns of the same name")


def _csv_row(number: int, columns: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) != len(columns):
        refuse(f"row {number} has {len(cells)} cells, the first line has {len(columns)}")
    return {name: cell.strip() for name, cell in zip(columns, cells, strict=True)}


def _csv_address(number: int, row: dict[str, str]) -> ListedAddress:
    for column in ("address", "asset_label", "names", "programs", "entry_uid"):
        if row.get(column, "").startswith(_FORMULA_STARTS):
            # Reviewers open exports of this in a spreadsheet, which would run the cell.
            refuse(f"row {number}: {column} starts like a formula")
    if problem := address_problem(row["address"]):
        refuse(f"row {number}: the address {problem}")
    family, address = normalise_address(row["address"])
    return ListedAddress(
        family=family,
        address=address,
        label=row.get("asset_label", ""),
        source="csv",
        entry_uid=row.get("entry_uid", ""),
        names=_parts(row.get("names", "")),
        programs=_parts(row.get("programs", "")),
    )


def _parts(cell: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in cell.split(";") if part.strip())
