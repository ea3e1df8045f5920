"""What the hold wallet signs: refunds that say so, and what goes to our own pool."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from counterfoil.chains.evm.addresses import ZERO_ADDRESS
from counterfoil.chains.evm.transactions import transfer_calldata
from counterfoil.core.warrant import seal_warrant
from counterfoil.signer.orders import CancelOrder, FuelOrder, RestoreOrder, pay_order
from counterfoil.signer.wire import Code
from support.signing_desk import (
    APPROVAL_KEY,
    ARBITRUM,
    MONDAY,
    THIEF,
    USDT,
    WARRANT,
    SigningDesk,
    approved,
    at_nonce,
    on_chain,
)

RESTORE = RestoreOrder(
    org_id=1, move_id="move-r", chain_id=ARBITRUM, token=USDT, amount_units="5000000"
)
BACK = {"purpose": "refund", "from_hold": True}


def test_a_refund_leaves_from_hold_where_its_warrant_says_so(desk: SigningDesk) -> None:
    signed = desk.sign(approved(**BACK))
    assert signed.sender == desk.wallets.hold
    assert on_chain(signed)["to"] == bytes.fromhex(USDT[2:])


def test_nobody_can_say_so_after_the_approval_or_take_it_back(desk: SigningDesk) -> None:
    desk.refuses(Code.WARRANT, replace(approved(purpose="refund"), from_hold=True))
    desk.refuses(Code.WARRANT, replace(approved(**BACK), from_hold=False))


def test_a_payout_never_leaves_from_hold(desk: SigningDesk) -> None:
    refused = desk.refuses(Code.POLICY, replace(approved(), from_hold=True))
    assert "from hold only refunds" in refused.reason
    with pytest.raises(ValueError, match="only a refund leaves from the hold wallet"):
        approved(purpose="payout", from_hold=True)


def test_the_same_refund_is_not_signed_from_both_wallets(desk: SigningDesk) -> None:
    desk.sign(approved(**BACK))
    refused = desk.refuses(Code.MOVE_SIGNED, approved(purpose="refund"), at_nonce(8))
    assert refused.nonce == 7


def test_a_refund_from_hold_counts_for_the_caps(desk: SigningDesk) -> None:
    desk.refuses(Code.CAP, approved(**BACK, amount_units=100_001 * 10**6))
    desk.clock.at = MONDAY + timedelta(days=8)
    desk.refuses(Code.WARRANT, approved(**BACK))


def test_seals_from_before_there_was_a_hold_wallet_still_fit(desk: SigningDesk) -> None:
    assert b"from_hold" not in WARRANT.canonical()
    signed = desk.sign(pay_order(WARRANT, seal_warrant(WARRANT, APPROVAL_KEY)))
    assert signed.sender == desk.wallets.pool


def test_what_is_restored_goes_to_our_own_pool(desk: SigningDesk) -> None:
    signed = desk.sign(RESTORE)
    assert signed.sender == desk.wallets.hold
    assert on_chain(signed)["data"] == transfer_calldata(desk.wallets.pool, 5_000_000)
    coin = desk.sign(replace(RESTORE, move_id="move-c", token=ZERO_ADDRESS), at_nonce(8))
    assert on_chain(coin)["to"] == bytes.fromhex(desk.wallets.pool[2:])
    assert on_chain(coin)["value"] == 5_000_000


@pytest.mark.parametrize("changes", [{"token": THIEF}, {"amount_units": "0"}])
def test_nothing_else_is_restored(desk: SigningDesk, changes: dict[str, str]) -> None:
    desk.refuses(Code.POLICY, replace(RESTORE, **changes))


def test_the_hold_wallet_is_fuelled_and_its_nonces_are_cancelled(desk: SigningDesk) -> None:
    fuel = FuelOrder(
        org_id=1, move_id="f", chain_id=ARBITRUM, destination_role="hold", value_wei="7"
    )
    assert on_chain(desk.sign(fuel))["to"] == bytes.fromhex(desk.wallets.hold[2:])
    desk.sign(RESTORE, at_nonce(8))
    cancel = CancelOrder(org_id=1, move_ids=("move-r",), chain_id=ARBITRUM, role="hold")
    assert on_chain(desk.sign(cancel, at_nonce(8)))["to"] == bytes.fromhex(desk.wallets.hold[2:])
