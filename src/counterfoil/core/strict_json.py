"""JSON from outside, read strictly: nothing is guessed, and no number becomes a float.

The standard library's reader accepts ``NaN`` and keeps the last of two equal keys, and every
fast reader turns 0.1 into the nearest float (specs/reliability.md 2.3 T20, T33). Here a number
keeps its own digits until the field that it belongs to says what it is.
"""

import json
import re
from collections.abc import Iterator
from typing import Final, NoReturn

from counterfoil.core.errors import Invalid

MAX_DEPTH: Final = 32

_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,39})", re.ASCII)


class Number(str):
    """A JSON number as it was written; text, so that no digit is lost."""

    __slots__ = ()

    def whole(self) -> int | None:
        """The integer it is, or None for fractions, exponents and more than 40 digits."""
        return int(self) if _INTEGER.fullmatch(self) else None


Json = dict[str, "Json"] | list["Json"] | str | Number | bool | None


class Unreadable(Invalid):
    """The body is not JSON at all, or JSON that two readers could understand differently."""


def read_object(body: bytes) -> dict[str, Json]:
    """Read a JSON object.

    Raises `Unreadable` for anything else: other JSON, bad UTF-8, ``NaN``, a key that stands
    twice in one object, or nesting deeper than `MAX_DEPTH`.
    """
    try:
        found = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=Number,
            parse_float=Number,
            parse_constant=_refuse_constant,
        )
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Unreadable(f"the body is not JSON: {_short(error)}") from None
    except RecursionError:
        raise Unreadable(f"the body is nested deeper than {MAX_DEPTH} levels") from None
    if not isinstance(found, dict):
        raise Unreadable("the body must be a JSON object")
    for name, value in found.items():
        if isinstance(value, dict | list) and depth_of(value) > MAX_DEPTH:
            raise Unreadable.field(_shown(name), f"is nested deeper than {MAX_DEPTH} levels")
    return found


def depth_of(value: Json) -> int:
    """How many arrays and objects stand inside each other; 0 for a plain value."""
    deepest = 0
    open_: list[tuple[Json, int]] = [(value, 1)]
    while open_:
        item, depth = open_.pop()
        if isinstance(item, dict | list):
            deepest = max(deepest, depth)
            inside = item.values() if isinstance(item, dict) else item
            open_.extend((child, depth + 1) for child in inside)
    return deepest


def dump(value: Json) -> str:
    """Write it down again, every number with the digits it came with."""
    match value:
        case dict():
            inside = (f"{_quoted(key)}:{dump(item)}" for key, item in value.items())
            return "{" + ",".join(inside) + "}"
        case list():
            return "[" + ",".join(map(dump, value)) + "]"
        case Number():
            return str(value)
        case str():
            return _quoted(value)
        case _:
            return {None: "null", True: "true", False: "false"}[value]


def texts(value: Json) -> Iterator[str]:
    """Every piece of text in it, keys included."""
    open_: list[Json] = [value]
    while open_:
        item = open_.pop()
        if isinstance(item, dict):
            yield from item
            open_.extend(item.values())
        elif isinstance(item, list):
            open_.extend(item)
        elif isinstance(item, str) and not isinstance(item, Number):
            yield item


def canonical(value: Json) -> bytes:
    """One spelling per content: keys sorted, no blanks; two equal requests give equal bytes."""
    return json.dumps(_tagged(value), sort_keys=True, separators=(",", ":")).encode()


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _tagged(value: Json) -> object:
    """Keep the number 1 and the text "1" apart."""
    match value:
        case dict():
            return {key: _tagged(inside) for key, inside in value.items()}
        case list():
            return [_tagged(inside) for inside in value]
        case Number():
            return ["number", str(value)]
        case _:
            return value


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Unreadable.field(_shown(twice), "stands twice in one object")
    return found


def _shown(name: str) -> str:
    """A key that the client made up, short and harmless enough to be repeated to it."""
    return name[:64].encode("ascii", "backslashreplace").decode()


def _refuse_constant(name: str) -> NoReturn:
    raise Unreadable(f"the body is not JSON: {name} is not a JSON value")


def _short(error: UnicodeDecodeError | json.JSONDecodeError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    return f"byte {error.start} is not UTF-8"
