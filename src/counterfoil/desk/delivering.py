"""Telling merchants what happened: which event is next, and what an attempt at it came to.

Events of one invoice are told in order, one at a time, at least once. An event that cannot be
delivered is tried for three days and then parked, where people see it and may ask for it again;
the later ones then go on without it, and every body carries its sequence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol
from uuid import UUID

from psycopg import OperationalError

from counterfoil.books import outbox
from counterfoil.core.errors import Conflict, NotFound
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import CommitUnknown, Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.reach import readable

Delivery = outbox.ClaimedEvent
"""An event that the caller alone may deliver now."""

Shares = outbox.Shares
"""How much of a caller's hands any one receiver and any one organisation may have."""

RETRY_AFTER: Final = tuple(
    timedelta(**span)
    for span in (
        {"seconds": 5},
        {"minutes": 5},
        {"minutes": 30},
        {"hours": 2},
        {"hours": 5},
        {"hours": 10},
        {"hours": 14},
        {"hours": 20},
        {"hours": 24},
    )
)
"""How long to wait after the first, second, ... failure; after one more it is parked.

The example schedule of Standard Webhooks 1.0.0 (specs/reliability.md 1.4): ten attempts in
75 hours.
"""

LONGEST_WAIT: Final = timedelta(hours=24)
"""However long a receiver asks us to wait, we ask again after this."""

JITTER_SHARE: Final = 0.1
"""Waits are up to this share longer, so that events that failed together come back apart."""

_NOBODYS_FAULT: Final = (CommitUnknown, OperationalError)
_GONE: Final = 410
_BUSY: Final = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Letter:
    """One attempt's request, ready to be sent."""

    body: bytes
    headers: Mapping[str, str]


class CallbackForm(Protocol):
    """How one dialect words its callbacks."""

    def write(self, delivery: Delivery) -> bytes | None:
        """What is told, the same on every attempt; None when this dialect keeps quiet about it."""
        ...

    def stamp(self, body: bytes, secret: bytes, at: datetime) -> Letter:
        """Add what holds for this attempt only: its time, and the signature over both."""
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: a status code, or an error that says why there is none.

    The receiver's words are never kept: they could be anything, and somebody would show them.
    """

    status_code: int | None
    error: str | None
    duration_ms: int
    wait: timedelta | None = None

    @property
    def accepted(self) -> bool:
        """Whether the receiver took it: any 2xx; a redirect is a failure."""
        return self.status_code is not None and 200 <= self.status_code < 300  # noqa: PLR2004 - RFC 9110 15.3


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt that has ended. ``jitter`` lies between 0 and 1; ``body`` is what was told."""

    delivery: Delivery
    body: bytes | None
    reply: Reply
    jitter: float


Outcome = bool | Exception
"""Whether it was kept, which it is not when the lease was lost; or why it could not be."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event with every attempt at delivering it, for the log that people read."""

    event: outbox.OutboxRow
    attempts: tuple[outbox.AttemptRow, ...]


async def claim(desk: Desk, *, limit: int, shares: Shares, lease_seconds: float) -> list[Delivery]:
    """Take up to ``limit`` events that are due, and hold each for ``lease_seconds``.

    ``shares`` keeps one slow receiver, and one organisation with many, from taking all hands.
    """
    now = desk.clock.now()
    token = desk.ids.new()

    async def take(tx: Tx) -> list[Delivery]:
        return await outbox.claim(
            tx,
            limit=limit,
            shares=shares,
            now=now,
            lease_until=now + timedelta(seconds=lease_seconds),
            lease_token=token,
        )

    return await desk.database.run(take)


async def keep_quiet(desk: Desk, deliveries: Sequence[Delivery]) -> None:
    """Set aside events that their dialect does not tell."""
    now = desk.clock.now()

    async def set_aside(tx: Tx) -> None:
        endings = [outbox.Ending(delivery, "silent", now, None) for delivery in deliveries]
        await outbox.finish(tx, endings, at=now)

    await desk.database.run(set_aside)


async def attempted(desk: Desk, attempts: Sequence[Attempt]) -> list[Outcome]:
    """Keep what attempts came to, in one transaction; one by one where any stands in the way.

    Raises `CommitUnknown` and ``psycopg.OperationalError``, which are about none of them.
    """
    try:
        return list(await desk.database.run(partial(_keep, desk.clock.now(), attempts)))
    except _NOBODYS_FAULT:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is kept to one event
        if len(attempts) == 1:
            return [error]
    return [outcome for one in attempts for outcome in await attempted(desk, [one])]


async def _keep(now: datetime, attempts: Sequence[Attempt], tx: Tx) -> list[bool]:
    endings = []
    for one in attempts:
        status, due_at = _what_follows(one.delivery, one.reply, now, one.jitter)
        endings.append(outbox.Ending(one.delivery, status, due_at, one.body, _row(one, now)))
    ended = await outbox.finish(tx, endings, at=now)
    return [one.delivery.event_id in ended for one in attempts]


def _row(attempt: Attempt, now: datetime) -> outbox.AttemptRow:
    return outbox.AttemptRow(
        org_id=attempt.delivery.org_id,
        event_id=attempt.delivery.event_id,
        attempt=attempt.delivery.attempts,
        at=now,
        status_code=attempt.reply.status_code,
        error=attempt.reply.error,
        duration_ms=attempt.reply.duration_ms,
    )


def _what_follows(
    delivery: Delivery, reply: Reply, now: datetime, jitter: float
) -> tuple[outbox.OutboxStatus, datetime]:
    if reply.accepted:
        return "delivered", now
    spent = delivery.by_hand or delivery.attempts > len(RETRY_AFTER)
    if spent or reply.status_code == _GONE:
        return "parked", now
    wait = RETRY_AFTER[delivery.attempts - 1] * (1 + JITTER_SHARE * jitter)
    if reply.wait is not None and reply.status_code in _BUSY:
        wait = max(wait, min(reply.wait, LONGEST_WAIT))
    return "pending", now + wait


async def of_invoice(desk: Desk, invoice_id: UUID, by: Actor) -> list[Told]:
    """Everything an invoice had to tell, oldest first; `NotFound` for a foreign invoice."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        await readable(tx, by, invoice_id)
        events = await outbox.of_invoice(tx, by.org_id, invoice_id)
        attempts = await outbox.attempts_of(tx, by.org_id, [e.event_id for e in events])
    return [Told(e, tuple(a for a in attempts if a.event_id == e.event_id)) for e in events]


async def redeliver(desk: Desk, event_id: UUID, by: Actor) -> None:
    """Have an event delivered once more, now; it keeps its id, so receivers know it again.

    One attempt: it ends as delivered or parked and holds nothing else up. Raises `NotFound` for
    what was never told, `Conflict` while it is still on its way.
    """
    by.require(Permission.CREATE)
    now = desk.clock.now()

    async def ask(tx: Tx) -> None:
        event = await outbox.lock(tx, by.org_id, event_id)
        if event is None or event.status == "silent":
            msg = "there is no such callback"
            raise NotFound(msg)
        await readable(tx, by, event.invoice_id)
        if event.status == "pending":
            msg = f"this callback is still on its way, next at {event.due_at:%Y-%m-%dT%H:%M:%SZ}"
            raise Conflict(msg)
        await outbox.ask_again(tx, by.org_id, event_id, now)

    await desk.database.run(ask)
