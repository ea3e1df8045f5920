"""What has to be there before anything can be paid: addresses, wallets, the factory, gas."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from counterfoil.books import addresses, fuel, ledger, moves, orgs, wallets
from counterfoil.books.addresses import DepositAddress
from counterfoil.books.moves import MovePurpose, MoveRow, NewMove
from counterfoil.books.orgs import Org
from counterfoil.books.wallets import WalletRole, WalletRow
from counterfoil.core.assets import CHAINS, FUEL_DAY_WEI, Family
from counterfoil.core.journal import JournalEntry, LedgerAccount, Posting
from counterfoil.core.money import Money
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk

__all__ = ["Org"]

PARKED_REST: Final = timedelta(hours=1)
"""How long a parked fuelling keeps the next one back: long enough for a person to see why, and
for what is refused for ever not to be planned without end."""

_STOCK_BATCH: Final = 1_000
"""Addresses in one transaction: the counter they are numbered from is locked that long."""


@dataclass(frozen=True, slots=True)
class FuelLevels:
    """When to fuel and how far, in wei.

    ``target_wei`` stays within the signer's cap for one fuelling
    (`counterfoil.signer.policy.Limits.fuel_wei`). ``day_wei`` bounds what a station hands out in a
    day, to an organisation's wallets and deposit addresses on a chain together; ``days_wei`` on
    some chains. The signer has the same settings and keeps to its own.
    """

    low_wei: int = 10**16
    target_wei: int = 5 * 10**16
    day_wei: int = FUEL_DAY_WEI
    days_wei: Mapping[str, int] = field(default_factory=dict)

    def day_on(self, chain: str) -> int:
        """What may be handed out in a day on a chain."""
        return self.days_wei.get(chain, self.day_wei)


@dataclass(frozen=True, slots=True)
class Stock:
    """Free deposit addresses of an organisation: below ``low_water``, fill up to ``target``."""

    low_water: int = 1_000
    target: int = 5_000


@dataclass(frozen=True, slots=True)
class Seen:
    """One wallet as the chain had it at a finalized block."""

    address: str
    nonce: int
    balance_wei: int


@dataclass(frozen=True, slots=True)
class Funded:
    """Native coin that came to a wallet of ours from outside."""

    wallet: WalletRow
    amount_wei: int


@dataclass(frozen=True, slots=True)
class GasLow:
    """The gas station cannot fuel a wallet: it has less than what is needed.

    Or it may not: with ``day_wei`` it has handed out so much of its day's fuel that too little is
    left of that until midnight UTC.
    """

    gas_address: str
    has_wei: int
    needs_wei: int
    wallet: WalletRow
    day_wei: int | None = None


_COIN: Final[tuple[tuple[WalletRole, LedgerAccount], ...]] = (
    ("pool", "pool:coin"),
    ("hold", "hold:coin"),
)
"""The account of customers' coin in a wallet that has gas money as well."""


async def all_orgs(desk: Desk) -> list[Org]:
    """Every organisation with its addresses."""
    async with desk.database.reading() as tx:
        return await orgs.all_orgs(tx)


async def ensure_wallets(
    desk: Desk, org: Org, chain: str, nonces: Mapping[str, int]
) -> list[WalletRow]:
    """Write down the organisation's signing wallets on a chain, unless they are known.

    ``nonces`` maps their addresses to the transactions that the chain counts at its finalized
    block. Answers those that were new.
    """
    roles: tuple[tuple[WalletRole, str], ...] = (
        ("operator", org.operator_address),
        ("pool", org.pool_address),
        ("hold", org.hold_address),
        ("gas", org.gas_address),
    )
    rows = [
        WalletRow(chain, address, org.org_id, role, nonces[address], None)
        for role, address in roles
        if address in nonces
    ]
    async with desk.database.transaction() as tx:
        return [row for row in rows if await wallets.ensure(tx, row)]


async def fill(
    desk: Desk, org_id: int, family: Family, stock: Stock, derive: Callable[[int], str]
) -> int:
    """Fill the stock of deposit addresses up to its target once it is low.

    ``derive`` turns a number into its address; it is arithmetic and must not wait for anything.
    Answers how many were added.
    """
    async with desk.database.reading() as tx:
        free = await addresses.free_count(tx, org_id, family)
    missing = stock.target - free if free < stock.low_water else 0
    for start in range(0, missing, _STOCK_BATCH):
        count = min(_STOCK_BATCH, missing - start)
        async with desk.database.transaction() as tx:
            numbers = await addresses.claim_numbers(tx, org_id, count)
            new = [DepositAddress(number, derive(number)) for number in numbers]
            await addresses.add(tx, org_id, family, new)
    return max(missing, 0)


async def fill_children(
    desk: Desk, org_id: int, family: Family, derive: Callable[[int], str]
) -> int:
    """Give every free number an address with a key of its own; answers how many got one.

    ``derive`` is as in `fill`. Numbers that invoices have already stay without.
    """
    added = 0
    while True:
        async with desk.database.transaction() as tx:
            # Holds the organisation, and with it the order of numbers.
            await addresses.claim_numbers(tx, org_id, 0)
            numbers = await addresses.without_child(tx, org_id, family, _STOCK_BATCH)
            new = [DepositAddress(number, derive(number)) for number in numbers]
            await addresses.add_children(tx, org_id, family, new)
        added += len(new)
        if len(new) < _STOCK_BATCH:
            return added


async def plan_factory(desk: Desk, org: Org, chain: str) -> bool:
    """Have the organisation's factory deployed on a chain; False when that is planned already."""
    async with desk.database.transaction() as tx:
        return await moves.plan_once(
            tx,
            own_move(
                desk,
                org.org_id,
                "deploy",
                source_id=_factory_source(chain),
                chain=chain,
                destination=org.factory_address,
                amount_wei=0,
            ),
        )


async def factory_stands(desk: Desk, org: Org, chain: str) -> None:
    """Take note that the factory's code is on a chain, whoever sent it there.

    Anybody may deploy it through the public deployer, and our own transaction then reverts.
    """
    await plan_factory(desk, org, chain)
    async with desk.database.transaction() as tx:
        await moves.close_unsigned(
            tx, org.org_id, "deploy", _factory_source(chain), desk.clock.now()
        )


async def knows_wallet(desk: Desk, chain: str, address: str) -> bool:
    """Whether a wallet is written down on a chain."""
    async with desk.database.reading() as tx:
        return await wallets.get(tx, chain, address) is not None


async def factory_known(desk: Desk, org: Org, chain: str) -> bool:
    """Whether the books already say that the factory stands on a chain, for good."""
    async with desk.database.reading() as tx:
        return await moves.is_final(tx, org.org_id, "deploy", _factory_source(chain))


async def book_funding(
    desk: Desk, org_id: int, chain: str, block_number: int, seen: Sequence[Seen]
) -> list[Funded]:
    """Book native coin that came to our wallets from outside, as of a finalized block.

    ``seen`` has every wallet of the organisation on the chain. Nothing is booked while any of
    their transactions in that block is not settled here, or one after it is: what moved between
    our own wallets, and the fees, would look like gifts. Only increases are booked; what is
    missing is for ``counterfoil reconcile`` to report.
    """
    async with desk.database.transaction() as tx:
        held = await wallets.lock_all(tx, chain, org_id)
        found = await _gifts(tx, held, seen)
        for funded in found:
            await ledger.post(tx, org_id, _funding(desk, funded, block_number))
        return found


async def gifts(desk: Desk, org_id: int, chain: str, seen: Sequence[Seen]) -> list[Funded]:
    """What `book_funding` would book; nothing is."""
    async with desk.database.reading() as tx:
        ours = [w for w in await wallets.of_chain(tx, chain) if w.org_id == org_id]
        return await _gifts(tx, ours, seen)


async def _gifts(tx: Tx, ours: Sequence[WalletRow], seen: Sequence[Seen]) -> list[Funded]:
    held = {wallet.address: wallet for wallet in ours}
    found = []
    for one in seen:
        wallet = held[one.address]
        if not await wallets.settled_below(tx, wallet.chain, one.address, one.nonce):
            return []
        known_wei = await ledger.balance(tx, wallet.org_id, wallet.role, wallet.chain, "")
        for role, coin in _COIN:
            if wallet.role == role:
                known_wei += await ledger.balance(tx, wallet.org_id, coin, wallet.chain, "")
        if one.balance_wei > known_wei:
            found.append(Funded(wallet, one.balance_wei - known_wei))
    return found


async def left_today_wei(desk: Desk, tx: Tx, org_id: int, chain: str, day_wei: int) -> int:
    """What may still be handed out today, UTC. The caller holds the organisation's wallets."""
    midnight = desk.clock.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day_wei - await fuel.planned_units(tx, org_id, chain, midnight)


async def plan_fuel(  # noqa: PLR0913 - whose wallets, and the three levels that decide
    desk: Desk,
    org_id: int,
    chain: str,
    *,
    low_wei: int,
    target_wei: int,
    day_wei: int = FUEL_DAY_WEI,
) -> list[GasLow]:
    """Have wallets that hold less than ``low_wei`` filled up to ``target_wei`` by the gas station.

    The hold wallet gets some only once something is to leave it. At most one fuelling of a wallet
    is open at a time. A parked one is given up after
    `PARKED_REST`, and a new one takes its place. The station keeps ``low_wei`` for its own fees.
    In a day it hands out at most ``day_wei``, to children as well. Answers the wallets for which
    it has too little, or may not give so much today.
    """
    async with desk.database.transaction() as tx:
        ours = await wallets.lock_all(tx, chain, org_id)
        station = next((w for w in ours if w.role == "gas"), None)
        if station is None:
            return []
        left_wei = await ledger.balance(tx, org_id, "gas", chain, "")
        left_wei -= await fuel.open_fuel_units(tx, org_id, chain)
        today_wei = await left_today_wei(desk, tx, org_id, chain, day_wei)
        short = []
        for wallet in ours:
            has_wei = await ledger.balance(tx, org_id, wallet.role, chain, "")
            last = await fuel.last_fuel(tx, org_id, chain, wallet.address)
            idle = wallet.role == "hold" and not await fuel.hold_has_work(tx, org_id, chain)
            if wallet is station or idle or has_wei >= low_wei or is_open(last, desk.clock.now()):
                continue
            needs_wei = target_wei - has_wei
            if needs_wei + low_wei > left_wei:
                short.append(GasLow(station.address, max(left_wei, 0), needs_wei, wallet))
                continue
            if needs_wei > today_wei:
                has = max(today_wei, 0)
                short.append(GasLow(station.address, has, needs_wei, wallet, day_wei))
                continue
            left_wei -= needs_wei
            today_wei -= needs_wei
            if last is not None and last.status == "parked":
                # Were it retried later, the wallet would be fuelled twice.
                await moves.give_up(tx, org_id, [last.move_id], desk.clock.now())
            await moves.plan(tx, [_fuel(desk, wallet, last, needs_wei)])
        return short


async def low_stations(desk: Desk, *, low_wei: int, target_wei: int) -> list[GasLow]:
    """Every wallet that is low on gas and that its station cannot fill up, on all chains.

    What `plan_fuel` would answer, for those who look; nothing is planned.
    """
    found = []
    async with desk.database.reading() as tx:
        ours = await wallets.all_wallets(tx)
        for station in (wallet for wallet in ours if wallet.role == "gas"):
            place = (station.org_id, station.chain)
            left_wei = await ledger.balance(tx, station.org_id, "gas", station.chain, "")
            left_wei -= await fuel.open_fuel_units(tx, *place)
            for wallet in ours:
                if wallet == station or (wallet.org_id, wallet.chain) != place:
                    continue
                if wallet.role == "hold" and not await fuel.hold_has_work(tx, *place):
                    continue
                has_wei = await ledger.balance(tx, wallet.org_id, wallet.role, wallet.chain, "")
                needs_wei = target_wei - has_wei
                if has_wei < low_wei and needs_wei + low_wei > left_wei:
                    found.append(GasLow(station.address, max(left_wei, 0), needs_wei, wallet))
    return found


def is_open(last: MoveRow | None, now: datetime) -> bool:
    """Whether a fuelling keeps the next one back."""
    if last is None or last.status in {"final", "failed"}:
        return False
    return last.status != "parked" or now < last.updated_at + PARKED_REST


def _fuel(desk: Desk, wallet: WalletRow, last: MoveRow | None, amount_wei: int) -> NewMove:
    # Numbered, so that two workers that decide at the same time plan one and the same.
    round_number = 1 if last is None else int(last.source_id.rpartition(":")[2]) + 1
    return own_move(
        desk,
        wallet.org_id,
        "fuel",
        source_id=f"{wallet.chain}:{wallet.address}:{round_number}",
        chain=wallet.chain,
        destination=wallet.address,
        amount_wei=amount_wei,
    )


def own_move(  # noqa: PLR0913 - what differs between moves that no invoice asks for
    desk: Desk,
    org_id: int,
    purpose: MovePurpose,
    *,
    source_id: str,
    chain: str,
    destination: str,
    amount_wei: int,
) -> NewMove:
    """A movement that is not a step of any invoice."""
    return NewMove(
        org_id=org_id,
        move_id=desk.ids.new(),
        purpose=purpose,
        source_id=source_id,
        leg=0,
        invoice_id=None,
        chain=chain,
        contract="",
        destination=destination,
        amount_units=amount_wei,
        status="ready",
        approved_by=None,
        approved_at=None,
        warrant=None,
        created_at=desk.clock.now(),
    )


def _factory_source(chain: str) -> str:
    return f"factory:{chain}"


def _funding(desk: Desk, funded: Funded, block_number: int) -> JournalEntry:
    wallet = funded.wallet
    money = Money(funded.amount_wei, CHAINS[wallet.chain].native)
    return JournalEntry(
        cause=f"funding:{wallet.chain}:{wallet.address}:{block_number}",
        invoice_id=None,
        postings=(Posting("outside:funding", wallet.role, money),),
        at=desk.clock.now(),
        block_number=block_number,
    )
