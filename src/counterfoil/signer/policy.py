"""What may be signed. Everything here is decided from the order, the wallets and the clock.

An order that passes can still be refused for what was signed before (`memory`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Final, NoReturn

from counterfoil.chains.evm.addresses import ZERO_ADDRESS, DepositAddresses
from counterfoil.chains.evm.contracts import DETERMINISTIC_DEPLOYER
from counterfoil.chains.evm.transactions import MOST_GAS
from counterfoil.core.assets import CHAINS, ETHER_DOLLARS, FUEL_DAY_WEI, Chain, known_asset
from counterfoil.core.warrant import check_warrant
from counterfoil.signer.orders import (
    ChildOrder,
    FuelChildOrder,
    FuelOrder,
    Order,
    PayOrder,
    RestoreOrder,
    SweepChildOrder,
    SweepOrder,
    TxTerms,
    WalletAddresses,
    warrant_of,
)
from counterfoil.signer.origin import Origin
from counterfoil.signer.refusals import SignerRefused
from counterfoil.signer.wire import Code

DOLLAR: Final = 10**18
"""A dollar in the unit in which caps are counted, fine enough for any token's base units."""

_TOKENS: Final = frozenset(
    asset.contract for chain in CHAINS.values() for asset in (*chain.accepted, *chain.known_other)
)
_CLOCK_SKEW: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much can be lost when everything but the signer is in the wrong hands.

    Dollars are whole and count stablecoins one to one, an ether as ``ether_dollars``: more than
    it ever cost, since a cap that is too tight costs a question and one too wide costs money. The
    day's cap is over all tokens and
    chains of an organisation and starts again at midnight UTC. ``fuel_wei`` is the most that one
    fuelling brings, ``fuel_day_wei`` what an organisation's gas station hands out in such a day, by
    chain; `FUEL_DAY_WEI` on those left out. ``max_cost_wei`` bounds gas
    limit times fee of one transaction.
    """

    move_dollars: int = 100_000
    day_dollars: int = 500_000
    ether_dollars: int = ETHER_DOLLARS
    fuel_wei: int = 5 * 10**16
    fuel_day_wei: Mapping[str, int] = field(default_factory=dict)
    max_gas: int = MOST_GAS
    max_fee_wei: int = 100 * 10**9
    max_cost_wei: int = 10**17
    warrant_age: timedelta = timedelta(days=7)


def check_order(
    order: Order, terms: TxTerms, wallets: WalletAddresses, limits: Limits, approval_key: bytes
) -> None:
    """Refuse what is never signed, on any day. Raises `SignerRefused`."""
    chain = chain_of(order.chain_id)
    _check_terms(terms, limits)
    match order:
        case SweepOrder():
            _check_sweep(order, chain, wallets)
        case SweepChildOrder():
            _check_sweep_child(order, chain)
        case PayOrder():
            _check_pay(order, wallets, limits, approval_key)
        case RestoreOrder():
            _check_restore(order, chain)
        case FuelOrder() | FuelChildOrder():
            _check_fuel(order, limits)


def chain_of(chain_id: int) -> Chain:
    """The registered chain with this EIP-155 id. Raises `SignerRefused` for any other."""
    chain = next((chain for chain in CHAINS.values() if chain.chain_id == chain_id), None)
    if chain is None:
        allowed = ", ".join(f"{c.chain_id} ({c.key})" for c in CHAINS.values())
        _never(f"chain id {chain_id} is not one of {allowed}")
    return chain


def check_fresh(order: Order, spent: int, limits: Limits, now: datetime) -> int:
    """Refuse a first signature that comes too late or is too much for today.

    ``spent`` is what the organisation had signed today, in 1/`DOLLAR`. Returns what this
    order adds to it. A sibling of an earlier signature is not asked again, since at most
    one of them can land. Raises `SignerRefused`.
    """
    if not isinstance(order, PayOrder):
        return 0
    _check_age(order, limits, now)
    adds = _dollars(order, limits)
    if spent + adds > limits.day_dollars * DOLLAR:
        raise SignerRefused(
            Code.DAY_CAP,
            f"this would make more than {limits.day_dollars} dollars today;"
            f" {spent // DOLLAR} are signed already, and the count starts again at midnight UTC",
            retry_at=_next_midnight(now),
        )
    return adds


def check_fuel_day(order: Order, handed_wei: int, limits: Limits, now: datetime) -> int:
    """Refuse a first signature for fuel that is too much for today.

    ``handed_wei`` is what the organisation's station was signed to hand out today on the order's
    chain. Returns what this order adds to it, in wei. Raises `SignerRefused`.
    """
    if not isinstance(order, FuelOrder | FuelChildOrder):
        return 0
    most_wei = limits.fuel_day_wei.get(chain_of(order.chain_id).key, FUEL_DAY_WEI)
    adds_wei = int(order.value_wei)
    if handed_wei + adds_wei > most_wei:
        raise SignerRefused(
            Code.DAY_CAP,
            f"this would make more than {most_wei} wei of fuel today; {handed_wei} are signed"
            " already, and the count starts again at midnight UTC",
            retry_at=_next_midnight(now),
        )
    return adds_wei


def check_remembered(order: Order, origin: Origin, now: datetime) -> None:
    """Refuse a payment that may have been signed before the memory began.

    The books cannot tell: they may be an old backup. Only a person who approves anew has
    looked at the chain. Raises `SignerRefused`.
    """
    if origin.lost is None or not isinstance(order, PayOrder):
        return
    if order.approved_at < origin.lost.approved_since:
        raise SignerRefused(
            Code.WARRANT,
            f"{order.move_id} was approved at {order.approved_at.isoformat()}; what was signed"
            f" before {origin.lost.approved_since.isoformat()} is not known any more, so it may be"
            " paid already; look at the chain, and approve it again if it is not",
        )
    if now.date() <= origin.at.date():
        raise SignerRefused(
            Code.DAY_CAP,
            "the signer lost its memory today and does not know what is left of today's cap;"
            " it pays again from midnight UTC on",
            retry_at=_next_midnight(origin.at),
        )


def repeatable(order: Order) -> bool:
    """Whether doing the order twice changes nothing.

    A second sweep finds the addresses empty, or takes later money to the same pool; a second
    deployment finds the factory there. A second movement from hold ends in our own pool as well.
    So a failed one may go out again under a new nonce; money to others may not.
    """
    return not isinstance(order, (PayOrder, FuelOrder, FuelChildOrder))


def _check_terms(terms: TxTerms, limits: Limits) -> None:
    if terms.gas_limit > limits.max_gas:
        _never(f"gas limit {terms.gas_limit} is above {limits.max_gas}")
    if terms.tip_wei > terms.max_fee_wei:
        _never(f"the tip of {terms.tip_wei} wei is above the whole fee of {terms.max_fee_wei}")
    if terms.max_fee_wei > limits.max_fee_wei:
        raise SignerRefused(
            Code.FEE, f"a fee of {terms.max_fee_wei} wei per gas is above {limits.max_fee_wei}"
        )
    if terms.gas_limit * terms.max_fee_wei > limits.max_cost_wei:
        raise SignerRefused(
            Code.FEE,
            f"{terms.gas_limit} gas at {terms.max_fee_wei} wei each is above"
            f" {limits.max_cost_wei} wei",
        )


def _check_sweep(order: SweepOrder, chain: Chain, wallets: WalletAddresses) -> None:
    if order.factory != wallets.factory:
        _never(f"factory {order.factory} is not this organisation's, which is {wallets.factory}")
    if order.token != ZERO_ADDRESS and known_asset(chain.key, order.token) is None:
        _never(f"token {order.token} is not registered on {chain.key}")
    if len(set(order.salts)) != len(order.salts):
        _never("a deposit address stands in the sweep twice")


def _check_sweep_child(order: SweepChildOrder, chain: Chain) -> None:
    """Refuse what is no token: the destination is not in the order, so it needs no check."""
    if not order.token or known_asset(chain.key, order.token) is None:
        _never(f"token {order.token} is not registered on {chain.key}")
    if order.amount_units == "0":
        _never("a sweep of nothing")


def _check_restore(order: RestoreOrder, chain: Chain) -> None:
    """Refuse what is no money of ours; the destination is not in the order."""
    if order.token != ZERO_ADDRESS and known_asset(chain.key, order.token) is None:
        _never(f"token {order.token} is not registered on {chain.key}")
    if order.amount_units == "0":
        _never("a movement of nothing")


def check_child(order: ChildOrder, derived: str) -> None:
    """Refuse an address that is not the child of its number. Raises `SignerRefused`."""
    if order.child != derived:
        _never(f"child {order.number} of this organisation is {derived}, not {order.child}")


def _check_pay(
    order: PayOrder, wallets: WalletAddresses, limits: Limits, approval_key: bytes
) -> None:
    dollars = _dollars(order, limits)
    _check_destination(order.destination, wallets)
    if order.amount_units == "0":
        _never("a payment of nothing")
    if order.from_hold and order.purpose != "refund":
        _never("a payout leaves from the pool; from hold only refunds go out")
    if order.generation == 0 and order.replaces_nonce is not None:
        _never(f"a first approval replaces no nonce, not even {order.replaces_nonce}")
    if not check_warrant(warrant_of(order, chain_of(order.chain_id)), order.seal, approval_key):
        raise SignerRefused(
            Code.WARRANT,
            f"nobody approved this: the seal of {order.move_id} does not fit its chain, token,"
            " destination, amount and approver as they stand now",
        )
    most = min(limits.move_dollars, limits.day_dollars)
    if dollars > most * DOLLAR:
        raise SignerRefused(Code.CAP, f"this pays more than {most} dollars at once")


def _check_destination(destination: str, wallets: WalletAddresses) -> None:
    if destination == ZERO_ADDRESS:
        _never("the zero address would burn the money")
    if destination in _TOKENS:
        _never(f"{destination} is a token's own contract, which would keep the money for ever")
    ours = {
        wallets.operator,
        wallets.pool,
        wallets.hold,
        wallets.gas,
        wallets.admin,
        wallets.factory,
        DepositAddresses(wallets.factory).logic,
        DETERMINISTIC_DEPLOYER,
    }
    if destination in ours:
        _never(f"{destination} is our own; a payment goes to somebody else")


def _check_fuel(order: FuelOrder | FuelChildOrder, limits: Limits) -> None:
    if not 0 < int(order.value_wei) <= limits.fuel_wei:
        raise SignerRefused(Code.CAP, f"fuel is 1 to {limits.fuel_wei} wei, not {order.value_wei}")


def _check_age(order: PayOrder, limits: Limits, now: datetime) -> None:
    age = now - order.approved_at
    if age > limits.warrant_age:
        raise SignerRefused(
            Code.WARRANT,
            f"{order.move_id} was approved at {order.approved_at.isoformat()}, more than"
            f" {limits.warrant_age.days} days ago; approve it again",
        )
    if age < -_CLOCK_SKEW:
        raise SignerRefused(
            Code.WARRANT, f"{order.move_id} is approved in the future; check clocks"
        )


def _next_midnight(now: datetime) -> datetime:
    return datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), UTC)


def _dollars(order: PayOrder, limits: Limits) -> int:
    """The amount in 1/`DOLLAR`. Raises `SignerRefused` for a token that is never paid."""
    chain = chain_of(order.chain_id)
    if order.token == ZERO_ADDRESS:
        wei_in_ether: int = 10**chain.native.decimals
        return int(order.amount_units) * limits.ether_dollars * DOLLAR // wei_in_ether
    # What was never asked for only ever goes back; each of these tokens is worth a dollar.
    others = chain.known_other if order.purpose == "refund" else ()
    asset = next((a for a in (*chain.accepted, *others) if a.contract == order.token), None)
    if asset is None:
        allowed = ", ".join(a.contract for a in (*chain.accepted, *others))
        _never(f"token {order.token} is not paid on {chain.key}, only {allowed}")
    units_in_dollar: int = 10**asset.decimals
    return int(order.amount_units) * DOLLAR // units_in_dollar


def _never(reason: str) -> NoReturn:
    raise SignerRefused(Code.POLICY, reason)
