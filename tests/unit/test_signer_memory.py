"""The signer's memory: what was signed is known after any crash, and to one process only."""

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, date, datetime
from io import FileIO
from pathlib import Path

import pytest
from msgspec.structs import replace

from counterfoil.signer.memory import Entry, Memory, create_memory, open_memory
from counterfoil.signer.orders import TxTerms
from counterfoil.signer.origin import Floor, Lost, Origin
from counterfoil.signer.refusals import MemoryBroken, SignerRefused
from counterfoil.signer.wire import Code

POOL = "0x" + "11" * 20
MONDAY = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
TERMS = TxTerms(nonce=7, gas_limit=100_000, max_fee_wei=10**9, tip_wei=10**6)


ORIGIN = Origin(seed="0x" + "5e" * 20, at=MONDAY)


def signature(
    move_id: str = "move-a", nonce: int = 7, *, effect: str = "pays A", spent: int = 0
) -> Entry:
    return Entry(
        at=MONDAY,
        org_id=1,
        kind="pay",
        chain_id=42161,
        sender=POOL,
        nonce=nonce,
        move_ids=(move_id,),
        repeatable=False,
        digest=hashlib.sha256(effect.encode()).hexdigest(),
        spent=str(spent),
        terms=replace(TERMS, nonce=nonce),
        tx_hash="0x" + hashlib.sha256(f"{move_id} {nonce}".encode()).hexdigest(),
    )


class Process:
    """A signer's process: opens the memory, and loses it when it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._memory: Memory | None = None

    def start(self, *, torn: bytes = b"") -> Memory:
        self.stop()
        self._memory, cut = open_memory(self.path)
        assert cut == torn
        return self._memory

    def stop(self) -> None:
        if self._memory:
            self._memory.close()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path / "memory")
    create_memory(process.path, ORIGIN)
    yield process
    process.stop()


def test_a_restart_forgets_nothing(process: Process) -> None:
    memory = process.start()
    memory.remember(signature("move-a", 7, spent=5))
    memory.remember(signature("move-b", 8, effect="pays B", spent=6))
    memory = process.start()

    lineage = memory.recall(signature("move-a", 7))
    assert lineage is not None
    assert lineage.hashes == {TERMS: signature("move-a", 7).tx_hash}
    assert memory.spent(1, date(2026, 3, 2)) == 11
    assert memory.spent(1, date(2026, 3, 3)) == 0
    assert memory.spent(2, date(2026, 3, 2)) == 0


def test_only_the_owner_can_read_it(process: Process) -> None:
    process.start()
    assert process.path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("restart", [False, True])
def test_a_nonce_belongs_to_what_it_was_signed_for(process: Process, *, restart: bool) -> None:
    memory = process.start()
    memory.remember(signature("move-a", 7))
    if restart:
        memory = process.start()

    with pytest.raises(SignerRefused, match=r"nonce 7 .* move-a") as other_effect:
        memory.recall(signature("move-a", 7, effect="pays the thief"))
    with pytest.raises(SignerRefused, match=r"nonce 7 .* move-a") as other_move:
        memory.recall(signature("move-b", 7))

    assert other_effect.value.code == other_move.value.code == Code.NONCE_TAKEN
    assert other_move.value.move_ids == ("move-a",)


@pytest.mark.parametrize("restart", [False, True])
def test_a_move_has_one_nonce(process: Process, *, restart: bool) -> None:
    memory = process.start()
    memory.remember(signature("move-a", 7))
    if restart:
        memory = process.start()

    with pytest.raises(SignerRefused, match="move-a was signed with nonce 7") as refused:
        memory.recall(signature("move-a", 8))

    assert (refused.value.code, refused.value.nonce) == (Code.MOVE_SIGNED, 7)


def test_another_chain_or_wallet_is_no_way_round_it(process: Process) -> None:
    memory = process.start()
    memory.remember(signature("move-a", 7))
    for elsewhere in (
        replace(signature("move-a", 7), chain_id=10),
        replace(signature("move-a", 7), sender="0x" + "22" * 20),
    ):
        with pytest.raises(SignerRefused, match="no second one"):
            memory.recall(elsewhere)


def test_a_failed_sweep_may_go_out_again(process: Process) -> None:
    memory = process.start()
    memory.remember(replace(signature("move-s", 7), repeatable=True))
    assert memory.recall(replace(signature("move-s", 8), repeatable=True)) is None


@pytest.mark.parametrize("cut", [1, 2, 40, 66, 200])
def test_a_crash_in_the_middle_of_a_write_costs_only_that_line(process: Process, cut: int) -> None:
    memory = process.start()
    memory.remember(signature("move-a", 7, spent=5))
    whole = process.path.stat().st_size
    memory.remember(signature("move-b", 8, effect="pays B", spent=6))
    process.stop()
    os.truncate(process.path, process.path.stat().st_size - cut)
    left = process.path.read_bytes()[whole:]

    memory = process.start(torn=left)

    assert process.path.with_name("memory.torn").read_bytes() == left
    assert memory.recall(signature("move-a", 7)) is not None
    assert memory.spent(1, MONDAY.date()) == 5
    memory.remember(signature("move-b", 9, effect="pays B"))
    assert process.start().recall(signature("move-b", 9, effect="pays B")) is not None


def test_a_page_of_zeros_at_the_end_is_a_crash_too(process: Process) -> None:
    memory = process.start()
    memory.remember(signature("move-a", 7))
    process.stop()
    with process.path.open("ab") as file:
        file.write(bytes(4096))

    memory = process.start(torn=bytes(4096))

    assert memory.recall(signature("move-a", 7)) is not None


@pytest.mark.parametrize("damage", ["edited", "removed", "swapped", "beheaded"])
def test_a_damaged_line_stops_the_signer(process: Process, damage: str) -> None:
    memory = process.start()
    for number in range(3):
        memory.remember(signature(f"move-{number}", number, effect=str(number)))
    process.stop()
    first, one, two, three = process.path.read_bytes().splitlines(keepends=True)
    process.path.write_bytes(
        {
            "edited": first + one + two.replace(b"move-1", b"move-9") + three,
            "removed": first + one + three + three,
            "swapped": first + two + one + three,
            "beheaded": one + two + three,
        }[damage]
    )

    with pytest.raises(MemoryBroken, match=r"line \d of the signer's memory is damaged"):
        process.start()


def sealed_line(previous: str, body: bytes) -> bytes:
    seal = hashlib.sha256(bytes.fromhex(previous) + body).hexdigest()
    return seal.encode() + b" " + body + b"\n"


def test_what_an_older_version_wrote_is_still_known(process: Process) -> None:
    memory = process.start()
    memory.remember(signature("move-a", 7, spent=5))
    process.stop()
    origin, line = process.path.read_bytes().splitlines()
    now = b',"cancels":false,"generation":0,"replaces_nonce":null,"fuel_wei":"0"}'
    body = line.partition(b" ")[2]
    assert body.endswith(now)
    before = sealed_line(origin[:64].decode(), body.removesuffix(now) + b"}")
    process.path.write_bytes(origin + b"\n" + before)

    memory = process.start()
    with pytest.raises(SignerRefused) as refused:
        memory.recall(signature("move-a", 8))
    assert refused.value.code is Code.MOVE_SIGNED
    assert memory.spent(1, date(2026, 3, 2)) == 5


def test_what_a_newer_version_wrote_last_is_not_cut_off(process: Process) -> None:
    memory = process.start()
    memory.remember(signature("move-a", 7))
    process.stop()
    origin, line = process.path.read_bytes().splitlines()
    body = line.partition(b" ")[2].removesuffix(b"}") + b',"from_the_future":1}'
    whole = origin + b"\n" + sealed_line(origin[:64].decode(), body)
    process.path.write_bytes(whole)

    with pytest.raises(MemoryBroken, match="start the version that wrote it"):
        process.start()
    assert process.path.read_bytes() == whole


@pytest.mark.parametrize("left", [0, 1, 40, 66, 120])
def test_a_memory_cut_to_nothing_is_no_new_one(process: Process, left: int) -> None:
    os.truncate(process.path, left)
    before = process.path.read_bytes()
    with pytest.raises(MemoryBroken, match="When the memory is lost"):
        process.start()
    assert process.path.read_bytes() == before


def test_a_missing_memory_stops_the_signer(process: Process) -> None:
    process.path.unlink()
    with pytest.raises(MemoryBroken, match=r"No such file .* signed twice.*install\.md"):
        process.start()
    assert not process.path.exists()


def test_a_memory_is_never_overwritten(process: Process) -> None:
    process.start().remember(signature())
    before = process.path.read_bytes()
    with pytest.raises(MemoryBroken, match="never overwritten"):
        create_memory(process.path, ORIGIN)
    assert process.path.read_bytes() == before
    assert list(process.path.parent.iterdir()) == [process.path]


def test_a_memory_of_another_seed_is_refused(process: Process) -> None:
    memory = process.start()
    assert memory.origin_for(ORIGIN.seed) == ORIGIN
    with pytest.raises(MemoryBroken, match=r"not of this seed; .*install\.md"):
        memory.origin_for("0x" + "07" * 20)


@pytest.mark.parametrize("repeatable", [False, True])
def test_nonces_from_before_a_lost_memory_are_never_signed(
    process: Process, *, repeatable: bool
) -> None:
    process.path.unlink()
    floor = Floor(chain_id=42161, sender=POOL, nonce=7)
    lost = Lost(approved_since=MONDAY, floors=(floor,))
    create_memory(process.path, replace(ORIGIN, lost=lost))
    memory = process.start()

    for nonce in (0, 6):
        with pytest.raises(SignerRefused, match="signs from nonce 7 on") as refused:
            memory.recall(replace(signature(nonce=nonce), repeatable=repeatable))
        assert refused.value.code == Code.POLICY
    assert memory.recall(signature(nonce=7)) is None
    assert memory.recall(replace(signature(nonce=6), chain_id=10)) is None
    assert memory.recall(replace(signature(nonce=6), sender="0x" + "22" * 20)) is None


def test_two_signers_cannot_share_it(process: Process) -> None:
    process.start()
    other = Process(process.path)
    with pytest.raises(MemoryBroken, match="another signer is using"):
        other.start()
    process.stop()
    other.start()
    other.stop()


def test_a_closed_memory_takes_nothing_more(process: Process) -> None:
    memory = process.start()
    memory.close()
    with pytest.raises(MemoryBroken, match="restart the signer"):
        memory.remember(signature())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_stops_it_until_a_restart() -> None:
    memory = Memory(FileIO("/dev/full", "r+"))

    with pytest.raises(MemoryBroken, match="cannot be written: No space left"):
        memory.remember(signature())

    assert not memory.writable
    assert memory.recall(signature()) is None
    with pytest.raises(MemoryBroken, match="restart the signer"):
        memory.remember(signature())
    memory.close()
