"""What a payer is told wherever an invoice stands."""

from dataclasses import replace
from itertools import product

import pytest

from counterfoil.checkout.stages import PAYABLE, STEPS, TOLD, WITH_RECEIPT, Stage, stage_of
from counterfoil.core.invoice import Context, Status
from counterfoil.core.tally import AssetTally, Tally
from support.invoices import DEADLINE, DUE, NOON, USDT, invoice

HALF = Tally(assets=(AssetTally(USDT, DUE // 2, DUE // 2, DUE // 2),))
WHOLE = Tally(assets=(AssetTally(USDT, DUE, DUE, DUE),))


@pytest.mark.parametrize(("status", "context"), [*product(Status, (None, *Context))])
def test_there_are_words_for_every_standing(status: Status, context: Context | None) -> None:
    for tally, now in product((Tally(), HALF, WHOLE), (NOON, DEADLINE)):
        stage = stage_of(invoice(status, context=context, tally=tally), now)
        assert TOLD[stage].step in {None, *range(len(STEPS))}
        if stage in PAYABLE:
            assert now < DEADLINE
            assert status in {
                Status.AWAITING_PAYMENT,
                Status.PAYMENT_DETECTED,
                Status.RESOLUTION_REQUIRED,
            }
        if stage in WITH_RECEIPT:
            assert status in {
                Status.SIGN_PENDING,
                Status.SWEEPING,
                Status.PAYOUT_PROCESSING,
                Status.COMPLETED,
            }


def test_every_stage_has_words_and_no_word_of_suspicion() -> None:
    assert set(TOLD) == set(Stage)
    said = " ".join(f"{told.heading} {told.text}" for told in TOLD.values()).lower()
    for word in ("risk", "sanction", "hold", "held", "compliance", "suspicio", "screen", "freeze"):
        assert word not in said


def test_what_is_paid_through_a_bank_asks_for_no_tokens() -> None:
    by_bank = replace(invoice(Status.AWAITING_PAYMENT), settlement="fiat")
    assert stage_of(by_bank, NOON) is Stage.BY_BANK


@pytest.mark.parametrize(
    ("context", "stage"),
    [
        (Context.PAID_LATE, Stage.LATE),
        (Context.OVERPAID, Stage.TOO_MUCH),
        (Context.UNDERPAID, Stage.MISSING),
        (Context.WRONG_ASSET, Stage.WRONG_TOKEN),
        (Context.MULTIPLE_PAYERS, Stage.DECIDING),
        (Context.HIGH_RISK, Stage.DECIDING),
        (Context.SANCTIONED, Stage.DECIDING),
    ],
)
def test_what_is_particular_is_said_in_plain_words(context: Context, stage: Stage) -> None:
    particular = invoice(Status.RESOLUTION_REQUIRED, context=context, tally=HALF)
    assert stage_of(particular, NOON) is stage
