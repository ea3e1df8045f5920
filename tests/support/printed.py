"""PDFs as somebody reads them: their words, page by page."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

from pypdf import PdfReader

from support.visitor import Visitor


@dataclass(frozen=True)
class Printed:
    """A PDF that came over HTTP. ``pages`` have the words of each page, with single blanks.

    ``has_picture``: one of dots; what is drawn, as QR codes are, is none.
    """

    status: int
    headers: Mapping[str, str]
    pages: tuple[str, ...]
    has_picture: bool = False

    @property
    def words(self) -> str:
        return " ".join(self.pages)


def pages_of(pdf: bytes) -> tuple[str, ...]:
    """The words of each page, with single blanks."""
    return tuple(" ".join(page.extract_text().split()) for page in PdfReader(BytesIO(pdf)).pages)


async def printed(visitor: Visitor, path: str, **headers: str) -> Printed:
    """Fetch a PDF; what is none has no pages."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with visitor.session.get(
        visitor.base_url + path, headers=sent, allow_redirects=False
    ) as response:
        content = await response.read()
        is_pdf = response.content_type == "application/pdf"
        pages = pages_of(content) if is_pdf else ()
        has_picture = is_pdf and re.search(rb"/Subtype\s*/Image", content) is not None
        return Printed(response.status, response.headers, pages, has_picture)
