"""What each cell of the lifecycle does about refunds: money that goes back to who sent it.

A refund takes from what is still with us, never from what was paid out: both are one budget
(specs/reliability.md 1.3, point 7). It ends where the invoice stood before, unless nothing is left.
"""

from typing import NoReturn

from counterfoil.core import planning, reckoning, resolution
from counterfoil.core.errors import Forbidden, Invalid, OutOfPlace
from counterfoil.core.events import (
    ApproveRefund,
    GiveUpMoves,
    Leg,
    OrderRefund,
    PlanMoves,
    RefundSettled,
    ReleaseMoves,
    Screen,
    StrayScreened,
    Swept,
    WithdrawRefund,
)
from counterfoil.core.invoice import Invoice, Refund, RefundStatus, Screening, Status
from counterfoil.core.money import Asset, Money
from counterfoil.core.planning import (
    from_hold_units,
    next_refund_id,
    refund_legs,
    with_refund_settled,
)
from counterfoil.core.rules import (
    Outcome,
    is_cleared,
    judged_anew,
    must_be_signable,
    resumed,
)
from counterfoil.core.values import replace

S = Status


def refund_ordered(invoice: Invoice, event: OrderRefund) -> Outcome:
    """Keep the order until a second person approves it."""
    amounts = _affordable(invoice, event.amounts)
    _refuse_frozen(invoice, amounts)
    order = Refund(
        refund_id=next_refund_id(invoice),
        number=len(invoice.refunds) + 1,
        amounts=amounts,
        address=event.address,
        reason=event.reason,
        attachment_file_ids=event.attachment_file_ids,
        is_whole=_leaves_nothing(invoice, amounts),
        returns_to=invoice.status,
        ordered_by=event.by,
        ordered_at=event.at,
    )
    after = replace(invoice, status=S.REFUND_PENDING, refunds=(*invoice.refunds, order))
    screens = () if reckoning.is_screened(invoice, amounts) else (Screen(),)
    # What was not taken to the hold wallet yet goes back from where it lies.
    taken = invoice.status is S.COMPLIANCE_DECLINED and invoice.quarantined_at is not None
    overtaken = taken and not _is_all_astray(invoice, amounts)
    return after, (*screens, GiveUpMoves(frozenset({"quarantine"}))) if overtaken else screens


def refund_approved(invoice: Invoice, event: ApproveRefund) -> Outcome:
    """Send the money back, through the pool; sweep only what is not there yet.

    A surplus that waited goes with all that its sign-off plans, or not at all.
    """
    refund = _open(invoice)
    if event.by == refund.ordered_by:
        message = "you ordered this refund, so somebody else has to approve it"
        raise Forbidden(message, data={"rule": "maker_is_not_checker"})
    approved = replace(
        refund, status=RefundStatus.PROCESSING, approved_by=event.by, approved_at=event.at
    )
    if refund.with_sign_off:
        _must_still_be_the_surplus(invoice, refund)
        going = _with(invoice, approved)
        return planning.signed(going, approved, by=refund.ordered_by, at=event.at)
    amounts = _affordable(invoice, refund.amounts)
    _refuse_frozen(invoice, amounts)
    after = replace(_with(invoice, approved), status=S.REFUND_PROCESSING)
    sweeps = tuple(
        Leg("sweep", money, "", refund.refund_id) for money in _to_sweep(invoice, amounts)
    )
    plan = PlanMoves((*sweeps, *refund_legs(invoice, refund, amounts)))
    return after, (plan,) if sweeps else (plan, ReleaseMoves())


def _must_still_be_the_surplus(invoice: Invoice, refund: Refund) -> None:
    """Refuse where the money is not any more what was signed for when the surplus was ordered."""
    must_be_signable(invoice)
    if not is_cleared(invoice) or _key(resolution.to_return(invoice)) != _key(refund.amounts):
        _refuse(
            "surplus_changed",
            "the payment is not what it was when this was signed for, so another amount is too"
            " much; withdraw the refund, look at the invoice and sign again",
        )


def refund_withdrawn(invoice: Invoice, event: WithdrawRefund) -> Outcome:
    """Forget it; what the money is meanwhile decides where the invoice goes on."""
    refund = _open(invoice)
    after, effects = resumed(_without(invoice, refund, event), refund.returns_to, event)
    return after, (GiveUpMoves(), *effects)


def surplus_withdrawn(invoice: Invoice, event: WithdrawRefund) -> Outcome:
    """Keep the surplus that cannot go back; the payout beside it is nobody's to stop any more.

    Once the invoice is completed, another refund takes it to another address.
    """
    refund = invoice.open_refund
    if refund is None:
        _refuse("no_refund", "no surplus is on its way back to the customer")
    return _without(invoice, refund, event), (GiveUpMoves(frozenset({"partial_refund"})),)


def refund_swept(invoice: Invoice, event: Swept) -> Outcome:
    """The money to be returned is in the pool: it may leave."""
    return replace(invoice, settled=event.settled), (ReleaseMoves(),)


def refund_settled(invoice: Invoice, event: RefundSettled) -> Outcome:
    """The customer has the money; the invoice goes on with what is left of it."""
    refund = _open(invoice)
    after = with_refund_settled(invoice, event.settled, event.at)
    if _is_all_astray(invoice, refund.amounts):
        return resumed(after, refund.returns_to, event)
    if not reckoning.holdings(after) and not after.settled.paid_out:
        return replace(after, status=S.REFUNDED), ()
    if refund.returns_to.is_end or refund.returns_to is S.COMPLIANCE_DECLINED:
        return replace(after, status=refund.returns_to), ()
    return judged_anew(after, event)


def stray_screened(invoice: Invoice, event: StrayScreened) -> Outcome:
    """Keep what was found about money beside the payment; whoever approves its refund sees it."""
    return replace(invoice, stray_screening=event.screening), ()


def found_about(invoice: Invoice, amounts: tuple[Money, ...]) -> Screening | None:
    """The newest verdict about the money that a refund takes from; None where there is none yet."""
    if not _is_all_astray(invoice, amounts):
        return invoice.screening
    verdict = invoice.stray_screening
    covered = {} if verdict is None else dict(verdict.covers)
    return verdict if {money.asset.key for money in amounts} <= covered.keys() else None


def _open(invoice: Invoice) -> Refund:
    refund = invoice.open_refund
    assert refund is not None, "these statuses are only reached with an open refund"  # noqa: S101 - tells mypy
    return refund


def _with(invoice: Invoice, refund: Refund) -> Invoice:
    """The invoice with this refund in the place of its former self."""
    same = refund.refund_id
    refunds = tuple(refund if one.refund_id == same else one for one in invoice.refunds)
    return replace(invoice, refunds=refunds)


def _without(invoice: Invoice, refund: Refund, event: WithdrawRefund) -> Invoice:
    withdrawn = replace(
        refund, status=RefundStatus.WITHDRAWN, withdrawn_by=event.by, withdrawn_at=event.at
    )
    return _with(invoice, withdrawn)


def _affordable(invoice: Invoice, wanted: tuple[Money, ...]) -> tuple[Money, ...]:
    """What is to go back, which must be final and with us.

    Where nothing is named it is all of the payment that is; what strayed here beside it came from
    somebody else, so it goes back only where it is named.
    """
    came, held = reckoning.received(invoice), reckoning.holdings(invoice)
    astray = reckoning.astray(invoice)
    if not (came or astray):
        _refuse("budget", "no money is here for this invoice, so nothing to refund")
    if not held and not (wanted and astray):
        beside = (
            f"; {_words(astray)} came beside it, and can go back where it is named"
            if astray
            else ""
        )
        _refuse(
            "budget",
            f"{_words(came)} of the {_words(came)} received has already been paid out or sent back,"
            " so the payment can no longer be refunded from here; if the customer is to get money"
            f" back, send it from your own wallet{beside}",
        )
    if reckoning.to_return_astray(invoice, wanted) and len(wanted) > 1:
        sentence = "names several: what came beside the payment goes back one token at a time"
        raise Invalid.field("refund_token", sentence)
    firm = {money.asset: money.units for money in reckoning.refundable(invoice)}
    with_us = {money.asset: money.units for money in (*held, *astray)}
    most = f"what is left is {_words((*held, *astray))}"
    for money in wanted:
        if not money.units:
            raise Invalid.field("refund_amount", f"must be more than zero; {most}")
        if money.units > with_us.get(money.asset, 0):
            sentence = f"is more than is still here: you asked for {money}, and {most}"
            raise Invalid.field("refund_amount", sentence)
    certain = all(money.units <= firm.get(money.asset, 0) for money in wanted)
    all_certain = invoice.tally.settled and invoice.tally.final
    if not (certain if wanted else all_certain):
        sentence = "the payment is not yet final on chain; refund it in a few minutes"
        _refuse("finality", sentence)
    return wanted or held


def _is_all_astray(invoice: Invoice, amounts: tuple[Money, ...]) -> bool:
    """Whether nothing of the payment goes back, only what strayed here beside it."""
    aside = {a.asset for a in reckoning.to_return_astray(invoice, amounts)}
    return {money.asset for money in amounts} <= aside


def _leaves_nothing(invoice: Invoice, amounts: tuple[Money, ...]) -> bool:
    """Whether all of the payment has gone back once this has, so that the invoice is refunded."""
    return not invoice.settled.paid_out and _key(amounts) == _key(reckoning.holdings(invoice))


def _to_sweep(invoice: Invoice, amounts: tuple[Money, ...]) -> tuple[Money, ...]:
    """What has to come to the pool first: of each asset of which too little is there or held."""
    short = {
        money.asset
        for money in amounts
        if money.units - from_hold_units(invoice, money) > reckoning.in_pool(invoice, money.asset)
    }
    lying = (*reckoning.unswept(invoice), *reckoning.unswept_astray(invoice))
    # A sweep takes all that lies there, and parks for less than is asked: no more than is certain.
    loose = {a.asset: a.confirmed_units - a.final_units for a in invoice.tally.everything}
    return tuple(
        Money(max(money.units - loose[money.asset], 0), money.asset)
        for money in lying
        if money.asset in short
    )


def is_frozen(invoice: Invoice, amounts: tuple[Money, ...]) -> bool:
    """Whether some of it came from a sanctioned address, by what is known so far.

    It stays where it came while the hit counts (specs/aml.md 4.1: reject).
    """
    aside = {a.asset for a in reckoning.to_return_astray(invoice, amounts)}
    frozen = tuple(
        money
        for money in amounts
        if _is_sanctioned(invoice, money.asset, is_astray=money.asset in aside)
    )
    held = any(from_hold_units(invoice, money) for money in frozen)
    return held or bool(_to_sweep(invoice, frozen)) or _went_along(invoice, frozen, aside)


def _refuse_frozen(invoice: Invoice, amounts: tuple[Money, ...]) -> None:
    if is_frozen(invoice, amounts):
        _refuse(
            "sanctions_hit",
            "this money comes from a sanctioned address and is frozen where it lies;"
            " while that hit counts, sending it back is not allowed either",
        )


def _went_along(invoice: Invoice, frozen: tuple[Money, ...], aside: set[Asset]) -> bool:
    """Whether a sweep took the payment's frozen money to the pool, as it lies nowhere else.

    Where some lies at its address, that is what was found, and what is in the pool was clean.
    """
    elsewhere = reckoning.unswept(invoice) or reckoning.in_hold(invoice)
    return not elsewhere and any(money.asset not in aside for money in frozen)


def _is_sanctioned(invoice: Invoice, asset: Asset, *, is_astray: bool) -> bool:
    verdict = invoice.stray_screening if is_astray else invoice.screening
    # What it did not look at is looked at before it moves, and refused then if need be.
    return verdict is not None and verdict.sanctioned and asset.key in dict(verdict.covers)


def _refuse(rule: str, sentence: str) -> NoReturn:
    raise OutOfPlace(sentence, data={"rule": rule})


def _key(amounts: tuple[Money, ...]) -> list[tuple[str, int]]:
    return sorted((money.asset.key, money.units) for money in amounts)


def _words(amounts: tuple[Money, ...]) -> str:
    return " and ".join(map(str, amounts))
