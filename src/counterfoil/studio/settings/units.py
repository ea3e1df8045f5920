"""Rules as people write them, in per cent, and as they are kept, as shares and hundredths."""

import re
from decimal import Decimal
from typing import Final

from counterfoil.core.money import plain_text
from counterfoil.studio.rule_words import RULES, Kind

KINDS: Final[dict[str, Kind]] = {
    name: rule.kind for group in RULES.values() for name, rule in group.items()
}

_IN_A_PER_CENT: Final[dict[Kind, Decimal]] = {"share": Decimal("0.01"), "bps": Decimal(100)}
_WRITTEN: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?%?", re.ASCII)
_BOUND: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_BOUNDS: Final = ("must be from ", "must be below ", "must be above ")


def shown(name: str, value: object) -> str:
    """A rule's value as it stands in the form."""
    if value is None:
        return ""
    size = _IN_A_PER_CENT.get(KINDS[name])
    if size is not None:
        return plain_text(Decimal(str(value)) / size)
    return str(value).lower() if isinstance(value, bool) else str(value)


def kept(name: str, written: str) -> str:
    """What was written as the rule keeps it; what is no number stays as it is, to be refused."""
    size = _IN_A_PER_CENT.get(KINDS[name])
    number = _WRITTEN.fullmatch(written)
    if size is None or number is None:
        return written
    return plain_text(Decimal(number[1]) * size)


def told(name: str, sentence: str) -> str:
    """Why a rule is refused, with its bounds in per cent where people write it so."""
    size = _IN_A_PER_CENT.get(KINDS.get(name, "text"))
    if size is None or not sentence.startswith(_BOUNDS):
        return sentence
    return _BOUND.sub(lambda found: f"{plain_text(Decimal(found[0]) / size)}%", sentence)
