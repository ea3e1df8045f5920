"""Gas money for deposit addresses that have keys of their own: exactly what their sweeps need.

A child gets its gas from the organisation's station just before it sends its tokens to the pool,
and more where that turns out to be too little. What is left over stays there, in the books as
everywhere (specs/chains.md 2.1 design a).
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from counterfoil.books import addresses, children, fuel, ledger, lost, moves, wallets
from counterfoil.books.children import WAITING_FOR_GAS, ChildSweep
from counterfoil.books.moves import MoveRow
from counterfoil.books.wallets import TxRow, WalletRow
from counterfoil.core.assets import CHAINS, FUEL_DAY_WEI
from counterfoil.core.journal import JournalEntry, Posting
from counterfoil.core.money import Money
from counterfoil.db.pool import Tx
from counterfoil.desk import moving
from counterfoil.desk.desk import Desk
from counterfoil.desk.moving import Batch
from counterfoil.desk.provisioning import Seen, is_open, left_today_wei, own_move

__all__ = ["WAITING_FOR_GAS", "ChildSweep", "Seen"]

STATION_PAUSE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Levels:
    """What a child has to have, in wei, and what its station keeps for its own fees.

    ``least_wei`` and ``most_wei`` are both the cost of a sweep: what lies between keeps a fee that
    rises by a little from asking for fuel again, which takes as long as a chain takes to be final.
    ``day_wei`` bounds what the station hands out in a day.
    """

    least_wei: int
    most_wei: int
    reserve_wei: int
    day_wei: int = FUEL_DAY_WEI


@dataclass(frozen=True, slots=True)
class Purse:
    """What a child has for gas and what it was given, in wei. ``fuelled``: more is on its way."""

    has_wei: int
    fuelled: bool
    short: str | None = None


AT_ONCE: Final = 100
"""Sweeps looked at in one round; the next round goes on behind them."""


class Turns:
    """Goes through the sweeps by child keys page by page, each chain by itself.

    What stands still at the front must not starve what is behind it.
    """

    def __init__(self, desk: Desk, at_once: int = AT_ONCE) -> None:
        """Begin with the oldest."""
        self._desk = desk
        self._at_once = at_once
        self._after: dict[str, tuple[datetime, UUID]] = {}

    async def sweeps(self, chain: str) -> list[ChildSweep]:
        """The next sweeps that may start, without those whose fuel is coming."""
        async with self._desk.database.reading() as tx:
            page = await children.ready_sweeps(
                tx,
                chain,
                CHAINS[chain].family,
                moving.RUNS_WHILE,
                self._desk.clock.now(),
                limit=self._at_once,
                after=self._after.pop(chain, None),
            )
        if len(page) == self._at_once:
            self._after[chain] = page[-1].created_at, page[-1].move_id
        return page

    async def wallets(self, chain: str) -> list[WalletRow]:
        """The next children that have something to sweep or a lost nonce, with known nonces."""
        found = {sweep.address for sweep in await self.sweeps(chain)}
        async with self._desk.database.reading() as tx:
            found |= {hole.wallet for hole in await lost.open_ones(tx, chain)}
            return await children.wallets_of(tx, chain, found) if found else []


async def _sweeps_of(desk: Desk, wallet: WalletRow) -> list[ChildSweep]:
    async with desk.database.reading() as tx:
        return await children.ready_sweeps(
            tx,
            wallet.chain,
            CHAINS[wallet.chain].family,
            moving.RUNS_WHILE,
            desk.clock.now(),
            limit=AT_ONCE,
            address=wallet.address,
        )


async def number_of(desk: Desk, wallet: WalletRow) -> int | None:
    """The number that a child is derived from; None for what is no child of ours."""
    async with desk.database.reading() as tx:
        owned = await addresses.owner_of_child(tx, CHAINS[wallet.chain].family, wallet.address)
    return owned.number if owned is not None and owned.org_id == wallet.org_id else None


async def next_batch(desk: Desk, wallet: WalletRow, *, skip: Collection[UUID]) -> Batch | None:
    """A child's oldest work that need not wait, without ``skip``; None when there is none."""
    for sweep in await _sweeps_of(desk, wallet):
        if sweep.move_id not in skip:
            return await moving.batch_of(desk, wallet, [sweep.move_id])
    return None


async def is_known(desk: Desk, chain: str, address: str) -> bool:
    """Whether the nonce of a child is known on a chain."""
    async with desk.database.reading() as tx:
        return await wallets.get(tx, chain, address) is not None


async def ensure(desk: Desk, chain: str, sweep: ChildSweep, seen: Seen, block_number: int) -> None:
    """Write down a child that is about to sign for the first time, and the coin it has already.

    ``seen`` is how the chain had it at the finalized block ``block_number``. Anybody can have sent
    coin to it, which is as good for gas as ours.
    """
    row = WalletRow(chain, sweep.address, sweep.org_id, "child", seen.nonce, None)
    async with desk.database.transaction() as tx:
        if not await wallets.ensure(tx, row) or not seen.balance_wei:
            return
        found = Money(seen.balance_wei, CHAINS[chain].native)
        entry = JournalEntry(
            cause=f"funding:{chain}:{sweep.address}:{block_number}",
            invoice_id=sweep.invoice_id,
            postings=(Posting("outside:funding", "child", found),),
            at=desk.clock.now(),
            block_number=block_number,
        )
        await ledger.post(tx, sweep.org_id, entry)


async def wait(desk: Desk, sweep: ChildSweep, reason: str) -> None:
    """Say why a sweep by a child's key does not start yet; it is looked at again in a minute."""
    until = desk.clock.now() + STATION_PAUSE
    async with desk.database.transaction() as tx:
        await moves.wait(tx, sweep.org_id, [sweep.move_id], reason, until)


async def short_of_gas(desk: Desk, chain: str) -> list[tuple[ChildSweep, TxRow]]:
    """The signed sweeps that stand still for lack of gas money, each with its newest sibling."""
    found = []
    async with desk.database.reading() as tx:
        for sweep in await children.short_of_gas(tx, chain, CHAINS[chain].family):
            (move,) = await moves.by_ids(tx, sweep.org_id, [sweep.move_id])
            siblings = await wallets.of_nonce(tx, chain, sweep.address, move.nonce or 0)
            found.append((sweep, siblings[-1]))
    return found


async def plan_fuel(
    desk: Desk, chain: str, sweep: ChildSweep, levels: Levels, signed: TxRow | None = None
) -> Purse:
    """Have a child that has less than the least it needs fuelled up to the most.

    At most one fuelling of a child is open at a time. While the station has too little the sweep
    waits, and says so. ``signed`` is the newest sibling of a sweep that is signed already: what it
    can cost is not promised to anything else.
    """
    async with desk.database.transaction() as tx:
        # Whoever plans fuel holds the organisation's wallets, so that none is promised twice.
        ours = await wallets.lock_all(tx, chain, sweep.org_id)
        station = next((wallet for wallet in ours if wallet.role == "gas"), None)
        wallet = await wallets.get(tx, chain, sweep.address)
        has_wei = await _purse_wei(tx, wallet) if wallet is not None else 0
        has_wei += signed.cost_wei if signed is not None else 0
        last = await fuel.last_fuel(tx, sweep.org_id, chain, sweep.address)
        if is_open(last, desk.clock.now()) or station is None:
            return Purse(has_wei, fuelled=False)
        if has_wei >= levels.least_wei:
            if signed is None or not _refused_since(signed, last):
                return Purse(has_wei, fuelled=False)
            # The node asks for more than the chain said that it takes.
            levels = replace(levels, most_wei=has_wei * 5 // 4)
        lacks_wei = levels.most_wei - has_wei
        left_wei = await ledger.balance(tx, sweep.org_id, "gas", chain, "")
        left_wei -= await fuel.open_fuel_units(tx, sweep.org_id, chain)
        today_wei = await left_today_wei(desk, tx, sweep.org_id, chain, levels.day_wei)
        if lacks_wei + levels.reserve_wei > left_wei:
            why = f"the station {station.address} has too little to fuel this address"
            short = await _wait(desk, tx, sweep, signed, why)
            return Purse(has_wei, fuelled=False, short=short)
        if lacks_wei > today_wei:
            why = (
                f"the station {station.address} may hand out {max(today_wei, 0)} wei more today of"
                f" {levels.day_wei}, and this address needs {lacks_wei}; it goes on after midnight"
                " UTC"
            )
            short = await _wait(desk, tx, sweep, signed, why)
            return Purse(has_wei, fuelled=False, short=short)
        if last is not None:
            # Were it retried later, the child would be fuelled twice.
            await moves.give_up(tx, sweep.org_id, [last.move_id], desk.clock.now())
        planned = own_move(
            desk,
            sweep.org_id,
            "fuel",
            source_id=f"{chain}:{sweep.address}:{_round(last)}",
            chain=chain,
            destination=sweep.address,
            amount_wei=lacks_wei,
        )
        await moves.plan(tx, [planned])
        return Purse(has_wei, fuelled=True)


async def purse_wei(desk: Desk, wallet: WalletRow) -> int:
    """What a child can spend on gas: what the books know of, less what is promised already."""
    async with desk.database.reading() as tx:
        return await _purse_wei(tx, wallet)


async def _purse_wei(tx: Tx, wallet: WalletRow) -> int:
    booked_wei = await moving.gas_money_wei(tx, wallet)
    return booked_wei - await wallets.promised_gas_wei(tx, wallet.chain, wallet.address)


def _refused_since(signed: TxRow, last: MoveRow | None) -> bool:
    """Whether a node found too little after the last fuel was there."""
    if signed.send_error != WAITING_FOR_GAS or signed.sent_at is None:
        return False
    return last is None or last.final_at is None or signed.sent_at > last.final_at


async def _wait(desk: Desk, tx: Tx, sweep: ChildSweep, signed: TxRow | None, why: str) -> str:
    until = desk.clock.now() + STATION_PAUSE
    reason = f"{WAITING_FOR_GAS}: {why}"
    if signed is None:
        await moves.wait(tx, sweep.org_id, [sweep.move_id], reason, until)
    else:
        await wallets.no_bump(tx, signed, reason, until)
    return reason


def _round(last: MoveRow | None) -> int:
    return 1 if last is None else int(last.source_id.rpartition(":")[2]) + 1
