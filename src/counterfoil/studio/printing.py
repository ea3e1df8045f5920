"""An invoice as a PDF, to send on and to file."""

from typing import Final

from litestar import get
from litestar.params import FromPath

from counterfoil.desk import printing
from counterfoil.pages import paper, press
from counterfoil.studio.door import Answer, PageRequest, desk_of, language_of, parts_of
from counterfoil.studio.invoice import invoice_id_of


@get("/invoices/{public_id:str}/pdf")
async def pdf(request: PageRequest, public_id: FromPath[str]) -> Answer:
    """The invoice in the reader's language."""
    desk = desk_of(request)
    found = await printing.printable(desk, invoice_id_of(public_id), request.user.actor)
    sheet = paper.sheet_of(found, mail=True)
    made = await parts_of(request).press.pdf(
        paper.paper(sheet, language_of(request), desk.clock.now())
    )
    return press.answer(made, paper.file_name(sheet.invoice))


HANDLERS: Final = (pdf,)
