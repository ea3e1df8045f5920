"""Refusals: why the system said no, in words for people and names for programs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, TypeVar

T = TypeVar("T")


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not a malfunction
    """Something was asked that cannot be done; nothing was changed.

    ``fields`` maps the name of each offending input to the sentence about it
    (empty when the refusal is not about an input). ``data`` carries facts that a
    program may act on, such as the commands that are allowed instead.
    """

    kind: ClassVar[str] = "refused"

    def __init__(
        self,
        message: str,
        *,
        fields: Mapping[str, str] | None = None,
        data: Mapping[str, object] | None = None,
    ) -> None:
        """Keep the sentence, the fields it is about, and facts for programs."""
        super().__init__(message)
        self.message = message
        self.fields = MappingProxyType(dict(fields or {}))
        self.data = MappingProxyType(dict(data or {}))


class Invalid(Refusal):
    """An input is malformed or out of bounds; ``fields`` names each one."""

    kind = "invalid"

    @classmethod
    def field(cls, name: str, sentence: str) -> "Invalid":
        """Refuse one field, with the sentence that says what is allowed."""
        return cls(f"{name}: {sentence}", fields={name: sentence})


class NotFound(Refusal):
    """No such thing in this organisation; foreign and unknown ids look alike."""

    kind = "not_found"


class Forbidden(Refusal):
    """The actor lacks a permission, or four-eyes forbids it; says which."""

    kind = "forbidden"


class OutOfPlace(Refusal):
    """A command that the status does not allow; ``data['allowed']`` lists those it does."""

    kind = "out_of_place"


class Conflict(Refusal):
    """The same key or the same thing is already in use or in progress."""

    kind = "conflict"


class Unavailable(Refusal):
    """Something we need (a fresh rate, a free address) is missing just now; try again."""

    kind = "unavailable"


class Damaged(Refusal):
    """What is asked for is stored, and is not what was stored; trying again does not help."""

    kind = "damaged"


@dataclass(slots=True)
class Problems:
    """Everything wrong with what somebody filled in, by its field, to be told at once."""

    found: dict[str, str] = field(default_factory=dict)

    def read(self, get: Callable[[], T], otherwise: T) -> T:
        """What ``get`` reads; ``otherwise`` where it is `Invalid`, which is noted."""
        try:
            return get()
        except Invalid as refused:
            self.note(refused)
            return otherwise

    def note(self, refused: Invalid, otherwise: str | None = None) -> None:
        """Note one refusal; what is about no field stands under the name ``otherwise``."""
        unnamed = {} if otherwise is None else {otherwise: refused.message}
        self.found.update(refused.fields or unnamed)

    def settle(self) -> None:
        """Raise `Invalid` with all that was noted, if anything was; one alone speaks for itself."""
        match list(self.found.items()):
            case []:
                return
            case [(name, sentence)]:
                raise Invalid.field(name, sentence)
            case many:
                count = len(many)
                sentence = f"{count} fields need another look; nothing was saved"
                raise Invalid(sentence, fields=self.found)

    def settle_in_full(self) -> None:
        """Raise `Invalid` with all that was noted, and all of it in its sentence."""
        if self.found:
            message = "; ".join(f"{name}: {sentence}" for name, sentence in self.found.items())
            raise Invalid(message, fields=self.found)
