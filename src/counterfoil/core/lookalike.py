"""Names and addresses that only look like others (T22): one script's letters in another's word.

What looks alike is decided for the scripts whose letters are drawn like Latin ones. Chinese beside
Latin is how companies are called in Taiwan and is nothing to mark.
"""

import re
import unicodedata
from typing import Final

_ALIKE: Final = str.maketrans(
    # Cyrillic, then Greek, then Armenian and Latin's own strays; large letters first.
    "АВЕЗКМНОРСТУХЅІЈԚԜҮаеорсухѕіјһԁԛԝӏкмтнвгпьүΑΒΕΖΗΙΚΜΝΟΡΤΥΧαορτυινκχεβγηωօսոհցıɑɡ",
    "ABE3KMHOPCTYXSIJQWYaeopcyxsijhdqwlkmthbrnbyABEZHIKMNOPTYXaoptuivkxebynwounhgiag",
)
_CONFUSED: Final = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "COPTIC", "CHEROKEE"})
_WORD: Final = re.compile(r"[^\W\d_]+")
_READ: Final = 4


def skeleton(text: str) -> str:
    """The text as it looks: equal for two names that are drawn alike."""
    return " ".join(unicodedata.normalize("NFKC", text).translate(_ALIKE).casefold().split())


def looks_like(one: str, other: str) -> bool:
    """Whether two different names are drawn alike; large and small letters are no difference."""
    return skeleton(one) == skeleton(other) and _plain(one) != _plain(other)


def mixes_scripts(text: str) -> bool:
    """Whether a word has letters of several scripts that are drawn alike."""
    return any(len(_scripts(word)) > 1 for word in _WORD.findall(text))


def address_looks_like(one: str, other: str) -> bool:
    """Whether two different addresses begin and end alike, which is all that people compare.

    Addresses are canonical (lower-case 0x). Such twins are made to be copied by mistake.
    """
    ends = ((text.removeprefix("0x")[:_READ], text[-_READ:]) for text in (one, other))
    return one != other and next(ends) == next(ends)


def _scripts(word: str) -> frozenset[str]:
    names = (unicodedata.name(letter, "").partition(" ")[0] for letter in word)
    return _CONFUSED.intersection(names)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
