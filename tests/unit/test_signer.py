"""What the signer signs and what it never does, told with the people who ask it."""

from collections.abc import Iterator
from dataclasses import replace as but
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes
from msgspec.structs import replace

from counterfoil.chains.evm.addresses import DepositAddresses, FactoryTerms, checksum, salt_of
from counterfoil.core.assets import CHAINS
from counterfoil.core.warrant import Warrant, seal_warrant
from counterfoil.signer.keys import Keyring
from counterfoil.signer.memory import Memory, open_memory
from counterfoil.signer.orders import (
    DeployOrder,
    FuelOrder,
    Order,
    PayOrder,
    Signed,
    SweepOrder,
    TxTerms,
    WalletAddresses,
    pay_order,
)
from counterfoil.signer.payload import NotWhatWasAsked, accept, rebuild, sender_of
from counterfoil.signer.policy import Limits
from counterfoil.signer.refusals import SignerRefused
from counterfoil.signer.signing import Signer
from counterfoil.signer.wire import Code

SEED = bytes(range(64))
APPROVAL_KEY = bytes(range(32))
MONDAY = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
MERCHANT_BANK = "0x" + "ab" * 20
THIEF = "0x" + "bad0" * 10
USDT = "0xfd086bc7cd5c481dcc9c85ebe478a1c0b69fcbb9"
USDC_ON_BASE = "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"
USDC_E = "0xff970a61a04b1ca14834a43f5de4533ebddb5cc8"
ARBITRUM = 42161
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
TERMS = TxTerms(nonce=7, gas_limit=90_000, max_fee_wei=20_000_000, tip_wei=1_000_000)
WARRANT = Warrant(
    org_id=1,
    move_id="move-a",
    purpose="payout",
    chain="arb",
    contract=USDT,
    destination=MERCHANT_BANK,
    amount_units=3_000_000_000,
    approved_by="user_reviewer",
    approved_at=MONDAY,
)


class Hands:
    """A clock whose hands the test moves."""

    def __init__(self) -> None:
        self.at = MONDAY

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


class Desk:
    """The signer with its memory, which can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Hands()
        self.limits = Limits()
        self.memory: Memory | None = None
        self.start()

    def start(self) -> None:
        self.stop()
        self.memory, _ = open_memory(self.folder / "memory")
        self.signer = Signer(Keyring(SEED), self.memory, APPROVAL_KEY, self.limits, self.clock)

    def stop(self) -> None:
        if self.memory:
            self.memory.close()

    @property
    def wallets(self) -> WalletAddresses:
        return self.signer.addresses(1)

    def sign(self, order: Order, terms: TxTerms = TERMS) -> Signed:
        return self.signer.sign(order, terms)

    def refuses(self, code: Code, order: Order, terms: TxTerms = TERMS) -> SignerRefused:
        assert self.memory
        lines = (self.folder / "memory").read_bytes()
        with pytest.raises(SignerRefused) as refused:
            self.sign(order, terms)
        assert refused.value.code == code, refused.value.reason
        assert (self.folder / "memory").read_bytes() == lines
        return refused.value


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.stop()


def approved(**changes: Any) -> PayOrder:  # noqa: ANN401 - any field of the warrant
    """A payment as the reviewer approved it."""
    warrant = but(WARRANT, **changes)
    return pay_order(warrant, seal_warrant(warrant, APPROVAL_KEY))


def at_nonce(nonce: int) -> TxTerms:
    return replace(TERMS, nonce=nonce)


def sweep(desk: Desk, **changes: Any) -> SweepOrder:  # noqa: ANN401 - any field of the order
    order = SweepOrder(
        org_id=1,
        move_ids=("move-s1", "move-s2"),
        chain_id=ARBITRUM,
        factory=desk.wallets.factory,
        token=USDT,
        salts=(salt_of(0), salt_of(1)),
        to_hold=False,
    )
    return replace(order, **changes)


def on_chain(signed: Signed) -> dict[str, Any]:
    """What a node reads in the bytes, by a library that shares nothing with ours."""
    assert Account.recover_transaction(signed.raw).lower() == signed.sender
    transaction = TypedTransaction.from_bytes(HexBytes(signed.raw))
    fields: dict[str, Any] = transaction.as_dict()
    return fields


# --- Payments ---------------------------------------------------------------------------------


def test_an_honest_payout_is_signed_as_approved(desk: Desk) -> None:
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


def test_a_refund_is_signed_too(desk: Desk) -> None:
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
def test_a_row_edited_in_the_database_pays_nobody(desk: Desk, edit: dict[str, Any]) -> None:
    refused = desk.refuses(Code.WARRANT, replace(approved(), **edit))
    assert "nobody approved this" in refused.reason


def test_a_warrant_sealed_with_another_key_pays_nobody(desk: Desk) -> None:
    forged = seal_warrant(WARRANT, bytes(32))
    desk.refuses(Code.WARRANT, pay_order(WARRANT, forged))


def test_another_organisation_pays_from_its_own_pool(desk: Desk) -> None:
    other = desk.sign(approved(org_id=2))
    assert other.sender == desk.signer.addresses(2).pool
    assert other.sender != desk.wallets.pool


@pytest.mark.parametrize("chain_id", [0, 1, 42162, 2**63 - 1])
def test_a_chain_that_is_not_registered_is_refused(desk: Desk, chain_id: int) -> None:
    refused = desk.refuses(Code.POLICY, replace(approved(), chain_id=chain_id))
    assert "42161 (arb), 8453 (base), 10 (optimism)" in refused.reason


@pytest.mark.parametrize("token", [USDC_ON_BASE, USDC_E, THIEF, "0x" + "0" * 40])
def test_even_with_a_warrant_only_accepted_tokens_are_paid(desk: Desk, token: str) -> None:
    refused = desk.refuses(Code.POLICY, approved(contract=token))
    assert f"token {token} is not paid on arb" in refused.reason


@pytest.mark.parametrize("role", ["operator", "pool", "hold", "gas", "admin", "factory"])
def test_even_with_a_warrant_nothing_is_paid_to_ourselves(desk: Desk, role: str) -> None:
    ours = getattr(desk.wallets, role)
    assert "is our own" in desk.refuses(Code.POLICY, approved(destination=ours)).reason


def test_even_with_a_warrant_nothing_is_paid_into_our_contracts(desk: Desk) -> None:
    logic = DepositAddresses(desk.wallets.factory).logic
    for ours in (logic, "0x4e59b44847b379578588920ca78fbf26c0b4956c"):
        desk.refuses(Code.POLICY, approved(destination=ours))


def test_even_with_a_warrant_nothing_is_burnt(desk: Desk) -> None:
    zero = desk.refuses(Code.POLICY, approved(destination="0x" + "0" * 40))
    assert "zero address" in zero.reason
    for chain in CHAINS.values():
        for token in (*chain.accepted, *chain.known_other):
            burnt = desk.refuses(Code.POLICY, approved(destination=token.contract))
            assert "token's own contract" in burnt.reason


def test_a_payment_of_nothing_is_refused(desk: Desk) -> None:
    desk.refuses(Code.POLICY, replace(approved(), amount_units="0"))


# --- Caps -------------------------------------------------------------------------------------


def dollars(amount: int) -> int:
    return amount * 10**6


def test_one_move_pays_no_more_than_its_cap(desk: Desk) -> None:
    most = dollars(desk.limits.move_dollars)
    assert (
        "100000 dollars at once" in desk.refuses(Code.CAP, approved(amount_units=most + 1)).reason
    )
    desk.sign(approved(amount_units=most))


def test_a_day_pays_no_more_than_its_cap_over_all_chains_and_tokens(desk: Desk) -> None:
    most = dollars(desk.limits.move_dollars)
    for number in range(4):
        desk.sign(approved(move_id=f"move-{number}", amount_units=most), at_nonce(number))
    usdc = approved(
        move_id="move-4", chain="base", contract=USDC_ON_BASE, amount_units=most - dollars(1)
    )
    desk.sign(usdc, at_nonce(0))

    over = desk.refuses(Code.CAP, approved(move_id="move-5", amount_units=dollars(1) + 1))
    assert "499999 are signed already" in over.reason
    desk.sign(approved(move_id="move-5", amount_units=dollars(1)))
    desk.refuses(Code.CAP, approved(move_id="move-6", amount_units=1), at_nonce(8))


def full_day(desk: Desk) -> None:
    most = dollars(desk.limits.move_dollars)
    for number in range(5):
        desk.sign(approved(move_id=f"move-{number}", amount_units=most), at_nonce(number))


def test_the_next_day_starts_from_nothing_at_midnight_utc(desk: Desk) -> None:
    full_day(desk)
    desk.clock.at = datetime(2026, 3, 2, 23, 59, 59, 999999, tzinfo=UTC)
    desk.refuses(Code.CAP, approved(amount_units=1))
    desk.clock.at = datetime(2026, 3, 3, tzinfo=UTC)
    desk.sign(approved(amount_units=1))


def test_a_restart_does_not_refill_the_day(desk: Desk) -> None:
    full_day(desk)
    desk.start()
    desk.refuses(Code.CAP, approved(amount_units=1))


def test_another_organisation_has_its_own_day(desk: Desk) -> None:
    full_day(desk)
    desk.sign(approved(org_id=2, amount_units=1))


def test_a_sibling_does_not_count_twice(desk: Desk) -> None:
    full_day(desk)
    last = approved(move_id="move-4", amount_units=dollars(desk.limits.move_dollars))
    desk.sign(last, replace(at_nonce(4), max_fee_wei=30_000_000))
    desk.sign(last, at_nonce(4))


def test_a_warrant_ages_but_not_for_what_is_signed_already(desk: Desk) -> None:
    first = desk.sign(approved())
    desk.clock.at = MONDAY + timedelta(days=7)
    desk.sign(approved(move_id="move-b"), at_nonce(8))
    desk.clock.at += timedelta(seconds=1)

    late = desk.refuses(Code.WARRANT, approved(move_id="move-c"), at_nonce(9))

    assert "approve it again" in late.reason
    assert desk.sign(approved()) == first


def test_nobody_approves_in_the_future(desk: Desk) -> None:
    skewed = MONDAY + timedelta(minutes=5)
    desk.sign(approved(approved_at=skewed))
    too_far = approved(move_id="move-b", approved_at=skewed + timedelta(seconds=1))
    assert "check clocks" in desk.refuses(Code.WARRANT, too_far, at_nonce(8)).reason


# --- Exactly once -----------------------------------------------------------------------------


@pytest.mark.parametrize("restart", [False, True])
def test_the_same_order_again_gives_the_same_bytes(desk: Desk, *, restart: bool) -> None:
    first = desk.sign(approved())
    lines = (desk.folder / "memory").read_bytes()
    if restart:
        desk.start()

    assert desk.sign(approved()) == first
    assert (desk.folder / "memory").read_bytes() == lines


def test_a_fee_bump_is_a_sibling(desk: Desk) -> None:
    first = desk.sign(approved())
    bumped = desk.sign(approved(), replace(TERMS, max_fee_wei=40_000_000, tip_wei=2_000_000))

    before, after = on_chain(first), on_chain(bumped)
    assert bumped.tx_hash != first.tx_hash
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"maxFeePerGas", "maxPriorityFeePerGas", "r", "s", "v"}
    assert {"maxFeePerGas", "maxPriorityFeePerGas"} <= changed


def test_a_nonce_takes_no_other_payment(desk: Desk) -> None:
    desk.sign(approved())
    for other in (
        approved(move_id="move-b", destination=THIEF),
        approved(move_id="move-b"),
        approved(amount_units=1),
    ):
        refused = desk.refuses(Code.NONCE_TAKEN, other)
        assert refused.move_ids == ("move-a",)


@pytest.mark.parametrize("restart", [False, True])
def test_a_move_gets_no_second_nonce(desk: Desk, *, restart: bool) -> None:
    desk.sign(approved())
    if restart:
        desk.start()
    refused = desk.refuses(Code.MOVE_SIGNED, approved(), at_nonce(8))
    assert refused.nonce == 7
    assert "ask with nonce 7 again" in refused.reason


def test_a_lost_answer_is_found_again(desk: Desk) -> None:
    # The worker died before it wrote the nonce down, and asks again with a newer one.
    lost = desk.sign(approved())
    refused = desk.refuses(Code.MOVE_SIGNED, approved(), at_nonce(8))
    assert refused.nonce is not None
    assert desk.sign(approved(), at_nonce(refused.nonce)) == lost


def test_each_chain_has_its_own_nonces(desk: Desk) -> None:
    desk.sign(approved())
    on_base = approved(move_id="move-b", chain="base", contract=USDC_ON_BASE)
    assert on_chain(desk.sign(on_base))["chainId"] == 8453


# --- Sweeps, fuel, deployment -----------------------------------------------------------------


def test_a_sweep_calls_our_factory_and_nothing_else(desk: Desk) -> None:
    signed = desk.sign(sweep(desk))

    fields = on_chain(signed)
    assert signed.sender == desk.wallets.operator
    assert HexBytes(fields["to"]).hex() == desk.wallets.factory[2:]
    assert fields["value"] == 0
    assert fields["data"][-64:] == bytes.fromhex(salt_of(0)[2:] + salt_of(1)[2:])


@pytest.mark.parametrize("to", [THIEF, USDT, "0x" + "0" * 40])
def test_a_sweep_goes_to_no_other_contract(desk: Desk, to: str) -> None:
    refused = desk.refuses(Code.POLICY, sweep(desk, factory=to))
    assert "is not this organisation's" in refused.reason


def test_a_sweep_goes_to_no_other_organisations_factory(desk: Desk) -> None:
    desk.refuses(Code.POLICY, sweep(desk, factory=desk.signer.addresses(2).factory))


def test_the_factory_follows_from_the_wallets(desk: Desk) -> None:
    wallets = desk.wallets
    terms = FactoryTerms(wallets.pool, wallets.hold, wallets.operator, wallets.admin)
    assert wallets.factory == terms.address


def test_a_sweep_takes_each_address_once(desk: Desk) -> None:
    assert "twice" in desk.refuses(Code.POLICY, sweep(desk, salts=(salt_of(3), salt_of(3)))).reason


def test_a_sweep_of_an_unknown_token_is_refused(desk: Desk) -> None:
    desk.refuses(Code.POLICY, sweep(desk, token=THIEF))
    desk.sign(sweep(desk, token=USDC_E))


def test_250_addresses_are_swept_at_once_and_no_more_travel(desk: Desk) -> None:
    full = sweep(desk, salts=tuple(salt_of(number) for number in range(250)))
    desk.sign(full)
    packed = msgspec.json.encode(replace(full, salts=(*full.salts, salt_of(250))))
    with pytest.raises(msgspec.ValidationError, match="length <= 250"):
        msgspec.json.decode(packed, type=SweepOrder)


def test_a_failed_sweep_goes_out_again_with_the_next_nonce(desk: Desk) -> None:
    first = desk.sign(sweep(desk), at_nonce(1))
    assert desk.sign(sweep(desk), at_nonce(2)).tx_hash != first.tx_hash


def test_fuel_goes_only_to_wallets_that_sign(desk: Desk) -> None:
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
    for elsewhere in ("hold", "admin", THIEF):
        packed = msgspec.json.encode({**msgspec.to_builtins(order), "destination_role": elsewhere})
        with pytest.raises(msgspec.ValidationError, match="Invalid enum value"):
            msgspec.json.decode(packed, type=FuelOrder)


@pytest.mark.parametrize("value_wei", ["0", str(5 * 10**16 + 1), str(10**30)])
def test_fuel_is_a_little(desk: Desk, value_wei: str) -> None:
    order = FuelOrder(
        org_id=1,
        move_id="fuel-1",
        chain_id=ARBITRUM,
        destination_role="pool",
        value_wei=value_wei,
    )
    desk.refuses(Code.CAP, order)


def test_fuel_is_not_sent_twice(desk: Desk) -> None:
    order = FuelOrder(
        org_id=1, move_id="fuel-1", chain_id=ARBITRUM, destination_role="pool", value_wei="1"
    )
    desk.sign(order)
    desk.refuses(Code.MOVE_SIGNED, order, at_nonce(8))


def test_a_deployment_builds_exactly_our_factory(desk: Desk) -> None:
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
    [
        replace(TERMS, gas_limit=16_777_217),
        replace(TERMS, max_fee_wei=100 * 10**9 + 1),
        replace(TERMS, tip_wei=20_000_001),
        replace(TERMS, gas_limit=16_000_000, max_fee_wei=10 * 10**9),
    ],
    ids=["gas", "fee", "tip", "gas times fee"],
)
def test_no_terms_burn_the_gas_money(desk: Desk, terms: TxTerms) -> None:
    desk.refuses(Code.POLICY, approved(), terms)


# --- Starting ---------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [b"", bytes(31)])
def test_a_short_approval_key_stops_the_signer(desk: Desk, key: bytes) -> None:
    assert desk.memory
    with pytest.raises(ValueError, match="at least 32 bytes"):
        Signer(Keyring(SEED), desk.memory, key, Limits(), desk.clock)


# --- What is accepted as a signature ----------------------------------------------------------


def test_no_other_bytes_pass_for_what_was_asked(desk: Desk) -> None:
    order, wallets = approved(), desk.wallets
    payload, sender = rebuild(order, wallets), sender_of(rebuild(order, wallets), wallets)
    raw = desk.sign(order).raw
    assert accept(raw, payload, TERMS, sender).raw == raw

    fakes = [raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in range(len(raw))]
    fakes += [raw[:-1], raw + b"\0", b"", b"\x02", raw * 2]
    for fake in fakes:
        with pytest.raises(NotWhatWasAsked):
            accept(fake, payload, TERMS, sender)


def test_the_mirrored_signature_is_refused_as_nodes_do(desk: Desk) -> None:
    order, wallets = approved(), desk.wallets
    payload, sender = rebuild(order, wallets), sender_of(rebuild(order, wallets), wallets)
    # A nonce whose r and s both have their full length, so that s is the last 32 bytes.
    terms, raw = next(
        (terms, raw)
        for terms in map(at_nonce, range(10, 100))
        if (raw := Keyring(SEED).sign(1, payload, terms))[-33] == raw[-66] == 0xA0
    )
    mirrored = CURVE_ORDER - int.from_bytes(raw[-32:])
    parity = b"\x01" if raw[-67] == 0x80 else b"\x80"
    fake = raw[:-67] + parity + raw[-66:-32] + mirrored.to_bytes(32)

    assert accept(raw, payload, terms, sender).raw == raw
    with pytest.raises(NotWhatWasAsked, match="upper half"):
        accept(fake, payload, terms, sender)


def test_signatures_with_short_numbers_are_read_too(desk: Desk) -> None:
    # One in 256 has a leading zero in r, as many in s; an encoder drops it.
    order, wallets = approved(), desk.wallets
    payload, sender = rebuild(order, wallets), sender_of(rebuild(order, wallets), wallets)
    keys, lengths = Keyring(SEED), set()
    for nonce in range(600):
        raw = keys.sign(1, payload, at_nonce(nonce + 1000))
        lengths.add(len(raw))
        assert accept(raw, payload, at_nonce(nonce + 1000), sender).sender == sender
    assert len(lengths) > 1


def test_addresses_travel_in_lower_case_only() -> None:
    with pytest.raises(msgspec.ValidationError, match="destination"):
        approved(destination=checksum(MERCHANT_BANK))
