"""What follows from findings: many concluded in one transaction, or one by one where that fails.

A finding is kept and its invoice goes where it leads, together or not at all. What is wrong with
one invoice stays with that one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import groupby
from typing import Final

from psycopg import OperationalError

from counterfoil.books import effects, invoices, screening
from counterfoil.core.events import Screened, StrayScreened
from counterfoil.core.invoice import Invoice, Screening
from counterfoil.core.roles import system
from counterfoil.core.rules import lifts_hold
from counterfoil.db.pool import CommitUnknown, Tx
from counterfoil.desk.act import happen
from counterfoil.desk.desk import Desk
from counterfoil.desk.questions import Question
from counterfoil.desk.record import Beside, beside
from counterfoil.desk.screening import ASK_AGAIN_SECONDS, SCREEN, Case, Finding, lacks_answers
from counterfoil.desk.sheet import Sheet

Found = tuple[Case, Finding | None]
"""A case and what it came to; None where there was nothing left to screen."""

Outcome = bool | Exception
"""Whether it was kept, which it is not when the lease was lost; or why it could not be."""

_ANSWERED: Final = "held only for want of answers, which have come and are clear"
_DISPOSED: Final = "clear without the hits that two officers found to mean somebody else"
_NOBODYS_FAULT: Final = (CommitUnknown, OperationalError)


async def conclude(desk: Desk, case: Case, finding: Finding | None) -> bool:
    """Keep a finding, and let the invoice go where it leads; one transaction.

    ``finding`` None: there was nothing left to screen. False, with nothing kept, when the lease
    was lost: then somebody else is screening it. Where only missing answers hold the money
    from here, they are asked for again after `ASK_AGAIN_SECONDS`.
    """
    (kept,) = await desk.database.run(partial(keep, desk, [(case, finding)]))
    return kept


async def conclude_all(desk: Desk, found: Sequence[Found]) -> list[Outcome]:
    """Do the same for many, in one transaction; one by one where any of them stands in the way.

    Raises `CommitUnknown` and ``psycopg.OperationalError``, which are about none of them.
    """
    try:
        return list(await desk.database.run(partial(keep, desk, found)))
    except _NOBODYS_FAULT:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is kept to one invoice
        if len(found) == 1:
            return [error]
    return [outcome for one in found for outcome in await conclude_all(desk, [one])]


async def keep(desk: Desk, found: Sequence[Found], tx: Tx) -> list[bool]:
    """Conclude each; answers in the order of ``found`` which of them were kept."""
    kept: set[int] = set()
    by_org = sorted(range(len(found)), key=lambda place: _org_id(found[place]))
    for org_id, places in groupby(by_org, key=lambda place: _org_id(found[place])):
        mine = list(places)
        effects_done = await _keep_of_org(desk, tx, org_id, [found[place] for place in mine])
        kept.update(place for place, done in zip(mine, effects_done, strict=True) if done)
    return [place in kept for place in range(len(found))]


async def _keep_of_org(desk: Desk, tx: Tx, org_id: int, found: Sequence[Found]) -> list[bool]:
    now = desk.clock.now()
    ids = [case.effect.invoice_id for case, _ in found]
    held = {one.invoice_id: one for one in await invoices.lock_all(tx, org_id, ids)}
    missing = [str(invoice_id) for invoice_id in ids if invoice_id not in held]
    if missing:
        msg = f"there is no invoice {missing[0]}"
        raise LookupError(msg)
    done = await effects.complete_all(
        tx, org_id, [(c.effect.effect_id, c.effect.lease_token) for c, _ in found], at=now
    )
    known = await beside(tx, org_id, held.values())
    # With no finding nobody looked, so whatever asked since then is still to be done.
    mine = [
        Verdict(held[case.effect.invoice_id], case, finding, is_stray=case.is_stray)
        for case, finding in found
        if finding is not None and case.effect.effect_id in done
    ]
    async with tx.pipeline():  # from here on nothing reads: one trip for however many
        # Whatever else asked for a screening meant this money.
        answered = [one.invoice.invoice_id for one in mine if one.covers_all]
        if answered:
            await effects.complete_others(tx, org_id, SCREEN, answered, at=now)
        sheet = Sheet()
        for one in mine:
            await follow(desk, tx, one, known[one.invoice.invoice_id], sheet)
        await sheet.write(tx)
    return [case.effect.effect_id in done for case, _ in found]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a finding says about an invoice, which is held; ``is_stray`` as in `Case`."""

    invoice: Invoice
    question: Question
    finding: Finding
    is_stray: bool = False

    @property
    def screening(self) -> Screening:
        """What the invoice keeps of it."""
        return Screening(
            run_id=self.finding.run_id,
            decision=self.finding.decision,
            sanctioned=self.finding.sanctioned,
            covers=self.question.covers,
            payers=tuple(sorted({p.address for p in self.question.payers if not p.passed_on})),
            degraded=bool(self.finding.missing),
            review_approvers=self.question.policy.review_approvers,
            hold_approvers=self.question.policy.hold_approvers,
        )

    @property
    def covers_all(self) -> bool:
        """Whether nothing is left of the invoice's money to be screened."""
        return not self.is_stray and self.screening.covers_all(self.invoice.tally)


async def follow(desk: Desk, tx: Tx, verdict: Verdict, known: Beside, sheet: Sheet) -> None:
    """Note the screening, and what becomes of its invoice, which the caller holds."""
    invoice, finding, now = verdict.invoice, verdict.finding, desk.clock.now()
    sheet.runs.append(
        screening.ScreeningRun(
            org_id=invoice.org_id,
            run_id=finding.run_id,
            invoice_id=invoice.invoice_id,
            decision=finding.decision,
            total=finding.total,
            scores=finding.scores,
            record=finding.record,
            created_at=now,
            is_stray=verdict.is_stray,
        )
    )
    by = system("screen", invoice.org_id)
    if verdict.is_stray:
        found = StrayScreened(at=now, by=by.uid, screening=verdict.screening)
        await happen(desk, tx, invoice, found, by, known=known, sheet=sheet)
        return
    lifts = lifts_hold(invoice, verdict.screening)
    reason = (_ANSWERED if invoice.screening else _DISPOSED) if lifts else ""
    event = Screened(at=now, by=by.uid, screening=verdict.screening, reason=reason)
    after = await happen(desk, tx, invoice, event, by, known=known, sheet=sheet)
    if lacks_answers(after):
        sheet.work.append(
            effects.NewEffect(
                org_id=invoice.org_id,
                effect_id=desk.ids.new(),
                kind=SCREEN,
                invoice_id=invoice.invoice_id,
                due_at=now + timedelta(seconds=ASK_AGAIN_SECONDS),
                created_at=now,
            )
        )


def _org_id(found: Found) -> int:
    return found[0].effect.org_id
