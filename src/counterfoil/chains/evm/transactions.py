"""The few calls we make, as call data, and what their receipts prove."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from counterfoil.chains.evm.abi import (
    WORD,
    address_in,
    address_word,
    bytes32,
    selector,
    topic,
    word,
)
from counterfoil.chains.evm.addresses import ZERO_ADDRESS
from counterfoil.chains.evm.transfers import TRANSFER_TOPIC, address_topic
from counterfoil.chains.port import Log, Receipt

MAX_SWEEP: Final = 250
"""Salts in one sweep. The contract takes 256, but first sweeps of 256 clones come close to
the 16.8 million gas that one transaction may use since Osaka (specs/chains.md 1.3)."""

MOST_GAS: Final = 16_777_216
"""What one transaction may use since Osaka (EIP-7825). Nodes are asked about no more: who is paid
may have a contract there that works as long as it is let, again and again while one guesses."""

DECIMALS_CALL: Final = selector("decimals()")
LOGIC_CALL: Final = selector("logic()")
OPERATOR_CALL: Final = selector("operator()")
ADMIN_CALL: Final = selector("admin()")
ACCEPT_ADMIN_CALL: Final = selector("accept_admin()")

_TRANSFER: Final = selector("transfer(address,uint256)")
_BALANCE_OF: Final = selector("balanceOf(address)")
_SWEEP: Final = selector("sweep(address,bytes32[],bool)")
_SWEEP_ONE: Final = selector("sweep_one(address,bytes32,bool)")
_ADDRESS_OF: Final = selector("address_of(bytes32)")
_SET_OPERATOR: Final = selector("set_operator(address)")
_PROPOSE_ADMIN: Final = selector("propose_admin(address)")
_DATA_FEE: Final = selector("getL1FeeUpperBound(uint256)")
_BLACKLIST_CALLS: Final = {
    "USDC": selector("isBlacklisted(address)"),
    "USDT": selector("isBlackListed(address)"),
}

PRICE_ORACLE: Final = "0x420000000000000000000000000000000000000f"
"""Where chains of the OP Stack tell what they take for a transaction's data beside gas."""

_ENVELOPE_BYTES: Final = 100
"""The most that an unsigned transaction has around its call data, with the numbers that we use."""

SWEPT_TOPIC: Final = topic("Swept(bytes32,address,address,uint256,bool)")
_SWEEP_FAILED: Final = topic("SweepFailed(bytes32,address,address,bool)")


@dataclass(frozen=True, slots=True)
class SweptItem:
    """What a sweep did with one deposit address, as our own factory's event says.

    ``amount_units`` is what left the address (0 for a failed item). ``token`` is the zero
    address for the native coin.
    """

    salt: str
    token: str
    account: str
    amount_units: int
    to_hold: bool
    ok: bool


def transfer_calldata(to: str, amount_units: int) -> bytes:
    """Token: ``transfer(to, amount)``."""
    return _TRANSFER + address_word(to) + word(amount_units)


def balance_of_calldata(owner: str) -> bytes:
    """Token: ``balanceOf(owner)``."""
    return _BALANCE_OF + address_word(owner)


def is_blacklisted_calldata(symbol: str, account: str) -> bytes:
    """Token: whether its issuer froze an account; ``KeyError`` for a symbol without that view."""
    return _BLACKLIST_CALLS[symbol] + address_word(account)


def data_fee_calldata(data: bytes) -> bytes:
    """Price oracle: the most that is taken for the data of a transaction with this call data."""
    return _DATA_FEE + word(len(data) + _ENVELOPE_BYTES)


def sweep_calldata(token: str, salts: Sequence[str], *, to_hold: bool) -> bytes:
    """Factory: flush deposit addresses; more than `MAX_SWEEP`, or none, is ``ValueError``."""
    if not 1 <= len(salts) <= MAX_SWEEP:
        msg = f"a sweep takes 1 to {MAX_SWEEP} salts, not {len(salts)}"
        raise ValueError(msg)
    return b"".join(
        (
            _SWEEP,
            address_word(token),
            word(3 * WORD),
            word(to_hold),
            word(len(salts)),
            *map(bytes32, salts),
        )
    )


def sweep_one_calldata(token: str, salt: str, *, to_hold: bool) -> bytes:
    """Factory: flush one deposit address and let its revert reason through."""
    return _SWEEP_ONE + address_word(token) + bytes32(salt) + word(to_hold)


def address_of_calldata(salt: str) -> bytes:
    """Factory: the deposit address of a salt."""
    return _ADDRESS_OF + bytes32(salt)


def set_operator_calldata(operator: str) -> bytes:
    """Factory, by its admin: exchange the sweeping key."""
    return _SET_OPERATOR + address_word(operator)


def propose_admin_calldata(admin: str) -> bytes:
    """Factory, by its admin: begin handing over."""
    return _PROPOSE_ADMIN + address_word(admin)


def native_sweep_filter(
    from_block: int, to_block: int, factories: Sequence[str]
) -> dict[str, object]:
    """The ``eth_getLogs`` filter for sweeps of native coin that moved something."""
    return {
        "fromBlock": hex(from_block),
        "toBlock": hex(to_block),
        "address": list(factories),
        "topics": [SWEPT_TOPIC, None, address_topic(ZERO_ADDRESS)],
    }


def swept(receipt: Receipt, factory: str) -> list[SweptItem]:
    """Read what a sweep did per deposit address; logs of any other contract are ignored."""
    return swept_by(receipt.logs, (factory,))


def swept_by(logs: Iterable[Log], factories: Collection[str]) -> list[SweptItem]:
    """Read what sweeps of these factories did; other logs are ignored."""
    items = []
    for log in logs:
        ours = log.contract in factories and len(log.topics) == 3  # noqa: PLR2004 - event, salt, token
        if not ours or log.topics[0] not in (SWEPT_TOPIC, _SWEEP_FAILED):
            continue
        ok = log.topics[0] == SWEPT_TOPIC
        words = [log.data[at : at + WORD] for at in range(0, len(log.data), WORD)]
        items.append(
            SweptItem(
                salt=log.topics[1],
                token="0x" + log.topics[2][-40:],
                account=address_in(words[0]),
                amount_units=int.from_bytes(words[1]) if ok else 0,
                to_hold=bool(int.from_bytes(words[-1])),
                ok=ok,
            )
        )
    return items


def paid(receipt: Receipt, token: str, sender: str, destination: str, amount_units: int) -> bool:
    """Tell whether a payout arrived in full: the transaction succeeded and the token says so.

    A token may answer true without moving anything, or take a fee on the way, so only its
    Transfer logs from ``sender`` to ``destination`` count. The native coin (``""``) writes
    no log; there the amount is part of the signed bytes and success is the proof.
    """
    if not receipt.ok or not token:
        return receipt.ok
    route = (TRANSFER_TOPIC, address_topic(sender), address_topic(destination))
    moved_units = sum(
        int.from_bytes(log.data)
        for log in receipt.logs
        if log.contract == token and log.topics == route and len(log.data) == WORD
    )
    return moved_units == amount_units
