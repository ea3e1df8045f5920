"""The languages that pages come in: gettext catalogues, read once when the process starts."""

import io
import re
from functools import cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files
from itertools import chain
from re import Pattern
from typing import Final

from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LANGUAGES: Final = {"en": "English", "zh-Hant-TW": "繁體中文"}
"""Language tag (BCP 47) to its name in itself; the first is what sentences are written in."""

DEFAULT: Final = "en"

REFUSAL: Final = "A refusal, with values in it"
"""What a catalogue notes beside such a sentence; `told` looks for these."""

LONGEST: Final = 2000
"""Longer refusals quote what was sent, and nobody reads them in any language."""

_VALUE: Final = re.compile(r"%\((\w+)\)s")


def N_(message: str) -> str:  # noqa: N802 - what extractors look for
    """Mark a sentence for translation where the language is not known yet."""
    return message


def locale_of(language: str) -> Locale:
    """How a language writes dates in words."""
    return Locale.parse(language, sep="-")


@cache
def _catalogue(language: str) -> Catalog:
    """What translators wrote; empty for the language that sentences are written in."""
    catalogue_file = files("counterfoil.pages") / "locale" / language / "counterfoil.po"
    if language == DEFAULT or not catalogue_file.is_file():
        return Catalog()
    with catalogue_file.open("rb") as file:
        return read_po(file, locale=language.replace("-", "_"))


@cache
def translations(language: str) -> NullTranslations:
    """A language's catalogue; sentences that it lacks stay English."""
    if not len(_catalogue(language)):
        return NullTranslations()
    compiled = io.BytesIO()
    write_mo(compiled, _catalogue(language))
    compiled.seek(0)
    return GNUTranslations(compiled)


def told(language: str, sentence: str) -> str:
    """What a refusal says, in a language.

    Refusals speak English and carry values within their sentences, some of which people typed.
    So a sentence is recognised by the words around its values. Values that are clauses of ours
    are translated as well, others stay what they are. The answer is text, not markup, whatever
    was typed. A sentence unknown to the catalogue comes back as it is.
    """
    catalogue = translations(language)
    known = catalogue.gettext(sentence) if sentence else ""
    if known != sentence or len(sentence) > LONGEST:
        return known
    for pattern, translation in _with_values(language):
        found = pattern.fullmatch(sentence)
        if found:
            values = found.groupdict().items()
            return translation % {
                name: told(language, value) if " " in value else value for name, value in values
            }
    return sentence


@cache
def _with_values(language: str) -> tuple[tuple[Pattern[str], str], ...]:
    """Sentences of refusals that have values in them, those with most words first."""
    found = [
        (message.id, message.string)
        for message in _catalogue(language)
        if REFUSAL in message.auto_comments
        and isinstance(message.id, str)
        and isinstance(message.string, str)
        and message.string
    ]
    found.sort(key=lambda one: (-len(_VALUE.sub("", one[0])), one[0]))
    return tuple((_recognising(sentence), translation) for sentence, translation in found)


def _recognising(sentence: str) -> Pattern[str]:
    parts = _VALUE.split(sentence)
    words = [re.escape(part.replace("%%", "%")) for part in parts[::2]]
    values = [f"(?P<{name}>.+)" for name in parts[1::2]]
    return re.compile(
        "".join(chain.from_iterable(zip(words, [*values, ""], strict=True))), re.DOTALL
    )


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
