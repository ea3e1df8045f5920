"""Orders: everything the signer can be asked to sign, as it travels on the socket.

An order says what is wanted, never which bytes: the signer rebuilds the transaction itself
(specs/reliability.md 1.2, Bybit). Amounts are digits in text, so that no JSON reader rounds
them. Addresses and hashes are lower-case 0x hex.
"""

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from counterfoil.chains.evm.addresses import ZERO_ADDRESS
from counterfoil.chains.evm.transactions import MAX_SWEEP
from counterfoil.core.assets import CHAINS, Chain
from counterfoil.core.warrant import Purpose, Warrant

# ``\Z`` and not ``$``, which would let a newline through at the end.
Address = Annotated[str, Meta(pattern=r"^0x[0-9a-f]{40}\Z")]
Word = Annotated[str, Meta(pattern=r"^0x[0-9a-f]{64}\Z")]
Digits = Annotated[str, Meta(pattern=r"^(0|[1-9][0-9]{0,77})\Z")]
Seal = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Small = Annotated[int, Meta(ge=0, le=2**63 - 1)]
OrgId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
"""An organisation's id is also its index in the derivation path, where BIP-32 allows 31 bits."""

Moves = Annotated[tuple[Name, ...], Meta(min_length=1, max_length=MAX_SWEEP)]
Salts = Annotated[tuple[Word, ...], Meta(min_length=1, max_length=MAX_SWEEP)]

ChildNumber = Annotated[int, Meta(ge=0, le=2**31 - 1)]
"""A deposit address's number is also its index below the branch, where 31 bits are not hardened."""

Role = Literal["operator", "pool", "hold", "gas", "admin", "child"]
SIGNING_ROLES: Final = frozenset[Role]({"operator", "pool", "hold", "gas"})
FueledRole = Literal["operator", "pool", "hold"]
SigningRole = Literal["operator", "pool", "hold", "gas"]


class WalletAddresses(Struct, frozen=True, forbid_unknown_fields=True):
    """An organisation's wallets, and the factory whose address follows from them.

    ``operator`` sweeps, ``pool`` pays, ``gas`` fuels and deploys. ``hold`` (quarantine) sends
    to the pool, and refunds whose warrant names it. ``admin`` (of the factory) is cold: its
    address is known, but nothing is signed for it.
    """

    operator: Address
    pool: Address
    hold: Address
    gas: Address
    admin: Address
    factory: Address


class Branch(Struct, frozen=True, forbid_unknown_fields=True):
    """An organisation's extended public key for deposits, in hex: every child hangs below it.

    Private: it lists all deposits, and with one child's key it gives away all others'. So it
    is in no repr, no log line and no database.
    """

    public_key: Annotated[str, Meta(pattern=r"^0[23][0-9a-f]{64}\Z")]
    chain_code: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]

    def __repr__(self) -> str:
        """Say what this is and nothing about what it holds."""
        return "Branch(private)"


class SweepOrder(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="sweep"):
    """Sweep deposit addresses to the pool, or to hold; the operator signs.

    ``move_ids`` are the moves that this one transaction carries out.
    """

    org_id: OrgId
    move_ids: Moves
    chain_id: Small
    factory: Address
    token: Address
    salts: Salts
    to_hold: bool


class PayOrder(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="pay"):
    """Pay out or refund what a sealed warrant allows; the pool signs, or hold where it says so.

    The fields are those of the warrant itself, so that nothing in the order can differ
    from what was approved: any change breaks ``seal``. Build it with `pay_order`. The zero
    address as ``token`` is the chain's own coin, here as in a sweep.
    """

    org_id: OrgId
    move_id: Name
    purpose: Purpose
    chain_id: Small
    token: Address
    destination: Address
    amount_units: Digits
    approved_by: Name
    approved_at: Annotated[datetime, Meta(tz=True)]
    seal: Seal
    generation: Small = 0
    replaces_nonce: Small | None = None
    from_hold: bool = False


class RestoreOrder(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="restore"
):
    """Send released money from hold to the organisation's own pool only; hold signs."""

    org_id: OrgId
    move_id: Name
    chain_id: Small
    token: Address
    amount_units: Digits


class FuelOrder(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="fuel"):
    """Send native coin from the gas wallet to a wallet that signs, named by its role."""

    org_id: OrgId
    move_id: Name
    chain_id: Small
    destination_role: FueledRole
    value_wei: Digits


class DeployOrder(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="deploy"):
    """Deploy the organisation's factory through the deterministic deployer; gas signs."""

    org_id: OrgId
    move_id: Name
    chain_id: Small


class CancelOrder(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="cancel"):
    """Use up a nonce whose signature got lost, by sending nothing from the wallet to itself.

    ``move_ids`` are what the signer signed that nonce for; it takes part in no other.
    """

    org_id: OrgId
    move_ids: Moves
    chain_id: Small
    role: SigningRole


class SweepChildOrder(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="sweep_child"
):
    """Send tokens from a deposit address with a key of its own to the pool, or to hold.

    ``child`` is the address that must follow from ``number``.
    """

    org_id: OrgId
    move_id: Name
    chain_id: Small
    number: ChildNumber
    child: Address
    token: Address
    amount_units: Digits
    to_hold: bool


class FuelChildOrder(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="fuel_child"
):
    """Send native coin from the gas wallet to a deposit address, for its own sweep."""

    org_id: OrgId
    move_id: Name
    chain_id: Small
    number: ChildNumber
    child: Address
    value_wei: Digits


class CancelChildOrder(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="cancel_child"
):
    """Use up a lost nonce of a deposit address with a key of its own, as `CancelOrder` does."""

    org_id: OrgId
    move_ids: Moves
    chain_id: Small
    number: ChildNumber
    child: Address


ChildOrder = SweepChildOrder | FuelChildOrder | CancelChildOrder
WalletOrder = SweepOrder | PayOrder | RestoreOrder | FuelOrder | DeployOrder | CancelOrder
Order = WalletOrder | ChildOrder


class TxTerms(Struct, frozen=True, forbid_unknown_fields=True):
    """What the sender's queue and the fee market decide: EIP-1559 fees in wei per gas."""

    nonce: Small
    gas_limit: Small
    max_fee_wei: Small
    tip_wei: Small


class Signed(Struct, frozen=True, forbid_unknown_fields=True):
    """A transaction ready to broadcast: its bytes, their keccak-256, and who sends it."""

    raw: bytes
    tx_hash: Word
    sender: Address


class KnownSignature(Struct, frozen=True, forbid_unknown_fields=True):
    """One transaction that was signed before: its terms, and the hash that its bytes have."""

    terms: TxTerms
    tx_hash: Word


class NonceUse(Struct, frozen=True, forbid_unknown_fields=True):
    """What was signed with one nonce of a wallet: for which moves, and every sibling.

    Both are empty where nothing was. What only uses the nonce up is not among them.
    """

    move_ids: tuple[Name, ...] = ()
    signed: tuple[KnownSignature, ...] = ()


def pay_order(warrant: Warrant, seal: str) -> PayOrder:
    """Ask for what ``warrant`` approved.

    Raises ``KeyError`` when its chain is not registered, and ``msgspec.ValidationError``
    when one of its fields could not travel (an address that is not lower-case hex).
    """
    order = PayOrder(
        org_id=warrant.org_id,
        move_id=warrant.move_id,
        purpose=warrant.purpose,
        chain_id=CHAINS[warrant.chain].chain_id,
        token=warrant.contract or ZERO_ADDRESS,
        destination=warrant.destination,
        amount_units=str(warrant.amount_units),
        approved_by=warrant.approved_by,
        approved_at=warrant.approved_at,
        seal=seal,
        generation=warrant.generation,
        replaces_nonce=warrant.replaces_nonce,
        from_hold=warrant.from_hold,
    )
    return checked(order)


def checked(order: PayOrder) -> PayOrder:
    """The same order, after the checks that the socket makes on arrival."""
    return msgspec.convert(msgspec.to_builtins(order), PayOrder)


def warrant_of(order: PayOrder, chain: Chain) -> Warrant:
    """The warrant that this order claims to have; its seal tells whether it does.

    Raises ``ValueError`` for an amount of zero, a first approval that replaces a nonce and a
    payout from hold, which no warrant has.
    """
    return Warrant(
        org_id=order.org_id,
        move_id=order.move_id,
        purpose=order.purpose,
        chain=chain.key,
        contract="" if order.token == ZERO_ADDRESS else order.token,
        destination=order.destination,
        amount_units=int(order.amount_units),
        approved_by=order.approved_by,
        approved_at=order.approved_at.astimezone(UTC),
        generation=order.generation,
        replaces_nonce=order.replaces_nonce,
        from_hold=order.from_hold,
    )


def moves_of(order: Order) -> tuple[str, ...]:
    """The moves that an order carries out."""
    if isinstance(order, SweepOrder | CancelOrder | CancelChildOrder):
        return order.move_ids
    return (order.move_id,)
