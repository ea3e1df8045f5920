"""Copies of values that never change.

An invoice has some fifty fields and is copied several times for every payment, so how long that
takes is felt. `dataclasses.replace` asks each field what it is; here a class is asked once.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar

__all__ = ["replace"]

T = TypeVar("T")

if TYPE_CHECKING:
    from dataclasses import replace  # the type checker knows it, and what each field may be
else:

    def replace(value: T, /, **changes: object) -> T:
        """A copy with other values in some fields, as of `dataclasses.replace`.

        Raises ``TypeError`` for a field that there is not, and for a class whose constructor does
        not take all of its fields by their places.
        """
        kind = type(value)
        read, places = _shape(kind)
        held = list(read(value))
        for name, new in changes.items():
            place = places.get(name)
            if place is None:
                msg = f"{kind.__name__} has no field {name}"
                raise TypeError(msg)
            held[place] = new
        return kind(*held)


_AT_LEAST: Final = 2
"""With one name `attrgetter` answers a value and not a row of them."""


@cache
def _shape(
    kind: type[Any],
) -> tuple[Callable[[object], tuple[object, ...]], Mapping[str, int]]:
    """What reads all fields of a dataclass, and the place of each in its constructor."""
    found = fields(kind)
    if len(found) < _AT_LEAST or any(not field.init or field.kw_only for field in found):
        msg = f"{kind.__name__} does not take two or more fields by their places"
        raise TypeError(msg)
    names = [field.name for field in found]
    return attrgetter(*names), {name: place for place, name in enumerate(names)}
