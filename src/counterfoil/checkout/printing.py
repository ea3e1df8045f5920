"""The invoice as a PDF, and the logo on its page, for the customer who has its link."""

from typing import Final

from litestar import get
from litestar.params import FromPath

from counterfoil.checkout.door import (
    HEADERS,
    Answer,
    PageRequest,
    desk_of,
    keep_pace,
    language_of,
    parts_of,
)
from counterfoil.desk.paying import payment_logo, payment_sheet
from counterfoil.pages import paper, press


@get("/{token:str}/invoice.pdf")
async def pdf(request: PageRequest, token: FromPath[str]) -> Answer:
    """The invoice in the reader's language; as long as its page is shown."""
    keep_pace(request)
    desk, parts = desk_of(request), parts_of(request)
    found = await payment_sheet(desk, parts.links, token, parts.keep)
    sheet = paper.sheet_of(found, mail=False)
    made = await parts.press.pdf(paper.paper(sheet, language_of(request), desk.clock.now()))
    return press.answer(made, paper.file_name(sheet.invoice), HEADERS)


@get("/{token:str}/logo/{sha256:str}")
async def logo(request: PageRequest, token: FromPath[str], sha256: FromPath[str]) -> Answer:
    """The merchant's logo, which its hash names: it never changes, so browsers keep it."""
    keep_pace(request)
    desk, parts = desk_of(request), parts_of(request)
    content = await payment_logo(desk, parts.links, token, parts.keep, sha256=sha256)
    return press.picture_answer(content, HEADERS)


HANDLERS: Final = (pdf, logo)
