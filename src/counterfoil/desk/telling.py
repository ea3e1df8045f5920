"""Telling invoices what came in: many in one go, and later the one that could not be told.

Transfers are facts and are written whatever becomes of telling them. An invoice that could not be
told is owed a telling: a ``tell`` effect, written with its transfers. Whoever tells it next, a
worker or the next scan, tells it everything anew.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from operator import attrgetter
from typing import Final
from uuid import UUID

from counterfoil.books import effects, transfers
from counterfoil.books.effects import EffectRow
from counterfoil.core import reckoning
from counterfoil.core.invoice import Invoice
from counterfoil.core.roles import system
from counterfoil.core.values import replace
from counterfoil.db.pool import Tx
from counterfoil.db.rows import together
from counterfoil.desk import foreseeing, verdicts
from counterfoil.desk.act import happen
from counterfoil.desk.desk import Desk
from counterfoil.desk.foreseeing import NO_LOOKS, Looks, Told
from counterfoil.desk.reach import held
from counterfoil.desk.record import Beside, beside
from counterfoil.desk.scan import UNTOLD, fact
from counterfoil.desk.screening import SCREEN
from counterfoil.desk.sheet import Sheet

__all__ = ["EffectRow", "Untold", "claim", "owe", "put_off", "tell", "tell_again"]

FIRST_RETRY_SECONDS: Final = 5.0
LONGEST_RETRY_SECONDS: Final = 600.0

ACTOR: Final = "watch"

_TELL: Final = "tell"
_LONGEST_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class Untold:
    """An invoice that could not be told of transfers which are on record, and why."""

    org_id: int
    invoice_id: UUID
    error: Exception


async def tell(
    desk: Desk, tx: Tx, held: Collection[Invoice], looks: Looks = NO_LOOKS
) -> list[Told]:
    """Tell invoices what is on record now; answers what it made of them.

    Each is as it was when the caller locked it, which was before it wrote what is new. Money that
    must be screened is, at once, where ``looks`` have the answer already.
    """
    told: list[Told] = []
    for org_id, of_org in groupby(sorted(held, key=_place), key=attrgetter("org_id")):
        told += await _tell_of_org(desk, tx, org_id, list(of_org), looks)
    return told


async def owe(desk: Desk, tx: Tx, untold: Untold) -> None:
    """Have an invoice told later, which the caller holds; one that waits already just waits."""
    now = desk.clock.now()
    await effects.add_once(
        tx,
        untold.org_id,
        effect_id=desk.ids.new(),
        kind=_TELL,
        invoice_id=untold.invoice_id,
        due_at=now + timedelta(seconds=FIRST_RETRY_SECONDS),
        created_at=now,
        error=_sentence(untold.error),
    )


async def claim(desk: Desk, *, limit: int, lease_seconds: float) -> list[EffectRow]:
    """Take up to ``limit`` invoices that are owed a telling now, for ``lease_seconds``."""
    now = desk.clock.now()
    return await desk.database.run(
        lambda tx: effects.claim(
            tx,
            _TELL,
            limit,
            now=now,
            lease_until=now + timedelta(seconds=lease_seconds),
            lease_token=desk.ids.new(),
        )
    )


async def tell_again(desk: Desk, owed: EffectRow) -> None:
    """Tell an invoice what it missed; nothing where somebody else has done so by now.

    Raises what telling it raises.
    """

    async def work(tx: Tx) -> None:
        await tell(desk, tx, [await held(tx, owed.org_id, owed.invoice_id)])

    await desk.database.run(work)


async def put_off(desk: Desk, owed: EffectRow, error: Exception) -> None:
    """Have it tried again, later each time."""
    wait_seconds = min(FIRST_RETRY_SECONDS * 2 ** min(owed.attempts, 16), LONGEST_RETRY_SECONDS)
    due_at = desk.clock.now() + timedelta(seconds=wait_seconds)
    await desk.database.run(
        lambda tx: effects.fail(
            tx,
            owed.org_id,
            owed.effect_id,
            lease_token=owed.lease_token,
            due_at=due_at,
            error=_sentence(error),
        )
    )


async def _tell_of_org(
    desk: Desk, tx: Tx, org_id: int, held: Collection[Invoice], looks: Looks
) -> list[Told]:
    now = desk.clock.now()
    missed, known, good = await together(
        tx,
        effects.waiting(tx, org_id, _TELL, [invoice.invoice_id for invoice in held]),
        beside(tx, org_id, held),
        foreseeing.still_good(desk, tx, org_id, held, looks),
    )
    sheet = Sheet()
    told, answered = [], []
    async with tx.pipeline():  # from here on nothing reads: one trip for however many
        for invoice in held:
            before = replace(invoice, tally=UNTOLD) if invoice.invoice_id in missed else invoice
            beside_it, look = known[invoice.invoice_id], good.get(invoice.invoice_id)
            one = Told(await _tell(desk, tx, before, beside_it, sheet), beside_it.received)
            verdict = None if look is None else foreseeing.answer(look, one)
            if verdict is not None and sheet.take_back(invoice.invoice_id, SCREEN):
                answered.append(invoice.invoice_id)
                await verdicts.follow(desk, tx, verdict, beside_it, sheet)
            told.append(one)
        await sheet.write(tx)
        if answered:
            await effects.complete_others(tx, org_id, SCREEN, answered, at=now)
        if missed:
            await effects.complete_others(tx, org_id, _TELL, missed, at=now)
    return told


async def _tell(desk: Desk, tx: Tx, before: Invoice, known: Beside, sheet: Sheet) -> Invoice:
    by = system(ACTOR, before.org_id)
    received = map(transfers.received, known.received)
    tally = reckoning.tally(before.requests, received, before.policy, before.taken_assets)
    event = fact(before.tally, tally, desk.clock.now(), by.uid)
    if event is None:
        return before
    return await happen(desk, tx, before, event, by, known=known, sheet=sheet)


def _place(invoice: Invoice) -> tuple[int, UUID]:
    return invoice.org_id, invoice.invoice_id


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_LONGEST_ERROR]
