"""Time that has passed: chains, workers and a signer on a clock of their own, which only jumps.

The sandbox lives through months in it before its processes start, so that people find an
organisation with a history. Everything is done the way the processes do it.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from importlib.resources import files
from io import BytesIO
from typing import Final
from uuid import UUID

import msgspec

from counterfoil.chains.evm.addresses import parse_evm_address
from counterfoil.chains.evm.chain import EvmChain
from counterfoil.chains.evm.transactions import transfer_calldata
from counterfoil.clock import SystemClock, TimeSortedIds
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Conflict
from counterfoil.core.money import Asset
from counterfoil.db.pool import Database
from counterfoil.desk import moving
from counterfoil.desk.desk import Desk
from counterfoil.desk.provisioning import Stock
from counterfoil.providers.rates.port import RawRate
from counterfoil.providers.screening.lists import read_csv
from counterfoil.providers.screening.simulated import SimulatedScreener
from counterfoil.sandbox.anvil import Anvil, AnvilSettings, SandboxError
from counterfoil.sandbox.customer import included
from counterfoil.sandbox.places import Places
from counterfoil.sandbox.tokens import install_tokens, mint
from counterfoil.signer.client import SignerClient
from counterfoil.signer.memory import memory_beside
from counterfoil.signer.service import SignerConfig, create_signer_files, serve
from counterfoil.worker import CALLBACK_FORMS, TELLS
from counterfoil.workers.examine import Examiner
from counterfoil.workers.expire import Expirer
from counterfoil.workers.fuel import FuelWorker
from counterfoil.workers.lists import import_list
from counterfoil.workers.move import MoveWorker
from counterfoil.workers.notify import Limits, Notifier
from counterfoil.workers.outward import callback_session
from counterfoil.workers.price import Pricer
from counterfoil.workers.provision import ProvisionWorker
from counterfoil.workers.screen import Screener
from counterfoil.workers.watch import ChainWatcher, WatchedAddresses

_ETHER: Final = 10**18
_PURSE_UNITS: Final = 1_000_000 * 10**6
_FIRST_BLOCKS: Final = 5
_BLOCKS_A_ROUND: Final = 3
"""Enough to make what came before them final."""
_MOST_ROUNDS: Final = 20
_SWING_DAYS: Final = 40
_TIME_BITS: Final = 80
_POLL_SECONDS: Final = 0.02
_DAY_SECONDS: Final = 86_400
_LIST_CODE: Final = "OFAC_SDN"


class TravelClock:
    """Runs as time does, and jumps ahead when it is told to."""

    def __init__(self, at: datetime) -> None:
        """Begin at ``at``."""
        self._real = SystemClock()
        self._at = at
        self._since = self._real.monotonic()

    def now(self) -> datetime:
        """The time it is there."""
        return self._at + timedelta(seconds=self._real.monotonic() - self._since)

    def monotonic(self) -> float:
        """Real seconds: machines are waited for as long as ever."""
        return self._real.monotonic()

    def jump(self, to: datetime) -> None:
        """Go on from ``to``, or from now when that is past already."""
        self._at = max(to, self.now())
        self._since = self._real.monotonic()

    def forward(self, minutes: float) -> None:
        """Let minutes pass."""
        self.jump(self.now() + timedelta(minutes=minutes))


@dataclass(frozen=True, slots=True)
class PastIds:
    """Ids that carry the time of a clock that may be far behind."""

    clock: TravelClock

    def new(self) -> UUID:
        """A fresh id."""
        milliseconds = int(self.clock.now().timestamp() * 1_000)
        random = TimeSortedIds().new().int & ((1 << _TIME_BITS) - 1)
        return UUID(int=milliseconds << _TIME_BITS | random)


class SwingingRates:
    """The sandbox's rates, up to two per cent higher or lower from one week to the next."""

    code = "static"

    def __init__(self, clock: TravelClock) -> None:
        """Read what the sandbox's rates are today."""
        self._clock = clock
        content = (files("counterfoil.sandbox") / "rates.json").read_bytes()
        self._rates: dict[str, str] = msgspec.json.decode(content)["rates"]

    async def quote(self, base: str, quote: str) -> RawRate:
        """The rate of the day."""
        now = self._clock.now()
        text = self._rates[f"{base}/{quote}"]
        place = now.toordinal() % _SWING_DAYS
        swing = Decimal(abs(place - _SWING_DAYS // 2) - _SWING_DAYS // 4) / 500
        value = Decimal(text)
        if quote == "TWD" or base == "ETH":
            value = (value * (1 + swing)).quantize(value)
        return RawRate(base, quote, value, "static:sandbox", now, {"value": str(value)})


@dataclass(slots=True)
class Past:
    """The sandbox as it was: its desk, chains and workers, and payers who need no key."""

    clock: TravelClock
    desk: Desk
    nodes: Mapping[str, Anvil]
    chains: Mapping[str, EvmChain]
    signer: SignerClient
    notifier: Notifier
    _watchers: Mapping[str, ChainWatcher]
    _screener: Screener
    _mover: MoveWorker
    _fueler: FuelWorker
    _provisioner: ProvisionWorker
    _expirer: Expirer
    _pricer: Pricer
    _signing: asyncio.Task[None]

    async def open_day(self) -> None:
        """Have the rates and the sanctions list of the day ready."""
        await self._pricer.step()
        await refresh_list(self.desk)

    async def provide(self) -> None:
        """Address stock, wallets, gas and factories for every organisation there is."""
        for _ in range(3):
            await self._provisioner.step()
            await self._fueler.step()
            await self.settle()

    async def fund_payer(self, address: str) -> None:
        """Let an address pay on every chain."""
        for key, node in self.nodes.items():
            await node.impersonate(address)
            await node.set_balance(address, 10 * _ETHER)
            for token in CHAINS[key].accepted:
                await mint(node, token, address, _PURSE_UNITS)

    async def pay(self, payer: str, asset: Asset, to: str, units: int) -> None:
        """Have a payer transfer tokens, which takes a few minutes. Raises `SandboxError`."""
        node = self.nodes[asset.chain]
        self.clock.forward(3)
        await node.next_block_at(self.clock.now())
        data = "0x" + transfer_calldata(to, units).hex()
        asked = {"from": payer, "to": asset.contract, "data": data, "gas": hex(200_000)}
        tx_hash = await node.rpc("eth_sendTransaction", asked)
        await included(node, tx_hash)

    async def settle(self) -> None:
        """Let blocks come and the workers work until nothing is left to do."""
        going: Collection[str] = tuple(self.nodes)
        for _ in range(_MOST_ROUNDS):
            if self._signing.done():
                message = "interrupted while months went by; the next start begins anew"
                raise SandboxError(message)
            self.clock.forward(1)
            await asyncio.gather(*(self._mine(self.nodes[key]) for key in going))
            await asyncio.gather(*(self._watch(self._watchers[key]) for key in going))
            busy = bool(await self._screener.step())
            busy |= await self._mover.step()
            busy |= await self._mover.step()
            if not busy:
                break
            going = await moving.chains_at_work(self.desk)

    async def close_day(self) -> None:
        """Do what happens by the hour: deadlines, gas, callbacks."""
        while await self._expirer.step():
            pass
        await self._fueler.step()
        await self._provisioner.step()
        while await self.notifier.step():
            await self.notifier.settle()

    async def meet_present(self) -> None:
        """Come to this very moment; then the processes may take over."""
        self.clock.jump(SystemClock().now())
        await self.settle()
        await self.close_day()
        await asyncio.gather(*(watcher.stop() for watcher in self._watchers.values()))

    async def _mine(self, node: Anvil) -> None:
        await node.next_block_at(self.clock.now())
        await node.mine(_BLOCKS_A_ROUND)

    @staticmethod
    async def _watch(watcher: ChainWatcher) -> None:
        while await watcher.step():
            pass


async def refresh_list(desk: Desk) -> None:
    """Bring the sandbox's own list into force, so that screening is neither empty nor stale."""
    content = (files("counterfoil.sandbox") / "sanctions.csv").read_bytes()
    with suppress(Conflict):
        await import_list(desk, read_csv(BytesIO(content), _LIST_CODE), "sandbox")


@asynccontextmanager
async def opened_past(places: Places, url: str, began_at: datetime) -> AsyncIterator[Past]:
    """The sandbox of ``places`` with its clock at ``began_at``; its chains end with the block.

    What the chains went through is kept in their state files. Raises `SandboxError`.
    """
    clock = TravelClock(began_at)
    async with AsyncExitStack() as stack:
        nodes = {key: await _node(places, key, began_at, stack) for key in CHAINS}
        chains = {}
        for key, node in nodes.items():
            chains[key] = EvmChain.over(CHAINS[key], [node.url], clock)
            stack.push_async_callback(chains[key].close)
        database = Database(url, name="counterfoil-past", max_connections=4)
        await database.open()
        stack.push_async_callback(database.close)
        approval = _secret(places, "approval").encode()
        desk = Desk(
            database=database,
            clock=clock,
            ids=PastIds(clock),
            addresses={"evm": parse_evm_address},
            approval_key=approval,
            tells=TELLS,
            rate_max_age_seconds=_DAY_SECONDS,
        )
        signer, signing = await _signer(places, clock, approval, stack)
        session = await stack.enter_async_context(callback_session(allow_private=True))
        notifier = Notifier(
            desk,
            CALLBACK_FORMS,
            session,
            _secret(places, "secret").encode(),
            allow_private=True,
            limits=Limits(gathering_seconds=0),
        )
        stack.push_async_callback(notifier.close)
        watched = WatchedAddresses(desk, "evm")
        past = Past(
            clock=clock,
            desk=desk,
            nodes=nodes,
            chains=chains,
            signer=signer,
            notifier=notifier,
            _watchers={key: ChainWatcher(desk, chain, watched) for key, chain in chains.items()},
            _screener=Screener(desk, Examiner(desk, [SimulatedScreener(clock)])),
            _mover=MoveWorker(desk, chains, signer),
            _fueler=FuelWorker(desk, chains),
            _provisioner=ProvisionWorker(desk, chains, signer, Stock(low_water=20, target=250)),
            _expirer=Expirer(desk, chains.keys()),
            _pricer=Pricer(desk, [SwingingRates(clock)]),
            _signing=signing,
        )
        await past.settle()
        yield past


async def _node(places: Places, key: str, began_at: datetime, stack: AsyncExitStack) -> Anvil:
    node = await Anvil.start(
        AnvilSettings(
            chain_id=CHAINS[key].chain_id,
            slots_in_an_epoch=1,
            state_path=places.chain_state(key),
            genesis_at=began_at,
        )
    )
    stack.push_async_callback(node.stop)
    await install_tokens(node, CHAINS[key])
    await node.mine(_FIRST_BLOCKS)
    return node


async def _signer(
    places: Places, clock: TravelClock, approval: bytes, stack: AsyncExitStack
) -> tuple[SignerClient, asyncio.Task[None]]:
    """A signer behind its socket, in this process: the only one that may know another time."""
    passphrase = _secret(places, "seed_passphrase")
    places.seed.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    await asyncio.to_thread(create_signer_files, places.seed, passphrase, clock.now())
    config = SignerConfig(
        socket_path=places.socket,
        seed_path=places.seed,
        memory_path=memory_beside(places.seed),
        passphrase=passphrase,
        approval_key=approval,
    )
    stop = asyncio.Event()
    signing = asyncio.create_task(serve(config, clock, stop))

    async def end() -> None:
        stop.set()
        await signing

    stack.push_async_callback(end)
    client = SignerClient(places.socket)
    while not (signing.done() or await client.healthy()):  # noqa: ASYNC110 - it tells by answering
        await asyncio.sleep(_POLL_SECONDS)
    return client, signing


def _secret(places: Places, name: str) -> str:
    return places.secret(name).read_text(encoding="utf-8").strip()
