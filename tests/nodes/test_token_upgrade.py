"""Tokens that are upgraded on a real chain: what is read there, and what waits for it."""

from datetime import timedelta
from typing import Final

import pytest

from counterfoil.chains.evm.abi import address_word
from counterfoil.chains.evm.token_code import BEACON, IMPLEMENTATION, ZEPPELIN_OS
from counterfoil.chains.port import ChainUnreachable, TokenCode
from counterfoil.core.assets import CHAINS
from counterfoil.core.invoice import Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import changed_tokens
from counterfoil.sandbox.tokens import artifact
from counterfoil.workers.reconcile import reconcile
from counterfoil.workers.token_codes import TokenCodes
from support.chain import LocalChain
from support.fake_clock import FakeClock
from support.house import House
from support.invoices import DUE, USDT

READS: Final = Actor("user_sam", 1, frozenset({Permission.READ, Permission.SIGN}))
NEXT_VERSION: Final = artifact("UsdtLike").runtime + "00"
"""The same contract with a byte behind it, which nothing ever runs."""

# USDC's places are in its source (FiatTokenProxy), the others in EIP-1967.
PLACES: Final = {
    IMPLEMENTATION: "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc",
    BEACON: "0xa3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6cb3582b35133d50",
    ZEPPELIN_OS: "0x7050c9e0f4ca769c69bd3a8ef740bc37934f8e2c036e5a723fd8ee048ed3f8c3",
}


async def code_of(arb: LocalChain) -> TokenCode:
    (found,) = await arb.chain.token_codes([arb.usdc.contract], not_before=0)
    return found


@pytest.mark.parametrize("place", PLACES, ids=["eip1967", "beacon", "zeppelin"])
async def test_what_a_token_hands_its_calls_to_is_read_where_its_issuer_keeps_it(
    arb: LocalChain, place: str
) -> None:
    assert place == PLACES[place]
    before = await code_of(arb)
    assert (before.behind, before.is_there) == ((), True)
    one, two = [f"0x{number:040x}" for number in (0xAAA1, 0xAAA2)]
    names_one = f"0x73{one[2:]}5f5260205ff3"  # Answers any call with an address.
    for address in (one, two):
        code = names_one if place == BEACON and address == two else "0x00"
        await arb.node.set_code(address, code)
    named = two if place == BEACON else one
    await arb.node.set_storage(arb.usdc.contract, int(place, 16), address_word(named))

    proxied = await code_of(arb)
    assert proxied.behind == ((two, one) if place == BEACON else (one,))
    assert proxied.fingerprint != before.fingerprint
    # What stands behind it may be exchanged without a word in the token itself.
    await arb.node.set_code(one, "0x0000")
    assert (await code_of(arb)).behind == proxied.behind
    assert (await code_of(arb)).fingerprint != proxied.fingerprint
    await arb.node.set_code(arb.usdc.contract, "0x")
    assert not (await code_of(arb)).is_there


async def test_nothing_is_read_from_a_node_that_has_not_come_as_far(arb: LocalChain) -> None:
    there = await arb.node.height()
    asked = [arb.usdc.contract]
    assert await arb.chain.token_codes(asked, not_before=there) == [await code_of(arb)]
    with pytest.raises(ChainUnreachable, match=f"the node is at block {there}"):
        await arb.chain.token_codes(asked, not_before=there + 1)


async def test_money_of_an_upgraded_token_is_credited_and_waits_for_somebody_to_look(
    house: House,
) -> None:
    looker = TokenCodes(house.desk, house.chains)
    await looker.step()
    assert await changed_tokens.waiting(house.desk, READS) == []
    proper = await house.arb.node.rpc("eth_getCode", USDT.contract, "latest")
    assert proper != NEXT_VERSION
    await house.arb.node.set_code(USDT.contract, NEXT_VERSION)
    await looker.step()
    (change,) = await changed_tokens.waiting(house.desk, READS)
    assert change.asset == USDT

    # A customer pays in it, another one in what nobody changed, and the merchant signs for both.
    usdc = CHAINS["arb"].accepted[0]
    changed, unchanged = await house.paid_bill(), await house.paid_bill(asset=usdc)
    for bill in (changed, unchanged):
        assert await house.deposited(bill, USDT if bill is changed else usdc) == DUE
        await house.sign_off(bill)
    await house.drive(rounds=4)
    assert await house.status(unchanged) is Status.COMPLETED
    assert await house.status(changed) is Status.SWEEPING
    assert await house.arb.balance(USDT, changed.deposit_address) == DUE

    version = (USDT.chain, USDT.contract, change.fingerprint)
    await changed_tokens.accept(house.desk, version, by=READS, reason="announced on Friday")
    clock = house.desk.clock
    assert isinstance(clock, FakeClock)
    clock.advance(timedelta(minutes=2))
    await house.drive(rounds=4)
    assert await house.status(changed) is Status.COMPLETED
    assert await house.at_merchant(USDT) == DUE
    async for compared in reconcile(house.desk, house.arb.chain):
        assert compared.differences == (), compared.asset
