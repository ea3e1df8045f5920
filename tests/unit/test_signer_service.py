"""The signer's process: a real socket, a real sealed seed, and those who come to ask."""

import asyncio
import hashlib
import hmac
import os
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace as but
from datetime import UTC, datetime
from pathlib import Path

import pyrage  # type: ignore[import-untyped]  # it carries no types
import pytest
from Crypto.Cipher import ChaCha20_Poly1305
from msgspec.structs import replace
from structlog.testing import capture_logs

from counterfoil.chains.evm.addresses import salt_of
from counterfoil.core.warrant import Warrant, seal_warrant
from counterfoil.signer.client import SignerClient, SignerRefused, SignerUnreachable
from counterfoil.signer.keys import Keyring, open_seed_file
from counterfoil.signer.orders import PayOrder, Signed, SweepOrder, TxTerms, pay_order
from counterfoil.signer.refusals import MemoryBroken, SeedRefused, SignerStartRefused
from counterfoil.signer.service import SignerConfig, serve
from counterfoil.signer.wire import (
    MAX_FRAME_BYTES,
    AnswerHealth,
    AnswerSigned,
    Code,
    frame,
    read_frame,
)

PHRASE = "legal winner thank year wave sausage worth useful " * 2 + (
    "legal winner thank year wave sausage worth title"
)
PASSPHRASE = "correct horse battery staple"
APPROVAL_KEY = bytes(range(32))
MONDAY = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
TERMS = TxTerms(nonce=0, gas_limit=90_000, max_fee_wei=20_000_000, tip_wei=1_000_000)
WARRANT = Warrant(
    org_id=1,
    move_id="move-0",
    purpose="payout",
    chain="arb",
    contract="0xfd086bc7cd5c481dcc9c85ebe478a1c0b69fcbb9",
    destination="0x" + "ab" * 20,
    amount_units=3_000_000_000,
    approved_by="user_reviewer",
    approved_at=MONDAY,
)


class Noon:
    """A clock that stands still."""

    def now(self) -> datetime:
        return MONDAY

    def monotonic(self) -> float:
        return 0.0


def cheaply_sealed(phrase: str) -> bytes:
    """An age file like any other, but with 2 rounds of scrypt where age takes 2^18.

    Written from https://age-encryption.org/v1; it keeps a second per start out of the tests.
    """

    def unpadded(data: bytes) -> bytes:
        return b64encode(data).rstrip(b"=")

    def derived(secret: bytes, salt: bytes, info: bytes) -> bytes:
        extracted = hmac.digest(salt or bytes(32), secret, "sha256")
        return hmac.digest(extracted, info + b"\1", "sha256")

    def encrypted(key: bytes, nonce: bytes, text: bytes) -> bytes:
        return b"".join(ChaCha20_Poly1305.new(key=key, nonce=nonce).encrypt_and_digest(text))

    salt, file_key, payload_nonce = bytes(16), bytes(range(16)), bytes(16)
    labelled = b"age-encryption.org/v1/scrypt" + salt
    wrap_key = hashlib.scrypt(PASSPHRASE.encode(), salt=labelled, n=2, r=8, p=1, dklen=32)
    header = b"age-encryption.org/v1\n-> scrypt %b 1\n%b\n---" % (
        unpadded(salt),
        unpadded(encrypted(wrap_key, bytes(12), file_key)),
    )
    mac = hmac.digest(derived(file_key, b"", b"header"), header, "sha256")
    last_chunk = bytes(11) + b"\1"
    body = encrypted(derived(file_key, payload_nonce, b"payload"), last_chunk, phrase.encode())
    return header + b" " + unpadded(mac) + b"\n" + payload_nonce + body


@pytest.fixture(scope="module")
def sealed_seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("seed") / "seed.age"
    path.write_bytes(cheaply_sealed(PHRASE))
    return path


@pytest.fixture
def config(tmp_path: Path, sealed_seed: Path) -> SignerConfig:
    return SignerConfig(
        socket_path=tmp_path / "signer" / "socket",
        seed_path=sealed_seed,
        memory_path=tmp_path / "signer" / "memory",
        passphrase=PASSPHRASE,
        approval_key=APPROVAL_KEY,
    )


@asynccontextmanager
async def running(config: SignerConfig) -> AsyncIterator[SignerClient]:
    stop = asyncio.Event()
    process = asyncio.create_task(serve(config, Noon(), stop))
    try:
        while not config.socket_path.exists() and not process.done():
            await asyncio.sleep(0.01)
        yield SignerClient(config.socket_path)
    finally:
        stop.set()
        await process


def payment(number: int = 0) -> PayOrder:
    warrant = but(WARRANT, move_id=f"move-{number}")
    return pay_order(warrant, seal_warrant(warrant, APPROVAL_KEY))


def at_nonce(nonce: int) -> TxTerms:
    return replace(TERMS, nonce=nonce)


async def test_a_worker_has_its_orders_signed(config: SignerConfig) -> None:
    async with running(config) as client:
        assert await client.healthy()
        wallets = await client.addresses(1)
        paid = await client.sign(payment(), TERMS)
        swept = await client.sign(
            SweepOrder(
                org_id=1,
                move_ids=tuple(f"0198c5aa-0000-7000-8000-{n:012}" for n in range(250)),
                chain_id=42161,
                factory=wallets.factory,
                token=WARRANT.contract,
                salts=tuple(salt_of(number) for number in range(250)),
                to_hold=False,
            ),
            TERMS,
        )

    assert paid.sender == wallets.pool
    assert swept.sender == wallets.operator


async def test_a_refusal_arrives_with_its_reason(config: SignerConfig) -> None:
    async with running(config) as client:
        edited = replace(payment(), amount_units="3000000001")
        with pytest.raises(SignerRefused, match="nobody approved this") as refused:
            await client.sign(edited, TERMS)
        assert refused.value.code == Code.WARRANT

        await client.sign(payment(), TERMS)
        with pytest.raises(SignerRefused) as second:
            await client.sign(payment(), at_nonce(1))
        assert (second.value.code, second.value.nonce) == (Code.MOVE_SIGNED, 0)
        assert second.value.move_ids == ("move-0",)


async def test_the_same_bytes_come_back_after_a_restart(config: SignerConfig) -> None:
    async with running(config) as client:
        first = await client.sign(payment(), TERMS)
    async with running(config) as client:
        assert await client.sign(payment(), TERMS) == first
        with pytest.raises(SignerRefused, match="no second one"):
            await client.sign(payment(), at_nonce(1))


async def test_fifty_workers_ask_at_once(config: SignerConfig) -> None:
    async with running(config) as client:
        signed = await asyncio.gather(
            *(client.sign(payment(number), at_nonce(number)) for number in range(50))
        )
    assert len({one.tx_hash for one in signed}) == 50


async def test_of_fifty_moves_that_want_one_nonce_one_gets_it(config: SignerConfig) -> None:
    async with running(config) as client:
        outcomes = await asyncio.gather(
            *(client.sign(payment(number), TERMS) for number in range(50)), return_exceptions=True
        )
    assert sum(isinstance(outcome, Signed) for outcome in outcomes) == 1
    codes = {o.code for o in outcomes if isinstance(o, SignerRefused)}
    assert codes == {Code.NONCE_TAKEN}


async def test_fifty_workers_with_one_move_get_one_payment(config: SignerConfig) -> None:
    async with running(config) as client:
        outcomes = await asyncio.gather(
            *(client.sign(payment(), at_nonce(nonce)) for nonce in range(50)),
            return_exceptions=True,
        )
    assert sum(isinstance(outcome, Signed) for outcome in outcomes) == 1


async def test_fifty_payments_cannot_squeeze_past_the_cap(config: SignerConfig) -> None:
    tight = but(config, limits=but(config.limits, day_dollars=30_000))
    async with running(tight) as client:
        outcomes = await asyncio.gather(
            *(client.sign(payment(number), at_nonce(number)) for number in range(50)),
            return_exceptions=True,
        )
    assert sum(isinstance(outcome, Signed) for outcome in outcomes) == 10


# --- The door ---------------------------------------------------------------------------------


async def test_only_the_signers_own_user_can_come_in(config: SignerConfig) -> None:
    async with running(config):
        assert config.socket_path.stat().st_mode & 0o777 == 0o600
        assert config.socket_path.parent.stat().st_mode & 0o777 == 0o700
        assert config.memory_path.stat().st_mode & 0o777 == 0o600
    assert not config.socket_path.exists()


async def refused_start(config: SignerConfig, why: type[Exception], sentence: str) -> None:
    at_once = asyncio.Event()
    at_once.set()
    with pytest.raises(why, match=sentence):
        await serve(config, Noon(), at_once)
    assert not config.socket_path.is_socket()


async def test_a_folder_that_others_can_enter_stops_the_signer(config: SignerConfig) -> None:
    config.socket_path.parent.mkdir(mode=0o755)
    await refused_start(config, SignerStartRefused, "chmod 700")


async def test_an_empty_passphrase_stops_the_signer(config: SignerConfig) -> None:
    await refused_start(but(config, passphrase=""), SeedRefused, "empty or not set")


async def test_a_short_approval_key_stops_the_signer(config: SignerConfig) -> None:
    await refused_start(but(config, approval_key=b"short"), ValueError, "at least 32 bytes")


async def test_a_second_signer_on_the_same_memory_stops(config: SignerConfig) -> None:
    at_once = asyncio.Event()
    at_once.set()
    async with running(config) as client:
        with pytest.raises(MemoryBroken, match="another signer is using"):
            await serve(config, Noon(), at_once)
        assert await client.healthy()


async def test_a_damaged_memory_stops_the_signer(config: SignerConfig) -> None:
    async with running(config) as client:
        for number in range(2):
            await client.sign(payment(number), at_nonce(number))
    config.memory_path.write_bytes(config.memory_path.read_bytes().replace(b"move-0", b"move-9"))
    await refused_start(config, MemoryBroken, "line 1 of the signer's memory is damaged")


async def test_a_killed_signers_socket_is_replaced(config: SignerConfig) -> None:
    async with running(config):
        config.socket_path.with_name("old").hardlink_to(config.socket_path)
    config.socket_path.with_name("old").rename(config.socket_path)
    process = asyncio.create_task(serve(config, Noon(), stop := asyncio.Event()))
    client = SignerClient(config.socket_path)
    while not await client.healthy():
        await asyncio.sleep(0.01)
    stop.set()
    await process


async def test_a_file_in_the_sockets_place_is_not_deleted(config: SignerConfig) -> None:
    config.socket_path.parent.mkdir(mode=0o700)
    config.socket_path.write_text("letters")
    await refused_start(config, SignerStartRefused, "is no socket")
    assert config.socket_path.read_text() == "letters"


async def test_a_path_too_long_for_a_socket_is_named(config: SignerConfig) -> None:
    long = config.socket_path.with_name("s" * 100)
    await refused_start(but(config, socket_path=long), SignerStartRefused, "longer than 103 bytes")


# --- Strangers' bytes ---------------------------------------------------------------------------


async def exchanged(path: Path, sent: bytes) -> bytes:
    """Send bytes, hang up our half, and read all that comes."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(sent)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"nonsense",
        b"\xff\xfe",
        b'{"ask":"sign"}',
        b'{"ask":"sign_bytes","raw":"AA=="}',
        b'{"ask":"addresses","org_id":-1}',
        b'{"ask":"addresses","org_id":2147483648}',
        b'{"ask":"addresses","org_id":1.0}',
        b'{"ask":"addresses","org_id":1,"also":"the key"}',
        b'{"ask":"health"} trailing',
        b'{"ask":"sign","order":{"kind":"pay"},"terms":{}}',
    ],
)
async def test_what_is_no_question_is_refused_and_the_signer_lives(
    config: SignerConfig, body: bytes
) -> None:
    async with running(config) as client:
        answer = await exchanged(config.socket_path, len(body).to_bytes(4) + body)
        assert b'"code":"malformed"' in answer
        assert await client.healthy()


@pytest.mark.parametrize(
    "sent",
    [
        b"\0\0",
        bytes(4),
        (MAX_FRAME_BYTES + 1).to_bytes(4),
        b"\xff" * 4,
        (100).to_bytes(4) + b"half",
    ],
)
async def test_a_broken_frame_is_answered_and_ends_the_visit(
    config: SignerConfig, sent: bytes
) -> None:
    async with running(config) as client:
        assert b'"code":"malformed"' in await exchanged(config.socket_path, sent)
        assert await client.healthy()


async def test_several_questions_fit_one_visit(config: SignerConfig) -> None:
    ask = b'{"ask":"health"}'
    async with running(config):
        answer = await exchanged(config.socket_path, (len(ask).to_bytes(4) + ask) * 3)
    assert answer == frame(AnswerHealth(ok=True)) * 3


async def test_a_visitor_who_says_nothing_more_does_not_hold_up_the_end(
    config: SignerConfig,
) -> None:
    async with running(config):
        reader, writer = await asyncio.open_unix_connection(config.socket_path)
        writer.write(b"\0\0\0\x10" + b'{"ask":"health"}')
        assert await read_frame(reader)
    assert await reader.read() == b""
    writer.close()


# --- A signer that cannot be trusted or found ---------------------------------------------------


@asynccontextmanager
async def impostor(
    path: Path, answer: Callable[[bytes], Awaitable[bytes]]
) -> AsyncIterator[SignerClient]:
    """Something at the signer's socket that answers as it likes."""

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await read_frame(reader)
        writer.write(await answer(asked or b""))
        writer.close()

    server = await asyncio.start_unix_server(attend, path)
    yield SignerClient(path, timeout_seconds=0.2)
    server.close()
    await server.wait_closed()


async def test_a_signature_over_something_else_is_not_taken(
    config: SignerConfig, tmp_path: Path
) -> None:
    async with running(config) as honest:
        wallets = await honest.addresses(1)
        right = await honest.sign(payment(0), at_nonce(0))
        wrong = await honest.sign(payment(1), at_nonce(1))

        async def swaps(asked: bytes) -> bytes:
            if b'"addresses"' in asked:
                return await exchanged(config.socket_path, len(asked).to_bytes(4) + asked)
            return frame(AnswerSigned(answers.pop()))

        answers = [
            replace(right, sender=wallets.gas),
            replace(right, tx_hash=wrong.tx_hash),
            replace(right, raw=wrong.raw),
            wrong,
        ]
        async with impostor(tmp_path / "impostor", swaps) as client:
            while answers:
                with pytest.raises(SignerUnreachable):
                    await client.sign(payment(0), at_nonce(0))
            answers = [right]
            assert await client.sign(payment(0), at_nonce(0)) == right


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0\0\0\x05hello",
        b"\0\0\1\0half",
        (MAX_FRAME_BYTES + 1).to_bytes(4),
        frame(AnswerHealth(ok=True)),
    ],
    ids=["nothing", "nonsense", "half", "flood", "another answer"],
)
async def test_no_usable_answer_is_no_answer(tmp_path: Path, answer: bytes) -> None:
    async def gives(_asked: bytes) -> bytes:
        return answer

    async with impostor(tmp_path / "impostor", gives) as client:
        with pytest.raises(SignerUnreachable):
            await client.addresses(1)


async def test_a_signer_that_hangs_is_given_up(tmp_path: Path) -> None:
    given_up, gone = asyncio.Event(), asyncio.Event()

    async def hangs(_asked: bytes) -> bytes:
        await given_up.wait()
        gone.set()
        return b""

    async with impostor(tmp_path / "impostor", hangs) as client:
        with pytest.raises(SignerUnreachable, match=r"no answer in 0\.2 seconds"):
            await client.addresses(1)
        given_up.set()
        await gone.wait()


async def test_an_unhealthy_signer_says_so(tmp_path: Path) -> None:
    async def ill(_asked: bytes) -> bytes:
        return frame(AnswerHealth(ok=False))

    async with impostor(tmp_path / "impostor", ill) as client:
        assert not await client.healthy()


async def test_a_signer_that_is_not_there(tmp_path: Path) -> None:
    client = SignerClient(tmp_path / "nobody")
    assert not await client.healthy()
    with pytest.raises(SignerUnreachable, match="cannot be asked"):
        await client.sign(payment(), TERMS)


# --- Silence ------------------------------------------------------------------------------------


def secrets_of(seed_path: Path) -> list[str]:
    phrase = pyrage.passphrase.decrypt(seed_path.read_bytes(), PASSPHRASE).decode().strip()
    keys = open_seed_file(seed_path, PASSPHRASE)
    seed: bytes = keys._seed  # noqa: SLF001 - to look for it everywhere else
    private = [keys._account(1, role).key.hex() for role in ("pool", "operator")]  # noqa: SLF001
    return [phrase, seed.hex(), repr(seed), PASSPHRASE, APPROVAL_KEY.hex(), *private]


async def test_no_secret_is_in_a_log_a_repr_or_an_answer(
    config: SignerConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Keyring, *_: object) -> bytes:
        raise RuntimeError(self._seed.hex(), repr(self._seed))

    said: list[str] = [repr(config)]
    with capture_logs() as logs:
        async with running(config) as client:
            said.append(repr(await client.sign(payment(), TERMS)))
            with pytest.raises(SignerRefused) as refused:
                await client.sign(payment(), at_nonce(1))
            said.append(str(refused.value))
            monkeypatch.setattr(Keyring, "sign", fails)
            with pytest.raises(SignerRefused, match="the signer failed") as broken:
                await client.sign(payment(1), at_nonce(1))
            said.append(str(broken.value))
    said += [repr(line) for line in logs]
    said.append(config.memory_path.read_text())

    events = {line["event"] for line in logs}
    assert {"signer.signed", "signer.refused", "signer.failed", "signer.stopped"} <= events
    for secret in secrets_of(config.seed_path):
        assert not any(secret in text for text in said)


# --- The process --------------------------------------------------------------------------------

PROGRAM = """
import asyncio, sys
from pathlib import Path
from counterfoil.clock import SystemClock
from counterfoil.signer.service import SignerConfig, serve
socket, seed, memory = map(Path, sys.argv[1:])
config = SignerConfig(socket, seed, memory, sys.stdin.readline().rstrip(), bytes(range(32)))
asyncio.run(serve(config, SystemClock()))
"""


async def test_a_real_process_stops_on_sigterm_and_survives_a_kill(config: SignerConfig) -> None:
    paths = [config.socket_path, config.seed_path, config.memory_path]
    client = SignerClient(config.socket_path)
    warrant = but(WARRANT, approved_at=datetime.now(UTC))
    order = pay_order(warrant, seal_warrant(warrant, APPROVAL_KEY))
    signed = []
    for end in (signal.SIGKILL, signal.SIGTERM):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, *paths, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        assert process.stdin
        process.stdin.write(PASSPHRASE.encode() + b"\n")
        await process.stdin.drain()
        while not await client.healthy():
            assert process.returncode is None
            await asyncio.sleep(0.05)
        signed.append(await client.sign(order, TERMS))
        os.kill(process.pid, end)
        assert await process.wait() == (0 if end == signal.SIGTERM else -end)
    assert signed[0] == signed[1]
    assert not config.socket_path.exists()


def test_the_client_never_loads_what_signs() -> None:
    program = "import sys, counterfoil.signer.client; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"eth_account", "pyrage", "counterfoil.signer.keys"} & set(loaded)
