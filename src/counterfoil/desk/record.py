"""Writing down what was decided, all of it together or not at all.

Invoice, log, moves, effects and callback.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from counterfoil.books import audit, files, invoices, moves, outbox, transfers
from counterfoil.books.effects import NewEffect
from counterfoil.books.invoices import Changed
from counterfoil.books.moves import MoveRow
from counterfoil.books.transfers import TransferRow
from counterfoil.core.events import (
    ApproveRefund,
    Effect,
    Event,
    GiveUpMoves,
    Leg,
    PlanMoves,
    ReleaseMoves,
    Screen,
    SignOff,
)
from counterfoil.core.invoice import DepositMode, Invoice
from counterfoil.core.lifecycle import command_name
from counterfoil.core.planning import INWARD
from counterfoil.core.roles import Actor
from counterfoil.core.seal import GENESIS, LogEntry
from counterfoil.core.values import replace
from counterfoil.core.warrant import Warrant, seal_warrant
from counterfoil.db.pool import Tx
from counterfoil.db.rows import together
from counterfoil.desk.desk import Desk
from counterfoil.desk.metadata import Created, metadata
from counterfoil.desk.placing import by_address
from counterfoil.desk.sheet import Sheet
from counterfoil.desk.snapshot import snapshot


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside an invoice: read beforehand where many are written down in one go.

    ``seal`` is that of its last log entry. All of it is as it is now that the invoice is held.
    """

    seal: bytes | None
    received: Sequence[TransferRow]
    moves: Sequence[MoveRow]


async def beside(tx: Tx, org_id: int, held: Collection[Invoice]) -> dict[UUID, Beside]:
    """Read what stands beside each of these invoices, all of which the caller holds locked."""
    ids = [invoice.invoice_id for invoice in held]
    seals, received, every_move = await together(
        tx,
        audit.last_seals(tx, org_id, [(i.invoice_id, i.version) for i in held]),
        transfers.by_invoice(tx, org_id, ids),
        moves.of_invoices(tx, org_id, ids),
    )
    moved: defaultdict[UUID | None, list[MoveRow]] = defaultdict(list)
    for move in every_move:
        moved[move.invoice_id].append(move)
    return {one: Beside(seals.get(one), received[one], moved[one]) for one in ids}


async def opened(desk: Desk, tx: Tx, invoice: Invoice, by: Actor) -> Invoice:
    """Write down a new invoice as the first entry of its history."""
    first = replace(invoice, version=1)
    created = Created(at=invoice.created_at, by=by.uid)
    sheet = Sheet()
    sheet.enter(GENESIS, _entry(None, first, created, by))
    if _tells(desk, None, first):
        unpaid = Beside(None, (), ())
        sheet.events.append(_event(desk, None, first, unpaid, invoice.created_at))
    async with tx.pipeline():  # nothing here reads, so all of it is one trip to the server
        await invoices.insert(tx, first)
        await sheet.write(tx)
        await _share_files(tx, None, first)
    return first


async def record(  # noqa: PLR0913 - one decision, whole
    desk: Desk,
    tx: Tx,
    before: Invoice,
    after: Invoice,
    *,
    event: Event,
    by: Actor,
    todo: tuple[Effect, ...],
    known: Beside | None = None,
    sheet: Sheet | None = None,
) -> Invoice:
    """Write down what ``event`` made of an invoice, which the caller holds locked.

    With ``known`` it reads nothing, unless money moves. With ``sheet`` it is noted there, to be
    written with others, after what is noted there of the same invoice; where money moves it is
    written at once.
    """
    next_version = replace(after, version=before.version + 1)
    noted = Sheet() if sheet is None else sheet
    noted.change(Changed(before, next_version, event.at))
    previous = noted.last_seal(before.invoice_id) or await _seal(tx, before, known)
    noted.enter(previous, _entry(before, next_version, event, by))
    moving = [effect for effect in todo if not isinstance(effect, Screen)]
    if len(moving) < len(todo):
        noted.work.append(_screening(desk, next_version, event.at))
    await _share_files(tx, before, after)
    if moving:
        await noted.write(tx)
    for effect in moving:
        await _move(desk, tx, next_version, effect, event)
    if (before.status, before.context) != (after.status, after.context) and _tells(
        desk, before, next_version
    ):
        beside_it = await _beside(tx, next_version) if moving or known is None else known
        noted.events.append(_event(desk, before, next_version, beside_it, event.at))
    if sheet is None:
        await noted.write(tx)
    return next_version


async def _share_files(tx: Tx, before: Invoice | None, after: Invoice) -> None:
    """Let keys that are bound to the invoice's client id have what is attached from now on."""
    if before and before.document is after.document and before.refunds is after.refunds:
        return
    if attached := _attached(after) - _attached(before):
        await files.share(tx, after.org_id, after.client_id, attached)


def _attached(invoice: Invoice | None) -> set[UUID]:
    if invoice is None:
        return set()
    found = {one for refund in invoice.refunds for one in refund.attachment_file_ids}
    own = invoice.document.attachment_file_id
    return found if own is None else found | {own}


async def _seal(tx: Tx, before: Invoice, known: Beside | None) -> bytes:
    """That of the last entry, which the next one is sealed to."""
    if known is not None and known.seal is not None:
        return known.seal
    last = (before.invoice_id, before.version)
    return (await audit.last_seals(tx, before.org_id, [last])).get(before.invoice_id, GENESIS)


def _entry(before: Invoice | None, after: Invoice, event: Event, by: Actor) -> LogEntry:
    return LogEntry(
        org_id=after.org_id,
        invoice_id=after.invoice_id,
        sequence=after.version,
        from_status=None if before is None else before.status.value,
        to_status=after.status.value,
        event=command_name(type(event)),
        operator_uid=by.uid,
        reason=getattr(event, "reason", ""),
        metadata=metadata(event, before, after),
        request_id=by.request_id,
        at=event.at,
    )


def _screening(desk: Desk, invoice: Invoice, at: datetime) -> NewEffect:
    return NewEffect(
        org_id=invoice.org_id,
        effect_id=desk.ids.new(),
        kind="screen",
        invoice_id=invoice.invoice_id,
        due_at=at,
        created_at=at,
    )


async def _move(desk: Desk, tx: Tx, invoice: Invoice, effect: Effect, event: Event) -> None:
    match effect:
        case Screen():
            """Not about money that moves."""
        case PlanMoves():
            await moves.plan(
                tx,
                [
                    _planned(desk, invoice, leg, number, event, mode)
                    for number, (leg, mode) in _numbered(await by_address(tx, invoice, effect.legs))
                ],
            )
        case ReleaseMoves():
            await moves.release(tx, invoice.org_id, invoice.invoice_id, event.at)
        case GiveUpMoves(purposes):
            planned = await moves.of_invoices(tx, invoice.org_id, [invoice.invoice_id])
            # What was signed once may still land, parked or not: people have to look at it.
            never_signed = [
                move.move_id
                for move in planned
                if move.nonce is None and (purposes is None or move.purpose in purposes)
            ]
            await moves.give_up(tx, invoice.org_id, never_signed, event.at)


_Placed = tuple[Leg, DepositMode]
"""A leg, and how the address is kept that a sweep of it empties."""


def _numbered(legs: Sequence[_Placed]) -> list[tuple[int, _Placed]]:
    """Each leg with its number among those of its purpose.

    The first payout of an invoice is always its number 0, so that a second one cannot be planned.
    """
    counted: defaultdict[str, int] = defaultdict(int)
    found = []
    for leg, mode in legs:
        found.append((counted[leg.purpose], (leg, mode)))
        counted[leg.purpose] += 1
    return found


def _planned(  # noqa: PLR0913, PLR0917 - one movement, whole
    desk: Desk, invoice: Invoice, leg: Leg, number: int, event: Event, mode: DepositMode
) -> moves.NewMove:
    move_id = desk.ids.new()
    inward = leg.purpose in INWARD
    return moves.NewMove(
        org_id=invoice.org_id,
        move_id=move_id,
        purpose=leg.purpose,
        source_id=(leg.source_id or invoice.invoice_id).hex,
        leg=number,
        invoice_id=invoice.invoice_id,
        chain=leg.money.asset.chain,
        contract=leg.money.asset.contract,
        destination=leg.destination,
        amount_units=leg.money.units,
        status="ready" if inward else "waiting",
        approved_by=event.by,
        approved_at=event.at,
        warrant=None if inward else _warrant(desk, invoice.org_id, move_id, leg, event),
        created_at=event.at,
        deposit_mode=mode,
        from_hold=leg.from_hold,
    )


_APPROVING: Final = (SignOff, ApproveRefund)
"""By which somebody who may says that money leaves."""


def _warrant(desk: Desk, org_id: int, move_id: UUID, leg: Leg, event: Event) -> str | None:
    if desk.approval_key is None or not isinstance(event, _APPROVING):
        # A policy that signs for itself approves no money: whoever brought it about, a worker, an
        # officer who released what was held, has not. The payment parks, in sight, for a person.
        return None
    warrant = Warrant(
        org_id=org_id,
        move_id=str(move_id),
        purpose="payout" if leg.purpose == "payout" else "refund",
        chain=leg.money.asset.chain,
        contract=leg.money.asset.contract,
        destination=leg.destination,
        amount_units=leg.money.units,
        approved_by=event.by,
        approved_at=event.at,
        from_hold=leg.from_hold,
    )
    return seal_warrant(warrant, desk.approval_key)


def _tells(desk: Desk, before: Invoice | None, after: Invoice) -> bool:
    """Whether somebody wants to be told, and the dialect tells it."""
    was = None if before is None else (before.status, before.context)
    tells = desk.tells.get(after.dialect)
    return after.callback_url is not None and (
        tells is None or tells(was, (after.status, after.context))
    )


async def _beside(tx: Tx, invoice: Invoice) -> Beside:
    ids = [invoice.invoice_id]
    received = await transfers.of_invoices(tx, invoice.org_id, ids)
    return Beside(None, received, await moves.of_invoices(tx, invoice.org_id, ids))


def _event(
    desk: Desk, before: Invoice | None, after: Invoice, known: Beside, at: datetime
) -> outbox.NewOutboxEvent:
    return outbox.NewOutboxEvent(
        org_id=after.org_id,
        event_id=desk.ids.new(),
        invoice_id=after.invoice_id,
        sequence=after.version,
        dialect=after.dialect,
        url=after.callback_url or "",
        from_status=None if before is None else before.status,
        to_status=after.status,
        from_context=None if before is None else before.context,
        to_context=after.context,
        snapshot=snapshot(after, known.received, known.moves),
        status="pending",
        due_at=at,
        created_at=at,
    )
