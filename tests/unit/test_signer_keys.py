"""Keys: sealed on disk, silent in memory, and derived as the standards say."""

import copy
import pickle
import re
import traceback
from pathlib import Path

import pyrage  # type: ignore[import-untyped]  # it carries no types
import pytest
from eth_account import Account

from counterfoil.signer import keys as module
from counterfoil.signer.keys import Keyring, open_seed_file, sealed_seed, work_of, write_seed_file
from counterfoil.signer.orders import Role, TxTerms
from counterfoil.signer.payload import Payload
from counterfoil.signer.refusals import SeedRefused, SignerRefused
from support.signer_process import cheaply_sealed

PASSPHRASE = "correct horse battery staple"
# The phrase of BIP-39's own first test vector of 24 words; anvil, Trezor and others share it.
PHRASE = "abandon " * 23 + "art"
TERMS = TxTerms(nonce=0, gas_limit=21_000, max_fee_wei=10, tip_wei=1)
IN_EARNEST = module._seal  # noqa: SLF001 - tests begin by putting a cheap one in its place


@pytest.fixture
def in_earnest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seals take the work that they take outside of tests."""
    monkeypatch.setattr(module, "_seal", IN_EARNEST)


@pytest.fixture
def seed_file(tmp_path: Path) -> Path:
    path = tmp_path / "signer" / "seed.age"
    _, sealed = sealed_seed(PASSPHRASE)
    write_seed_file(path, sealed)
    return path


@pytest.fixture(scope="module")
def known_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("known") / "seed.age"
    path.write_bytes(cheaply_sealed(PHRASE.encode()))
    return path


@pytest.mark.usefixtures("in_earnest")
def test_a_new_seed_is_private_and_sealed(seed_file: Path) -> None:
    assert seed_file.stat().st_mode & 0o777 == 0o600
    assert seed_file.parent.stat().st_mode & 0o777 == 0o700
    assert seed_file.read_bytes().startswith(b"age-encryption.org/v1\n-> scrypt ")
    assert list(seed_file.parent.iterdir()) == [seed_file]
    words = pyrage.passphrase.decrypt(seed_file.read_bytes(), PASSPHRASE).decode().split()
    assert len(words) == 24
    assert work_of(seed_file.read_bytes()) > 10
    assert not any(word.encode() in seed_file.read_bytes() for word in words if len(word) > 4)


def test_an_existing_seed_is_never_overwritten(seed_file: Path) -> None:
    before = seed_file.read_bytes()
    with pytest.raises(SeedRefused, match="never overwritten"):
        write_seed_file(seed_file, b"another")
    assert seed_file.read_bytes() == before
    assert list(seed_file.parent.iterdir()) == [seed_file]


@pytest.mark.parametrize("passphrase", ["", "elevenchars"])
def test_a_new_seed_needs_a_real_passphrase(passphrase: str) -> None:
    with pytest.raises(SeedRefused, match="at least 12 characters"):
        sealed_seed(passphrase)


def test_a_new_seed_is_the_one_that_was_sealed(seed_file: Path) -> None:
    keys, sealed = sealed_seed(PASSPHRASE)
    path = seed_file.with_name("second.age")
    write_seed_file(path, sealed)
    assert open_seed_file(path, PASSPHRASE).fingerprint == keys.fingerprint
    assert open_seed_file(seed_file, PASSPHRASE).fingerprint != keys.fingerprint


def test_wallets_follow_the_standards(known_file: Path) -> None:
    keys = open_seed_file(known_file, PASSPHRASE)
    Account.enable_unaudited_hdwallet_features()
    roles: list[Role] = ["operator", "pool", "hold", "gas", "admin"]
    for org_id in (0, 1, 2**31 - 1):
        for index, role in enumerate(roles):
            path = f"m/44'/60'/{org_id}'/0/{index}"
            expected = Account.from_mnemonic(PHRASE, account_path=path).address
            assert keys.address(org_id, role) == expected.lower()


def test_no_two_wallets_are_the_same(known_file: Path) -> None:
    keys = open_seed_file(known_file, PASSPHRASE)
    roles: list[Role] = ["operator", "pool", "hold", "gas", "admin"]
    addresses = {keys.address(org_id, role) for org_id in range(3) for role in roles}
    assert len(addresses) == 15


def test_the_wrong_passphrase_opens_nothing(known_file: Path) -> None:
    with pytest.raises(SeedRefused, match="does not open the signer's seed"):
        open_seed_file(known_file, "incorrect horse")


def test_a_machine_that_is_interrupted_still_opens_its_own_seal(
    known_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """age times one small round to decide what is too much work; a busy machine times it badly."""
    tried = []

    def interrupted(sealed: bytes, passphrase: str) -> bytes:
        tried.append(sealed)
        if len(tried) < 4:
            raise pyrage.DecryptError("Excessive work parameter for passphrase.")
        return bytes(opened(sealed, passphrase))

    opened = pyrage.passphrase.decrypt
    monkeypatch.setattr(pyrage.passphrase, "decrypt", interrupted)
    assert len(open_seed_file(known_file, PASSPHRASE).address(0, "operator")) == 42
    assert len(tried) == 4


def test_a_seal_of_absurd_work_is_refused_at_once(tmp_path: Path, known_file: Path) -> None:
    path = tmp_path / "seed.age"
    path.write_bytes(re.sub(rb"(-> scrypt \S+ )\d+", rb"\g<1>40", known_file.read_bytes()))
    with pytest.raises(SeedRefused, match="does not open the signer's seed"):
        open_seed_file(path, PASSPHRASE)


@pytest.mark.usefixtures("in_earnest")
def test_a_seal_made_in_a_busy_moment_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    works = iter([b"9", b"17"])

    def hurried(content: bytes, passphrase: str) -> bytes:
        sealed = cheaply_sealed(content, passphrase)
        return re.sub(rb"(-> scrypt \S+ )\d+", rb"\g<1>" + next(works), sealed)

    monkeypatch.setattr(pyrage.passphrase, "encrypt", hurried)
    _, sealed = sealed_seed(PASSPHRASE)
    assert work_of(sealed) == 17


def test_an_empty_passphrase_stops_the_signer(known_file: Path) -> None:
    with pytest.raises(SeedRefused, match="is empty or not set; nothing can be signed"):
        open_seed_file(known_file, "")


def test_a_missing_seed_stops_the_signer(tmp_path: Path) -> None:
    with pytest.raises(SeedRefused, match="No such file or directory"):
        open_seed_file(tmp_path / "seed.age", PASSPHRASE)


def test_a_mistyped_phrase_is_refused_without_being_quoted(tmp_path: Path) -> None:
    path = tmp_path / "seed.age"
    path.write_bytes(cheaply_sealed(b"legal winner thank yeah"))
    with pytest.raises(SeedRefused, match="does not hold a BIP-39 phrase") as refused:
        open_seed_file(path, PASSPHRASE)
    assert "winner" not in "".join(traceback.format_exception(refused.value))


def test_a_keyring_shows_and_gives_away_nothing() -> None:
    seed = bytes(range(64))
    keys = Keyring(seed)
    for shown in (repr(keys), str(keys), f"{keys!r}", f"{[keys]}"):
        assert "Keyring(sealed)" in shown
        assert seed.hex() not in shown
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="a keyring stays in its process"):
            leave(keys)


def test_nothing_is_signed_for_a_cold_wallet() -> None:
    payload = Payload(chain_id=10, role="admin", to="0x" + "ab" * 20, value_wei=1, data=b"")
    with pytest.raises(SignerRefused, match="the admin wallet is cold"):
        Keyring(bytes(range(64))).sign(1, payload, TERMS)
