"""One spelling for every address, so that lists match on bytes (specs/aml.md 6.3).

Lists label addresses with an asset, and those labels are wrong often enough that nothing here
looks at them: an EVM address counts on every EVM chain, whatever it was listed under.
"""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import Final, Literal

Family = Literal["evm", "tron", "solana", "other"]

MAX_ADDRESS_LENGTH: Final = 256
"""The longest address identifier OFAC publishes (specs/aml.md 6.1)."""

_EVM: Final = re.compile(r"(?:0x)?([0-9a-f]{40})", re.ASCII | re.IGNORECASE)
_TRON_HEX: Final = re.compile(r"(?:0x)?(41[0-9a-f]{40})", re.ASCII | re.IGNORECASE)
_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS: Final = {character: value for value, character in enumerate(_ALPHABET)}
_TRON_PREFIX: Final = b"\x41"
_TRON_BYTES: Final = 25
_SOLANA_BYTES: Final = 32
_LONGEST_BASE58: Final = 44


def normalise_address(text: str) -> tuple[Family, str]:
    """The family of an address and the one way we write it.

    EVM in lower case with 0x, Tron in Base58Check (also from its 41-hex form), Solana as it is
    because its case carries meaning, anything else as it is under ``other``. Never raises.
    EIP-55 is not checked: a wrong capital must not keep a listed address from matching.
    """
    address = _visible(text)
    if match := _EVM.fullmatch(address):
        return "evm", f"0x{match[1].lower()}"
    if match := _TRON_HEX.fullmatch(address):
        return "tron", _with_checksum(bytes.fromhex(match[1]))
    decoded = _from_base58(address)
    if decoded is not None and len(decoded) == _SOLANA_BYTES:
        return "solana", address
    if decoded is not None and _is_tron(decoded):
        return "tron", address
    return "other", address


@dataclass(frozen=True, slots=True)
class SearchForm:
    """A form under which an address may stand on a list; only the exact one is a hard hit."""

    family: Family
    address: str
    exact: bool


def search_forms(family: Family, address: str) -> tuple[SearchForm, ...]:
    """Every form to look up for a normalised address, the exact one first.

    Tron and EVM addresses are the same 20 bytes of the same key, so a listed owner is
    recognised, softly, on the other side as well.
    """
    exact = SearchForm(family, address, exact=True)
    if family == "evm":
        tron = _with_checksum(_TRON_PREFIX + bytes.fromhex(address[2:]))
        return exact, SearchForm("tron", tron, exact=False)
    if family == "tron":
        payload = _from_base58(address) or b""
        return exact, SearchForm("evm", f"0x{payload[1:21].hex()}", exact=False)
    return (exact,)


def _visible(text: str) -> str:
    """Drop blanks and format characters: no address has any, but files carry them unseen."""
    return "".join(c for c in text if not c.isspace() and unicodedata.category(c) != "Cf")


def _is_tron(decoded: bytes) -> bool:
    return (
        len(decoded) == _TRON_BYTES
        and decoded.startswith(_TRON_PREFIX)
        and decoded[-4:] == _checksum(decoded[:-4])
    )


def _with_checksum(payload: bytes) -> str:
    return _to_base58(payload + _checksum(payload))


def _checksum(payload: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]


def _from_base58(text: str) -> bytes | None:
    # Decoding is quadratic; nothing longer can be an address of a family we know.
    if not 0 < len(text) <= _LONGEST_BASE58:
        return None
    number = 0
    for character in text:
        if character not in _DIGITS:
            return None
        number = number * 58 + _DIGITS[character]
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _to_base58(payload: bytes) -> str:
    number = int.from_bytes(payload, "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    zeros = len(payload) - len(payload.lstrip(b"\0"))
    return "1" * zeros + text
