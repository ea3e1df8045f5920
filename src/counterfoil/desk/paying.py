"""What an invoice's customer is shown, who has nothing but a link."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from counterfoil.books import invoices, paying
from counterfoil.books.bank_accounts import BankAccount
from counterfoil.core.errors import NotFound
from counterfoil.core.invoice import Invoice
from counterfoil.core.pay_links import PayLinks, claimed
from counterfoil.db.pool import Tx
from counterfoil.desk import queries
from counterfoil.desk.desk import Desk
from counterfoil.desk.printing import Printable, bank_account_of, printable_of
from counterfoil.desk.profile import Profile, logo_of, profile
from counterfoil.desk.queries import InvoiceView
from counterfoil.desk.the_org import the_org

Watched = tuple[int, UUID]
"""An invoice of an organisation, as those who follow it name it."""


@dataclass(frozen=True, slots=True)
class PaymentView:
    """An invoice, who it is from, and the bank account where it is paid by bank.

    ``back`` is where its customer is led back to; None where the merchant's rules do not allow what
    the invoice names.
    """

    profile: Profile
    view: InvoiceView
    bank_account: BankAccount | None
    back: str | None

    @property
    def watched(self) -> Watched:
        """How it is named to those who follow it."""
        return self.view.invoice.org_id, self.view.invoice.invoice_id


async def payment_page(desk: Desk, links: PayLinks, token: str, keep: timedelta) -> PaymentView:
    """The invoice behind a link, until ``keep`` after it was closed.

    Raises `NotFound`, in the same words for links that are wrong and links that are over.
    """
    async with desk.database.reading() as tx:
        invoice = await _behind(desk, tx, links, token, keep)
        view = await queries.full_view(desk, tx, invoice)
        account = await bank_account_of(tx, invoice)
        org = await the_org(tx, invoice.org_id)
        named = invoice.document.origin
        back = named if org.policy.returns.in_force(desk.clock.now()).allows(named) else None
        return PaymentView(await profile(tx, invoice.org_id), view, account, back)


async def payment_sheet(desk: Desk, links: PayLinks, token: str, keep: timedelta) -> Printable:
    """What the printed sheet of the invoice behind a link needs; raises as `payment_page`."""
    async with desk.database.reading() as tx:
        return await printable_of(desk, tx, await _behind(desk, tx, links, token, keep))


async def payment_logo(
    desk: Desk, links: PayLinks, token: str, keep: timedelta, *, sha256: str
) -> bytes:
    """The logo of who sent the link, a PNG, if this is its hash in hex; raises `NotFound`."""
    async with desk.database.reading() as tx:
        invoice = await _behind(desk, tx, links, token, keep)
        return await logo_of(tx, invoice.org_id, sha256)


async def _behind(desk: Desk, tx: Tx, links: PayLinks, token: str, keep: timedelta) -> Invoice:
    named = claimed(token)
    if named is None:
        raise _nowhere()
    org_id, invoice_id = named
    invoice = await invoices.get(tx, org_id, invoice_id)
    if invoice is None or not links.fits(token, invoice):
        raise _nowhere()
    if invoice.status.is_end:
        closed_at = await paying.standing_since(tx, org_id, invoice_id)
        if closed_at is None or desk.clock.now() > closed_at + keep:
            raise _nowhere()
    return invoice


def _nowhere() -> NotFound:
    return NotFound("there is no such page, or no longer")
