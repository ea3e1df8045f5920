"""Reads the JSON of a rate source without ever making a float of a number."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NoReturn

from counterfoil.providers.rates.port import RateRefused

_SECONDS: Final = re.compile(r"[0-9]{9,11}", re.ASCII)
_MILLISECONDS: Final = re.compile(r"[0-9]{12,14}", re.ASCII)


def read_json(data: bytes, what: str, *, number: Callable[[str], object] = str) -> object:
    """Parse JSON with every number kept as its own text; raises `RateRefused`.

    So 32.41 stays ``"32.41"`` and 3.2e1 stays visible as an exponent, for `parse_rate` to judge.
    ``number`` may raise ``ValueError`` where none belongs.
    """
    try:
        return json.loads(
            data,
            parse_float=number,
            parse_int=number,
            parse_constant=number,
            object_pairs_hook=_object,
        )
    except (ValueError, RecursionError) as error:
        message = f"{what} is not JSON we can read: {error}"
        raise RateRefused(message) from error


def read_instant(text: object, what: str) -> datetime:
    """Read ISO 8601 with a zone, or Unix seconds or milliseconds, as aware UTC.

    Raises `RateRefused`; a time without a zone could be off by half a day.
    """
    if not isinstance(text, str):
        _refuse_instant(text, what)
    if _SECONDS.fullmatch(text):
        return datetime.fromtimestamp(int(text), UTC)
    if _MILLISECONDS.fullmatch(text):
        return datetime.fromtimestamp(int(text) // 1000, UTC)
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            _refuse_instant(text, what)
        return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        _refuse_instant(text, what)


def at_pointer(document: object, pointer: str, what: str) -> object:
    """The value that a JSON pointer (RFC 6901) names; raises `RateRefused` when there is none."""
    value = document
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isascii() and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            message = f"{what} has nothing at {pointer}"
            raise RateRefused(message)
    return value


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse an object that names a key twice, since two readers would see two rates."""
    read = dict(pairs)
    if len(read) < len(pairs):
        message = "a key stands twice in one object"
        raise ValueError(message)
    return read


def _refuse_instant(text: object, what: str) -> NoReturn:
    message = f"{what} has the time {str(text)[:60]!r}, not ISO 8601 with a zone or Unix time"
    raise RateRefused(message)
