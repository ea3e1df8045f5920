"""What members are told to happen next, by where the money is and not by the status alone."""

from dataclasses import replace

import pytest

from counterfoil.core.invoice import Context, Invoice, PaymentRequest, Status
from counterfoil.core.money import Asset, Money
from counterfoil.core.tally import AssetTally, Tally
from counterfoil.studio.queues import against
from counterfoil.studio.terms import (
    BY_BANK,
    CAME_AFTER,
    FROZEN,
    FROZEN_LEFT,
    NEXT,
    NOT_FINAL,
    STILL_COMING,
    next_of,
)
from support.invoices import DUE, USDC, USDT, dirty, gone, invoice


def of(*parts: tuple[Asset, int], confirmed: bool = True) -> Tally:
    """So many units of each token, confirmed or merely seen."""
    units = [(asset, seen, seen if confirmed else 0) for asset, seen in parts]
    return Tally(assets=tuple(AssetTally(asset, seen, deep, deep) for asset, seen, deep in units))


def settled(**changes: object) -> Invoice:
    """Paid, collected and paid out."""
    made = invoice(Status.COMPLETED, tally=of((USDT, DUE)), settled=gone(DUE, DUE))
    return replace(made, **changes)  # type: ignore[arg-type]  # - any field may be changed


@pytest.mark.parametrize("status", Status)
def test_without_money_or_a_bank_the_status_says_it(status: Status) -> None:
    assert next_of(invoice(status)) == (NEXT[status],)


@pytest.mark.parametrize("status", [Status.AWAITING_PAYMENT, Status.EXPIRED, Status.CANCELLED])
def test_of_a_payment_by_bank_nobody_says_that_it_is_seen_or_never_came(status: Status) -> None:
    (told,) = next_of(invoice(status, settlement="fiat"))
    assert told == BY_BANK[status]
    assert "your bank account says" in told
    assert "Nobody paid" not in told


def test_money_that_came_after_the_end_is_told_until_it_went_back() -> None:
    done = NEXT[Status.COMPLETED]
    twice = of((USDT, 2 * DUE))
    assert next_of(settled()) == (done,)
    assert next_of(settled(tally=twice)) == (done, CAME_AFTER)
    assert next_of(settled(tally=twice, settled=gone(2 * DUE, DUE, DUE))) == (done,)
    # A refund of it was called off once it was in the pool.
    assert next_of(settled(tally=twice, settled=gone(2 * DUE, DUE))) == (done, CAME_AFTER)
    more = Tally(assets=(AssetTally(USDT, 2 * DUE, DUE, DUE),))
    assert next_of(settled(tally=more)) == (done, STILL_COMING)
    stray = replace(of((USDT, DUE)), stray=of((USDC, 5)).assets)
    assert next_of(settled(tally=stray)) == (done, CAME_AFTER)
    # What was signed for and stays in the pool waits for nobody.
    assert next_of(settled(payout_to={}, settled=gone(DUE))) == (done,)


def test_whoever_is_to_sign_reads_that_more_is_not_final_yet() -> None:
    ready = invoice(Status.SIGN_PENDING, tally=of((USDT, DUE)))
    assert next_of(ready) == (NEXT[Status.SIGN_PENDING],)
    more = Tally(assets=(AssetTally(USDT, DUE + 1, DUE, DUE),))
    assert next_of(replace(ready, tally=more)) == (NEXT[Status.SIGN_PENDING], NOT_FINAL)


def test_what_is_frozen_of_it_is_told_apart_from_what_can_go_back() -> None:
    done = NEXT[Status.COMPLETED]
    strayed = of((USDC, 5)).assets
    beside = replace(of((USDT, DUE)), stray=strayed)
    hit = dirty(Tally(assets=strayed), sanctioned=True)
    bill = settled(tally=beside, stray_screening=hit)
    assert next_of(bill) == (done, FROZEN_LEFT)
    more = replace(of((USDT, 2 * DUE)), stray=strayed)
    assert next_of(replace(bill, tally=more)) == (done, CAME_AFTER, FROZEN_LEFT)


def test_declined_money_that_came_after_a_hit_on_another_token_is_not_called_frozen() -> None:
    strayed = of((USDC, 5)).assets
    bill = invoice(
        Status.COMPLIANCE_DECLINED,
        context=Context.SANCTIONED,
        tally=Tally(stray=strayed),
        screening=dirty(Tally(stray=strayed), sanctioned=True),
    )
    assert next_of(bill) == (FROZEN,)
    both = replace(of((USDT, DUE)), stray=strayed)
    assert next_of(replace(bill, tally=both)) == (NEXT[Status.COMPLIANCE_DECLINED],)


@pytest.mark.parametrize("status", [Status.REFUNDED, Status.CANCELLED, Status.APPROVAL_REJECTED])
def test_money_at_any_other_end_is_told_as_well(status: Status) -> None:
    assert next_of(invoice(status, tally=of((USDT, DUE)))) == (NEXT[status], CAME_AFTER)


def test_what_is_missing_is_told_once_however_many_tokens_came() -> None:
    both = (PaymentRequest(USDT, DUE, None), PaymentRequest(USDC, DUE, None))
    came = of((USDT, DUE * 4 // 10), (USDC, DUE * 3 // 10))
    short = invoice(Status.RESOLUTION_REQUIRED, requests=both, tally=came)
    told = against(short)
    assert [one.came.units for one in told] == [DUE * 4 // 10, DUE * 3 // 10]
    assert [one.missing for one in told] == [Money(DUE * 3 // 10, USDT), None]
