"""What compliance does about hits and money to be looked at (specs/aml.md 4.1).

To release, decline or note something stands in `commands`, a report in `reporting`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from counterfoil.books import dispositions, files
from counterfoil.books.dispositions import DispositionRow
from counterfoil.books.screening import ScreeningRun
from counterfoil.core.errors import Invalid
from counterfoil.core.events import Command, DisposeHit, Escalate
from counterfoil.core.invoice import Invoice
from counterfoil.core.lifecycle import RULES
from counterfoil.core.risk_facts import LISTED, fingerprint_of
from counterfoil.core.roles import Actor
from counterfoil.core.rules import PEOPLE_TO_DECIDE_A_HOLD
from counterfoil.db.pool import Tx
from counterfoil.desk import queries
from counterfoil.desk.commands import MAX_ATTACHMENTS, give
from counterfoil.desk.desk import Desk
from counterfoil.desk.explained import must_be_explained
from counterfoil.desk.idempotency import Idempotent
from counterfoil.desk.queries import InvoiceView
from counterfoil.desk.questions import party_of

EVIDENCE: Final = "evidence"
"""How refusals call the files of a disposition."""


@dataclass(frozen=True, slots=True)
class ListHit:
    """One hit on a list: whom it may mean, and as what, and which screenings found it."""

    list_code: str
    entry_uid: str
    payer: str
    label: str
    names: tuple[str, ...]
    fingerprint: str
    run_ids: tuple[UUID, ...]


def hits_of(view: InvoiceView) -> tuple[ListHit, ...]:
    """What stands on lists, by the screenings that stand against an invoice's money.

    Where none does it is the newest one. What a token's issuer froze or a provider said is in
    nobody's list, and no mistaken identity.
    """
    runs = view.against or ((view.screening,) if view.screening else ())
    found: dict[tuple[str, str, str, str], ListHit] = {}
    for hit in (hit for run in runs for hit in _on_lists(run)):
        key = (hit.list_code, hit.entry_uid, hit.payer, hit.fingerprint)
        others = found[key].run_ids if key in found else ()
        found[key] = replace(hit, run_ids=(*others, *hit.run_ids))
    return tuple(found.values())


def _on_lists(run: ScreeningRun) -> tuple[ListHit, ...]:
    record: Any = run.record
    payer = record["subject"]["value"] if record.get("subject") else None
    return tuple(
        ListHit(
            list_code=hit["list"],
            entry_uid=hit["entry_uid"],
            payer=payer,
            label=hit["label"],
            names=tuple(hit["names"]),
            fingerprint=fingerprint_of(hit),
            run_ids=(run.run_id,),
        )
        for hit in record.get("hits", ())
        if payer and hit["match"] in LISTED
    )


def event_of(hit: ListHit, invoice: Invoice, by: str) -> DisposeHit:
    """The command about a hit as somebody could give it, to see whether it would be heard."""
    return DisposeHit(
        at=invoice.created_at,
        by=by,
        list_code=hit.list_code,
        entry_uid=hit.entry_uid,
        payer=hit.payer,
        fingerprint=hit.fingerprint,
        evidence=(),
        reason="",
        run_ids=hit.run_ids,
    )


async def escalate(
    desk: Desk, invoice_id: UUID, by: Actor, reason: str, idempotent: Idempotent | None = None
) -> InvoiceView:
    """Have money held that was only to be looked at: more people release it then."""
    must_be_explained(by, Escalate, reason)

    async def make(_tx: Tx, _invoice: Invoice) -> Sequence[Command]:
        return [Escalate(at=desk.clock.now(), by=by.uid, reason=reason)]

    return await give(desk, invoice_id, by, Escalate, make, key=idempotent)


async def dispose(  # noqa: PLR0913 - one command, whole
    desk: Desk,
    invoice_id: UUID,
    by: Actor,
    *,
    list_code: str,
    entry_uid: str,
    reason: str,
    evidence: tuple[UUID, ...] = (),
    idempotent: Idempotent | None = None,
) -> InvoiceView:
    """Say that a hit on a list means somebody else; two say so, and it counts no more.

    The first one gives the evidence, one to ten uploaded files. Then all of the money is screened
    anew without that hit, and so is whatever the same payer sends for the same customer later,
    until the entry says something else. Raises `Invalid` naming ``entry_uid`` for what is no hit
    that stands against its money, ``reason`` or ``evidence``.
    """
    must_be_explained(by, DisposeHit, reason)

    async def make(tx: Tx, invoice: Invoice) -> Sequence[Command]:
        if (invoice.status, DisposeHit) not in RULES:
            return [_plain(desk, by, reason)]  # The lifecycle says what is possible instead.
        view = await queries.full_view(desk, tx, invoice)
        hit = _named(hits_of(view), named)
        await _check_evidence(tx, by, evidence, needed=not _is_known(invoice, hit))
        event = DisposeHit(
            at=desk.clock.now(),
            by=by.uid,
            list_code=list_code,
            entry_uid=entry_uid,
            payer=hit.payer,
            fingerprint=hit.fingerprint,
            evidence=evidence,
            reason=reason,
            run_ids=hit.run_ids,
        )
        return [event]

    named = (list_code, entry_uid)

    async def keep(tx: Tx, after: Invoice) -> None:
        """Once enough people said so, it holds for what the payer sends later, too."""
        for one in after.disposals:
            if (one.list_code, one.entry_uid) != named:
                continue
            if len(one.people) < PEOPLE_TO_DECIDE_A_HOLD:
                continue
            row = DispositionRow(
                org_id=after.org_id,
                disposition_id=desk.ids.new(),
                party=party_of(after),
                payer=one.payer,
                fingerprint=one.fingerprint,
                list_code=one.list_code,
                entry_uid=one.entry_uid,
                invoice_id=after.invoice_id,
                people=one.people,
                evidence=one.evidence,
                decided_at=desk.clock.now(),
            )
            await dispositions.add(tx, row)

    return await give(desk, invoice_id, by, DisposeHit, make, key=idempotent, then=keep)


def _plain(desk: Desk, by: Actor, reason: str) -> DisposeHit:
    return DisposeHit(
        at=desk.clock.now(),
        by=by.uid,
        list_code="",
        entry_uid="",
        payer="",
        fingerprint="",
        evidence=(),
        reason=reason,
    )


def _is_known(invoice: Invoice, hit: ListHit) -> bool:
    known = {(d.payer, d.fingerprint) for d in invoice.disposals}
    return (hit.payer, hit.fingerprint) in known


def _named(hits: Sequence[ListHit], named: tuple[str, str]) -> ListHit:
    """The hit of this list and entry; `Invalid` where it is none."""
    found = next((hit for hit in hits if (hit.list_code, hit.entry_uid) == named), None)
    if found is not None:
        return found
    if not hits:
        sentence = "is no hit: nothing that was found on any list stands against its money"
        raise Invalid.field("entry_uid", sentence)
    names = ", ".join(f"{hit.entry_uid} of {hit.list_code}" for hit in hits)
    sentence = f"is no hit that stands against its money; found were: {names}"
    raise Invalid.field("entry_uid", sentence)


async def _check_evidence(tx: Tx, by: Actor, evidence: tuple[UUID, ...], *, needed: bool) -> None:
    if len(evidence) > MAX_ATTACHMENTS or (needed and not evidence):
        sentence = f"must name one to {MAX_ATTACHMENTS} uploaded files that show who it is"
        raise Invalid.field(EVIDENCE, sentence)
    if evidence and not await files.exist(tx, by.org_id, evidence, by.client_id):
        sentence = "names a file that was not uploaded here; upload it first"
        raise Invalid.field(EVIDENCE, sentence)
