"""Delivers callbacks: to addresses that merchants chose, from inside our own network.

So nothing here trusts the receiver: where connections go `counterfoil.workers.outward` says, no
redirect is followed, and the answer's body is never read (specs/reliability.md T14).
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final, TypeVar
from uuid import UUID

import aiohttp
import structlog
from yarl import URL

from counterfoil.core import ids, secrets
from counterfoil.core.callback_url import check_callback_url
from counterfoil.core.errors import Invalid
from counterfoil.core.standard_webhooks import signed_headers
from counterfoil.desk import delivering
from counterfoil.desk.delivering import (
    Attempt,
    CallbackForm,
    Delivery,
    Letter,
    Outcome,
    Reply,
    Shares,
)
from counterfoil.desk.desk import Desk
from counterfoil.workers.outward import on_behalf_of
from counterfoil.workers.runner import Jitter, RightOfWay, quietly, system_jitter

T = TypeVar("T")

_MAX_DELAY_DIGITS: Final = 9
_REMEMBERED: Final = 1_000
_ANSWER_SECONDS: Final = 0.1
"""How long what can wait makes way for one receiver to answer; the hand waits for longer."""

_OUR_FAULT: Final = "the callback could not be written; this is our fault, not yours"

# A private address and no address get the same words: anything finer would let strangers map our
# network by giving us names to look up.
_FAILURES: Final[tuple[tuple[type[Exception], str], ...]] = (
    (aiohttp.ClientConnectorDNSError, "the host does not lead to public addresses"),
    (aiohttp.ClientSSLError, "no secure connection: TLS or the certificate was not accepted"),
    (aiohttp.ClientConnectorError, "no connection"),
    (Exception, "no proper HTTP answer"),
)

_log = structlog.get_logger(worker="notify")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one worker sends at once, and how long it waits for an answer.

    ``concurrency`` is for receivers that answer; one that takes longer than
    ``slow_after_seconds`` has its hand taken from it and waits among at most ``slow_at_once``
    others, with one message at a time, until it answers quickly again. ``in_flight`` bounds both.
    What ends waits for ``gathering_seconds`` for what else ends, to cost the database one trip.
    """

    concurrency: int = 128
    slow_at_once: int = 128
    in_flight: int = 512
    per_endpoint: int = 64
    slow_after_seconds: float = 1.0
    timeout_seconds: float = 15.0
    lease_seconds: float = 60.0
    gathering_seconds: float = 0.005

    @property
    def per_org(self) -> int:
        """Half of the hands: one organisation may name any number of hosts that hang."""
        return max(1, self.concurrency // 2)


@dataclass(frozen=True, slots=True)
class _Unanswered:
    """A message whose receiver has to answer, and since when by the monotonic clock."""

    delivery: Delivery
    since: float


class Receivers:
    """How receivers answered lately, and so how much of us each may have at once.

    One that answered quickly has a full share. One that we do not know gets one message, and no
    other before it has answered. One that kept us waiting gets one at a time, out of a bounded
    room for all of its kind, where the one that waits longest for its turn comes first. So any
    number of receivers that hang takes a second with each from the others, once.
    """

    def __init__(self, limits: Limits) -> None:
        """Remember up to `_REMEMBERED` of either kind."""
        self._limits = limits
        self._quick: dict[str, None] = {}
        self._slow: dict[str, int] = {}

    def is_slow(self, delivery: Delivery) -> bool:
        """Whether this one's receiver kept us waiting."""
        return delivery.endpoint in self._slow

    def is_quick(self, delivery: Delivery) -> bool:
        """Whether this one's receiver answered in time when it was last told something."""
        return delivery.endpoint in self._quick

    def took_long(self, delivery: Delivery) -> None:
        """Note that a receiver has not answered in time; its next turn comes after all others'."""
        self._quick.pop(delivery.endpoint, None)
        _remember(self._slow, delivery.endpoint, delivery.org_id)

    def was_quick(self, delivery: Delivery) -> None:
        """Note that a receiver has answered in time."""
        self._slow.pop(delivery.endpoint, None)
        _remember(self._quick, delivery.endpoint, None)

    def shares(self, under_way: Sequence[Delivery]) -> Shares:
        """What may be claimed beside ``under_way``."""
        slow = [d for d in under_way if self.is_slow(d)]
        others = [d for d in under_way if not self.is_slow(d)]
        full = self._limits.per_endpoint
        to = Counter({d.endpoint: full for d in others if d.endpoint not in self._quick})
        to.update(dict.fromkeys(self._quick, 0))
        to.update(d.endpoint for d in others if d.endpoint in self._quick)
        to.update(dict.fromkeys(self._slow, full))
        to.subtract(self._whose_turn_it_is(slow))
        return Shares(
            per_endpoint=full,
            per_org=self._limits.per_org,
            to=to,
            of=Counter(d.org_id for d in others),
            to_strangers=1,
        )

    def _whose_turn_it_is(self, under_way: Sequence[Delivery]) -> list[str]:
        """The slow receivers that may have one message more."""
        busy = {d.endpoint for d in under_way}
        of_org = Counter(d.org_id for d in under_way)
        room = self._limits.slow_at_once - len(under_way)
        chosen: list[str] = []
        for endpoint, org_id in self._slow.items():
            if len(chosen) >= room:
                break
            if endpoint not in busy and of_org[org_id] < max(1, self._limits.slow_at_once // 2):
                chosen.append(endpoint)
                of_org[org_id] += 1
        return chosen


def _remember(known: dict[str, T], endpoint: str, what: T) -> None:
    known.pop(endpoint, None)
    known[endpoint] = what
    if len(known) > _REMEMBERED:
        del known[next(iter(known))]


class _Keeper:
    """Writes down what attempts came to: those that end within a moment together.

    However many more end while one write lasts go in the next.
    """

    def __init__(self, desk: Desk, gathering_seconds: float) -> None:
        self._desk = desk
        self._gathering_seconds = gathering_seconds
        self._waiting: list[tuple[Attempt, asyncio.Future[bool]]] = []
        self._writing = asyncio.Lock()

    async def keep(self, attempt: Attempt) -> bool:
        """False when the lease was lost; raises whatever keeping this one raises."""
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((attempt, kept))
        async with self._writing:
            if not kept.done():
                await asyncio.sleep(self._gathering_seconds)
                await self._write()
        return await kept

    async def _write(self) -> None:
        taken, self._waiting = self._waiting, []
        outcomes: Sequence[Outcome]
        try:
            outcomes = await delivering.attempted(self._desk, [attempt for attempt, _ in taken])
        except Exception as error:  # noqa: BLE001 - nobody's fault; each is sent again when its lease ends
            outcomes = [error] * len(taken)
        except BaseException:
            for _, kept in taken:
                kept.cancel()
            raise
        for (_, kept), outcome in zip(taken, outcomes, strict=True):
            if kept.done():  # whoever waited for it was cancelled meanwhile
                continue
            if isinstance(outcome, Exception):
                kept.set_exception(outcome)
            else:
                kept.set_result(outcome)


class Notifier:
    """Claims events and sends many at once, few to any one receiver, never all for one merchant."""

    def __init__(  # noqa: PLR0913 - what a process hands to this worker
        self,
        desk: Desk,
        forms: Mapping[str, CallbackForm],
        session: aiohttp.ClientSession,
        master_secret: bytes,
        *,
        allow_private: bool = False,
        limits: Limits | None = None,
        jitter: Jitter = system_jitter,
        ended: Callable[[], None] = quietly,
        way: RightOfWay | None = None,
    ) -> None:
        """``forms`` maps a dialect to how it words callbacks.

        ``session`` is `counterfoil.workers.outward.callback_session`. ``ended`` is called when
        there are hands again, for `turn`. ``way`` is taken while quick receivers are told.
        """
        self._desk = desk
        self._forms = forms
        self._session = session
        self._master_secret = master_secret
        self._allow_private = allow_private
        self._limits = limits or Limits()
        self._timeout = aiohttp.ClientTimeout(total=self._limits.timeout_seconds)
        self._jitter = jitter
        self._freed = ended
        self._way = way or RightOfWay()
        self._keeper = _Keeper(desk, self._limits.gathering_seconds)
        self._sending: dict[asyncio.Task[None], Delivery] = {}
        self._unanswered: dict[UUID, _Unanswered] = {}
        self._receivers = Receivers(self._limits)
        self._looking: asyncio.TimerHandle | None = None

    async def step(self) -> int:
        """Start whatever is due and there are hands for; answers how many events that were.

        Does not wait for the answers, so a receiver that hangs holds up nobody else.
        """
        under_way = self._under_way()
        quick = sum(not self._receivers.is_slow(d) for d in under_way)
        hands = min(self._limits.concurrency - quick, self._limits.in_flight - len(self._sending))
        if hands <= 0:
            return 0
        deliveries = await delivering.claim(
            self._desk,
            limit=hands,
            shares=self._receivers.shares(under_way),
            lease_seconds=self._limits.lease_seconds,
        )
        quiet = [d for d in deliveries if not self._begin(d)]
        if quiet:
            await delivering.keep_quiet(self._desk, quiet)
        return len(deliveries)

    async def turn(self) -> bool:
        """Do a `step` for a worker that is woken by ``ended``; False, as it is told of any more.

        Looking again at once would mostly find that everybody's share is taken just now.
        """
        if await self.step():
            self._look_soon()
        return False

    async def settle(self) -> None:
        """Wait until everything that was started has ended."""
        while self._sending:
            await asyncio.wait(self._sending)

    async def close(self) -> None:
        """Stop sending; what is on its way is sent again when its lease ends."""
        if self._looking is not None:
            self._looking.cancel()
        for task in self._sending:
            task.cancel()
        await self.settle()

    def _under_way(self) -> list[Delivery]:
        """What is not answered yet; who has not answered for too long is noted as slow."""
        now = self._desk.clock.monotonic()
        for asked in self._unanswered.values():
            if now - asked.since >= self._limits.slow_after_seconds:
                self._receivers.took_long(asked.delivery)
        return [asked.delivery for asked in self._unanswered.values()]

    def _begin(self, delivery: Delivery) -> bool:
        """Start sending one event; False when its dialect keeps quiet about it."""
        try:
            body = delivery.body or self._forms[delivery.dialect].write(delivery)
        except Exception:  # noqa: BLE001 - one event we cannot word must not stop everybody else's
            _log.exception("callback_not_worded", event_id=str(delivery.event_id))
            body = b""
        if body is None:
            return False
        task = asyncio.create_task(self._deliver(delivery, body))
        self._sending[task] = delivery
        self._unanswered[delivery.event_id] = _Unanswered(delivery, self._desk.clock.monotonic())
        task.add_done_callback(self._ended)
        return True

    async def _deliver(self, delivery: Delivery, body: bytes) -> None:
        on_behalf_of.set(delivery.org_id)
        first = self._receivers.is_quick(delivery)
        with self._way.taken(_ANSWER_SECONDS) if first else nullcontext():
            reply = await self._send(delivery, body) if body else Reply(None, _OUR_FAULT, 0)
        self._answered(delivery)
        attempt = Attempt(delivery, body or None, reply, self._jitter())
        kept = await self._keeper.keep(attempt)
        # What went well stands in the books, for everybody to read.
        log = _log.debug if kept and reply.accepted else _log.info
        log(
            "callback_attempted" if kept else "callback_lease_lost",
            event_id=str(delivery.event_id),
            attempt=delivery.attempts,
            status_code=reply.status_code,
            error=reply.error,
            duration_ms=reply.duration_ms,
        )

    async def _send(self, delivery: Delivery, body: bytes) -> Reply:
        started = self._desk.clock.monotonic()
        status_code, error, wait = None, None, None
        try:
            async with self._post(delivery, self._letter(delivery, body)) as answer:
                status_code = answer.status
                wait = _retry_after(answer.headers.get("Retry-After"), self._desk.clock.now())
                answer.close()
        except Invalid as refusal:
            error = refusal.message
        except (aiohttp.ClientError, TimeoutError) as failure:
            error = _why(failure, self._limits.timeout_seconds)
        except Exception:  # noqa: BLE001 - an attempt that is not written down would never end
            _log.exception("callback_not_sent", event_id=str(delivery.event_id))
            error = _OUR_FAULT
        spent = self._desk.clock.monotonic() - started
        if status_code is not None and spent < self._limits.slow_after_seconds:
            self._receivers.was_quick(delivery)
        else:
            self._receivers.took_long(delivery)
        return Reply(status_code, error, round(spent * 1000), wait)

    def _letter(self, delivery: Delivery, body: bytes) -> Letter:
        now = self._desk.clock.now()
        secret = _secret(self._master_secret, delivery.org_id, delivery.secret_version)
        letter = self._forms[delivery.dialect].stamp(body, secret, now)
        return Letter(
            body=letter.body,
            headers={
                "Content-Type": "application/json",
                "User-Agent": "Counterfoil-Callback/1",
                **letter.headers,
                **signed_headers(secret, ids.public("evt", delivery.event_id), now, letter.body),
            },
        )

    def _post(self, delivery: Delivery, letter: Letter) -> "aiohttp.client._RequestContextManager":
        return self._session.post(
            _checked(delivery.url, allow_private=self._allow_private),
            data=letter.body,
            headers=letter.headers,
            allow_redirects=False,
            timeout=self._timeout,
        )

    def _answered(self, delivery: Delivery) -> None:
        """Free the hand: what came of it is written down without one."""
        self._unanswered.pop(delivery.event_id, None)
        self._look_soon()

    def _look_soon(self) -> None:
        """Have one look for all the hands that are freed within a moment."""
        if self._looking is None:
            loop = asyncio.get_running_loop()
            self._looking = loop.call_later(self._limits.gathering_seconds, self._look)

    def _look(self) -> None:
        self._looking = None
        self._freed()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._answered(self._sending.pop(task))
        self._look_soon()  # what waited for its turn behind this one may have its turn now
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("callback_lost", exc_info=error)


@lru_cache(maxsize=_REMEMBERED)
def _checked(url: str, *, allow_private: bool) -> URL:
    """The same address is told of many things. A refusal, which is raised, is not remembered."""
    return URL(check_callback_url(url, allow_private=allow_private).text, encoded=True)


_secret: Final = lru_cache(maxsize=_REMEMBERED)(secrets.callback_secret)
"""It follows from what it is asked with, which a process knows anyway."""


def _why(failure: Exception, timeout_seconds: float) -> str:
    """What a merchant is told about an attempt that got no answer."""
    if isinstance(failure, TimeoutError):
        return f"no answer within {timeout_seconds:g} s"
    return next(text for kind, text in _FAILURES if isinstance(failure, kind))


def _retry_after(text: str | None, now: datetime) -> timedelta | None:
    """The wait a receiver asks for: seconds or an HTTP date (RFC 9110 10.2.3); else None."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return timedelta(seconds=int(text[:_MAX_DELAY_DIGITS]))
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(until - now, timedelta(0))
