"""Kinds of fields: how each is read from JSON, and how a schema describes it.

One table of `Field` rows both reads a request and documents it, so the two cannot disagree. All
wrong fields are found before any is refused.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final, Protocol
from uuid import UUID

from counterfoil.core import ids, money
from counterfoil.core.bounds import clean_object
from counterfoil.core.errors import Invalid, Problems
from counterfoil.core.strict_json import Json, Number
from counterfoil.core.text import (
    MAX_EMAIL_LENGTH,
    MAX_URL_LENGTH,
    clean_email,
    clean_text,
    clean_url,
)

Schema = dict[str, Any]

MAX_TIMESTAMP: Final = 4_102_444_800
"""The year 2100; a deadline beyond it was given in milliseconds."""

_FIRST_YEAR: Final = 2000
_LAST_YEAR: Final = 2199
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_INSTANT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)


class Kind(Protocol):
    """What a field may hold."""

    def read(self, value: Json, name: str) -> Any:  # noqa: ANN401 - each kind has its own value
        """Return the value, checked; raise `Invalid` naming it (and what is inside it)."""
        ...

    def schema(self) -> Schema:
        """Describe it as JSON Schema (2020-12)."""
        ...


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a request: name, what it may hold, and what it means."""

    name: str
    kind: Kind
    notes: str
    required: bool = False


def read_fields(
    body: Mapping[str, Json], fields: Sequence[Field], *, prefix: str = ""
) -> dict[str, Any]:
    """Read the fields that were sent, and those only; ``null`` means not sent.

    Fields that are not in the table are ignored, whatever they hold. Raises `Invalid` naming
    everything that is wrong or missing.
    """
    found: dict[str, Any] = {}
    problems = Problems()
    for field in fields:
        value = body.get(field.name)
        try:
            if value is not None:
                found[field.name] = field.kind.read(value, prefix + field.name)
            elif field.required:
                raise Invalid.field(prefix + field.name, "is required")
        except Invalid as refused:
            problems.note(refused, "body")
    problems.settle_in_full()
    return found


def object_schema(fields: Sequence[Field]) -> Schema:
    """Describe a whole object made of these fields."""
    described = {f.name: {**f.kind.schema(), "description": f.notes} for f in fields}
    required = [f.name for f in fields if f.required]
    return {
        "type": "object",
        "properties": described,
        **({"required": required} if required else {}),
    }


@dataclass(frozen=True, slots=True)
class Text:
    """What people write, at least and at most so many characters; ``lines`` allows line breaks."""

    most: int
    least: int = 1
    lines: bool = False

    def read(self, value: Json, name: str) -> str:
        """Return it cleaned and composed (core/text.py)."""
        if isinstance(value, Number):
            raise Invalid.field(name, "must be text, in quotes")
        text = clean_text(value, name, max_length=self.most, empty=not self.least, lines=self.lines)
        if len(text) < self.least:
            raise Invalid.field(name, f"must have at least {self.least} characters")
        return text

    def schema(self) -> Schema:
        """Describe it."""
        least = {"minLength": self.least} if self.least else {}
        return {"type": "string", **least, "maxLength": self.most}


@dataclass(frozen=True, slots=True)
class Email:
    """An e-mail address."""

    def read(self, value: Json, name: str) -> str:
        """Return it with its domain in lower case."""
        return clean_email(value, name)

    def schema(self) -> Schema:
        """Describe it."""
        return {"type": "string", "format": "email", "maxLength": MAX_EMAIL_LENGTH}


@dataclass(frozen=True, slots=True)
class Url:
    """A web address that is shown and never fetched."""

    def read(self, value: Json, name: str) -> str:
        """Return it as written."""
        return clean_url(value, name)

    def schema(self) -> Schema:
        """Describe it."""
        return {"type": "string", "format": "uri", "maxLength": MAX_URL_LENGTH}


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of a few words. ``also`` are other spellings of them, read and never written."""

    words: tuple[str, ...]
    also: Mapping[str, str] | None = None

    def read(self, value: Json, name: str) -> str:
        """Return the word in its own spelling."""
        word = (self.also or {}).get(value, value) if isinstance(value, str) else None
        if isinstance(value, Number) or word not in self.words:
            raise Invalid.field(name, f"must be one of {', '.join(self.words)}")
        return str(word)

    def schema(self) -> Schema:
        """Describe it."""
        return {"type": "string", "enum": [*self.words, *(self.also or ())]}


@dataclass(frozen=True, slots=True)
class Flag:
    """Yes or no."""

    def read(self, value: Json, name: str) -> bool:
        """Return it; only ``true`` and ``false`` are."""
        if not isinstance(value, bool):
            raise Invalid.field(name, "must be true or false")
        return value

    def schema(self) -> Schema:
        """Describe it."""
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within bounds, written as a JSON number."""

    least: int
    most: int

    def read(self, value: Json, name: str) -> int:
        """Return it; fractions, exponents, text and booleans are not whole numbers."""
        number = value.whole() if isinstance(value, Number) else None
        if number is None or not self.least <= number <= self.most:
            sentence = f"must be a whole number from {self.least} to {self.most}"
            quoted = isinstance(value, str) and not isinstance(value, Number)
            raise Invalid.field(name, f"{sentence}, without quotes" if quoted else sentence)
        return number

    def schema(self) -> Schema:
        """Describe it."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class AmountText:
    """An amount of money, written as text so that no reader makes a float of it."""

    def read(self, value: Json, name: str) -> Decimal:
        """Return it; what it may be worth is for the desk to say."""
        return money.parse_decimal(None if isinstance(value, Number) else value, name)

    def schema(self) -> Schema:
        """Describe it."""
        return {"type": "string", "pattern": r"^(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?$"}


@dataclass(frozen=True, slots=True)
class PlainNumber:
    """A number that is not negative, as a JSON number or as text, exact to its last digit."""

    def read(self, value: Json, name: str) -> Decimal:
        """Return it as the decimal that was written, never by way of a float."""
        try:
            return money.parse_decimal(str(value) if isinstance(value, str) else None, name)
        except Invalid:
            raise Invalid.field(
                name,
                "must be a plain number such as 1 or 2.5: not negative, without exponent,"
                " at most 18 digits before the point and 18 after it",
            ) from None

    def schema(self) -> Schema:
        """Describe it."""
        return {
            "oneOf": [
                {"type": "number", "minimum": 0, "exclusiveMaximum": 10**18},
                AmountText().schema(),
            ]
        }


@dataclass(frozen=True, slots=True)
class Day:
    """A calendar day, as ``YYYY-MM-DD`` or as an instant of which the day is taken."""

    def read(self, value: Json, name: str) -> date:
        """Return the day as written, in whatever offset it was written."""
        day = _date(value) if isinstance(value, str) else None
        if day is not None and _FIRST_YEAR <= day.year <= _LAST_YEAR:
            return day
        raise Invalid.field(
            name,
            "must be a date such as 2026-06-22, or an ISO 8601 time such as 2026-06-22T12:00:00Z",
        )

    def schema(self) -> Schema:
        """Describe it."""
        return {
            "anyOf": [
                {"type": "string", "format": "date"},
                {"type": "string", "format": "date-time"},
            ]
        }


@dataclass(frozen=True, slots=True)
class Instant:
    """A point in time, as ISO 8601 with its offset."""

    def read(self, value: Json, name: str) -> datetime:
        """Return it in UTC."""
        found = None
        if isinstance(value, str) and _INSTANT.fullmatch(value):
            found = _instant(value)
        if found is None or not _FIRST_YEAR <= found.year <= _LAST_YEAR:
            raise Invalid.field(name, "must be an ISO 8601 time such as 2026-06-22T12:00:00Z")
        return found

    def schema(self) -> Schema:
        """Describe it."""
        return {"type": "string", "format": "date-time"}


@dataclass(frozen=True, slots=True)
class PublicId:
    """The public name of something of ours, such as ``file_0198c5...``."""

    kind: ids.Kind

    def read(self, value: Json, name: str) -> UUID:
        """Return the id behind the name."""
        found = ids.parse(self.kind, value) if isinstance(value, str) else None
        if found is None:
            sentence = (
                f"must be an id that was given out here: {self.kind}_ and 32 hexadecimal digits"
            )
            raise Invalid.field(name, sentence)
        return found

    def schema(self) -> Schema:
        """Describe it."""
        return {"type": "string", "pattern": f"^{self.kind}_[0-9a-f]{{32}}$"}


@dataclass(frozen=True, slots=True)
class Opaque:
    """A JSON object that is none of our business: kept as it is, and given back unchanged."""

    max_depth: int
    max_bytes: int

    def read(self, value: Json, name: str) -> str:
        """Return it as JSON text with every digit it came with."""
        return clean_object(value, name, max_depth=self.max_depth, max_bytes=self.max_bytes)

    def schema(self) -> Schema:
        """Describe it."""
        return {"type": "object", "additionalProperties": True}


@dataclass(frozen=True, slots=True)
class Record:
    """An object with fields of its own."""

    fields: tuple[Field, ...]

    def read(self, value: Json, name: str) -> dict[str, Any]:
        """Return its fields."""
        if not isinstance(value, dict):
            raise Invalid.field(name, "must be a JSON object")
        return read_fields(value, self.fields, prefix=f"{name}.")

    def schema(self) -> Schema:
        """Describe it."""
        return object_schema(self.fields)


@dataclass(frozen=True, slots=True)
class ListOf:
    """Several of a kind."""

    kind: Kind
    least: int
    most: int

    def read(self, value: Json, name: str) -> list[Any]:
        """Return them in order; everything wrong with any of them is named."""
        if not isinstance(value, list):
            raise Invalid.field(name, "must be a JSON array")
        if not self.least <= len(value) <= self.most:
            raise Invalid.field(name, f"must have from {self.least} to {self.most} entries")
        return list(self._entries(value, name))

    def _entries(self, value: list[Json], name: str) -> Iterator[Any]:
        problems = Problems()
        for number, entry in enumerate(value):
            try:
                yield self.kind.read(entry, f"{name}[{number}]")
            except Invalid as refused:
                problems.note(refused, "body")
        problems.settle_in_full()

    def schema(self) -> Schema:
        """Describe it."""
        return {
            "type": "array",
            "items": self.kind.schema(),
            "minItems": self.least,
            "maxItems": self.most,
        }


@dataclass(frozen=True, slots=True)
class MapOf:
    """An object with any of a few keys, each holding the same kind."""

    keys: tuple[str, ...]
    kind: Kind

    def read(self, value: Json, name: str) -> dict[str, Any]:
        """Return what stands under each key."""
        if not isinstance(value, dict):
            raise Invalid.field(name, "must be a JSON object")
        problems = Problems()
        found = {}
        for key, entry in value.items():
            try:
                found[self._known(key, name)] = self.kind.read(entry, f"{name}.{key}")
            except Invalid as refused:
                problems.note(refused, "body")
        problems.settle_in_full()
        return found

    def _known(self, key: str, name: str) -> str:
        if key not in self.keys:
            raise Invalid.field(name, f"may only have the keys {', '.join(self.keys)}")
        return key

    def schema(self) -> Schema:
        """Describe it."""
        return {
            "type": "object",
            "properties": {key: self.kind.schema() for key in self.keys},
            "additionalProperties": False,
        }


def _date(text: str) -> date | None:
    """The day that is written, whatever the offset behind it; both parts must be real."""
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
        return datetime.fromisoformat(text).date() if _INSTANT.fullmatch(text) else None
    except ValueError:
        return None


def _instant(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
