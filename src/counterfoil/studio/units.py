"""Rules as people write them, in per cent, and as they are kept, as shares and hundredths."""

import re
from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Final

from counterfoil.core import numerals
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Invalid, Refusal
from counterfoil.core.invoice import names_in
from counterfoil.core.money import plain_text
from counterfoil.pages.language import N_
from counterfoil.pages.shape import chain_name
from counterfoil.studio.rule_words import RULES, Kind, Rule

Say = Callable[..., str]

KINDS: Final[dict[str, Kind]] = {
    name: rule.kind for group in RULES.values() for name, rule in group.items()
}
NOTHING: Final = "\N{EN DASH}"

_RULES: Final[dict[str, Rule]] = {
    name: rule for group in RULES.values() for name, rule in group.items()
}
_IN_A_PER_CENT: Final[dict[Kind, Decimal]] = {"share": Decimal("0.01"), "bps": Decimal(100)}
_PLACES: Final[dict[Kind, int]] = {"share": 4, "bps": 2}
"""Digits after the point of a per cent that can be kept."""
_ALL: Final = {"confirm_soft_chains": N_("all chains"), "rate_sources": N_("all sources")}
"""Rules that hold for all where none is named."""
_WRITTEN: Final = re.compile(r"(-?[0-9]{1,9}(?:\.([0-9]{1,9}))?) ?%?", re.ASCII)


def shown(name: str, value: object) -> str:
    """A rule's value as it stands in the form."""
    if value is None:
        return ""
    if KINDS[name] == "chains":
        return ", ".join(sorted(names_in(str(value)), key=_place))
    size = _IN_A_PER_CENT.get(KINDS[name])
    if size is not None:
        return plain_text(Decimal(str(value)) / size)
    return str(value).lower() if isinstance(value, bool) else str(value)


def said(name: str, text: str, say: Say) -> str:
    """A rule's value as a sentence has it, given what stands in the form."""
    kind, choices = KINDS[name], _RULES[name].choices or {}
    if not text:
        return say(_ALL[name]) if name in _ALL else NOTHING
    if kind == "chains":
        return ", ".join(map(chain_name, names_in(text)))
    return say(choices[text]) if text in choices else text + ("%" if kind in _PLACES else "")


def kept(name: str, written: str) -> str:
    """What was written as the rule keeps it. Raises `Invalid` for per cents that cannot be kept."""
    kind = KINDS[name]
    if kind == "number":
        return numerals.plain(written)
    if kind not in _PLACES or not (written or not _RULES[name].empty):
        return written
    number, places = _WRITTEN.fullmatch(numerals.plain(written)), _PLACES[kind]
    if number is None or len(number[2] or "") > places:
        sentence = f"must be a plain number of per cent, at most {places} digits after the point"
        raise Invalid.field(name, sentence)
    return plain_text(Decimal(number[1]) * _IN_A_PER_CENT[kind])


def offered(text: str, served: Collection[str]) -> list[str]:
    """The chains to choose among: those of this server, and those that are chosen already."""
    return sorted({*served, *names_in(text)}, key=_place)


def told(refusal: Refusal) -> Refusal:
    """The same refusal, with its bounds as people write the rule."""
    name = next(iter(refusal.fields), "")
    rule = _RULES.get(name)
    if rule is None:
        return refusal
    unit = "%" if rule.kind in _PLACES else ""
    bounds = {n: shown(name, value) + unit for n, value in refusal.data.items()}
    match bounds:
        case {"least": least, "most": most} if rule.empty:
            return Invalid.field(name, f"must be from {least} to {most}, or be left empty")
        case {"least": least, "most": most}:
            return Invalid.field(name, f"must be from {least} to {most}")
        case {"below": ratio}:
            sentence = f"must be below the share that counts as paid, which is {ratio}"
            return Invalid.field(name, sentence)
        case {"above": ratio}:
            sentence = f"must be above the share that counts as exact, which is {ratio}"
            return Invalid.field(name, sentence)
        case _:
            return refusal


def _place(chain: str) -> tuple[int, str]:
    return list(CHAINS).index(chain) if chain in CHAINS else len(CHAINS), chain
