"""Tokens whose issuer exchanged what they run (specs/chains.md 6.5, decision 38).

What comes in is credited as ever, by its logs in final blocks and against balances. Nothing more
is signed that calls such a token before somebody of the organisation has looked at the change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from counterfoil.books import orgs, token_codes
from counterfoil.books.token_codes import Accepted, SeenCode
from counterfoil.core import ids
from counterfoil.core.assets import CHAINS, known_asset
from counterfoil.core.errors import Invalid, NotFound
from counterfoil.core.money import Asset
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.org_log import note

__all__ = [
    "Acceptance",
    "Change",
    "Told",
    "Version",
    "accept",
    "accepted",
    "every",
    "held",
    "tell",
    "waiting",
    "withdraw",
]

MOST_CHANGES: Final = 5
"""So many changes of a token wait to be looked at, at most."""

Version = tuple[str, str, str]
"""A chain, a contract on it, and the fingerprint of what it runs."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a token runs, as a chain tells it. ``is_there`` is False where no code is."""

    contract: str
    fingerprint: str
    behind: tuple[str, ...]
    is_there: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """A version of a token that nobody has looked at; ``behind`` is what it hands its calls to."""

    asset: Asset
    fingerprint: str
    behind: tuple[str, ...]
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A version of a token that somebody accepted; ``name`` is theirs, empty once they are gone."""

    asset: Asset
    fingerprint: str
    name: str
    reason: str
    accepted_at: datetime


async def tell(desk: Desk, chain: str, told: Sequence[Told]) -> list[Change]:
    """Remember what a chain's tokens run; answers what changed and was never told before.

    A token that was never there has no version; one that is gone has changed. Of what nobody has
    accepted the newest `MOST_CHANGES` of a token are kept, as a node can invent any number: each of
    them holds the money as well as all would, and what is forgotten and true is told again.
    """
    now = desk.clock.now()
    registry = CHAINS[chain]
    contracts = {asset.contract for asset in (*registry.accepted, *registry.known_other)}
    async with desk.database.transaction() as tx:
        known = await token_codes.known(tx, chain)
        before = {(one.contract, one.fingerprint) for one in known}
        watched = {one.contract for one in known}
        new = [
            SeenCode(chain, one.contract, one.fingerprint, list(one.behind), now)
            for one in told
            if one.contract in contracts
            and (one.contract, one.fingerprint) not in before
            and (one.is_there or one.contract in watched)
        ]
        if new:
            await token_codes.remember(tx, new)
            await token_codes.forget_unaccepted(tx, chain, MOST_CHANGES)
    return _changes([one for one in new if one.contract in watched])


async def waiting(desk: Desk, by: Actor) -> list[Change]:
    """The changes that nobody of the actor's organisation has looked at. Raises `Forbidden`."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        return _changes(await token_codes.changed(tx, by.org_id))


async def every(desk: Desk) -> list[Change]:
    """The changes that some organisation has not looked at, for operators."""
    async with desk.database.reading() as tx:
        return _changes(await token_codes.every_change(tx))


async def accept(desk: Desk, version: Version, *, by: Actor, reason: str) -> None:
    """Let the organisation's money go on under this very version of a token.

    Raises `Forbidden`, `Invalid` without a reason, and `NotFound` where no such change waits.
    """
    by.require(Permission.SIGN)
    _must_be_said(reason)

    async def work(tx: Tx) -> None:
        chain, contract, fingerprint = version
        now = desk.clock.now()
        open_ = await token_codes.changed(tx, by.org_id)
        word = Accepted(by.org_id, *version, accepted_by=by.uid, reason=reason, accepted_at=now)
        waits = version in {(one.chain, one.contract, one.fingerprint) for one in open_}
        if not waits or not await token_codes.accept(tx, word):
            raise NotFound("there is no such change of a token that waits for anybody")
        told = {"chain": chain, "fingerprint": fingerprint, "reason": reason}
        await note(desk, tx, by, "token_change_accepted", contract, **told)

    await desk.database.run(work)


async def accepted(desk: Desk, by: Actor) -> list[Acceptance]:
    """The changes that the actor's organisation lets its money go on under, the newest word first.

    Raises `Forbidden`.
    """
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        rows = await token_codes.accepted(tx, by.org_id)
        people = await orgs.everybody(tx, by.org_id)
    names = {ids.public("user", one.member_id): one.name for one in people}
    return [
        Acceptance(
            asset, row.fingerprint, names.get(row.accepted_by, ""), row.reason, row.accepted_at
        )
        for row in rows
        if (asset := known_asset(row.chain, row.contract)) is not None
    ]


async def withdraw(desk: Desk, version: Version, *, by: Actor, reason: str) -> None:
    """Take the organisation's word about a version back: its money waits again for a look at it.

    What is signed meanwhile goes on. Raises `Forbidden`, `Invalid` without a reason, and `NotFound`
    where no such version is accepted.
    """
    by.require(Permission.SIGN)
    _must_be_said(reason)

    async def work(tx: Tx) -> None:
        chain, contract, fingerprint = version
        if not await token_codes.withdraw(tx, by.org_id, version):
            raise NotFound("no such change of a token is accepted")
        told = {"chain": chain, "fingerprint": fingerprint, "reason": reason}
        await note(desk, tx, by, "token_acceptance_withdrawn", contract, **told)

    await desk.database.run(work)


def _must_be_said(reason: str) -> None:
    if not reason.strip():
        raise Invalid.field("reason", "is required: say what you found, for those who look later")


async def held(tx: Tx, org_id: int) -> frozenset[tuple[str, str]]:
    """The chain and contract of tokens for which nothing is signed just now."""
    return frozenset((one.chain, one.contract) for one in await token_codes.changed(tx, org_id))


def _changes(seen: Sequence[SeenCode]) -> list[Change]:
    return [
        Change(asset, one.fingerprint, tuple(one.behind), one.seen_at)
        for one in seen
        if (asset := known_asset(one.chain, one.contract)) is not None
    ]
