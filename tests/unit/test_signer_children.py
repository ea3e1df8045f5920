"""What the signer signs for deposit addresses with keys of their own, and what it never does."""

from typing import Any

import msgspec
import pytest
from hexbytes import HexBytes
from msgspec.structs import replace

from counterfoil.signer.orders import CancelChildOrder, FuelChildOrder, Order, SweepChildOrder
from counterfoil.signer.wire import Code
from support.signing_desk import (
    ARBITRUM,
    TERMS,
    THIEF,
    USDC_E,
    USDC_ON_BASE,
    USDT,
    SigningDesk,
    at_nonce,
    on_chain,
)


def sweep(desk: SigningDesk, **changes: Any) -> SweepChildOrder:  # noqa: ANN401 - any field of the order
    order = SweepChildOrder(
        org_id=1,
        move_id="move-s",
        chain_id=ARBITRUM,
        number=5,
        child=desk.signer.child_address(1, 5),
        token=USDT,
        amount_units="3000000000",
        to_hold=False,
    )
    return replace(order, **changes)


def fuel(desk: SigningDesk, **changes: Any) -> FuelChildOrder:  # noqa: ANN401 - any field of the order
    order = FuelChildOrder(
        org_id=1,
        move_id="move-f",
        chain_id=ARBITRUM,
        number=5,
        child=desk.signer.child_address(1, 5),
        value_wei=str(10**13),
    )
    return replace(order, **changes)


@pytest.mark.parametrize(("to_hold", "to"), [(False, "pool"), (True, "hold")])
def test_a_child_sends_its_tokens_to_the_organisations_own_wallets(
    desk: SigningDesk, *, to_hold: bool, to: str
) -> None:
    signed = desk.sign(sweep(desk, to_hold=to_hold))

    fields = on_chain(signed)
    assert signed.sender == desk.signer.child_address(1, 5)
    assert HexBytes(fields["to"]).hex() == USDT[2:]
    assert fields["value"] == 0
    assert HexBytes(fields["data"]).hex() == (
        "a9059cbb" + getattr(desk.wallets, to)[2:].rjust(64, "0") + f"{3_000_000_000:064x}"
    )


def test_a_sweep_has_no_place_for_a_destination(desk: SigningDesk) -> None:
    packed = msgspec.to_builtins(sweep(desk)) | {"destination": THIEF}
    with pytest.raises(msgspec.ValidationError, match="destination"):
        msgspec.convert(packed, Order)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"number": 6}, "child 6 of this organisation is"),
        ({"child": THIEF}, "child 5 of this organisation is"),
        ({"org_id": 2}, "child 5 of this organisation is"),
        ({"token": THIEF}, "is not registered"),
        ({"token": USDC_ON_BASE}, "is not registered on arb"),
        ({"chain_id": 1}, "chain id 1 is not one of"),
        ({"amount_units": "0"}, "a sweep of nothing"),
    ],
)
def test_a_sweep_that_is_not_the_childs_own_is_never_signed(
    desk: SigningDesk, changes: dict[str, Any], reason: str
) -> None:
    assert reason in desk.refuses(Code.POLICY, sweep(desk, **changes)).reason


def test_a_known_other_token_is_swept_too(desk: SigningDesk) -> None:
    assert desk.sign(sweep(desk, token=USDC_E)).sender == desk.signer.child_address(1, 5)


def test_a_child_is_fuelled_from_the_station(desk: SigningDesk) -> None:
    signed = desk.sign(fuel(desk))

    fields = on_chain(signed)
    assert signed.sender == desk.wallets.gas
    assert "0x" + HexBytes(fields["to"]).hex() == desk.signer.child_address(1, 5)
    assert (fields["value"], HexBytes(fields["data"]).hex()) == (10**13, "")


@pytest.mark.parametrize("changes", [{"child": THIEF}, {"number": 6}, {"org_id": 2}])
def test_gas_money_goes_to_no_address_that_is_not_a_child(
    desk: SigningDesk, changes: dict[str, Any]
) -> None:
    refused = desk.refuses(Code.POLICY, fuel(desk, **changes))
    assert "of this organisation is" in refused.reason


@pytest.mark.parametrize("wei", [0, 5 * 10**16 + 1])
def test_a_fuelling_has_its_cap(desk: SigningDesk, wei: int) -> None:
    desk.refuses(Code.CAP, fuel(desk, value_wei=str(wei)))


def test_a_fuelling_gets_one_nonce_for_ever(desk: SigningDesk) -> None:
    first = desk.sign(fuel(desk))
    assert desk.sign(fuel(desk)) == first
    assert desk.refuses(Code.MOVE_SIGNED, fuel(desk), at_nonce(8)).nonce == 7


def test_a_nonce_belongs_to_one_child_and_one_sweep(desk: SigningDesk) -> None:
    desk.sign(sweep(desk))
    other = sweep(desk, move_id="move-t")
    assert desk.refuses(Code.NONCE_TAKEN, other).move_ids == ("move-s",)
    sibling = desk.sign(sweep(desk), replace(TERMS, max_fee_wei=30_000_000))
    assert sibling.sender == desk.signer.child_address(1, 5)
    neighbour = sweep(desk, number=6, child=desk.signer.child_address(1, 6), move_id="move-u")
    assert desk.sign(neighbour).sender == desk.signer.child_address(1, 6)


def test_a_failed_sweep_may_be_made_again(desk: SigningDesk) -> None:
    desk.sign(sweep(desk))
    desk.stop()
    desk.start()
    assert desk.sign(sweep(desk), at_nonce(8)).sender == desk.signer.child_address(1, 5)


def cancel(desk: SigningDesk, **changes: Any) -> CancelChildOrder:  # noqa: ANN401 - any field of the order
    child = desk.signer.child_address(1, 5)
    return replace(CancelChildOrder(1, ("move-s",), ARBITRUM, 5, child), **changes)


def test_a_childs_lost_nonce_is_used_up_by_sending_nothing_to_itself(desk: SigningDesk) -> None:
    lost = desk.sign(sweep(desk))
    signed = desk.sign(cancel(desk))

    fields = on_chain(signed)
    child = desk.signer.child_address(1, 5)
    assert (signed.sender, "0x" + HexBytes(fields["to"]).hex()) == (child, child)
    assert (fields["value"], bytes(HexBytes(fields["data"]))) == (0, b"")
    assert desk.sign(sweep(desk)) == lost
    assert desk.sign(sweep(desk), at_nonce(8)).sender == child


@pytest.mark.parametrize("changes", [{"child": THIEF}, {"number": 6}, {"org_id": 2}])
def test_a_cancellation_that_is_not_the_childs_own_is_never_signed(
    desk: SigningDesk, changes: dict[str, Any]
) -> None:
    desk.sign(sweep(desk))
    desk.refuses(Code.POLICY, cancel(desk, **changes))


def test_what_a_child_never_signed_is_not_cancelled(desk: SigningDesk) -> None:
    assert "nothing to cancel" in desk.refuses(Code.POLICY, cancel(desk)).reason
    desk.sign(sweep(desk))
    desk.refuses(Code.NONCE_TAKEN, cancel(desk, move_ids=("move-other",)))
