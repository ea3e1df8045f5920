"""What an invoice's printed sheet needs, as one moment saw it."""

from dataclasses import dataclass
from uuid import UUID

from counterfoil.books import bank_accounts
from counterfoil.books.bank_accounts import BankAccount
from counterfoil.core.invoice import Invoice
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Tx
from counterfoil.desk import queries
from counterfoil.desk.desk import Desk
from counterfoil.desk.profile import Profile, printed_logo, profile
from counterfoil.desk.queries import InvoiceView
from counterfoil.desk.reach import readable


@dataclass(frozen=True, slots=True)
class Printable:
    """The invoice with what came in, who it is from, and the account where it is paid by bank."""

    view: InvoiceView
    bank_account: BankAccount | None
    profile: Profile
    logo: bytes | None


async def printable(desk: Desk, invoice_id: UUID, by: Actor) -> Printable:
    """One invoice of the actor's organisation; `NotFound` otherwise."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        invoice = await readable(tx, by, invoice_id)
        return await printable_of(desk, tx, invoice)


async def printable_of(desk: Desk, tx: Tx, invoice: Invoice) -> Printable:
    """What an invoice's sheet needs."""
    shown = await profile(tx, invoice.org_id)
    return Printable(
        view=await queries.full_view(desk, tx, invoice),
        bank_account=await bank_account_of(tx, invoice),
        profile=shown,
        logo=await printed_logo(tx, invoice.org_id, shown),
    )


async def bank_account_of(tx: Tx, invoice: Invoice) -> BankAccount | None:
    """Where the invoice is paid by bank; None where it is paid on chain."""
    if invoice.settlement != "fiat":
        return None
    known = await bank_accounts.of_org(tx, invoice.org_id)
    return next((a for a in known if a.bank_account_id == invoice.bank_account_id), None)
