"""The books against the chain: every address of ours, at one finalized block, to the unit."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from counterfoil.chains.port import Chain
from counterfoil.core.assets import CHAINS
from counterfoil.core.money import Asset
from counterfoil.desk import proving
from counterfoil.desk.desk import Desk
from counterfoil.desk.proving import Place
from counterfoil.desk.watching import Mark

_BATCH: Final = 1_000


@dataclass(frozen=True, slots=True)
class Difference:
    """An address that does not hold what the books say, in base units, after a block."""

    org_id: int
    account: str
    address: str
    asset: Asset
    block_number: int
    book_units: int
    chain_units: int
    under_way: bool
    """A move from or to here is signed but not booked: look again in a minute."""

    @property
    def unexplained_units(self) -> int:
        """What the chain has beyond the books; negative where it has less."""
        return self.chain_units - self.book_units


@dataclass(frozen=True, slots=True)
class Compared:
    """One asset of one chain, compared at all of our addresses."""

    asset: Asset
    block_number: int
    addresses: int
    book_units: int
    chain_units: int
    differences: tuple[Difference, ...]


async def reconcile(desk: Desk, chain: Chain) -> AsyncIterator[Compared]:
    """Compare every registered asset of a chain, one by one, at the last block in the books.

    The chain's own coin is compared at deposit addresses as well: nobody watches those of invoices
    that do not ask for it, so this is where coin that came to one is found. Yields nothing for a
    chain that was never watched.
    """
    final = await proving.final_block(desk, chain.key)
    if final is None:
        return
    places = await proving.places(desk, chain.key, final.number)
    known = CHAINS[chain.key]
    for asset in (known.native, *known.accepted, *known.known_other):
        yield await _compare(chain, asset, places, final)


async def _compare(chain: Chain, asset: Asset, places: Sequence[Place], final: Mark) -> Compared:
    book = [place.units.get(asset.contract, 0) for place in places]
    held: list[int] = []
    for start in range(0, len(places), _BATCH):
        addresses = [place.address for place in places[start : start + _BATCH]]
        held += await chain.token_balances(asset.contract, addresses, final.hash)
    return Compared(
        asset=asset,
        block_number=final.number,
        addresses=len(places),
        book_units=sum(book),
        chain_units=sum(held),
        differences=tuple(
            Difference(
                org_id=place.org_id,
                account=place.account,
                address=place.address,
                asset=asset,
                block_number=final.number,
                book_units=in_books,
                chain_units=on_chain,
                under_way=place.under_way,
            )
            for place, in_books, on_chain in zip(places, book, held, strict=True)
            if in_books != on_chain
        ),
    )
