"""What it takes to sign for a payment, and what happens when somebody does."""

from typing import Final, Literal

from counterfoil.core import planning, resolution
from counterfoil.core.events import Accept, Command, SignOff
from counterfoil.core.invoice import Context, Invoice, Status
from counterfoil.core.lifecycle import RULES

_SIGNED_AS_IT_IS: Final = frozenset({Context.PAID_LATE, Context.MULTIPLE_PAYERS, Context.OVERPAID})
"""Enough money, but particular: whoever signs for it takes it as it is."""


def signs_as_it_is(status: Status, context: Context | None) -> bool:
    """Whether the payment waits for a choice that signing for it makes as well."""
    return status is Status.RESOLUTION_REQUIRED and context in _SIGNED_AS_IT_IS


def takes_a_signature(invoice: Invoice) -> bool:
    """Whether there is a way for a signature where the invoice stands."""
    at_once = signs_as_it_is(invoice.status, invoice.context)
    return at_once or (invoice.status, SignOff) in RULES


def stands_to_be_signed(invoice: Invoice) -> bool:
    """Whether there is a way for a signature where the invoice stands, or one waits there."""
    return planning.waiting_surplus(invoice) is not None or takes_a_signature(invoice)


def signing(invoice: Invoice, order: SignOff) -> tuple[Command, ...]:
    """What happens when somebody signs: where the payment was particular, it is accepted first."""
    if not signs_as_it_is(invoice.status, invoice.context):
        return (order,)
    surplus: Literal["keep", "return"] = "return" if resolution.to_return(invoice) else "keep"
    return Accept(at=order.at, by=order.by, reason=order.reason, surplus=surplus), order
