"""Screening at the desk: what a screening looks at, and what follows from it.

The worker claims a case, asks outside, and brings back a finding. Between the two the invoice is
not locked; a finding says exactly which money it covers, and what has come since is screened next.

A finding may be nothing but missing answers. Then the worker asks again for a while before the
money is held, and whoever holds it for no other reason keeps asking until the answers come.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, Literal
from uuid import UUID

import msgspec

from counterfoil.books import effects, invoices, orgs, rates, screening, transfers
from counterfoil.core import reckoning
from counterfoil.core.assets import PEGGED_TO
from counterfoil.core.errors import Conflict, Invalid
from counterfoil.core.events import Screened
from counterfoil.core.invoice import Invoice, Screening
from counterfoil.core.lifecycle import RULES
from counterfoil.core.money import Money
from counterfoil.core.reckoning import Depth
from counterfoil.core.risk_facts import ListState, RateUsed
from counterfoil.core.risk_rules import Policy
from counterfoil.core.roles import system
from counterfoil.core.rules import lifts_hold
from counterfoil.db.pool import Tx
from counterfoil.desk.act import happen, locked
from counterfoil.desk.desk import Desk

FIRST_RETRY_SECONDS: Final = 1.0
LONGEST_RETRY_SECONDS: Final = 300.0
LONGEST_WAIT_FOR_ANSWERS_SECONDS: Final = 30.0
ASK_AGAIN_SECONDS: Final = 300.0
"""How often the lists and providers are asked about money that only their silence holds."""

Claim = effects.EffectRow
"""A screening that the caller alone may do until its lease ends."""

_LONGEST_ERROR: Final = 500
_ANSWERED: Final = "held only for want of answers, which have come and are clear"

Listed = screening.ListedRow
"""One address of one entry of one list."""


@dataclass(frozen=True, slots=True)
class Payer:
    """Who paid, and on which chain.

    With ``passed_on`` it is the contract that a payer called, which handed the money on: it is
    asked about like the payer, and is none.
    """

    chain: str
    address: str
    passed_on: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """The confirmed money of one invoice, to be screened by whoever holds the lease.

    ``covers`` is `Tally.confirmed`; empty when there is nothing to screen any more: the money was
    reorganised away, or what becomes of it has been decided. ``lacks_answers``: exactly this money
    has been screened before, and only missing answers stood against it. ``amount_twd`` is None
    where a rate is missing or too old; ``rate`` is that of the largest part.
    """

    effect: Claim
    lacks_answers: bool
    covers: tuple[tuple[str, int], ...]
    payers: tuple[Payer, ...]
    amount_twd: Decimal | None
    rate: RateUsed | None
    policy: Policy


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


@dataclass(frozen=True, slots=True)
class Search:
    """What stands on the lists, and in which version they were searched."""

    lists: tuple[ListState, ...]
    found: tuple[Listed, ...]


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
            "screen",
            limit,
            now=now,
            lease_until=now + timedelta(seconds=lease_seconds),
            lease_token=token,
        )

    return await desk.database.run(take)


async def case_of(desk: Desk, claim: Claim) -> Case:
    """What a claimed screening is to look at, all as of one moment.

    Raises `Invalid` for a screening policy that cannot be read, and `LookupError` for an invoice
    that is not whole. Each case is read by itself, so that such a one stops no other.
    """
    async with desk.database.reading() as tx:
        return await _case(desk, tx, claim)


async def conclude(desk: Desk, case: Case, finding: Finding | None) -> bool:
    """Keep a finding, and let the invoice go where it leads; one transaction.

    ``finding`` None: there was nothing left to screen. False, with nothing kept, when the lease
    was lost: then somebody else is screening it. Where only missing answers hold the money
    from here, they are asked for again after `ASK_AGAIN_SECONDS`.
    """
    effect, now = case.effect, desk.clock.now()

    async def keep(tx: Tx) -> bool:
        invoice = await locked(tx, effect.org_id, effect.invoice_id)
        if not await effects.complete(
            tx, effect.org_id, effect.effect_id, lease_token=effect.lease_token, at=now
        ):
            return False
        if finding is None:
            # Nobody looked at anything, so whatever asked since then is still to be done.
            return True
        verdict = Screening(
            run_id=finding.run_id,
            decision=finding.decision,
            sanctioned=finding.sanctioned,
            covers=case.covers,
            payers=tuple(sorted({p.address for p in case.payers if not p.passed_on})),
            degraded=bool(finding.missing),
        )
        if verdict.covers_all(invoice.tally):
            # Whatever else asked for a screening meant this money.
            await effects.complete_others(tx, effect.org_id, effect.kind, effect.invoice_id, at=now)
        await screening.add_run(
            tx,
            screening.ScreeningRun(
                org_id=effect.org_id,
                run_id=finding.run_id,
                invoice_id=effect.invoice_id,
                decision=finding.decision,
                total=finding.total,
                scores=finding.scores,
                record=finding.record,
                created_at=now,
            ),
        )
        by = system("screen", effect.org_id)
        reason = _ANSWERED if lifts_hold(invoice, verdict) else ""
        event = Screened(at=now, by=by.uid, screening=verdict, reason=reason)
        after = await happen(desk, tx, invoice, event, by)
        if _lacks_answers(after):
            await _ask_again(desk, tx, effect)
        return True

    return await desk.database.run(keep)


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


async def look_up(desk: Desk, forms: Sequence[tuple[str, str]]) -> Search:
    """Search every list for these ``(family, address)`` pairs, all in the same versions."""
    async with desk.database.reading() as tx:
        return Search(
            lists=tuple(map(_state, await screening.lists(tx))),
            found=tuple(await screening.find(tx, forms)),
        )


async def lists(desk: Desk) -> tuple[ListState, ...]:
    """Every list there is, for those who watch their age."""
    async with desk.database.reading() as tx:
        return tuple(map(_state, await screening.lists(tx)))


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


async def _ask_again(desk: Desk, tx: Tx, effect: Claim) -> None:
    now = desk.clock.now()
    await effects.add(
        tx,
        effect.org_id,
        effect_id=desk.ids.new(),
        kind=effect.kind,
        invoice_id=effect.invoice_id,
        due_at=now + timedelta(seconds=ASK_AGAIN_SECONDS),
        created_at=now,
    )


def _lacks_answers(invoice: Invoice) -> bool:
    """Whether only missing answers stand against exactly the money that is there."""
    verdict = invoice.screening
    whole = verdict is not None and verdict.degraded and verdict.covers_all(invoice.tally)
    return whole and _is_screened(invoice)


def _is_screened(invoice: Invoice) -> bool:
    """Whether a verdict can still make a difference where the invoice stands."""
    return (invoice.status, Screened) in RULES


async def _case(desk: Desk, tx: Tx, effect: Claim) -> Case:
    org = await orgs.get(tx, effect.org_id)
    invoice = await invoices.get(tx, effect.org_id, effect.invoice_id)
    if org is None or invoice is None:
        msg = f"effect {effect.effect_id} is about an invoice that does not exist"
        raise LookupError(msg)
    money = reckoning.holdings(invoice) if _is_screened(invoice) else ()
    amount_twd, rate = await _worth(desk, tx, money)
    return Case(
        effect=effect,
        lacks_answers=_lacks_answers(invoice),
        covers=invoice.tally.confirmed if money else (),
        payers=await _payers(tx, invoice),
        amount_twd=amount_twd,
        rate=rate,
        policy=policy_of(org.policy.screening),
    )


async def _payers(tx: Tx, invoice: Invoice) -> tuple[Payer, ...]:
    """Everybody who sent the money, also what is not confirmed yet: they pay for one bill."""
    money = {part.asset for part in invoice.tally.money}
    rows = await transfers.of_invoices(tx, invoice.org_id, [invoice.invoice_id])
    return tuple(
        sorted(
            {
                payer
                for row in rows
                for payer in _payers_of(row)
                if row.depth is not Depth.ORPHANED
                and transfers.asset_of(row) in money
                and not reckoning.is_dust(transfers.asset_of(row), row.amount_units, invoice.policy)
            },
            key=lambda payer: (payer.address, payer.chain),
        )
    )


def _payers_of(row: transfers.TransferRow) -> list[Payer]:
    found = [Payer(row.chain, row.payer)]
    if row.attached_to is not None:
        found.append(Payer(row.chain, row.attached_to, passed_on=True))
    return found


async def _worth(
    desk: Desk, tx: Tx, money: Sequence[Money]
) -> tuple[Decimal | None, RateUsed | None]:
    """The money in New Taiwan dollars, None where any part of it has no fresh rate."""
    oldest = desk.clock.now() - timedelta(seconds=desk.rate_max_age_seconds)
    total, used, largest = Decimal(0), None, Decimal(-1)
    for part in money:
        symbol = part.asset.symbol
        rate = await rates.latest(tx, PEGGED_TO.get(symbol, symbol), "TWD")
        if rate is None or rate.observed_at < oldest:
            return None, None
        worth = Decimal(part.units).scaleb(-part.asset.decimals) * rate.rate
        total += worth
        if worth > largest:
            largest = worth
            used = RateUsed(f"{rate.base}/TWD", rate.rate, rate.source, rate.observed_at)
    return total, used


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


# ---------------------------------------------------------------------------------- the policy


class _Bands(msgspec.Struct, frozen=True):
    review: Decimal = Decimal(40)
    hold: Decimal = Decimal(75)


class _RuleSwitch(msgspec.Struct, frozen=True):
    enabled: bool = True


class _Thresholds(msgspec.Struct, frozen=True):
    edd_twd: Decimal = Decimal(500_000)


class _Provider(msgspec.Struct, frozen=True):
    code: str
    required: bool = False


class _Settings(msgspec.Struct, frozen=True):
    """The part of specs/aml.md 4.2 that is in force; other members of the document wait."""

    version: int = 1
    bands: _Bands = _Bands()
    weights: dict[str, int] = {}
    peaks: dict[str, Decimal] = {}
    rules: dict[str, _RuleSwitch] = {}
    thresholds: _Thresholds = _Thresholds()
    lists: dict[str, bool] = {}
    providers: tuple[_Provider, ...] = ()
    list_max_age_hours: int = 72


_ALWAYS_BINDING: Final = frozenset({"OFAC_SDN"})


def policy_of(settings: Mapping[str, object]) -> Policy:
    """An organisation's screening policy (specs/aml.md 4.2), with defaults for what it leaves out.

    Further lists may bind, but no setting frees anybody of OFAC's. Raises `Invalid` naming what
    is wrong.
    """
    try:
        read = msgspec.convert(dict(settings), _Settings)
    except msgspec.ValidationError as error:
        msg = f"the screening policy cannot be read: {error}"
        raise Invalid(msg) from error
    return Policy(
        version=read.version,
        review=read.bands.review,
        hold=read.bands.hold,
        weights=read.weights,
        peaks=read.peaks,
        rules_off=frozenset(code for code, rule in read.rules.items() if not rule.enabled),
        edd_twd=read.thresholds.edd_twd,
        lists=_ALWAYS_BINDING | {code for code, binds in read.lists.items() if binds},
        providers=frozenset(p.code for p in read.providers if p.required),
        list_max_age=timedelta(hours=read.list_max_age_hours),
    )
