"""The invoice log: append-only, sealed."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from counterfoil.core.seal import LogEntry
from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, as_records, execute

_encoded: Final = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class _LogRow:
    org_id: int
    invoice_id: UUID
    sequence: int
    from_status: str | None
    to_status: str
    event: str
    operator_uid: str
    reason: str
    metadata: str
    request_id: str | None
    at: datetime
    seal: bytes


@dataclass(frozen=True, slots=True)
class _Seal:
    invoice_id: UUID
    seal: bytes


@dataclass(frozen=True, slots=True)
class ChainHead:
    """Where an invoice says its log has got to; a chain that ends earlier has lost its end."""

    org_id: int
    invoice_id: UUID
    version: int
    status: str


async def append_all(tx: Tx, entries: Sequence[tuple[LogEntry, bytes]]) -> None:
    """Add entries, each with its seal; those of one invoice are in their order.

    The caller holds the invoices locked.
    """
    await execute(
        tx,
        """
        INSERT INTO invoice_log (org_id, invoice_id, sequence, from_status, to_status, event,
            operator_uid, reason, metadata, request_id, at, seal)
        SELECT org_id, invoice_id, sequence, from_status, to_status, event, operator_uid, reason,
               metadata, request_id, at, decode(seal, 'hex')
          FROM json_to_recordset(%(rows)s::json) AS entry (org_id bigint, invoice_id uuid,
               sequence integer, from_status text, to_status text, event text, operator_uid text,
               reason text, metadata text, request_id text, at timestamptz, seal text)
        """,
        {"rows": as_records([_columns(entry, seal) for entry, seal in entries])},
    )


async def last_seals(tx: Tx, org_id: int, ends: Collection[tuple[UUID, int]]) -> dict[UUID, bytes]:
    """The seals of these invoices' entries; with each goes the sequence of its last one."""
    wanted = [(invoice_id, sequence) for invoice_id, sequence in ends if sequence]
    if not wanted:
        return {}
    rows = await all_rows(
        tx,
        _Seal,
        """
        SELECT invoice_id, seal FROM invoice_log
          JOIN unnest(%(ids)s::uuid[], %(sequences)s::integer[]) AS wanted (invoice_id, sequence)
         USING (invoice_id, sequence)
         WHERE org_id = %(org_id)s
        """,
        {
            "org_id": org_id,
            "ids": [invoice_id for invoice_id, _ in wanted],
            "sequences": [sequence for _, sequence in wanted],
        },
    )
    return {row.invoice_id: row.seal for row in rows}


async def of_invoice(tx: Tx, org_id: int, invoice_id: UUID) -> list[tuple[LogEntry, bytes]]:
    """An invoice's entries with their seals, oldest first."""
    rows = await all_rows(
        tx,
        _LogRow,
        """
        SELECT org_id, invoice_id, sequence, from_status, to_status, event, operator_uid, reason,
               metadata, request_id, at, seal
          FROM invoice_log
         WHERE org_id = %(org_id)s AND invoice_id = %(invoice_id)s
         ORDER BY sequence
        """,
        {"org_id": org_id, "invoice_id": invoice_id},
    )
    return [(_entry(row), row.seal) for row in rows]


async def edits(tx: Tx, org_id: int, invoice_ids: Collection[UUID]) -> list[LogEntry]:
    """The entries about changes of these invoices, each invoice's oldest first."""
    rows = await all_rows(
        tx,
        _LogRow,
        """
        SELECT org_id, invoice_id, sequence, from_status, to_status, event, operator_uid, reason,
               metadata, request_id, at, seal
          FROM invoice_log
         WHERE org_id = %(org_id)s AND invoice_id = ANY(%(invoice_ids)s) AND event = 'edit'
         ORDER BY invoice_id, sequence
        """,
        {"org_id": org_id, "invoice_ids": list(invoice_ids)},
    )
    return [_entry(row) for row in rows]


async def heads(tx: Tx, *, after: tuple[int, UUID], limit: int) -> list[ChainHead]:
    """The next invoices in (org_id, invoice_id) order, for walking through all chains."""
    return await all_rows(
        tx,
        ChainHead,
        """
        SELECT org_id, invoice_id, version, status FROM invoice
         WHERE (org_id, invoice_id) > (%(org_id)s, %(invoice_id)s)
         ORDER BY org_id, invoice_id
         LIMIT %(limit)s
        """,
        {"org_id": after[0], "invoice_id": after[1], "limit": limit},
    )


async def of_invoices(tx: Tx, heads: list[ChainHead]) -> dict[UUID, list[tuple[LogEntry, bytes]]]:
    """The chains of many invoices at once, each oldest first."""
    rows = await all_rows(
        tx,
        _LogRow,
        """
        SELECT log.org_id, log.invoice_id, sequence, from_status, to_status, event, operator_uid,
               reason, metadata, request_id, at, seal
          FROM invoice_log AS log
          JOIN unnest(%(org_ids)s::bigint[], %(invoice_ids)s::uuid[]) AS wanted (org_id, invoice_id)
            ON (log.org_id, log.invoice_id) = (wanted.org_id, wanted.invoice_id)
         ORDER BY log.org_id, log.invoice_id, sequence
        """,
        {
            "org_ids": [head.org_id for head in heads],
            "invoice_ids": [head.invoice_id for head in heads],
        },
    )
    chains: dict[UUID, list[tuple[LogEntry, bytes]]] = {head.invoice_id: [] for head in heads}
    for row in rows:
        chains[row.invoice_id].append((_entry(row), row.seal))
    return chains


def _entry(row: _LogRow) -> LogEntry:
    return LogEntry(
        org_id=row.org_id,
        invoice_id=row.invoice_id,
        sequence=row.sequence,
        from_status=row.from_status,
        to_status=row.to_status,
        event=row.event,
        operator_uid=row.operator_uid,
        reason=row.reason,
        metadata=json.loads(row.metadata),
        request_id=row.request_id,
        at=row.at,
    )


def _columns(entry: LogEntry, seal: bytes) -> Mapping[str, object]:
    return {
        "org_id": entry.org_id,
        "invoice_id": entry.invoice_id,
        "sequence": entry.sequence,
        "from_status": entry.from_status,
        "to_status": entry.to_status,
        "event": entry.event,
        "operator_uid": entry.operator_uid,
        "reason": entry.reason,
        "metadata": _encoded(entry.metadata),
        "request_id": entry.request_id,
        "at": entry.at,
        "seal": seal.hex(),
    }


async def in_period(  # noqa: PLR0913 - a period, and a place in it
    tx: Tx,
    org_id: int,
    *,
    start: datetime,
    end: datetime,
    after: tuple[UUID, int],
    limit: int,
) -> list[tuple[LogEntry, bytes]]:
    """The next entries of an organisation from ``start`` to before ``end``, invoice by invoice."""
    rows = await all_rows(
        tx,
        _LogRow,
        """
        SELECT org_id, invoice_id, sequence, from_status, to_status, event, operator_uid, reason,
               metadata, request_id, at, seal
          FROM invoice_log
         WHERE org_id = %(org_id)s AND at >= %(start)s AND at < %(end)s
           AND (invoice_id, sequence) > (%(invoice_id)s, %(sequence)s)
         ORDER BY invoice_id, sequence LIMIT %(limit)s
        """,
        {
            "org_id": org_id,
            "start": start,
            "end": end,
            "invoice_id": after[0],
            "sequence": after[1],
            "limit": limit,
        },
    )
    return [(_entry(row), row.seal) for row in rows]
