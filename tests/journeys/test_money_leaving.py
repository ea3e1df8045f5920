"""Money on its way out in a bad hour: it waits in sight, goes on, and leaves exactly once."""

import asyncio
from datetime import timedelta
from typing import Final

import pytest

from counterfoil.core import ids
from counterfoil.core.money import Asset
from counterfoil.db.rows import execute
from counterfoil.desk import moving, provisioning, stuck, upkeep
from counterfoil.desk.moving import OpenTx
from counterfoil.desk.provisioning import FuelLevels
from counterfoil.desk.upkeep import Held
from support.journey import COIN, POLL_SECONDS, Bill, Chain, Journey, Payer, new_address
from support.newcomer import joins
from support.onchain import ISSUER
from support.patience import patiently
from support.side_by_side import SideBySide

pytestmark = pytest.mark.asyncio(loop_scope="session")

side_by_side = SideBySide()
"""Each of the stories that hold a chain has one that no other pays out on."""

GWEI: Final = 10**9
ETHER: Final = 10**18
NEWCOMER: Final = 21
WHY: Final = "Looked at with the treasurer; see case 2026-21."


async def on_its_way(journey: Journey, chain: Chain, role: str, attempts: int) -> OpenTx:
    """Wait until a wallet's transaction was offered to the node under so many signatures."""
    async with patiently(f"a {role} transaction signed {attempts} times", 120):
        while True:
            for found in await moving.open_txs(journey.desk, chain.key):
                sent = found.tx.status == "sent"
                if found.wallet.role == role and sent and len(found.txs) == attempts:
                    return found
            await asyncio.sleep(POLL_SECONDS)


async def becomes_dear(chain: Chain) -> None:
    """A block costs so much that what was signed before it is not taken any more."""
    await chain.node.rpc("anvil_setNextBlockBaseFeePerGas", hex(20 * GWEI))
    await chain.node.mine()
    await chain.node.rpc("anvil_setNextBlockBaseFeePerGas", hex(20 * GWEI))


async def as_if_signed_earlier(journey: Journey, found: OpenTx) -> None:
    """Take a transaction for one that nobody took for two minutes, which is when we offer more."""
    async with journey.desk.database.transaction() as tx:
        await execute(
            tx,
            "UPDATE ingest.chain_tx SET signed_at = signed_at - %(age)s WHERE tx_hash = %(hash)s",
            {"age": stuck.PATIENCE + timedelta(seconds=1), "hash": found.tx.tx_hash},
        )


async def open_for_business(journey: Journey, chain: Chain) -> None:
    """Have factory, wallets and gas money in place, as after the first payout on a chain."""
    if await chain.nonce(await pool_of(journey, chain)) == 0:
        await journey.settle(await journey.signable_bill(chain, chain.token("USDC")))


async def pool_of(journey: Journey, chain: Chain) -> str:
    found = await moving.wallets_of(journey.desk, chain.key)
    return next(w.address for w in found if (w.org_id, w.role) == (1, "pool"))


async def standing_still(journey: Journey, bill: Bill, words: str) -> Held:
    """Wait until a payment of the bill stands still for such a reason."""
    async with patiently(f"a payment that stands still as {words}", 120):
        while True:
            for held in await upkeep.held_up(journey.desk):
                mine = held.invoice_id and ids.public("inv", held.invoice_id) == bill.id
                if mine and words in held.reason:
                    return held
            await asyncio.sleep(POLL_SECONDS)


async def frozen(journey: Journey, chain: Chain, address: str) -> None:
    async with patiently(f"a frozen {address}", 120):
        while True:
            found = await upkeep.frozen_wallets(journey.desk)
            if (chain.key, address) in {(w.chain, w.address) for w in found}:
                return
            await asyncio.sleep(POLL_SECONDS)


async def the_merchant_has_it_once(chain: Chain, token: Asset, bill: Bill) -> None:
    assert await chain.paid_to(token, bill.payout_address) == [bill.due_units(token)]
    assert await chain.holds(token, bill.address) == 0


@side_by_side
async def test_a_payout_that_no_block_takes_is_offered_for_more_and_paid_once(
    journey: Journey,
) -> None:
    base = journey.chains["base"]
    usdc = base.token("USDC")
    await open_for_business(journey, base)
    bill = await journey.signable_bill(base, usdc)
    async with base.held():
        await journey.sign(bill)
        await on_its_way(journey, base, "operator", attempts=1)
        await base.node.mine(3)
        cheap = await on_its_way(journey, base, "pool", attempts=1)
        await becomes_dear(base)
        assert await base.paid_to(usdc, bill.payout_address) == []
        await as_if_signed_earlier(journey, cheap)
        both = await on_its_way(journey, base, "pool", attempts=2)
        assert {tx.nonce for tx in both.txs} == {cheap.tx.nonce}
        assert both.tx.max_fee_wei > 20 * GWEI > cheap.tx.max_fee_wei
    await journey.until(bill, "completed")
    await the_merchant_has_it_once(base, usdc, bill)
    assert int((await base.included(both.tx.tx_hash))["status"], 16) == 1
    await journey.until_told(bill, "pending", "success")


@side_by_side
async def test_a_wallet_whose_key_somebody_else_used_stands_still_until_a_person_explains_it(
    journey: Journey,
) -> None:
    arb = journey.chains["arb"]
    usdt, ether = arb.token("USDT"), arb.token("ETH")
    await open_for_business(journey, arb)
    pool = await pool_of(journey, arb)
    bill = await journey.signable_bill(arb, usdt)
    had, nonce = await arb.holds(ether, pool), await arb.nonce(pool)
    async with arb.held():
        await Payer(pool).calls(arb, new_address(), b"", wei=1)
        await arb.node.mine()
        # What it took is sent back, so that nothing but the nonce is out of place.
        await arb.node.set_balance(pool, had)
        await arb.node.mine(3)
    await journey.sign(bill)
    await frozen(journey, arb, pool)
    assert f"frozen: pool wallet {pool}" in (await journey.counterfoil("move", "list")).text
    assert (await journey.look(bill))["status"] == "payout_processing"
    assert await arb.paid_to(usdt, bill.payout_address) == []

    thaw = ("wallet", "thaw", "arb", pool, "--reason", WHY)
    refused = await journey.counterfoil(*thaw)
    assert refused.status == 2
    assert f"nonce {nonce} was used by a transaction that neither the books nor" in refused.text
    thawed = await journey.counterfoil(*thaw, "--explained", str(nonce))
    assert thawed.status == 0, thawed.text
    await journey.until(bill, "completed")
    await the_merchant_has_it_once(arb, usdt, bill)


@side_by_side
async def test_a_deposit_that_the_issuer_froze_waits_alone_and_goes_on_when_it_is_free(
    journey: Journey,
) -> None:
    optimism = journey.chains["optimism"]
    usdc = optimism.token("USDC")
    stopped, other = [await journey.signable_bill(optimism, usdc) for _ in range(2)]
    await ISSUER.orders(optimism, usdc.contract, "blacklist(address)", stopped.address)
    with journey.workers_asleep():
        await journey.sign(stopped)
        await journey.sign(other)
    await journey.until(other, "completed")
    await the_merchant_has_it_once(optimism, usdc, other)
    held = await standing_still(journey, stopped, "its issuer may have frozen the address")
    assert (await journey.look(stopped))["status"] == "sweep_processing"

    await ISSUER.orders(optimism, usdc.contract, "unBlacklist(address)", stopped.address)
    retried = await journey.counterfoil("move", "retry", str(held.move_id), "--reason", WHY)
    assert retried.status == 0, retried.text
    await journey.until(stopped, "completed")
    await the_merchant_has_it_once(optimism, usdc, stopped)


@side_by_side
async def test_a_token_that_begins_to_keep_a_fee_pays_what_is_left_once_a_signer_accepts_it(
    journey: Journey,
) -> None:
    optimism = journey.chains["optimism"]
    usdt = optimism.token("USDT")
    bill = await journey.signable_bill(optimism, usdt)
    left = bill.due_units(usdt) - bill.due_units(usdt) // 100
    await ISSUER.orders(optimism, usdt.contract, "setParams(uint256,uint256)", 100, COIN)
    try:
        await journey.sign(bill)
        await standing_still(journey, bill, "less is here, as its token kept")
    finally:
        await ISSUER.orders(optimism, usdt.contract, "setParams(uint256,uint256)", 0, 0)
    assert await optimism.paid_to(usdt, bill.payout_address) == []

    accepted = await journey.treasurer.act("payments/accept", bill.id, {"reason": WHY})
    assert accepted.status == 200, accepted.raw
    await journey.until(bill, "completed")
    assert await optimism.paid_to(usdt, bill.payout_address) == [left]
    assert await optimism.holds(usdt, bill.address) == 0


@side_by_side
async def test_an_organisation_with_keyed_addresses_and_no_gas_money_waits_and_is_settled_later(
    journey: Journey,
) -> None:
    arb = journey.chains["arb"]
    usdt = arb.token("USDT")
    theirs, wallets = await joins(journey, NEWCOMER, chain="arb", mode="hd")
    bill = await theirs.signable_bill(arb, usdt)
    await theirs.sign(bill)
    await standing_still(journey, bill, "waiting for gas")
    levels = FuelLevels()
    short = await provisioning.low_stations(
        journey.desk, low_wei=levels.low_wei, target_wei=levels.target_wei
    )
    theirs_are_short = [one for one in short if one.wallet.org_id == NEWCOMER]
    assert {(one.gas_address, one.has_wei) for one in theirs_are_short} == {(wallets.gas, 0)}
    assert (await theirs.look(bill))["status"] == "sweep_processing"
    assert await arb.holds(usdt, bill.address) == bill.due_units(usdt)

    await arb.node.set_balance(wallets.gas, ETHER)
    await theirs.until(bill, "completed")
    await the_merchant_has_it_once(arb, usdt, bill)
    assert await arb.holds(arb.token("ETH"), bill.address) > 0, "its own key paid for the sweep"


async def test_after_all_of_it_every_unit_is_where_the_books_say(journey: Journey) -> None:
    # What a token kept and what gas cost stand in the books as well.
    await journey.until_explained()
    assert (await journey.audit()).breaks == ()
