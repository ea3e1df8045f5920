"""How long and how many the parts of an invoice may be, whichever door it comes by."""

from typing import Final

from counterfoil.core.errors import Invalid
from counterfoil.core.strict_json import Json, depth_of, dump, texts

NAME_LENGTH: Final = 200
ITEM_NAME_LENGTH: Final = 500
DESCRIPTION_LENGTH: Final = 2_000
GROUP_KEY_LENGTH: Final = 128
REVIEWER_LENGTH: Final = 254
ADDRESS_LENGTH: Final = 128
MAX_ITEMS: Final = 200
MAX_ORDER_DATA_BYTES: Final = 16 * 1024
MAX_ORDER_DATA_DEPTH: Final = 16


def clean_object(value: Json, field: str, *, max_depth: int, max_bytes: int) -> str:
    """A JSON object that is none of our business, as JSON text with every digit it came with.

    Raises `Invalid` naming ``field`` for anything but an object, one that is nested deeper or
    longer than that, and for text in it that is no text.
    """
    if not isinstance(value, dict):
        raise Invalid.field(field, "must be a JSON object")
    if depth_of(value) > max_depth:
        raise Invalid.field(field, f"must not be nested deeper than {max_depth} levels")
    if any(_unwritable(text) for text in texts(value)):
        raise Invalid.field(field, "contains half of a surrogate pair, which is no character")
    text = dump(value)
    if len(text.encode()) > max_bytes:
        raise Invalid.field(field, f"must have at most {max_bytes} bytes as JSON")
    return text


def _unwritable(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
