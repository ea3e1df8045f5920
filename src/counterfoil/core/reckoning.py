"""Transfers against what is due: the tally, and what it amounts to.

Everything is computed anew from all transfers each time; nothing is patched.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from functools import lru_cache
from math import ceil, prod
from typing import Final

from counterfoil.core.invoice import Context, Invoice, PaymentRequest, Policy, Status
from counterfoil.core.money import Asset, Money
from counterfoil.core.tally import AssetTally, Tally
from counterfoil.core.values import replace


class Depth(IntEnum):
    """How settled a transfer is on its chain (specs/chains.md 6.3)."""

    ORPHANED = 0
    SEEN = 1
    SAFE = 2
    FINAL = 3


@dataclass(frozen=True, slots=True)
class Received:
    """One transfer to an invoice's address.

    ``arrived_at`` is when it was first seen or its block's time, whichever is earlier:
    a payer is not late because we were slow (specs/reliability.md 1.5).
    """

    asset: Asset
    amount_units: int
    payer: str
    depth: Depth
    arrived_at: datetime


def tally(
    requests: Sequence[PaymentRequest],
    transfers: Iterable[Received],
    policy: Policy,
    taken_assets: Collection[str] = (),
) -> Tally:
    """Add up all transfers to one invoice: the totals so far, per accepted asset.

    ``taken_assets`` are the invoice's: keys of what it did not ask for and somebody signed for.
    That and what strayed here confirm at ``finalized`` only: there is no hurry to send it back.
    """
    live = [
        t
        for t in transfers
        if t.depth is not Depth.ORPHANED and not is_dust(t.asset, t.amount_units, policy)
    ]
    if not live:
        return Tally()
    due = {r.asset.key for r in requests}
    counted: list[Received] = []
    taken: list[Received] = []
    stray: list[Received] = []
    for transfer in live:
        key = transfer.asset.key
        (counted if key in due else taken if key in taken_assets else stray).append(transfer)
    held = [r.asset for r in requests if any(t.asset == r.asset for t in counted)]
    return Tally(
        assets=_totals(held, counted, _confirming_depth(requests, counted, policy)),
        payers=tuple(sorted({t.payer for t in (*counted, *taken) or stray})),
        paid_at=_last_of(taken) or _paid_at(requests, counted, policy) or _last_of(stray),
        stray=_totals(_assets_of(stray), stray, Depth.FINAL),
        stray_payers=tuple(sorted({(t.asset.key, t.payer) for t in stray})),
        taken=_totals(_assets_of(taken), taken, Depth.FINAL),
    )


def take(invoice: Invoice) -> Invoice:
    """The invoice with what came instead of its payment as its money from here on.

    Else a cent of what it asks for would put what was signed for beside the payment.
    """
    now = invoice.tally
    if not now.instead:
        return invoice
    return replace(
        invoice,
        taken_assets=tuple(a.asset.key for a in now.instead),
        tally=replace(now, taken=now.instead, stray=(), stray_payers=()),
    )


def _assets_of(transfers: Iterable[Received]) -> list[Asset]:
    return sorted({t.asset for t in transfers}, key=lambda asset: asset.key)


def _totals(
    assets: Iterable[Asset], transfers: Sequence[Received], enough: Depth
) -> tuple[AssetTally, ...]:
    found = []
    for asset in assets:
        seen = confirmed = final = 0
        for transfer in transfers:
            if transfer.depth < Depth.SEEN or transfer.asset != asset:
                continue
            units = transfer.amount_units
            seen += units
            confirmed += units if transfer.depth >= enough else 0
            final += units if transfer.depth >= Depth.FINAL else 0
        found.append(AssetTally(asset, seen, confirmed, final))
    return tuple(found)


def is_dust(asset: Asset, amount_units: int, policy: Policy) -> bool:
    """Whether a transfer is too small to count as somebody paying."""
    return amount_units < _least_units(policy.dust_below, asset.decimals, _weight(asset))


@lru_cache(maxsize=64)
def _least_units(dust_below: Decimal, decimals: int, weight: int) -> int:
    """The smallest amount that is not dust: every transfer is asked, again with each that follows.

    ``weight`` is what a whole coin counts for in dollars.
    """
    one_coin: int = 10**decimals
    return ceil(Fraction(dust_below) * one_coin / weight)


COIN_DOLLARS: Final = 1_000
"""What a chain's own coin counts for where dust is told from money and the larger from the smaller.
Nothing is priced or let through by it, so it need not follow the market."""


def rough_dollars(asset: Asset, amount_units: int) -> Fraction:
    """The size of an amount: a stablecoin is a dollar, a chain's own coin `COIN_DOLLARS`."""
    return Fraction(amount_units * _weight(asset), 10**asset.decimals)


def _weight(asset: Asset) -> int:
    return COIN_DOLLARS if asset.is_native else 1


_TWD_IN_DOLLAR_AT_LEAST: Final = 20
"""Fewer than a dollar has ever cost, so that money counts for more rather than for less."""


_Ratio = tuple[int, int]
"""A numerator over a denominator: reducing it each time takes longer than all else here."""


def _dollars(request: PaymentRequest, amount_units: int) -> _Ratio | None:
    """What an amount is worth by the invoice's own quote, never less; None where none tells.

    A stablecoin counts as a dollar.
    """
    asset, quote = request.asset, request.quote
    one_coin: int = 10**asset.decimals
    if not asset.is_native:
        return amount_units, one_coin
    if quote is None or quote.base != asset.symbol:
        return None
    price, of = (quote.market or quote.rate).as_integer_ratio()
    least = {"USD": 1, "TWD": _TWD_IN_DOLLAR_AT_LEAST}.get(quote.quote)
    return None if least is None else (amount_units * price, one_coin * of * least)


def is_worth_less(invoice: Invoice, amounts: Iterable[Money], dollars: int) -> bool:
    """Whether money that came for an invoice is worth less, by its own quote; unknown is not."""
    requests = {request.asset: request for request in invoice.requests}
    worth = Fraction(0)
    for money in amounts:
        request = requests.get(money.asset)
        told = None if request is None else _dollars(request, money.units)
        if told is None:
            return False
        worth += Fraction(*told)
    return worth < dollars


def _confirming_depth(
    requests: Sequence[PaymentRequest], counted: Sequence[Received], policy: Policy
) -> Depth:
    """Small payments confirm at ``safe`` where the policy lets them; unknown worth is not small."""
    worth, of = 0, 1
    for request in requests:
        units = sum(t.amount_units for t in counted if t.asset == request.asset)
        if not units:
            continue
        dollars = _dollars(request, units)
        if dollars is None or not policy.confirms_soon_on(request.asset.chain):
            return Depth.FINAL
        worth, of = worth * dollars[1] + dollars[0] * of, of * dollars[1]
    return Depth.SAFE if worth < policy.confirm_soft_below_usd * of else Depth.FINAL


def _paid_at(
    requests: Sequence[PaymentRequest], counted: Sequence[Received], policy: Policy
) -> datetime | None:
    """When enough had come; the shares of several assets are added over one denominator."""
    whole = prod(r.due_units for r in requests)
    weights = {r.asset.key: whole // r.due_units for r in requests}
    enough, of = policy.underpay_ratio.as_integer_ratio()
    paid = 0
    arrived = None
    for transfer in sorted(counted, key=lambda t: t.arrived_at):
        paid += transfer.amount_units * weights[transfer.asset.key]
        arrived = transfer.arrived_at
        if paid * of >= enough * whole:
            break
    return arrived


def _last_of(transfers: Iterable[Received]) -> datetime | None:
    """What is not asked for has no amount to be complete with."""
    return max((t.arrived_at for t in transfers), default=None)


def coverage(invoice: Invoice) -> Fraction:
    """Which share of the amount due is confirmed and was not sent back; 1 is exactly paid.

    Never rounded.
    """
    due = {r.asset.key: r.due_units for r in invoice.requests}
    shares = [Fraction(_kept_units(invoice, a), due[a.asset.key]) for a in invoice.tally.assets]
    return shares[0] if len(shares) == 1 else sum(shares, start=Fraction(0))


def judge(invoice: Invoice) -> Context:
    """What is particular about the confirmed money; the gravest finding wins."""
    return next(iter(findings(invoice)), Context.EXACT)


def findings(invoice: Invoice) -> tuple[Context, ...]:
    """Everything that is particular about the confirmed money, the gravest first."""
    share, policy = coverage(invoice), invoice.policy
    found = []
    if invoice.tally.taken or invoice.tally.instead:
        found.append(Context.WRONG_ASSET)
    elif share < _fraction(policy.underpay_ratio):
        found.append(Context.UNDERPAID)
    if late_by(invoice):
        found.append(Context.PAID_LATE)
    if policy.several_payers == "resolve" and len(invoice.tally.payers) > 1:
        found.append(Context.MULTIPLE_PAYERS)
    if share > _fraction(policy.overpay_ratio):
        found.append(Context.OVERPAID)
    return tuple(found)


@lru_cache(maxsize=64)
def _fraction(ratio: Decimal) -> Fraction:
    """A policy's number: few of them, read with every payment."""
    return Fraction(ratio)


def late_by(invoice: Invoice) -> timedelta:
    """How long after the deadline it was paid; zero for what came in time."""
    paid_at = invoice.tally.paid_at or invoice.deadline_at
    return max(paid_at - invoice.deadline_at, timedelta(0))


def is_over(invoice: Invoice, now: datetime) -> bool:
    """Whether the time to pay is over; what comes from then on is late."""
    return now >= invoice.deadline_at


def missing(invoice: Invoice) -> tuple[Money, ...]:
    """What would complete the payment, in any one of these assets; rounded up."""
    share = 1 - coverage(invoice)
    if share <= 0:
        return ()
    return tuple(Money(ceil(share * r.due_units), r.asset) for r in invoice.requests)


def still_due(invoice: Invoice) -> tuple[Money, ...]:
    """What the payer would still have to send, in any one of these assets; rounded up.

    Unlike `missing` it counts what is merely seen, and asks for nothing within the tolerance.
    """
    share = _unsent_share(invoice)
    return tuple(Money(ceil(share * r.due_units), r.asset) for r in invoice.requests if share)


_OWED: Final = frozenset(
    {
        Status.AWAITING_PAYMENT,
        Status.PAYMENT_DETECTED,
        Status.RESOLUTION_REQUIRED,
        Status.EXPIRED,
    }
)


def owed(invoice: Invoice) -> Fraction:
    """Which share of its price the customer owes: all of it while nothing came, later the rest.

    Nothing before it can be paid, once somebody took what came or sends it back, and while it is
    looked at. The deadline does not matter: whoever did not pay in time owes it still.
    """
    short = invoice.context in {Context.UNDERPAID, Context.WRONG_ASSET}
    if invoice.status is Status.RESOLUTION_REQUIRED and not short:
        return Fraction(0)
    asked = invoice.status in _OWED and not is_partly_returned(invoice)
    return _unsent_share(invoice) if asked else Fraction(0)


def _unsent_share(invoice: Invoice) -> Fraction:
    """Which share of what is due was not even seen, or went back; none within the tolerance."""
    due = {r.asset.key: r.due_units for r in invoice.requests}
    returned_units = invoice.settled.returned_units
    share = sum(
        (
            Fraction(max(a.seen_units - returned_units(a.asset), 0), due[a.asset.key])
            for a in invoice.tally.assets
        ),
        start=Fraction(0),
    )
    return Fraction(0) if share >= _fraction(invoice.policy.underpay_ratio) else 1 - share


def surplus(invoice: Invoice) -> tuple[Money, ...]:
    """What came in above the amount due, to be returned when the invoice is signed for.

    Rounded down, taken from the asset that has most of it to give, and from the next only where
    that one has no more; empty when within tolerance.
    """
    left = coverage(invoice)
    if left <= _fraction(invoice.policy.overpay_ratio):
        return ()
    left -= 1
    due = {r.asset.key: r.due_units for r in invoice.requests}
    kept = [(_kept_units(invoice, a), a.asset) for a in invoice.tally.assets]
    found = []
    for kept_units, asset in sorted(
        kept, key=lambda k: Fraction(k[0], due[k[1].key]), reverse=True
    ):
        units = min(int(left * due[asset.key]), kept_units)
        found.append((units, asset))
        left -= Fraction(units, due[asset.key])
        if units < kept_units:
            break
    return _some(found)


def received(invoice: Invoice) -> tuple[Money, ...]:
    """All the money that came in and is confirmed, per asset."""
    return _some((a.confirmed_units, a.asset) for a in invoice.tally.money)


def holdings(invoice: Invoice) -> tuple[Money, ...]:
    """The confirmed money that is still with us, per asset: not paid out, sent back or lost."""
    return _some((_with_us_units(invoice, a), a.asset) for a in invoice.tally.money)


def paid_out(invoice: Invoice) -> tuple[Money, ...]:
    """What the merchant has been paid, per asset, once that is final."""
    return _some((invoice.settled.paid_out_units(a.asset), a.asset) for a in invoice.tally.money)


def returned(invoice: Invoice) -> tuple[Money, ...]:
    """What went back to whoever had sent it, per asset, once that is final."""
    return _some((invoice.settled.returned_units(a.asset), a.asset) for a in invoice.tally.money)


def token_fees(invoice: Invoice) -> tuple[Money, ...]:
    """What tokens kept for themselves while the money was moved, per asset, once that is final."""
    fee_units = invoice.settled.token_fee_units
    return _some((fee_units(a.asset), a.asset) for a in invoice.tally.money)


def is_partly_returned(invoice: Invoice) -> bool:
    """Whether some of what was paid went back; not what strayed in beside it."""
    return any(invoice.settled.returned_units(a.asset) for a in invoice.tally.assets)


def shortfall(invoice: Invoice) -> tuple[Money, ...]:
    """What was never paid of the amount due, in any one of these assets; rounded up.

    Empty within the tolerance, and where other tokens came instead. What was sent back later had
    been paid.
    """
    if invoice.tally.taken or not invoice.tally.assets:
        return ()
    due = {r.asset.key: r.due_units for r in invoice.requests}
    share = sum(
        (Fraction(a.confirmed_units, due[a.asset.key]) for a in invoice.tally.assets),
        start=Fraction(0),
    )
    if share >= _fraction(invoice.policy.underpay_ratio):
        return ()
    return tuple(Money(ceil((1 - share) * r.due_units), r.asset) for r in invoice.requests)


def astray(invoice: Invoice) -> tuple[Money, ...]:
    """What strayed here beside the payment and is still with us, per asset."""
    return _some((_with_us_units(invoice, a), a.asset) for a in invoice.tally.aside)


def came_after(invoice: Invoice) -> tuple[Money, ...]:
    """The confirmed money that no step is left for where an invoice has ended, per asset.

    It came later, or a refund of it was called off on its way, and it stays until a signer orders
    one. What was signed for and stays in the pool is not part of it; empty before the end.
    """
    if not invoice.status.is_end:
        return ()
    stays_in_pool = invoice.status is Status.COMPLETED and not invoice.payout_to
    return (*(unswept if stays_in_pool else holdings)(invoice), *astray(invoice))


def refundable(invoice: Invoice) -> tuple[Money, ...]:
    """What can be sent back, per asset: still with us, and beyond any reorganisation.

    Also what strayed here beside the payment.
    """
    return _some(
        (_with_us_units(invoice, a) - (a.confirmed_units - a.final_units), a.asset)
        for a in invoice.tally.everything
    )


def to_return_astray(invoice: Invoice, amounts: Iterable[Money]) -> tuple[AssetTally, ...]:
    """What strayed here beside the payment of the assets that a refund takes from."""
    named = {money.asset for money in amounts}
    return tuple(a for a in invoice.tally.aside if a.asset in named)


def is_screened(invoice: Invoice, amounts: Iterable[Money]) -> bool:
    """Whether all that came in of these assets was screened, whatever was found.

    The payment is screened as a whole, what strayed here beside it asset by asset.
    """
    amounts = tuple(amounts)
    aside = to_return_astray(invoice, amounts)
    verdict = invoice.screening
    looked_at = verdict is not None and verdict.covers_all(invoice.tally)
    return all(_is_stray_screened(invoice, a) for a in aside) and (
        looked_at or {money.asset for money in amounts} <= {a.asset for a in aside}
    )


def _is_stray_screened(invoice: Invoice, tally: AssetTally) -> bool:
    verdict, key = invoice.stray_screening, tally.asset.key
    payers = {payer for stray, payer in invoice.tally.stray_payers if stray == key}
    return (
        verdict is not None
        and dict(verdict.covers).get(key) == tally.confirmed_units
        and payers <= set(verdict.payers)
    )


def in_pool(invoice: Invoice, asset: Asset) -> int:
    """What of an asset lies in the pool wallet."""
    settled = invoice.settled
    left_units = settled.paid_out_units(asset) + settled.returned_units(asset)
    elsewhere_units = settled.in_hold_units(asset) + settled.token_fee_units(asset)
    return settled.swept_units(asset) - left_units - elsewhere_units


def in_hold(invoice: Invoice) -> tuple[Money, ...]:
    """What lies in the hold wallet, per asset."""
    return _some((invoice.settled.in_hold_units(a.asset), a.asset) for a in invoice.tally.money)


def unswept(invoice: Invoice) -> tuple[Money, ...]:
    """The confirmed money that still lies at the deposit address, per asset."""
    return _unswept(invoice, invoice.tally.money)


def unswept_astray(invoice: Invoice) -> tuple[Money, ...]:
    """The same of what strayed here beside it."""
    return _unswept(invoice, invoice.tally.aside)


def _unswept(invoice: Invoice, tallies: Iterable[AssetTally]) -> tuple[Money, ...]:
    swept_units = invoice.settled.swept_units
    return _some((a.confirmed_units - swept_units(a.asset), a.asset) for a in tallies)


def _kept_units(invoice: Invoice, tally: AssetTally) -> int:
    """What is confirmed of an asset and was not sent back."""
    return max(tally.confirmed_units - invoice.settled.returned_units(tally.asset), 0)


def _with_us_units(invoice: Invoice, tally: AssetTally) -> int:
    """What is confirmed of an asset and was not sent back, paid out, or kept by its token."""
    settled, asset = invoice.settled, tally.asset
    gone_units = settled.paid_out_units(asset) + settled.token_fee_units(asset)
    return _kept_units(invoice, tally) - gone_units


def _some(parts: Iterable[tuple[int, Asset]]) -> tuple[Money, ...]:
    return tuple(Money(units, asset) for units, asset in parts if units > 0)
