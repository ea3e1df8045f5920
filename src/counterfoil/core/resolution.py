"""What can be done about a payment that is particular, and what rules choose by themselves.

A choice is made by a person, or by a rule of the invoice's own policy. No rule sends money back:
somebody signs for it. Where a surplus would go is for people to say (specs/lifecycle.md D.2), if no
rule says that it goes back to where all of the money came from.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Final

from counterfoil.core import reckoning
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import OutOfPlace
from counterfoil.core.invoice import Context, Invoice, PaymentRequest, Status
from counterfoil.core.money import Money, plain_text
from counterfoil.core.values import replace


class Choice(StrEnum):
    """What can be done about it."""

    ACCEPT = "accept"
    """Take it as it is, and all of it."""
    RECALCULATE = "recalculate"
    """Price the invoice at the current rate, and judge what came against that.

    Where the time to pay is over and a part is missing, a new deadline may go with it; then it is
    open without any rate as well, at the same price.
    """
    REFUND_SURPLUS = "refund_surplus"
    """Sign for what is due; the rest goes back with the same signature."""
    REFUND_ALL = "refund_all"
    """Send everything back; a second person approves."""
    WAIT = "wait"
    """Let the customer pay the rest; nothing is to be done."""


_OF_CONTEXT: Final[Mapping[Context, tuple[Choice, ...]]] = {
    Context.UNDERPAID: (Choice.ACCEPT, Choice.RECALCULATE, Choice.REFUND_ALL, Choice.WAIT),
    Context.OVERPAID: (Choice.ACCEPT, Choice.REFUND_SURPLUS, Choice.REFUND_ALL),
    Context.PAID_LATE: (
        Choice.ACCEPT,
        Choice.RECALCULATE,
        Choice.REFUND_SURPLUS,
        Choice.REFUND_ALL,
    ),
    Context.MULTIPLE_PAYERS: (Choice.ACCEPT, Choice.REFUND_SURPLUS, Choice.REFUND_ALL),
    Context.WRONG_ASSET: (Choice.ACCEPT, Choice.REFUND_ALL),
}


@dataclass(frozen=True, slots=True)
class ByRule:
    """What a rule chooses, and which rule, in words for the log."""

    choice: Choice
    rule: str


def is_asked(invoice: Invoice) -> bool:
    """Whether something is to be chosen about the payment, at whatever time."""
    return invoice.context in _OF_CONTEXT and _is_open(invoice)


def choices(invoice: Invoice, now: datetime) -> tuple[Choice, ...]:
    """What can be chosen about the payment just now; empty where nothing waits for a choice."""
    if invoice.context is None or not is_asked(invoice):
        return ()
    senseless = {
        Choice.RECALCULATE: not (may_be_repriced(invoice) or lacks_time(invoice, now)),
        Choice.REFUND_SURPLUS: not reckoning.surplus(invoice),
        # Nobody pays what they are being given back, nor where they are told that it is too late.
        Choice.WAIT: reckoning.is_partly_returned(invoice) or reckoning.is_over(invoice, now),
        Choice.ACCEPT: not all(map(_is_payable, reckoning.received(invoice))),
    }
    return tuple(c for c in _OF_CONTEXT[invoice.context] if not senseless.get(c))


def may_be_repriced(invoice: Invoice) -> bool:
    """Whether the current rate can be chosen for what came."""
    possible = _OF_CONTEXT.get(invoice.context, ()) if invoice.context else ()
    undecided = invoice.status is Status.RESOLUTION_REQUIRED
    return undecided and Choice.RECALCULATE in possible and is_priced_by_rate(invoice)


def lacks_time(invoice: Invoice, now: datetime) -> bool:
    """Whether a part is missing that nobody is asked for any more, as the time to pay is over."""
    return (
        (invoice.status, invoice.context) == (Status.RESOLUTION_REQUIRED, Context.UNDERPAID)
        and reckoning.is_over(invoice, now)
        and not reckoning.is_partly_returned(invoice)
    )


def must_be_open(invoice: Invoice, choice: Choice, now: datetime) -> None:
    """Refuse what is no way to deal with what is particular about this payment.

    Raises `OutOfPlace` naming what is.
    """
    possible = choices(invoice, now)
    if choice not in possible:
        named = ", ".join(possible) or "nothing, as nothing is left to choose"
        context = "unjudged" if invoice.context is None else invoice.context.value
        raise OutOfPlace(
            f"{choice} is no choice for a payment that is {context}; there is {named}",
            data={"rule": "choice", "choices": list(possible)},
        )


def must_change(invoice: Invoice, now: datetime, until: datetime | None) -> None:
    """Refuse to recalculate what would stay as it is: at the same price, without more time.

    Raises `OutOfPlace`.
    """
    needs_no_rate = not is_priced_by_rate(invoice)
    if is_asked(invoice) and needs_no_rate and not lacks_time(invoice, now):
        raise OutOfPlace(
            "this invoice is priced without a rate, so pricing it again would change nothing;"
            " accept the payment or send it back",
            data={"rule": "no_rate"},
        )
    must_be_open(invoice, Choice.RECALCULATE, now)
    if needs_no_rate and (until is None or until <= now):
        raise OutOfPlace(
            "this invoice is priced without a rate, so the same would be due; say how many hours"
            " the customer has for the rest, accept the payment or send it back",
            data={"rule": "no_time"},
        )


def suggested(invoice: Invoice, now: datetime) -> Choice | None:
    """What most merchants choose here; None where there is nothing to choose.

    Waiting is suggested only while the customer's page asks for the rest.
    """
    possible = choices(invoice, now)
    if not possible:
        return None
    if invoice.context is Context.UNDERPAID and reckoning.is_partly_returned(invoice):
        return Choice.REFUND_ALL
    forgives = Choice.ACCEPT in possible and _lacks_dust_alone(invoice)
    too_late = reckoning.late_by(invoice) or (lacks_time(invoice, now) and not forgives)
    if too_late and Choice.RECALCULATE in possible:
        return Choice.RECALCULATE
    if forgives:
        return Choice.ACCEPT
    for choice in (Choice.WAIT, Choice.REFUND_SURPLUS, Choice.ACCEPT):
        if choice in possible:
            return choice
    return Choice.REFUND_ALL


def _lacks_dust_alone(invoice: Invoice) -> bool:
    """Whether what is missing is so little that it would not count if it were sent."""
    lacking = reckoning.missing(invoice)
    return bool(lacking) and all(
        reckoning.is_dust(money.asset, money.units, invoice.policy) for money in lacking
    )


def by_rule(invoice: Invoice, repriced: Sequence[PaymentRequest] | None = None) -> ByRule | None:
    """What the invoice's own rules choose; None leaves it to people.

    Everything particular has to be covered by a rule: one that forgives lateness does not forgive
    a shortfall. ``repriced`` is the invoice at the current rate, where `wants_rate`.
    """
    if not is_asked(invoice):
        return None
    found = reckoning.findings(invoice)
    rules = [_ACCEPTING[finding](invoice) for finding in found if finding in _ACCEPTING]
    if found and len(rules) == len(found) and all(rules):
        return ByRule(Choice.ACCEPT, "; ".join(filter(None, rules)))
    home = home_by_rule(invoice)
    if home is not None and invoice.status is Status.RESOLUTION_REQUIRED:
        others = [f for f in found if f is not Context.OVERPAID]
        rules = [_ACCEPTING[f](invoice) if f in _ACCEPTING else None for f in others]
        if all(rules):
            return ByRule(Choice.REFUND_SURPLUS, "; ".join(filter(None, (*rules, home.rule))))
    if repriced is None or not wants_rate(invoice):
        return None
    least = invoice.policy.auto_recalculate_late_from
    if reckoning.coverage(replace(invoice, requests=tuple(repriced))) < Fraction(least):
        return None
    minutes = invoice.policy.auto_recalculate_late_minutes
    return ByRule(
        Choice.RECALCULATE,
        f"auto_recalculate_late_minutes={minutes}, auto_recalculate_late_from={plain_text(least)}",
    )


@dataclass(frozen=True, slots=True)
class Home:
    """The address that a surplus goes back to by a rule, and which rule."""

    address: str
    rule: str


def home_by_rule(invoice: Invoice) -> Home | None:
    """Where the surplus goes when somebody signs without naming an address; None: they have to.

    Only where one address sent all of the money, screening found it clear, and the surplus is worth
    less than the rule allows. Whether as much came from there is for `counterfoil.core.homeward`.
    """
    below, verdict = invoice.policy.auto_refund_surplus_below_usd, invoice.screening
    back = to_return(invoice)
    payers = [payer for payer in invoice.tally.payers if int(payer, 16)]
    if below is None or not back or verdict is None or verdict.decision != "clear":
        return None
    if len(payers) != len(invoice.tally.payers) or len(payers) != 1:
        return None
    if not reckoning.is_worth_less(invoice, back, below):
        return None
    return Home(payers[0], f"auto_refund_surplus_below_usd={below}")


def wants_rate(invoice: Invoice) -> bool:
    """Whether a rule may price the invoice anew, given the current rate."""
    most = invoice.policy.auto_recalculate_late_minutes
    late = reckoning.late_by(invoice)
    if most is None or not may_be_repriced(invoice):
        return False
    return timedelta(0) < late <= timedelta(minutes=most)


def is_priced_by_rate(invoice: Invoice) -> bool:
    """Whether another rate makes another amount due."""
    return any(request.quote is not None for request in invoice.requests)


def to_return(invoice: Invoice) -> tuple[Money, ...]:
    """The surplus that goes back when the invoice is signed for, unless somebody kept it."""
    return () if _is_taken_whole(invoice) else reckoning.surplus(invoice)


def kept(invoice: Invoice) -> tuple[Money, ...]:
    """The surplus that goes to the merchant with the rest, as somebody or a rule chose."""
    return reckoning.surplus(invoice) if _is_taken_whole(invoice) else ()


def _is_taken_whole(invoice: Invoice) -> bool:
    return invoice.resolution is not None and invoice.resolution.choice == "accept"


def _is_payable(money: Money) -> bool:
    """Whether merchants take it at all: the right token on another chain, but no bridged one."""
    chain = CHAINS[money.asset.chain]
    return money.asset in (*chain.accepted, chain.native)


def _is_open(invoice: Invoice) -> bool:
    if invoice.status is Status.RESOLUTION_REQUIRED:
        return True
    return invoice.status is Status.SIGN_PENDING and bool(to_return(invoice))


def _underpaid(invoice: Invoice) -> str | None:
    least = invoice.policy.auto_accept_underpaid_from
    if least is None or reckoning.coverage(invoice) < Fraction(least):
        return None
    return f"auto_accept_underpaid_from={plain_text(least)}"


def _overpaid(invoice: Invoice) -> str | None:
    most = invoice.policy.auto_accept_overpaid_to
    if most is None or reckoning.coverage(invoice) > Fraction(most):
        return None
    return f"auto_accept_overpaid_to={plain_text(most)}"


def _paid_late(invoice: Invoice) -> str | None:
    most = invoice.policy.auto_accept_late_minutes
    if most is None or reckoning.late_by(invoice) > timedelta(minutes=most):
        return None
    return f"auto_accept_late_minutes={most}"


def _several_payers(invoice: Invoice) -> str | None:
    return "auto_accept_several_payers" if invoice.policy.auto_accept_several_payers else None


_ACCEPTING: Final[Mapping[Context, Callable[[Invoice], str | None]]] = {
    Context.UNDERPAID: _underpaid,
    Context.OVERPAID: _overpaid,
    Context.PAID_LATE: _paid_late,
    Context.MULTIPLE_PAYERS: _several_payers,
}
