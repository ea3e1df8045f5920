"""A spreadsheet program (IronCalc) that opens CSV files as a person's does.

Each cell goes in as if somebody had typed it, which is what such programs do with a CSV file: what
begins with ``=``, and ``+`` or ``-`` before anything but a number, becomes a formula and runs.
"""

import csv
import io
from typing import Any

import ironcalc

_SHEET = 0


def formula_cells(table: str) -> dict[str, str]:
    """The formulas that a program finds in a CSV file, by cell, such as ``B2``."""
    model, rows = _opened(table)
    places = [
        (at, column) for at, row in enumerate(rows, 1) for column, cell in enumerate(row, 1) if cell
    ]
    found = {
        f"{ironcalc.column_name_from_number(column)}{at}": model.get_cell_formula(
            _SHEET, at, column
        )
        for at, column in places
    }
    return {place: formula for place, formula in found.items() if formula is not None}


def sums(table: str, *headings: str) -> list[str]:
    """What a program adds each of these columns up to; text in one of them is a failure."""
    model, rows = _opened(table)
    last = len(rows)
    for heading in headings:
        column = rows[0].index(heading) + 1
        letter = ironcalc.column_name_from_number(column)
        kinds = {str(model.get_cell_type(_SHEET, at, column)) for at in range(2, last + 1)}
        assert kinds == {"CellType.Number"}, f"{heading}: {kinds}"
        model.set_user_input(_SHEET, last + 1, column, f"=ROUND(SUM({letter}2:{letter}{last}),8)")
    model.evaluate()
    return [
        model.get_formatted_cell_value(_SHEET, last + 1, rows[0].index(heading) + 1)
        for heading in headings
    ]


def _opened(table: str) -> tuple[Any, list[list[str]]]:
    model = ironcalc.create("table", "en", "UTC", "en")
    rows = list(csv.reader(io.StringIO(table.removeprefix("\ufeff"), newline=""), strict=True))
    for at, row in enumerate(rows, 1):
        for column, cell in enumerate(row, 1):
            if cell:
                model.set_user_input(_SHEET, at, column, cell)
    return model, rows
