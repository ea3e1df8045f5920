"""Lives of invoices made by hand: events happen one after another, and nothing is written."""

from counterfoil.core.events import Event, Screened, TransferConfirmed
from counterfoil.core.invoice import Invoice, Status, Tally
from counterfoil.core.lifecycle import decide
from support.invoices import NOON, clean, invoice, paid


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
