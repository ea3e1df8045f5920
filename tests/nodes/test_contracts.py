"""The deposit contracts on a real node: what they must do, and what nobody can make them do."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from counterfoil.chains.evm.addresses import (
    ZERO_ADDRESS,
    DepositAddresses,
    FactoryTerms,
    create_address,
    salt_of,
)
from counterfoil.chains.evm.transactions import (
    MAX_SWEEP,
    SweptItem,
    address_of_calldata,
    is_blacklisted_calldata,
    set_operator_calldata,
    sweep_calldata,
    sweep_one_calldata,
    swept,
)
from counterfoil.chains.port import CallReverted, Receipt
from counterfoil.core.money import Asset
from counterfoil.sandbox.tokens import mint
from support.chain import STRANGER, TERMS, LocalChain, calldata, local_chain
from support.patience import patiently

ROOT = Path(__file__).parents[2]
MANNERS = {"honest": 1, "false_but_moves": 2, "true_but_stays": 4, "burns_gas": 8, "reenters": 16}
GAS_OF_A_FIRST_SWEEP = 60_000
GAS_OF_A_LATER_SWEEP = 20_000


async def sweep(
    on: LocalChain,
    token: str,
    indexes: range | list[int],
    *,
    to_hold: bool = False,
    by: str = TERMS.operator,
) -> Receipt:
    data = sweep_calldata(token, [salt_of(i) for i in indexes], to_hold=to_hold)
    return await on.send(by, TERMS.address, data)


def ok_of(items: list[SweptItem]) -> list[bool]:
    return [item.ok for item in items]


async def odd_token(  # noqa: PLR0913 - a token has many ways to be odd
    on: LocalChain,
    manner: str,
    victim: str,
    deposits: DepositAddresses,
    *,
    count: int,
    rounds: int = 1_000_000,
    at: str = "",
) -> Asset:
    """A badly mannered token with 10 units on each of the first deposit addresses."""
    token = Asset("ODD", "arb", at or await on.deploy("OddToken"), 6)
    for i in range(count):
        await on.call(
            "mint(address,uint256)", deposits.address(i), 10, to=token.contract, sender=STRANGER
        )
    await on.call(
        "behave(uint256,address,uint256)",
        *(MANNERS[manner], victim, rounds),
        to=token.contract,
        sender=STRANGER,
    )
    return token


async def test_the_committed_bytecode_is_what_the_sources_compile_to() -> None:
    compiler = await asyncio.create_subprocess_exec(
        sys.executable,
        ROOT / "contracts" / "compile.py",
        "--check",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    async with patiently("the compiler"):
        said, _ = await compiler.communicate()
    assert compiler.returncode == 0, said.decode()


@pytest.mark.parametrize("symbol", ["USDT", "USDC"])
async def test_a_hundred_addresses_are_swept_in_one_transaction_twice(
    arb: LocalChain, symbol: str
) -> None:
    token = arb.usdt if symbol == "USDT" else arb.usdc
    deposits = await arb.deploy_factory()
    for round_number, most_gas in ((1, GAS_OF_A_FIRST_SWEEP), (2, GAS_OF_A_LATER_SWEEP)):
        for i in range(100):
            await mint(arb.node, token, deposits.address(i), 1_000_000 + i)
        receipt = await sweep(arb, token.contract, range(100))
        assert swept(receipt, deposits.factory) == [
            SweptItem(
                salt=salt_of(i),
                token=token.contract,
                account=deposits.address(i),
                amount_units=1_000_000 + i,
                to_hold=False,
                ok=True,
            )
            for i in range(100)
        ]
        assert await arb.balance(token, TERMS.pool) == round_number * sum(
            1_000_000 + i for i in range(100)
        )
        assert receipt.gas_used < 100 * most_gas


async def test_the_largest_sweep_fits_in_a_transaction(arb: LocalChain) -> None:
    deposits = await arb.deploy_factory()
    for i in range(MAX_SWEEP):
        await mint(arb.node, arb.usdc, deposits.address(i), 1)
    receipt = await sweep(arb, arb.usdc.contract, range(MAX_SWEEP))
    assert await arb.balance(arb.usdc, TERMS.pool) == MAX_SWEEP
    assert receipt.gas_used < 2**24


async def test_an_estimate_leaves_enough_gas_for_the_last_item(arb: LocalChain) -> None:
    deposits = await arb.deploy_factory()
    for i in range(10):
        await mint(arb.node, arb.usdt, deposits.address(i), 5)
    data = sweep_calldata(arb.usdt.contract, [salt_of(i) for i in range(10)], to_hold=False)
    gas = await arb.chain.estimate_gas(TERMS.operator, deposits.factory, data)
    receipt = await arb.send(TERMS.operator, deposits.factory, data, gas=gas)
    assert ok_of(swept(receipt, deposits.factory)) == [True] * 10


async def test_a_sweep_with_too_little_gas_reverts_instead_of_skipping_items(
    arb: LocalChain,
) -> None:
    deposits = await arb.deploy_factory()
    token = await odd_token(arb, "burns_gas", deposits.address(1), deposits, count=2, rounds=600)
    data = sweep_calldata(token.contract, [salt_of(0), salt_of(1)], to_hold=False)
    before = await arb.node.rpc("evm_snapshot")
    enough = await arb.send(TERMS.operator, deposits.factory, data)
    assert ok_of(swept(enough, deposits.factory)) == [True, True]
    await arb.node.rpc("evm_revert", before)
    for missing in range(0, 200_000, 10_000):
        gas = enough.gas_used - missing
        assert not (await arb.send(TERMS.operator, deposits.factory, data, gas=gas)).ok
    assert await arb.balance(token, TERMS.pool) == 0


async def test_quarantined_money_goes_to_hold_and_nowhere_else(arb: LocalChain) -> None:
    deposits = await arb.deploy_factory()
    await arb.pay(arb.usdt, deposits.address(0), 700)
    (item,) = swept(await sweep(arb, arb.usdt.contract, [0], to_hold=True), deposits.factory)
    assert item.to_hold
    assert await arb.balance(arb.usdt, TERMS.hold) == 700
    assert await arb.balance(arb.usdt, TERMS.pool) == 0


async def test_native_coin_is_swept_before_and_after_the_clone_exists(arb: LocalChain) -> None:
    deposits = await arb.deploy_factory()
    for paid_wei in (10**18, 10**17):
        receipt = await arb.send(STRANGER, deposits.address(0), value_wei=paid_wei)
        assert receipt.ok
        (item,) = swept(await sweep(arb, ZERO_ADDRESS, [0]), deposits.factory)
        assert (item.ok, item.amount_units) == (True, paid_wei)
    assert await arb.balance(None, TERMS.pool) == 10**18 + 10**17


async def test_sweeping_an_empty_address_moves_nothing_and_says_so(arb: LocalChain) -> None:
    deposits = await arb.deploy_factory()
    for token in (arb.usdt.contract, ZERO_ADDRESS):
        (item,) = swept(await sweep(arb, token, [3]), deposits.factory)
        assert (item.ok, item.amount_units) == (True, 0)


@pytest.mark.parametrize("sender", [STRANGER, TERMS.admin, TERMS.pool])
async def test_only_the_operator_can_sweep(arb: LocalChain, sender: str) -> None:
    deposits = await arb.deploy_factory()
    await arb.pay(arb.usdt, deposits.address(0), 700)
    token, salt = arb.usdt.contract, salt_of(0)
    for data in (
        sweep_calldata(token, [salt], to_hold=False),
        sweep_one_calldata(token, salt, to_hold=False),
    ):
        with pytest.raises(CallReverted, match="operator only"):
            await arb.chain.estimate_gas(sender, deposits.factory, data)
    assert await arb.balance(arb.usdt, deposits.address(0)) == 700


@pytest.mark.parametrize("sender", [STRANGER, TERMS.operator, TERMS.admin])
async def test_nobody_can_flush_past_the_factory(arb: LocalChain, sender: str) -> None:
    deposits = await arb.deploy_factory()
    await sweep(arb, arb.usdt.contract, [0])
    await arb.pay(arb.usdt, deposits.address(0), 700)
    to_pool = False
    flush = calldata("flush(address,bool)", arb.usdt.contract, to_pool)
    for target in (deposits.address(0), deposits.logic):
        with pytest.raises(CallReverted, match="factory only"):
            await arb.chain.estimate_gas(sender, target, flush)


async def test_a_blacklisted_address_does_not_hold_up_the_others(arb: LocalChain) -> None:
    deposits = await arb.deploy_factory()
    for token, blacklist in ((arb.usdt, "addBlackList(address)"), (arb.usdc, "blacklist(address)")):
        for i in range(3):
            await arb.pay(token, deposits.address(i), 100)
        await arb.as_issuer(token, blacklist, deposits.address(1))
        frozen = is_blacklisted_calldata(token.symbol, deposits.address(1))
        assert int.from_bytes(await arb.chain.call(token.contract, frozen)) == 1

        items = swept(await sweep(arb, token.contract, range(3)), deposits.factory)
        assert ok_of(items) == [True, False, True]
        assert items[1].account == deposits.address(1)
        assert items[1].amount_units == 0
        assert await arb.balance(token, TERMS.pool) == 200
        assert await arb.balance(token, deposits.address(1)) == 100

        one = sweep_one_calldata(token.contract, salt_of(1), to_hold=False)
        with pytest.raises(CallReverted, match="blacklisted"):
            await arb.chain.estimate_gas(TERMS.operator, deposits.factory, one)


async def test_a_paused_token_fails_every_item_and_loses_nothing(arb: LocalChain) -> None:
    deposits = await arb.deploy_factory()
    await arb.pay(arb.usdc, deposits.address(0), 100)
    await arb.as_issuer(arb.usdc, "pause()")
    assert ok_of(swept(await sweep(arb, arb.usdc.contract, [0]), deposits.factory)) == [False]
    await arb.as_issuer(arb.usdc, "unpause()")
    assert ok_of(swept(await sweep(arb, arb.usdc.contract, [0]), deposits.factory)) == [True]
    assert await arb.balance(arb.usdc, TERMS.pool) == 100


async def test_one_item_can_be_swept_alone(arb: LocalChain) -> None:
    deposits = await arb.deploy_factory()
    await arb.pay(arb.usdt, deposits.address(9), 42)
    one = sweep_one_calldata(arb.usdt.contract, salt_of(9), to_hold=False)
    (item,) = swept(await arb.send(TERMS.operator, deposits.factory, one), deposits.factory)
    assert (item.account, item.amount_units) == (deposits.address(9), 42)


@pytest.mark.parametrize(
    ("manner", "moved"),
    [("honest", True), ("false_but_moves", True), ("true_but_stays", False), ("burns_gas", False)],
)
async def test_only_the_balance_tells_whether_a_token_moved(
    arb: LocalChain, manner: str, *, moved: bool
) -> None:
    deposits = await arb.deploy_factory()
    token = await odd_token(arb, manner, deposits.address(1), deposits, count=3)
    receipt = await sweep(arb, token.contract, range(3))
    assert ok_of(swept(receipt, deposits.factory)) == [True, moved, True]
    assert await arb.balance(token, TERMS.pool) == (30 if moved else 20)
    assert receipt.gas_used < 600_000


@pytest.mark.parametrize("first_is_one", [False, True])
@pytest.mark.parametrize("second_is_one", [False, True])
async def test_a_token_cannot_reenter_the_factory_even_as_its_operator(
    arb: LocalChain, *, first_is_one: bool, second_is_one: bool
) -> None:
    contract = await arb.deploy("OddToken")
    terms = FactoryTerms(TERMS.pool, TERMS.hold, operator=contract, admin=TERMS.admin)
    deposits = await arb.deploy_factory(terms)
    token = await odd_token(arb, "reenters", deposits.address(0), deposits, at=contract, count=2)
    receipt = await arb.call(
        "drive(address,bytes32,bytes32,bool,bool)",
        deposits.factory,
        *(bytes.fromhex(salt_of(i)[2:]) for i in range(2)),
        first_is_one,
        second_is_one,
        to=token.contract,
        sender=STRANGER,
    )
    assert ok_of(swept(receipt, deposits.factory)) == [True]
    assert not int.from_bytes(await arb.chain.call(token.contract, calldata("reentered()")))
    assert await arb.balance(token, TERMS.hold) == 0
    assert await arb.balance(token, TERMS.pool) == 10


async def test_the_admin_changes_hands_in_two_steps(arb: LocalChain) -> None:
    factory = (await arb.deploy_factory()).factory
    heir = "0x" + "be" * 20
    await arb.node.set_balance(heir, 10**18)

    async def admin() -> str:
        return "0x" + (await arb.chain.call(factory, calldata("admin()")))[12:].hex()

    async def refused(sender: str, signature: str, *values: object) -> bool:
        with pytest.raises(CallReverted, match="admin only"):
            await arb.chain.estimate_gas(sender, factory, calldata(signature, *values))
        return True

    assert await refused(STRANGER, "propose_admin(address)", STRANGER)
    assert await refused(TERMS.operator, "set_operator(address)", STRANGER)
    await arb.call("propose_admin(address)", heir, to=factory, sender=TERMS.admin)
    assert await admin() == TERMS.admin
    assert await refused(TERMS.admin, "accept_admin()")
    await arb.call("accept_admin()", to=factory, sender=heir)
    assert await admin() == heir
    assert await refused(TERMS.admin, "set_operator(address)", TERMS.admin)
    assert await refused(heir, "accept_admin()")


async def test_a_new_operator_takes_over_and_the_zero_operator_stops_sweeping(
    arb: LocalChain,
) -> None:
    deposits = await arb.deploy_factory()
    await arb.node.set_balance(STRANGER, 10**18)
    await arb.pay(arb.usdt, deposits.address(0), 5)
    await arb.send(TERMS.admin, deposits.factory, set_operator_calldata(STRANGER))
    assert not (await sweep(arb, arb.usdt.contract, [0])).ok
    assert (await sweep(arb, arb.usdt.contract, [0], by=STRANGER)).ok
    await arb.send(TERMS.admin, deposits.factory, set_operator_calldata(ZERO_ADDRESS))
    assert not (await sweep(arb, arb.usdt.contract, [0], by=STRANGER)).ok


@pytest.mark.parametrize("part", ["pool", "hold", "admin"])
async def test_a_factory_without_a_destination_or_admin_cannot_be_built(
    arb: LocalChain, part: str
) -> None:
    wallets = {"pool": TERMS.pool, "hold": TERMS.hold, "admin": TERMS.admin, part: ZERO_ADDRESS}
    terms = FactoryTerms(operator=TERMS.operator, **wallets)
    with pytest.raises(AssertionError):
        await arb.deploy_factory(terms)
    assert await arb.chain.code(terms.address) == b""


async def test_pool_and_hold_must_differ(arb: LocalChain) -> None:
    with pytest.raises(AssertionError):
        await arb.deploy_factory(FactoryTerms(TERMS.pool, TERMS.pool, TERMS.operator, TERMS.admin))


async def test_factory_logic_and_deposits_have_the_same_address_on_every_chain() -> None:
    expected = DepositAddresses(TERMS.address)
    for key in ("arb", "base", "optimism"):
        async with local_chain(key) as local:
            deposits = await local.deploy_factory()
            assert await local.chain.code(deposits.factory)
            assert await local.chain.code(create_address(deposits.factory, 1))
            for i in (0, 1, 255, 2**64):
                told = await local.chain.call(deposits.factory, address_of_calldata(salt_of(i)))
                assert "0x" + told[12:].hex() == expected.address(i)
            await local.pay(local.usdc, deposits.address(7), 3)
            await sweep(local, local.usdc.contract, [7])
            assert await local.balance(local.usdc, TERMS.pool) == 3
