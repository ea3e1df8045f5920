"""What compliance decides about held money (specs/aml.md 4.1). The cells are `lifecycle`'s."""

from counterfoil.core import planning, reckoning
from counterfoil.core.errors import Forbidden, OutOfPlace
from counterfoil.core.events import (
    Decline,
    DisposeHit,
    Escalate,
    GiveUpMoves,
    Quarantine,
    Release,
    Screen,
    Screened,
    TakeNote,
)
from counterfoil.core.invoice import Context, Disposal, Invoice, Note, Screening, Status
from counterfoil.core.rules import (
    MAX_NOTES,
    PEOPLE_TO_DECIDE_A_HOLD,
    Outcome,
    is_sanctioned,
    let_go,
    makers,
    people_to_release,
    refuse_unscreened,
)
from counterfoil.core.values import replace

S = Status


def released(invoice: Invoice, event: Release) -> Outcome:
    """With the last person's word that it needs the money goes on as if it had been clean."""
    if is_sanctioned(invoice):
        raise OutOfPlace(
            "this money comes from a sanctioned address and cannot be released;"
            " it can only be declined, or its hit found to mean somebody else",
            data={"rule": "sanctions_hit"},
        )
    refuse_unscreened(invoice)
    people = _one_more(invoice, invoice.releases, event.by)
    after = replace(invoice, releases=people, declines=_without(invoice.declines, event.by))
    if len(people) < people_to_release(invoice):
        return after, ()
    freed = replace(after, context=None, quarantined_by=None, quarantined_at=None)
    now, effects = let_go(freed, event)
    if invoice.quarantined_at is None:
        return now, effects
    if invoice.signed_off_at is not None:
        return now, (*planning.out_of_hold(invoice), *effects)
    return now, (GiveUpMoves(frozenset({"quarantine"})), *effects)


def escalated(invoice: Invoice, event: Escalate) -> Outcome:
    """Hold what was only to be looked at: more people release it now, whoever did before."""
    verdict = invoice.screening
    if invoice.escalated_at is not None or (verdict and verdict.decision == "aml_hold"):
        raise OutOfPlace(
            "this money is held already, so there is nothing to escalate",
            data={"rule": "held_already"},
        )
    return replace(invoice, escalated_by=event.by, escalated_at=event.at, releases=()), ()


def disposed(invoice: Invoice, event: DisposeHit) -> Outcome:
    """With the second person's word the money is screened anew, without the hit.

    Money that was declined stays so; what is found then says whether it may go back. What came
    after the end, or beside the payment, is screened when that is ordered.
    """
    ended = invoice.status.is_end
    if ended and not (reckoning.holdings(invoice) or reckoning.astray(invoice)):
        raise OutOfPlace(
            "no money of this invoice is here any more, so nothing depends on the hit",
            data={"rule": "budget"},
        )
    beside = _found(invoice.stray_screening, event)
    own = _found(invoice.screening, event) or not beside
    # What came after the money was declined is looked at with it then, and by nobody before.
    if own and (invoice.screening is None or invoice.status is S.COMPLIANCE_HOLD):
        refuse_unscreened(invoice)
    what = (event.payer, event.fingerprint)
    known = next((d for d in invoice.disposals if (d.payer, d.fingerprint) == what), None)
    others = tuple(d for d in invoice.disposals if d is not known)
    people = _one_more(invoice, () if known is None else known.people, event.by)
    evidence = (*(known.evidence if known else ()), *event.evidence)
    named = Disposal(
        event.list_code, event.entry_uid, event.payer, event.fingerprint, people, evidence
    )
    after = replace(invoice, disposals=(*others, named))
    if len(people) < PEOPLE_TO_DECIDE_A_HOLD:
        return after, ()
    # What was found is no longer what is known: until it is looked at again nobody decides.
    if beside:
        after = replace(after, stray_screening=None)
    if own:
        after = replace(after, screening=None, releases=())
    asks = invoice.status is S.REFUND_PENDING or (own and not ended)
    return after, (Screen(),) if asks else ()


def _found(verdict: Screening | None, event: DisposeHit) -> bool:
    return verdict is not None and verdict.run_id in event.run_ids


def quarantined(invoice: Invoice, event: Quarantine) -> Outcome:
    """Have what lies at the deposit address taken to the hold wallet; people decide from there."""
    if not (invoice.tally.settled and invoice.tally.final):
        raise OutOfPlace(
            "the payment is not yet final on chain; quarantine it in a few minutes",
            data={"rule": "finality"},
        )
    if not reckoning.unswept(invoice):
        raise OutOfPlace(
            "nothing lies at the deposit address, so there is nothing to take to quarantine",
            data={"rule": "nothing_to_quarantine"},
        )
    after = replace(invoice, quarantined_by=event.by, quarantined_at=event.at)
    return after, planning.to_hold(invoice)


def declined(invoice: Invoice, event: Decline) -> Outcome:
    """With the second person's word the money is refused; a refund may be ordered.

    What was planned for it and not signed yet is given up, so that nothing leaves by it.
    """
    people = _one_more(invoice, invoice.declines, event.by)
    after = replace(invoice, declines=people, releases=_without(invoice.releases, event.by))
    if len(people) < PEOPLE_TO_DECIDE_A_HOLD:
        return after, ()
    after = planning.without_surplus_refund(replace(after, status=S.COMPLIANCE_DECLINED), event)
    return after, (GiveUpMoves(),) if invoice.signed_off_at is not None else ()


def screened_when_declined(invoice: Invoice, event: Screened) -> Outcome:
    """Keep what was found: it goes back where that allows it, and stays declined.

    A hit is outweighed by no later answer, only by people who find it false.
    """
    if is_sanctioned(invoice) and not event.screening.sanctioned:
        return invoice, ()
    hit = event.screening.sanctioned
    context = Context.SANCTIONED if hit else Context.HIGH_RISK
    return replace(invoice, screening=event.screening, context=context, disposals=()), ()


def note_taken(invoice: Invoice, event: TakeNote) -> Outcome:
    """Keep the note beside the money that it is about."""
    if len(invoice.notes) >= MAX_NOTES:
        raise OutOfPlace(
            f"there are {MAX_NOTES} notes already, which is as many as are kept",
            data={"rule": "notes"},
        )
    return replace(invoice, notes=(*invoice.notes, Note(event.text, event.by, event.at))), ()


def _without(people: tuple[str, ...], person: str) -> tuple[str, ...]:
    """Nobody stands on both sides: the newer word counts."""
    return tuple(one for one in people if one != person)


def _one_more(invoice: Invoice, people: tuple[str, ...], person: str) -> tuple[str, ...]:
    if person in people:
        raise Forbidden("you have already decided; a second person has to")
    if person in {*makers(invoice), invoice.approved_by}:
        message = "you made or approved this invoice, so other people have to decide"
        raise Forbidden(message, data={"rule": "maker_is_not_checker"})
    return (*people, person)
