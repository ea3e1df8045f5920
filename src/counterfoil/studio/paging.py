"""Lists that go on for more than one page."""

from counterfoil.core.errors import Invalid
from counterfoil.studio.door import PageRequest


def read(request: PageRequest, most: int) -> int:
    """Which page is asked for, from 1 to ``most``; raises `Invalid` naming ``page``."""
    text = request.query_params.get("page", "1")
    readable = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    if not readable or not 1 <= int(text) <= most:
        raise Invalid.field("page", f"must be a whole number from 1 to {most}")
    return int(text)


def last(total: int, size: int) -> int:
    """The number of the last page, where there are so many rows in all and on each page."""
    return max(1, -(-total // size))
