"""Reading what a page sends back: fields by name, each once, as text."""

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from litestar import Request
from litestar.datastructures import FormMultiDict, UploadFile
from litestar.exceptions import ClientException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from counterfoil.core.errors import Invalid
from counterfoil.core.text import clean_text

REASON_LENGTH: Final = 500


class Form:
    """The fields of one request. What was not sent is the empty text."""

    def __init__(self, fields: FormMultiDict) -> None:
        """Wrap what the browser sent."""
        self._fields = fields

    def raw(self, name: str) -> str:
        """A field as it came; `Invalid` where it was sent twice or as a file."""
        found = self._fields.getall(name, [])
        if len(found) > 1 or any(isinstance(one, UploadFile) for one in found):
            raise Invalid.field(name, "must be sent once, as text")
        return str(found[0]) if found else ""

    def all(self, name: str, *, at_most: int) -> list[str]:
        """Every value of a field that may come more than once; `Invalid` beyond ``at_most``."""
        found = self._fields.getall(name, [])
        if len(found) > at_most or any(isinstance(one, UploadFile) for one in found):
            raise Invalid.field(name, f"must be sent at most {at_most} times, as text")
        return [str(one) for one in found]

    def text(
        self, name: str, *, max_length: int = REASON_LENGTH, empty: bool = True, lines: bool = False
    ) -> str:
        """Text that somebody wrote, cleaned; raises `Invalid`."""
        # Browsers send every line break of a text field as two characters.
        written = self.raw(name).replace("\r\n", "\n")
        return clean_text(written, name, max_length=max_length, empty=empty, lines=lines)

    def checked(self, name: str) -> bool:
        """Whether a box was ticked."""
        return bool(self.raw(name))

    def chosen(self, name: str, known: Iterable[str]) -> str:
        """One of the values that a choice offers; raises `Invalid` naming them."""
        value = self.raw(name)
        names = tuple(known)
        if value not in names:
            raise Invalid.field(name, f"must be one of {', '.join(names)}")
        return value

    def files(self, name: str, *, at_most: int) -> list[UploadFile]:
        """Files that were chosen; an empty choice is none."""
        found = [f for f in self._fields.getall(name, []) if isinstance(f, UploadFile)]
        chosen = [f for f in found if f.filename]
        if len(chosen) > at_most:
            raise Invalid.field(name, f"must be at most {at_most} files")
        return chosen


def comes_from_here(request: Request[Any, Any, Any]) -> bool:
    """Whether a form was sent by a page of ours: what browsers say of it, and no page can change.

    An unsafe request that says nothing of where it comes from does not (specs/reliability.md T9).
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    origin = request.headers.get("origin")
    if origin is None:
        return site is not None
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    # Behind a proxy that says so, what was sent by plain http is no page of ours.
    is_like = request.scope["scheme"] != "https" or parts.scheme == "https"
    is_web = parts.scheme in {"http", "https"}
    return is_web and is_like and parts.netloc == request.headers.get("host", "")


async def read_form(request: Request[Any, Any, Any]) -> Form:
    """The request's fields, however the browser packed them; raises `Invalid`."""
    try:
        return Form(await request.form())
    except RequestEntityTooLarge:
        raise
    except (ClientException, UnicodeDecodeError, ValueError):
        raise Invalid(
            "the form cannot be read; load the page again and send it once more"
        ) from None
