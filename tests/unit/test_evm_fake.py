"""The fake chain behaves as the port promises, or tests that stand on it prove nothing."""

import pytest

from counterfoil.chains.evm.transactions import paid
from counterfoil.chains.port import Chain, ChainMoved, ChainUnreachable, RangeTooWide, SendOutcome
from support.fake_chain import FakeChain, FakeTx, Moved
from support.fake_clock import FakeClock

TOKEN = "0x" + "aa" * 20
PAYER = "0x" + "11" * 20
DEPOSIT = "0x" + "22" * 20
POOL = "0x" + "b0" * 20


@pytest.fixture
def chain() -> FakeChain:
    return FakeChain(FakeClock())


def payout(nonce: int = 0, *, fee: int = 0, bid: int = 1, serial: str = "01") -> FakeTx:
    move = Moved(TOKEN, POOL, PAYER, 100)
    return FakeTx("0x" + serial * 32, POOL, nonce, (move,), fee_wei=fee, max_fee_wei=bid)


async def test_it_is_a_chain(chain: FakeChain) -> None:
    port: Chain = chain
    await port.check()
    genesis = await port.block(0)
    assert genesis == chain.head
    assert await port.block(1) is None
    tip = chain.mine(9)
    before = await port.block(tip.number - 1)
    assert before is not None
    assert tip.parent_hash == before.hash
    safe, final = await port.block("safe"), await port.block("finalized")
    assert safe is not None
    assert final is not None
    assert (tip.number, safe.number, final.number) == (9, 7, 5)


async def test_a_payment_is_seen_once_it_is_mined_and_until_a_reorg(chain: FakeChain) -> None:
    tx = chain.pay(TOKEN, DEPOSIT, 5, PAYER)
    assert await chain.transfers(0, 0, [TOKEN], None) == []
    tip = chain.mine()
    (seen,) = await chain.transfers(0, 1, [TOKEN], [DEPOSIT], end_hash=tip.hash)
    assert (seen.tx_hash, seen.amount_units, seen.block_hash) == (tx.tx_hash, 5, tip.hash)
    assert await chain.token_balances(TOKEN, [DEPOSIT, PAYER], tip.hash) == [5, -5]
    assert await chain.token_balances(TOKEN, [DEPOSIT], tip.parent_hash) == [0]
    assert await chain.transfers(0, 1, [TOKEN], [POOL]) == []

    assert chain.reorg(1) == [tx]
    assert await chain.block(1) is None
    again = chain.mine()
    assert again.hash != tip.hash
    with pytest.raises(ChainMoved):
        await chain.transfers(0, 1, [TOKEN], None, end_hash=tip.hash)
    with pytest.raises(ChainMoved):
        await chain.transfers(1, 1, [TOKEN], None, after_hash=again.hash)
    (moved,) = await chain.transfers(0, 1, [TOKEN], [DEPOSIT])
    assert (moved.tx_hash, moved.block_hash) == (tx.tx_hash, again.hash)


async def test_two_movements_in_one_transaction_have_their_own_log_index(chain: FakeChain) -> None:
    chain.include(Moved(TOKEN, PAYER, DEPOSIT, 1), Moved(TOKEN, PAYER, DEPOSIT, 2))
    chain.include(Moved(TOKEN, PAYER, DEPOSIT, 3))
    chain.include(Moved(TOKEN, PAYER, DEPOSIT, 4), reverts=True)
    chain.mine()
    found = await chain.transfers(0, 1, [TOKEN], None)
    assert [(t.log_index, t.amount_units) for t in found] == [(0, 1), (1, 2), (2, 3)]


async def test_signed_bytes_have_their_registered_effect(chain: FakeChain) -> None:
    tx = payout()
    chain.register(b"raw", tx)
    assert (await chain.send(b"other")).outcome is SendOutcome.REFUSED
    assert (await chain.send(b"raw")).outcome is SendOutcome.ACCEPTED
    assert (await chain.send(b"raw")).outcome is SendOutcome.ALREADY_KNOWN
    assert await chain.nonce(POOL, "pending") == 1
    assert await chain.receipt(tx.tx_hash) is None
    chain.mine()
    receipt = await chain.receipt(tx.tx_hash)
    assert receipt is not None
    assert paid(receipt, TOKEN, POOL, PAYER, 100)
    assert (await chain.send(b"raw")).outcome is SendOutcome.NONCE_TOO_LOW
    assert [await chain.nonce(POOL, at) for at in ("latest", "finalized")] == [1, 0]


async def test_a_nonce_gap_waits_and_a_better_bid_replaces(chain: FakeChain) -> None:
    for raw, tx in {
        b"later": payout(1, serial="02"),
        b"first": payout(0, serial="01"),
        b"same bid": payout(0, serial="03"),
        b"better bid": payout(0, bid=2, serial="04"),
        b"costly": payout(2, fee=9, serial="05"),
    }.items():
        chain.register(raw, tx)
    await chain.send(b"later")
    chain.mine()
    assert await chain.nonce(POOL, "latest") == 0
    await chain.send(b"first")
    assert (await chain.send(b"same bid")).outcome is SendOutcome.UNDERPRICED
    assert (await chain.send(b"better bid")).outcome is SendOutcome.ACCEPTED
    assert (await chain.send(b"costly")).outcome is SendOutcome.NO_GAS_MONEY
    chain.mine()
    assert await chain.nonce(POOL, "latest") == 2
    assert await chain.receipt("0x" + "01" * 32) is None
    assert await chain.receipt("0x" + "04" * 32) is not None


async def test_faults(chain: FakeChain) -> None:
    chain.pay(TOKEN, DEPOSIT, 5)
    chain.mine(5)
    chain.faults.lag_blocks = 2
    shown = await chain.block("latest")
    assert shown is not None
    assert shown.number == 3
    with pytest.raises(ChainUnreachable):
        await chain.transfers(0, 5, [TOKEN], None)
    chain.faults.lag_blocks = 0
    chain.faults.empty_logs = True
    assert await chain.transfers(0, 5, [TOKEN], None) == []
    chain.faults.empty_logs = False
    chain.faults.widest_range = 5
    with pytest.raises(RangeTooWide):
        await chain.transfers(0, 5, [TOKEN], None)
    assert len(await chain.transfers(1, 5, [TOKEN], None)) == 1
    chain.faults.failing_calls = 1
    with pytest.raises(ChainUnreachable):
        await chain.block("latest")
    assert await chain.block("latest") is not None
    chain.register(b"raw", payout())
    chain.faults.lost_sends = True
    assert (await chain.send(b"raw")).outcome is SendOutcome.ACCEPTED
    assert chain.pool == []
    chain.faults.lost_sends = False
    chain.faults.mute_sends = True
    with pytest.raises(ChainUnreachable):
        await chain.send(b"raw")
    assert chain.pool == [payout()]
