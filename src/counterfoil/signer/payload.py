"""What an order means as a transaction, and what a signature over it must look like.

Signer and client both rebuild the transaction from the order. The signer signs only what it
rebuilt; the client accepts only a signature over what it rebuilt itself.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from coincurve import PublicKey

from counterfoil.chains.evm.abi import keccak256
from counterfoil.chains.evm.addresses import ZERO_ADDRESS, FactoryTerms
from counterfoil.chains.evm.contracts import DETERMINISTIC_DEPLOYER
from counterfoil.chains.evm.transactions import sweep_calldata, transfer_calldata
from counterfoil.signer.orders import (
    CancelChildOrder,
    CancelOrder,
    ChildOrder,
    DeployOrder,
    FuelChildOrder,
    FuelOrder,
    Order,
    PayOrder,
    RestoreOrder,
    Role,
    Signed,
    SweepOrder,
    TxTerms,
    WalletAddresses,
    WalletOrder,
)

_EIP1559_TYPE: Final = b"\x02"
_EMPTY_LIST: Final = b"\xc0"
_MAX_S: Final = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
_WORD_BYTES: Final = 32
_SHORT_BYTES: Final = 56
_STRING: Final = 0x80
_LIST: Final = 0xC0


class NotWhatWasAsked(Exception):  # noqa: N818 - named for what is found
    """These bytes are no signature by the expected wallet over the expected transaction."""


@dataclass(frozen=True, slots=True)
class Payload:
    """A transaction without its terms: who sends what to whom, on which chain.

    ``value_wei`` is native coin; ``to`` is lower-case hex. ``number`` and ``child`` say which
    one of all children sends, where the role is ``child``.
    """

    chain_id: int
    role: Role
    to: str
    value_wei: int
    data: bytes
    number: int | None = None
    child: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of what this transaction does; equal for siblings that differ in fees."""
        fields = (
            _number(self.chain_id),
            _string(self.role.encode()),
            _string(bytes.fromhex(self.to[2:])),
            _number(self.value_wei),
            _string(self.data),
        )
        return hashlib.sha256(_list(fields)).hexdigest()


def rebuild(order: Order, wallets: WalletAddresses) -> Payload:
    """The one transaction that carries out ``order``; whether it is allowed is not asked here."""
    if isinstance(order, ChildOrder):
        return _rebuild_for_child(order, wallets)
    return _rebuild(order, wallets)


def _rebuild(order: WalletOrder, wallets: WalletAddresses) -> Payload:
    match order:
        case SweepOrder():
            data = sweep_calldata(order.token, order.salts, to_hold=order.to_hold)
            return Payload(order.chain_id, "operator", wallets.factory, 0, data)
        case PayOrder():
            return _transfer(order, "hold" if order.from_hold else "pool", order.destination)
        case RestoreOrder():
            return _transfer(order, "hold", wallets.pool)
        case FuelOrder():
            to = {"operator": wallets.operator, "pool": wallets.pool, "hold": wallets.hold}[
                order.destination_role
            ]
            return Payload(order.chain_id, "gas", to, int(order.value_wei), b"")
        case DeployOrder():
            data = factory_terms(wallets).deploy_calldata
            return Payload(order.chain_id, "gas", DETERMINISTIC_DEPLOYER, 0, data)
        case CancelOrder():
            to = {
                "operator": wallets.operator,
                "pool": wallets.pool,
                "hold": wallets.hold,
                "gas": wallets.gas,
            }[order.role]
            return Payload(order.chain_id, order.role, to, 0, b"")


def _transfer(order: PayOrder | RestoreOrder, role: Role, to: str) -> Payload:
    if order.token == ZERO_ADDRESS:
        return Payload(order.chain_id, role, to, int(order.amount_units), b"")
    data = transfer_calldata(to, int(order.amount_units))
    return Payload(order.chain_id, role, order.token, 0, data)


def _rebuild_for_child(order: ChildOrder, wallets: WalletAddresses) -> Payload:
    if isinstance(order, FuelChildOrder):
        return Payload(order.chain_id, "gas", order.child, int(order.value_wei), b"")
    if isinstance(order, CancelChildOrder):
        return Payload(order.chain_id, "child", order.child, 0, b"", order.number, order.child)
    to = wallets.hold if order.to_hold else wallets.pool
    data = transfer_calldata(to, int(order.amount_units))
    return Payload(order.chain_id, "child", order.token, 0, data, order.number, order.child)


def factory_terms(wallets: WalletAddresses) -> FactoryTerms:
    """What the organisation's factory is built with; its address follows."""
    return FactoryTerms(
        pool=wallets.pool, hold=wallets.hold, operator=wallets.operator, admin=wallets.admin
    )


def sender_of(payload: Payload, wallets: WalletAddresses) -> str:
    """The wallet that has to sign."""
    return {
        "operator": wallets.operator,
        "pool": wallets.pool,
        "hold": wallets.hold,
        "gas": wallets.gas,
        "admin": wallets.admin,
        "child": payload.child,
    }[payload.role]


def accept(raw: bytes, payload: Payload, terms: TxTerms, sender: str) -> Signed:
    """Take bytes only if they are ``sender``'s signature over exactly this transaction.

    The expected transaction is encoded here and compared byte for byte, so there is no
    decoder that could be talked into reading the bytes in another way. Raises
    `NotWhatWasAsked`.
    """
    unsigned = b"".join(_fields(payload, terms))
    parity, rest = _take_number(_signature_part(raw, unsigned))
    r, rest = _take_number(rest)
    s, rest = _take_number(rest)
    if rest or parity not in (0, 1):
        msg = "what follows the transaction is not one signature"
        raise NotWhatWasAsked(msg)
    if s > _MAX_S:
        msg = "s is in the upper half, which every node refuses (EIP-2)"
        raise NotWhatWasAsked(msg)
    signing_hash = keccak256(_EIP1559_TYPE + _header(_LIST, len(unsigned)) + unsigned)
    if _recovered(r, s, parity, signing_hash) != sender:
        msg = f"the signature is not by {sender}"
        raise NotWhatWasAsked(msg)
    return Signed(raw=raw, tx_hash="0x" + keccak256(raw).hex(), sender=sender)


def _fields(payload: Payload, terms: TxTerms) -> tuple[bytes, ...]:
    """The nine unsigned fields, each encoded (EIP-1559); the access list is always empty."""
    return (
        _number(payload.chain_id),
        _number(terms.nonce),
        _number(terms.tip_wei),
        _number(terms.max_fee_wei),
        _number(terms.gas_limit),
        _string(bytes.fromhex(payload.to[2:])),
        _number(payload.value_wei),
        _string(payload.data),
        _EMPTY_LIST,
    )


def _signature_part(raw: bytes, unsigned: bytes) -> bytes:
    """What follows the unsigned fields inside the envelope."""
    for signature_bytes in range(3, 2 * (_WORD_BYTES + 1) + 2):
        head = _EIP1559_TYPE + _header(_LIST, len(unsigned) + signature_bytes) + unsigned
        if len(raw) == len(head) + signature_bytes and raw.startswith(head):
            return raw[len(head) :]
    msg = "the bytes are a signature over some other transaction"
    raise NotWhatWasAsked(msg)


def _recovered(r: int, s: int, parity: int, signing_hash: bytes) -> str:
    signature = r.to_bytes(_WORD_BYTES) + s.to_bytes(_WORD_BYTES) + bytes([parity])
    try:
        key = PublicKey.from_signature_and_message(signature, signing_hash, hasher=None)
    except Exception as unusable:  # coincurve raises a bare Exception for a point off the curve
        msg = "the signature is not a point of the curve"
        raise NotWhatWasAsked(msg) from unusable
    return "0x" + keccak256(key.format(compressed=False)[1:])[12:].hex()


def _take_number(encoded: bytes) -> tuple[int, bytes]:
    """The number that leads ``encoded``, at most 32 bytes, and what follows it."""
    head = encoded[0] if encoded else _LIST
    if head < _STRING:
        return head, encoded[1:]
    length = head - _STRING
    digits = encoded[1 : 1 + length]
    if length > _WORD_BYTES or len(digits) != length or digits.startswith(b"\0"):
        msg = "what follows the transaction is not a signature"
        raise NotWhatWasAsked(msg)
    return int.from_bytes(digits), encoded[1 + length :]


def _number(value: int) -> bytes:
    return _string(value.to_bytes((value.bit_length() + 7) // 8))


def _string(value: bytes) -> bytes:
    if len(value) == 1 and value[0] < _STRING:
        return value
    return _header(_STRING, len(value)) + value


def _list(items: Iterable[bytes]) -> bytes:
    body = b"".join(items)
    return _header(_LIST, len(body)) + body


def _header(kind: int, length: int) -> bytes:
    """An RLP prefix (Ethereum yellow paper, appendix B)."""
    if length < _SHORT_BYTES:
        return bytes([kind + length])
    size = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([kind + _SHORT_BYTES - 1 + len(size)]) + size
