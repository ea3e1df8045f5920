"""Money does not leave while nothing can be written down."""

from datetime import timedelta

import pytest

from counterfoil.db.pool import Database, OutOfService
from counterfoil.desk import moving
from counterfoil.desk.moving import Batch, Reserved, SignedBytes, Terms
from counterfoil.workers.move import MoveWorker
from support.fake_chain import FakeChain, FakeTx
from support.fake_clock import FakeClock
from support.hardship import read_only
from support.pen import Pen
from support.postgres import TestServer
from support.till import TERMS, Till, reserve


async def test_nothing_is_signed_or_sent_while_the_database_takes_no_writes(
    till: Till, clock: FakeClock, database: Database, postgres: TestServer
) -> None:
    await till.signed_bill()
    assert await reserve(till) is Reserved.SIGNED
    await till.signed_bill()
    waiting = await till.batch()
    (signed,) = await till.txs()
    chain = FakeChain(clock)
    chain.register(signed.raw, FakeTx(signed.tx_hash, signed.wallet, signed.nonce))
    worker = MoveWorker(till.desk, {"arb": chain}, Pen(till.desk))
    asked: list[int] = []

    async def sign(_batch: Batch, nonce: int, _terms: Terms) -> SignedBytes:
        asked.append(nonce)
        return SignedBytes(b"never", "0xnever")

    async with read_only(postgres, database):
        for _ in range(2):
            clock.advance(timedelta(minutes=10))
            with pytest.raises(OutOfService):
                await worker.broadcast(chain)
            with pytest.raises(OutOfService):
                await moving.reserve(till.desk, waiting, TERMS, sign)
        await worker.step()
    assert (chain.pool, asked) == ([], [])
    assert await till.txs() == [signed]

    assert await worker.broadcast(chain)
    assert [one.tx_hash for one in chain.pool] == [signed.tx_hash]
    (sent,) = await till.txs()
    assert (sent.status, sent.send_error) == ("sent", None)
