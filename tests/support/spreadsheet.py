"""A spreadsheet program (IronCalc) that opens CSV files as a person's does.

Each cell goes in as if somebody had typed it, which is what such programs do with a CSV file: what
begins with ``=``, and ``+`` or ``-`` before anything but a number, becomes a formula and runs.
"""

import csv
import io

import ironcalc

_SHEET = 0


def formula_cells(table: str) -> dict[str, str]:
    """The formulas that a program finds in a CSV file, by cell, such as ``B2``."""
    model = ironcalc.create("table", "en", "UTC", "en")
    rows = list(csv.reader(io.StringIO(table.removeprefix("\ufeff"), newline=""), strict=True))
    places = [
        (at, column, cell)
        for at, row in enumerate(rows, 1)
        for column, cell in enumerate(row, 1)
        if cell
    ]
    for at, column, cell in places:
        model.set_user_input(_SHEET, at, column, cell)
    found = {
        f"{ironcalc.column_name_from_number(column)}{at}": model.get_cell_formula(
            _SHEET, at, column
        )
        for at, column, _ in places
    }
    return {place: formula for place, formula in found.items() if formula is not None}
