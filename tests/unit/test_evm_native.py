"""Reading native coin out of blocks and traces: what lasted counts, what was undone does not."""

import sys
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.chains.evm.native import (
    RawBlock,
    RawTx,
    Traced,
    internal,
    paying,
    read_traces,
    top_level,
)
from counterfoil.chains.port import Block
from counterfoil.core.assets import TOP_LEVEL

OURS, OTHER, PAYER, WALLET = ("0x" + byte * 20 for byte in ("0a", "0b", "0c", "0d"))
TX = "0x" + "AA" * 32
BLOCK = Block(16, "0x" + "b1" * 32, "0x" + "b0" * 32, datetime(2026, 6, 22, tzinfo=UTC))


def call(to: str = OTHER, wei: int = 0, *calls: dict[str, Any], **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - a node's JSON
    frame = {"type": "CALL", "from": WALLET, "to": to, "value": hex(wei), "calls": list(calls)}
    return frame | changes


def found(root: dict[str, Any]) -> list[tuple[int, int]]:
    """Place and wei of what one transaction paid us inside."""
    traced = msgspec.convert([{"txHash": TX, "result": root}], list[Traced])
    return [(t.log_index, t.amount_units) for t in internal("arb", BLOCK, traced, {OURS})]


def test_a_contract_that_pays_is_the_payer() -> None:
    traced = msgspec.convert(
        [{"txHash": TX, "result": call(WALLET, 5, call(OURS.upper().replace("0X", "0x"), 5))}],
        list[Traced],
    )
    (transfer,) = internal("arb", BLOCK, traced, {OURS})
    assert (transfer.from_address, transfer.to_address) == (WALLET, OURS)
    assert (transfer.tx_hash, transfer.log_index) == (TX.lower(), TOP_LEVEL - 1)
    assert (transfer.block_number, transfer.block_hash) == (16, BLOCK.hash)


def test_a_transaction_that_pays_us_itself_is_not_counted_as_a_call() -> None:
    assert found(call(OURS, 5)) == []


def test_each_call_has_a_place_of_its_own_and_keeps_it() -> None:
    assert found(call(WALLET, 9, call(OURS, 4), call(OTHER, 1, call(OURS, 2)), call(OURS, 3))) == [
        (-2, 4),
        (-4, 2),
        (-5, 3),
    ]


@pytest.mark.parametrize("kind", ["DELEGATECALL", "STATICCALL", "CALLCODE", "CREATE", "CREATE2"])
def test_only_calls_hand_coin_on(kind: str) -> None:
    assert found(call(WALLET, 5, call(OURS, 5, type=kind))) == []


@pytest.mark.parametrize("changes", [{"value": "0x0"}, {"value": None}, {"to": None}])
def test_no_value_or_no_receiver_is_no_payment(changes: dict[str, object]) -> None:
    assert found(call(WALLET, 5, call(OURS, 5) | changes)) == []


def test_a_call_that_failed_paid_nothing() -> None:
    assert found(call(WALLET, 5, call(OURS, 5, error="out of gas"))) == []


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_a_failure_anywhere_above_undoes_the_payment(depth: int) -> None:
    frame = call(OURS, 5)
    for level in reversed(range(4)):
        frame = call(
            WALLET, 5, frame, **({"error": "execution reverted"} if level == depth else {})
        )
    assert found(frame) == []


def test_the_siblings_of_a_failure_stand() -> None:
    bad = call(OTHER, 0, call(OURS, 7), error="execution reverted")
    assert found(call(WALLET, 9, bad, call(OURS, 2))) == [(-4, 2)]


def test_a_thousand_calls_deep_is_read() -> None:
    frame = msgspec.convert({"result": call(OURS, 5), "txHash": TX}, Traced).result
    assert frame is not None
    for _ in range(5_000):
        frame = msgspec.structs.replace(frame, to=WALLET, calls=[frame])
    (transfer,) = internal("arb", BLOCK, [Traced(frame, TX)], {OURS})
    assert transfer.log_index == TOP_LEVEL - 5_000


def test_a_trace_too_deep_to_read_is_no_disaster(
    request: pytest.FixtureRequest,
) -> None:
    # What runs tests allows itself more than Python's own 1,000.
    request.addfinalizer(partial(sys.setrecursionlimit, sys.getrecursionlimit()))
    sys.setrecursionlimit(1_000)
    inner, outer = b'{"type":"CALL","from":"0x"', b'[{"txHash":"0x","result":'
    deep = outer + (inner + b',"calls":[') * 5_000 + inner + b"}" + b"]}" * 5_000 + b"}]"
    with pytest.raises(ValueError, match="nested too deeply"):
        read_traces(deep)
    shallow = outer + inner + b',"calls":[' + inner + b"}]}}]"
    assert len(read_traces(shallow)) == 1


frames = st.recursive(
    st.builds(call, st.sampled_from([OURS, OTHER]), st.integers(0, 3)),
    lambda inner: st.builds(
        lambda to, wei, calls, error: call(to, wei, *calls, error=error),
        st.sampled_from([OURS, OTHER]),
        st.integers(0, 3),
        st.lists(inner, max_size=3),
        st.sampled_from([None, "execution reverted"]),
    ),
    max_leaves=25,
)


def gained(frame: dict[str, Any], *, root: bool = True) -> int:
    """What an account gains from a call, worked out the other way round, by recursion."""
    if frame.get("error"):
        return 0
    own = 0 if root or frame["to"] != OURS else int(frame["value"], 16)
    return own + sum(gained(inner, root=False) for inner in frame["calls"])


@given(frames)
def test_what_is_found_is_what_a_chain_would_have_moved(root: dict[str, Any]) -> None:
    payments = found(root)
    assert sum(wei for _, wei in payments) == gained(root)
    assert len({place for place, _ in payments}) == len(payments)


def transaction(**changes: object) -> dict[str, object]:
    return {"hash": TX, "from": PAYER, "to": OURS, "value": "0x5", "type": "0x2", **changes}


def payers_in(*transactions: dict[str, object]) -> list[str]:
    block = {"number": "0x10", "hash": BLOCK.hash, "transactions": list(transactions)}
    return [tx.sender for tx in paying(msgspec.convert(block, RawBlock), {OURS})]


def test_a_block_is_read_for_those_who_pay_us() -> None:
    assert payers_in(transaction(), transaction(to=OTHER), transaction(value="0x0")) == [PAYER]
    assert payers_in(transaction(to=None)) == []
    tx = msgspec.convert(transaction(), RawTx)
    paid = top_level("arb", BLOCK, tx)
    assert (paid.log_index, paid.amount_units, paid.contract) == (TOP_LEVEL, 5, "")


@pytest.mark.parametrize(("kind", "counts"), [("0x64", 1), ("0x68", 1), ("0x69", 0), ("0x6a", 0)])
def test_arbitrums_own_transactions_count_where_they_move_coin(kind: str, counts: int) -> None:
    assert len(payers_in(transaction(type=kind))) == counts
