"""EVM addresses: reading, writing, and deriving the deposit addresses of a merchant."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, Protocol

from counterfoil.chains.evm.abi import address_word, bytes32, keccak256, padded, word
from counterfoil.chains.evm.contracts import (
    DETERMINISTIC_DEPLOYER,
    deposit_initcode,
    factory_initcode,
)
from counterfoil.core.errors import Invalid

ZERO_ADDRESS: Final = "0x" + "0" * 40

FACTORY_SALT: Final = bytes(32)
"""The salt of every factory: its init code, with the merchant's own wallets in it, already
makes its address unique. Changing it moves every deposit address."""

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)
_REMEMBERED: Final = 1_000
"""Checksums that are kept: a merchant is paid out to the same few addresses again and again."""
# EIP-1167, as Vyper's create_minimal_proxy_to lays it out.
_CLONE_HEAD: Final = bytes.fromhex("602d3d8160093d39f3363d3d373d3d3d363d73")
_CLONE_TAIL: Final = bytes.fromhex("5af43d82803e903d91602b57fd5bf3")


class DepositScheme(Protocol):
    """How a merchant's deposit addresses come about; HD, Solana and Tron join here.

    ``address(index)`` must give the same text for ever, and never the same for two indexes.
    """

    @property
    def family(self) -> str:
        """The kind of chain the addresses are good for, as `core.assets.Family`."""
        ...

    def address(self, index: int) -> str:
        """Return the deposit address with this number, counted from 0."""
        ...


@lru_cache(maxsize=_REMEMBERED)
def checksum(address: str) -> str:
    """Write a lower-case address with EIP-55's mixed-case checksum, for people to read."""
    digits = address[2:].lower()
    digest = keccak256(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if int(nibble, 16) >= 8 else digit  # noqa: PLR2004 - EIP-55: the high bit
        for digit, nibble in zip(digits, digest, strict=False)
    )


def parse_evm_address(text: object, field: str = "address") -> str:
    """Read an address from outside and return it in lower case.

    Accepts all-lower text or a right EIP-55 checksum; a wrong checksum means a typing or
    copying mistake and is refused, as is anything else, with `Invalid` naming ``field``.
    """
    if not isinstance(text, str) or not _ADDRESS.fullmatch(text):
        raise Invalid.field(field, "must be an EVM address: 0x and 40 hexadecimal digits")
    lower = text.lower()
    if text not in (lower, checksum(lower)):
        raise Invalid.field(
            field,
            "has a wrong EIP-55 checksum, so a character may be mistyped;"
            " copy it again, or write it all in lower case if you are sure",
        )
    return lower


def create_address(deployer: str, nonce: int) -> str:
    """Return where CREATE puts a contract; only nonces 1 to 127, which are one RLP byte."""
    if not 1 <= nonce <= 127:  # noqa: PLR2004 - the single-byte range of RLP
        msg = f"nonce {nonce} is outside 1 to 127"
        raise ValueError(msg)
    return _last20(b"\xd6\x94" + address_word(deployer)[12:] + bytes([nonce]))


def create2_address(deployer: str, salt: bytes, initcode: bytes) -> str:
    """Return where CREATE2 puts a contract (EIP-1014); the salt has 32 bytes."""
    return _last20(b"\xff" + address_word(deployer)[12:] + salt + keccak256(initcode))


@dataclass(frozen=True, slots=True)
class FactoryTerms:
    """The four wallets that a merchant's factory is built with; together they fix its address.

    Deposits go to ``pool``, quarantined ones to ``hold``. ``operator`` sweeps, ``admin``
    can exchange the operator. The addresses stay derived from the first operator and admin
    even after those were exchanged.
    """

    pool: str
    hold: str
    operator: str
    admin: str

    @property
    def initcode(self) -> bytes:
        """The factory's creation code with its arguments, the same on every chain."""
        deposit = deposit_initcode()
        wallets = (self.pool, self.hold, self.operator, self.admin)
        offset_of_deposit = 32 * (1 + len(wallets))
        return b"".join(
            (
                factory_initcode(),
                word(offset_of_deposit),
                *map(address_word, wallets),
                padded(deposit),
            )
        )

    @property
    def address(self) -> str:
        """Where the factory stands, or will stand, on every chain (specs/chains.md App. A)."""
        return create2_address(DETERMINISTIC_DEPLOYER, FACTORY_SALT, self.initcode)

    @property
    def deploy_calldata(self) -> bytes:
        """What to send to `DETERMINISTIC_DEPLOYER` to build the factory."""
        return FACTORY_SALT + self.initcode


def salt_of(index: int) -> str:
    """Return the salt of a deposit address's number, as 32 bytes of hex."""
    return "0x" + word(index).hex()


class DepositAddresses:
    """The deposit addresses of one factory: counterfactual clones with no key behind them."""

    family: Literal["evm"] = "evm"

    def __init__(self, factory: str) -> None:
        """Derive from the factory's address alone; no network and no secret is needed."""
        self.factory = factory
        self.logic = create_address(factory, 1)
        clone = _CLONE_HEAD + address_word(self.logic)[12:] + _CLONE_TAIL
        self._before_salt = b"\xff" + address_word(factory)[12:]
        self._after_salt = keccak256(clone)

    def address(self, index: int) -> str:
        """Return the deposit address with this number."""
        return self.address_of(salt_of(index))

    def address_of(self, salt: str) -> str:
        """Return the deposit address of a salt, as the factory's ``address_of`` does."""
        return _last20(self._before_salt + bytes32(salt) + self._after_salt)


def _last20(preimage: bytes) -> str:
    return "0x" + keccak256(preimage)[12:].hex()
