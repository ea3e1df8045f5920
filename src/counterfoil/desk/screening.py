"""Screening at the desk: what a screening looks at, and what follows from it.

The worker claims a case, asks outside, and brings back a finding. Between the two the invoice is
not locked; a finding says exactly which money it covers, and what has come since is screened next.

A finding may be nothing but missing answers. Then the worker asks again for a while before the
money is held, and whoever holds it for no other reason keeps asking until the answers come.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, Literal
from uuid import UUID

from counterfoil.books import dispositions, effects, invoices, orgs, screening, transfers
from counterfoil.core import reckoning
from counterfoil.core.errors import Conflict
from counterfoil.core.events import Screened
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.lifecycle import RULES
from counterfoil.core.money import Money
from counterfoil.core.risk_facts import ListState
from counterfoil.core.tally import AssetTally, covering
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.questions import Question, Worth, party_of, payers_of
from counterfoil.desk.screening_policy import policy_of

FIRST_RETRY_SECONDS: Final = 1.0
LONGEST_RETRY_SECONDS: Final = 300.0
LONGEST_WAIT_FOR_ANSWERS_SECONDS: Final = 30.0
ASK_AGAIN_SECONDS: Final = 300.0
"""How often the lists and providers are asked about money that only their silence holds."""

SCREEN: Final = "screen"
"""The effects that ask for a screening."""

Claim = effects.EffectRow
"""A screening that the caller alone may do until its lease ends."""

_LONGEST_ERROR: Final = 500

Listed = screening.ListedRow
"""One address of one entry of one list."""


@dataclass(frozen=True, slots=True)
class Case(Question):
    """A question about the confirmed money of one invoice, for whoever holds the lease.

    ``covers`` is empty when there is nothing to screen any more: the money was reorganised away,
    or what becomes of it has been decided. ``lacks_answers``: exactly this money has been screened
    before, and only missing answers stood against it. ``is_stray``: it is about what strayed here
    beside the payment and is to be sent back, and about that alone.
    """

    effect: Claim
    lacks_answers: bool
    is_stray: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What a screening came to: ``scores`` are the flat ``kya_*`` fields, ``record`` tells why.

    ``missing`` says which answers were not to be had, where nothing else stands against it.
    """

    run_id: UUID
    decision: Literal["clear", "manual_review", "aml_hold"]
    sanctioned: bool
    total: Decimal
    scores: Mapping[str, str | None]
    record: Mapping[str, object]
    missing: str = ""


Pair = tuple[int, str, str, str]
"""Organisation, party, payer, and the fingerprint of a hit."""


@dataclass(frozen=True, slots=True)
class Search:
    """What stands on the lists, and in which version they were searched.

    ``disposed`` are the hits of any of the payers that mean somebody else, by their decisions.
    """

    lists: tuple[ListState, ...]
    found: tuple[Listed, ...]
    disposed: Mapping[Pair, UUID] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A list as it was read from its publisher's file."""

    list_code: str
    published_on: date | None
    sha256: str
    entry_count: int
    source: str
    addresses: Sequence[Listed]


@dataclass(frozen=True, slots=True)
class CurrentVersion:
    """A list as it stands: version 0 when it was never imported."""

    version: int
    published_on: date | None
    entry_count: int
    addresses: frozenset[tuple[str, str]]


async def claim(desk: Desk, *, limit: int, lease_seconds: float) -> list[Claim]:
    """Take up to ``limit`` screenings that are due, and hold each for ``lease_seconds``."""
    now = desk.clock.now()
    token = desk.ids.new()

    async def take(tx: Tx) -> list[Claim]:
        return await effects.claim(
            tx,
            SCREEN,
            limit,
            now=now,
            lease_until=now + timedelta(seconds=lease_seconds),
            lease_token=token,
        )

    return await desk.database.run(take)


async def case_of(desk: Desk, claim: Claim) -> Case:
    """What a claimed screening is to look at, all as of one moment.

    Raises `Invalid` for a screening policy that cannot be read, and `LookupError` for an invoice
    that is not whole.
    """
    (case,) = await cases_of(desk, [claim])
    return case


async def cases_of(desk: Desk, claims: Sequence[Claim]) -> list[Case]:
    """The same for many, in the order of the claims; raises where any of them would."""
    async with desk.database.reading() as tx:
        cases: dict[UUID, Case] = {}
        worth = Worth(desk, tx)
        for org_id in dict.fromkeys(claim.org_id for claim in claims):
            of_org = [claim for claim in claims if claim.org_id == org_id]
            for case in await _cases(tx, worth, org_id, of_org):
                cases[case.effect.effect_id] = case
    return [cases[claim.effect_id] for claim in claims]


def seconds_to_wait(case: Case, patience_seconds: float) -> float | None:
    """How long to wait for missing answers before asking again; None to let people decide now.

    The first attempt starts the patience, not the payment: nobody was asked while no worker ran.
    Money that is held already is never given up.
    """
    if case.lacks_answers:
        return ASK_AGAIN_SECONDS
    attempt, longest = case.effect.attempts, LONGEST_WAIT_FOR_ANSWERS_SECONDS
    waited = sum(_retry_seconds(earlier, longest) for earlier in range(1, attempt))
    return _retry_seconds(attempt, longest) if waited < patience_seconds else None


async def give_back(
    desk: Desk, claim: Claim, error: str, wait_seconds: float | None = None
) -> bool:
    """Have a screening that could not be finished tried again, later each time unless said when."""
    if wait_seconds is None:
        wait_seconds = _retry_seconds(claim.attempts, LONGEST_RETRY_SECONDS)
    due_at = desk.clock.now() + timedelta(seconds=wait_seconds)

    async def fail(tx: Tx) -> bool:
        return await effects.fail(
            tx,
            claim.org_id,
            claim.effect_id,
            lease_token=claim.lease_token,
            due_at=due_at,
            error=error[:_LONGEST_ERROR],
        )

    return await desk.database.run(fail)


def _retry_seconds(attempt: int, longest: float) -> float:
    # Capped in the exponent too: what fails for weeks must not overflow a float.
    doubled: float = FIRST_RETRY_SECONDS * 2 ** min(attempt - 1, 16)
    return min(doubled, longest)


async def look_up(
    desk: Desk,
    forms: Sequence[tuple[str, str]],
    org_ids: Collection[int] = (),
    payers: Collection[str] = (),
) -> Search:
    """Search every list for these ``(family, address)`` pairs, all in the same versions.

    What people decided about the hits of these payers is looked up only where there are any.
    """
    async with desk.database.reading() as tx:
        lists, found = await states(tx), tuple(await screening.find(tx, forms))
        known = await dispositions.of_payers(tx, org_ids, payers) if found else []
    pairs = {(d.org_id, d.party, d.payer, d.fingerprint): d.disposition_id for d in known}
    return Search(lists, found, pairs)


async def lists(desk: Desk) -> tuple[ListState, ...]:
    """Every list there is, for those who watch their age."""
    async with desk.database.reading() as tx:
        return await states(tx)


async def current_version(desk: Desk, list_code: str) -> CurrentVersion:
    """What a new version of a list will be compared with."""
    async with desk.database.reading() as tx:
        known = {row.list_code: row for row in await screening.lists(tx)}
        if list_code not in known:
            return CurrentVersion(0, None, 0, frozenset())
        row, rows = known[list_code], await screening.listed(tx, list_code)
    pairs = frozenset((r.family, r.address) for r in rows)
    return CurrentVersion(row.version, row.published_on, row.entry_count, pairs)


async def replace_list(desk: Desk, new: NewVersion, *, replaces: int) -> int:
    """Make ``new`` the current version of its list; answers the version's number.

    ``replaces`` is the version that ``new`` was compared with; `Conflict` when another import
    came in between. The same file once more only says that the list is still current.
    """
    now = desk.clock.now()

    async def swap(tx: Tx) -> int:
        before = await screening.lock_list(tx, new.list_code)
        if (before.version if before else 0) != replaces:
            msg = f"{new.list_code} was imported by somebody else just now; compare again"
            raise Conflict(msg)
        unchanged = before is not None and before.sha256 == new.sha256
        version = replaces if unchanged else replaces + 1
        wanted = {_key(row): row for row in new.addresses}
        await screening.put_list(
            tx,
            screening.ListRow(
                list_code=new.list_code,
                published_on=new.published_on,
                imported_at=now,
                sha256=new.sha256,
                entry_count=new.entry_count,
                address_count=len({(r.family, r.address) for r in new.addresses}),
                version=version,
                source=new.source,
            ),
        )
        if not unchanged:
            had = {_key(row): row for row in await screening.listed(tx, new.list_code)}
            gone = [row for key, row in had.items() if not _same(wanted.get(key), row)]
            come = [row for key, row in wanted.items() if not _same(had.get(key), row)]
            await screening.take_off_list(tx, gone, version)
            await screening.put_on_list(tx, come, version)
        return version

    return await desk.database.run(swap)


def lacks_answers(invoice: Invoice) -> bool:
    """Whether only missing answers stand against exactly the money that is there."""
    verdict = invoice.screening
    whole = verdict is not None and verdict.degraded and verdict.covers_all(invoice.tally)
    return whole and _is_screened(invoice)


def _is_screened(invoice: Invoice) -> bool:
    """Whether a verdict can still make a difference where the invoice stands.

    What was declined is looked at only once its hit was found false.
    """
    decided = invoice.status is Status.COMPLIANCE_DECLINED and invoice.screening is not None
    return (invoice.status, Screened) in RULES and not decided


async def _cases(tx: Tx, worth: Worth, org_id: int, claims: Sequence[Claim]) -> list[Case]:
    ids = [claim.invoice_id for claim in claims]
    org = await orgs.get(tx, org_id)
    found = {one.invoice_id: one for one in await invoices.of_ids(tx, org_id, ids)}
    received = await transfers.by_invoice(tx, org_id, ids)
    policy = None if org is None else policy_of(org.policy.screening)
    cases = []
    for effect in claims:
        invoice = found.get(effect.invoice_id)
        if policy is None or invoice is None:
            msg = f"effect {effect.effect_id} is about an invoice that does not exist"
            raise LookupError(msg)
        astray = _astray(invoice)
        tallies = astray or invoice.tally.money
        money = reckoning.holdings(invoice) if _is_screened(invoice) else ()
        if astray:
            money = tuple(Money(part.confirmed_units, part.asset) for part in astray)
        amount_twd, rate = await worth.of(money)
        cases.append(
            Case(
                effect=effect,
                lacks_answers=lacks_answers(invoice) and not astray,
                covers=covering(tallies) if money else (),
                payers=payers_of(invoice, received[invoice.invoice_id], tallies),
                amount_twd=amount_twd,
                rate=rate,
                policy=policy,
                org_id=org_id,
                party=party_of(invoice),
                is_stray=bool(astray),
            )
        )
    return cases


def _astray(invoice: Invoice) -> tuple[AssetTally, ...]:
    """What strayed here beside the payment and must be looked at before it is sent back."""
    refund = invoice.open_refund
    if refund is None or reckoning.is_screened(invoice, refund.amounts):
        return ()
    return reckoning.to_return_astray(invoice, refund.amounts)


async def states(tx: Tx) -> tuple[ListState, ...]:
    """Every list there is, in its current version."""
    return tuple(map(_state, await screening.lists(tx)))


def _state(row: screening.ListRow) -> ListState:
    return ListState(
        code=row.list_code,
        publish_date=row.published_on,
        sha256=row.sha256,
        entry_count=row.entry_count,
        address_count=row.address_count,
        fetched_at=row.imported_at,
    )


def _key(row: Listed) -> tuple[str, str, str, str]:
    return row.family, row.address, row.entry_uid, row.label


def _same(one: Listed | None, other: Listed) -> bool:
    return one is not None and _plain(one) == _plain(other)


def _plain(row: Listed) -> Listed:
    """The row with its sequences as tuples, whichever side it comes from."""
    return replace(row, names=tuple(row.names), programs=tuple(row.programs))
