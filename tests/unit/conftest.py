"""The signer, in memory and as a process, for those who come to ask it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from counterfoil.signer.keys import open_seed_file
from counterfoil.signer.memory import create_memory
from counterfoil.signer.origin import Origin
from counterfoil.signer.service import SignerConfig
from support.signer_process import APPROVAL_KEY, MONDAY, PASSPHRASE, PHRASE, cheaply_sealed
from support.signing_desk import SigningDesk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[SigningDesk]:
    desk = SigningDesk(tmp_path)
    yield desk
    desk.stop()


@pytest.fixture(scope="module")
def sealed_seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("seed") / "seed.age"
    path.write_bytes(cheaply_sealed(PHRASE.encode()))
    return path


@pytest.fixture
def config(tmp_path: Path, sealed_seed: Path) -> SignerConfig:
    memory_path = tmp_path / "memory"
    keys = open_seed_file(sealed_seed, PASSPHRASE)
    create_memory(memory_path, Origin(seed=keys.fingerprint, at=MONDAY))
    return SignerConfig(
        socket_path=tmp_path / "signer" / "socket",
        seed_path=sealed_seed,
        memory_path=memory_path,
        passphrase=PASSPHRASE,
        approval_key=APPROVAL_KEY,
    )
