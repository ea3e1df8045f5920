"""What has to be told to merchants, in order, and each attempt at telling it.

Rows are written in the transaction of the change they tell about, and claimed as rows: a cursor
over ids would skip those that commit late (specs/reliability.md 1.3 item 9).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final, Literal
from uuid import UUID

from counterfoil.core.callback_url import check_callback_url
from counterfoil.core.errors import Invalid
from counterfoil.core.invoice import Context, Status
from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, all_values, as_records, execute, one_row

OutboxStatus = Literal["pending", "delivered", "silent", "parked"]


@dataclass(frozen=True, slots=True)
class NewOutboxEvent:
    """A change to be told: ``sequence`` is the invoice's version that it made.

    ``snapshot`` is the JSON object that `counterfoil.desk.snapshot` makes.
    """

    org_id: int
    event_id: UUID
    invoice_id: UUID
    sequence: int
    dialect: str
    url: str
    from_status: Status | None
    to_status: Status
    from_context: Context | None
    to_context: Context | None
    snapshot: Mapping[str, object]
    status: OutboxStatus
    due_at: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ClaimedEvent:
    """An event that this claimant alone may deliver until the lease ends.

    ``body`` is None until the first attempt fixed it. ``attempts`` includes the one that this
    claim begins. ``by_hand``: somebody asked for it again, so it gets this one attempt.
    """

    org_id: int
    event_id: UUID
    invoice_id: UUID
    sequence: int
    dialect: str
    url: str
    endpoint: str
    from_status: str | None
    to_status: str
    from_context: str | None
    to_context: str | None
    snapshot: Mapping[str, object]
    body: bytes | None
    attempts: int
    by_hand: bool
    lease_token: UUID
    created_at: datetime
    secret_version: int


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """An event as it stands in the list of deliveries."""

    org_id: int
    event_id: UUID
    invoice_id: UUID
    sequence: int
    url: str
    to_status: str
    status: OutboxStatus
    attempts: int
    due_at: datetime
    created_at: datetime
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One attempt. ``status_code`` is None when there was no answer; then ``error`` says why."""

    org_id: int
    event_id: UUID
    attempt: int
    at: datetime
    status_code: int | None
    error: str | None
    duration_ms: int


async def add_all(tx: Tx, events: Sequence[NewOutboxEvent]) -> None:
    """Leave events behind, in the transaction of the changes they tell about."""
    await execute(
        tx,
        """
        INSERT INTO outbox (org_id, event_id, invoice_id, sequence, dialect, url, endpoint,
            from_status, to_status, from_context, to_context, snapshot, status, due_at, created_at)
        SELECT * FROM json_to_recordset(%(rows)s::json) AS new (org_id bigint, event_id uuid,
            invoice_id uuid, sequence integer, dialect text, url text, endpoint text,
            from_status text, to_status text, from_context text, to_context text, snapshot jsonb,
            status text, due_at timestamptz, created_at timestamptz)
        """,
        {"rows": as_records([_columns(event) for event in events])},
    )


def _columns(event: NewOutboxEvent) -> Mapping[str, object]:
    return {
        "org_id": event.org_id,
        "event_id": event.event_id,
        "invoice_id": event.invoice_id,
        "sequence": event.sequence,
        "dialect": event.dialect,
        "url": event.url,
        "endpoint": _endpoint(event.url),
        "from_status": event.from_status,
        "to_status": event.to_status,
        "from_context": event.from_context,
        "to_context": event.to_context,
        "snapshot": event.snapshot,
        "status": event.status,
        "due_at": event.due_at,
        "created_at": event.created_at,
    }


@lru_cache(maxsize=1024)
def _endpoint(url: str) -> str:
    """Which receiver an address belongs to; the address itself where it has become unreadable.

    Money must not stop because the rules for addresses grew stricter after this one was taken;
    the sender refuses it, and says so in the log.
    """
    try:
        return check_callback_url(url, allow_private=True).endpoint
    except Invalid:
        return url


@dataclass(frozen=True, slots=True)
class Shares:
    """How many events a claimant sends at once, to any one receiver and for any one organisation.

    ``to`` and ``of`` count what it is sending already, by endpoint and by organisation. A
    receiver that ``to`` does not name gets ``to_strangers``, where that is less.
    """

    per_endpoint: int
    per_org: int
    to: Mapping[str, int]
    of: Mapping[int, int]
    to_strangers: int | None = None


async def claim(  # noqa: PLR0913 - what to claim, and the lease to claim it with
    tx: Tx,
    *,
    limit: int,
    shares: Shares,
    now: datetime,
    lease_until: datetime,
    lease_token: UUID,
) -> list[ClaimedEvent]:
    """Take up to ``limit`` due events, within everybody's share.

    An event waits while an earlier one of its invoice is pending, or any one of it is on its way;
    one that somebody asked for by hand does not wait for its turn.
    """
    to_strangers = shares.per_endpoint if shares.to_strangers is None else shares.to_strangers
    return await all_rows(
        tx,
        ClaimedEvent,
        """
        WITH ripe AS (
            SELECT org_id, event_id, endpoint, due_at, created_at
              FROM outbox AS o
             WHERE status = 'pending' AND due_at <= %(now)s
               AND (lease_until IS NULL OR lease_until <= %(now)s)
               AND endpoint <> ALL(%(full_endpoints)s)
               AND org_id <> ALL(%(full_orgs)s)
               AND NOT EXISTS (
                   SELECT FROM outbox AS other
                    WHERE other.org_id = o.org_id AND other.invoice_id = o.invoice_id
                      AND other.event_id <> o.event_id AND other.status = 'pending'
                      AND (other.lease_until > %(now)s
                           OR NOT o.by_hand AND other.sequence < o.sequence))
             ORDER BY due_at
             LIMIT %(limit)s * 4
        ), at_endpoint AS (
            SELECT ripe.*, row_number() OVER (PARTITION BY endpoint ORDER BY due_at, created_at)
                           + coalesce(busy.count, %(strangers_have)s) AS endpoint_place
              FROM ripe
              LEFT JOIN unnest(%(endpoints)s::text[], %(endpoint_counts)s::bigint[])
                        AS busy (endpoint, count) USING (endpoint)
        ), placed AS (
            SELECT at_endpoint.*,
                   row_number() OVER (PARTITION BY org_id ORDER BY due_at, created_at)
                   + coalesce(busy.count, 0) AS org_place
              FROM at_endpoint
              LEFT JOIN unnest(%(orgs)s::bigint[], %(org_counts)s::bigint[])
                        AS busy (org_id, count) USING (org_id)
             WHERE endpoint_place <= %(per_endpoint)s
        ), mine AS (
            SELECT o.org_id, o.event_id
              FROM outbox AS o
              JOIN placed USING (org_id, event_id)
             WHERE org_place <= %(per_org)s
               AND o.status = 'pending' AND o.due_at <= %(now)s
               AND (o.lease_until IS NULL OR o.lease_until <= %(now)s)
             ORDER BY o.due_at
             LIMIT %(limit)s
               FOR UPDATE OF o SKIP LOCKED
        )
        UPDATE outbox
           SET lease_until = %(lease_until)s, lease_token = %(lease_token)s,
               attempts = attempts + 1
          FROM mine JOIN org USING (org_id)
         WHERE outbox.org_id = mine.org_id AND outbox.event_id = mine.event_id
        RETURNING outbox.org_id, outbox.event_id, invoice_id, sequence, dialect, url, endpoint,
                  from_status, to_status, from_context, to_context, snapshot, body, attempts,
                  by_hand, lease_token, outbox.created_at,
                  callback_secret_version AS secret_version
        """,
        {
            "limit": limit,
            "per_endpoint": shares.per_endpoint,
            "strangers_have": max(0, shares.per_endpoint - to_strangers),
            "per_org": shares.per_org,
            "full_endpoints": [e for e, sent in shares.to.items() if sent >= shares.per_endpoint],
            "full_orgs": [org for org, sent in shares.of.items() if sent >= shares.per_org],
            "endpoints": list(shares.to),
            "endpoint_counts": list(shares.to.values()),
            "orgs": list(shares.of),
            "org_counts": list(shares.of.values()),
            "now": now,
            "lease_until": lease_until,
            "lease_token": lease_token,
        },
    )


@dataclass(frozen=True, slots=True)
class Ending:
    """How a claim of an event ends; ``body`` is what every later attempt will tell.

    ``attempt`` is kept with it; None where nothing was sent.
    """

    event: ClaimedEvent
    status: OutboxStatus
    due_at: datetime
    body: bytes | None
    attempt: AttemptRow | None = None


async def finish(tx: Tx, endings: Sequence[Ending], *, at: datetime) -> frozenset[UUID]:
    """End claims, and keep the attempts; answers which were still the caller's.

    Of any other event nothing is changed or kept.
    """
    return frozenset(
        await all_values(
            tx,
            UUID,
            """
            WITH ending AS (
                SELECT * FROM json_to_recordset(%(rows)s::json) AS one (org_id bigint,
                    event_id uuid, lease_token uuid, status text, due_at timestamptz, body text,
                    attempt integer, status_code integer, error text, duration_ms integer)
            ), ended AS (
                UPDATE outbox
                   SET status = ending.status, due_at = ending.due_at,
                       body = decode(ending.body, 'hex'),
                       delivered_at = CASE WHEN ending.status = 'delivered' THEN %(at)s
                                           ELSE delivered_at END,
                       by_hand = false, lease_until = NULL, lease_token = NULL
                  FROM ending
                 WHERE outbox.org_id = ending.org_id AND outbox.event_id = ending.event_id
                   AND outbox.lease_token = ending.lease_token AND outbox.status = 'pending'
                RETURNING outbox.org_id, outbox.event_id
            ), kept AS (
                INSERT INTO outbox_attempt
                    (org_id, event_id, attempt, at, status_code, error, duration_ms)
                SELECT org_id, event_id, attempt, %(at)s, status_code, error, duration_ms
                  FROM ending JOIN ended USING (org_id, event_id)
                 WHERE attempt IS NOT NULL
            )
            SELECT event_id FROM ended
            """,
            {"at": at, "rows": as_records([_ending(one) for one in endings])},
        )
    )


def _ending(one: Ending) -> Mapping[str, object]:
    attempt = one.attempt
    return {
        "org_id": one.event.org_id,
        "event_id": one.event.event_id,
        "lease_token": one.event.lease_token,
        "status": one.status,
        "due_at": one.due_at,
        "body": None if one.body is None else one.body.hex(),
        "attempt": None if attempt is None else attempt.attempt,
        "status_code": None if attempt is None else attempt.status_code,
        "error": None if attempt is None else attempt.error,
        "duration_ms": None if attempt is None else attempt.duration_ms,
    }


async def lock(tx: Tx, org_id: int, event_id: UUID) -> OutboxRow | None:
    """One event, held until the transaction ends; None if unknown."""
    return await one_row(
        tx,
        OutboxRow,
        """
        SELECT org_id, event_id, invoice_id, sequence, url, to_status, status, attempts, due_at,
               created_at, delivered_at
          FROM outbox
         WHERE org_id = %(org_id)s AND event_id = %(event_id)s
           FOR UPDATE
        """,
        {"org_id": org_id, "event_id": event_id},
    )


async def ask_again(tx: Tx, org_id: int, event_id: UUID, now: datetime) -> None:
    """Make an event, held by `lock`, due at once for one more attempt."""
    await execute(
        tx,
        """
        UPDATE outbox SET status = 'pending', by_hand = true, due_at = %(now)s
         WHERE org_id = %(org_id)s AND event_id = %(event_id)s
        """,
        {"org_id": org_id, "event_id": event_id, "now": now},
    )


async def of_invoice(tx: Tx, org_id: int, invoice_id: UUID) -> list[OutboxRow]:
    """Everything an invoice had to tell, oldest first; what its dialect keeps quiet about not."""
    return await all_rows(
        tx,
        OutboxRow,
        """
        SELECT org_id, event_id, invoice_id, sequence, url, to_status, status, attempts, due_at,
               created_at, delivered_at
          FROM outbox
         WHERE org_id = %(org_id)s AND invoice_id = %(invoice_id)s AND status <> 'silent'
         ORDER BY sequence
        """,
        {"org_id": org_id, "invoice_id": invoice_id},
    )


async def attempts_of(tx: Tx, org_id: int, event_ids: Sequence[UUID]) -> list[AttemptRow]:
    """The attempts at these events, oldest first."""
    return await all_rows(
        tx,
        AttemptRow,
        """
        SELECT org_id, event_id, attempt, at, status_code, error, duration_ms
          FROM outbox_attempt
         WHERE org_id = %(org_id)s AND event_id = ANY(%(event_ids)s)
         ORDER BY event_id, attempt
        """,
        {"org_id": org_id, "event_ids": list(event_ids)},
    )


TEST_DIALECT: Final = "kryptogo-test"


async def add_test(  # noqa: PLR0913 - the columns of the row
    tx: Tx,
    org_id: int,
    event_id: UUID,
    invoice_id: UUID,
    *,
    sequence: int,
    url: str,
    now: datetime,
) -> None:
    """Leave a test message behind, for one attempt."""
    await execute(
        tx,
        """
        INSERT INTO outbox (org_id, event_id, invoice_id, sequence, dialect, url, endpoint,
            to_status, snapshot, status, by_hand, due_at, created_at)
        VALUES (%(org_id)s, %(event_id)s, %(invoice_id)s, %(sequence)s, %(dialect)s, %(url)s,
            %(endpoint)s, 'test', '{}', 'pending', true, %(now)s, %(now)s)
        """,
        {
            "org_id": org_id,
            "event_id": event_id,
            "invoice_id": invoice_id,
            "sequence": sequence,
            "dialect": TEST_DIALECT,
            "url": url,
            "endpoint": _endpoint(url),
            "now": now,
        },
    )


@dataclass(frozen=True, slots=True)
class Receiver:
    """How callbacks to one receiver ended."""

    endpoint: str
    events: int
    delivered: int
    parked: int
    newest_at: datetime


async def receivers(tx: Tx, org_id: int, lately: int) -> list[Receiver]:
    """Who was told the newest ``lately`` events; ids are made in order of time."""
    return await all_rows(
        tx,
        Receiver,
        """
        SELECT endpoint, count(*) AS events,
               count(*) FILTER (WHERE status = 'delivered') AS delivered,
               count(*) FILTER (WHERE status = 'parked') AS parked,
               max(created_at) AS newest_at
          FROM (SELECT endpoint, status, created_at FROM outbox
                 WHERE org_id = %(org_id)s ORDER BY event_id DESC LIMIT %(lately)s) AS newest
         WHERE status <> 'silent'
         GROUP BY endpoint ORDER BY newest_at DESC, endpoint
        """,
        {"org_id": org_id, "lately": lately},
    )
