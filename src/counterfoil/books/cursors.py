"""How far each chain was read, by whom, and whose addresses are watched.

Times are passed in. A watcher's writes are fenced: it holds the cursor's row while it writes, and
writes nothing once another has taken the lease (specs/reliability.md 1.3 item 8).
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from counterfoil.core.invoice import DepositMode
from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute, one_row, one_value


@dataclass(frozen=True, slots=True)
class Mark:
    """A block up to which a chain was read."""

    number: int
    hash: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CursorRow:
    """One chain's cursors: the provisional head, the ``safe`` height, the authoritative final."""

    chain: str
    head_number: int
    head_hash: str
    head_at: datetime
    safe_number: int
    final_number: int
    final_hash: str
    final_at: datetime
    lease_until: datetime | None
    lease_token: UUID | None
    updated_at: datetime
    halted_reason: str | None = None
    halted_at: datetime | None = None
    lacking: str | None = None

    @property
    def head(self) -> Mark:
        """The newest block that was read."""
        return Mark(self.head_number, self.head_hash, self.head_at)

    @property
    def final(self) -> Mark:
        """The last block that is wholly in the books."""
        return Mark(self.final_number, self.final_hash, self.final_at)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A block that ended a provisional range: where a reorg is noticed."""

    number: int
    hash: str


@dataclass(frozen=True, slots=True)
class WatchedAddress:
    """A deposit address of ours; ``number`` grows within the organisation."""

    org_id: int
    number: int
    address: str


@dataclass(frozen=True, slots=True)
class Owner:
    """Who a deposit address belongs to, and the invoice it was given to, if any yet, and when."""

    address: str
    org_id: int
    number: int
    invoice_id: UUID | None
    given_at: datetime | None
    deposit_mode: DepositMode = "factory"


@dataclass(frozen=True, slots=True)
class OwnAddress:
    """An address from which an organisation cannot pay itself."""

    org_id: int
    address: str


@dataclass(frozen=True, slots=True)
class Overdue:
    """An invoice whose time is over, held by this transaction."""

    org_id: int
    invoice_id: UUID


_SELECT: Final = """
    SELECT chain, head_number, head_hash, head_at, safe_number, final_number, final_hash,
           final_at, lease_until, lease_token, updated_at, halted_reason, halted_at,
           lacking
      FROM ingest.chain_cursor
"""


async def get(tx: Tx, chain: str) -> CursorRow | None:
    """The chain's cursors, or None where it was never watched."""
    return await one_row(tx, CursorRow, _SELECT + "WHERE chain = %(chain)s", {"chain": chain})


async def every(tx: Tx) -> list[CursorRow]:
    """All chains' cursors, by chain."""
    return await all_rows(tx, CursorRow, _SELECT + "ORDER BY chain", {})


async def insert(tx: Tx, chain: str, mark: Mark, now: datetime) -> bool:
    """Start a chain at a block that is taken as read; False where it was started before."""
    started = await execute(
        tx,
        """
        INSERT INTO ingest.chain_cursor (chain, head_number, head_hash, head_at, safe_number,
            final_number, final_hash, final_at, updated_at)
        VALUES (%(chain)s, %(number)s, %(hash)s, %(at)s, %(number)s, %(number)s, %(hash)s,
            %(at)s, %(now)s)
        ON CONFLICT (chain) DO NOTHING
        """,
        {"chain": chain, "now": now, **asdict(mark)},
    )
    return started == 1


async def lease(tx: Tx, chain: str, token: UUID, now: datetime, until: datetime) -> bool:
    """Take or prolong the right to watch; False while another's lease has not run out."""
    taken = await execute(
        tx,
        """
        UPDATE ingest.chain_cursor SET lease_token = %(token)s, lease_until = %(until)s
         WHERE chain = %(chain)s
           AND (lease_token = %(token)s OR lease_until IS NULL OR lease_until <= %(now)s)
        """,
        {"chain": chain, "token": token, "now": now, "until": until},
    )
    return taken == 1


async def release(tx: Tx, chain: str, token: UUID) -> None:
    """Give the lease up, so that another may start at once."""
    await execute(
        tx,
        """
        UPDATE ingest.chain_cursor SET lease_token = NULL, lease_until = NULL
         WHERE chain = %(chain)s AND lease_token = %(token)s
        """,
        {"chain": chain, "token": token},
    )


async def fence(tx: Tx, chain: str, token: UUID) -> bool:
    """Whether the lease is still this token's; nobody can take it before the transaction ends."""
    held = await one_value(
        tx,
        str,
        """
        SELECT chain FROM ingest.chain_cursor
         WHERE chain = %(chain)s AND lease_token = %(token)s FOR SHARE
        """,
        {"chain": chain, "token": token},
    )
    return held is not None


async def move_head(tx: Tx, chain: str, after: int, upto: Mark, now: datetime) -> None:
    """Put the head at the end of a range; anchors above ``after`` belong to what it replaces."""
    await execute(
        tx,
        "DELETE FROM ingest.chain_anchor WHERE chain = %(chain)s AND number > %(after)s",
        {"chain": chain, "after": after},
    )
    await execute(
        tx,
        """
        INSERT INTO ingest.chain_anchor (chain, number, hash)
        VALUES (%(chain)s, %(number)s, %(hash)s)
        """,
        {"chain": chain, "number": upto.number, "hash": upto.hash},
    )
    await execute(
        tx,
        """
        UPDATE ingest.chain_cursor
           SET head_number = %(number)s, head_hash = %(hash)s, head_at = %(at)s,
               updated_at = %(now)s
         WHERE chain = %(chain)s
        """,
        {"chain": chain, "now": now, **asdict(upto)},
    )


async def move_final(tx: Tx, chain: str, upto: Mark, now: datetime) -> None:
    """Put the final cursor forward, and with it what was behind it; forget anchors below."""
    await execute(
        tx,
        """
        UPDATE ingest.chain_cursor
           SET final_number = %(number)s, final_hash = %(hash)s, final_at = %(at)s,
               safe_number = greatest(safe_number, %(number)s),
               head_hash = CASE WHEN head_number > %(number)s THEN head_hash ELSE %(hash)s END,
               head_at = CASE WHEN head_number > %(number)s THEN head_at ELSE %(at)s END,
               head_number = greatest(head_number, %(number)s), updated_at = %(now)s
         WHERE chain = %(chain)s AND final_number < %(number)s
        """,
        {"chain": chain, "now": now, **asdict(upto)},
    )
    await execute(
        tx,
        "DELETE FROM ingest.chain_anchor WHERE chain = %(chain)s AND number <= %(number)s",
        {"chain": chain, "number": upto.number},
    )


async def move_safe(tx: Tx, chain: str, number: int, now: datetime) -> None:
    """Raise the ``safe`` height; it never falls."""
    await execute(
        tx,
        """
        UPDATE ingest.chain_cursor SET safe_number = %(number)s, updated_at = %(now)s
         WHERE chain = %(chain)s AND safe_number < %(number)s
        """,
        {"chain": chain, "number": number, "now": now},
    )


async def halt(tx: Tx, chain: str, reason: str, now: datetime) -> None:
    """Keep why the chain stands still, and since when."""
    await execute(
        tx,
        """
        UPDATE ingest.chain_cursor
           SET halted_reason = %(reason)s, halted_at = coalesce(halted_at, %(now)s)
         WHERE chain = %(chain)s AND halted_reason IS DISTINCT FROM %(reason)s
        """,
        {"chain": chain, "reason": reason, "now": now},
    )


async def resume(tx: Tx, chain: str) -> None:
    """The chain goes on."""
    await execute(
        tx,
        """
        UPDATE ingest.chain_cursor SET halted_reason = NULL, halted_at = NULL
         WHERE chain = %(chain)s
        """,
        {"chain": chain},
    )


async def lack(tx: Tx, chain: str, what: str | None) -> None:
    """Keep what none of the chain's nodes tells; None where they tell everything."""
    await execute(
        tx,
        "UPDATE ingest.chain_cursor SET lacking = %(what)s WHERE chain = %(chain)s",
        {"chain": chain, "what": what},
    )


async def anchors(tx: Tx, chain: str) -> list[Anchor]:
    """The anchors above the final cursor, lowest first."""
    return await all_rows(
        tx,
        Anchor,
        "SELECT number, hash FROM ingest.chain_anchor WHERE chain = %(chain)s ORDER BY number",
        {"chain": chain},
    )


async def watched_since(
    tx: Tx, family: str, known: Mapping[int, int], limit: int
) -> list[WatchedAddress]:
    """Deposit addresses above the highest known number of each organisation.

    At most ``limit`` of each organisation, ascending: numbers are claimed under the
    organisation's row lock, so none below a committed one is still to come.
    """
    return await all_rows(
        tx,
        WatchedAddress,
        """
        SELECT d.org_id, d.number, d.address
          FROM org o
          LEFT JOIN unnest(%(orgs)s::bigint[], %(numbers)s::bigint[]) AS k (org_id, number)
            ON k.org_id = o.org_id
         CROSS JOIN LATERAL (
               SELECT org_id, number, address FROM deposit_address
                WHERE org_id = o.org_id AND number > coalesce(k.number, -1)
                  AND family = %(family)s
                ORDER BY number LIMIT %(limit)s) AS d
        """,
        {
            "family": family,
            "orgs": list(known),
            "numbers": list(known.values()),
            "limit": limit,
        },
    )


async def children_since(
    tx: Tx, family: str, known: Mapping[int, int], limit: int
) -> list[WatchedAddress]:
    """The same of addresses that have keys of their own, which get their numbers in order, too."""
    return await all_rows(
        tx,
        WatchedAddress,
        """
        SELECT h.org_id, h.number, h.address
          FROM org o
          LEFT JOIN unnest(%(orgs)s::bigint[], %(numbers)s::bigint[]) AS k (org_id, number)
            ON k.org_id = o.org_id
         CROSS JOIN LATERAL (
               SELECT org_id, number, address FROM hd_address
                WHERE org_id = o.org_id AND family = %(family)s
                  AND number > coalesce(k.number, -1)
                ORDER BY number LIMIT %(limit)s) AS h
        """,
        {
            "family": family,
            "orgs": list(known),
            "numbers": list(known.values()),
            "limit": limit,
        },
    )


async def owners(tx: Tx, family: str, addresses: Collection[str]) -> list[Owner]:
    """Whose these addresses are; strangers are left out."""
    return await all_rows(
        tx,
        Owner,
        """
        SELECT a.address, a.org_id, a.number, i.invoice_id, i.created_at AS given_at,
               a.deposit_mode
          FROM ingest.address_owner a
          JOIN deposit_address d ON d.org_id = a.org_id AND d.number = a.number
          LEFT JOIN invoice i ON i.org_id = d.org_id AND i.invoice_id = d.invoice_id
         WHERE a.family = %(family)s AND a.address = ANY(%(addresses)s)
        """,
        {"family": family, "addresses": list(addresses)},
    )


async def own_addresses(tx: Tx, family: str, addresses: Collection[str]) -> list[OwnAddress]:
    """Those of ``addresses`` that are some organisation's own wallets or deposit addresses."""
    return await all_rows(
        tx,
        OwnAddress,
        """
        SELECT o.org_id, w.address
          FROM org o CROSS JOIN LATERAL (VALUES (o.operator_address), (o.pool_address),
               (o.hold_address), (o.gas_address), (o.factory_address)) AS w (address)
         WHERE w.address = ANY(%(addresses)s)
         UNION
        SELECT org_id, address FROM ingest.address_owner
         WHERE family = %(family)s AND address = ANY(%(addresses)s)
        """,
        {"family": family, "addresses": list(addresses)},
    )


async def past_deadline(  # noqa: PLR0913 - what is overdue, and which of it is asked for
    tx: Tx,
    chains: Collection[str],
    due_before: datetime,
    grace_seconds: float,
    *,
    passing_over: Collection[UUID],
    limit: int,
) -> list[Overdue]:
    """Unpaid invoices due by ``due_before``, where the head of every chain has passed that too.

    A chain that is not among ``chains`` has passed nothing. Rows that others hold are skipped, and
    so are invoices with transfers that they could not be told of yet, or with money at their
    address that no record explains.
    """
    return await all_rows(
        tx,
        Overdue,
        """
        SELECT i.org_id, i.invoice_id FROM invoice i
         WHERE i.status = 'awaiting_payment' AND i.deadline_at <= %(due_before)s
           AND i.invoice_id <> ALL(%(passing_over)s::uuid[])
           AND NOT EXISTS (
               SELECT FROM effect e
                WHERE e.org_id = i.org_id AND e.invoice_id = i.invoice_id AND e.kind = 'tell'
                  AND e.done_at IS NULL)
           AND NOT EXISTS (
               SELECT FROM ingest.unexplained_balance u
                WHERE u.org_id = i.org_id AND u.invoice_id = i.invoice_id)
           AND NOT EXISTS (
               SELECT FROM payment_request p
                 LEFT JOIN ingest.chain_cursor c
                   ON c.chain = p.chain AND c.chain = ANY(%(chains)s)
                WHERE p.org_id = i.org_id AND p.invoice_id = i.invoice_id
                  AND (c.chain IS NULL
                       OR c.head_at < i.deadline_at + make_interval(secs => %(grace)s)))
         ORDER BY i.deadline_at, i.org_id, i.invoice_id
         LIMIT %(limit)s FOR UPDATE OF i SKIP LOCKED
        """,
        {
            "chains": list(chains),
            "due_before": due_before,
            "grace": grace_seconds,
            "passing_over": list(passing_over),
            "limit": limit,
        },
    )


async def past_grace(
    tx: Tx, chains: Collection[str], now: datetime, *, passing_over: Collection[UUID], limit: int
) -> list[Overdue]:
    """Expired invoices whose days of grace are over by ``now`` and on every chain's final block.

    What ends here is not watched for payment any more, so only the authoritative cursor counts.
    Others are skipped as in `past_deadline`.
    """
    return await all_rows(
        tx,
        Overdue,
        """
        SELECT i.org_id, i.invoice_id
          FROM invoice i
         CROSS JOIN LATERAL (
               SELECT i.deadline_at + make_interval(
                      days => (i.detail #>> '{policy,grace_days}')::integer) AS ends_at) AS grace
         WHERE i.status = 'expired' AND i.deadline_at <= %(now)s AND grace.ends_at <= %(now)s
           AND i.invoice_id <> ALL(%(passing_over)s::uuid[])
           AND NOT EXISTS (
               SELECT FROM effect e
                WHERE e.org_id = i.org_id AND e.invoice_id = i.invoice_id AND e.kind = 'tell'
                  AND e.done_at IS NULL)
           AND NOT EXISTS (
               SELECT FROM ingest.unexplained_balance u
                WHERE u.org_id = i.org_id AND u.invoice_id = i.invoice_id)
           AND NOT EXISTS (
               SELECT FROM payment_request p
                 LEFT JOIN ingest.chain_cursor c
                   ON c.chain = p.chain AND c.chain = ANY(%(chains)s)
                WHERE p.org_id = i.org_id AND p.invoice_id = i.invoice_id
                  AND (c.chain IS NULL OR c.final_at < grace.ends_at))
         ORDER BY i.deadline_at, i.org_id, i.invoice_id
         LIMIT %(limit)s FOR UPDATE OF i SKIP LOCKED
        """,
        {"chains": list(chains), "now": now, "passing_over": list(passing_over), "limit": limit},
    )
