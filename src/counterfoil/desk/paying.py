"""What an invoice's customer is shown, who has nothing but a link."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from counterfoil.books import invoices, orgs, paying
from counterfoil.books.orgs import BankAccount
from counterfoil.core.errors import NotFound
from counterfoil.core.pay_links import PayLinks, claimed
from counterfoil.desk import queries
from counterfoil.desk.desk import Desk
from counterfoil.desk.printing import bank_account_of
from counterfoil.desk.queries import InvoiceView

Watched = tuple[int, UUID]
"""An invoice of an organisation, as those who follow it name it."""


@dataclass(frozen=True, slots=True)
class PaymentView:
    """An invoice, who it is from, and the bank account where it is paid by bank."""

    merchant: str
    view: InvoiceView
    bank_account: BankAccount | None

    @property
    def watched(self) -> Watched:
        """How it is named to those who follow it."""
        return self.view.invoice.org_id, self.view.invoice.invoice_id


async def payment_page(desk: Desk, links: PayLinks, token: str, keep: timedelta) -> PaymentView:
    """The invoice behind a link, until ``keep`` after it was closed.

    Raises `NotFound`, in the same words for links that are wrong and links that are over.
    """
    named = claimed(token)
    if named is None:
        raise _nowhere()
    org_id, invoice_id = named
    async with desk.database.reading() as tx:
        invoice = await invoices.get(tx, org_id, invoice_id)
        if invoice is None or not links.fits(token, invoice):
            raise _nowhere()
        if invoice.status.is_end:
            closed_at = await paying.standing_since(tx, org_id, invoice_id)
            if closed_at is None or desk.clock.now() > closed_at + keep:
                raise _nowhere()
        org = await orgs.get(tx, org_id)
        view = await queries.full_view(tx, invoice)
        bank_account = await bank_account_of(tx, invoice)
    if org is None:
        raise _nowhere()
    return PaymentView(org.name, view, bank_account)


def _nowhere() -> NotFound:
    return NotFound("there is no such page, or no longer")
