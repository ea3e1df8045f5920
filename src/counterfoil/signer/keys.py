"""Keys: the only code that ever holds one.

One BIP-39 phrase, in an age file under a passphrase, holds every key. Wallets are derived at
``m/44'/60'/{org_id}'/0/{role}`` and deposit addresses with keys of their own at
``m/44'/60'/{org_id}'/1'/{number}`` (BIP-32, BIP-44; specs/chains.md 8). No key or phrase is in
any repr, log line or error: libraries that quote their input have their errors replaced.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

import pyrage  # type: ignore[import-untyped]  # it carries no types
from coincurve import PrivateKey
from eth_account import Account
from eth_account.hdaccount.deterministic import HDPath, Node, derive_child_key
from eth_account.hdaccount.mnemonic import Mnemonic
from eth_account.signers.local import LocalAccount
from eth_account.types import Language
from eth_utils.address import to_checksum_address

from counterfoil.signer.files import write_once
from counterfoil.signer.orders import SIGNING_ROLES, Branch, Role, TxTerms
from counterfoil.signer.payload import Payload
from counterfoil.signer.refusals import SeedRefused, SignerRefused
from counterfoil.signer.wire import Code

PASSPHRASE_LENGTH: Final = 12
"""The shortest passphrase that we seal a new seed with."""

_WORDS: Final = 24
_TRIES: Final = 50
_LEAST_WORK: Final = 15
_MOST_WORK: Final = 22
_INDEXES: Final[dict[Role, int]] = {"operator": 0, "pool": 1, "hold": 2, "gas": 3, "admin": 4}


class Keyring:
    """Every wallet of every organisation, derived from one seed when asked for."""

    __slots__ = ("_seed",)

    def __init__(self, seed: bytes) -> None:
        """Hold a BIP-39 seed (64 bytes)."""
        self._seed = seed

    def __repr__(self) -> str:
        """Say what this is and nothing about what it holds."""
        return "Keyring(sealed)"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied: keys leave this process in no form."""
        msg = "a keyring stays in its process"
        raise TypeError(msg)

    @property
    def fingerprint(self) -> str:
        """Tells this seed from any other and is no secret: a wallet's address."""
        return self.address(0, "operator")

    def address(self, org_id: int, role: Role) -> str:
        """A wallet's address, lower-case."""
        return self._account(org_id, role).address.lower()

    def branch(self, org_id: int) -> Branch:
        """The extended public key of the organisation's deposit addresses."""
        key, chain_code = _derive(self._seed, _branch_path(org_id))
        point = PrivateKey(key).public_key.format(compressed=True)
        return Branch(public_key=point.hex(), chain_code=chain_code.hex())

    def child_address(self, org_id: int, number: int) -> str:
        """A deposit address, from its own private key and not from the branch."""
        return self._child(org_id, number).address.lower()

    def sign(self, org_id: int, payload: Payload, terms: TxTerms) -> bytes:
        """Sign an EIP-1559 transaction with the key of ``payload.role``.

        Deterministic (RFC 6979): the same payload and terms give the same bytes. Raises
        `SignerRefused` for a cold role, whatever led here.
        """
        if payload.role == "child" and payload.number is not None:
            account = self._child(org_id, payload.number)
        elif payload.role in SIGNING_ROLES:
            account = self._account(org_id, payload.role)
        else:
            raise SignerRefused(
                Code.POLICY, f"the {payload.role} wallet is cold; nothing is signed for it here"
            )
        signed = account.sign_transaction(
            {
                "type": 2,
                "chainId": payload.chain_id,
                "nonce": terms.nonce,
                "gas": terms.gas_limit,
                "maxFeePerGas": terms.max_fee_wei,
                "maxPriorityFeePerGas": terms.tip_wei,
                "to": to_checksum_address(payload.to),
                "value": payload.value_wei,
                "data": payload.data,
            }
        )
        return bytes(signed.raw_transaction)

    def _account(self, org_id: int, role: Role) -> LocalAccount:
        # Derived each time: under a millisecond, and fewer keys lie about in memory.
        path = HDPath(f"m/44'/60'/{org_id}'/0/{_INDEXES[role]}")
        account: LocalAccount = Account.from_key(path.derive(self._seed))
        return account

    def _child(self, org_id: int, number: int) -> LocalAccount:
        key, _ = _derive(self._seed, HDPath(f"{_branch_path(org_id).encode()}/{number}"))
        account: LocalAccount = Account.from_key(key)
        return account


def _branch_path(org_id: int) -> HDPath:
    # Hardened, so that what a leaked child and the branch give away ends here: the wallets hang
    # on the organisation's node above it, which cannot be reached from below.
    return HDPath(f"m/44'/60'/{org_id}'/1'")


def _derive(seed: bytes, path: HDPath) -> tuple[bytes, bytes]:
    """BIP-32's CKDpriv along a path: the private key and the chain code."""
    master = hmac.digest(b"Bitcoin seed", seed, hashlib.sha512)
    key, chain_code = master[:32], master[32:]
    for step in path.encode().split("/")[1:]:
        key, chain_code = derive_child_key(key, chain_code, Node.decode(step))
    return key, chain_code


def sealed_seed(passphrase: str) -> tuple[Keyring, bytes]:
    """A new random seed, and the age file that holds it; about a second of scrypt.

    Raises `SeedRefused` when the passphrase is shorter than `PASSPHRASE_LENGTH`.
    """
    if len(passphrase) < PASSPHRASE_LENGTH:
        msg = (
            f"the signer's passphrase must have at least {PASSPHRASE_LENGTH} characters;"
            f" this one has {len(passphrase)}"
        )
        raise SeedRefused(msg)
    mnemonic = Mnemonic(Language.ENGLISH)
    phrase = mnemonic.generate(_WORDS)
    sealed = _seal(f"{phrase}\n".encode(), passphrase)
    return Keyring(bytes(mnemonic.to_seed(phrase))), sealed


def _seal(content: bytes, passphrase: str) -> bytes:
    """Seal with at least 2**15 rounds of scrypt, unless this machine is too slow for it.

    age chooses the work by timing one small round. Whoever is interrupted in that moment looks
    like a slow machine, and the seal would be weak for ever.
    """
    tries = (pyrage.passphrase.encrypt(content, passphrase) for _ in range(5))
    return max(_until_strong(tries), key=work_of)


def _until_strong(sealed: Iterator[bytes]) -> Iterator[bytes]:
    for one in sealed:
        yield one
        if work_of(one) >= _LEAST_WORK:
            return


def work_of(sealed: bytes) -> int:
    """The base-2 logarithm of scrypt's rounds in an age file's head; 0 where it names none."""
    named = re.match(rb"age-encryption\.org/v1\n-> scrypt \S+ (\d{1,2})\n", sealed)
    return 0 if named is None else int(named[1])


def write_seed_file(path: Path, sealed: bytes) -> None:
    """Put a sealed seed at ``path`` (0600, its folder 0700 if new).

    Raises `SeedRefused` when the file exists: every wallet hangs on it.
    """
    try:
        write_once(path, sealed)
    except FileExistsError:
        msg = f"{path} exists; it is never overwritten, since every wallet hangs on it"
        raise SeedRefused(msg) from None


def open_seed_file(path: Path, passphrase: str) -> Keyring:
    """Open the seed at ``path``; about a second of scrypt.

    Raises `SeedRefused` for a missing file, an empty or wrong passphrase, and content that
    is not a BIP-39 phrase.
    """
    if not passphrase:
        msg = (
            f"the passphrase of the signer's seed {path} is empty or not set; nothing can be signed"
        )
        raise SeedRefused(msg)
    try:
        sealed = path.read_bytes()
    except OSError as failed:
        msg = f"the signer's seed {path} cannot be read ({failed.strerror}); create it first"
        raise SeedRefused(msg) from failed
    return Keyring(_unseal(sealed, passphrase, path))


def _unseal(sealed: bytes, passphrase: str, path: Path) -> bytes:
    try:
        phrase = _opened(sealed, passphrase).decode("ascii").strip()
    except (pyrage.DecryptError, UnicodeDecodeError):
        msg = f"the passphrase does not open the signer's seed {path}, or the file is damaged"
        raise SeedRefused(msg) from None
    mnemonic = Mnemonic(Language.ENGLISH)
    if not mnemonic.is_mnemonic_valid(phrase):
        msg = f"the signer's seed {path} does not hold a BIP-39 phrase of English words"
        raise SeedRefused(msg)
    return bytes(mnemonic.to_seed(phrase))


def _opened(sealed: bytes, passphrase: str) -> bytes:
    """What a seal holds. Raises `pyrage.DecryptError`.

    age refuses what would take this machine sixteen times as long as a seal of its own, and times
    one small round to know: a process that was interrupted in that moment refuses its own seal.
    """
    for _ in range(_TRIES - 1):
        try:
            return bytes(pyrage.passphrase.decrypt(sealed, passphrase))
        except pyrage.DecryptError as refused:
            if "Excessive work" not in str(refused) or work_of(sealed) > _MOST_WORK:
                raise
    return bytes(pyrage.passphrase.decrypt(sealed, passphrase))
