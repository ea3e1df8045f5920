"""What somebody waits for goes first: a payment that is seen, until it is safe."""

from datetime import timedelta

from counterfoil.core.reckoning import Depth
from counterfoil.workers.watch import HURRY
from support.invoices import CUSTOMER, DUE, USDT
from support.tower import Tower


async def test_what_is_final_waits_while_somebody_waits_for_what_is_not_safe(
    tower: Tower,
) -> None:
    early, late = await tower.shop.bill(), await tower.shop.bill()
    tower.mine(3)
    await tower.watch()
    tower.chain.pay(USDT.contract, early.deposit_address, DUE, CUSTOMER)
    tower.mine(3)
    await tower.watch()
    (first,) = await tower.shop.transfers(early)
    assert first.depth is Depth.SAFE
    tower.chain.pay(USDT.contract, late.deposit_address, DUE, CUSTOMER)
    tower.chain.mine(2)  # so fast that our clock stands still
    await tower.watch()
    ((first,), (second,)) = [await tower.shop.transfers(one) for one in (early, late)]
    assert (first.depth, second.depth) == (Depth.SAFE, Depth.SEEN)
    assert (await tower.position()).final_number < first.block_number

    tower.clock.advance(HURRY + timedelta(seconds=1))
    await tower.watch()

    ((first,), (second,)) = [await tower.shop.transfers(one) for one in (early, late)]
    assert (first.depth, second.depth) == (Depth.FINAL, Depth.SEEN)
