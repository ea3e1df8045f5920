"""The languages that pages come in: gettext catalogues, read once when the process starts."""

import io
from functools import cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files
from typing import Final

from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LANGUAGES: Final = {"en": "English", "zh-Hant-TW": "繁體中文"}
"""Language tag (BCP 47) to its name in itself; the first is what sentences are written in."""

DEFAULT: Final = "en"


def N_(message: str) -> str:  # noqa: N802 - what extractors look for
    """Mark a sentence for translation where the language is not known yet."""
    return message


def locale_of(language: str) -> Locale:
    """How a language writes numbers and dates."""
    return Locale.parse(language, sep="-")


@cache
def translations(language: str) -> NullTranslations:
    """A language's catalogue; sentences that it lacks stay English."""
    if language == DEFAULT:
        return NullTranslations()
    catalogue_file = files("counterfoil.pages") / "locale" / language / "counterfoil.po"
    if not catalogue_file.is_file():
        return NullTranslations()
    with catalogue_file.open("rb") as file:
        catalogue = read_po(file, locale=language.replace("-", "_"))
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return GNUTranslations(compiled)


def preferred(accepted: str) -> str:
    """The best of our languages for an ``Accept-Language`` header; any Chinese is 繁體中文."""
    ranked = sorted(map(_weighed, enumerate(accepted[:1000].split(","))))
    for _, _, tag in ranked:
        if tag.startswith("zh"):
            return "zh-Hant-TW"
        if tag.startswith("en"):
            return "en"
    return DEFAULT


def _weighed(numbered: tuple[int, str]) -> tuple[float, int, str]:
    position, part = numbered
    tag, _, weight = part.strip().partition(";q=")
    try:
        wish = float(weight or 1)
    except ValueError:
        wish = 0
    return -wish, position, tag.strip().lower()
