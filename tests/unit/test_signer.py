"""What the signer signs and what it never does, told with the people who ask it."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hexbytes import HexBytes
from msgspec.structs import replace

from counterfoil.chains.evm.addresses import DepositAddresses, FactoryTerms, salt_of
from counterfoil.core.assets import CHAINS
from counterfoil.core.warrant import seal_warrant
from counterfoil.signer.keys import Keyring
from counterfoil.signer.orders import DeployOrder, FuelOrder, SweepOrder, TxTerms, pay_order
from counterfoil.signer.policy import Limits
from counterfoil.signer.signing import Signer
from counterfoil.signer.wire import Code
from support.signing_desk import (
    ARBITRUM,
    MERCHANT_BANK,
    MONDAY,
    SEED,
    TERMS,
    THIEF,
    USDC_E,
    USDC_ON_BASE,
    USDT,
    WARRANT,
    SigningDesk,
    approved,
    at_nonce,
    on_chain,
    sweep,
)

# --- Payments ---------------------------------------------------------------------------------


def test_an_honest_payout_is_signed_as_approved(desk: SigningDesk) -> None:
    signed = desk.sign(approved())

    fields = on_chain(signed)
    assert signed.sender == desk.wallets.pool
    assert fields["chainId"] == ARBITRUM
    assert fields["nonce"] == 7
    assert fields["gas"] == 90_000
    assert fields["maxFeePerGas"] == 20_000_000
    assert fields["maxPriorityFeePerGas"] == 1_000_000
    assert HexBytes(fields["to"]).hex() == USDT[2:]
    assert fields["value"] == 0
    assert tuple(fields["accessList"]) == ()
    assert HexBytes(fields["data"]).hex() == (
        "a9059cbb" + MERCHANT_BANK[2:].rjust(64, "0") + f"{3_000_000_000:064x}"
    )


def test_native_coin_is_paid_as_value_and_not_to_the_zero_address(desk: SigningDesk) -> None:
    order = approved(contract="", amount_units=10**18)
    paid = on_chain(desk.sign(order))
    assert paid["to"] == bytes.fromhex(MERCHANT_BANK[2:])
    assert (paid["value"], bytes(paid["data"])) == (10**18, b"")
    desk.refuses(Code.WARRANT, replace(order, token=USDT))


def test_native_coin_is_swept_through_the_factory(desk: SigningDesk) -> None:
    swept = on_chain(desk.sign(sweep(desk, token="0x" + "0" * 40)))
    assert swept["to"] == bytes.fromhex(desk.wallets.factory[2:])
    assert swept["value"] == 0


def test_a_refund_is_signed_too(desk: SigningDesk) -> None:
    assert desk.sign(approved(purpose="refund")).sender == desk.wallets.pool


@pytest.mark.parametrize(
    "edit",
    [
        {"destination": THIEF},
        {"amount_units": "3000000001"},
        {"amount_units": "1"},
        {"token": "0xaf88d065e77c8cc2239327c5edb3a432268e5831"},
        {"chain_id": 8453, "token": USDC_ON_BASE},
        {"org_id": 2},
        {"move_id": "move-b"},
        {"purpose": "refund"},
        {"approved_by": "user_thief"},
        {"approved_at": MONDAY + timedelta(days=6)},
        {"seal": "0" * 64},
    ],
    ids=",".join,
)
def test_a_row_edited_in_the_database_pays_nobody(desk: SigningDesk, edit: dict[str, Any]) -> None:
    refused = desk.refuses(Code.WARRANT, replace(approved(), **edit))
    assert "nobody approved this" in refused.reason


def test_a_warrant_sealed_with_another_key_pays_nobody(desk: SigningDesk) -> None:
    forged = seal_warrant(WARRANT, bytes(32))
    desk.refuses(Code.WARRANT, pay_order(WARRANT, forged))


def test_another_organisation_pays_from_its_own_pool(desk: SigningDesk) -> None:
    other = desk.sign(approved(org_id=2))
    assert other.sender == desk.signer.addresses(2).pool
    assert other.sender != desk.wallets.pool


@pytest.mark.parametrize("chain_id", [0, 1, 42162, 2**63 - 1])
def test_a_chain_that_is_not_registered_is_refused(desk: SigningDesk, chain_id: int) -> None:
    refused = desk.refuses(Code.POLICY, replace(approved(), chain_id=chain_id))
    assert "42161 (arb), 8453 (base), 10 (optimism)" in refused.reason


@pytest.mark.parametrize("token", [USDC_ON_BASE, USDC_E, THIEF])
def test_even_with_a_warrant_only_accepted_tokens_are_paid(desk: SigningDesk, token: str) -> None:
    refused = desk.refuses(Code.POLICY, approved(contract=token))
    assert f"token {token} is not paid on arb" in refused.reason


@pytest.mark.parametrize("role", ["operator", "pool", "hold", "gas", "admin", "factory"])
def test_even_with_a_warrant_nothing_is_paid_to_ourselves(desk: SigningDesk, role: str) -> None:
    ours = getattr(desk.wallets, role)
    assert "is our own" in desk.refuses(Code.POLICY, approved(destination=ours)).reason


def test_even_with_a_warrant_nothing_is_paid_into_our_contracts(desk: SigningDesk) -> None:
    logic = DepositAddresses(desk.wallets.factory).logic
    for ours in (logic, "0x4e59b44847b379578588920ca78fbf26c0b4956c"):
        desk.refuses(Code.POLICY, approved(destination=ours))


def test_even_with_a_warrant_nothing_is_burnt(desk: SigningDesk) -> None:
    zero = desk.refuses(Code.POLICY, approved(destination="0x" + "0" * 40))
    assert "zero address" in zero.reason
    for chain in CHAINS.values():
        for token in (*chain.accepted, *chain.known_other):
            burnt = desk.refuses(Code.POLICY, approved(destination=token.contract))
            assert "token's own contract" in burnt.reason


def test_a_payment_of_nothing_is_refused(desk: SigningDesk) -> None:
    desk.refuses(Code.POLICY, replace(approved(), amount_units="0"))


# --- Exactly once -----------------------------------------------------------------------------


@pytest.mark.parametrize("restart", [False, True])
def test_the_same_order_again_gives_the_same_bytes(desk: SigningDesk, *, restart: bool) -> None:
    first = desk.sign(approved())
    lines = (desk.folder / "memory").read_bytes()
    if restart:
        desk.start()

    assert desk.sign(approved()) == first
    assert (desk.folder / "memory").read_bytes() == lines


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("max_fee_wei", [40_000_000, 10_000_000], ids=["dearer", "cheaper"])
def test_other_fees_make_a_sibling(desk: SigningDesk, max_fee_wei: int, *, restart: bool) -> None:
    first = desk.sign(approved())
    if restart:
        desk.start()
    other = desk.sign(approved(), replace(TERMS, max_fee_wei=max_fee_wei, tip_wei=2_000_000))

    before, after = on_chain(first), on_chain(other)
    assert other.tx_hash != first.tx_hash
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"maxFeePerGas", "maxPriorityFeePerGas", "r", "s", "v"}
    assert {"maxFeePerGas", "maxPriorityFeePerGas"} <= changed
    assert desk.sign(approved()) == first


def test_other_fees_are_no_way_to_another_payment_or_nonce(desk: SigningDesk) -> None:
    desk.sign(approved())
    dearer = replace(TERMS, max_fee_wei=40_000_000)
    desk.sign(approved(), dearer)
    desk.start()
    desk.refuses(Code.NONCE_TAKEN, approved(move_id="move-b"), dearer)
    desk.refuses(Code.NONCE_TAKEN, approved(amount_units=1), dearer)
    desk.refuses(Code.MOVE_SIGNED, approved(), replace(dearer, nonce=8))


def test_a_nonce_takes_no_other_payment(desk: SigningDesk) -> None:
    desk.sign(approved())
    for other in (
        approved(move_id="move-b", destination=THIEF),
        approved(move_id="move-b"),
        approved(amount_units=1),
    ):
        refused = desk.refuses(Code.NONCE_TAKEN, other)
        assert refused.move_ids == ("move-a",)


@pytest.mark.parametrize("restart", [False, True])
def test_a_move_gets_no_second_nonce(desk: SigningDesk, *, restart: bool) -> None:
    desk.sign(approved())
    if restart:
        desk.start()
    for nonce in (0, 6, 8, 2**62):
        refused = desk.refuses(Code.MOVE_SIGNED, approved(), at_nonce(nonce))
        assert refused.nonce == 7
        assert "ask with nonce 7 again" in refused.reason


def test_a_lost_answer_is_found_again(desk: SigningDesk) -> None:
    # The worker died before it wrote the nonce down, and asks again with a newer one.
    lost = desk.sign(approved())
    refused = desk.refuses(Code.MOVE_SIGNED, approved(), at_nonce(8))
    assert refused.nonce is not None
    assert desk.sign(approved(), at_nonce(refused.nonce)) == lost


def test_each_chain_has_its_own_nonces(desk: SigningDesk) -> None:
    desk.sign(approved())
    on_base = approved(move_id="move-b", chain="base", contract=USDC_ON_BASE)
    assert on_chain(desk.sign(on_base))["chainId"] == 8453


# --- Sweeps, fuel, deployment -----------------------------------------------------------------


def test_a_sweep_calls_our_factory_and_nothing_else(desk: SigningDesk) -> None:
    signed = desk.sign(sweep(desk))

    fields = on_chain(signed)
    assert signed.sender == desk.wallets.operator
    assert HexBytes(fields["to"]).hex() == desk.wallets.factory[2:]
    assert fields["value"] == 0
    assert fields["data"][-64:] == bytes.fromhex(salt_of(0)[2:] + salt_of(1)[2:])


@pytest.mark.parametrize("to", [THIEF, USDT, "0x" + "0" * 40])
def test_a_sweep_goes_to_no_other_contract(desk: SigningDesk, to: str) -> None:
    refused = desk.refuses(Code.POLICY, sweep(desk, factory=to))
    assert "is not this organisation's" in refused.reason


def test_a_sweep_goes_to_no_other_organisations_factory(desk: SigningDesk) -> None:
    desk.refuses(Code.POLICY, sweep(desk, factory=desk.signer.addresses(2).factory))


def test_the_factory_follows_from_the_wallets(desk: SigningDesk) -> None:
    wallets = desk.wallets
    terms = FactoryTerms(wallets.pool, wallets.hold, wallets.operator, wallets.admin)
    assert wallets.factory == terms.address


def test_a_sweep_takes_each_address_once(desk: SigningDesk) -> None:
    assert "twice" in desk.refuses(Code.POLICY, sweep(desk, salts=(salt_of(3), salt_of(3)))).reason


def test_a_sweep_of_an_unknown_token_is_refused(desk: SigningDesk) -> None:
    desk.refuses(Code.POLICY, sweep(desk, token=THIEF))
    desk.sign(sweep(desk, token=USDC_E))


def test_250_addresses_are_swept_at_once_and_no_more_travel(desk: SigningDesk) -> None:
    full = sweep(desk, salts=tuple(salt_of(number) for number in range(250)))
    desk.sign(full)
    packed = msgspec.json.encode(replace(full, salts=(*full.salts, salt_of(250))))
    with pytest.raises(msgspec.ValidationError, match="length <= 250"):
        msgspec.json.decode(packed, type=SweepOrder)


def test_a_failed_sweep_goes_out_again_with_the_next_nonce(desk: SigningDesk) -> None:
    first = desk.sign(sweep(desk), at_nonce(1))
    assert desk.sign(sweep(desk), at_nonce(2)).tx_hash != first.tx_hash


def test_fuel_goes_only_to_wallets_that_sign(desk: SigningDesk) -> None:
    order = FuelOrder(
        org_id=1,
        move_id="fuel-1",
        chain_id=ARBITRUM,
        destination_role="operator",
        value_wei=str(10**15),
    )

    fields = on_chain(desk.sign(order))

    assert HexBytes(fields["to"]).hex() == desk.wallets.operator[2:]
    assert fields["value"] == 10**15
    assert bytes(fields["data"]) == b""
    to_pool = desk.sign(replace(order, move_id="fuel-2", destination_role="pool"), at_nonce(8))
    assert HexBytes(on_chain(to_pool)["to"]).hex() == desk.wallets.pool[2:]
    assert to_pool.sender == desk.wallets.gas
    for elsewhere in ("gas", "admin", THIEF):
        packed = msgspec.json.encode({**msgspec.to_builtins(order), "destination_role": elsewhere})
        with pytest.raises(msgspec.ValidationError, match="Invalid enum value"):
            msgspec.json.decode(packed, type=FuelOrder)


@pytest.mark.parametrize("value_wei", ["0", str(5 * 10**16 + 1), str(10**30)])
def test_fuel_is_a_little(desk: SigningDesk, value_wei: str) -> None:
    order = FuelOrder(
        org_id=1,
        move_id="fuel-1",
        chain_id=ARBITRUM,
        destination_role="pool",
        value_wei=value_wei,
    )
    desk.refuses(Code.CAP, order)


@pytest.mark.parametrize("restart", [False, True])
def test_fuel_is_not_sent_twice(desk: SigningDesk, *, restart: bool) -> None:
    order = FuelOrder(
        org_id=1, move_id="fuel-1", chain_id=ARBITRUM, destination_role="pool", value_wei="1"
    )
    first = desk.sign(order)
    if restart:
        desk.start()
    for nonce in (6, 8, 2**62):
        assert desk.refuses(Code.MOVE_SIGNED, order, at_nonce(nonce)).nonce == 7
    assert desk.sign(order) == first


def test_a_deployment_builds_exactly_our_factory(desk: SigningDesk) -> None:
    order = DeployOrder(org_id=1, move_id="deploy-1", chain_id=ARBITRUM)

    signed = desk.sign(order, replace(TERMS, gas_limit=3_000_000))

    wallets = desk.wallets
    terms = FactoryTerms(wallets.pool, wallets.hold, wallets.operator, wallets.admin)
    fields = on_chain(signed)
    assert signed.sender == wallets.gas
    assert HexBytes(fields["to"]).hex() == "4e59b44847b379578588920ca78fbf26c0b4956c"
    assert bytes(fields["data"]) == bytes(32) + terms.initcode


# --- Terms ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "terms",
    [replace(TERMS, gas_limit=16_777_217), replace(TERMS, tip_wei=20_000_001)],
    ids=["gas", "tip"],
)
def test_terms_that_never_make_sense_are_refused_for_good(
    desk: SigningDesk, terms: TxTerms
) -> None:
    desk.refuses(Code.POLICY, approved(), terms)


@pytest.mark.parametrize(
    "terms",
    [
        replace(TERMS, max_fee_wei=100 * 10**9 + 1),
        replace(TERMS, gas_limit=16_000_000, max_fee_wei=10 * 10**9),
    ],
    ids=["fee", "gas times fee"],
)
def test_a_fee_too_high_is_refused_until_it_has_fallen(desk: SigningDesk, terms: TxTerms) -> None:
    desk.refuses(Code.FEE, approved(), terms)
    desk.sign(approved(), replace(terms, max_fee_wei=10**9))


# --- Starting ---------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [b"", bytes(31)])
def test_a_short_approval_key_stops_the_signer(desk: SigningDesk, key: bytes) -> None:
    assert desk.memory
    with pytest.raises(ValueError, match="at least 32 bytes"):
        Signer(Keyring(SEED), desk.memory, key, Limits(), desk.clock)
