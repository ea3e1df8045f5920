"""The port over a real node, reorgs and attacks included (specs/chains.md 6)."""

from datetime import UTC, datetime, timedelta

import pytest
from eth_abi.abi import decode
from eth_account import Account

from counterfoil.chains.evm.abi import keccak256, selector
from counterfoil.chains.evm.chain import MAX_TIP_WEI, EvmChain
from counterfoil.chains.evm.transactions import MOST_GAS, paid, transfer_calldata
from counterfoil.chains.evm.transfers import TRANSFER_TOPIC
from counterfoil.chains.port import (
    CallReverted,
    ChainMisconfigured,
    ChainUnreachable,
    SendOutcome,
    Transfer,
)
from counterfoil.core.assets import CHAINS
from counterfoil.core.money import Asset
from counterfoil.sandbox.anvil import Anvil, AnvilSettings
from counterfoil.sandbox.tokens import artifact, install_tokens, mint
from support.chain import PAYER, QUICK, STRANGER, LocalChain, local_chain
from support.fake_clock import FakeClock
from support.provider import Json, provider

DEPOSIT = "0x" + "de" * 20
OTHER = "0x" + "0d" * 20


async def all_transfers(arb: LocalChain, token: Asset, to: str = DEPOSIT) -> list[Transfer]:
    return await arb.chain.transfers(0, await arb.node.height(), [token.contract], [to])


async def credited(arb: LocalChain, token: Asset) -> int:
    return sum(t.amount_units for t in await all_transfers(arb, token))


async def test_blocks_link_by_hash_and_tags_follow_finality(arb: LocalChain) -> None:
    at = datetime(2100, 1, 1, tzinfo=UTC)
    await arb.node.next_block_at(at)
    await arb.node.mine(20)
    tip = await arb.chain.block("latest")
    assert tip is not None
    before = await arb.chain.block(tip.number - 1)
    assert before is not None
    assert tip.parent_hash == before.hash
    first = await arb.chain.block(tip.number - 19)
    assert first is not None
    assert first.at == at
    safe, final = await arb.chain.block("safe"), await arb.chain.block("finalized")
    assert safe is not None
    assert final is not None
    assert (safe.number, final.number) == (tip.number - 4, tip.number - 8)
    assert await arb.chain.block(tip.number + 1) is None


async def test_a_reorg_shows_in_the_parent_hash_and_moves_a_payment(arb: LocalChain) -> None:
    await mint(arb.node, arb.usdt, PAYER.address.lower(), 70)
    await arb.node.mine(5)
    raw = await arb.signed_payment(arb.usdt, DEPOSIT, 70)
    assert (await arb.chain.send(raw)).outcome is SendOutcome.ACCEPTED
    tx_hash = "0x" + keccak256(raw).hex()
    first = await arb.receipt(tx_hash)
    await arb.node.mine(3)
    old_tip = await arb.chain.block("latest")
    (seen,) = await all_transfers(arb, arb.usdt)
    assert (seen.block_hash, seen.tx_hash) == (first.block_hash, tx_hash)

    await arb.node.reorg(4, [(raw, 2)])
    new_tip = await arb.chain.block("latest")
    assert old_tip is not None
    assert new_tip is not None
    assert new_tip.hash != old_tip.hash
    (again,) = await all_transfers(arb, arb.usdt)
    assert again.tx_hash == tx_hash
    assert (again.block_number, again.block_hash) != (seen.block_number, seen.block_hash)

    await arb.node.reorg(4)
    assert await all_transfers(arb, arb.usdt) == []
    assert await arb.chain.receipt(tx_hash) is None


async def test_a_rolled_back_block_is_gone(arb: LocalChain) -> None:
    await arb.pay(arb.usdt, DEPOSIT, 70)
    tip = await arb.chain.block("latest")
    assert tip is not None
    await arb.node.rollback(1)
    assert await arb.chain.block(tip.number) is None
    await arb.node.mine()
    other = await arb.chain.block(tip.number)
    assert other is not None
    assert other.hash != tip.hash


async def test_transfers_agree_with_eth_abi(arb: LocalChain) -> None:
    for i in range(30):
        await arb.pay(arb.usdt if i % 2 else arb.usdc, DEPOSIT if i % 3 else OTHER, 10**i + 1)
    contracts = [arb.usdt.contract, arb.usdc.contract]
    head = await arb.node.height()
    logs = await arb.node.rpc(
        "eth_getLogs", {"fromBlock": "0x0", "toBlock": hex(head), "topics": [TRANSFER_TOPIC]}
    )
    expected = [
        (
            log["transactionHash"],
            int(log["logIndex"], 16),
            log["address"].lower(),
            *decode(
                ["address", "address", "uint256"],
                b"".join(bytes.fromhex(w[2:]) for w in (*log["topics"][1:], log["data"])),
            ),
        )
        for log in logs
    ]

    def seen(found: list[Transfer]) -> list[tuple[object, ...]]:
        return [
            (t.tx_hash, t.log_index, t.contract, t.from_address, t.to_address, t.amount_units)
            for t in found
        ]

    everything = await arb.chain.transfers(0, head, contracts, None)
    assert seen(everything) == expected
    assert len(expected) == 30
    crowd = [DEPOSIT, *("0x" + i.to_bytes(20, "big").hex() for i in range(1, 1200))]
    ours = await arb.chain.transfers(0, head, contracts, crowd)
    assert ours == [t for t in everything if t.to_address == DEPOSIT]
    middle = await arb.chain.transfers(5, 9, contracts, None)
    assert middle == [t for t in everything if 5 <= t.block_number <= 9]
    assert await arb.chain.transfers(0, head, contracts, []) == []


async def test_the_attack_pack_earns_nothing(arb: LocalChain) -> None:
    usdt, usdc = arb.usdt, arb.usdc
    fake = await arb.deploy("OddToken")
    evil = await arb.deploy("Evil")
    for signature, *values in (
        ("spoof(address,address,uint256)", STRANGER, DEPOSIT, 2_000_000),
        ("spoof_nft(address,address,uint256)", STRANGER, DEPOSIT, 3_000_000),
        ("spoof_data(address,address,bytes)", STRANGER, DEPOSIT, b"\x01"),
        ("spoof_data(address,address,bytes)", STRANGER, DEPOSIT, b"\x01" * 64),
    ):
        assert (await arb.call(signature, *values, to=evil, sender=STRANGER)).ok
    assert (
        await arb.call("mint(address,uint256)", DEPOSIT, 1_000_000, to=fake, sender=STRANGER)
    ).ok
    reverted = await arb.send(
        STRANGER, usdt.contract, transfer_calldata(DEPOSIT, 10**9), gas=100_000
    )
    assert not reverted.ok
    nothing = await arb.call(
        "transferFrom(address,address,uint256)",
        *(PAYER.address, DEPOSIT, 0),
        to=usdt.contract,
        sender=STRANGER,
    )
    assert nothing.ok
    assert nothing.logs
    for token in (usdt, usdc):
        assert await credited(arb, token) == await arb.balance(token, DEPOSIT) == 0
    shouting = [usdt.contract, usdc.contract]
    assert await arb.chain.transfers(0, await arb.node.height(), shouting, None) == []


async def test_a_token_s_fee_is_not_credited(arb: LocalChain) -> None:
    await arb.as_issuer(arb.usdt, "setParams(uint256,uint256)", 100, 10**9)
    await arb.pay(arb.usdt, DEPOSIT, 5_000_000)
    assert await credited(arb, arb.usdt) == 4_950_000 == await arb.balance(arb.usdt, DEPOSIT)


async def test_two_payments_in_one_transaction_are_two_transfers(arb: LocalChain) -> None:
    sender = await arb.deploy("MultiSend")
    await mint(arb.node, arb.usdt, sender, 2_000_000)
    await arb.call(
        "pay(address,address[],uint256)",
        *(arb.usdt.contract, [DEPOSIT, DEPOSIT], 1_000_000),
        to=sender,
        sender=STRANGER,
    )
    found = await all_transfers(arb, arb.usdt)
    assert [t.amount_units for t in found] == [1_000_000, 1_000_000]
    assert len({(t.tx_hash, t.log_index) for t in found}) == 2


async def test_coin_that_was_sent_and_taken_back_inside_is_not_there(arb: LocalChain) -> None:
    sender = await arb.deploy("MultiSend")
    receipt = await arb.call("pretend(address)", DEPOSIT, to=sender, sender=STRANGER)
    assert receipt.ok
    assert await arb.balance(None, DEPOSIT) == 0


async def test_balances_are_read_at_a_block(arb: LocalChain) -> None:
    first = (await arb.pay(arb.usdt, DEPOSIT, 5)).block_hash
    second = (await arb.pay(arb.usdt, DEPOSIT, 6)).block_hash
    await arb.send(STRANGER, OTHER, value_wei=77)
    third = (await arb.tip()).hash
    read, kept = arb.chain.token_balances, arb.chain.kept_balances
    assert await read(arb.usdt.contract, [OTHER, DEPOSIT], first) == [0, 5]
    assert await read(arb.usdt.contract, [DEPOSIT, OTHER], second) == [11, 0]
    assert await read("", [OTHER, DEPOSIT], third) == [77, 0]
    assert await read(arb.usdt.contract, [], first) == []
    assert await kept([(arb.usdt.contract, DEPOSIT)], first) == [5]

    # Of a block that a reorg took, nothing is told of the one in its place.
    await arb.node.rpc("anvil_reorg", 3, [])
    assert await kept([(arb.usdt.contract, DEPOSIT)], first) is None
    with pytest.raises(ChainUnreachable):
        await read(arb.usdt.contract, [DEPOSIT], first)


async def test_a_nonce_is_pending_then_latest_then_finalized(arb: LocalChain) -> None:
    payer = PAYER.address.lower()

    async def nonces() -> list[int]:
        return [
            await arb.chain.nonce(payer, "pending"),
            await arb.chain.nonce(payer, "latest"),
            await arb.chain.nonce(payer, "finalized"),
        ]

    await arb.node.mine(10)
    await arb.node.automine(on=False)
    await arb.chain.send(await arb.signed_payment(arb.usdt, DEPOSIT, 5))
    assert await nonces() == [1, 0, 0]
    await arb.node.mine()
    assert await nonces() == [1, 1, 0]
    final, newest = [await arb.chain.block(at) for at in ("finalized", "latest")]
    assert final is not None
    assert newest is not None
    by_hash = [await arb.chain.nonce(payer, block.hash) for block in (final, newest)]
    await arb.finalize()
    assert await nonces() == [1, 1, 1]
    assert by_hash == [0, 1], "of a block by its hash, whatever a node takes for final"


async def test_the_same_bytes_may_be_sent_again(arb: LocalChain) -> None:
    await arb.node.automine(on=False)
    raw = await arb.signed_payment(arb.usdt, DEPOSIT, 5)
    assert (await arb.chain.send(raw)).outcome is SendOutcome.ACCEPTED
    assert (await arb.chain.send(raw)).outcome is SendOutcome.ALREADY_KNOWN
    await arb.node.mine()
    assert (await arb.chain.send(raw)).outcome is SendOutcome.NONCE_TOO_LOW
    assert [t.amount_units for t in await all_transfers(arb, arb.usdt)] == [5]


async def test_a_dropped_transaction_can_be_sent_again(arb: LocalChain) -> None:
    await arb.node.automine(on=False)
    raw = await arb.signed_payment(arb.usdt, DEPOSIT, 5)
    await arb.chain.send(raw)
    await arb.node.drop("0x" + keccak256(raw).hex())
    assert (await arb.chain.send(raw)).outcome is SendOutcome.ACCEPTED


async def test_a_node_s_refusals_have_names(arb: LocalChain) -> None:
    await arb.node.automine(on=False)
    order = {
        "chainId": 42161,
        "nonce": 0,
        "to": bytes.fromhex(OTHER[2:]),
        "value": 1,
        "gas": 21_000,
        "maxFeePerGas": 10**10,
        "maxPriorityFeePerGas": 1,
    }

    async def outcome(key: str = PAYER.key.hex(), **changes: int) -> SendOutcome:
        raw = Account.sign_transaction({**order, **changes}, key).raw_transaction
        sent = await arb.chain.send(bytes(raw))
        assert (sent.outcome is SendOutcome.ACCEPTED) == (sent.reason == "")
        return sent.outcome

    poor = "77" * 32
    assert await outcome(poor) is SendOutcome.NO_GAS_MONEY
    assert await outcome(maxFeePerGas=1) is SendOutcome.UNDERPRICED
    assert await outcome(chainId=1) is SendOutcome.REFUSED
    assert await outcome() is SendOutcome.ACCEPTED
    assert await outcome(value=2) is SendOutcome.UNDERPRICED
    bumped = await outcome(value=2, maxFeePerGas=2 * 10**10, maxPriorityFeePerGas=2)
    assert bumped is SendOutcome.ACCEPTED


async def test_a_node_that_reports_another_hash_is_not_believed(arb: LocalChain) -> None:
    raw = await arb.signed_payment(arb.usdt, DEPOSIT, 5)
    async with provider(arb.node.url) as liar:
        liar.answer("eth_sendRawTransaction", "0x" + "00" * 32)
        chain = EvmChain.over(CHAINS["arb"], [liar.url, arb.node.url], FakeClock(), QUICK)
        sent = await chain.send(raw)
        assert sent.outcome in (SendOutcome.ALREADY_KNOWN, SendOutcome.NONCE_TOO_LOW)
        await chain.close()


async def test_a_receipt_tells_fee_outcome_and_proof(arb: LocalChain) -> None:
    receipt = await arb.pay(arb.usdt, DEPOSIT, 5)
    payer = PAYER.address.lower()
    assert receipt.ok
    assert paid(receipt, arb.usdt.contract, payer, DEPOSIT, 5)
    assert not paid(receipt, arb.usdt.contract, payer, DEPOSIT, 6)
    raw = await arb.node.rpc("eth_getTransactionReceipt", receipt.tx_hash)
    price = int(raw["effectiveGasPrice"], 16)
    assert receipt.fee_wei == receipt.gas_used * price > 0
    assert await arb.chain.receipt("0x" + "00" * 32) is None


async def test_the_l1_fee_of_an_op_chain_is_part_of_the_fee(arb: LocalChain) -> None:
    receipt = await arb.pay(arb.usdt, DEPOSIT, 5)
    raw = await arb.node.rpc("eth_getTransactionReceipt", receipt.tx_hash)
    async with provider(arb.node.url) as op_node:
        op_node.answer("eth_getTransactionReceipt", {**raw, "l1Fee": hex(10**12)})
        chain = EvmChain.over(CHAINS["arb"], [op_node.url], FakeClock(), QUICK)
        with_l1 = await chain.receipt(receipt.tx_hash)
        assert with_l1 is not None
        assert with_l1.fee_wei == receipt.fee_wei + 10**12
        await chain.close()


async def test_fees_hold_while_the_base_fee_doubles(arb: LocalChain) -> None:
    await arb.node.rpc("anvil_setNextBlockBaseFeePerGas", hex(3 * 10**9))
    await arb.node.mine()
    fees = await arb.chain.fees()
    assert fees.max_fee_wei == 2 * 3 * 10**9 + fees.tip_wei
    async with provider(arb.node.url) as greedy:
        greedy.answer("eth_maxPriorityFeePerGas", hex(10**15))
        chain = EvmChain.over(CHAINS["arb"], [greedy.url], FakeClock(), QUICK)
        assert (await chain.fees()).tip_wei == MAX_TIP_WEI
        await chain.close()


async def test_a_revert_carries_the_contract_s_sentence(arb: LocalChain) -> None:
    mint_order = selector("mint(address,uint256)") + bytes(64)
    for attempt in (
        arb.chain.estimate_gas(STRANGER, arb.usdt.contract, mint_order),
        arb.chain.call(arb.usdt.contract, mint_order),
    ):
        with pytest.raises(CallReverted) as refused:
            await attempt
        assert refused.value.reason == "owner only"
    async with provider(arb.node.url) as geth:
        geth.refuse("eth_estimateGas", "insufficient funds for transfer")
        chain = EvmChain.over(CHAINS["arb"], [geth.url], FakeClock(), QUICK)
        with pytest.raises(CallReverted, match="insufficient funds"):
            await chain.estimate_gas(STRANGER, OTHER, b"", 10**30)
        await chain.close()


async def test_nobody_who_is_paid_has_a_node_work_for_longer_than_a_transaction_may(
    arb: LocalChain,
) -> None:
    """A customer has ether sent to a contract that works for as long as it is let."""
    await arb.node.set_code(OTHER, "0x5b600056")
    allowed = []

    def note(call: Json, answer: Json) -> Json:
        if call["method"] == "eth_estimateGas":
            allowed.append(int(call["params"][0].get("gas", "0x0"), 16))
        return answer

    async with provider(arb.node.url) as node:
        node.change = note
        chain = EvmChain.over(CHAINS["arb"], [node.url], FakeClock(), QUICK)
        with pytest.raises(CallReverted):
            await chain.estimate_gas(STRANGER, OTHER, b"", 1)
        await chain.close()
    assert allowed == [MOST_GAS]


async def test_a_healthy_chain_passes_the_check(arb: LocalChain) -> None:
    await arb.chain.check()


async def test_a_token_that_is_missing_or_has_other_decimals_stops_the_start(
    arb: LocalChain,
) -> None:
    await arb.node.set_code(arb.usdt.contract, "0x")
    with pytest.raises(ChainMisconfigured, match=f"no contract at {arb.usdt.contract}"):
        await arb.chain.check()
    await arb.node.set_code(arb.usdt.contract, artifact("MultiSend").runtime)
    with pytest.raises(ChainMisconfigured, match="does not tell its decimals"):
        await arb.chain.check()
    # PUSH1 18 PUSH0 MSTORE PUSH1 32 PUSH0 RETURN: a token that answers 18 to everything.
    await arb.node.set_code(arb.usdt.contract, "0x60125f5260205ff3")
    with pytest.raises(ChainMisconfigured, match="18 decimals"):
        await arb.chain.check()


async def test_tokens_stand_at_their_real_addresses_under_their_names(arb: LocalChain) -> None:
    for token in (*CHAINS["arb"].accepted, *CHAINS["arb"].known_other):
        answer = await arb.chain.call(token.contract, selector("symbol()"))
        assert decode(["string"], answer) == (token.symbol,)
        await mint(arb.node, token, DEPOSIT, 9)
        await mint(arb.node, token, DEPOSIT, 1)
        assert await arb.balance(token, DEPOSIT) == 10
        supply = await arb.chain.call(token.contract, selector("totalSupply()"))
        assert int.from_bytes(supply) == 10


async def test_a_usdc_payment_can_be_authorised_by_signature(arb: LocalChain) -> None:
    await mint(arb.node, arb.usdc, PAYER.address.lower(), 100)
    message = {
        "from": PAYER.address,
        "to": DEPOSIT,
        "value": 60,
        "validAfter": 0,
        "validBefore": 2**40,
        "nonce": b"\x07" * 32,
    }
    domain = {
        "name": "USD Coin",
        "version": "2",
        "chainId": 42161,
        "verifyingContract": arb.usdc.contract,
    }
    types = {
        "TransferWithAuthorization": [
            {"name": "from", "type": "address"},
            {"name": "to", "type": "address"},
            {"name": "value", "type": "uint256"},
            {"name": "validAfter", "type": "uint256"},
            {"name": "validBefore", "type": "uint256"},
            {"name": "nonce", "type": "bytes32"},
        ]
    }
    signed = Account.sign_typed_data(PAYER.key, domain, types, message)
    order = (
        "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)",
        *message.values(),
        signed.v,
        signed.r.to_bytes(32, "big"),
        signed.s.to_bytes(32, "big"),
    )
    first = await arb.call(*order, to=arb.usdc.contract, sender=STRANGER)
    assert first.ok
    assert await credited(arb, arb.usdc) == 60
    second = await arb.call(*order, to=arb.usdc.contract, sender=STRANGER)
    assert not second.ok


async def test_a_restarted_node_keeps_its_chain_and_knows_finalized_balances(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    settings = AnvilSettings(42161, state_path=tmp_path_factory.mktemp("anvil") / "arb.json")
    usdt = CHAINS["arb"].accepted[1]
    node = await Anvil.start(settings)
    await install_tokens(node, CHAINS["arb"])
    await mint(node, usdt, DEPOSIT, 12)
    await node.mine(5)
    tip = await node.rpc("eth_getBlockByNumber", "latest", False)  # noqa: FBT003 - JSON-RPC
    await node.stop()

    node = await Anvil.start(settings)
    chain = EvmChain.over(CHAINS["arb"], [node.url], FakeClock(), QUICK)
    again = await chain.block(5)
    final = await chain.block("finalized")
    assert again is not None
    assert final is not None
    assert again.hash == tip["hash"]
    assert await chain.token_balances(usdt.contract, [DEPOSIT], final.hash) == [12]
    await chain.close()
    await node.stop()


async def test_the_clock_of_the_next_block_can_be_set(arb: LocalChain) -> None:
    tip = await arb.chain.block("latest")
    assert tip is not None
    deadline = tip.at + timedelta(minutes=10)
    await arb.node.next_block_at(deadline)
    receipt = await arb.pay(arb.usdt, DEPOSIT, 5)
    block = await arb.chain.block(receipt.block_number)
    assert block is not None
    assert block.at == deadline


async def test_three_chains_have_their_own_tokens_at_once() -> None:
    async with local_chain("base") as base, local_chain("optimism") as optimism:
        await base.pay(base.usdt, DEPOSIT, 1)
        await optimism.pay(optimism.usdt, DEPOSIT, 2)
        assert [t.chain for t in await all_transfers(base, base.usdt)] == ["base"]
        assert await credited(optimism, optimism.usdt) == 2
