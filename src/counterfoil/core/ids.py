"""Public names of things: a prefix that says what it is, and the UUID behind it."""

from typing import Final, Literal
from uuid import UUID

Kind = Literal[
    "inv",
    "pi",
    "file",
    "user",
    "evt",
    "mv",
    "scr",
    "req",
    "key",
    "ref",
    "ses",
    "pad",
    "job",
    "pass",
    "rcp",
]

_HEX_LENGTH: Final = 32
_MOST_DIGITS: Final = 18


def public(kind: Kind, value: UUID) -> str:
    """The public name, as in ``inv_0198c5...`` (32 lower-case hex digits)."""
    return f"{kind}_{value.hex}"


def parse(kind: Kind, text: str) -> UUID | None:
    """The UUID behind a public name, or None when it is not one of that kind.

    Only the exact spelling that `public` writes is taken, so that one thing has one name.
    """
    prefix, _, digits = text.partition("_")
    if prefix != kind or len(digits) != _HEX_LENGTH or digits != digits.lower():
        return None
    try:
        value = UUID(hex=digits)
    except ValueError:
        return None
    return value if value.hex == digits else None


def parse_number(text: str) -> int | None:
    """A number that things are known by (organisations, bank accounts), or None when it is none.

    As many digits as always fit into 64 bits.
    """
    plain = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text) if plain else None
