"""Tokens that an invoice does not accept, on a real chain: recognised, kept, and sent back."""

from datetime import timedelta
from typing import Final

from counterfoil.books import unknown
from counterfoil.core.assets import CHAINS
from counterfoil.core.events import Accept, ApproveRefund, OrderRefund, Quarantine
from counterfoil.core.invoice import Context, Invoice, RefundStatus, Status
from counterfoil.core.money import Money
from counterfoil.core.reckoning import received
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk.act import act
from counterfoil.workers.reconcile import reconcile
from counterfoil.workers.unknown import UnknownTokens
from support.chain import STRANGER
from support.fake_clock import FakeClock
from support.house import House
from support.invoices import DUE, OFFICERS, SIGNER, USDC, USDT

REFUND_ADDRESS: Final = "0x" + "4f" * 20
(USDC_E,) = CHAINS["arb"].known_other


async def refund(house: House, bill: Invoice, *amounts: Money) -> None:
    """One person orders it, another lets it go."""
    at = house.desk.clock.now()
    order = OrderRefund(
        at=at,
        by=SIGNER,
        address=REFUND_ADDRESS,
        reason="wrong token",
        attachment_file_ids=(),
        amounts=amounts,
    )
    for event in (order, ApproveRefund(at=at, by=OFFICERS[0])):
        actor = Actor(event.by, 1, frozenset({Permission.SIGN}))
        await act(house.desk, 1, bill.invoice_id, event, actor)


async def test_a_bridged_token_goes_back_whole_and_is_never_credited(house: House) -> None:
    bill = await house.bill(status=Status.SCREENING)
    paid = await house.arb.pay(USDC_E, bill.deposit_address, DUE)
    await house.receive(bill, DUE, USDC_E, block=paid.block_number)
    await house.finalize()
    await house.screened(bill)

    wrong = await house.look(bill)
    assert (wrong.status, wrong.context) == (Status.RESOLUTION_REQUIRED, Context.WRONG_ASSET)
    assert wrong.tally.assets == ()
    assert received(wrong) == (Money(DUE, USDC_E),)

    await refund(house, bill)
    await house.drive(rounds=4)

    assert await house.status(bill) is Status.REFUNDED
    assert await house.arb.balance(USDC_E, REFUND_ADDRESS) == DUE
    books = await house.books(USDC_E)
    assert (books.deposit, books.pool, books.payer) == (0, 0, 0)
    async for compared in reconcile(house.desk, house.arb.chain):
        assert compared.differences == (), compared.asset


async def test_beside_a_good_payment_it_stays_and_disturbs_nothing(house: House) -> None:
    bill = await house.bill(status=Status.SIGN_PENDING)
    for asset in (USDT, USDC_E):
        paid = await house.arb.pay(asset, bill.deposit_address, DUE)
        await house.receive(bill, DUE, asset, block=paid.block_number)
    await house.finalize()
    await house.screened(bill)
    await house.sign_off(bill)
    await house.drive(rounds=4)

    done = await house.look(bill)
    assert done.status is Status.COMPLETED
    assert await house.at_merchant(USDT) == DUE
    assert [(a.asset, a.final_units) for a in done.tally.stray] == [(USDC_E, DUE)]
    assert await house.deposited(bill, USDC_E) == DUE
    assert await house.arb.balance(USDC_E, bill.deposit_address) == DUE
    async for compared in reconcile(house.desk, house.arb.chain):
        assert compared.differences == (), compared.asset


async def test_a_token_that_nobody_knows_is_noted_and_the_right_one_pays_beside_it(
    house: House,
) -> None:
    """Its contract is a stranger's: what it does when it is called nobody can know, so none is."""
    looker = UnknownTokens(house.desk, house.chains)
    assert not await looker.step()
    bill = await house.bill(status=Status.SIGN_PENDING)
    fake, evil = await house.arb.deploy("OddToken"), await house.arb.deploy("Evil")
    to = bill.deposit_address
    minted = await house.arb.call("mint(address,uint256)", to, DUE, to=fake, sender=STRANGER)
    spoofed = "spoof(address,address,uint256)"
    await house.arb.call(spoofed, STRANGER, to, 2**255, to=evil, sender=STRANGER)
    paid = await house.arb.pay(USDT, to, DUE)
    await house.receive(bill, DUE, block=paid.block_number)
    await house.finalize()
    for _ in range(20):
        if not await looker.step():
            break

    async with house.desk.database.reading() as tx:
        noted = await unknown.of_invoices(tx, bill.org_id, [bill.invoice_id])
    assert [(one.contract, one.amount_units) for one in noted] == [(fake, DUE), (evil, 2**255)]
    assert noted[0].tx_hash == minted.tx_hash
    await house.screened(bill)
    await house.sign_off(bill)
    await house.drive(rounds=4)
    done = await house.look(bill)
    assert (done.status, done.tally.stray) == (Status.COMPLETED, ())
    assert await house.at_merchant(USDT) == DUE
    newest = await house.arb.chain.block("latest")
    assert newest is not None
    (held,) = await house.arb.chain.token_balances(fake, [to], newest.hash)
    assert held == DUE
    async for compared in reconcile(house.desk, house.arb.chain):
        assert compared.differences == (), compared.asset


async def test_beside_a_payment_that_is_paid_out_it_goes_back_once_it_was_screened(
    house: House,
) -> None:
    bill = await house.bill(status=Status.SIGN_PENDING)
    for asset in (USDT, USDC_E):
        paid = await house.arb.pay(asset, bill.deposit_address, DUE)
        await house.receive(bill, DUE, asset, block=paid.block_number)
    await house.finalize()
    await house.screened(bill)
    await house.sign_off(bill)
    await house.drive(rounds=4)

    await refund(house, bill, Money(DUE - 1, USDC_E))
    await house.drive(rounds=2)
    assert await house.arb.balance(USDC_E, bill.deposit_address) == DUE
    await house.stray_screened(bill)
    clock = house.desk.clock
    assert isinstance(clock, FakeClock)
    clock.advance(timedelta(minutes=1))
    await house.drive(rounds=4)

    done = await house.look(bill)
    assert (done.status, done.refunds[0].status) == (Status.COMPLETED, RefundStatus.SETTLED)
    assert await house.arb.balance(USDC_E, REFUND_ADDRESS) == DUE - 1
    assert await house.at_merchant(USDT) == DUE
    books = await house.books(USDC_E)
    assert (books.deposit, books.pool, books.payer) == (0, 1, -1)
    async for compared in reconcile(house.desk, house.arb.chain):
        assert compared.differences == (), compared.asset


async def test_taken_for_the_payment_it_comes_through_quarantine_with_the_right_one(
    house: House,
) -> None:
    bill = await house.bill(status=Status.SCREENING)
    await house.pay(bill, bill.deposit_address, DUE, USDC)
    await house.finalize()
    await house.screened(bill)
    accept = Accept(at=house.desk.clock.now(), by=SIGNER)
    by = Actor(SIGNER, house.org_id, frozenset({Permission.SIGN}))
    await act(house.desk, bill.org_id, bill.invoice_id, accept, by)
    await house.sign_off(bill)

    # What was asked for comes after all, and something is found about it.
    await house.pay(bill, bill.deposit_address, DUE, USDT)
    await house.finalize()
    await house.screened(bill, "aml_hold")
    officer = Actor(OFFICERS[0], house.org_id, frozenset({Permission.REVIEW}))
    aside = Quarantine(at=house.desk.clock.now(), by=officer.uid, reason="stolen")
    await act(house.desk, bill.org_id, bill.invoice_id, aside, officer)
    await house.drive(rounds=4)
    hold = (await house.org()).hold_address
    assert [await house.arb.balance(asset, hold) for asset in (USDC, USDT)] == [DUE, DUE]

    await house.released(bill)
    await house.fuel()
    await house.drive(rounds=6)
    assert await house.status(bill) is Status.COMPLETED
    assert await house.at_merchant(USDC) == DUE
    pool = (await house.org()).pool_address
    assert [await house.arb.balance(asset, pool) for asset in (USDC, USDT)] == [0, DUE]

    # Nobody signed for that one, so it waits for somebody to send it back.
    await refund(house, bill)
    await house.drive(rounds=4)
    assert await house.status(bill) is Status.COMPLETED
    assert await house.arb.balance(USDT, REFUND_ADDRESS) == DUE
    for asset, merchant in ((USDC, DUE), (USDT, 0)):
        books = await house.books(asset)
        assert (books.deposit, books.pool, books.merchant, books.payer) == (
            0, 0, merchant, -merchant,
        )  # fmt: skip
    async for compared in reconcile(house.desk, house.arb.chain):
        assert compared.differences == (), compared.asset
