"""Receivers that break HTTP itself: each costs one attempt, a bounded time and bounded bytes."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import psutil
import pytest

from counterfoil.db.pool import Database
from counterfoil.workers.notify import Limits
from support.bench import Bench, opened, work
from support.ruin import Behave, Ruin, asked

PIECE: Final = b"x" * 65_536
FIVE_GIGABYTES: Final = 5 * 2**30
BUFFERED_BYTES: Final = 32 * 2**20
"""More than the sockets of both sides hold, and a small part of what is offered."""

IMPATIENT: Final = Limits(timeout_seconds=0.4)


@pytest.fixture
async def bench(database: Database) -> AsyncIterator[Bench]:
    async with opened(database) as bench:
        yield bench


def says(*pieces: bytes) -> Behave:
    """Answer every request with these bytes, and hang up."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        for piece in pieces:
            writer.write(piece)
        await writer.drain()

    return behave


def trickles(start: bytes, drop: bytes) -> Behave:
    """Begin an answer and go on with it a little at a time, without end."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asked(reader)
        writer.write(start)
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(0.02)

    return behave


async def hangs_up(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Close without having read anything."""


async def hangs_up_after_reading(
    reader: asyncio.StreamReader, _writer: asyncio.StreamWriter
) -> None:
    await asked(reader)


NO_HTTP: Final = "no proper HTTP answer"
NO_TIME: Final = "no answer within 0.4 s"

RUINS: Final[dict[str, tuple[Behave, str]]] = {
    "closes at once": (hangs_up, NO_HTTP),
    "closes instead of answering": (hangs_up_after_reading, NO_HTTP),
    "closes in the middle of the headers": (says(b"HTTP/1.1 200 OK\r\nContent-Le"), NO_HTTP),
    "is no HTTP server": (says(b"SSH-2.0-OpenSSH_9.9\r\n"), NO_HTTP),
    "sends a status that is none": (says(b"HTTP/1.1 two hundred\r\n\r\n"), NO_HTTP),
    "sends a header of a megabyte": (
        says(b"HTTP/1.1 200 OK\r\nX-Big: ", b"x" * 2**20, b"\r\n\r\n"),
        NO_HTTP,
    ),
    "trickles its status line": (trickles(b"HTTP/1.1 ", b" "), NO_HTTP + "|" + NO_TIME),
    "trickles headers": (trickles(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"), NO_TIME),
    "says continue for ever": (
        trickles(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        NO_HTTP + "|" + NO_TIME,
    ),
}


@pytest.mark.parametrize("name", RUINS)
async def test_whatever_breaks_http_is_one_failed_attempt_and_tried_again(
    bench: Bench, name: str
) -> None:
    behave, words = RUINS[name]
    bill, good = await bench.bill(), await bench.inbox()
    async with Ruin(behave).open() as ruin:
        await bench.office.tells(ruin.url, invoice_id=bill.invoice_id)
        await bench.office.tells(good.url)
        await work(await bench.notifier(limits=IMPATIENT))

        assert ruin.connections == 1
    (told,) = await bench.log(bill)
    assert [a.error for a in told.attempts if a.error in words.split("|")] != []
    assert [a.status_code for a in told.attempts] == [None]
    assert (told.event.status, told.event.attempts) == ("pending", 1)
    assert len(good.received) == 1, "the good one heard its own meanwhile"


async def test_a_body_that_trickles_holds_nobody_up_as_nobody_reads_it(bench: Bench) -> None:
    bill = await bench.bill()
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
    async with Ruin(trickles(start, b"x")).open() as ruin:
        await bench.office.tells(ruin.url, invoice_id=bill.invoice_id)
        await work(await bench.notifier(limits=IMPATIENT))

    assert (await bench.log(bill))[0].event.status == "delivered"


@pytest.mark.parametrize(
    ("start", "ends"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % FIVE_GIGABYTES, "delivered"),
        (b"HTTP/1.1 500 Sorry\r\nContent-Length: %d\r\n\r\n" % FIVE_GIGABYTES, "pending"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", "delivered"),
        (b"HTTP/1.1 200 OK\r\nX-Without-End: ", "pending"),
    ],
    ids=["body", "body of an error", "body that would unpack", "header"],
)
async def test_five_gigabytes_are_neither_read_nor_kept(
    bench: Bench, start: bytes, ends: str
) -> None:
    sent = 0

    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await asked(reader)
        writer.write(start)
        while sent < FIVE_GIGABYTES:
            writer.write(PIECE)
            await writer.drain()
            sent += len(PIECE)

    bill, process = await bench.bill(), psutil.Process()
    async with Ruin(floods).open() as ruin:
        await bench.office.tells(ruin.url, invoice_id=bill.invoice_id)
        notifier = await bench.notifier(limits=Limits(timeout_seconds=2))
        before = process.memory_info().rss
        await work(notifier)
        assert process.memory_info().rss - before < 2 * BUFFERED_BYTES

    assert sent < BUFFERED_BYTES
    assert (await bench.log(bill))[0].event.status == ends


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    bench: Bench, tmp_path: Path
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1"
    await asyncio.to_thread(
        subprocess.run,
        [*command.split(), "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    bill = await bench.bill()
    async with Ruin(says(b"HTTP/1.1 200 OK\r\n\r\n")).open(tls) as ruin:
        await bench.office.tells(ruin.url, invoice_id=bill.invoice_id)
        await work(await bench.notifier())

    (told,) = await bench.log(bill)
    assert "no secure connection" in str(told.attempts[0].error)
