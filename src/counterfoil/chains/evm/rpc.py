"""JSON-RPC over several endpoints of one chain, none of which is trusted to be well.

An endpoint may be down, slow, rate-limiting, behind the others, cut off in mid-answer, or
set up for another chain. All of these lead to the next endpoint; only what a healthy node
says about the request itself reaches the caller (specs/chains.md 6.1 and 6.3).
"""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from counterfoil.chains.evm.meaning import Meaning, meaning
from counterfoil.chains.port import (
    ChainError,
    ChainMisconfigured,
    ChainUnreachable,
    RangeTooWide,
    StateNotKept,
)
from counterfoil.core.ports import Clock
from counterfoil.core.text import tame

LONGEST_WORDS: Final = 300
"""Of what a node or a contract says; anybody can write a contract that says anything."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how often to try, and how much to read.

    ``rounds`` is how many times the whole list of endpoints is tried, with a growing,
    jittered pause from ``backoff_seconds`` in between. After ``breaker_failures`` failures
    in a row an endpoint rests for ``breaker_seconds``.
    """

    timeout_seconds: float = 10.0
    rounds: int = 3
    backoff_seconds: float = 0.2
    breaker_failures: int = 3
    breaker_seconds: float = 30.0
    max_answer_bytes: int = 32 * 1024 * 1024
    batch_size: int = 100


@dataclass(frozen=True, slots=True)
class Query(Generic[T_co]):
    """One request and the way to read its result.

    ``read`` gets the result as raw JSON, or as the decoder that the question was asked with left
    it; raising `Unusable` or a msgspec decoding error
    from it blames the endpoint, and the next one is asked.
    """

    method: str
    params: tuple[object, ...]
    read: Callable[[Any], T_co]


class RpcError(ChainError):
    """A healthy node's refusal of this very request, in its own words."""

    def __init__(self, method: str, code: int, message: str, data: object = None) -> None:
        """Keep what was asked and the error object of the JSON-RPC answer, its words tamed."""
        message = tame(message, max_length=LONGEST_WORDS)
        super().__init__(f"{method}: {message} ({code})")
        self.code = code
        self.message = message
        self.data = data


class Unusable(Exception):  # noqa: N818 - internal: this endpoint's answer is of no use
    """An endpoint failed or lags; ask the next one."""


class _TooLarge(Unusable):
    """The answer is bigger than we are willing to read."""


class _Forgotten(Unusable):
    """The endpoint is well, and does not keep what was true at a block as old as that."""


class _OtherChain(Unusable):
    """The endpoint serves another chain."""


class _Error(msgspec.Struct, frozen=True):
    code: int = 0
    message: str = ""
    data: Any = None


R = TypeVar("R")


class _Answer(msgspec.Struct, Generic[R], frozen=True):
    id: int | None = None
    result: R = msgspec.Raw()  # type: ignore[assignment]  # no result: nothing can read it
    error: _Error | None = None


Answers = msgspec.json.Decoder[Any]
"""Reads a whole body; made by `answers_of`."""


def answers_of(result: Any) -> Answers:  # noqa: ANN401 - a type, or a union of types
    """Make a decoder for answers whose results are all of this shape.

    Large answers are worth one: they are read once instead of twice.
    """
    return msgspec.json.Decoder(list[_Answer[result]] | _Answer[result])


@dataclass(slots=True)
class _Endpoint:
    url: str
    failures: int = 0
    resting_until: float = field(default=float("-inf"))
    checked: bool = False
    """It has told the right chain id since it last failed."""

    @property
    def name(self) -> str:
        """The host alone: paths and queries of provider URLs carry their secret keys."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


_RAW: Final = answers_of(msgspec.Raw)
_TEXT: Final = msgspec.json.Decoder(str)

_QUANTITY: Final = re.compile(r"0x[0-9a-fA-F]{1,64}", re.ASCII)
_HASH: Final = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)

_UNREADABLE: Final = (msgspec.DecodeError, ValueError, OverflowError, RecursionError, LookupError)


class JsonRpc:
    """A client for one chain: the working endpoint is kept until it fails, then the next.

    Answers of one `ask_all` always come from one endpoint, so they may be compared with
    each other; answers of two calls may come from two endpoints and may only be compared
    by block hash.
    """

    def __init__(  # noqa: PLR0913 - everything after the clock has a sensible default
        self,
        urls: Sequence[str],
        chain_id: int,
        clock: Clock,
        *,
        limits: Limits | None = None,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Prepare a client; nothing is opened before the first question."""
        if not urls:
            msg = f"chain {chain_id} has no endpoint"
            raise ValueError(msg)
        self.chain_id = chain_id
        self._limits = limits or Limits()
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._endpoints = [_Endpoint(url) for url in urls]
        self._current: _Endpoint | None = None
        self._session: aiohttp.ClientSession | None = None
        self._next_id = 0

    async def ask(self, query: Query[T], *, second_view: bool = False) -> T:
        """Ask one question; see `ask_all` for what it raises."""
        (answer,) = await self.ask_all((query,), second_view=second_view)
        return answer

    async def ask_all(
        self,
        queries: Sequence[Query[T]],
        answers: Answers = _RAW,
        *,
        second_view: bool = False,
    ) -> list[T]:
        """Ask several questions of one endpoint and return their answers in order.

        ``second_view`` prefers the endpoints that do not serve everything else. Raises
        `RpcError` when a healthy node refuses one of them, `RangeTooWide` when it would have to
        answer too much, `ChainMisconfigured` when every endpoint serves another chain,
        `StateNotKept` when every one that is not resting keeps nothing as old as what was asked
        about, and `ChainUnreachable` when none could answer or one that failed might have known.
        """
        problems: list[Unusable] = []
        for round_number in range(self._limits.rounds):
            if round_number:
                await self._pause(round_number)
            for endpoint in self._candidates(second_view=second_view):
                try:
                    found = await self._ask_endpoint(endpoint, queries, answers)
                except Unusable as problem:
                    self._failed(endpoint, problem)
                    problems.append(problem)
                else:
                    self._works(endpoint, second_view=second_view)
                    return found
            if problems and all(isinstance(problem, _Forgotten) for problem in problems):
                break  # Asking again makes nobody remember.
        raise self._verdict(problems)

    async def ask_if_offered(self, query: Query[T]) -> T | None:
        """Ask for something that many endpoints do not offer; None where none answers.

        A refusal says nothing about an endpoint's health, so none is put to rest for it.
        """
        found = await self.ask_all_if_offered((query,))
        return None if found is None else found[0]

    async def ask_all_if_offered(self, queries: Sequence[Query[T]]) -> list[T] | None:
        """The same for several questions, answered by one endpoint in order."""
        for endpoint in self._candidates(second_view=False):
            try:
                return await self._ask_endpoint(endpoint, queries, _RAW)
            except (Unusable, ChainError):
                continue
        return None

    async def ask_each(self, queries: Sequence[Query[T]]) -> dict[str, list[T] | None]:
        """Ask every endpoint the same by itself, once; None from one that gives no answer.

        All are asked at the same time, so that one that hangs costs no more than its own time.
        Keyed by the endpoints' names, in order of preference.
        """
        answers = await asyncio.gather(*(self._ask_one(e, queries) for e in self._endpoints))
        found: dict[str, list[T] | None] = {}
        for place, (endpoint, answer) in enumerate(zip(self._endpoints, answers, strict=True)):
            name = endpoint.name if endpoint.name not in found else f"{endpoint.name} #{place + 1}"
            found[name] = answer
        return found

    async def prefer(self, query: Query[T], where: Callable[[T], bool]) -> bool:
        """Ask first, from now on, the first endpoint whose answer to this is as wanted.

        It rests no more, as it answered just now. False where there is none, or no choice.
        """
        if len(self._endpoints) == 1:
            return False
        answers = (await self.ask_each([query])).values()
        for endpoint, answer in zip(self._endpoints, answers, strict=True):
            if answer is not None and where(answer[0]):
                endpoint.resting_until = self._clock.monotonic()
                self._works(endpoint, second_view=False)
                return True
        return False

    async def check_endpoints(self) -> None:
        """Ask every endpoint for its chain id; a wrong one is `ChainMisconfigured`.

        One that cannot be reached now is left to the failover, unless none can.
        """
        problems: list[Unusable] = []
        for endpoint in self._endpoints:
            try:
                await self._check_chain_id(endpoint)
            except _OtherChain as wrong:
                raise ChainMisconfigured(str(wrong)) from wrong
            except Unusable as problem:
                self._failed(endpoint, problem)
                problems.append(problem)
        if len(problems) == len(self._endpoints):
            raise self._verdict(problems)

    async def close(self) -> None:
        """Close the connections; a later question opens them again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _candidates(self, *, second_view: bool) -> list[_Endpoint]:
        """List the endpoints to try: the working one first, resting ones not at all."""
        now = self._clock.monotonic()
        awake = [endpoint for endpoint in self._endpoints if endpoint.resting_until <= now]
        return sorted(awake, key=lambda e: (e is not self._current) is not second_view)

    async def _pause(self, round_number: int) -> None:
        # Jitter, so that workers that lost the same endpoint do not come back in step.
        longest = self._limits.backoff_seconds * 2 ** (round_number - 1)
        await self._sleep(longest * (0.5 + self._jitter() / 2))

    def _failed(self, endpoint: _Endpoint, problem: Unusable) -> None:
        if isinstance(problem, _Forgotten):
            return  # It answers everything else.
        endpoint.failures += 1
        if endpoint.failures >= self._limits.breaker_failures:
            endpoint.resting_until = self._clock.monotonic() + self._limits.breaker_seconds
        endpoint.checked = False
        if self._current is endpoint:
            self._current = None

    def _works(self, endpoint: _Endpoint, *, second_view: bool) -> None:
        endpoint.failures = 0
        if not second_view:
            self._current = endpoint

    def _verdict(self, problems: Sequence[Unusable]) -> ChainError:
        told = tame("; ".join(dict.fromkeys(map(str, problems))), max_length=5 * LONGEST_WORDS)
        told = told or "every endpoint is resting"
        if any(isinstance(problem, _TooLarge) for problem in problems):
            return RangeTooWide(told)
        if problems and all(isinstance(problem, _OtherChain) for problem in problems):
            return ChainMisconfigured(told)
        if problems and all(isinstance(problem, _Forgotten) for problem in problems):
            return StateNotKept(f"chain {self.chain_id}: {told}")
        return ChainUnreachable(f"chain {self.chain_id}: {told}")

    async def _ask_endpoint(
        self, endpoint: _Endpoint, queries: Sequence[Query[T]], answers: Answers
    ) -> list[T]:
        if not endpoint.checked:
            await self._check_chain_id(endpoint)
        found: list[T] = []
        for start in range(0, len(queries), self._limits.batch_size):
            part = queries[start : start + self._limits.batch_size]
            found += await self._exchange(endpoint, part, answers)
        return found

    async def _ask_one(self, endpoint: _Endpoint, queries: Sequence[Query[T]]) -> list[T] | None:
        try:
            return await self._ask_endpoint(endpoint, queries, _RAW)
        except Unusable as problem:
            self._failed(endpoint, problem)
            return None
        except ChainError:
            return None

    async def _check_chain_id(self, endpoint: _Endpoint) -> None:
        (chain_id,) = await self._exchange(endpoint, (_CHAIN_ID,), _RAW)
        if chain_id != self.chain_id:
            msg = f"{endpoint.name} serves chain {chain_id}, not {self.chain_id}"
            raise _OtherChain(msg)
        endpoint.checked = True

    async def _exchange(
        self, endpoint: _Endpoint, queries: Sequence[Query[T]], answers: Answers
    ) -> list[T]:
        """Post one batch and read it; a broken answer is `Unusable`."""
        first_id = self._next_id
        self._next_id += len(queries)
        calls = [
            {"jsonrpc": "2.0", "id": first_id + place, "method": q.method, "params": q.params}
            for place, q in enumerate(queries)
        ]
        # A batch of one is sent plain, since some endpoints do not take batches at all.
        body = await self._post(endpoint, calls[0] if len(calls) == 1 else calls)
        try:
            decoded = answers.decode(body)
            by_id: dict[int | None, _Answer[Any]] = {
                answer.id: answer
                for answer in (decoded if isinstance(decoded, list) else [decoded])
            }
            if None in by_id and (error := by_id[None].error) is not None:
                raise _judge(endpoint, queries[0].method, error)
            return [
                _result(endpoint, query, by_id.get(first_id + place))
                for place, query in enumerate(queries)
            ]
        except _UNREADABLE as error:
            msg = f"{endpoint.name} sent an answer that cannot be read: {error}"
            raise Unusable(msg) from error

    async def _post(self, endpoint: _Endpoint, message: object) -> bytes:
        try:
            async with self._open_session().post(
                endpoint.url,
                data=msgspec.json.encode(message),
                headers={"Content-Type": "application/json"},
                allow_redirects=False,
            ) as response:
                if response.status != 200:  # noqa: PLR2004 - HTTP's OK
                    msg = f"{endpoint.name} answered with HTTP status {response.status}"
                    raise Unusable(msg)
                return await self._read(endpoint, response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            msg = f"{endpoint.name} failed: {type(error).__name__}"
            raise Unusable(msg) from error

    async def _read(self, endpoint: _Endpoint, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._limits.max_answer_bytes:
                msg = f"{endpoint.name} answered more than {self._limits.max_answer_bytes} bytes"
                raise _TooLarge(msg)
        return bytes(body)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._limits.timeout_seconds)
            self._session = aiohttp.ClientSession(timeout=timeout)
        return self._session


def quantity(text: str) -> int:
    """Read a JSON-RPC quantity, ``0x`` hex of at most 256 bits; anything else is ``ValueError``."""
    if not _QUANTITY.fullmatch(text):
        msg = f"{text[:80]!r} is not a quantity"
        raise ValueError(msg)
    return int(text, 16)


_CHAIN_ID: Final = Query("eth_chainId", (), lambda raw: quantity(_TEXT.decode(raw)))


def hash_in(text: str) -> str:
    """Read 32 bytes of ``0x`` hex, which are kept; anything else is ``ValueError``."""
    if not _HASH.fullmatch(text):
        msg = f"{text[:80]!r} is not a hash"
        raise ValueError(msg)
    return text.lower()


def _result(endpoint: _Endpoint, query: Query[T], answer: _Answer[Any] | None) -> T:
    if answer is None:
        msg = f"{endpoint.name} left out an answer to {query.method}"
        raise Unusable(msg)
    if answer.error is not None:
        raise _judge(endpoint, query.method, answer.error)
    return query.read(answer.result)


def _judge(endpoint: _Endpoint, method: str, error: _Error) -> Exception:
    told = f"{endpoint.name}: {error.message[:200]} ({error.code})"
    match meaning(method, error.code, error.message):
        case Meaning.FORGOTTEN:
            return _Forgotten(told)
        case Meaning.TOO_WIDE:
            return RangeTooWide(told)
        case Meaning.REFUSED:
            return RpcError(method, error.code, error.message, error.data)
        case Meaning.UNUSABLE:
            return Unusable(told)
