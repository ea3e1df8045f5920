"""What landed only on a branch that leads nowhere, which one of two nodes still shows."""

from collections.abc import Collection

from counterfoil.chains.port import At, Block, Receipt
from counterfoil.core.invoice import Status
from counterfoil.signer.orders import NonceUse, Order, Signed, TxTerms
from counterfoil.workers.move import MoveWorker
from support.fake_chain import FakeChain, FakeTx, Moved
from support.fake_clock import FakeClock
from support.pen import Pen
from support.till import Till, fresh_hash, reserve
from support.tower import left_behind
from support.treasury import land


class Writing(Pen):
    """Signs everything."""

    async def use_of(self, chain_id: int, sender: str, nonce: int) -> NonceUse:
        del chain_id, sender, nonce
        return NonceUse()

    async def sign(self, order: Order, terms: TxTerms) -> Signed:
        del terms
        return Signed(b"bytes", fresh_hash(), (await self.addresses(order.org_id)).pool)


class Torn(FakeChain):
    """Two nodes behind one client: one says what is final, and everything else the other."""

    behind: FakeChain | None = None
    """The other, where it stayed on a branch that leads nowhere."""

    async def block(self, at: At) -> Block | None:
        behind = self.behind if isinstance(at, int) else None
        return await (behind.block(at) if behind else super().block(at))

    async def headers(self, numbers: Collection[int], *, below: Block) -> dict[int, Block | None]:
        behind = self.behind
        there = behind.headers if behind else super().headers
        return await there(numbers, below=below)

    async def receipt(self, tx_hash: str) -> Receipt | None:
        behind = self.behind
        return await (behind.receipt(tx_hash) if behind else super().receipt(tx_hash))


async def test_a_payment_is_not_called_paid_by_a_block_that_only_a_node_left_behind_has(
    till: Till, clock: FakeClock
) -> None:
    chain = Torn(clock)
    worker = MoveWorker(till.desk, {"arb": chain}, Writing(till.desk))
    bill = await till.signed_bill()
    await reserve(till)
    await land(till)
    await worker.reserve(chain)
    payout = await till.move(bill, "payout")
    sender, tx_hash = payout.wallet or "", payout.tx_hash or ""
    paid = Moved(payout.contract, sender, payout.destination, payout.amount_units)
    chain.mine(5)
    chain.pool.append(FakeTx(tx_hash, sender, payout.nonce or 0, (paid,), to=payout.contract))
    chain.mine()

    chain.behind = left_behind(chain)
    (landed,) = chain.reorg(2)
    chain.pool = []
    chain.mine(10)
    await worker.step()
    assert (await till.move(bill, "payout")).status == "signed"
    assert await till.status(bill) is Status.PAYOUT_PROCESSING

    chain.behind = None
    chain.pool.append(landed)
    chain.mine(10)
    await worker.follow(chain)
    assert await till.status(bill) is Status.COMPLETED
