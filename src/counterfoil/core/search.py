"""What makes text findable: the grams that an index over invoices keeps of it.

A database's own text search knows words, which Chinese does not write, and its trigrams know no
letter outside ASCII under the C locale. So text is cut here: three letters at a time, or two where
one of them is not ASCII, since a Chinese name is that short. A gram is a number; two grams may
share one, so whoever finds a text by its grams still has to look at the text.
"""

import re
import zlib
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

_NUMBER: Final = re.compile(r"inv-\d{4}-\d{6,}", re.ASCII)
_ASCII: Final = 128
_ABOVE_THREES: Final = 2**21
_PRIME: Final = 1_000_003
_SPREAD: Final = 1_640_531_527
_KEPT_BELOW: Final = 2**31 - 1
"""A prime, so that no two grams of an organisation become one."""


def grams(text: str, number: str) -> frozenset[int]:
    """What an invoice is found by: its text, and its number whole; both casefolded here.

    Every gram is a number of 31 bits. An index keeps them as `of_org`.
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


def of_org(found: Iterable[int], org_id: int) -> frozenset[int]:
    """Grams as an organisation keeps them, so that its index has nobody else's texts under them.

    Numbers of 31 bits again. Two organisations may share one: nothing is found by it alone.
    """
    return frozenset((gram * _SPREAD + org_id * _PRIME) % _KEPT_BELOW for gram in found)


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
