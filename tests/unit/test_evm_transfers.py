"""Reading Transfer logs: nothing but a real transfer of a wanted token gets through."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from eth_abi.abi import decode
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.chains.address_set import AddressSet
from counterfoil.chains.evm.transfers import (
    RECIPIENTS_PER_QUERY,
    TRANSFER_TOPIC,
    RawLog,
    address_topic,
    decode_transfers,
    transfer_filters,
)
from counterfoil.chains.port import Recipients, Transfer
from counterfoil.core.money import MAX_UNITS

TOKEN = "0x" + "aa" * 20
PAYER = "0x" + "11" * 20
DEPOSIT = "0x" + "22" * 20


def log(**changes: object) -> dict[str, Any]:
    """A node's JSON for a good transfer of 5 units, with the changes a test makes."""
    return {
        "address": TOKEN,
        "topics": [TRANSFER_TOPIC, address_topic(PAYER), address_topic(DEPOSIT)],
        "data": "0x" + (5).to_bytes(32, "big").hex(),
        "blockNumber": "0x10",
        "blockHash": "0x" + "b1" * 32,
        "transactionHash": "0x" + "c1" * 32,
        "transactionIndex": "0x0",
        "logIndex": "0x3",
        "removed": False,
        **changes,
    }


def read(*logs: dict[str, Any], recipients: Recipients = None) -> list[Transfer]:
    raw = msgspec.json.decode(msgspec.json.encode(logs), type=list[RawLog])
    return decode_transfers("arb", raw, [TOKEN], recipients)


def test_a_good_log_is_read() -> None:
    assert read(log()) == [
        Transfer(
            chain="arb",
            tx_hash="0x" + "c1" * 32,
            log_index=3,
            block_number=16,
            block_hash="0x" + "b1" * 32,
            contract=TOKEN,
            from_address=PAYER,
            to_address=DEPOSIT,
            amount_units=5,
        )
    ]


def test_upper_case_hex_means_the_same() -> None:
    shouted = log(address="0x" + "AA" * 20, transactionHash="0x" + "C1" * 32)
    shouted["topics"] = [topic.upper().replace("0X", "0x") for topic in shouted["topics"]]
    assert read(shouted) == read(log())


@pytest.mark.parametrize(
    "changes",
    [
        {"address": "0x" + "ee" * 20},
        {"topics": []},
        {"topics": [TRANSFER_TOPIC]},
        {"topics": [TRANSFER_TOPIC, address_topic(PAYER)]},
        {"topics": [TRANSFER_TOPIC, *[address_topic(DEPOSIT)] * 3]},
        {"topics": ["0x" + "99" * 32, address_topic(PAYER), address_topic(DEPOSIT)]},
        {"topics": [TRANSFER_TOPIC, address_topic(PAYER), "0x" + "22" * 32]},
        {"topics": [TRANSFER_TOPIC, address_topic(PAYER), DEPOSIT]},
        {"topics": [TRANSFER_TOPIC, address_topic(PAYER) + " " + address_topic(DEPOSIT)]},
        {"data": "0x"},
        {"data": "0x05"},
        {"data": "0x" + "00" * 31},
        {"data": "0x" + "00" * 64},
        {"data": "0x" + "00" * 32},
        {"data": "0x" + "0_" * 32},
        {"data": "0x" + " 5".rjust(64)},
        {"removed": True},
        {"blockHash": None},
        {"blockNumber": None},
        {"transactionHash": None},
        {"logIndex": None},
        {"transactionHash": "0xc1"},
    ],
    ids=str,
)
def test_a_log_that_only_looks_like_a_transfer_is_dropped(changes: dict[str, object]) -> None:
    assert read(log(**changes)) == []


def test_a_transfer_to_somebody_else_is_dropped_though_the_node_sent_it() -> None:
    assert read(log(), recipients=[PAYER]) == []
    assert len(read(log(), recipients=[PAYER, DEPOSIT])) == 1


def test_a_log_listed_twice_counts_once_and_two_logs_count_twice() -> None:
    assert len(read(log(), log())) == 1
    assert len(read(log(), log(logIndex="0x4"))) == 2


def test_the_chain_s_order_is_restored() -> None:
    shuffled = [
        log(blockNumber="0x11", logIndex="0x0"),
        log(logIndex="0xa"),
        log(logIndex="0x9"),
    ]
    assert [(t.block_number, t.log_index) for t in read(*shuffled)] == [(16, 9), (16, 10), (17, 0)]


def test_out_of_everybodys_transfers_only_ours_are_read() -> None:
    strangers = [log(topics=[TRANSFER_TOPIC, address_topic(PAYER), address_topic(PAYER)])] * 3
    ours = AddressSet([DEPOSIT])
    assert read(*strangers, recipients=ours) == []
    assert read(*strangers, log(), recipients=ours) == read(log())
    shouted = [topic.upper().replace("0X", "0x") for topic in log()["topics"]]
    assert read(log(topics=shouted), recipients=ours) == read(log())


def test_the_block_s_time_is_read_where_the_node_tells_it() -> None:
    (found,) = read(log(blockTimestamp="0x65"))
    assert found.block_at == datetime(1970, 1, 1, 0, 1, 41, tzinfo=UTC)
    for nonsense in (None, "", "0x", "now", "0x" + "f" * 40):
        assert [t.block_at for t in read(log(blockTimestamp=nonsense))] == [None]


addresses = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
amounts = st.integers(0, 2**256 - 1) | st.integers(0, MAX_UNITS)


@given(sender=addresses, receiver=addresses, amount=amounts)
def test_amounts_and_addresses_agree_with_eth_abi(sender: str, receiver: str, amount: int) -> None:
    raw = log(
        topics=[TRANSFER_TOPIC, address_topic(sender), address_topic(receiver)],
        data="0x" + amount.to_bytes(32, "big").hex(),
    )
    found = read(raw)
    if amount == 0 or amount > MAX_UNITS:
        assert found == []
        return
    words = b"".join(bytes.fromhex(word[2:]) for word in (*raw["topics"][1:], raw["data"]))
    expected = decode(["address", "address", "uint256"], words)
    assert [(t.from_address, t.to_address, t.amount_units) for t in found] == [expected]


words = st.text("0123456789abcdefABCDEFx_ -+\n\uff15", max_size=70)
junk = st.one_of(words, words.map(lambda text: "0x" + text))


@given(
    topics=st.lists(st.sampled_from([TRANSFER_TOPIC, address_topic(PAYER)]) | junk, max_size=5),
    data=junk,
    number=st.none() | junk,
    index=st.none() | junk,
    block_hash=st.none() | junk,
)
def test_no_junk_makes_the_reader_stumble(
    topics: list[str],
    data: str,
    number: str | None,
    index: str | None,
    block_hash: str | None,
) -> None:
    read(log(topics=topics, data=data))
    read(log(blockNumber=number, logIndex=index, blockHash=block_hash))


def test_recipients_are_asked_for_in_chunks() -> None:
    everybody = ["0x" + i.to_bytes(20, "big").hex() for i in range(RECIPIENTS_PER_QUERY + 1)]
    filters = transfer_filters(16, 17, [TOKEN], everybody)
    chunks: list[Any] = [one["topics"] for one in filters]
    assert [len(topics[2]) for topics in chunks] == [RECIPIENTS_PER_QUERY, 1]
    assert [word for topics in chunks for word in topics[2]] == [*map(address_topic, everybody)]
    assert {(one["fromBlock"], one["toBlock"]) for one in filters} == {("0x10", "0x11")}


def test_what_no_registry_knows_is_asked_for_by_receiver_alone() -> None:
    assert transfer_filters(0, 9, None, [DEPOSIT]) == [
        {
            "fromBlock": "0x0",
            "toBlock": "0x9",
            "topics": [TRANSFER_TOPIC, None, [address_topic(DEPOSIT)]],
        }
    ]
    strange = "0x" + "5a" * 20
    logs = [log(address=strange), log(address=strange, topics=[*log()["topics"], "0x" + "0" * 64])]
    raw = msgspec.json.decode(msgspec.json.encode(logs), type=list[RawLog])
    (found,) = decode_transfers("arb", raw, None, [DEPOSIT])
    assert (found.contract, found.amount_units) == (strange, 5)
    assert decode_transfers("arb", raw, None, [PAYER]) == []


def test_everybody_is_asked_for_by_contract_alone() -> None:
    assert transfer_filters(0, 9, [TOKEN], None) == [
        {"fromBlock": "0x0", "toBlock": "0x9", "address": [TOKEN], "topics": [TRANSFER_TOPIC]}
    ]
