"""Tokens that are not registered and come to an invoice: noted, a few of them, and nothing else."""

import pytest

from counterfoil.books import unknown
from counterfoil.books.unknown import UnknownToken
from counterfoil.core.assets import CHAINS
from counterfoil.core.invoice import Invoice, Status
from counterfoil.desk.unknown import KEPT_OF_INVOICE
from counterfoil.workers.unknown import UnknownTokens
from support.fake_chain import FakeTx, Moved
from support.invoices import CUSTOMER, DUE, STRANGER, USDT
from support.tower import Tower, left_behind

LOOK_ALIKE = "0x" + "fa" * 20


@pytest.fixture
async def looker(tower: Tower) -> UnknownTokens:
    """Somebody who looks, from the block on that is final now."""
    found = UnknownTokens(tower.desk, {"arb": tower.chain})
    assert not await found.step()
    return found


def pay(tower: Tower, bill: Invoice, *contracts: str) -> FakeTx:
    moves = [Moved(one, CUSTOMER, bill.deposit_address, DUE) for one in contracts]
    return tower.chain.include(*moves)


async def looked(tower: Tower, looker: UnknownTokens) -> None:
    """All that is there becomes final and is looked at."""
    tower.mine(10)
    await tower.watch()
    for _ in range(20):
        if not await looker.step():
            return
    raise AssertionError("the looker never rests")


async def notes(tower: Tower, bill: Invoice) -> list[UnknownToken]:
    async with tower.desk.database.reading() as tx:
        return await unknown.of_invoices(tx, bill.org_id, [bill.invoice_id])


async def test_a_token_that_looks_like_another_is_noted_and_pays_nothing(
    tower: Tower, looker: UnknownTokens
) -> None:
    bill, other = await tower.shop.bill(), await tower.shop.bill()
    tx = pay(tower, bill, LOOK_ALIKE)
    pay(tower, bill, LOOK_ALIKE)
    await looked(tower, looker)

    (note,) = await notes(tower, bill)
    assert (note.chain, note.contract, note.tx_hash) == ("arb", LOOK_ALIKE, tx.tx_hash)
    assert (note.from_address, note.amount_units) == (CUSTOMER, DUE)
    assert await notes(tower, other) == []
    assert await tower.shop.transfers(bill) == []
    assert await tower.shop.status(bill) is Status.AWAITING_PAYMENT

    pay(tower, bill, USDT.contract)
    await looked(tower, looker)
    assert await tower.shop.deposited(bill) == DUE


async def test_a_token_that_says_any_amount_is_noted_and_stops_nobody(
    tower: Tower, looker: UnknownTokens
) -> None:
    """Another contract may write whatever fits its log, which is more than our books count."""
    bill, other = await tower.shop.bill(), await tower.shop.bill()
    most_units = 2**256 - 1
    tower.chain.include(Moved(LOOK_ALIKE, CUSTOMER, bill.deposit_address, most_units))
    pay(tower, other, LOOK_ALIKE)
    await looked(tower, looker)
    assert [note.amount_units for note in await notes(tower, bill)] == [most_units]
    assert [note.amount_units for note in await notes(tower, other)] == [DUE]


async def test_what_is_registered_is_no_unknown_token(tower: Tower, looker: UnknownTokens) -> None:
    bill = await tower.shop.bill()
    known = CHAINS["arb"]
    pay(tower, bill, *(asset.contract for asset in (*known.accepted, *known.known_other)))
    tower.chain.include(Moved(LOOK_ALIKE, CUSTOMER, STRANGER, DUE))
    await looked(tower, looker)
    assert await notes(tower, bill) == []


async def test_whoever_makes_tokens_without_end_is_told_of_a_few_times(
    tower: Tower, looker: UnknownTokens
) -> None:
    bill, other = await tower.shop.bill(), await tower.shop.bill()
    made = [f"0x5a{number:038x}" for number in range(3 * KEPT_OF_INVOICE)]
    for one in made:
        pay(tower, bill, one)
        tower.mine()
    pay(tower, other, LOOK_ALIKE)
    await looked(tower, looker)
    assert [note.contract for note in await notes(tower, bill)] == made[:KEPT_OF_INVOICE]
    assert [note.contract for note in await notes(tower, other)] == [LOOK_ALIKE]


@pytest.mark.parametrize("blocks", [10, 300], ids=["at once", "in several spans"])
async def test_a_token_that_only_a_node_left_behind_has_seen_is_not_noted(
    tower: Tower, monkeypatch: pytest.MonkeyPatch, blocks: int
) -> None:
    bill = await tower.shop.bill()
    tower.mine()
    await tower.watch()
    looker = UnknownTokens(tower.desk, {"arb": tower.chain})
    assert not await looker.step()
    behind = left_behind(tower.chain)
    behind.include(Moved(LOOK_ALIKE, CUSTOMER, bill.deposit_address, DUE))
    behind.mine(blocks + 2)
    tower.mine(blocks)
    await tower.watch()
    with monkeypatch.context() as patched:
        for name in ("block", "headers", "transfers"):
            patched.setattr(tower.chain, name, getattr(behind, name))
        for _ in range(5):
            await looker.step()
    assert await notes(tower, bill) == []

    pay(tower, bill, LOOK_ALIKE)
    await looked(tower, looker)
    assert [note.contract for note in await notes(tower, bill)] == [LOOK_ALIKE]


async def test_a_node_that_fails_or_takes_few_blocks_only_makes_it_later(
    tower: Tower, looker: UnknownTokens
) -> None:
    bill = await tower.shop.bill()
    pay(tower, bill, LOOK_ALIKE)
    tower.mine(60)
    await tower.watch()
    tower.chain.faults.unreachable = True
    assert not await looker.step()
    tower.chain.faults.unreachable = False
    tower.chain.faults.widest_range = 7
    for _ in range(30):
        if not await looker.step():
            break
    assert [note.contract for note in await notes(tower, bill)] == [LOOK_ALIKE]

    pay(tower, bill, "0x" + "fb" * 20)
    tower.mine(10)
    await tower.watch()
    tower.chain.faults.widest_range = 0
    for _ in range(30):
        if not await looker.step():
            break
    tower.chain.faults.widest_range = None
    pay(tower, bill, "0x" + "fc" * 20)
    await looked(tower, looker)
    assert [note.contract[:4] for note in await notes(tower, bill)] == ["0xfa", "0xfc"]
