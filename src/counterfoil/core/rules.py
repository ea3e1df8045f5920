"""What each cell of the lifecycle does: rules from an invoice and an event to what becomes of it.

A rule decides and changes nothing outside. Which rule stands in which cell is said by
`counterfoil.core.lifecycle`.
"""

from typing import Final

from counterfoil.core import planning, pricing, reckoning, resolution
from counterfoil.core.content import content_hash, says_the_same
from counterfoil.core.errors import Forbidden, Invalid, OutOfPlace
from counterfoil.core.events import (
    Accept,
    Approve,
    Archive,
    Cancel,
    DeadlinePassed,
    Edit,
    Effect,
    Event,
    GraceOver,
    MoneyFact,
    PaidOut,
    Recalculate,
    Reject,
    ReleaseMoves,
    Screen,
    Screened,
    SignOff,
    Swept,
)
from counterfoil.core.invoice import (
    Context,
    Invoice,
    Resolution,
    Screening,
    Status,
)
from counterfoil.core.money import Money
from counterfoil.core.resolution import Choice
from counterfoil.core.values import replace

S = Status

PEOPLE_TO_DECIDE_A_HOLD: Final = 2
MAX_NOTES: Final = 100

Outcome = tuple[Invoice, tuple[Effect, ...]]


def edited(invoice: Invoice, event: Edit) -> Outcome:
    """Replace what was asked for; who changes anything about it made it, too."""
    after = replace(
        invoice,
        document=event.document,
        price=event.price,
        requests=event.requests,
        payout_to=event.payout_to,
        deadline_at=event.deadline_at,
        deadline_follows_approval=event.deadline_follows_approval,
        explicit_deadline_at=event.explicit_deadline_at,
        settlement=event.settlement,
        bank_account_id=event.bank_account_id,
        allow_any_chain=event.allow_any_chain,
        allow_any_token=event.allow_any_token,
        reviewer=event.reviewer,
    )
    if event.by in invoice.edited_by or says_the_same(invoice, after):
        return after, ()
    return replace(after, edited_by=(*invoice.edited_by, event.by)), ()


def approved(invoice: Invoice, event: Approve) -> Outcome:
    """Bind the approval to the content; start the window of what is due on receipt."""
    if invoice.policy.maker_is_not_checker and event.by in makers(invoice):
        message = "you created or changed this invoice, so somebody else has to approve it"
        raise Forbidden(message, data={"rule": "maker_is_not_checker"})
    deadline_at = (
        pricing.receipt_deadline(event.at, invoice.policy)
        if invoice.deadline_follows_approval
        else invoice.deadline_at
    )
    if deadline_at <= event.at:
        raise Invalid.field(
            "payment_deadline",
            "has already passed, so nobody could pay in time;"
            " give the invoice new payment_terms before approving it",
        )
    after = replace(
        invoice,
        status=S.AWAITING_PAYMENT,
        deadline_at=deadline_at,
        approved_by=event.by,
        approved_at=event.at,
        approved_hash=event.content_hash,
    )
    # Whoever knows the address can pay before the approval; that money will not be told again.
    return _followed(after) if after.tally.seen_any else (after, ())


def rejected(invoice: Invoice, _event: Reject) -> Outcome:
    """End it; the reason is in the log."""
    return replace(invoice, status=S.APPROVAL_REJECTED), ()


def cancelled(invoice: Invoice, _event: Cancel) -> Outcome:
    """End it, unless money is on its way."""
    if invoice.tally.seen_any:
        raise OutOfPlace(
            "a payment is already on chain, so the invoice can no longer be cancelled",
            data={"rule": "money_on_chain"},
        )
    return replace(invoice, status=S.CANCELLED), ()


def lapsed(invoice: Invoice, _event: GraceOver) -> Outcome:
    """End an expired invoice for good, unless money came after all."""
    return (invoice, ()) if invoice.tally.seen_any else (replace(invoice, status=S.CANCELLED), ())


def expired(invoice: Invoice, event: DeadlinePassed) -> Outcome:
    """Close the time for paying; money that still comes is late, never lost."""
    if event.at < invoice.deadline_at or invoice.tally.seen_any:
        return invoice, ()
    return replace(invoice, status=S.EXPIRED, expired_at=event.at), ()


def detected(invoice: Invoice, event: MoneyFact) -> Outcome:
    """Follow the money as far as it is: seen, or already deep enough."""
    return _followed(replace(invoice, tally=event.tally))


def noted(invoice: Invoice, event: MoneyFact) -> Outcome:
    """Keep the new totals; what has been decided stands."""
    return replace(invoice, tally=event.tally), ()


def joined(invoice: Invoice, event: MoneyFact) -> Outcome:
    """More money beside money that was already judged: start over once it is confirmed."""
    after = replace(invoice, tally=event.tally)
    if not _same_money(invoice, after):
        return detected(invoice, event)
    if invoice.status is S.SIGN_PENDING and _signs_itself(after):
        return signed_off(after, SignOff(at=event.at, by="system:policy"))
    return after, ()


def joined_hold(invoice: Invoice, event: MoneyFact) -> Outcome:
    """More money does not lift a hold, and does not get round it."""
    after = replace(invoice, tally=event.tally)
    if not event.tally.seen_any:
        return detected(invoice, event)
    return after, () if _same_money(invoice, after) else (Screen(),)


def screened(invoice: Invoice, event: Screened) -> Outcome:
    """Let clean money on to be judged; hold the rest. Money that came since is screened too."""
    after = replace(invoice, screening=event.screening)
    if event.screening.decision != "clear":
        return _held(after), ()
    if not event.screening.covers_all(invoice.tally):
        return after, (Screen(),)
    return _judged(after, event)


def rescreened(invoice: Invoice, event: Screened) -> Outcome:
    """A later screening may hold money that once looked clean; it never lets any go."""
    after = replace(invoice, screening=event.screening)
    return (after, ()) if event.screening.decision == "clear" else (_held(after), ())


def screened_in_hold(invoice: Invoice, event: Screened) -> Outcome:
    """What came beside held money was screened too: people decide on all of it, from the start.

    Money that only missing answers hold goes on by itself, once all of it is found clear; so does
    what was screened anew without its hits.
    """
    if lifts_hold(invoice, event.screening):
        after = replace(invoice, screening=event.screening, releases=(), declines=())
        return let_go(after, event)
    waits = _lacks_answers(invoice)
    if _is_outweighed(invoice, event.screening):
        return _held(_with_hit(invoice, event.screening)), ()
    if waits and event.screening.decision == "clear":
        return _held(invoice), ()
    # A finding is a matter for people, whoever cannot be asked about it later on.
    verdict = replace(event.screening, degraded=event.screening.degraded and waits)
    return _held(replace(invoice, screening=verdict)), ()


def _is_outweighed(invoice: Invoice, newer: Screening) -> bool:
    """Whether a verdict says nothing of a hit that stands: only people take a hit away."""
    return is_sanctioned(invoice) and not newer.sanctioned


def _with_hit(invoice: Invoice, newer: Screening) -> Invoice:
    """The invoice with a newer verdict, and with the hit that stands kept with the money it hit.

    That is what strayed in beside the payment, where the payment itself came only since. Else the
    hit stands against all that is here, so that people can find it false.
    """
    hit = invoice.screening
    assert hit is not None, "only a verdict tells of a hit"  # noqa: S101 - tells mypy
    if dict(hit.covers).keys().isdisjoint(dict(newer.covers)):
        return replace(invoice, screening=newer, stray_screening=hit)
    return replace(invoice, screening=replace(hit, covers=newer.covers, payers=newer.payers))


def lifts_hold(invoice: Invoice, screening: Screening) -> bool:
    """Whether a verdict brings all the answers, and nothing but their lack held the money."""
    clear = screening.decision == "clear" and screening.covers_all(invoice.tally)
    held = invoice.status is S.COMPLIANCE_HOLD
    return held and clear and _lacks_answers(invoice)


def screened_in_motion(invoice: Invoice, event: Screened) -> Outcome:
    """What came after the signature was screened too; the sweep waits for exactly that.

    A finding holds the money wherever it is. A refund goes on: it is how such money leaves; but a
    sign-off that waits with its surplus is off.
    """
    after = replace(invoice, screening=event.screening, releases=())
    if _is_outweighed(invoice, event.screening):
        after = replace(_with_hit(invoice, event.screening), releases=())
    waits = planning.waiting_surplus(invoice) is not None
    refunding = invoice.status in {S.REFUND_PENDING, S.REFUND_PROCESSING} and not waits
    if event.screening.decision == "clear" or refunding:
        return after, ()
    return _held(planning.without_surplus_refund(after, event) if waits else after), ()


def noted_in_motion(invoice: Invoice, event: MoneyFact) -> Outcome:
    """Keep the new totals; a sweep takes all there is, so all there is gets screened first."""
    after = replace(invoice, tally=event.tally)
    return after, () if _same_money(invoice, after) else (Screen(),)


def accepted(invoice: Invoice, event: Accept) -> Outcome:
    """Take it as it is; the context stays, so that nobody forgets why."""
    keeps = event.surplus == "keep"
    resolution.must_be_open(invoice, Choice.ACCEPT if keeps else Choice.REFUND_SURPLUS, event.at)
    chosen = Resolution("accept" if keeps else "refund_surplus", event.by, event.at, event.rule)
    return replace(invoice, status=S.SIGN_PENDING, resolution=chosen), ()


def recalculated(invoice: Invoice, event: Recalculate) -> Outcome:
    """Judge the money against the new amount due; lateness is forgiven with the new price.

    What was approved is now this price: the hash is of it, and the log says what it was before.
    """
    resolution.must_change(invoice, event.at, event.until)
    now_or_later = max(invoice.deadline_at, event.at)
    after = replace(invoice, requests=event.requests, deadline_at=now_or_later)
    context = reckoning.judge(after)
    if context is Context.UNDERPAID and event.until is not None:
        after = replace(after, deadline_at=max(now_or_later, event.until))
    chosen = Resolution("recalculate", event.by, event.at, event.rule)
    status, approved_hash = _judged_status(after, context), content_hash(after)
    after = replace(after, status=status, context=context, resolution=chosen)
    return replace(after, approved_hash=approved_hash), ()


def signed_off(invoice: Invoice, event: SignOff) -> Outcome:
    """Send the money on its way, or wait for the second person whom its surplus needs.

    Where nothing is too much an address is no contradiction: programs may always name one.
    """
    must_be_signable(invoice)
    back, kept = resolution.to_return(invoice), resolution.kept(invoice)
    if kept and event.refund_address is not None:
        raise Invalid.field(
            "refund_address",
            f"must be left out: the customer paid {kept[0]} too much, and accept was chosen, which"
            " keeps it, so nothing goes back when you sign; sign without an address, or order a"
            " refund of it instead",
        )
    if back and event.refund_address is None:
        raise Invalid.field(
            "refund_address",
            f"is required: the customer paid {back[0]} too much, which goes back when you sign",
        )
    if not back:
        return planning.signed(invoice, None, by=event.by, at=event.at)
    refund = planning.surplus_refund(invoice, event, back)
    after = replace(invoice, refunds=(*invoice.refunds, refund))
    if refund.with_sign_off:
        return replace(after, status=S.REFUND_PENDING), ()
    return planning.signed(after, refund, by=event.by, at=event.at)


def must_be_signable(invoice: Invoice) -> None:
    """Refuse to sign for money that may still change, or that nobody has looked at."""
    refuse_unscreened(invoice)
    if invoice.tally.settled and invoice.tally.final:
        return
    sentence = "the payment is not yet final on chain; sign for it in a few minutes"
    if any(part.final_units for part in invoice.tally.money):
        # A sweep takes along all there is, so whoever goes on paying keeps it from being signed.
        more = " and ".join(map(str, not_final(invoice)))
        sentence = (
            f"more money came, and {more} of it is not yet final on chain; sign for it in a few"
            " minutes, once nothing else comes"
        )
    raise OutOfPlace(sentence, data={"rule": "finality"})


def not_final(invoice: Invoice) -> tuple[Money, ...]:
    """What was seen of the money and can still be reorganised away, per asset."""
    return tuple(
        Money(part.seen_units - part.final_units, part.asset)
        for part in invoice.tally.money
        if part.seen_units > part.final_units
    )


def swept(invoice: Invoice, event: Swept) -> Outcome:
    """Let payouts and refunds leave the pool; where there are none, it is done."""
    after = replace(invoice, settled=event.settled)
    if event.more_to_move:
        return replace(after, status=S.PAYOUT_PROCESSING), (ReleaseMoves(),)
    return replace(after, status=S.COMPLETED, completed_at=event.at), ()


def paid_out(invoice: Invoice, event: PaidOut) -> Outcome:
    """Done, and so is the surplus that went back with it."""
    after = planning.with_refund_settled(invoice, event.settled, event.at)
    return replace(after, status=S.COMPLETED, completed_at=event.at), ()


def resumed(invoice: Invoice, stood: Status, event: Event) -> Outcome:
    """Stand where it stood before a refund was ordered, as long as the money is the same."""
    after = replace(invoice, status=stood)
    if stood.is_end or stood is S.COMPLIANCE_DECLINED:
        return after, ()
    if not is_cleared(invoice) or reckoning.judge(invoice) is not invoice.context:
        return judged_anew(invoice, event)
    if stood is S.SIGN_PENDING and _signs_itself(after):
        return signed_off(after, SignOff(at=event.at, by="system:policy"))
    return after, ()


def judged_anew(invoice: Invoice, event: Event) -> Outcome:
    """Take a payment up again: money that nobody has looked at is screened before it is judged."""
    afresh = replace(invoice, resolution=None)
    if not _looked_at(invoice):
        return _followed(afresh)
    return _judged(afresh, event) if is_cleared(invoice) else (_held(afresh), ())


def archived(invoice: Invoice, event: Archive) -> Outcome:
    """Keep when it was first put away."""
    return replace(invoice, archived_at=invoice.archived_at or event.at), ()


_NEEDS_CHOICE = frozenset(
    {Context.UNDERPAID, Context.PAID_LATE, Context.MULTIPLE_PAYERS, Context.WRONG_ASSET}
)


def _judged_status(invoice: Invoice, context: Context) -> Status:
    resolve_surplus = context is Context.OVERPAID and invoice.policy.overpaid == "resolve"
    chosen = context in _NEEDS_CHOICE or resolve_surplus
    return S.RESOLUTION_REQUIRED if chosen else S.SIGN_PENDING


def _followed(invoice: Invoice) -> Outcome:
    if not invoice.tally.seen_any:
        return replace(invoice, status=_unpaid(invoice)), ()
    if not _ripe(invoice):
        return replace(invoice, status=S.PAYMENT_DETECTED), ()
    return replace(invoice, status=S.SCREENING), (Screen(),)


def _unpaid(invoice: Invoice) -> Status:
    return S.EXPIRED if invoice.expired_at is not None else S.AWAITING_PAYMENT


def _ripe(invoice: Invoice) -> bool:
    """Enough is confirmed, or all there is is; never on less while more is on its way."""
    enough = reckoning.coverage(invoice) >= invoice.policy.underpay_ratio
    return enough or invoice.tally.settled


def refuse_unscreened(invoice: Invoice) -> None:
    """Nobody decides about money that nobody has looked at."""
    if not _looked_at(invoice):
        raise OutOfPlace(
            "more money has come in and is being screened; decide when that is done",
            data={"rule": "unscreened_money"},
        )


def _looked_at(invoice: Invoice) -> bool:
    return invoice.screening is not None and invoice.screening.covers_all(invoice.tally)


def people_to_release(invoice: Invoice) -> int:
    """How many people release held money: fewer only where the policy of its screening says so."""
    verdict = invoice.screening
    if verdict is None:
        return PEOPLE_TO_DECIDE_A_HOLD
    looked_at = verdict.decision == "manual_review" and invoice.escalated_at is None
    return verdict.review_approvers if looked_at else verdict.hold_approvers


def is_cleared(invoice: Invoice) -> bool:
    """Whether all of the money was found clean, or was released as it is."""
    verdict = invoice.screening
    released = len(invoice.releases) >= people_to_release(invoice)
    return verdict is not None and _looked_at(invoice) and (verdict.decision == "clear" or released)


def makers(invoice: Invoice) -> frozenset[str]:
    """Whoever had a hand in what the invoice says."""
    return frozenset({invoice.created_by, *invoice.edited_by})


def _same_money(before: Invoice, after: Invoice) -> bool:
    return (before.tally.confirmed, before.tally.payers) == (
        after.tally.confirmed,
        after.tally.payers,
    )


def is_sanctioned(invoice: Invoice) -> bool:
    """Whether a hit holds it that nobody can release."""
    return invoice.screening is not None and invoice.screening.sanctioned


def _lacks_answers(invoice: Invoice) -> bool:
    """Whether only missing answers hold the money: nothing was found, and nobody said no.

    So it is while money is screened anew whose hit two people found to mean somebody else.
    """
    verdict = invoice.screening
    decided = invoice.declines or invoice.escalated_at or invoice.quarantined_at
    return not decided and (verdict is None or (verdict.degraded and not verdict.sanctioned))


def _held(invoice: Invoice) -> Invoice:
    hit = is_sanctioned(invoice)
    lasts = invoice.status is S.COMPLIANCE_HOLD
    return replace(
        invoice,
        status=S.COMPLIANCE_HOLD,
        context=Context.SANCTIONED if hit else Context.HIGH_RISK,
        releases=(),
        declines=(),
        disposals=(),
        escalated_by=invoice.escalated_by if lasts else None,
        escalated_at=invoice.escalated_at if lasts else None,
    )


def _judged(invoice: Invoice, event: Event) -> Outcome:
    context = reckoning.judge(invoice)
    status = _judged_status(invoice, context)
    after = replace(invoice, status=status, context=context, resolution=None)
    if status is S.RESOLUTION_REQUIRED or not _signs_itself(after):
        return after, ()
    return signed_off(after, SignOff(at=event.at, by="system:policy"))


def let_go(invoice: Invoice, event: Event) -> Outcome:
    """Let held money go on from where it stands; once signed for, that is on its way."""
    if invoice.signed_off_at is None:
        return _judged(invoice, event)
    return replace(invoice, status=S.SWEEPING, context=reckoning.judge(invoice)), ()


def _signs_itself(invoice: Invoice) -> bool:
    """Whether the policy may sign: only where nobody has to say where a surplus goes."""
    if invoice.policy.sign_off_required or not _looked_at(invoice):
        return False
    firm = invoice.tally.settled and invoice.tally.final
    return firm and not reckoning.surplus(invoice)
