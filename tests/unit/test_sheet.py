"""Tables for spreadsheets: what stands in a cell is text and nothing else."""

import csv
import io

import pytest

from counterfoil.core.sheet import harmless, rows


@pytest.mark.parametrize(
    "formula",
    [
        "=1+1",
        "+1",
        "-1+cmd|' /C calc'!A0",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "  =1",
        "\u3000=1",
        "\uff1d1+1",
        "|calc",
        "%0A=1",
    ],
)
def test_what_begins_like_a_formula_gets_an_apostrophe(formula: str) -> None:
    assert harmless(formula) == f"'{formula}"
    (cell,) = next(csv.reader(io.StringIO(rows([[formula]]), newline="")))
    assert cell == f"'{formula}"


def test_everything_else_stays_as_it_is_and_comes_back_whole() -> None:
    table = [
        ["INV-2026-000001", 'O\'Neill, "Ltd"', "王小明", ""],
        ["two\nlines", "a=b", "1,000.50", "back\\slash"],
    ]
    assert [[harmless(cell) for cell in row] for row in table] == table
    written = rows(table)
    assert written.endswith("\r\n")
    assert list(csv.reader(io.StringIO(written, newline=""))) == table
