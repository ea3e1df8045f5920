"""The signer's own memory of what it signed: the second belt of exactly-once money.

The books are the first (specs/reliability.md 1.3). Should they be edited, restored from an
old backup or simply wrong, this file still knows which nonce each move got, and refuses it
another one. One line per signature, ``<seal> <json>``; the seal is SHA-256 over the previous
seal and the JSON. A line is on the disk before the signature leaves the process.
"""

import fcntl
import hashlib
import os
from datetime import date, datetime
from io import FileIO
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from counterfoil.signer.orders import TxTerms
from counterfoil.signer.refusals import MemoryBroken, SignerRefused
from counterfoil.signer.wire import Code

_GENESIS: Final = bytes(32)
_SEAL_HEX: Final = 64


class Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """One signature.

    ``digest`` identifies what the transaction does, its fee terms left out. ``spent`` is
    what it counts against the day's cap, in 10^-18 dollars as digits; zero for a sibling
    with other fees. ``repeatable`` marks what does no harm when done twice.
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


class Lineage(Struct):
    """All siblings signed for one nonce: the same effect, on different fee terms."""

    digest: str
    move_ids: tuple[str, ...]
    hashes: dict[TxTerms, str]


class Memory:
    """What was signed, on disk and indexed; open it with `open_memory`.

    Its owner calls `recall` before and `remember` after each signing, with nothing in
    between that could let another signing through.
    """

    def __init__(self, file: FileIO) -> None:
        """Take over an open, locked file; read it with `_load`."""
        self._file = file
        self._seal = _GENESIS
        self._lineages: dict[tuple[int, str, int], Lineage] = {}
        self._nonces: dict[tuple[int, str], int] = {}
        self._spent: dict[tuple[int, date], int] = {}
        self._writable = True

    @property
    def writable(self) -> bool:
        """Whether `remember` still works; once it failed, only a restart helps."""
        return self._writable

    def close(self) -> None:
        """Give the file back; its lock goes with it."""
        self._writable = False
        self._file.close()

    def spent(self, org_id: int, day: date) -> int:
        """What an organisation's pool was signed away for on a UTC day, in 10^-18 dollars."""
        return self._spent.get((org_id, day), 0)

    def recall(self, entry: Entry) -> Lineage | None:
        """What was signed before for this nonce; None when the nonce is new.

        Siblings are always safe, whatever their fees: they share the nonce, so the chain
        takes only one. Raises `SignerRefused` for ``nonce_taken`` and ``move_signed``.
        """
        lineage = self._lineages.get((entry.chain_id, entry.sender, entry.nonce))
        if lineage is None:
            self._refuse_second_nonce(entry)
            return None
        if (lineage.digest, lineage.move_ids) != (entry.digest, entry.move_ids):
            raise SignerRefused(
                Code.NONCE_TAKEN,
                f"nonce {entry.nonce} of {entry.sender} on chain {entry.chain_id} was signed for"
                f" something else, move {lineage.move_ids[0]}; finish that with this nonce, or"
                " take the next nonce for this one",
                nonce=entry.nonce,
                move_ids=lineage.move_ids,
            )
        return lineage

    def remember(self, entry: Entry) -> None:
        """Put one signature on the disk, then into the index.

        Raises `MemoryBroken` when it may not have reached the disk, and from then on: after
        a failed fsync nobody knows what the disk holds.
        """
        if not self._writable:
            msg = "the memory failed before; restart the signer once its disk is well"
            raise MemoryBroken(msg)
        body = msgspec.json.encode(entry)
        seal = _link(self._seal, body)
        try:
            self._append(seal.hex().encode() + b" " + body + b"\n")
        except OSError as failed:
            self._writable = False
            msg = f"the memory cannot be written: {failed.strerror}"
            raise MemoryBroken(msg) from failed
        self._seal = seal
        self._index(entry)

    def _refuse_second_nonce(self, entry: Entry) -> None:
        # The rule to extend once it can be proven that the old nonce was consumed, at
        # finality, by something else (specs/reliability.md 1.3, point 4).
        if entry.repeatable:
            return
        for move_id in entry.move_ids:
            nonce = self._nonces.get((entry.org_id, move_id))
            if nonce is not None:
                raise SignerRefused(
                    Code.MOVE_SIGNED,
                    f"move {move_id} was signed with nonce {nonce} before and gets no second one;"
                    f" ask with nonce {nonce} again, or make a new move once that one is dead",
                    nonce=nonce,
                    move_ids=(move_id,),
                )

    def _append(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            rest = rest[self._file.write(rest) or 0 :]
        os.fsync(self._file.fileno())

    def _index(self, entry: Entry) -> None:
        key = (entry.chain_id, entry.sender, entry.nonce)
        lineage = self._lineages.setdefault(key, Lineage(entry.digest, entry.move_ids, {}))
        lineage.hashes[entry.terms] = entry.tx_hash
        if not entry.repeatable:
            self._nonces.update(((entry.org_id, m), entry.nonce) for m in entry.move_ids)
        if entry.spent != "0":
            day = (entry.org_id, entry.at.date())
            self._spent[day] = self._spent.get(day, 0) + int(entry.spent)

    def load(self) -> bytes:
        """Read every line into the index; return the torn bytes that were cut off the end.

        A last line that is not whole was being written when the process died, so its
        signature never left: it is cut. A broken line with others behind it was damaged
        later: `MemoryBroken`, because what it held is lost.
        """
        whole = 0
        with os.fdopen(os.dup(self._file.fileno()), "rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    self._read(line)
                except ValueError as broken:
                    if lines.read(1):
                        msg = f"line {number} of the signer's memory is damaged: {broken}"
                        raise MemoryBroken(msg) from broken
                    self._file.truncate(whole)
                    os.fsync(self._file.fileno())
                    return line
                whole += len(line)
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
        entry = msgspec.json.decode(body, type=Entry)
        self._seal = linked
        self._index(entry)


def open_memory(path: Path) -> tuple[Memory, bytes]:
    """Open or create the memory at ``path`` (0600), for this process alone.

    The second value is what was cut off its end, empty after a clean stop; it is kept
    beside the file as ``<name>.torn``. Raises `MemoryBroken` when another process has it
    open or a line inside it is damaged.
    """
    # Appending mode: whatever else happens, an earlier line is never written over.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
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


def sync_folder(folder: Path) -> None:
    """Make a name that was just added to ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(file: FileIO, path: Path) -> None:
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as held:
        msg = f"another signer is using {path}; two would not know what the other signed"
        raise MemoryBroken(msg) from held


def _link(previous: bytes, body: bytes) -> bytes:
    return hashlib.sha256(previous + body).digest()
