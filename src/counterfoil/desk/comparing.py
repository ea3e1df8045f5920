"""Balances against the books while invoices are open: what nodes leave out of every list.

A node that lists transfers can leave one out and nobody would know; the balance knows
(specs/chains.md 6.2 item 3, decision 19).
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from counterfoil.books import transfers, unexplained
from counterfoil.books.transfers import Key
from counterfoil.books.unexplained import Compared, Unexplained
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Invalid, NotFound
from counterfoil.core.invoice import Status
from counterfoil.core.reckoning import Depth
from counterfoil.core.roles import Actor
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.metadata import BalanceDismissed
from counterfoil.desk.reach import held
from counterfoil.desk.record import record

__all__ = [
    "Compared",
    "Unexplained",
    "addresses",
    "dismiss",
    "due_addresses",
    "every",
    "keep",
    "known_at",
    "on_record",
    "open_addresses",
]

TAIL: Final = timedelta(days=7)
"""How long after its end an invoice's address is still compared."""


async def open_addresses(desk: Desk, chain: str, limit: int) -> list[Compared]:
    """Whom to compare, in this order: due soonest, then newest."""
    async with desk.database.looking() as tx:
        return await unexplained.open_addresses(
            tx,
            chain,
            ended=[status.value for status in Status if status.is_end],
            since=desk.clock.now() - TAIL,
            limit=limit,
        )


async def due_addresses(
    desk: Desk, chain: str, *, after: datetime, upto: datetime, contract: str | None = None
) -> list[Compared]:
    """The addresses of invoices that wait for money, or more of it, due between two times.

    With a ``contract`` (``""`` is native coin) only of those that ask for it on this chain.
    """
    async with desk.database.looking() as tx:
        return await unexplained.due_addresses(tx, chain, after=after, upto=upto, contract=contract)


async def known_at(
    desk: Desk,
    chain: str,
    compared: Sequence[Compared],
    contracts: Collection[str],
    block_number: int,
) -> dict[tuple[str, str], int]:
    """What records say was there at the end of a block, by address and token, in base units."""
    async with desk.database.reading() as tx:
        found = await unexplained.known_at(tx, chain, compared, contracts, block_number)
    return {(one.address, one.contract): one.units for one in found}


async def on_record(
    desk: Desk, chain: str, compared: Sequence[Compared], tx_hashes: Collection[str]
) -> set[Key]:
    """What of these transactions `known_at` counts for these addresses already."""
    org_ids = {one.org_id for one in compared}
    async with desk.database.reading() as tx:
        rows = await transfers.of_transactions(tx, chain, org_ids, tx_hashes)
        aside = await transfers.quarantined(tx, chain, tx_hashes)
    kept = {row.key for row in aside if row.depth > Depth.ORPHANED}
    return kept | {row.key for row in rows if row.depth > Depth.ORPHANED}


async def keep(
    desk: Desk,
    block_number: int,
    explained: Collection[Unexplained],
    found: Sequence[Unexplained],
) -> None:
    """Write down what is not explained, and forget what is explained after a block."""

    async def work(tx: Tx) -> None:
        await unexplained.explain(tx, explained, block_number)
        await unexplained.save(tx, found)

    await desk.database.run(work)


async def every(desk: Desk, chain: str | None = None) -> list[Unexplained]:
    """All that is not explained, of one chain or of all, the oldest first."""
    async with desk.database.looking() as tx:
        return await unexplained.every(tx, chain)


async def addresses(desk: Desk, chain: str, wanted: Collection[str]) -> list[Compared]:
    """These addresses of invoices again, for another look."""
    async with desk.database.reading() as tx:
        return await unexplained.of_addresses(tx, CHAINS[chain].family, wanted) if wanted else []


async def dismiss(desk: Desk, chain: str, address: str, *, by: str, reason: str) -> int:
    """Say that what an address holds beyond the books is nobody's payment; answers how many tokens.

    A person has looked: it is known from now on, the invoice may expire and its money be swept
    again, and what comes later is missed anew. Raises `NotFound` where nothing is unexplained there
    and `Invalid` without a reason.
    """
    if not reason.strip():
        raise Invalid.field("reason", "is required: say what you found, for those who look later")

    async def work(tx: Tx) -> int:
        at = (chain, address)
        open_ = [o for o in await unexplained.every(tx, chain) if o.address == address]
        if not open_:
            raise NotFound(f"{address} on {chain} holds nothing that the books do not explain")
        org_id, invoice_id = open_[0].org_id, open_[0].invoice_id
        invoice = await held(tx, org_id, invoice_id)
        now, actor = desk.clock.now(), Actor(by, org_id, frozenset())
        found = await unexplained.lock_at(tx, *at, invoice_id)
        for one in found:
            dismissed = unexplained.Dismissed(
                dismissal_id=desk.ids.new(),
                chain=chain,
                address=address,
                contract=one.contract,
                org_id=org_id,
                invoice_id=invoice_id,
                amount_units=one.chain_units - one.known_units,
                block_number=one.block_number,
                dismissed_by=by,
                reason=reason,
                dismissed_at=now,
            )
            await unexplained.dismiss(tx, [dismissed])
            event = BalanceDismissed(
                at=now,
                by=by,
                reason=reason,
                address=address,
                asset=f"{chain}:{one.contract}",
                amount_units=dismissed.amount_units,
            )
            invoice = await record(desk, tx, invoice, invoice, event=event, by=actor, todo=())
        return len(found)

    return await desk.database.run(work)
