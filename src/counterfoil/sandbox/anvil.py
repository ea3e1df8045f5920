"""Local EVM nodes: anvil processes, and the powers over a chain that only anvil grants.

Measured behaviour of anvil 1.7.1 is in specs/chains.md 1.3.
"""

import asyncio
import os
import platform
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
from yarl import URL

from counterfoil.supervisor import end_with_parent

MNEMONIC: Final = "test test test test test test test test test test test junk"
"""anvil's own default; its accounts are known to the whole world."""

BINARY_SETTING: Final = "COUNTERFOIL_ANVIL"
_MACHINES: Final = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_START_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 20.0


class SandboxError(Exception):
    """A local node could not be found, started, or told what to do."""


def find_anvil(environ: Mapping[str, str] = os.environ) -> Path:
    """Find the anvil program: `BINARY_SETTING`, else the npm package above this checkout.

    npm's wrapper script is passed by: the program in the platform package needs no Node.
    """
    if chosen := environ.get(BINARY_SETTING):
        return _existing(Path(chosen), f"{BINARY_SETTING} names {chosen}, which does not exist")
    machine = _MACHINES.get(platform.machine().lower(), platform.machine())
    package = f"anvil-{platform.system().lower()}-{machine}"
    inside = Path("node_modules", "@foundry-rs", package, "bin", "anvil")
    for folder in (Path.cwd(), *Path(__file__).resolve().parents):
        if (folder / inside).is_file():
            return folder / inside
    msg = f"anvil was not found: run npm ci --ignore-scripts, or set {BINARY_SETTING} to its path"
    raise SandboxError(msg)


@dataclass(frozen=True, slots=True)
class AnvilSettings:
    """How to start a node.

    ``port`` 0 takes a free one. Without ``block_seconds`` every transaction is mined at
    once. The head is ``slots_in_an_epoch`` blocks past safe and twice as many past
    finalized. With ``state_path`` blocks, receipts and the newest state survive a restart.
    ``genesis_at`` is the time of the first block; left out, it is now.
    """

    chain_id: int
    port: int = 0
    block_seconds: float | None = None
    slots_in_an_epoch: int = 4
    state_path: Path | None = None
    state_interval_seconds: int = 5
    genesis_at: datetime | None = None
    mnemonic: str = MNEMONIC

    def arguments(self, port: int) -> list[str]:
        """Write the settings as anvil's command line."""
        command = [
            *("--quiet", "--host", "127.0.0.1", "--port", str(port)),
            *("--chain-id", str(self.chain_id), "--mnemonic", self.mnemonic),
            *("--slots-in-an-epoch", str(self.slots_in_an_epoch)),
        ]
        if self.block_seconds is not None:
            command += ["--block-time", str(self.block_seconds), "--mixed-mining"]
        if self.state_path is not None:
            command += ["--state", str(self.state_path)]
            command += ["--state-interval", str(self.state_interval_seconds)]
        if self.genesis_at is not None:
            command += ["--timestamp", str(int(self.genesis_at.timestamp()))]
        # A state weighs 100 kB and more, and a demo may run for days.
        return [*command, "--max-persisted-states", "512"]


class AnvilNode:
    """The powers over a running node, wherever it was started.

    Every method raises `SandboxError` with the node's own words when it refuses.
    """

    def __init__(self, url: str) -> None:
        """Speak to the node at ``url``; nothing is opened before the first call."""
        self.url = url
        self._ids = count(1)
        self._session: aiohttp.ClientSession | None = None

    async def rpc(self, method: str, *params: object) -> Any:  # noqa: ANN401 - any JSON value
        """Call any JSON-RPC method and return its result."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))
        call = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        async with self._session.post(
            self.url,
            data=msgspec.json.encode(call),
            headers={"Content-Type": "application/json"},
        ) as response:
            answer = msgspec.json.decode(await response.read())
        if "result" not in answer:
            msg = f"{method}: {answer.get('error', {}).get('message') or answer}"
            raise SandboxError(msg)
        return answer["result"]

    @property
    def heads_url(self) -> str:
        """Where the node tells of new blocks, by WebSocket."""
        return str(URL(self.url).with_scheme("ws"))

    async def height(self) -> int:
        """Return the number of the newest block."""
        return int(await self.rpc("eth_blockNumber"), 16)

    async def mine(self, blocks: int = 1) -> None:
        """Mine this many blocks now."""
        await self.rpc("anvil_mine", hex(blocks))

    async def automine(self, *, on: bool) -> None:
        """Mine every transaction at once, or leave them in the pool until `mine`."""
        await self.rpc("evm_setAutomine", on)

    async def next_block_at(self, at: datetime) -> None:
        """Give the next block this time, which must be after the newest block's."""
        await self.rpc("evm_setNextBlockTimestamp", int(at.timestamp()))

    async def reorg(self, depth: int, again: Sequence[tuple[bytes, int]] = ()) -> None:
        """Replace the newest ``depth`` blocks by as many new ones.

        ``again`` lists signed transactions to include, each with its offset from the first
        replaced block: the same bytes may come back at another height.
        """
        await self.rpc("anvil_reorg", depth, [["0x" + raw.hex(), place] for raw, place in again])

    async def rollback(self, depth: int) -> None:
        """Drop the newest ``depth`` blocks and put nothing in their place."""
        await self.rpc("anvil_rollback", depth)

    async def drop(self, tx_hash: str) -> None:
        """Forget a pending transaction."""
        await self.rpc("anvil_dropTransaction", tx_hash)

    async def forget(self, sender: str) -> None:
        """Forget all pending transactions of a sender, those that wait for others among them."""
        await self.rpc("anvil_removePoolTransactions", sender)

    async def set_balance(self, address: str, wei: int) -> None:
        """Set an account's native coin."""
        await self.rpc("anvil_setBalance", address, hex(wei))

    async def set_code(self, address: str, code: str) -> None:
        """Put runtime code (hex) at an address."""
        await self.rpc("anvil_setCode", address, code)

    async def set_storage(self, address: str, slot: int, word: bytes) -> None:
        """Write one word of a contract's storage."""
        place = "0x" + slot.to_bytes(32, "big").hex()
        await self.rpc("anvil_setStorageAt", address, place, "0x" + word.hex())

    async def storage(self, address: str, slot: int) -> int:
        """Read one word of a contract's storage."""
        return int(await self.rpc("eth_getStorageAt", address, hex(slot), "latest"), 16)

    async def impersonate(self, address: str) -> None:
        """Let the node send as ``address`` without a signature."""
        await self.rpc("anvil_impersonateAccount", address)

    async def close(self) -> None:
        """Close the connection; the node runs on."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


class Anvil(AnvilNode):
    """A node of our own: started here, stopped here, by its own process id."""

    def __init__(self, settings: AnvilSettings, process: Process, port: int) -> None:
        """Take over a process that `start` has made."""
        super().__init__(f"http://127.0.0.1:{port}")
        self.settings = settings
        self.port = port
        self._process = process

    @classmethod
    async def start(cls, settings: AnvilSettings, binary: Path | None = None) -> "Anvil":
        """Start a node and wait until it answers; `SandboxError` if it does not."""
        port = settings.port or _free_port()
        if settings.state_path is not None:
            settings.state_path.parent.mkdir(parents=True, exist_ok=True)
        # A session of its own: Ctrl-C in a terminal must reach us and not the node, which
        # has to outlive the workers that are still talking to it.
        process = await asyncio.create_subprocess_exec(
            binary or find_anvil(),
            *settings.arguments(port),
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
        node = cls(settings, process, port)
        try:
            await asyncio.wait_for(node._answering(), _START_SECONDS)
            await node._regain_finality()
        except BaseException:
            await node.stop()
            raise
        return node

    @property
    def pid(self) -> int:
        """The process id of the node."""
        return self._process.pid

    async def stop(self) -> None:
        """Stop the node, letting it write its state first."""
        await self.close()
        if self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
            except TimeoutError:
                self._process.kill()
        await self._process.wait()

    async def _regain_finality(self) -> None:
        # After a restart anvil knows no state older than the newest, so that balances at the
        # finalized block could not be read. (Its --preserve-historical-states writes every
        # state in full: 186 MB after 1,300 blocks.)
        if self.settings.state_path is not None and await self.height() > 0:
            await self.mine(2 * self.settings.slots_in_an_epoch)

    async def _answering(self) -> None:
        while True:
            if self._process.returncode is not None:
                code = self._process.returncode
                msg = f"anvil ended at once with code {code}; is port {self.port} in use?"
                raise SandboxError(msg)
            try:
                chain_id = int(await self.rpc("eth_chainId"), 16)
            except aiohttp.ClientError:
                await asyncio.sleep(0.01)
                continue
            if chain_id != self.settings.chain_id:
                msg = f"port {self.port} belongs to a node of chain {chain_id}"
                raise SandboxError(msg)
            return


def _existing(path: Path, otherwise: str) -> Path:
    if not path.is_file():
        raise SandboxError(otherwise)
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
