"""Screenings that could not be finished: asked again, held while silent, let go when answered."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from counterfoil.books import audit
from counterfoil.core.events import ApproveRefund, Decline, Event, OrderRefund, Release, SignOff
from counterfoil.core.invoice import Context, Invoice, Status
from counterfoil.core.reckoning import Depth
from counterfoil.core.risk_facts import Severity
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Database
from counterfoil.db.rows import all_values
from counterfoil.desk import screening, verdicts
from counterfoil.desk.act import act
from counterfoil.providers.screening.port import ScreeningUnavailable
from support.bureau import LISTED, Bureau, opened
from support.fake_clock import FakeClock
from support.invoices import CUSTOMER, DUE, OFFICERS, STRANGER
from support.office import Office
from support.patience import patiently

FEW_MINUTES = timedelta(minutes=5)
LONG = 20
"""More attempts than the screener's patience lasts before money is held."""


@pytest.fixture
async def bureau(database: Database) -> Bureau:
    return await opened(database)


async def errors(bureau: Bureau) -> list[str]:
    """Why screenings that are not done yet had to be given back."""
    async with bureau.desk.database.reading() as tx:
        return await all_values(
            tx, str, "SELECT last_error FROM effect WHERE done_at IS NULL AND last_error <> ''", {}
        )


async def runs(bureau: Bureau, bill: Invoice) -> list[str]:
    """Every verdict that was kept, oldest first."""
    async with bureau.desk.database.reading() as tx:
        return await all_values(
            tx,
            str,
            "SELECT decision FROM screening_run WHERE invoice_id = %(bill)s ORDER BY created_at",
            {"bill": bill.invoice_id},
        )


async def decides(bureau: Bureau, bill: Invoice, *events: Event) -> Invoice:
    """Let members decide about an invoice, each with every permission."""
    for event in events:
        who = Actor(event.by, bill.org_id, frozenset(Permission))
        bill = await act(bureau.desk, bill.org_id, bill.invoice_id, event, who)
    return bill


# -------------------------------------------------------------------- before anything is held


async def test_a_hiccup_of_a_provider_freezes_nothing(bureau: Bureau) -> None:
    bureau.provider.fails(CUSTOMER, ScreeningUnavailable("503 from upstream"))
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill)

    assert (await bureau.screens(bill)).status is Status.SCREENING
    assert await errors(bureau) == ["provider_unavailable: fake: 503 from upstream"]
    assert await runs(bureau, bill) == []

    bureau.provider.says(CUSTOMER, Severity.LOW)
    bureau.clock.advance(timedelta(seconds=30))
    assert (await bureau.screens(bill)).status is Status.SIGN_PENDING
    assert await runs(bureau, bill) == ["clear"]


async def test_a_rate_that_comes_late_freezes_nothing(database: Database) -> None:
    bureau = Bureau(Office(database, FakeClock()))
    await bureau.office.opens()
    await bureau.lists(LISTED)
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill)

    assert (await bureau.screens(bill)).status is Status.SCREENING
    assert [error.split(":")[0] for error in await errors(bureau)] == ["amount_unknown"]
    await bureau.knows_the_rate()
    bureau.clock.advance(timedelta(seconds=1))
    assert (await bureau.screens(bill)).status is Status.SIGN_PENDING


async def test_patience_ends_and_then_people_decide(bureau: Bureau) -> None:
    bureau.provider.fails(CUSTOMER, ScreeningUnavailable("down"))
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill)

    start = bureau.clock.now()
    async with patiently("the end of its patience"):
        while (await bureau.screens(bill)).status is Status.SCREENING:
            bureau.clock.advance(timedelta(seconds=1))

    assert FEW_MINUTES <= bureau.clock.now() - start <= FEW_MINUTES + timedelta(seconds=30)
    held = await bureau.office.invoice(bill)
    assert (held.status, held.context) == (Status.COMPLIANCE_HOLD, Context.HIGH_RISK)
    assert await runs(bureau, bill) == ["manual_review"]


async def test_a_worker_that_was_away_is_patient_from_its_first_attempt(bureau: Bureau) -> None:
    bureau.provider.fails(CUSTOMER, ScreeningUnavailable("down"))
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill)
    bureau.clock.advance(timedelta(hours=1))

    assert (await bureau.screens(bill)).status is Status.SCREENING


@pytest.mark.parametrize(
    ("payer", "severity", "context"),
    [
        (LISTED, Severity.LOW, Context.SANCTIONED),
        (STRANGER, Severity.HIGH, Context.HIGH_RISK),
        (STRANGER, Severity.MEDIUM, Context.HIGH_RISK),
        ("0x" + "0" * 40, Severity.LOW, Context.HIGH_RISK),
    ],
)
async def test_a_finding_holds_at_once_whoever_else_is_silent(
    bureau: Bureau, payer: str, severity: Severity, context: Context
) -> None:
    bureau.provider.says(payer, severity)
    bureau.provider.fails(CUSTOMER, ScreeningUnavailable("down"))
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill, units=DUE - 20_000)
    await bureau.office.is_paid(bill, payer=payer, units=20_000)

    held = await bureau.screens(bill)

    assert (held.status, held.context) == (Status.COMPLIANCE_HOLD, context)
    assert held.screening is not None
    assert not held.screening.degraded


# ---------------------------------------------------------------------- while money is held


async def held_for_silence(bureau: Bureau) -> Invoice:
    """An invoice that is held only because the provider is down."""
    bureau.provider.fails(CUSTOMER, ScreeningUnavailable("down"))
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill)
    held = await bureau.screens_patiently(bill)
    assert held.status is Status.COMPLIANCE_HOLD
    return held


async def later(bureau: Bureau, bill: Invoice) -> Invoice:
    """What the screener made of it a few minutes later, with a rate that is still fresh."""
    bureau.clock.advance(FEW_MINUTES)
    await bureau.knows_the_rate()
    return await bureau.screens(bill)


async def test_money_held_for_silence_goes_on_when_the_provider_is_back(bureau: Bureau) -> None:
    held = await held_for_silence(bureau)
    bureau.provider.says(CUSTOMER, Severity.LOW)

    after = await later(bureau, held)

    assert (after.status, after.context) == (Status.SIGN_PENDING, Context.EXACT)
    assert await runs(bureau, held) == ["manual_review", "clear"]
    async with bureau.desk.database.reading() as tx:
        last, _ = (await audit.of_invoice(tx, held.org_id, held.invoice_id))[-1]
    assert (last.from_status, last.to_status) == ("compliance_hold", "sign_pending")
    assert last.reason == "held only for want of answers, which have come and are clear"


async def test_money_held_for_an_old_list_goes_on_when_it_is_imported(database: Database) -> None:
    bureau = Bureau(Office(database, FakeClock()))
    await bureau.office.opens()
    await bureau.knows_the_rate()
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill)
    assert (await bureau.screens_patiently(bill)).status is Status.COMPLIANCE_HOLD

    await bureau.lists(LISTED)
    assert (await later(bureau, bill)).status is Status.SIGN_PENDING


async def test_while_the_silence_lasts_nothing_piles_up(bureau: Bureau) -> None:
    held = await held_for_silence(bureau)
    asked = len(bureau.provider.asked)
    for _ in range(LONG):
        assert (await later(bureau, held)).status is Status.COMPLIANCE_HOLD

    assert await runs(bureau, held) == ["manual_review"]
    assert await errors(bureau) == ["provider_unavailable: fake: down"]
    assert len(bureau.provider.asked) == asked + LONG * 2, "twice every five minutes"


async def test_what_the_answers_say_counts(bureau: Bureau) -> None:
    held = await held_for_silence(bureau)
    bureau.provider.says(CUSTOMER, Severity.HIGH)
    assert (await later(bureau, held)).status is Status.COMPLIANCE_HOLD

    bureau.provider.says(CUSTOMER, Severity.LOW)
    assert (await later(bureau, held)).status is Status.COMPLIANCE_HOLD, "it was a finding once"
    assert await runs(bureau, held) == ["manual_review", "aml_hold"]


async def test_a_finding_does_not_become_silence(bureau: Bureau) -> None:
    bureau.provider.says(CUSTOMER, Severity.HIGH)
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill)
    await bureau.screens(bill)
    bureau.provider.fails(CUSTOMER, ScreeningUnavailable("down"))
    await bureau.office.is_paid(bill, units=20_000)
    await bureau.screens_patiently(bill)
    bureau.provider.says(CUSTOMER, Severity.LOW)

    assert (await later(bureau, bill)).status is Status.COMPLIANCE_HOLD


async def test_more_money_does_not_slip_through_with_the_answers(bureau: Bureau) -> None:
    held = await held_for_silence(bureau)
    bureau.provider.says(CUSTOMER, Severity.LOW)
    bureau.clock.advance(FEW_MINUTES)
    await bureau.knows_the_rate()
    (claim,) = await screening.claim(bureau.desk, limit=1, lease_seconds=60)
    case = await screening.case_of(bureau.desk, claim)
    await bureau.office.is_paid(held, payer=LISTED, units=20_000)
    clear = screening.Finding(
        bureau.desk.ids.new(), "clear", sanctioned=False, total=Decimal(0), scores={}, record={}
    )
    assert await verdicts.conclude(bureau.desk, case, clear)

    assert (await bureau.office.invoice(held)).status is Status.COMPLIANCE_HOLD
    assert (await bureau.screens(held)).context is Context.SANCTIONED


async def test_money_that_comes_beside_it_goes_on_with_it(bureau: Bureau) -> None:
    held = await held_for_silence(bureau)
    bureau.provider.says(CUSTOMER, Severity.LOW)
    await bureau.office.is_paid(held, units=20_000)
    await bureau.knows_the_rate()

    assert (await bureau.screens(held)).status is Status.SIGN_PENDING


@pytest.mark.parametrize("command", [Decline, Release])
async def test_one_persons_no_outweighs_the_answers(
    bureau: Bureau, command: type[Decline] | type[Release]
) -> None:
    held = await held_for_silence(bureau)
    word = command(at=bureau.clock.now(), by=OFFICERS[0], reason="I looked at it")
    await decides(bureau, held, word)
    bureau.provider.says(CUSTOMER, Severity.LOW)

    stays = command is Decline
    after = await later(bureau, held)
    assert after.status is (Status.COMPLIANCE_HOLD if stays else Status.SIGN_PENDING)


async def test_what_people_released_is_not_held_for_the_same_silence(bureau: Bureau) -> None:
    held = await held_for_silence(bureau)
    now = bureau.clock.now()
    await decides(bureau, held, *(Release(at=now, by=o, reason="known to us") for o in OFFICERS))

    for _ in range(LONG):
        assert (await later(bureau, held)).status is Status.SIGN_PENDING
    bureau.provider.says(CUSTOMER, Severity.HIGH)
    assert (await later(bureau, held)).status is Status.COMPLIANCE_HOLD


async def test_what_people_declined_is_not_screened_any_more(bureau: Bureau) -> None:
    held = await held_for_silence(bureau)
    now = bureau.clock.now()
    await decides(bureau, held, *(Decline(at=now, by=o, reason="no") for o in OFFICERS))
    bureau.provider.says(CUSTOMER, Severity.LOW)

    assert (await later(bureau, held)).status is Status.COMPLIANCE_DECLINED
    assert await runs(bureau, held) == ["manual_review"]
    assert await errors(bureau) == []


# --------------------------------------------------------------------- one among many claims


async def test_a_broken_policy_stops_its_own_organisation_only(bureau: Bureau) -> None:
    await bureau.office.opens(2, bands="tight")
    broken = await bureau.office.issues(org_id=2)
    await bureau.office.is_paid(broken)
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill)

    assert (await bureau.screens(bill)).status is Status.SIGN_PENDING
    assert (await bureau.office.invoice(broken)).status is Status.SCREENING
    (error,) = await errors(bureau)
    assert error.startswith("Invalid: the screening policy cannot be read")


async def test_a_broken_invoice_stops_no_other(bureau: Bureau) -> None:
    broken, bill = [await bureau.office.issues(number) for number in (1, 2)]
    for one in (broken, bill):
        await bureau.office.is_paid(one)
    async with bureau.desk.database.transaction() as tx:
        await tx.execute(
            "UPDATE invoice SET detail = '{}' WHERE invoice_id = %s", [broken.invoice_id]
        )

    assert (await bureau.screens(bill)).status is Status.SIGN_PENDING
    (error,) = await errors(bureau)
    assert "ValidationError" in error


async def test_a_payment_that_came_back_is_screened_though_nothing_was_left_before(
    bureau: Bureau,
) -> None:
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill, depth=Depth.SAFE)
    await bureau.office.loses(bill)
    (claim,) = await screening.claim(bureau.desk, limit=1, lease_seconds=60)
    case = await screening.case_of(bureau.desk, claim)
    assert case.covers == ()
    await bureau.office.is_paid(bill)

    assert await verdicts.conclude(bureau.desk, case, None)
    assert (await bureau.screens(bill)).status is Status.SIGN_PENDING


# ------------------------------------------------------------------ after people have decided

Go = Callable[[Bureau, Invoice], Awaitable[Invoice]]


async def signed(bureau: Bureau, bill: Invoice) -> Invoice:
    return await decides(bureau, bill, SignOff(at=bureau.clock.now(), by="user_signer"))


async def refunded(bureau: Bureau, bill: Invoice) -> Invoice:
    now = bureau.clock.now()
    order = OrderRefund(
        at=now, by="user_signer", address=CUSTOMER, reason="wrong", attachment_file_ids=()
    )
    return await decides(bureau, bill, order, ApproveRefund(at=now, by="user_checker"))


@pytest.mark.parametrize(
    ("go_on", "payer", "decision", "status"),
    [
        (signed, STRANGER, "clear", Status.SWEEPING),
        (signed, LISTED, "aml_hold", Status.COMPLIANCE_HOLD),
        (refunded, STRANGER, "clear", Status.REFUND_PROCESSING),
        # A refund goes on: it is how such money leaves.
        (refunded, LISTED, "aml_hold", Status.REFUND_PROCESSING),
    ],
)
async def test_money_that_comes_while_the_rest_moves_is_screened(
    bureau: Bureau, go_on: Go, payer: str, decision: str, status: Status
) -> None:
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill)
    await go_on(bureau, await bureau.screens(bill))
    await bureau.office.is_paid(bill, payer=payer)

    after = await bureau.screens(bill)

    assert after.status is status
    assert after.screening is not None
    assert after.screening.covers_all(after.tally)
    assert after.screening.decision == decision
    assert await runs(bureau, bill) == ["clear", decision]


async def test_money_in_motion_is_asked_about_again_while_answers_are_missing(
    bureau: Bureau,
) -> None:
    bill = await bureau.office.issues()
    await bureau.office.is_paid(bill)
    await signed(bureau, await bureau.screens(bill))
    bureau.provider.fails(STRANGER, ScreeningUnavailable("down"))
    await bureau.office.is_paid(bill, payer=STRANGER)
    await bureau.screens_patiently(bill)
    bureau.provider.says(STRANGER, Severity.LOW)

    after = await later(bureau, bill)

    assert after.screening is not None
    assert (after.status, after.screening.decision) == (Status.SWEEPING, "clear")
    assert await runs(bureau, bill) == ["clear", "manual_review", "clear"]
