"""The corner of the Solidity ABI that our few calls need; eth-abi is the test oracle.

Source: https://docs.soliditylang.org/en/latest/abi-spec.html
"""

from Crypto.Hash import keccak

WORD = 32


def keccak256(data: bytes) -> bytes:
    """Hash with the original Keccak padding that Ethereum uses (not SHA-3's)."""
    return keccak.new(digest_bits=256, data=data).digest()


def selector(signature: str) -> bytes:
    """Return the first four bytes of a function's hashed signature."""
    return keccak256(signature.encode())[:4]


def topic(signature: str) -> str:
    """Return an event's first topic."""
    return "0x" + keccak256(signature.encode()).hex()


def word(value: int) -> bytes:
    """Encode an unsigned integer or a bool; too large or negative is ``OverflowError``."""
    return value.to_bytes(WORD, "big")


def address_word(address: str) -> bytes:
    """Encode an address; anything but 20 bytes of hex is ``ValueError``."""
    raw = bytes.fromhex(address.removeprefix("0x"))
    if len(raw) != 20:  # noqa: PLR2004 - an address has 20 bytes everywhere
        msg = f"{address!r} is not an EVM address"
        raise ValueError(msg)
    return raw.rjust(WORD, b"\0")


def bytes32(value: str) -> bytes:
    """Encode 32 bytes of hex, such as a salt; any other length is ``ValueError``."""
    raw = bytes.fromhex(value.removeprefix("0x"))
    if len(raw) != WORD:
        msg = f"{value!r} is not 32 bytes"
        raise ValueError(msg)
    return raw


def padded(data: bytes) -> bytes:
    """Encode the tail of a ``bytes`` argument: length, then data filled up to whole words."""
    return word(len(data)) + data + b"\0" * (-len(data) % WORD)


def address_in(data: bytes) -> str:
    """Decode an address from one word."""
    return "0x" + data[12:WORD].hex()
