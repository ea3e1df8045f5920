"""What makes text findable: the grams that an index over invoices keeps of it.

A database's own text search knows words, which Chinese does not write, and its trigrams know no
letter outside ASCII under the C locale. So text is cut here: three letters at a time, or two where
one of them is not ASCII, since a Chinese name is that short. A gram is a number; two grams may
share one, so whoever finds a text by its grams still has to look at the text.
"""

import re
import zlib
from itertools import pairwise
from typing import Final

_NUMBER: Final = re.compile(r"inv-\d{4}-\d{6,}", re.ASCII)
_ASCII: Final = 128
_ABOVE_THREES: Final = 2**21
_PRIME: Final = 1_000_003


def grams(text: str, number: str) -> frozenset[int]:
    """What an invoice is found by: its text, and its number whole; both casefolded here.

    Every gram is a number of 31 bits.
    """
    return frozenset(_cut(text.casefold()) | {_whole(number.casefold())})


def wanted_grams(search: str) -> frozenset[int]:
    """The grams that every text containing ``search`` has; empty where it is too short for any.

    A whole invoice number is asked for as one gram, since digits in threes are everywhere.
    """
    folded = search.casefold()
    if _NUMBER.fullmatch(folded):
        return frozenset((_whole(folded),))
    return frozenset(_cut(folded))


def _cut(text: str) -> set[int]:
    letters = [ord(letter) for letter in text]
    threes = zip(letters, letters[1:], letters[2:], strict=False)
    found = {a << 14 | b << 7 | c for a, b, c in threes if a < _ASCII > b and c < _ASCII}
    if not text.isascii():
        twos = pairwise(letters)
        found |= {_number_of(a * _PRIME + b) for a, b in twos if a >= _ASCII or b >= _ASCII}
    return found


def _whole(text: str) -> int:
    return _number_of(zlib.crc32(text.encode()))


def _number_of(hashed: int) -> int:
    """Above all grams of three, and within 31 bits."""
    return _ABOVE_THREES + hashed % (2**31 - _ABOVE_THREES)
