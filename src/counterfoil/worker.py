"""The work process: every worker, bound to the chains, providers and signer it works with."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, Final

import aiohttp
import structlog

from counterfoil.api.kryptogo.callbacks import KryptogoCallbacks, KryptogoTests, tells
from counterfoil.chains.evm.addresses import parse_evm_address
from counterfoil.chains.evm.chain import EvmChain
from counterfoil.chains.evm.heads import HeadListener
from counterfoil.chains.port import CallReverted, Chain, ChainUnreachable
from counterfoil.clock import TimeSortedIds
from counterfoil.config import ChainConfig, WorkConfig
from counterfoil.core.assets import CHAINS
from counterfoil.core.ports import Clock
from counterfoil.db.pool import Database
from counterfoil.db.timekeeping import shared_clock
from counterfoil.desk import granting
from counterfoil.desk.delivering import CallbackForm
from counterfoil.desk.desk import Desk, Tells
from counterfoil.desk.provisioning import FuelLevels, Stock
from counterfoil.desk.tidying import tidy
from counterfoil.garbage import leave_alone_what_stays
from counterfoil.providers.rates.http import HttpRates, HttpRateSettings
from counterfoil.providers.rates.port import RateGuard, RateSource
from counterfoil.providers.rates.static import StaticRates
from counterfoil.providers.screening.issuer_freeze import Call, IssuerFreezeScreener
from counterfoil.providers.screening.port import AddressScreener
from counterfoil.providers.screening.remembering import RememberingScreener
from counterfoil.providers.screening.simulated import SimulatedScreener
from counterfoil.signer.client import SignerClient
from counterfoil.workers.attach import Attacher
from counterfoil.workers.children import ChildFueler
from counterfoil.workers.examine import Examiner
from counterfoil.workers.expire import Expirer
from counterfoil.workers.foresee import Foreseer
from counterfoil.workers.fuel import FuelWorker
from counterfoil.workers.move import MoveWorker
from counterfoil.workers.notify import Limits, Notifier
from counterfoil.workers.outward import callback_session
from counterfoil.workers.price import Pricer
from counterfoil.workers.provision import ProvisionWorker
from counterfoil.workers.retell import Reteller
from counterfoil.workers.runner import Beat, Bell, RightOfWay, Sleep, Step, first, forever
from counterfoil.workers.screen import Screener
from counterfoil.workers.token_codes import TokenCodes
from counterfoil.workers.unknown import UnknownTokens
from counterfoil.workers.watch import ChainWatcher, WatchedAddresses, WatchLimits

CALLBACK_FORMS: Final[Mapping[str, CallbackForm]] = {
    "kryptogo": KryptogoCallbacks(),
    "kryptogo-test": KryptogoTests(),
}
"""How each dialect words its callbacks; the one place that joins dialects and workers."""

TELLS: Final[Mapping[str, Tells]] = {"kryptogo": tells}
"""Which changes each dialect tells; as with the forms, this is where the two sides meet."""

_HEARS_AGAIN_SECONDS: Final = 5.0
"""How soon a node that hung up is listened to again; polling goes on meanwhile."""

_log: Final = structlog.get_logger("counterfoil.worker")


@dataclass(frozen=True, slots=True)
class Paces:
    """How long each worker rests after it found nothing to do, in seconds.

    What this very process leaves for another of its workers wakes that one at once (`_Bells`); the
    rest only says how soon the work of other processes is found.
    """

    foresee: float = 1.0
    screen: float = 0.2
    notify: float = 0.2
    move: float = 0.25
    retell: float = 1.0
    attach: float = 1.0
    expire: float = 1.0
    price: float = 20.0
    provision: float = 1.0
    fuel: float = 5.0
    tidy: float = 60.0
    grants: float = 5.0
    children: float = 1.0
    unknown: float = 60.0
    token_codes: float = 300.0


@dataclass(frozen=True, slots=True)
class Leases:
    """How long what a process took is left to it while it says nothing, in seconds.

    A merchant's server is given a quarter of ``notify`` to answer.
    """

    watch: float = 15.0
    screen: float = 120.0
    notify: float = 60.0
    retell: float = 60.0


async def work(
    config: WorkConfig, url: str, paces: Paces | None = None, leases: Leases | None = None
) -> None:
    """Run every worker until cancelled; any number of processes may do so at once.

    Raises `counterfoil.chains.port.ChainMisconfigured` when an endpoint serves another chain than
    it should or a token of the registry is not there, before anything is watched.
    """
    async with _opened(config, url) as outside:
        chains = outside.chains
        for chain in chains.values():
            await _check(chain)
        leases = leases or Leases()
        line = _line(config, outside, leases)
        watchers = _watchers(config, outside, leases, line)
        try:
            async with asyncio.TaskGroup() as group:
                for key, watcher in watchers.items():
                    for endless in _watching(config.chains[key], outside, watcher, key):
                        group.create_task(endless)
                rests = line.bells.rests()
                for name, (step, pause) in _others(
                    config, outside, paces or Paces(), leases, line
                ).items():
                    group.create_task(
                        forever(step, name=name, pause_seconds=pause, rest=rests.get(name))
                    )
                leave_alone_what_stays()
                _log.info("working", chains=list(chains))
        finally:
            await line.notifier.close()
            await asyncio.gather(*(w.stop() for w in watchers.values()), return_exceptions=True)


def _watching(
    settings: ChainConfig, outside: "_Outside", watcher: ChainWatcher, key: str
) -> list[Coroutine[Any, Any, None]]:
    """A chain's watcher, and who wakes it when a block comes."""
    bell = Bell()
    beat = Beat(outside.desk.clock.monotonic, bell=bell, in_a_hurry=watcher.is_awaited)
    pause = settings.poll_seconds
    endless = [forever(watcher.step, name=f"watch:{key}", pause_seconds=pause, rest=beat.rest)]
    if heads := [endpoint.reveal() for endpoint in settings.head_endpoints]:
        listener = HeadListener(key, heads, outside.session, bell.ring)
        pause = _HEARS_AGAIN_SECONDS
        endless.append(forever(listener.step, name=f"heads:{key}", pause_seconds=pause))
    return endless


async def _check(chain: Chain) -> None:
    """Stop at a chain that is not what it should be; one that is away must not hold up the rest."""
    try:
        await chain.check()
    except ChainUnreachable as error:
        _log.warning("chain_unreachable", chain=chain.key, reason=str(error))


@dataclass(frozen=True, slots=True)
class _Bells:
    """Who of this process is woken when something was left for it, and goes before others."""

    foresee: Bell = field(default_factory=Bell)
    screen: Bell = field(default_factory=Bell)
    notify: Bell = field(default_factory=Bell)
    way: RightOfWay = field(default_factory=RightOfWay)
    """Of looking, screening and telling, before what only now becomes safe or final."""

    def recorded(self) -> None:
        """Wake whoever goes on when transfers have been written down."""
        self.screen.ring()
        self.notify.ring()

    def rests(self) -> dict[str, Sleep]:
        """How they rest who may be woken, by the name of the step."""
        return {
            "foresee": self.foresee.rest,
            "screen": self.screen.rest,
            "notify": self.notify.rest,
        }


@dataclass(frozen=True, slots=True)
class _Line:
    """Who has a payment in hand one after the other, between the watchers and the merchant."""

    bells: _Bells
    examiner: Examiner
    foreseer: Foreseer
    notifier: Notifier


def _line(config: WorkConfig, outside: "_Outside", leases: Leases) -> _Line:
    desk, bells = outside.desk, _Bells()
    examiner = Examiner(desk, _screeners(config, desk, outside.chains))
    notifier = Notifier(
        desk,
        CALLBACK_FORMS,
        outside.callbacks,
        config.secret.reveal().encode(),
        allow_private=config.callback_allow_private,
        limits=Limits(lease_seconds=leases.notify, timeout_seconds=leases.notify / 4),
        ended=bells.notify.ring,
        way=bells.way,
    )
    return _Line(bells, examiner, Foreseer(desk, examiner, expected=bells.foresee.ring), notifier)


def _watchers(
    config: WorkConfig, outside: "_Outside", leases: Leases, line: _Line
) -> dict[str, ChainWatcher]:
    watched = WatchedAddresses(outside.desk, "evm")
    limits = WatchLimits(
        lease_seconds=leases.watch, two_nodes_from_dollars=config.two_nodes_from_dollars
    )
    return {
        key: ChainWatcher(
            outside.desk,
            chain,
            watched,
            limits,
            recorded=line.bells.recorded,
            way=line.bells.way,
            foreseer=line.foreseer,
        )
        for key, chain in outside.chains.items()
    }


def _others(
    config: WorkConfig, outside: "_Outside", paces: Paces, leases: Leases, line: _Line
) -> dict[str, tuple[Step, float]]:
    """Every step but the watchers', with how long it rests in seconds."""
    desk, chains, bells = outside.desk, outside.chains, line.bells
    signer = SignerClient(config.signer_socket)
    screener = Screener(
        desk, line.examiner, lease_seconds=leases.screen, concluded=bells.notify.ring
    )
    reteller = Reteller(desk, lease_seconds=leases.retell)
    levels = FuelLevels(days_wei={key: one.fuel_day_wei for key, one in config.chains.items()})
    # Refilled early enough that a burst of new invoices does not see the end of it.
    stock = Stock(low_water=config.addresses_in_stock // 5, target=config.addresses_in_stock)
    return {
        "foresee": (first(line.foreseer.step, bells.way), paces.foresee),
        "screen": (first(screener.step, bells.way), paces.screen),
        "notify": (first(line.notifier.turn, bells.way), paces.notify),
        "attach": (Attacher(desk, chains).step, paces.attach),
        "move": (MoveWorker(desk, chains, signer, config.two_nodes_from_dollars).step, paces.move),
        "retell": (reteller.step, paces.retell),
        "expire": (Expirer(desk, chains.keys()).step, paces.expire),
        "price": (_pricer(config, desk, outside.session).step, paces.price),
        "provision": (ProvisionWorker(desk, chains, signer, stock).step, paces.provision),
        "tidy": (partial(tidy, desk), paces.tidy),
        "grants": (partial(granting.begin_due, desk), paces.grants),
        "fuel": (FuelWorker(desk, chains, levels).step, paces.fuel),
        "unknown": (UnknownTokens(desk, chains).step, paces.unknown),
        "token_codes": (TokenCodes(desk, chains).step, paces.token_codes),
        "children": (ChildFueler(desk, chains, signer, levels).step, paces.children),
    }


@dataclass(frozen=True, slots=True)
class _Outside:
    """What this process opened and closes: the desk's database, the chains, HTTP outward."""

    desk: Desk
    chains: Mapping[str, Chain]
    session: aiohttp.ClientSession
    callbacks: aiohttp.ClientSession


@asynccontextmanager
async def _opened(config: WorkConfig, url: str) -> AsyncIterator["_Outside"]:
    async with AsyncExitStack() as stack:
        database = Database(url, name="counterfoil-work")
        await database.open()
        stack.push_async_callback(database.close)
        clock = await stack.enter_async_context(shared_clock(database))
        chains: dict[str, Chain] = {}
        for key, settings in config.chains.items():
            endpoints = [endpoint.reveal() for endpoint in settings.endpoints]
            chains[key] = EvmChain.over(CHAINS[key], endpoints, clock)
            stack.push_async_callback(chains[key].close)
        session = await stack.enter_async_context(aiohttp.ClientSession(trust_env=False))
        callbacks = await stack.enter_async_context(
            callback_session(allow_private=config.callback_allow_private)
        )
        desk = Desk(
            database=database,
            clock=clock,
            ids=TimeSortedIds(),
            addresses={"evm": parse_evm_address},
            chains=tuple(chains),
            tells=TELLS,
            rate_max_age_seconds=config.rate_max_age_seconds,
        )
        yield _Outside(desk, chains, session, callbacks)


def _pricer(config: WorkConfig, desk: Desk, session: aiohttp.ClientSession) -> Pricer:
    guard = RateGuard(max_jump=Decimal(config.rate_max_leap_percent) / 100)
    return Pricer(desk, rate_sources(config, desk.clock, session), guard=guard)


def rate_sources(
    config: WorkConfig, clock: Clock, session: aiohttp.ClientSession
) -> list[RateSource]:
    """The sources of rates that are configured, the preferred one first.

    Raises `counterfoil.core.errors.Invalid` where an address or a pointer is none.
    """
    sources: list[RateSource] = []
    if config.rate_url is not None:
        settings = HttpRateSettings(
            code="http",
            url=config.rate_url,
            value_at=config.rate_value_at,
            time_at=config.rate_time_at,
        )
        sources.append(HttpRates(settings, session, clock))
    if config.rate_file is not None:
        sources.append(StaticRates(config.rate_file, clock))
    return sources


def _screeners(
    config: WorkConfig, desk: Desk, chains: Mapping[str, Chain]
) -> list[AddressScreener]:
    known: dict[str, AddressScreener] = {
        "simulated": SimulatedScreener(desk.clock),
        "issuer_freeze": IssuerFreezeScreener(
            {key: _asking(chain) for key, chain in chains.items()}, desk.clock
        ),
    }
    return [RememberingScreener(known[name], desk.clock) for name in config.screeners]


def _asking(chain: Chain) -> Call:
    async def ask(contract: str, data: bytes) -> bytes | None:
        try:
            return await chain.call(contract, data)
        except CallReverted:
            return None

    return ask
