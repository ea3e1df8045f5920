"""The only way out of frozen: nodes, books and signer are asked, and then a person."""

from collections.abc import Collection
from uuid import UUID

import pytest

from counterfoil.books import lost
from counterfoil.chains.port import At, Block, NonceSeen
from counterfoil.core.errors import NotFound, OutOfPlace
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import approving, moving
from counterfoil.signer.client import SignerRefused, SignerUnreachable
from counterfoil.signer.orders import KnownSignature, NonceUse, Order, Signed, TxTerms
from counterfoil.signer.wire import Code
from counterfoil.workers.thawing import thaw
from support.fake_chain import FakeChain, FakeTx
from support.fake_clock import FakeClock
from support.invoices import CHECKER
from support.pen import Pen
from support.till import Till, fresh_hash, reserve
from support.tower import left_behind
from support.treasury import land

LIMITS = TxTerms(nonce=0, gas_limit=100_000, max_fee_wei=10**9, tip_wei=10**6)
PERSON = Actor(CHECKER, 1, frozenset({Permission.SIGN}))


class Boasting(FakeChain):
    """A node that counts five transactions of everybody."""

    async def nonce(self, address: str, at: str) -> int:
        del address, at
        return 5


class Torn(FakeChain):
    """Two nodes behind one client: what is final for the one that counts is the first block."""

    async def nonce(self, address: str, at: str) -> int:
        return await super().nonce(address, self._chain[0].block.hash if at == "finalized" else at)


class Keeping(Pen):
    """Tells what it signed, or nothing at all."""

    uses: NonceUse | None = NonceUse()

    async def use_of(self, chain_id: int, sender: str, nonce: int) -> NonceUse:
        del chain_id, sender
        if self.uses is None:
            raise SignerUnreachable("no answer")
        return NonceUse() if nonce else self.uses

    async def sign(self, order: Order, terms: TxTerms) -> Signed:
        del order, terms
        raise SignerRefused(Code.FEE, "that is more than may be paid for gas now")


@pytest.fixture
def chain(clock: FakeClock) -> FakeChain:
    return FakeChain(clock)


@pytest.fixture
def signer(till: Till) -> Keeping:
    return Keeping(till.desk)


async def foreign(till: Till, chain: FakeChain, tx_hash: str | None = None) -> str:
    """Something used the pool's first nonce, and the pool is frozen for it; answers its address."""
    pool = (await till.wallet("pool")).address
    chain.pool.append(FakeTx(tx_hash or fresh_hash(), pool, 0))
    chain.mine(10)
    final = chain.finalized_block()
    await till.watched_to(final.number, block_hash=final.hash)
    await till.freeze("pool", "the chain counts more than we signed")
    return pool


async def thawed(
    till: Till, chain: FakeChain, signer: Keeping, pool: str, explained: Collection[int] = ()
) -> list[UUID]:
    return await thaw(
        till.desk,
        chain,
        signer,
        pool,
        by="operator:kim",
        reason="our own test of the key",
        explained=explained,
    )


async def stays_frozen(till: Till) -> bool:
    pool = await till.wallet("pool")
    return pool.frozen_reason is not None and pool.next_nonce == 0


async def test_what_nobody_knows_keeps_a_wallet_frozen_until_a_person_names_it(
    till: Till, chain: FakeChain, signer: Keeping
) -> None:
    pool = await foreign(till, chain)
    for wrong in ((), (1,)):
        with pytest.raises(OutOfPlace, match=r"neither the books .* thaw with --explained 0"):
            await thawed(till, chain, signer, pool, wrong)
        assert await stays_frozen(till)
    assert await thawed(till, chain, signer, pool, [0]) == []
    wallet = await till.wallet("pool")
    assert (wallet.frozen_reason, wallet.next_nonce) == (None, 1)


async def test_a_node_that_counts_what_was_never_sent_thaws_nothing(
    till: Till, clock: FakeClock, signer: Keeping
) -> None:
    """Thawed behind it, the wallet would wait for ever for nonces that nobody uses."""
    chain = Boasting(clock)
    pool = await foreign(till, chain)
    chain.says["b"] = NonceSeen(chain.finalized_block().hash, 0)
    with pytest.raises(OutOfPlace, match="does not count it as consumed"):
        await thawed(till, chain, signer, pool, range(5))
    chain.says["b"] = None
    with pytest.raises(OutOfPlace, match="b gave no answer"):
        await thawed(till, chain, signer, pool, range(5))
    assert await stays_frozen(till)


async def test_a_node_that_is_behind_hides_no_nonce_that_somebody_used(
    till: Till, clock: FakeClock, signer: Keeping
) -> None:
    chain = Torn(clock)
    pool = await foreign(till, chain)
    chain.says = dict.fromkeys(("a", "b"), NonceSeen(chain.finalized_block().hash, 1))
    with pytest.raises(OutOfPlace, match="thaw with --explained 0"):
        await thawed(till, chain, signer, pool)
    assert await stays_frozen(till)


class Choosing(FakeChain):
    """Two nodes behind one client, of which the first is behind in everything until it is left."""

    first: FakeChain | None = None
    other_is_away: bool = False

    async def block(self, at: At) -> Block | None:
        return await (self.first.block(at) if self.first else super().block(at))

    async def nonce(self, address: str, at: str) -> int:
        return await (self.first.nonce(address, at) if self.first else super().nonce(address, at))

    async def prefer_above(self, number: int) -> bool:
        if self.other_is_away or not await super().prefer_above(number):
            return False
        self.first = None
        return True


async def test_a_node_that_is_behind_in_everything_thaws_nothing(
    till: Till, clock: FakeClock, signer: Keeping
) -> None:
    """What it calls final is older than what the wallet was frozen for."""
    chain = Choosing(clock)
    chain.mine(9)
    behind = left_behind(chain)
    pool = await foreign(till, chain)
    chain.first, chain.other_is_away = behind, True
    with pytest.raises(OutOfPlace, match=r"no node that answers has finalized block \d+"):
        await thawed(till, chain, signer, pool)
    chain.other_is_away = False
    with pytest.raises(OutOfPlace, match="thaw with --explained 0"):
        await thawed(till, chain, signer, pool)
    assert await stays_frozen(till)


async def test_a_node_that_hides_a_nonce_thaws_nothing_while_another_counts_it(
    till: Till, clock: FakeClock, signer: Keeping
) -> None:
    class Hiding(FakeChain):
        async def nonce(self, address: str, at: str) -> int:
            del address, at
            return 0

    chain = Hiding(clock)
    pool = await foreign(till, chain)
    chain.says["b"] = NonceSeen(chain.finalized_block().hash, 1)
    with pytest.raises(OutOfPlace, match="counts 0 transactions of this wallet, and b counts 1"):
        await thawed(till, chain, signer, pool)
    assert await stays_frozen(till)


async def test_without_the_signers_word_nothing_is_thawed(
    till: Till, chain: FakeChain, signer: Keeping
) -> None:
    pool = await foreign(till, chain)
    signer.uses = None
    with pytest.raises(OutOfPlace, match="it stays frozen: the signer does not say"):
        await thawed(till, chain, signer, pool, [0])
    assert await stays_frozen(till)
    with pytest.raises(NotFound):
        await thawed(till, chain, signer, "0x" + "01" * 20)


async def test_what_the_signer_signed_and_the_books_do_not_take_is_never_paid_again(
    till: Till, chain: FakeChain, signer: Keeping
) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    await land(till)
    payout, tx_hash = await till.move(bill, "payout"), fresh_hash()
    signer.uses = NonceUse((str(payout.move_id),), (KnownSignature(LIMITS, tx_hash),))
    pool = await foreign(till, chain, tx_hash)
    with pytest.raises(
        OutOfPlace, match=f"{tx_hash}, which the signer signed and the books do not"
    ):
        await thawed(till, chain, signer, pool)
    assert await stays_frozen(till)

    assert await thawed(till, chain, signer, pool, [0]) == []
    async with till.desk.database.reading() as tx:
        known = await lost.get(tx, "arb", pool, 0)
    assert known is not None
    assert (known.ended, known.move_ids) == ("landed", [payout.move_id])
    await moving.park(till.desk, 1, {payout.move_id: "it was paid"})
    with pytest.raises(OutOfPlace, match="the money has left and is not booked"):
        await approving.approve_again(till.desk, payout.move_id, PERSON, reason="once more")
