"""A stranger who goes on paying trifles for an invoice that the merchant is to sign for."""

from dataclasses import replace
from datetime import timedelta

import pytest

from counterfoil.core import reckoning
from counterfoil.core.errors import OutOfPlace
from counterfoil.core.events import Screened, SignOff, TransferConfirmed, TransferSeen
from counterfoil.core.invoice import Invoice, PaymentRequest, Policy, Status
from counterfoil.core.lifecycle import decide
from counterfoil.core.reckoning import Depth, Received
from support.invoices import CUSTOMER, DUE, NOON, SIGNER, STRANGER, USDT, clean, invoice
from support.life import through

ASKED = (PaymentRequest(USDT, DUE, None),)
CENT = 10_000
GENEROUS = Policy(several_payers="accept", overpay_ratio=Policy().overpay_ratio * 2)
"""So that nothing but the stream itself can be in the way."""


def came(bill: Invoice, trifles: int, units: int) -> Invoice:
    """The customer's payment is final, and so are all of a stranger's trifles but the last."""
    paid = [Received(USDT, DUE, CUSTOMER, Depth.FINAL, NOON)]
    for number in range(trifles):
        depth = Depth.SEEN if number == trifles - 1 else Depth.FINAL
        at = NOON + timedelta(minutes=10 * number)
        paid.append(Received(USDT, units, STRANGER, depth, at))
    tally = reckoning.tally(ASKED, paid, bill.policy)
    after = through(bill, TransferConfirmed(at=NOON, by="w", tally=tally))
    if after.status is Status.SCREENING:
        after = through(after, Screened(at=NOON, by="w", screening=clean(tally)))
    return through(after, TransferSeen(at=NOON, by="w", tally=tally))


def ready() -> Invoice:
    return came(invoice(Status.AWAITING_PAYMENT, policy=GENEROUS, requests=ASKED), 0, 0)


def test_dust_delays_nobody() -> None:
    bill = ready()
    for trifles in range(1, 100):
        bill = came(bill, trifles, CENT - 1)
        assert decide(bill, SignOff(at=NOON, by=SIGNER))[0].status is Status.SWEEPING


def test_a_cent_now_and_then_holds_a_sign_off_off_for_as_long_as_it_comes_and_that_is_told() -> (
    None
):
    """A sweep takes all that lies there, so all of it must be final: whoever pays on is waited for.

    Each cent is the merchant's in the end. A higher ``dust_below`` makes it dearer.
    """
    bill = ready()
    for trifles in range(1, 100):
        bill = came(bill, trifles, CENT)
        assert bill.status is Status.SIGN_PENDING
        with pytest.raises(OutOfPlace) as refused:
            decide(bill, SignOff(at=NOON, by=SIGNER))
        assert refused.value.data["rule"] == "finality"
        told = "more money came, and 0.01 USDT of it is not yet final on chain"
        assert told in refused.value.message

    (tally,) = bill.tally.assets
    settled = replace(tally, confirmed_units=tally.seen_units, final_units=tally.seen_units)
    final = replace(bill.tally, assets=(settled,))
    over = through(
        bill,
        TransferConfirmed(at=NOON, by="w", tally=final),
        Screened(at=NOON, by="w", screening=clean(final)),
    )
    assert decide(over, SignOff(at=NOON, by=SIGNER))[0].status is Status.SWEEPING


def test_where_higher_amounts_are_dust_a_cent_is_nothing() -> None:
    policy = replace(GENEROUS, dust_below=Policy().dust_below * 100)
    bill = came(invoice(Status.AWAITING_PAYMENT, policy=policy, requests=ASKED), 0, 0)
    bill = came(bill, 1, CENT)
    assert decide(bill, SignOff(at=NOON, by=SIGNER))[0].status is Status.SWEEPING
