"""Rows beside the log against what the log sealed: refunds, payments, and who decided what.

A row that somebody changed by hand, or added, is found here; that a payment cannot be forged at all
is the signer's to see, who checks its warrant (decision 2).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from counterfoil.books.dispositions import DispositionRow
from counterfoil.books.moves import MoveRow
from counterfoil.books.token_codes import Accepted
from counterfoil.core import ids
from counterfoil.core.invoice import Invoice, Refund, RefundStatus, Status
from counterfoil.core.rules import PEOPLE_TO_DECIDE_A_HOLD
from counterfoil.core.seal import Break, LogEntry, OrgBreak, OrgEntry
from counterfoil.desk.questions import party_of

Chain = Sequence[tuple[LogEntry, bytes]]

_SIGNED: Final = frozenset(
    status.value for status in (Status.SWEEPING, Status.PAYOUT_PROCESSING, Status.COMPLETED)
)


def against(
    chain: Chain, stored: Invoice, refunds: Sequence[Refund], payments: Sequence[MoveRow]
) -> Break | None:
    """The first row that says something else than an invoice's log, oldest entry first."""
    entries = [entry for entry, _ in chain]
    told = _told(entries)
    for refund in refunds:
        broken = _refund(stored, entries, told.pop(_name(refund), []), refund)
        if broken is not None:
            return broken
    for name, about in told.items():
        return Break(stored.invoice_id, about[0].sequence, f"its refund {name} is missing")
    by_id = {refund.refund_id.hex: refund for refund in refunds}
    for move in payments:
        source = None if move.purpose == "payout" else by_id.get(move.source_id)
        wrong = _payment(stored, entries, move, source)
        if wrong:
            finding = f"payment {move.move_id} {wrong}"
            return Break(stored.invoice_id, len(entries), finding)
    return (
        _amounts(stored, entries, refunds, payments)
        or _decided(stored, entries)
        or _escalated(stored, entries)
    )


def disposed(chain: Chain, stored: Invoice, rows: Sequence[DispositionRow]) -> Break | None:
    """The first hit that is said to mean somebody else, of which the log does not say so.

    Nor of this customer: one row more would hide the hit of any other who is paid for.
    """
    for row in rows:
        told = [
            entry
            for entry, _ in chain
            if entry.event == "dispose_hit"
            and (row.payer, row.fingerprint, row.list_code, row.entry_uid)
            == tuple(entry.metadata.get(name) for name in ("payer", "hit", "list", "entry_uid"))
        ]
        people = {entry.operator_uid for entry in told}
        agreed = len(set(row.people)) >= PEOPLE_TO_DECIDE_A_HOLD and set(row.people) <= people
        if not agreed or row.party != party_of(stored):
            finding = f"the log does not say that entry {row.entry_uid} means somebody else"
            return Break(row.invoice_id, len(chain), finding)
    return None


def _name(refund: Refund) -> str:
    return ids.public("ref", refund.refund_id)


def _told(entries: Sequence[LogEntry]) -> dict[str, list[LogEntry]]:
    """The entries about each refund, by its public id, oldest first."""
    found: dict[str, list[LogEntry]] = {}
    for entry in entries:
        name = entry.metadata.get("refund")
        if isinstance(name, str):
            found.setdefault(name, []).append(entry)
    return found


def _refund(
    stored: Invoice, entries: Sequence[LogEntry], about: Sequence[LogEntry], refund: Refund
) -> Break | None:
    if not about:
        if any(e.event == "order_refund" and "refund" not in e.metadata for e in entries):
            return None  # It was ordered before the log named refunds.
        return Break(stored.invoice_id, len(entries), f"the log knows of no {_name(refund)}")
    ordered, newest = about[0], about[-1]
    facts: dict[str, tuple[object, object]] = {
        "amounts": (
            {money.asset.key: str(money.units) for money in refund.amounts},
            ordered.metadata.get("refund_amounts"),
        ),
        "address": (refund.address, ordered.metadata.get("refund_address")),
        "orderer": (refund.ordered_by, ordered.operator_uid),
        "reason": (refund.reason, ordered.reason),
        "status": (refund.status.value, newest.metadata.get("refund_status")),
        "attachments": (
            [str(file_id) for file_id in refund.attachment_file_ids],
            ordered.metadata.get(
                "attachments", [str(file_id) for file_id in refund.attachment_file_ids]
            ),
        ),
    }
    waited = ordered.metadata.get("refund_status") == RefundStatus.PENDING
    facts["sign-off"] = (refund.with_sign_off, ordered.event == "sign_off" and waited)
    going = [e for e in about if e.metadata.get("refund_status") == RefundStatus.PROCESSING]
    approval = (going[0].operator_uid, going[0].at) if going else (None, None)
    facts["approval"] = ((refund.approved_by, refund.approved_at), approval)
    for what, (row, log) in facts.items():
        if row != log:
            finding = f"{_name(refund)} has another {what} than is sealed here"
            return Break(stored.invoice_id, ordered.sequence, finding)
    return None


def _payment(
    stored: Invoice, entries: Sequence[LogEntry], move: MoveRow, refund: Refund | None
) -> str | None:
    """Why a payment is not what the log says was approved."""
    if move.generation:
        again = [
            e
            for e in entries
            if e.event == "approved_again"
            and (e.metadata.get("move_id"), e.metadata.get("generation"))
            == (str(move.move_id), move.generation)
        ]
        approved = _by(again, move)
        told_units = next((e.metadata.get("amount_units") for e in again), None)
        if told_units not in {None, str(move.amount_units)}:
            return "is not the amount that was approved again"
    elif rests := [e for e in entries if _is_rest(e, move)]:
        approved = _by(rests, move)
        if [e.metadata.get("rest_units") for e in rests] != [str(move.amount_units)]:
            return "is not what had not left of the payment before it"
    elif refund is not None:
        approved = (move.approved_by, move.approved_at) == (refund.approved_by, refund.approved_at)
    else:
        approved = _by([e for e in entries if e.to_status in _SIGNED], move)
    if not approved:
        return "was approved by somebody or at a time that the log does not know"
    if refund is not None and move.destination != refund.address:
        return "goes elsewhere than its refund"
    if refund is None and move.purpose == "payout":
        own = move.source_id == stored.invoice_id.hex
        fits = move.destination in stored.payout_to.values() if own else _sent_on(entries, move)
        return None if fits else "goes elsewhere than the invoice says"
    return None


def _sent_on(entries: Sequence[LogEntry], move: MoveRow) -> bool:
    """Whether people sent exactly this payout to where it goes, instead of an earlier one."""
    for entry in entries:
        told = entry.metadata
        if entry.event != "payout_redirected" or told.get("redirect") != str(UUID(move.source_id)):
            continue
        legs = told.get("moves")
        sent = {(leg["to"], leg["amount_units"]) for leg in legs} if isinstance(legs, list) else ()
        if (str(move.move_id), str(move.amount_units)) in sent or any(
            _is_rest(e, move) for e in entries
        ):
            return told.get("destination") == move.destination
    return False


def _is_rest(entry: LogEntry, move: MoveRow) -> bool:
    """Whether people had this payment go after another, of which it did not leave."""
    return entry.event == "token_fee_accepted" and entry.metadata.get("rest_move_id") == str(
        move.move_id
    )


def _spared_units(entries: Sequence[LogEntry], move: MoveRow) -> Iterator[int]:
    """How much less people had a payment pay than was ordered, each time they were asked.

    A rest was ordered with the payment that it goes after, so all of it is more.
    """
    for entry in entries:
        told = entry.metadata
        if entry.event == "approved_again" and told.get("move_id") == str(move.move_id):
            units = told.get("amount_units"), told.get("instead_of_units")
            if isinstance(units[0], str) and isinstance(units[1], str):
                yield int(units[1]) - int(units[0])
        units_after = told.get("rest_units")
        if _is_rest(entry, move) and isinstance(units_after, str):
            yield -int(units_after)  # They are counted with the payment that it goes after.


def _by(entries: Sequence[LogEntry], move: MoveRow) -> bool:
    return any((e.operator_uid, e.at) == (move.approved_by, move.approved_at) for e in entries)


def _amounts(
    stored: Invoice,
    entries: Sequence[LogEntry],
    refunds: Sequence[Refund],
    payments: Sequence[MoveRow],
) -> Break | None:
    """Where the movements of an approved refund are not all of it, and no more."""
    for refund in refunds:
        planned: Counter[tuple[str, str]] = Counter()
        for move in payments:
            if move.source_id == refund.refund_id.hex and move.purpose != "payout":
                spared_units = sum(_spared_units(entries, move))
                planned[move.chain, move.contract] += move.amount_units + spared_units
        meant = {(m.asset.chain, m.asset.contract): m.units for m in refund.amounts}
        if refund.approved_at is not None and dict(planned) != meant:
            finding = f"the payments of {_name(refund)} are not its amounts"
            return Break(stored.invoice_id, len(entries), finding)
    return None


def accepted_tokens(
    org_id: int, chain: Sequence[tuple[OrgEntry, bytes]], rows: Sequence[Accepted]
) -> OrgBreak | None:
    """The first word about a changed token that an organisation's log does not tell of, or not so.

    One row more would let its money go on under a token that nobody looked at.
    """
    told: dict[tuple[object, ...], OrgEntry] = {}
    for entry, _ in chain:
        version = (entry.metadata.get("chain"), entry.subject, entry.metadata.get("fingerprint"))
        if entry.event == "token_change_accepted":
            told[version] = entry
        elif entry.event == "token_acceptance_withdrawn":
            told.pop(version, None)
    for row in rows:
        given = told.pop((row.chain, row.contract, row.fingerprint), None)
        word = (row.accepted_by, row.reason)
        if given is None or word != (given.operator_uid, given.metadata.get("reason")):
            finding = f"the log does not say that {row.accepted_by} accepted {row.contract} so"
            return OrgBreak(org_id, given.sequence if given is not None else len(chain), finding)
    for entry in told.values():
        return OrgBreak(org_id, entry.sequence, f"what was accepted of {entry.subject} is missing")
    return None


def _escalated(stored: Invoice, entries: Sequence[LogEntry]) -> Break | None:
    """Where money is held by another's word than its newest hold tells of, or by nobody's."""
    told: tuple[str | None, datetime | None] = (None, None)
    for entry in entries:
        if entry.to_status == Status.COMPLIANCE_HOLD != entry.from_status:
            told = (None, None)
        if entry.event == "escalate":
            told = (entry.operator_uid, entry.at)
    if (stored.escalated_by, stored.escalated_at) == told:
        return None
    finding = "it has another escalation than is sealed in its newest hold"
    return Break(stored.invoice_id, len(entries), finding)


def _words(entries: Sequence[LogEntry]) -> tuple[set[str], set[str]]:
    """Who released and who declined in the newest hold, since what they decided about was found."""
    released: set[str] = set()
    refused: set[str] = set()
    for entry in entries:
        begins = entry.to_status == Status.COMPLIANCE_HOLD != entry.from_status
        if begins or (entry.event == "screened" and entry.to_status == Status.COMPLIANCE_HOLD):
            released, refused = set(), set()
        elif entry.event == "escalate":
            released = set()
        elif entry.event == "release":
            released.add(entry.operator_uid)
            refused.discard(entry.operator_uid)
        elif entry.event == "decline":
            refused.add(entry.operator_uid)
            released.discard(entry.operator_uid)
    return released, refused


def _decided(stored: Invoice, entries: Sequence[LogEntry]) -> Break | None:
    """Where somebody is said to have decided of whom the log says nothing of the kind."""

    def did(event: str) -> set[str]:
        return {e.operator_uid for e in entries if e.event == event}

    released, refused = _words(entries)
    for people, known in (
        (stored.releases, released),
        (stored.declines, refused),
        ((stored.quarantined_by,), did("quarantine")),
        ([one for d in stored.disposals for one in d.people], did("dispose_hit")),
    ):
        for person in people:
            if person is not None and person not in known:
                finding = f"{person} has decided nothing of the kind by the log"
                return Break(stored.invoice_id, len(entries), finding)
    return None
