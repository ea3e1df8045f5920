"""Looking at money before it counts, so that nobody waits for a screening once it does.

Between the block that a payment is in and the moment it is safe there is time: seconds on one
chain, a quarter of an hour on another. What lists and providers say of its payers is asked in that
time and kept in the memory of the work process that asked. Once the money is confirmed the answer
is recorded together with that, in one transaction: if it is about exactly this money from exactly
these payers, and the policy and the lists that it was given under are still the same. Otherwise,
and in any other process, the payment is screened as if nobody had looked: a look saves time and
decides nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final
from uuid import UUID

from counterfoil.books import orgs
from counterfoil.books.transfers import TransferRow
from counterfoil.core import reckoning
from counterfoil.core.errors import Invalid
from counterfoil.core.events import Screen, TransferConfirmed
from counterfoil.core.invoice import Invoice
from counterfoil.core.lifecycle import decide
from counterfoil.core.risk_facts import ListState
from counterfoil.core.risk_rules import Policy
from counterfoil.core.tally import covering
from counterfoil.core.values import replace
from counterfoil.db.pool import Tx
from counterfoil.db.rows import together
from counterfoil.desk.desk import Desk
from counterfoil.desk.questions import Question, Worth, party_of, payers_of
from counterfoil.desk.screening import Finding, states
from counterfoil.desk.screening_policy import policy_of
from counterfoil.desk.verdicts import Verdict

LOOK_LASTS_SECONDS: Final = 60.0
"""Far less than the 24 hours for which a clear answer may be used again (specs/aml.md 9).

A look may be made of an answer that was a minute old (`providers.screening.remembering`)."""


@dataclass(frozen=True, slots=True)
class Told:
    """An invoice that was told of money, as it is since, with all that it received."""

    invoice: Invoice
    received: Sequence[TransferRow]


@dataclass(frozen=True, slots=True)
class Look:
    """What a screening in advance came to, at ``at`` and by these versions of the lists."""

    question: Question
    finding: Finding
    lists: tuple[ListState, ...]
    at: datetime


Looks = Mapping[UUID, Look]
"""By invoice id."""

NO_LOOKS: Final[Looks] = MappingProxyType({})


async def questions(desk: Desk, told: Collection[Told]) -> list[tuple[UUID, Question]]:
    """What would have to be screened if all that is seen were confirmed now, by invoice id.

    Nothing of an organisation whose screening policy cannot be read.
    """
    soon = [(one, after) for one in told if (after := _once_confirmed(desk, one.invoice))]
    if not soon:
        return []
    async with desk.database.reading() as tx:
        worth = Worth(desk, tx)
        policies = {o: await _policy(tx, o) for o in {after.org_id for _, after in soon}}
        return [
            (
                after.invoice_id,
                Question(
                    after.tally.confirmed,
                    payers_of(after, one.received, after.tally.money),
                    *await worth.of(reckoning.holdings(after)),
                    policy,
                    after.org_id,
                    party_of(after),
                ),
            )
            for one, after in soon
            if (policy := policies[after.org_id]) is not None
        ]


async def still_good(
    desk: Desk, tx: Tx, org_id: int, told: Collection[Invoice], looks: Looks
) -> Looks:
    """The looks at these invoices of one organisation that nothing has overtaken since."""
    earliest = desk.clock.now() - timedelta(seconds=LOOK_LASTS_SECONDS)
    recent = {
        invoice.invoice_id: look
        for invoice in told
        if (look := looks.get(invoice.invoice_id)) is not None and look.at >= earliest
    }
    if not recent:
        return recent
    policy, lists = await together(tx, _policy(tx, org_id), states(tx))
    return {
        invoice_id: look
        for invoice_id, look in recent.items()
        if (look.question.policy, look.lists) == (policy, lists)
    }


def answer(look: Look, told: Told) -> Verdict | None:
    """What a look says of an invoice whose money was just confirmed.

    None where it looked at other money or other payers, and where it was not clear: then it is
    asked again what people will have to decide about.
    """
    invoice, question = told.invoice, look.question
    money = invoice.tally.money
    same = question.covers == covering(money) and question.payers == payers_of(
        invoice, told.received, money
    )
    is_clear = look.finding.decision == "clear" and not look.finding.missing
    return Verdict(invoice, question, look.finding) if same and is_clear else None


def _once_confirmed(desk: Desk, invoice: Invoice) -> Invoice | None:
    """The invoice as it will be, where it will have to be screened then."""
    assets = [replace(part, confirmed_units=part.seen_units) for part in invoice.tally.assets]
    tally = replace(invoice.tally, assets=tuple(assets))
    if tally == invoice.tally:
        return None
    event = TransferConfirmed(at=desk.clock.now(), by="", tally=tally)
    after, effects = decide(invoice, event)
    return after if Screen() in effects else None


async def _policy(tx: Tx, org_id: int) -> Policy | None:
    """By which an organisation's money is judged; None where that cannot be read."""
    org = await orgs.get(tx, org_id)
    with suppress(Invalid):
        return None if org is None else policy_of(org.policy.screening)
    return None
