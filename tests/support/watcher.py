"""`Watcher`: tells the desk of blocks and payments as a chain's watcher would, without a node."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from counterfoil.books import transfers
from counterfoil.books.transfers import Quarantined
from counterfoil.core.invoice import Invoice
from counterfoil.desk import watching
from counterfoil.desk.desk import Desk
from counterfoil.desk.watching import Lease, Mark, Recorded, Sighting
from support.fake_clock import NOON
from support.invoices import CUSTOMER, DUE, USDT


def block_hash(number: int, fork: str = "a") -> str:
    return f"0x{fork * 8}{number:056x}"


def mark(number: int, fork: str = "a") -> Mark:
    return Mark(number, block_hash(number, fork), block_time(number))


def block_time(number: int) -> datetime:
    return NOON + timedelta(seconds=number)


def payment(
    to: Invoice | str, number: int, units: int = DUE, *, tx: str = "1", index: int = 0
) -> Sighting:
    """A transfer of the customer's USDT in block ``number`` of the first fork."""
    return Sighting(
        tx_hash=f"0x{tx:0>64}",
        log_index=index,
        block_number=number,
        block_hash=block_hash(number),
        block_at=block_time(number),
        contract=USDT.contract,
        from_address=CUSTOMER,
        to_address=to if isinstance(to, str) else to.deposit_address,
        amount_units=units,
    )


def moved(seen: Sighting, number: int, fork: str = "b", **changes: object) -> Sighting:
    """The same transfer in a block of another fork."""
    there = replace(
        seen,
        block_number=number,
        block_hash=block_hash(number, fork),
        block_at=block_time(number),
    )
    return replace(there, **changes)  # type: ignore[arg-type]  # - any field may be changed


class Watcher:
    """A watcher without a node: a test tells it what it reads."""

    def __init__(self, desk: Desk, chain: str = "arb") -> None:
        self.desk = desk
        self.lease = Lease(chain, desk.ids.new())

    async def start(self, number: int = 0) -> "Watcher":
        await watching.start(self.desk, self.lease.chain, mark(number))
        assert await watching.take(self.desk, self.lease, 15) is not None
        return self

    async def seen(
        self, after: int, upto: int, sightings: Sequence[Sighting] = (), fork: str = "a"
    ) -> Recorded:
        return await watching.record_seen(self.desk, self.lease, after, mark(upto, fork), sightings)

    async def final(
        self, after: int, upto: int, *sightings: Sighting, vouched: Sequence[Sighting] = ()
    ) -> Recorded:
        return await watching.record_final(
            self.desk,
            self.lease,
            after,
            mark(upto),
            sightings,
            vouched=[one.key for one in vouched],
        )

    async def safe(self, number: int, *hashes: str) -> Recorded:
        return await watching.record_safe(self.desk, self.lease, number, hashes)


async def kept_aside(desk: Desk, *sightings: Sighting) -> list[Quarantined]:
    async with desk.database.reading() as tx:
        return await transfers.quarantined(tx, "arb", [one.tx_hash for one in sightings])
