"""Laws that hold over every status, every event and every order of events."""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from counterfoil.core.errors import Refusal
from counterfoil.core.events import (
    Accept,
    Approve,
    ApproveRefund,
    Archive,
    Cancel,
    Command,
    DeadlinePassed,
    Decline,
    DisposeHit,
    Escalate,
    Event,
    Fact,
    GraceOver,
    OrderRefund,
    PaidOut,
    PlanMoves,
    Quarantine,
    Recalculate,
    RefundSettled,
    Reject,
    Release,
    Screened,
    SignOff,
    Swept,
    TakeNote,
    TransferConfirmed,
    TransferDropped,
    TransferSeen,
    WithdrawRefund,
)
from counterfoil.core.invoice import (
    Context,
    Invoice,
    PaymentRequest,
    Policy,
    Refund,
    RefundStatus,
    Status,
)
from counterfoil.core.lifecycle import LIFECYCLE, decide
from counterfoil.core.money import Money
from counterfoil.core.tally import AssetTally, Tally
from support.invoices import (
    CUSTOMER,
    DUE,
    NOON,
    OFFICERS,
    QUOTE,
    STRANGER,
    USDC,
    USDT,
    clean,
    dirty,
    gone,
    invoice,
    paid,
    silent,
)

PEOPLE = ("user_maker", "user_checker", "user_signer", *OFFICERS)

instants = st.integers(0, 60).map(lambda days: NOON + timedelta(days=days))
people = st.sampled_from(PEOPLE)


settlements = st.builds(gone, *[st.sampled_from([0, 1, DUE // 2, DUE, DUE * 3])] * 3)


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    """Any totals a chain can show: final within confirmed within seen."""
    seen = draw(st.sampled_from([0, 1, DUE // 2, DUE - 1, DUE, DUE + 1, DUE * 3]))
    confirmed = draw(st.sampled_from([0, seen // 2, seen]))
    final = draw(st.sampled_from([0, confirmed]))
    if not seen:
        astray = AssetTally(USDC, DUE, *draw(st.sampled_from([(0, 0), (DUE, DUE)])))
        return draw(st.sampled_from([Tally(), Tally(stray=(astray,), payers=(STRANGER,))]))
    payers = draw(st.sampled_from([(CUSTOMER,), (CUSTOMER, STRANGER)]))
    return paid(seen, confirmed=confirmed, final=final, payers=payers, at=draw(instants))


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Any event at all."""
    at: datetime = draw(instants)
    by: str = draw(people)
    tally = draw(tallies())
    settled = draw(settlements)
    return draw(
        st.sampled_from(
            [
                Approve(at=at, by=by, content_hash="x"),
                Reject(at=at, by=by, reason="r"),
                Cancel(at=at, by=by),
                Release(at=at, by=by, reason="r"),
                Decline(at=at, by=by, reason="r"),
                Escalate(at=at, by=by, reason="r"),
                DisposeHit(
                    at=at,
                    by=by,
                    list_code="OFAC_SDN",
                    entry_uid="1",
                    payer=CUSTOMER,
                    fingerprint="f",
                    evidence=(),
                    reason="r",
                ),
                Quarantine(at=at, by=by, reason="r"),
                TakeNote(at=at, by=by, text="t"),
                Accept(at=at, by=by, surplus=draw(st.sampled_from(["keep", "return"]))),
                Recalculate(at=at, by=by, requests=(PaymentRequest(USDT, DUE, None),)),
                SignOff(at=at, by=by),
                SignOff(at=at, by=by, refund_address=CUSTOMER),
                SignOff(at=at, by=by, refund_address=CUSTOMER, goes_home=True),
                OrderRefund(at=at, by=by, address=CUSTOMER, reason="r", attachment_file_ids=()),
                OrderRefund(
                    at=at,
                    by=by,
                    address=CUSTOMER,
                    reason="r",
                    attachment_file_ids=(),
                    amounts=(Money(draw(st.sampled_from([0, 1, DUE // 2, DUE])), USDT),),
                ),
                ApproveRefund(at=at, by=by),
                WithdrawRefund(at=at, by=by),
                Archive(at=at, by=by),
                DeadlinePassed(at=at, by=by),
                GraceOver(at=at, by=by),
                Screened(at=at, by=by, screening=clean(tally)),
                Screened(at=at, by=by, screening=silent(tally)),
                Screened(at=at, by=by, screening=dirty(tally, sanctioned=draw(st.booleans()))),
                Swept(at=at, by=by, settled=settled, more_to_move=draw(st.booleans())),
                PaidOut(at=at, by=by, settled=settled),
                RefundSettled(at=at, by=by, settled=settled),
                TransferSeen(at=at, by=by, tally=tally),
                TransferConfirmed(at=at, by=by, tally=tally),
                TransferDropped(at=at, by=by, tally=tally),
            ]
        )
    )


policies = st.builds(
    Policy,
    sign_off_required=st.booleans(),
    maker_is_not_checker=st.booleans(),
    overpaid=st.sampled_from(["refund_at_sign_off", "resolve"]),
    several_payers=st.sampled_from(["accept", "resolve"]),
)


ORDERABLE = [when for when, on, _, _ in LIFECYCLE if on is OrderRefund]


@st.composite
def invoices(draw: st.DrawFn) -> Invoice:
    """An invoice in any status with any money; a refund order where the status implies one."""
    status = draw(st.sampled_from(Status))
    tally, looked_at = draw(tallies()), draw(tallies())
    start = invoice(
        status,
        tally=tally,
        screening=draw(
            st.sampled_from([None, clean(tally), silent(tally), silent(looked_at), dirty(tally)])
        ),
        policy=draw(policies),
        requests=(PaymentRequest(USDT, DUE, draw(st.sampled_from([None, QUOTE]))),),
        expired_at=NOON if status is Status.EXPIRED else None,
    )
    if status in {Status.REFUND_PENDING, Status.REFUND_PROCESSING}:
        pending = status is Status.REFUND_PENDING
        refund = Refund(
            refund_id=UUID(int=5),
            number=1,
            amounts=(Money(draw(st.sampled_from([1, DUE])), USDT),),
            address=CUSTOMER,
            reason="r",
            attachment_file_ids=(),
            is_whole=draw(st.booleans()),
            returns_to=draw(st.sampled_from(ORDERABLE)),
            ordered_by="user_signer",
            ordered_at=NOON,
            status=RefundStatus.PENDING if pending else RefundStatus.PROCESSING,
        )
        return replace(start, refunds=(refund,))
    return start


@given(invoices(), events())
def test_every_cell_answers_and_facts_are_never_refused(start: Invoice, event: Event) -> None:
    try:
        after, _ = decide(start, event)
    except Refusal:
        assert isinstance(event, Command)
    else:
        assert after.invoice_id == start.invoice_id


@given(invoices(), events().filter(lambda e: isinstance(e, Fact)))
def test_a_fact_told_twice_changes_nothing_more(start: Invoice, fact: Event) -> None:
    once, _ = decide(start, fact)
    twice, effects = decide(once, fact)
    assert twice == once
    assert not any(isinstance(effect, PlanMoves) for effect in effects)


@given(policies, st.lists(events(), max_size=40))
def test_a_finding_is_lifted_by_people_only(policy: Policy, story: list[Event]) -> None:
    now = invoice(Status.SCREENING, policy=policy, tally=paid())
    finding = Screened(at=NOON, by="w", screening=dirty(paid()))
    now, _ = decide(now, finding)
    for event in story:
        before = now
        try:
            now, _ = decide(now, event)
        except Refusal:
            continue
        if now.status is not Status.COMPLIANCE_HOLD:
            # Two people decided, also that a hit means somebody else, or the money itself was
            # reorganised away.
            decided = len(now.releases) > 1 or len(now.declines) > 1 or before.screening is None
            assert before.status is Status.COMPLIANCE_HOLD
            assert decided or not now.tally.seen_any
            break


@given(policies, st.lists(events(), max_size=40))
def test_money_leaves_only_after_clearance(policy: Policy, story: list[Event]) -> None:
    now = invoice(policy=policy)
    for event in story:
        before = now
        try:
            now, effects = decide(now, event)
        except Refusal:
            continue
        planned = [leg for one in effects if isinstance(one, PlanMoves) for leg in one.legs]
        if isinstance(event, Quarantine):
            # Whatever was found, it may go to where nothing leaves by itself.
            assert {leg.purpose for leg in planned} == {"quarantine"}
            assert now.status is before.status
        elif planned:
            assert before.status in {
                Status.SIGN_PENDING,
                Status.SCREENING,
                Status.COMPLIANCE_HOLD,
                Status.REFUND_PENDING,
                Status.REFUND_PROCESSING,
            }
            cleared = before.refunds or before.screening is None  # two disposed of what was hit
            assert before.context is not Context.SANCTIONED or cleared
        if now.status is Status.SWEEPING and before.status is not Status.SWEEPING:
            assert now.screening is not None
            assert now.screening.covers_all(now.tally)
            # Held in motion and let go, it goes on with what was signed for.
            again = before.signed_off_at is not None
            assert again or (now.tally.settled and now.tally.final)
            assert now.screening.decision == "clear" or len(now.releases) > 1


@given(policies, st.lists(events(), max_size=40))
def test_nothing_is_paid_for_that_nobody_approved(policy: Policy, story: list[Event]) -> None:
    now = invoice(policy=policy)
    for event in story:
        try:
            now, _ = decide(now, event)
        except Refusal:
            continue
        payable = now.status not in {
            Status.APPROVAL_PENDING,
            Status.APPROVAL_REJECTED,
            Status.CANCELLED,
            Status.REFUND_PENDING,  # what came for an invoice that was never approved goes back
            Status.REFUND_PROCESSING,
            Status.REFUNDED,
        }
        assert not payable or now.approved_by is not None
        if policy.maker_is_not_checker:
            assert now.approved_by != now.created_by
