"""Deposit addresses of keys of their own, derived from a public branch alone (BIP-32).

Whoever has the branch can list every address below it, and with one child's private key also
compute the branch's: so it is shown to nobody, and nothing else hangs on it (specs/chains.md 2.2).
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Literal

from coincurve import PublicKey

from counterfoil.chains.evm.abi import keccak256

MAX_INDEX: Final = 2**31 - 1
"""The highest child that a public branch has; those above are hardened."""

_HALF: Final = 32


@dataclass(frozen=True)
class HdAddresses:
    """The deposit addresses below one account-level extended public key.

    ``public_key`` is the compressed point (33 bytes), ``chain_code`` has 32 bytes. Both stay out
    of the repr.
    """

    public_key: bytes = field(repr=False)
    chain_code: bytes = field(repr=False)
    family: Literal["evm"] = "evm"

    @cached_property
    def _parent(self) -> PublicKey:
        return PublicKey(self.public_key)

    def address(self, index: int) -> str:
        """Return the deposit address with this number: BIP-32's CKDpub, then Ethereum's hash.

        Raises ``ValueError`` for a number that has no such child.
        """
        if not 0 <= index <= MAX_INDEX:
            msg = f"child {index} is outside 0 to {MAX_INDEX}"
            raise ValueError(msg)
        data = self.public_key + index.to_bytes(4)
        digest = hmac.digest(self.chain_code, data, hashlib.sha512)
        # One in 2**127 numbers has no child: coincurve refuses it, and infinity, by ValueError.
        child = self._parent.add(digest[:_HALF])
        return address_of_point(child.format(compressed=False))


def address_of_point(uncompressed: bytes) -> str:
    """Return the address of a public key of 65 bytes."""
    return "0x" + keccak256(uncompressed[1:])[12:].hex()
