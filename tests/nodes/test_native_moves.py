"""Native coin on its way out: merchants' money and gas money in one wallet, apart in the books."""

from typing import Final

import pytest
from eth_abi.abi import encode

from counterfoil.core.events import ApproveRefund, OrderRefund
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.journal import Posting
from counterfoil.core.money import Money
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk.act import act
from counterfoil.workers.reconcile import reconcile
from support.house import House
from support.invoices import DUE, ETH, MERCHANT_ADDRESS, OFFICERS, SIGNER, USDT
from support.till import ETHER

PAID: Final = ETHER // 2
REFUND_ADDRESS: Final = "0x" + "4e" * 20


async def in_pool_wallet(house: House) -> int:
    """Gas money and customers' coin together, as the books have them."""
    return await house.holds("pool") + await house.holds("pool:coin")


async def assert_books_equal_chain(house: House) -> None:
    async for compared in reconcile(house.desk, house.arb.chain):
        assert compared.differences == (), compared.asset


async def test_ether_is_swept_and_paid_out_to_the_last_wei(house: House) -> None:
    org = await house.org()
    gas_before = await house.holds("pool")
    bill, other = await house.signed_bill(PAID, ETH), await house.signed_bill()
    await house.drive(rounds=4)

    assert await house.status(bill) is Status.COMPLETED
    assert await house.status(other) is Status.COMPLETED
    assert await house.arb.balance(None, MERCHANT_ADDRESS) == PAID
    assert await house.at_merchant(USDT) == DUE
    books = await house.books(ETH)
    assert (books.deposit, books.merchant) == (0, PAID)
    assert await house.holds("pool:coin") == 0
    spent = sum(row.fee_wei or 0 for row in await house.txs() if row.wallet == org.pool_address)
    assert await house.holds("pool") == gas_before - spent
    assert await house.arb.balance(None, org.pool_address) == await in_pool_wallet(house)
    await assert_books_equal_chain(house)


async def test_swept_ether_is_neither_funding_nor_gas_money(house: House) -> None:
    gas_before = await house.holds("pool")
    funding_before = await house.holds("outside:funding")
    bill = await house.signed_bill(PAID, ETH)
    worker = house.worker()
    await worker.reserve(house.arb.chain)
    await worker.broadcast(house.arb.chain)
    await house.finalize()
    await house.fuel()
    await worker.follow(house.arb.chain)
    await house.fuel()

    assert (await house.move(bill, "sweep")).moved_units == PAID
    assert await house.holds("pool:coin") == PAID
    assert await house.holds("pool") == gas_before
    assert await house.holds("outside:funding") == funding_before
    await assert_books_equal_chain(house)


async def test_gas_money_pays_no_merchant(house: House) -> None:
    """The wallet holds enough on the chain, but what it holds is not the customer's."""
    bill = await house.signed_bill(PAID, ETH)
    worker = house.worker()
    await worker.step()
    await worker.step()
    await house.finalize()
    await worker.follow(house.arb.chain)
    await house.booked(Posting("pool:coin", "pool", Money(1, ETH)))
    await house.drive(worker)

    payout = await house.move(bill, "payout")
    assert payout.status == "ready"
    assert f"the pool has {PAID - 1} wei of customers' coin" in str(payout.wait_reason)
    assert await house.arb.balance(None, MERCHANT_ADDRESS) == 0


async def test_ether_goes_back_to_the_customer(house: House) -> None:
    bill = await house.paid_bill(PAID, ETH)
    await house.put(bill, Status.COMPLIANCE_DECLINED)
    await refund(house, bill)
    await house.drive(rounds=4)

    assert await house.status(bill) is Status.REFUNDED
    assert await house.arb.balance(None, REFUND_ADDRESS) == PAID
    assert await house.holds("pool:coin") == 0
    await assert_books_equal_chain(house)


SPEECHES: Final = {
    "nothing that can be kept": "no\x00thing",
    "without end": "no " * 5_000,
    "what a terminal obeys": "\x1b[2J\x1b[31mpaid\u202e",
    "what a node says that has too much to do": "nope: too many requests",
    "what a node says that keeps no old state": "no: missing trie node",
}


@pytest.mark.parametrize("speech", SPEECHES.values(), ids=SPEECHES.keys())
async def test_what_a_receiver_says_as_it_refuses_stops_nobody_else(
    house: House, speech: str
) -> None:
    """A customer has their money sent to a contract of their own, which takes none."""
    refused = await house.paid_bill(PAID, ETH)
    await house.arb.node.set_code(REFUND_ADDRESS, "0x" + _refusing(speech).hex())
    await house.put(refused, Status.COMPLIANCE_DECLINED)
    await refund(house, refused)
    served = await house.signed_bill()

    await house.drive(rounds=4)

    assert await house.status(served) is Status.COMPLETED
    assert await house.status(refused) is Status.REFUND_PROCESSING
    stands = str((await house.move(refused, "refund")).wait_reason)
    assert stands.startswith("the chain would refuse it: no" if speech[0] == "n" else "the chain")
    assert stands.isprintable()
    assert len(stands) < 400


def _refusing(speech: str) -> bytes:
    """The code of a contract that takes no coin, and says this."""
    said = bytes.fromhex("08c379a0") + encode(["string"], [speech])
    size = len(said).to_bytes(2).hex()
    copies = f"61{size}600e60003961{size}6000fd"
    return bytes.fromhex(copies) + said


async def test_coin_on_the_address_of_a_token_invoice_is_found_by_reconciling(
    house: House,
) -> None:
    bill = await house.paid_bill()
    await house.arb.pay(ETH, bill.deposit_address, PAID)
    await house.finalize()

    found = [
        d async for compared in reconcile(house.desk, house.arb.chain) for d in compared.differences
    ]
    assert [(d.asset, d.account, d.address, d.unexplained_units) for d in found] == [
        (ETH, "deposit", bill.deposit_address, PAID)
    ]


async def refund(house: House, bill: Invoice) -> None:
    """One person orders it, another lets it go."""
    at = house.desk.clock.now()
    may = frozenset({Permission.SIGN, Permission.REVIEW, Permission.APPROVE})
    order = OrderRefund(
        at=at, by=SIGNER, address=REFUND_ADDRESS, reason="declined", attachment_file_ids=()
    )
    await act(house.desk, 1, bill.invoice_id, order, Actor(SIGNER, 1, may))
    second = OFFICERS[0]
    await act(
        house.desk, 1, bill.invoice_id, ApproveRefund(at=at, by=second), Actor(second, 1, may)
    )
