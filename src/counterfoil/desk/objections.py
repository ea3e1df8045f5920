"""Why a movement that is ready must not be signed now, or not without a person.

Asked under the locks of its invoice and its wallet, and of the registered address that it goes to,
so none of these can change before the signature is kept (specs/reliability.md 1.3, points 7 and
10). What else is read is as it is just now: sanctions lists, and the organisation's rules.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from counterfoil.books import effects, ledger, lost, moves, screening, unexplained
from counterfoil.books.lost import LostSignature
from counterfoil.books.moves import EMPTYING, OUTGOING, MoveRow
from counterfoil.books.screening import ScreeningRun
from counterfoil.core import reckoning
from counterfoil.core.assets import known_asset
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.journal import LedgerAccount, hold_account
from counterfoil.core.money import Money
from counterfoil.core.rules import people_to_release
from counterfoil.core.tally import AssetTally
from counterfoil.db.pool import Tx
from counterfoil.desk import changed_tokens
from counterfoil.desk.desk import Desk
from counterfoil.desk.registered import barred

__all__ = [
    "LONG",
    "OUTGOING",
    "SHORT",
    "Objection",
    "gone_before",
    "objections",
    "over_budget",
    "pause_until",
]

_WITH_US: Final[tuple[LedgerAccount, ...]] = (
    "deposit",
    "child",
    "pool",
    "pool:coin",
    "hold",
    "hold:coin",
)

SHORT: Final = timedelta(minutes=1)
"""The longest pause before something is looked at again that costs nobody anything."""

LONG: Final = timedelta(minutes=15)
"""The same for what a node or the signer has to be asked about."""

_FIRST_PAUSE: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a movement stops. It parks for a person, or waits until a time and is tried again."""

    reason: str
    wait_until: datetime | None = None


def pause_until(now: datetime, since: datetime, longest: timedelta) -> datetime:
    """When to try again what has not gone on ``since`` then.

    The pause is as long as it has lasted so far, from a second to ``longest``: so pauses double,
    and no counter is kept.
    """
    return now + min(max(now - since, _FIRST_PAUSE), longest)


async def objections(
    desk: Desk, tx: Tx, ready: Sequence[MoveRow], held: Mapping[UUID, Invoice]
) -> dict[UUID, Objection]:
    """What stands against some of the movements, whose invoices the caller holds locked."""
    if not held:
        return {}
    org_id = ready[0].org_id
    newest = {
        (run.invoice_id, run.is_stray): run
        for is_stray in (False, True)
        for run in await screening.latest_of_invoices(tx, org_id, list(held), is_stray=is_stray)
    }
    under_way = await effects.waiting(tx, org_id, "screen", list(held))
    changed = await changed_tokens.held(tx, org_id)
    found = {}
    for move in ready:
        if move.invoice_id is None:
            continue
        invoice = held[move.invoice_id]
        run = newest.get((move.invoice_id, _is_astray(move, invoice)))
        reason = _unseen(move, invoice, under_way) or _uncleared(move, invoice, run)
        if reason is not None:
            until = pause_until(desk.clock.now(), move.updated_at, SHORT)
            found[move.move_id] = Objection(reason, until)
        elif bar := await barred(tx, move, desk.clock.now(), hold=True):
            found[move.move_id] = Objection(bar.reason, bar.until)
        elif stop := await _stops(tx, move):
            found[move.move_id] = Objection(stop)
        elif not_yet := (
            await _short_of_coin(tx, move)
            or await _may_land(tx, move)
            or await _unexplained(tx, move)
            or runs_something_else(move, changed)
        ):
            until = pause_until(desk.clock.now(), move.updated_at, SHORT)
            found[move.move_id] = Objection(not_yet, until)
    for invoice in held.values():
        if _is_asked_too_little(invoice, ready) and invoice.invoice_id not in under_way:
            await _ask(desk, tx, invoice)
    return found


def _unseen(move: MoveRow, invoice: Invoice, under_way: frozenset[UUID]) -> str | None:
    """Why screening does not yet know the money that would move.

    A sweep takes all that lies at the address, so all of that must be final and screened, and so
    must all that came in of what is refunded. What is paid out was swept before; it waits only for
    what the sweep took along unscreened. Later money stays at the address, and must not let a
    stranger stop a payout. The hold wallet is where money waits for its screening as well as
    anywhere.
    """
    if move.purpose in EMPTYING and not _is_firm(move, invoice):
        return "more money is on its way to this address and not final yet"
    if move.purpose == "quarantine" or _is_screened(move, invoice):
        return None
    if move.purpose in _NEEDS_ALL_SCREENED or invoice.invoice_id in under_way:
        return "what has come in is not wholly screened yet"
    return None


_NEEDS_ALL_SCREENED: Final = frozenset({"sweep", "refund", "partial_refund"})


def _is_firm(move: MoveRow, invoice: Invoice) -> bool:
    """Whether nothing of what a movement takes from can still come or go."""
    own = all(a.seen_units == a.final_units for a in _beside(move, invoice))
    return own and (_is_astray(move, invoice) or (invoice.tally.settled and invoice.tally.final))


def _is_astray(move: MoveRow, invoice: Invoice) -> bool:
    """Whether it takes what strayed here beside the payment."""
    return bool(_beside(move, invoice))


def _beside(move: MoveRow, invoice: Invoice) -> list[AssetTally]:
    """What came of a movement's asset beside the payment; empty where it is of the payment."""
    asset = known_asset(move.chain, move.contract)
    return [a for a in invoice.tally.aside if a.asset == asset]


def _is_screened(move: MoveRow, invoice: Invoice) -> bool:
    asset = known_asset(move.chain, move.contract)
    return asset is not None and reckoning.is_screened(invoice, (Money(move.amount_units, asset),))


def _is_asked_too_little(invoice: Invoice, ready: Sequence[MoveRow]) -> bool:
    """Whether a movement waits for a screening, which the lifecycle may not have asked for.

    Money that came while a refund was being decided on was noted only.
    """
    return any(
        m.purpose in _NEEDS_ALL_SCREENED and _is_firm(m, invoice) and not _is_screened(m, invoice)
        for m in ready
        if m.invoice_id == invoice.invoice_id
    )


async def _ask(desk: Desk, tx: Tx, invoice: Invoice) -> None:
    now = desk.clock.now()
    asked = effects.NewEffect(
        org_id=invoice.org_id,
        effect_id=desk.ids.new(),
        kind="screen",
        invoice_id=invoice.invoice_id,
        due_at=now,
        created_at=now,
    )
    await effects.add_all(tx, [asked])


def _uncleared(move: MoveRow, invoice: Invoice, run: ScreeningRun | None) -> str | None:
    """Why screening forbids the money to go on; to the hold wallet it goes for that very reason.

    A refund is how held money leaves. Who approved it knew what had been found until then, but
    nothing that was found later.
    """
    if move.purpose == "quarantine":
        return None
    if run is None:
        return "this money was never screened"
    refund = invoice.open_refund if invoice.status is Status.REFUND_PROCESSING else None
    approved_at = None if refund is None else refund.approved_at
    if approved_at is not None and run.created_at <= approved_at:
        return None
    if run.decision == "clear" or _is_released(invoice, run):
        return None
    return f"screening {run.run_id} says {run.decision}, and nobody has released it"


def _is_released(invoice: Invoice, run: ScreeningRun) -> bool:
    """Whether people released this very verdict; a newer one takes their word back."""
    return (
        invoice.screening is not None
        and invoice.screening.run_id == run.run_id
        and len(invoice.releases) >= people_to_release(invoice)
    )


async def _stops(tx: Tx, move: MoveRow) -> str | None:
    """Why a movement must not be made before a person has looked at it."""
    return (
        await _has_landed(tx, move) or await over_budget(tx, move) or await _not_in_hold(tx, move)
    )


async def _not_in_hold(tx: Tx, move: MoveRow) -> str | None:
    """Why a movement would take what others have in the hold wallet, which is one heap."""
    asset = known_asset(move.chain, move.contract)
    if not move.from_hold or asset is None:
        return None
    account, where = hold_account(asset), (move.chain, move.contract)
    held = await ledger.balance(tx, move.org_id, account, *where, invoice_id=move.invoice_id)
    if move.amount_units <= held:
        return None
    return (
        f"{move.amount_units} base units are to leave the hold wallet, but only {held} of what came"
        " in for this invoice are there"
    )


async def gone_before(tx: Tx, move: MoveRow) -> str | None:
    """Why a movement's money has left, or may still, with another one that was given up."""
    return await _has_landed(tx, move) or await _may_land(tx, move)


async def _has_landed(tx: Tx, move: MoveRow) -> str | None:
    """Why the books may count money as here that a lost signature has moved after all."""
    for one in await _lost(tx, move):
        if one.ended == "landed" and (move.purpose in OUTGOING or move.from_hold):
            return (
                f"a movement of this money was given up, and its lost signature with nonce"
                f" {one.nonce} of {one.wallet} landed after all; look at the chain"
            )
    return None


async def _may_land(tx: Tx, move: MoveRow) -> str | None:
    """Why the same money could leave twice: somebody may still have bytes that we never kept."""
    for one in await _lost(tx, move):
        if one.ended is None:
            return (
                f"a movement of this money was given up, but its lost signature with nonce"
                f" {one.nonce} of {one.wallet} may still land; waiting until that nonce is used up"
            )
    return None


async def _unexplained(tx: Tx, move: MoveRow) -> str | None:
    """Why a sweep would take along what may be somebody's payment that no list tells of."""
    if move.purpose not in EMPTYING or move.invoice_id is None:
        return None
    where = (move.chain, move.contract)
    if not await unexplained.is_open(tx, move.org_id, move.invoice_id, *where):
        return None
    return (
        "its address holds more than is on record; waiting until a node tells what came, or"
        " somebody dismisses it with counterfoil balance dismiss"
    )


def runs_something_else(move: MoveRow, changed: frozenset[tuple[str, str]]) -> str | None:
    """Why a movement would call what nobody of the organisation has looked at, if it would.

    ``changed`` are the chain and contract of such tokens, as `changed_tokens.held` has them.
    """
    if (move.chain, move.contract) not in changed:
        return None
    asset = known_asset(move.chain, move.contract)
    token = move.contract if asset is None else asset.symbol
    return (
        f"{token} on {move.chain} was changed by its issuer; waiting until somebody who may sign"
        " has looked at it, in Studio"
    )


async def _lost(tx: Tx, move: MoveRow) -> list[LostSignature]:
    if move.invoice_id is None:
        return []
    where = (move.chain, move.contract)
    found = await lost.of_given_up(tx, move.org_id, move.invoice_id, *where)
    if move.purpose != "restore":
        return found
    # The signer would give it a second nonce, and both could take from the hold wallet.
    own = await lost.of_move(tx, move.org_id, move.move_id)
    return [*found, *(one for one in own if one.ended in {None, "landed"})]


@dataclass(frozen=True, slots=True)
class Budget:
    """What is still to leave for an invoice, and what of its money is with us, of one asset.

    ``token_fee_units`` is what the token kept of it so far, or sent elsewhere.
    """

    outgoing_units: int
    with_us_units: int
    token_fee_units: int

    @property
    def over_units(self) -> int:
        """How much more is to leave than is here; zero where it is enough."""
        return max(self.outgoing_units - self.with_us_units, 0)

    @property
    def is_over_by_fees(self) -> bool:
        """Whether it is not enough, and what the token kept explains all that is missing."""
        return 0 < self.over_units <= self.token_fee_units


async def over_budget(tx: Tx, move: MoveRow) -> str | None:
    """Why the invoice's payouts and refunds together are more than what came in for it.

    All its money is on the way from the deposit address through the pool to outside. So what
    is still to leave may not exceed what the ledger has of it with us; that is the same as
    counting everything out against everything in (specs/reliability.md 1.3, point 7).
    """
    if move.purpose not in OUTGOING or move.invoice_id is None:
        return None
    budget = await budget_of(tx, move)
    if not budget.over_units:
        return None
    outgoing_units, with_us_units = budget.outgoing_units, budget.with_us_units
    if budget.is_over_by_fees:
        return (
            f"less is here, as its token kept {budget.token_fee_units} on the way:"
            f" {outgoing_units} base units are to leave for this invoice, but only"
            f" {with_us_units} of what came in for it are with us"
        )
    return (
        f"over budget: {outgoing_units} base units are to leave for this invoice, but only"
        f" {with_us_units} of what came in for it are with us"
    )


async def budget_of(tx: Tx, move: MoveRow) -> Budget:
    """The budget that an outgoing movement shares with the others of its invoice and asset."""
    if move.invoice_id is None:
        return Budget(0, 0, 0)
    where = (move.chain, move.contract)
    outgoing_units = await moves.open_outgoing_units(tx, move.org_id, move.invoice_id, *where)
    with_us_units = 0
    for account in _WITH_US:
        if account == "child" and not move.contract:
            continue  # A child's native coin is gas money that we gave it.
        with_us_units += await ledger.balance(
            tx, move.org_id, account, *where, invoice_id=move.invoice_id
        )
    fee_units = await ledger.balance(
        tx, move.org_id, "outside:token", *where, invoice_id=move.invoice_id
    )
    return Budget(outgoing_units, with_us_units, fee_units)


async def _short_of_coin(tx: Tx, move: MoveRow) -> str | None:
    """Why a payment in native coin would be taken out of the pool wallet's gas money.

    A token's contract refuses what the pool does not have; the coin is one heap on the wallet.
    """
    if move.purpose not in OUTGOING or move.contract or move.from_hold:
        return None
    swept_wei = await ledger.balance(tx, move.org_id, "pool:coin", move.chain, "")
    promised_wei = await moves.signed_units(tx, move.org_id, move.chain, "", OUTGOING)
    if move.amount_units <= swept_wei - promised_wei:
        return None
    return (
        f"the pool has {swept_wei - promised_wei} wei of customers' coin by the books,"
        f" {move.amount_units} are to leave"
    )
