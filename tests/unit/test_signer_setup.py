"""Making the signer's files, and the way back when its memory is lost."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Invalid
from counterfoil.signer import service
from counterfoil.signer.keys import Keyring, open_seed_file
from counterfoil.signer.memory import memory_beside, open_memory
from counterfoil.signer.orders import FuelOrder, Signed
from counterfoil.signer.policy import Limits
from counterfoil.signer.recovery import Checked, parse_instant
from counterfoil.signer.refusals import MemoryBroken, SeedRefused, SignerRefused
from counterfoil.signer.service import create_new_memory, create_signer_files
from counterfoil.signer.signing import Signer
from counterfoil.signer.wire import Code
from support.signer_process import PASSPHRASE, PHRASE, cheaply_sealed
from support.signing_desk import (
    APPROVAL_KEY,
    ARBITRUM,
    MONDAY,
    TERMS,
    Hands,
    approved,
    at_nonce,
)

MIDNIGHT = datetime(2026, 3, 3, tzinfo=UTC)


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    path = tmp_path / "seed.age"
    path.write_bytes(cheaply_sealed(PHRASE.encode()))
    return path


@pytest.fixture
def keys(seed: Path) -> Keyring:
    return open_seed_file(seed, PASSPHRASE)


def nonces_of(keys: Keyring, *org_ids: int, nonce: int = 7) -> list[str]:
    return [
        f"{chain}:{keys.address(org_id, role)}={nonce}"
        for org_id in org_ids
        for role in ("operator", "pool", "hold", "gas")
        for chain in CHAINS
    ]


@pytest.fixture
def begin(seed: Path, keys: Keyring) -> Callable[..., None]:
    """Begin a memory in place of a lost one, on Monday at half past nine."""

    def begin(
        nonces: list[str] | None = None,
        *,
        org_ids: tuple[int, ...] = (1,),
        approved_since: datetime = MONDAY,
    ) -> None:
        create_new_memory(
            seed,
            PASSPHRASE,
            Checked(
                nonces=nonces_of(keys, *org_ids) if nonces is None else nonces,
                org_ids=org_ids,
                approved_since=approved_since,
            ),
            at=MONDAY,
        )

    return begin


def signed(keys: Keyring, seed: Path, at: datetime, ask: Callable[[Signer], Signed]) -> Signed:
    """What a signer that was started now answers."""
    clock = Hands()
    clock.at = at
    memory, _ = open_memory(memory_beside(seed))
    try:
        return ask(Signer(keys, memory, APPROVAL_KEY, Limits(), clock))
    finally:
        memory.close()


def test_a_seed_and_its_memory_are_made_together(tmp_path: Path) -> None:
    seed = tmp_path / "signer" / "seed.age"
    create_signer_files(seed, PASSPHRASE, MONDAY)

    keys = open_seed_file(seed, PASSPHRASE)
    signed(keys, seed, MONDAY, lambda signer: signer.sign(approved(), TERMS))
    assert {path.name for path in seed.parent.iterdir()} == {"seed.age", "memory.journal"}
    assert memory_beside(seed).stat().st_mode & 0o777 == 0o600
    kept = seed.read_bytes(), memory_beside(seed).read_bytes()
    with pytest.raises(SeedRefused, match="never overwritten"):
        create_signer_files(seed, PASSPHRASE, MONDAY)
    assert (seed.read_bytes(), memory_beside(seed).read_bytes()) == kept


def test_a_new_seed_takes_over_nobody_elses_memory(tmp_path: Path) -> None:
    seed = tmp_path / "seed.age"
    memory_beside(seed).write_text("of a seed that was moved away")
    with pytest.raises(MemoryBroken, match="move it away and keep it"):
        create_signer_files(seed, PASSPHRASE, MONDAY)
    assert not seed.exists()


def test_where_no_seed_can_be_written_no_memory_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(service, "write_seed_file", fails)
    with pytest.raises(OSError, match="no space left"):
        create_signer_files(tmp_path / "seed.age", PASSPHRASE, MONDAY)
    assert list(tmp_path.iterdir()) == []


def test_after_a_loss_only_what_is_approved_anew_is_paid(
    seed: Path, keys: Keyring, begin: Callable[..., None]
) -> None:
    # The database is an old backup: it offers what was approved, and maybe paid, before.
    begin()
    tuesday = MIDNIGHT + timedelta(hours=9)

    with pytest.raises(SignerRefused, match="may be paid already") as refused:
        signed(
            keys,
            seed,
            tuesday,
            lambda signer: signer.sign(
                approved(approved_at=MONDAY - timedelta(microseconds=1)), TERMS
            ),
        )
    assert refused.value.code == Code.WARRANT

    signed(keys, seed, tuesday, lambda signer: signer.sign(approved(), TERMS))


def test_after_a_loss_nothing_is_paid_on_that_day(
    seed: Path, keys: Keyring, begin: Callable[..., None]
) -> None:
    begin()
    with pytest.raises(SignerRefused, match="what is left of today's cap") as refused:
        signed(
            keys,
            seed,
            MIDNIGHT - timedelta(microseconds=1),
            lambda signer: signer.sign(approved(), TERMS),
        )
    assert (refused.value.code, refused.value.retry_at) == (Code.DAY_CAP, MIDNIGHT)
    signed(keys, seed, MIDNIGHT, lambda signer: signer.sign(approved(), TERMS))


def test_after_a_loss_no_used_nonce_is_signed(
    seed: Path, keys: Keyring, begin: Callable[..., None]
) -> None:
    begin()
    with pytest.raises(SignerRefused, match="signs from nonce 7 on"):
        signed(keys, seed, MIDNIGHT, lambda signer: signer.sign(approved(), at_nonce(6)))


def test_after_a_loss_the_wallets_can_be_fuelled_at_once(
    seed: Path, keys: Keyring, begin: Callable[..., None]
) -> None:
    begin()
    fuel = FuelOrder(
        org_id=1, move_id="fuel-1", chain_id=ARBITRUM, destination_role="pool", value_wei="1"
    )
    signed(keys, seed, MONDAY, lambda signer: signer.sign(fuel, TERMS))


def test_an_operator_with_an_intact_database_may_vouch_for_older_approvals(
    seed: Path, keys: Keyring, begin: Callable[..., None]
) -> None:
    begin(approved_since=MONDAY - timedelta(days=3))
    older = approved(approved_at=MONDAY - timedelta(days=3))
    signed(keys, seed, MIDNIGHT, lambda signer: signer.sign(older, TERMS))


def test_nobody_vouches_for_the_future(begin: Callable[..., None]) -> None:
    with pytest.raises(Invalid, match="at most now"):
        begin(approved_since=MONDAY + timedelta(seconds=1))


def test_every_wallet_must_be_looked_at(keys: Keyring, begin: Callable[..., None]) -> None:
    with pytest.raises(Invalid) as asked:
        begin([], org_ids=(1, 2))
    for line in nonces_of(keys, 1, 2):
        assert line.replace("=7", "=NONCE") in asked.value.message
    some = nonces_of(keys, 1)
    with pytest.raises(Invalid, match="organisation 1, operator") as left:
        begin(some[1:])
    assert some[0].replace("=7", "=NONCE") in left.value.message
    assert some[1].replace("=7", "=NONCE") not in left.value.message


@pytest.mark.parametrize("text", ["", "arb", "arb:0x12", "arb:0x12=", "arb:0x12=-1", "a:0=1.0"])
def test_what_is_no_nonce_is_named(begin: Callable[..., None], text: str) -> None:
    with pytest.raises(Invalid, match="does not read chain:address=nonce"):
        begin([text])


def test_a_nonce_of_a_stranger_is_refused(
    seed: Path, keys: Keyring, begin: Callable[..., None]
) -> None:
    for stranger in (f"arb:{keys.address(2, 'pool')}", f"moon:{keys.address(1, 'pool')}"):
        with pytest.raises(Invalid, match="is no wallet that signs for these organisations"):
            begin([*nonces_of(keys, 1), f"{stranger}=7"])
    assert not memory_beside(seed).exists()


def test_a_wallet_has_one_nonce(keys: Keyring, begin: Callable[..., None]) -> None:
    with pytest.raises(Invalid, match="has two: 7 and 8"):
        begin([*nonces_of(keys, 1), *nonces_of(keys, 1, nonce=8)])


def test_a_checksummed_address_is_understood(keys: Keyring, begin: Callable[..., None]) -> None:
    begin([text.upper().replace("0X", "0x") for text in nonces_of(keys, 1)])


def test_a_memory_that_is_there_is_not_replaced(seed: Path, begin: Callable[..., None]) -> None:
    begin()
    before = memory_beside(seed).read_bytes()
    with pytest.raises(MemoryBroken, match="never overwritten"):
        begin()
    assert memory_beside(seed).read_bytes() == before


def test_an_instant_says_how_far_it_is_from_utc() -> None:
    assert parse_instant("2026-03-02T10:30+01:00") == MONDAY
    for text in ("2026-03-02T09:30", "yesterday", ""):
        with pytest.raises(Invalid, match="does not read like"):
            parse_instant(text)
