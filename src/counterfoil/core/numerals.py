"""Numbers as people write them in forms: thousands apart, or as a Chinese keyboard writes them.

What can be read in one way only is brought into the one way in which the rest of the system reads
numbers. All else stays as it is, to be refused there: ``1,33`` is 1.33 to one and 133 to another.
Programs write by their own rules, so nothing of theirs comes through here.
"""

import re
from decimal import Decimal
from typing import Final

from counterfoil.core.errors import Invalid
from counterfoil.core.money import parse_decimal

_WIDE_DIGITS: Final = {ord("\N{FULLWIDTH DIGIT ZERO}") + n: str(n) for n in range(10)}
_WIDE_MARKS: Final = {
    "\N{FULLWIDTH COMMA}": ",",
    "\N{FULLWIDTH FULL STOP}": ".",
    "\N{IDEOGRAPHIC FULL STOP}": ".",
    "\N{HALFWIDTH IDEOGRAPHIC FULL STOP}": ".",
    "\N{FULLWIDTH PERCENT SIGN}": "%",
    "\N{FULLWIDTH HYPHEN-MINUS}": "-",
}
_NARROW: Final = _WIDE_DIGITS | str.maketrans(_WIDE_MARKS)
"""What a keyboard writes for Chinese, to what it writes otherwise."""

_APART: Final = re.compile(r"[1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]+)?", re.ASCII)
"""Commas before each three digits; after a leading zero a comma can only mean a point."""


def narrow(text: str) -> str:
    """Wide digits and the marks among them as narrow ones, without blanks around."""
    return text.translate(_NARROW).strip()


def plain(text: str) -> str:
    """A number, or a per cent of one, without what sets its thousands apart.

    What is no such number is only made narrow.
    """
    narrowed = narrow(text)
    number = narrowed.removesuffix("%").rstrip()
    return narrowed.replace(",", "") if _APART.fullmatch(number) else narrowed


def read(text: str, field: str) -> Decimal:
    """An amount or a quantity. Raises `Invalid` naming ``field``, in words for who typed it."""
    try:
        return parse_decimal(plain(text), field)
    except Invalid:
        sentence = (
            "must be a number such as 1333.50 or 1,333.50, with commas between thousands only"
        )
        raise Invalid.field(field, sentence) from None
