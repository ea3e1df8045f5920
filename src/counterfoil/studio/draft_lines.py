"""The lines of an invoice's form: how many of what, at which price, with how much tax."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Final

from counterfoil.core import bounds, numerals, text
from counterfoil.core.errors import Invalid, Problems
from counterfoil.core.invoice import LineItem
from counterfoil.core.pricing import tax_at

Row = Mapping[str, str]

COLUMNS: Final = ("name", "quantity", "unit_price", "tax")
BLANK_ITEM: Final[Row] = {"name": "", "quantity": "1", "unit_price": "", "tax": ""}
FIRST_ROWS: Final = 3

_WHOLE: Final = 100


@dataclass(frozen=True, slots=True)
class Sums:
    """What the lines come to: each line's total (None: not readable yet), and all of them."""

    lines: tuple[Decimal | None, ...]
    total: Decimal
    tax: Decimal
    unreadable: int


@dataclass(frozen=True, slots=True)
class _Line:
    """A line as it was typed: ``percent`` stands where its tax is a rate, and no amount yet."""

    item: LineItem
    percent: Decimal | None


def sums(rows: Sequence[Row], unit: str) -> Sums:
    """Add up what can be read, in a currency or a token; lines nobody wrote in are left out."""
    read: dict[int, _Line] = {}
    unreadable = 0
    for number, row in enumerate(rows):
        try:
            if not _is_blank(row):
                read[number] = _numbers(number, row)
        except Invalid:
            unreadable += 1
    items = dict(zip(read, _with_tax(list(read.values()), unit), strict=True))
    return Sums(
        tuple(items[n].total if n in items else None for n in range(len(rows))),
        sum((item.total for item in items.values()), Decimal(0)),
        sum((item.tax for item in items.values()), Decimal(0)),
        unreadable,
    )


def read_lines(rows: Sequence[Row], unit: str) -> tuple[LineItem, ...]:
    """The items of all lines that somebody wrote in; `Invalid` names everything wrong with them."""
    told = Problems()
    read = [
        told.read(partial(_line, at, row), None)
        for at, row in enumerate(rows)
        if not _is_blank(row)
    ]
    if told.found:
        raise Invalid("some lines need another look", fields=told.found)
    if not read:
        raise Invalid.field("items", "must have at least one line with a name and a price")
    return _with_tax([line for line in read if line is not None], unit)


def _with_tax(lines: Sequence[_Line], unit: str) -> tuple[LineItem, ...]:
    """The items, with what their rates come to: rounded over all lines of the same rate."""
    items = [line.item for line in lines]
    for percent in {line.percent for line in lines if line.percent is not None}:
        alike = [at for at, line in enumerate(lines) if line.percent == percent]
        nets = [Fraction(items[at].quantity) * Fraction(items[at].unit_price) for at in alike]
        for at, tax in zip(alike, tax_at(percent, nets, unit), strict=True):
            items[at] = replace(items[at], tax=tax)
    return tuple(items)


def _is_blank(row: Row) -> bool:
    return not any(row[name].strip() for name in ("name", "unit_price", "tax"))


def _line(number: int, row: Row) -> _Line:
    told = Problems()
    field_name = f"item_name-{number}"
    most = bounds.ITEM_NAME_LENGTH
    name = told.read(lambda: text.clean_text(row["name"], field_name, max_length=most), "")
    line = told.read(lambda: _numbers(number, row), None)
    if line is None or told.found:
        raise Invalid("a line needs another look", fields=told.found)
    return replace(line, item=replace(line.item, name=name))


def _numbers(number: int, row: Row) -> _Line:
    """A line's numbers; its name is not looked at."""
    told = Problems()
    quantity, unit_price = (
        told.read(partial(numerals.read, row[name], f"item_{name}-{number}"), Decimal(0))
        for name in ("quantity", "unit_price")
    )
    nothing: tuple[Decimal, Decimal | None] = (Decimal(0), None)
    tax, percent = told.read(lambda: _tax(row["tax"], f"item_tax-{number}"), nothing)
    if told.found:
        raise Invalid("a line needs another look", fields=told.found)
    return _Line(LineItem(name="", quantity=quantity, unit_price=unit_price, tax=tax), percent)


def _tax(written: str, name: str) -> tuple[Decimal, Decimal | None]:
    """An amount, or a rate where a per cent sign follows it."""
    found = numerals.plain(written)
    if not found:
        return Decimal(0), None
    is_rate = found.endswith("%")
    try:
        number = numerals.read(found.removesuffix("%"), name)
    except Invalid:
        number = None
    if number is None or (is_rate and number > _WHOLE):
        sentence = "must be an amount such as 150, or a rate up to 100%, such as 5%"
        raise Invalid.field(name, sentence)
    return (Decimal(0), number) if is_rate else (number, None)
