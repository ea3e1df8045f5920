"""The signer's process: a real socket, a real sealed seed, and those who come to ask."""

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace as but
from datetime import UTC, datetime
from pathlib import Path

import pyrage  # type: ignore[import-untyped]  # it carries no types
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from counterfoil.chains.evm.addresses import salt_of
from counterfoil.core.warrant import seal_warrant
from counterfoil.signer.client import SignerClient, SignerRefused
from counterfoil.signer.keys import Keyring, open_seed_file
from counterfoil.signer.orders import Signed, SweepOrder, pay_order
from counterfoil.signer.refusals import MemoryBroken, SeedRefused, SignerStartRefused
from counterfoil.signer.service import SignerConfig, serve
from counterfoil.signer.wire import Code
from support.patience import patiently
from support.signer_process import (
    APPROVAL_KEY,
    PASSPHRASE,
    TERMS,
    WARRANT,
    Noon,
    at_nonce,
    cheaply_sealed,
    payment,
    running,
)


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
    await refused_start(config, MemoryBroken, "line 2 of the signer's memory is damaged")


async def test_a_lost_memory_stops_the_signer(config: SignerConfig) -> None:
    async with running(config) as client:
        await client.sign(payment(), TERMS)
    config.memory_path.unlink()
    await refused_start(config, MemoryBroken, "No such file .* could be signed twice")
    assert not config.memory_path.exists()


async def test_a_memory_of_another_seed_stops_the_signer(
    config: SignerConfig, tmp_path: Path
) -> None:
    other = tmp_path / "other.age"
    other.write_bytes(cheaply_sealed(b"abandon " * 23 + b"art"))
    await refused_start(but(config, seed_path=other), MemoryBroken, "not of this seed")


async def test_a_full_day_arrives_with_the_instant_to_ask_again(config: SignerConfig) -> None:
    tight = but(config, limits=but(config.limits, day_dollars=3_000))
    async with running(tight) as client:
        await client.sign(payment(), TERMS)
        with pytest.raises(SignerRefused) as refused:
            await client.sign(payment(1), at_nonce(1))
        assert refused.value.code == Code.DAY_CAP
        assert refused.value.retry_at == datetime(2026, 3, 3, tzinfo=UTC)
        with pytest.raises(SignerRefused) as dear:
            await client.sign(payment(), replace(TERMS, max_fee_wei=10**12))
        assert (dear.value.code, dear.value.retry_at) == (Code.FEE, None)


async def test_a_killed_signers_socket_is_replaced(config: SignerConfig) -> None:
    async with running(config):
        config.socket_path.with_name("old").hardlink_to(config.socket_path)
    config.socket_path.with_name("old").rename(config.socket_path)
    process = asyncio.create_task(serve(config, Noon(), stop := asyncio.Event()))
    client = SignerClient(config.socket_path)
    async with patiently("a signer that answers"):
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


# --- Silence ------------------------------------------------------------------------------------


def secrets_of(seed_path: Path) -> list[str]:
    phrase = pyrage.passphrase.decrypt(seed_path.read_bytes(), PASSPHRASE).decode().strip()
    keys = open_seed_file(seed_path, PASSPHRASE)
    seed: bytes = keys._seed  # noqa: SLF001 - to look for it everywhere else
    private = [keys._account(1, role).key.hex() for role in ("pool", "operator")]  # noqa: SLF001 - as the seed
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
        async with patiently("a signer that answers"):
            while not await client.healthy():
                assert process.returncode is None
                await asyncio.sleep(0.05)
        signed.append(await client.sign(order, TERMS))
        os.kill(process.pid, end)
        async with patiently("the signer's end"):
            assert await process.wait() == (0 if end == signal.SIGTERM else -end)
    assert signed[0] == signed[1]
    assert not config.socket_path.exists()


async def test_within_another_process_signals_stay_that_process_s_own(config: SignerConfig) -> None:
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, asked.set)
    try:
        async with running(config) as client:
            os.kill(os.getpid(), signal.SIGTERM)
            async with patiently("the process being asked to end"):
                await asked.wait()
            assert await client.healthy(), "it is for the process to end it"
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL, "nor afterwards"
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def test_the_client_never_loads_what_signs() -> None:
    program = "import sys, counterfoil.signer.client; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    assert not {"eth_account", "pyrage", "counterfoil.signer.keys"} & set(loaded)
