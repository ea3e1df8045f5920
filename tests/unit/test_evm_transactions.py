"""Call data against eth-abi as the oracle, and what a receipt proves."""

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.chains.evm import transactions
from counterfoil.chains.evm.transfers import TRANSFER_TOPIC, address_topic
from counterfoil.chains.port import Log, Receipt

TOKEN = "0x" + "aa" * 20
POOL = "0x" + "b0" * 20
CUSTOMER = "0x" + "cc" * 20
FACTORY = "0x" + "fa" * 20

addresses = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
amounts = st.integers(0, 2**256 - 1)
salts = st.binary(min_size=32, max_size=32).map(lambda raw: "0x" + raw.hex())


def oracle(signature: str, *values: object) -> bytes:
    kinds = signature[signature.index("(") + 1 : -1]
    return bytes(keccak(text=signature)[:4] + encode(kinds.split(","), values))


@given(addresses, amounts)
def test_transfer(to: str, amount: int) -> None:
    assert transactions.transfer_calldata(to, amount) == oracle(
        "transfer(address,uint256)", to, amount
    )


@given(st.binary(max_size=300))
def test_a_fee_for_data_is_asked_for_the_data_and_what_is_around_it(data: bytes) -> None:
    assert transactions.data_fee_calldata(data) == oracle(
        "getL1FeeUpperBound(uint256)", len(data) + 100
    )


@given(addresses, st.lists(salts, min_size=1, max_size=9), st.booleans())
def test_sweep(token: str, chosen: list[str], to_hold: bool) -> None:  # noqa: FBT001 - hypothesis
    raw = [bytes.fromhex(salt[2:]) for salt in chosen]
    assert transactions.sweep_calldata(token, chosen, to_hold=to_hold) == oracle(
        "sweep(address,bytes32[],bool)", token, raw, to_hold
    )
    assert transactions.sweep_one_calldata(token, chosen[0], to_hold=to_hold) == oracle(
        "sweep_one(address,bytes32,bool)", token, raw[0], to_hold
    )
    assert transactions.address_of_calldata(chosen[0]) == oracle("address_of(bytes32)", raw[0])


@given(addresses)
def test_calls_with_one_address(account: str) -> None:
    assert transactions.balance_of_calldata(account) == oracle("balanceOf(address)", account)
    assert transactions.set_operator_calldata(account) == oracle("set_operator(address)", account)
    assert transactions.propose_admin_calldata(account) == oracle("propose_admin(address)", account)
    assert transactions.is_blacklisted_calldata("USDC", account) == oracle(
        "isBlacklisted(address)", account
    )
    assert transactions.is_blacklisted_calldata("USDT", account) == oracle(
        "isBlackListed(address)", account
    )


@pytest.mark.parametrize("bad", ["", "0x", "0x12", "0x" + "aa" * 21, "0xzz" + "aa" * 19])
def test_a_malformed_address_never_reaches_call_data(bad: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - hex and length both count
        transactions.transfer_calldata(bad, 1)


@pytest.mark.parametrize("bad", ["", "0x01", "0x" + "00" * 33])
def test_a_malformed_salt_never_reaches_call_data(bad: str) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        transactions.sweep_calldata(TOKEN, [bad], to_hold=False)


@pytest.mark.parametrize("units", [-1, 2**256])
def test_an_amount_beyond_a_word_never_reaches_call_data(units: int) -> None:
    with pytest.raises(OverflowError):
        transactions.transfer_calldata(POOL, units)


@pytest.mark.parametrize("count", [0, transactions.MAX_SWEEP + 1])
def test_a_sweep_has_bounds(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 250"):
        transactions.sweep_calldata(TOKEN, ["0x" + "00" * 32] * count, to_hold=False)


def receipt(*logs: Log, ok: bool = True) -> Receipt:
    return Receipt("0x" + "01" * 32, 5, "0x" + "02" * 32, ok, 60_000, 10**12, logs)


def moved(
    units: int, *, token: str = TOKEN, sender: str = POOL, to: str = CUSTOMER, index: int = 0
) -> Log:
    topics = (TRANSFER_TOPIC, address_topic(sender), address_topic(to))
    return Log(token, topics, units.to_bytes(32, "big"), index)


def paid(*logs: Log, ok: bool = True, token: str = TOKEN) -> bool:
    return transactions.paid(receipt(*logs, ok=ok), token, POOL, CUSTOMER, 100)


def test_a_payout_is_proven_by_the_token_s_own_log() -> None:
    assert paid(moved(100))
    assert paid(moved(60), moved(40, index=1))


@pytest.mark.parametrize(
    "log",
    [
        moved(99),
        moved(101),
        moved(100, token="0x" + "ee" * 20),
        moved(100, sender=CUSTOMER),
        moved(100, to=POOL),
        Log(TOKEN, moved(100).topics, b"\x64", 0),
        Log(TOKEN, (*moved(100).topics, address_topic(POOL)), moved(100).data, 0),
    ],
)
def test_a_payout_with_any_other_log_is_not_proven(log: Log) -> None:
    assert not paid(log)


def test_success_without_a_log_and_a_log_without_success_prove_nothing() -> None:
    assert not paid()
    assert not paid(moved(100), ok=False)


def test_native_coin_is_paid_when_the_transaction_succeeded() -> None:
    assert paid(token="")
    assert not paid(token="", ok=False)


def test_sweep_events_of_another_contract_are_ignored() -> None:
    topics = ("0x" + keccak(text="Swept(bytes32,address,address,uint256,bool)").hex(),)
    spoof = Log(
        "0x" + "ee" * 20,
        (*topics, "0x" + "00" * 32, address_topic(TOKEN)),
        encode(["address", "uint256", "bool"], [POOL, 7, False]),
        0,
    )
    assert transactions.swept(receipt(spoof), FACTORY) == []
    ours = Log(FACTORY, spoof.topics, spoof.data, 0)
    (item,) = transactions.swept(receipt(ours), FACTORY)
    assert (item.ok, item.amount_units, item.account, item.token) == (True, 7, POOL, TOKEN)
