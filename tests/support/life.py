"""Lives of invoices made by hand: events happen one after another, and nothing is written."""

from datetime import datetime

from counterfoil.core.events import Event, Screened, SignOff, TransferConfirmed
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.lifecycle import decide
from counterfoil.core.tally import Tally
from support.invoices import NOON, SIGNER, clean, invoice, paid


def through(start: Invoice, *events: Event) -> Invoice:
    """Let events happen one after another."""
    for event in events:
        start, _ = decide(start, event)
    return start


def sign_pending(tally: Tally | None = None, **changes: object) -> Invoice:
    """An invoice whose money is confirmed, final, clean and exact."""
    money = tally or paid()
    return through(
        invoice(Status.AWAITING_PAYMENT, **changes),
        TransferConfirmed(at=NOON, by="system:watch", tally=money),
        Screened(at=NOON, by="system:screen", screening=clean(money)),
    )


def surplus_to(address: str, *, goes_home: bool = True, at: datetime = NOON) -> SignOff:
    """The merchant signs for too much, and says where what is too much goes."""
    return SignOff(at=at, by=SIGNER, refund_address=address, reason="too much", goes_home=goes_home)
