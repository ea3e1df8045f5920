"""The invoice as a PDF, for the customer who has its link."""

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
from counterfoil.desk.paying import payment_page
from counterfoil.pages import paper, press


@get("/{token:str}/invoice.pdf")
async def pdf(request: PageRequest, token: FromPath[str]) -> Answer:
    """The invoice in the reader's language; as long as its page is shown."""
    keep_pace(request)
    desk, parts = desk_of(request), parts_of(request)
    found = await payment_page(desk, parts.links, token, parts.keep)
    sheet = paper.sheet_of(found.view, found.bank_account, mail=False)
    made = await parts.press.pdf(paper.paper(sheet, language_of(request), desk.clock.now()))
    return press.answer(made, paper.file_name(sheet.invoice), HEADERS)


HANDLERS: Final = (pdf,)
