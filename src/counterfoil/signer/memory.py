"""The signer's own memory of what it signed: the second belt of exactly-once money.

The books are the first (specs/reliability.md 1.3). Should they be edited, restored from an
old backup or simply wrong, this file still knows which nonce each move got, and refuses it
another one. The first line says whose memory it is (`origin`); then comes one line per
signature. A line is ``<seal> <json>``; the seal is SHA-256 over the previous seal and the JSON.
It is on the disk before the signature leaves the process.
"""

import fcntl
import hashlib
import os
from datetime import date, datetime
from io import FileIO
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from counterfoil.signer.files import sync_folder, write_once
from counterfoil.signer.orders import KnownSignature, NonceUse, TxTerms
from counterfoil.signer.origin import Origin
from counterfoil.signer.refusals import MemoryBroken, SignerRefused
from counterfoil.signer.wire import Code

_GENESIS: Final = bytes(32)
_SEAL_HEX: Final = 64
_WAY_BACK: Final = (
    "without it a payment could be signed twice, so nothing is signed; put back the one that lay"
    ' beside this seed, or follow "When the memory is lost" in docs/operations/install.md'
)


class Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """One signature.

    ``digest`` identifies what the transaction does, its fee terms left out. ``spent`` is
    what it counts against the day's cap, in 10^-18 dollars as digits; zero for a sibling
    with other fees. ``fuel_wei`` is the same of what a gas station hands out. ``repeatable`` marks
    what does no harm when done twice. ``cancels`` marks what
    uses up a nonce and does nothing. ``generation`` and ``replaces_nonce`` are the warrant's.
    """

    at: datetime
    org_id: int
    kind: str
    chain_id: int
    sender: str
    nonce: int
    move_ids: tuple[str, ...]
    repeatable: bool
    digest: str
    spent: str
    terms: TxTerms
    tx_hash: str
    cancels: bool = False
    generation: int = 0
    replaces_nonce: int | None = None
    fuel_wei: str = "0"


class Lineage(Struct):
    """All siblings signed for one nonce: the same effect, on different fee terms.

    ``cancels`` are those that do nothing but use the nonce up, in case the others got lost.
    """

    digest: str
    move_ids: tuple[str, ...]
    hashes: dict[TxTerms, str]
    cancels: dict[TxTerms, str]


class _Place(NamedTuple):
    """Where a payment was signed last: by which approval, for which wallet, with which nonce."""

    generation: int
    chain_id: int
    sender: str
    nonce: int


class Memory:
    """What was signed, on disk and indexed; open it with `open_memory`.

    Its owner calls `recall` before and `remember` after each signing, with nothing in
    between that could let another signing through.
    """

    def __init__(self, file: FileIO) -> None:
        """Take over an open, locked file; read it with `load`."""
        self._file = file
        self._seal = _GENESIS
        self._origin: Origin | None = None
        self._floors: dict[tuple[int, str], int] = {}
        self._lineages: dict[tuple[int, str, int], Lineage] = {}
        self._places: dict[tuple[int, str], _Place] = {}
        self._spent: dict[tuple[int, date], int] = {}
        self._fuel_wei: dict[tuple[int, int, date], int] = {}
        self._writable = True

    @property
    def writable(self) -> bool:
        """Whether `remember` still works; once it failed, only a restart helps."""
        return self._writable

    def origin_for(self, fingerprint: str) -> Origin:
        """How this memory begins. Raises `MemoryBroken` when it is not of this seed."""
        if self._origin is None or self._origin.seed != fingerprint:
            raise MemoryBroken(f"the signer's memory is not of this seed; {_WAY_BACK}")
        return self._origin

    def close(self) -> None:
        """Give the file back; its lock goes with it."""
        self._writable = False
        self._file.close()

    def spent(self, org_id: int, day: date) -> int:
        """What an organisation's pool was signed away for on a UTC day, in 10^-18 dollars."""
        return self._spent.get((org_id, day), 0)

    def fuel_wei(self, org_id: int, chain_id: int, day: date) -> int:
        """What an organisation's gas station was signed to hand out on a chain, on a UTC day."""
        return self._fuel_wei.get((org_id, chain_id, day), 0)

    def use_of(self, chain_id: int, sender: str, nonce: int) -> NonceUse:
        """What was signed with a nonce; nothing is decided by asking."""
        lineage = self._lineages.get((chain_id, sender, nonce))
        if lineage is None:
            return NonceUse()
        signed = tuple(KnownSignature(terms, tx_hash) for terms, tx_hash in lineage.hashes.items())
        return NonceUse(lineage.move_ids, signed)

    def recall(self, entry: Entry) -> Lineage | None:
        """What was signed before for this nonce; None when the nonce is new.

        Siblings are always safe, whatever their fees: they share the nonce, so the chain
        takes only one. So is a cancellation, for a nonce that was signed for the same moves.
        Raises `SignerRefused` for ``nonce_taken`` and ``move_signed``, and ``policy`` for a
        nonce from before this memory and a cancellation of what was never signed.
        """
        lineage = self._lineages.get((entry.chain_id, entry.sender, entry.nonce))
        if lineage is None:
            self._refuse_used_nonce(entry)
            self._refuse_second_nonce(entry)
            return None
        digest = lineage.digest if entry.cancels else entry.digest
        if (lineage.digest, lineage.move_ids) != (digest, entry.move_ids):
            raise SignerRefused(
                Code.NONCE_TAKEN,
                f"nonce {entry.nonce} of {entry.sender} on chain {entry.chain_id} was signed for"
                f" something else, move {lineage.move_ids[0]}; finish that with this nonce, or"
                " take the next nonce for this one",
                nonce=entry.nonce,
                move_ids=lineage.move_ids,
                tx_hashes=tuple(lineage.hashes.values()),
            )
        self._refuse_superseded(entry)
        return lineage

    def remember(self, entry: Entry) -> None:
        """Put one signature on the disk, then into the index.

        Raises `MemoryBroken` when it may not have reached the disk, and from then on: after
        a failed fsync nobody knows what the disk holds.
        """
        if not self._writable:
            msg = "the memory failed before; restart the signer once its disk is well"
            raise MemoryBroken(msg)
        seal, line = _line(self._seal, entry)
        try:
            self._append(line)
        except OSError as failed:
            self._writable = False
            msg = f"the memory cannot be written: {failed.strerror}"
            raise MemoryBroken(msg) from failed
        self._seal = seal
        self._index(entry)

    def _refuse_used_nonce(self, entry: Entry) -> None:
        floor = self._floors.get((entry.chain_id, entry.sender), 0)
        if entry.nonce < floor:
            raise SignerRefused(
                Code.POLICY,
                f"nonce {entry.nonce} of {entry.sender} on chain {entry.chain_id} was used before"
                f" this memory began, which signs from nonce {floor} on",
            )

    def _refuse_second_nonce(self, entry: Entry) -> None:
        """Refuse a move that has a nonce, unless a person said that this very one is dead.

        Whether it is, only the chain knows: that is what the warrant vouches for. What can be
        checked here is that it speaks of the last nonce, was sealed after that was signed, and
        that the new one comes after it (docs/decisions/0011).
        """
        if entry.cancels:
            raise SignerRefused(
                Code.POLICY,
                f"nonce {entry.nonce} of {entry.sender} on chain {entry.chain_id} was signed for"
                " nothing, so there is nothing to cancel",
            )
        if entry.repeatable:
            return
        for move_id in entry.move_ids:
            last = self._places.get((entry.org_id, move_id))
            if last is not None and not _follows(entry, last):
                raise self._move_signed(move_id, last)

    def _refuse_superseded(self, entry: Entry) -> None:
        """Refuse what would bring to life a nonce that a later approval calls dead."""
        if entry.cancels or entry.repeatable:
            return
        for move_id in entry.move_ids:
            last = self._places.get((entry.org_id, move_id))
            if last is not None and last.nonce != entry.nonce:
                raise self._move_signed(move_id, last)

    def _move_signed(self, move_id: str, last: _Place) -> SignerRefused:
        lineage = self._lineages[(last.chain_id, last.sender, last.nonce)]
        return SignerRefused(
            Code.MOVE_SIGNED,
            f"move {move_id} was signed with nonce {last.nonce} before and gets no second one;"
            f" ask with nonce {last.nonce} again, or have it approved again once that is dead",
            nonce=last.nonce,
            move_ids=(move_id,),
            tx_hashes=tuple(lineage.hashes.values()),
        )

    def _append(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            rest = rest[self._file.write(rest) or 0 :]
        os.fsync(self._file.fileno())

    def _index(self, entry: Entry) -> None:
        key = (entry.chain_id, entry.sender, entry.nonce)
        lineage = self._lineages.setdefault(key, Lineage(entry.digest, entry.move_ids, {}, {}))
        if entry.cancels:
            lineage.cancels[entry.terms] = entry.tx_hash
            return
        lineage.hashes[entry.terms] = entry.tx_hash
        if not entry.repeatable:
            place = _Place(entry.generation, entry.chain_id, entry.sender, entry.nonce)
            self._places.update(((entry.org_id, m), place) for m in entry.move_ids)
        if entry.spent != "0":
            day = (entry.org_id, entry.at.date())
            self._spent[day] = self._spent.get(day, 0) + int(entry.spent)
        if entry.fuel_wei != "0":
            there = (entry.org_id, entry.chain_id, entry.at.date())
            self._fuel_wei[there] = self._fuel_wei.get(there, 0) + int(entry.fuel_wei)

    def load(self) -> bytes:
        """Read every line into the index; return the torn bytes that were cut off the end.

        A last line that is not whole was being written when the process died, so its
        signature never left: it is cut. A broken line with others behind it was damaged
        later: `MemoryBroken`, because what it held is lost. So is a broken first line, which
        was written whole before any signature.
        """
        whole = 0
        with os.fdopen(os.dup(self._file.fileno()), "rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    self._read(line)
                except ValueError as broken:
                    if number == 1 or lines.read(1):
                        msg = f"line {number} of the signer's memory is damaged ({broken})"
                        raise MemoryBroken(f"{msg}; {_WAY_BACK}") from broken
                    self._file.truncate(whole)
                    os.fsync(self._file.fileno())
                    return line
                whole += len(line)
        if self._origin is None:
            raise MemoryBroken(f"the signer's memory is empty; {_WAY_BACK}")
        return b""

    def _read(self, line: bytes) -> None:
        seal, _, body = line.partition(b" ")
        if not line.endswith(b"\n") or len(seal) != _SEAL_HEX:
            msg = "it is not whole"
            raise ValueError(msg)
        body = body[:-1]
        linked = _link(self._seal, body)
        if linked.hex().encode() != seal:
            msg = "its seal does not match"
            raise ValueError(msg)
        try:
            if self._origin is None:
                self._begin(msgspec.json.decode(body, type=Origin))
            else:
                self._index(msgspec.json.decode(body, type=Entry))
        except msgspec.DecodeError as unreadable:
            # Written whole, so its signature may have left: it must never be cut off.
            msg = (
                f"the signer's memory holds what this version cannot read ({unreadable});"
                " start the version that wrote it, or a newer one"
            )
            raise MemoryBroken(msg) from unreadable
        self._seal = linked

    def _begin(self, origin: Origin) -> None:
        self._origin = origin
        floors = origin.lost.floors if origin.lost else ()
        self._floors = {(floor.chain_id, floor.sender): floor.nonce for floor in floors}


def _follows(entry: Entry, last: _Place) -> bool:
    """Whether a payment may be signed anew after it was signed at ``last``."""
    return (
        entry.generation > last.generation
        and entry.replaces_nonce == last.nonce
        and (entry.chain_id, entry.sender) == (last.chain_id, last.sender)
        and entry.nonce > last.nonce
    )


def memory_beside(seed_path: Path) -> Path:
    """Where the memory of this seed lies."""
    return seed_path.with_name("memory.journal")


def create_memory(path: Path, origin: Origin) -> None:
    """Begin a memory at ``path`` (0600). Raises `MemoryBroken` when one is there."""
    _, line = _line(_GENESIS, origin)
    try:
        write_once(path, line)
    except FileExistsError:
        raise MemoryBroken(
            f"{path} exists, and a memory is never overwritten; if it is of no use any more, move"
            " it away and keep it"
        ) from None


def open_memory(path: Path) -> tuple[Memory, bytes]:
    """Open the memory at ``path`` for this process alone.

    The second value is what was cut off its end, empty after a clean stop; it is kept
    beside the file as ``<name>.torn``. Raises `MemoryBroken` when it is missing, when another
    process has it open, and when a line inside it is damaged.
    """
    try:
        # Appending mode: whatever else happens, an earlier line is never written over.
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
    except OSError as failed:
        msg = f"the signer's memory {path} cannot be opened ({failed.strerror})"
        raise MemoryBroken(f"{msg}; {_WAY_BACK}") from failed
    file = FileIO(descriptor, "r+")
    try:
        _lock(file, path)
        memory = Memory(file)
        torn = memory.load()
        if torn:
            path.with_name(f"{path.name}.torn").write_bytes(torn)
        sync_folder(path.parent)
    except BaseException:
        file.close()
        raise
    return memory, torn


def _lock(file: FileIO, path: Path) -> None:
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as held:
        msg = f"another signer is using {path}; two would not know what the other signed"
        raise MemoryBroken(msg) from held


def _line(previous: bytes, content: Origin | Entry) -> tuple[bytes, bytes]:
    """The next seal, and the line that carries it."""
    body = msgspec.json.encode(content)
    seal = _link(previous, body)
    return seal, seal.hex().encode() + b" " + body + b"\n"


def _link(previous: bytes, body: bytes) -> bytes:
    return hashlib.sha256(previous + body).digest()
