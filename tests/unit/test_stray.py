"""What strayed in beside a payment: named it goes back by itself, within its own budget."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from counterfoil.core import reckoning
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Invalid, OutOfPlace
from counterfoil.core.events import (
    ApproveRefund,
    DisposeHit,
    Leg,
    OrderRefund,
    PlanMoves,
    RefundSettled,
    Screen,
    StrayScreened,
    WithdrawRefund,
)
from counterfoil.core.invoice import Context, Invoice, PaymentRequest, Policy, Screening, Status
from counterfoil.core.lifecycle import decide
from counterfoil.core.money import Asset, Money
from counterfoil.core.reckoning import Depth, Received, tally
from counterfoil.core.settlement import Settlement
from counterfoil.core.tally import Tally
from counterfoil.desk.refunding import Part
from support.invoices import (
    CHECKER,
    CUSTOMER,
    DUE,
    NOON,
    OFFICERS,
    SIGNER,
    STRANGER,
    USDC,
    USDT,
    clean,
    invoice,
)
from support.life import through

S = Status
(USDC_E,) = CHAINS["arb"].known_other
USDT_ON_BASE = CHAINS["base"].accepted[1]
APPROVE = ApproveRefund(at=NOON, by=CHECKER)


def came(*parts: tuple[Asset, int, str]) -> Tally:
    asked = (PaymentRequest(USDT, DUE, None),)
    transfers = [Received(asset, units, payer, Depth.FINAL, NOON) for asset, units, payer in parts]
    return tally(asked, transfers, Policy())


def paid_out(*more: tuple[Asset, int, str]) -> Invoice:
    """The merchant has all of the payment, and this came beside it."""
    money = came((USDT, DUE, CUSTOMER), *more)
    gone = Settlement(((USDT.key, DUE),), ((USDT.key, DUE),))
    return invoice(S.COMPLETED, tally=money, screening=clean(money), settled=gone)


def order(*amounts: Money) -> OrderRefund:
    return OrderRefund(
        at=NOON,
        by=SIGNER,
        address=STRANGER,
        reason="strayed",
        attachment_file_ids=(UUID(int=9),),
        amounts=amounts,
    )


def found(asset: Asset, units: int, *payers: str, sanctioned: bool = False) -> StrayScreened:
    verdict = Screening(
        run_id=uuid4(),
        decision="aml_hold" if sanctioned else "clear",
        sanctioned=sanctioned,
        covers=((asset.key, units),),
        payers=payers,
    )
    return StrayScreened(at=NOON, by="w", screening=verdict)


class TestNamed:
    def test_it_goes_back_by_itself_and_the_invoice_stands_where_it_stood(self) -> None:
        bill = paid_out((USDC_E, 5_000_000, STRANGER))
        ordered, todo = decide(bill, order(Money(5_000_000, USDC_E)))
        assert (ordered.status, todo) == (S.REFUND_PENDING, (Screen(),))
        going, (plan,) = decide(through(ordered, found(USDC_E, 5_000_000, STRANGER)), APPROVE)
        refund = ordered.refunds[0].refund_id
        assert plan == PlanMoves(
            (
                Leg("sweep", Money(5_000_000, USDC_E), "", refund),
                Leg("partial_refund", Money(5_000_000, USDC_E), STRANGER, refund),
            )
        )
        back = ((USDC_E.key, 5_000_000),)
        swept = tuple(sorted((*bill.settled.swept, *back)))
        settled = replace(bill.settled, swept=swept, returned=back)
        done = through(going, RefundSettled(at=NOON, by="w", settled=settled))
        assert done.status is S.COMPLETED
        assert reckoning.astray(done) == ()

    def test_before_the_signature_the_payment_is_not_looked_at_again(self) -> None:
        money = came((USDT, DUE // 2, CUSTOMER), (USDC_E, DUE, STRANGER))
        taken = invoice(
            S.SIGN_PENDING, tally=money, screening=clean(money), context=Context.UNDERPAID
        )
        going = through(taken, order(Money(3, USDC_E)), found(USDC_E, DUE, STRANGER), APPROVE)
        assert going.screening == taken.screening
        back = Settlement(swept=((USDC_E.key, DUE),), returned=((USDC_E.key, 3),))
        done = through(going, RefundSettled(at=NOON, by="w", settled=back))
        assert (done.status, done.context) == (S.SIGN_PENDING, Context.UNDERPAID)

    def test_it_is_no_part_of_all_that_is_left(self) -> None:
        money = came((USDT, DUE, CUSTOMER), (USDC_E, DUE, STRANGER))
        bill = invoice(S.SIGN_PENDING, tally=money, screening=clean(money))
        ordered, _ = decide(bill, order())
        assert ordered.refunds[0].amounts == (Money(DUE, USDT),)
        with pytest.raises(OutOfPlace, match="came beside it, and can go back where it is named"):
            decide(paid_out((USDC_E, DUE, STRANGER)), order())

    def test_a_hit_on_it_can_be_found_false_while_it_waits_and_after_the_order_is_off(self) -> None:
        wanted = Money(5_000_000, USDC_E)
        bad = found(USDC_E, 5_000_000, STRANGER, sanctioned=True)
        waiting = through(paid_out((USDC_E, 5_000_000, STRANGER)), order(wanted), bad)
        off = through(waiting, WithdrawRefund(at=NOON, by=SIGNER))
        with pytest.raises(OutOfPlace, match="frozen where it lies"):
            decide(off, order(wanted))
        one, two = (
            DisposeHit(
                at=NOON,
                by=officer,
                list_code="OFAC_SDN",
                entry_uid="1",
                payer=STRANGER,
                fingerprint="f",
                evidence=(),
                reason="another person",
                run_ids=(bad.screening.run_id,),
            )
            for officer in OFFICERS
        )
        for stood, todo in ((waiting, (Screen(),)), (off, ())):
            known, asked = decide(through(stood, one), two)
            assert (known.status, known.stray_screening, asked) == (stood.status, None, todo)
            assert known.screening == stood.screening
        again = through(off, one, two, order(wanted), found(USDC_E, 5_000_000, STRANGER), APPROVE)
        assert again.status is S.REFUND_PROCESSING

    def test_its_budget_is_its_own(self) -> None:
        bill = paid_out((USDC_E, 5_000_000, STRANGER), (USDC, 9_000_000, STRANGER))
        for too_much in (Money(5_000_001, USDC_E), Money(1, USDT), Money(9_000_001, USDC)):
            with pytest.raises(Invalid, match=r"left is 9\.00 USDC and 5\.00 USDC\.e"):
                decide(bill, order(too_much))
        with pytest.raises(Invalid, match="one token at a time"):
            decide(bill, order(Money(1, USDC), Money(1, USDC_E)))

    def test_what_of_it_is_not_final_stays(self) -> None:
        money = came((USDT, DUE, CUSTOMER), (USDC_E, DUE, STRANGER))
        (young,) = money.stray
        bill = replace(
            paid_out(), tally=replace(money, stray=(replace(young, final_units=DUE - 1),))
        )
        assert through(bill, order(Money(DUE - 1, USDC_E))).status is S.REFUND_PENDING
        with pytest.raises(OutOfPlace, match="not yet final"):
            decide(bill, order(Money(DUE, USDC_E)))


class TestScreening:
    def test_a_verdict_about_it_neither_clears_nor_holds_the_payment(self) -> None:
        money = came((USDT, DUE, CUSTOMER), (USDC_E, DUE, STRANGER))
        bill = invoice(S.SIGN_PENDING, tally=money, screening=clean(money), context=Context.EXACT)
        hit = found(USDC_E, DUE, STRANGER, sanctioned=True)
        pending = through(bill, order(Money(DUE, USDC_E)), hit)
        with pytest.raises(OutOfPlace, match="sanctioned address"):
            decide(pending, APPROVE)
        after = through(pending, WithdrawRefund(at=NOON, by=SIGNER))
        assert (after.status, after.screening) == (S.SIGN_PENDING, bill.screening)
        with pytest.raises(OutOfPlace, match="sanctioned address"):
            decide(after, order(Money(DUE, USDC_E)))

    def test_a_verdict_about_one_binds_no_other(self) -> None:
        bill = paid_out((USDC_E, DUE, STRANGER), (USDT_ON_BASE, DUE, CUSTOMER))
        hit = found(USDC_E, DUE, STRANGER, sanctioned=True)
        undone = WithdrawRefund(at=NOON, by=SIGNER)
        after = through(bill, order(Money(DUE, USDC_E)), hit, undone)
        free = through(after, order(Money(DUE, USDT_ON_BASE)))
        assert decide(free, APPROVE)[0].status is S.REFUND_PROCESSING

    def test_more_of_it_or_from_somebody_else_asks_again(self) -> None:
        wanted = (Money(1, USDC_E),)
        bill = paid_out((USDC_E, DUE, STRANGER))
        seen = replace(bill, stray_screening=found(USDC_E, DUE, STRANGER).screening)
        assert reckoning.is_screened(seen, wanted)
        more = came((USDT, DUE, CUSTOMER), (USDC_E, DUE, STRANGER), (USDC_E, DUE, CUSTOMER))
        assert not reckoning.is_screened(replace(seen, tally=more), wanted)
        other = came((USDT, DUE, CUSTOMER), (USDC_E, DUE, CUSTOMER))
        assert not reckoning.is_screened(replace(seen, tally=other), wanted)
        assert not reckoning.is_screened(bill, wanted)


class TestPart:
    """Which money a caller means."""

    BILL = paid_out((USDC_E, 5_000_000, STRANGER), (USDT_ON_BASE, 7_000_000, STRANGER))

    def test_a_name_that_fits_the_payment_means_the_payment(self) -> None:
        with pytest.raises(Invalid, match="none of it is here"):
            Part(symbol="USDT").of(self.BILL)
        assert Part().of(self.BILL) == ()

    def test_what_strayed_is_meant_where_nothing_else_fits(self) -> None:
        assert Part(symbol="USDC.e").of(self.BILL) == (Money(5_000_000, USDC_E),)
        assert Part(chain="base").of(self.BILL) == (Money(7_000_000, USDT_ON_BASE),)
        assert Part(symbol="USDT", chain="base").of(self.BILL) == (Money(7_000_000, USDT_ON_BASE),)


def test_a_surplus_is_taken_from_the_next_asset_where_the_first_has_no_more() -> None:
    asked = tuple(PaymentRequest(asset, DUE, None) for asset in (USDT, USDC))
    parts = ((USDT, 2 * DUE), (USDC, 2 * DUE))
    transfers = [Received(asset, units, CUSTOMER, Depth.FINAL, NOON) for asset, units in parts]
    bill = invoice(S.SIGN_PENDING, requests=asked, tally=tally(asked, transfers, Policy()))
    assert reckoning.surplus(bill) == (Money(2 * DUE, USDT), Money(DUE, USDC))
