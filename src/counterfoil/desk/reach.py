"""An invoice as somebody may have it: their organisation's, and their key's client id's.

Whoever reads or changes one gets it here, so that no door has to know whose it is.
"""

from uuid import UUID

from counterfoil.books import invoices
from counterfoil.core.errors import NotFound
from counterfoil.core.invoice import Invoice
from counterfoil.core.roles import Actor
from counterfoil.db.pool import Tx


async def locked(tx: Tx, by: Actor, invoice_id: UUID) -> Invoice:
    """Hold an invoice of the actor's against everybody else; `NotFound` for any other."""
    return _reached(await invoices.lock(tx, by.org_id, invoice_id), by)


async def readable(tx: Tx, by: Actor, invoice_id: UUID) -> Invoice:
    """An invoice of the actor's; `NotFound` for any other."""
    return _reached(await invoices.get(tx, by.org_id, invoice_id), by)


async def held(tx: Tx, org_id: int, invoice_id: UUID) -> Invoice:
    """Hold an invoice for a worker; `NotFound` when the organisation has none such."""
    invoice = await invoices.lock(tx, org_id, invoice_id)
    if invoice is None:
        raise unknown()
    return invoice


def unknown() -> NotFound:
    """Says the same of nobody's invoice and of one that is not there for the actor."""
    return NotFound("there is no such invoice")


def _reached(invoice: Invoice | None, by: Actor) -> Invoice:
    if invoice is None or not by.reaches(invoice.client_id):
        raise unknown()
    return invoice
