"""The signer's process: a Unix socket in front of `Signer`, and nothing else inside.

No network is opened. Who may connect is decided by the file system: the socket is 0600 in a
folder that is 0700.
"""

import asyncio
import contextlib
import os
import resource
import signal
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import structlog

from counterfoil.core.errors import Invalid
from counterfoil.core.ports import Clock
from counterfoil.signer.keys import open_seed_file, sealed_seed, write_seed_file
from counterfoil.signer.memory import Memory, create_memory, memory_beside, open_memory
from counterfoil.signer.orders import SIGNING_ROLES, moves_of
from counterfoil.signer.origin import Lost, Origin
from counterfoil.signer.policy import Limits
from counterfoil.signer.recovery import Checked, floors_of
from counterfoil.signer.refusals import MemoryBroken, SeedRefused, SignerRefused, SignerStartRefused
from counterfoil.signer.signing import Signer
from counterfoil.signer.wire import (
    Answer,
    AnswerAddresses,
    AnswerBranch,
    AnswerHealth,
    AnswerNonce,
    AnswerSigned,
    Ask,
    AskAddresses,
    AskBranch,
    AskHealth,
    AskNonce,
    AskSign,
    BadFrame,
    Code,
    Refused,
    frame,
    read_frame,
)

__all__ = [
    "MemoryBroken",
    "SeedRefused",
    "SignerConfig",
    "SignerStartRefused",
    "create_new_memory",
    "create_signer_files",
    "serve",
]

_log: Final = structlog.get_logger("counterfoil.signer")
_asks: Final[msgspec.json.Decoder[Ask]] = msgspec.json.Decoder(Ask)

_MAX_SOCKET_PATH_BYTES: Final = 103
"""What the shortest ``sun_path`` among our systems holds, macOS's, with its closing zero."""


@dataclass(frozen=True, slots=True)
class SignerConfig:
    """What the signer needs. Secrets stay out of the repr.

    ``approval_key`` (32 bytes or more) is the one the web process seals warrants with.
    ``memory_path`` must survive restarts and belong to this signer alone; see
    `create_signer_files` for how it begins.
    """

    socket_path: Path
    seed_path: Path
    memory_path: Path
    passphrase: str = field(repr=False)
    approval_key: bytes = field(repr=False)
    limits: Limits = field(default_factory=Limits)


def create_signer_files(seed_path: Path, passphrase: str, at: datetime) -> None:
    """Seal a new random seed at ``seed_path`` and begin its memory beside it.

    Anybody with the passphrase can read the phrase with ``age -d``, to keep it on paper.
    Raises `SeedRefused` when there is a seed, since overwriting it would lose every wallet
    derived from it, and for a short passphrase; `MemoryBroken` when there is a memory, which
    must then be of a seed that is not there.
    """
    if seed_path.exists():
        raise SeedRefused(
            f"{seed_path} exists; it is never overwritten, since every wallet hangs on it"
        )
    keys, sealed = sealed_seed(passphrase)
    memory_path = memory_beside(seed_path)
    # The memory first: a seed that got none would look like one whose memory was lost.
    create_memory(memory_path, Origin(seed=keys.fingerprint, at=at))
    try:
        write_seed_file(seed_path, sealed)
    except BaseException:
        memory_path.unlink()
        raise


def create_new_memory(seed_path: Path, passphrase: str, checked: Checked, at: datetime) -> None:
    """Begin a memory in place of one that got lost.

    With it no nonce below the checked ones is signed, no payment approved too early, and no
    payment at all on the day of ``at``, whose cap may be used up. Raises `Invalid` for what was
    not checked or makes no sense, `SeedRefused`, and `MemoryBroken` when there is a memory.
    """
    if checked.approved_since > at:
        raise Invalid.field("approved_since", f"it is at most now, {at.isoformat()}")
    keys = open_seed_file(seed_path, passphrase)
    wallets = {
        (org_id, role): keys.address(org_id, role)
        for org_id in checked.org_ids
        for role in sorted(SIGNING_ROLES)
    }
    floors = floors_of(checked.nonces, wallets)
    lost = Lost(approved_since=checked.approved_since, floors=floors)
    create_memory(memory_beside(seed_path), Origin(seed=keys.fingerprint, at=at, lost=lost))


async def serve(config: SignerConfig, clock: Clock, stop: asyncio.Event | None = None) -> None:
    """Answer on the socket until ``stop``, or until SIGTERM or SIGINT where there is none.

    With one it is part of another process, whose signals mean all of that. The socket appears
    once signing is possible. Raises `SeedRefused`, `MemoryBroken`, `SignerStartRefused`, or
    ``ValueError`` for a short approval key, before it appears.
    """
    signals = _stopped_by_signals() if stop is None else contextlib.nullcontext(stop)
    _forbid_core_dumps()
    for folder in {config.socket_path.parent, config.memory_path.parent}:
        _private_folder(folder)
    memory = _remembered(config)
    try:
        keys = await asyncio.to_thread(open_seed_file, config.seed_path, config.passphrase)
        signer = Signer(keys, memory, config.approval_key, config.limits, clock)
        with signals as asked:
            await _listen(signer, config.socket_path, asked)
    finally:
        memory.close()


async def _listen(signer: Signer, path: Path, stop: asyncio.Event) -> None:
    desk = _Desk(signer)
    server = await asyncio.start_unix_server(desk.attend, sock=_bound(path))
    _log.info("signer.listening", socket=str(path))
    try:
        await stop.wait()
    finally:
        server.close()
        _clear(path)
        await desk.close()
        _log.info("signer.stopped")


class _Desk:
    """One visitor per connection, each answered in turn."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._visits: set[asyncio.Task[None]] = set()
        self._open = True

    def attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Begin one visit."""
        # A connection that was being accepted while the server closed arrives after `close`.
        if not self._open:
            writer.close()
            return
        visit = asyncio.create_task(self._visit(reader, writer))
        self._visits.add(visit)
        visit.add_done_callback(self._visits.discard)

    async def close(self) -> None:
        """Send everybody away; an answer that gets lost here is given again when asked again."""
        self._open = False
        for visit in self._visits:
            visit.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (asked := await read_frame(reader)) is not None:
                writer.write(frame(self._answer(asked)))
                await writer.drain()
        except BadFrame as bad:
            writer.write(frame(Refused(Code.MALFORMED, str(bad))))
            _log.warning("signer.bad_frame", reason=str(bad))
        except ConnectionError:
            _log.info("signer.visitor_left")
        finally:
            writer.close()

    def _answer(self, asked: bytes) -> Answer:
        try:
            ask = _asks.decode(asked)
        except (msgspec.DecodeError, UnicodeDecodeError) as malformed:
            _log.warning("signer.malformed", reason=str(malformed))
            return Refused(Code.MALFORMED, str(malformed))
        try:
            return self._act(ask)
        except SignerRefused as refused:
            _log.warning("signer.refused", code=refused.code, reason=refused.reason)
            return refused.answer()
        except MemoryBroken as broken:
            _log.error("signer.broken", reason=str(broken))
            return Refused(Code.BROKEN, str(broken))
        except Exception as unexpected:  # noqa: BLE001 - see below
            # The text of a stranger's exception may quote what it was given, and tracebacks
            # may show locals: neither goes to the log or over the socket from this process.
            where = _innermost(unexpected)
            _log.error("signer.failed", error=type(unexpected).__name__, where=where)
            return Refused(
                Code.BROKEN, f"the signer failed ({type(unexpected).__name__} in {where})"
            )

    def _act(self, ask: Ask) -> Answer:
        match ask:
            case AskHealth():
                return AnswerHealth(ok=self._signer.ok)
            case AskAddresses(org_id=org_id):
                return AnswerAddresses(self._signer.addresses(org_id))
            case AskBranch():
                return self._branch(ask)
            case AskNonce():
                return AnswerNonce(self._signer.use_of(ask.chain_id, ask.sender, ask.nonce))
            case AskSign():
                return self._sign(ask)

    def _branch(self, ask: AskBranch) -> AnswerBranch:
        """Tell the branch, which is logged nowhere, and that it was told."""
        _log.info("signer.branch_told", org_id=ask.org_id)
        return AnswerBranch(
            self._signer.branch(ask.org_id),
            tuple(self._signer.child_address(ask.org_id, number) for number in ask.sample),
        )

    def _sign(self, ask: AskSign) -> AnswerSigned:
        signed = self._signer.sign(ask.order, ask.terms)
        _log.info(
            "signer.signed",
            kind=str(ask.order.__struct_config__.tag),
            org_id=ask.order.org_id,
            move_ids=moves_of(ask.order),
            chain_id=ask.order.chain_id,
            sender=signed.sender,
            nonce=ask.terms.nonce,
            tx_hash=signed.tx_hash,
        )
        return AnswerSigned(signed)


def _innermost(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace else "unknown"


def _remembered(config: SignerConfig) -> Memory:
    memory, torn = open_memory(config.memory_path)
    if torn:
        _log.warning("signer.memory_cut", bytes=len(torn), kept=f"{config.memory_path}.torn")
    return memory


def _private_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        msg = f"others can enter {folder}; run: chmod 700 {folder}"
        raise SignerStartRefused(msg)


def _bound(path: Path) -> socket.socket:
    """A socket at ``path``, in place of one that a killed signer left behind.

    A live one's cannot be there: it would hold the lock on the memory.
    """
    if len(os.fsencode(path)) > _MAX_SOCKET_PATH_BYTES:
        msg = f"the socket path {path} is longer than {_MAX_SOCKET_PATH_BYTES} bytes"
        raise SignerStartRefused(msg)
    if path.exists() and not path.is_socket():
        msg = f"{path} is in the socket's place and is no socket; move it away"
        raise SignerStartRefused(msg)
    _clear(path)
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(path))
    path.chmod(0o600)
    return bound


def _clear(path: Path) -> None:
    path.unlink(missing_ok=True)


def _forbid_core_dumps() -> None:
    """A core dump would put the seed on the disk."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[asyncio.Event]:
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, asked.set)
    try:
        yield asked
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
