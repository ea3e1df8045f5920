"""A real EVM node for every test that asks for one, and a merchant whose money moves on it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from counterfoil.db.pool import Database
from counterfoil.signer import service
from counterfoil.signer.keys import Keyring, open_seed_file
from counterfoil.signer.service import create_signer_files
from support.chain import LocalChain, local_chain
from support.fake_clock import NOON, FakeClock
from support.house import PASSPHRASE, House, running_signer
from support.shop import desk_on


@pytest.fixture
async def arb() -> AsyncIterator[LocalChain]:
    async with local_chain("arb") as chain:
        yield chain


@pytest.fixture(scope="session")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("seed") / "seed.age"
    create_signer_files(path, PASSPHRASE, NOON)
    return path


@pytest.fixture(scope="session")
def keys(seed: Path) -> Keyring:
    """What is in the seed; opening it takes a second by intention, so it is done once."""
    return open_seed_file(seed, PASSPHRASE)


@pytest.fixture
def quick_seed(seed: Path, keys: Keyring, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(service, "open_seed_file", lambda _path, _passphrase: keys)
    return seed


@pytest.fixture
async def newcomer(
    database: Database, arb: LocalChain, quick_seed: Path, tmp_path: Path
) -> AsyncIterator[House]:
    """A merchant who has a signer and nothing else."""
    clock = FakeClock()
    async with running_signer(quick_seed, tmp_path, clock) as signer:
        yield await House(desk_on(database, clock), arb, signer).open()


@pytest.fixture
async def house(newcomer: House) -> House:
    return await newcomer.settled_in()
