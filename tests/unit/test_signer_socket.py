"""Strangers at either end of the signer's socket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from counterfoil.signer.client import SignerClient, SignerUnreachable
from counterfoil.signer.service import SignerConfig
from counterfoil.signer.wire import MAX_FRAME_BYTES, AnswerHealth, AnswerSigned, frame, read_frame
from support.patience import patiently
from support.signer_process import TERMS, at_nonce, payment, running

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
    async with patiently("the end of the impostor"):
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
        async with patiently("the impostor's turn"):
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
