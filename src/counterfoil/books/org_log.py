"""What was done to organisations themselves: append-only, sealed, one chain for each."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from counterfoil.core.seal import GENESIS, OrgEntry, link
from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, all_values, execute, one_value

_BATCH = 500


@dataclass(frozen=True, slots=True)
class _OrgLogRow:
    org_id: int
    sequence: int
    at: datetime
    operator_uid: str
    event: str
    subject: str
    metadata: str
    request_id: str | None
    seal: bytes


async def next_sequence(tx: Tx, org_id: int) -> int | None:
    """Take the next place in an organisation's log; others wait for it until this commits.

    None where there is no such organisation.
    """
    return await one_value(
        tx,
        int,
        """
        UPDATE org SET log_length = log_length + 1 WHERE org_id = %(org_id)s RETURNING log_length
        """,
        {"org_id": org_id},
    )


async def append(tx: Tx, entry: OrgEntry) -> None:
    """Seal an entry, whose place is from `next_sequence`, to the one before it."""
    previous = await one_value(
        tx,
        bytes,
        "SELECT seal FROM org_log WHERE org_id = %(org_id)s AND sequence = %(sequence)s",
        {"org_id": entry.org_id, "sequence": entry.sequence - 1},
    )
    await execute(
        tx,
        """
        INSERT INTO org_log (org_id, sequence, at, operator_uid, event, subject, metadata,
            request_id, seal)
        VALUES (%(org_id)s, %(sequence)s, %(at)s, %(operator_uid)s, %(event)s, %(subject)s,
            %(metadata)s, %(request_id)s, %(seal)s)
        """,
        {
            "org_id": entry.org_id,
            "sequence": entry.sequence,
            "at": entry.at,
            "operator_uid": entry.operator_uid,
            "event": entry.event,
            "subject": entry.subject,
            "metadata": json.dumps(entry.metadata, ensure_ascii=False),
            "request_id": entry.request_id,
            "seal": link(previous or GENESIS, entry),
        },
    )


async def length(tx: Tx, org_id: int) -> int:
    """How many entries an organisation says it has."""
    return (
        await one_value(
            tx, int, "SELECT log_length FROM org WHERE org_id = %(org_id)s", {"org_id": org_id}
        )
        or 0
    )


async def org_ids(tx: Tx) -> list[int]:
    """Every organisation."""
    return await all_values(tx, int, "SELECT org_id FROM org ORDER BY org_id", {})


async def of_org(tx: Tx, org_id: int) -> list[tuple[OrgEntry, bytes]]:
    """All of an organisation's entries with their seals, oldest first."""
    return [pair async for pair in _walk(tx, org_id)]


async def _walk(tx: Tx, org_id: int) -> AsyncIterator[tuple[OrgEntry, bytes]]:
    after = 0
    while True:
        rows = await all_rows(
            tx,
            _OrgLogRow,
            """
            SELECT org_id, sequence, at, operator_uid, event, subject, metadata, request_id, seal
              FROM org_log
             WHERE org_id = %(org_id)s AND sequence > %(after)s
             ORDER BY sequence LIMIT %(limit)s
            """,
            {"org_id": org_id, "after": after, "limit": _BATCH},
        )
        for row in rows:
            yield _entry(row), row.seal
        if len(rows) < _BATCH:
            return
        after = rows[-1].sequence


def _entry(row: _OrgLogRow) -> OrgEntry:
    return OrgEntry(
        org_id=row.org_id,
        sequence=row.sequence,
        at=row.at,
        operator_uid=row.operator_uid,
        event=row.event,
        subject=row.subject,
        metadata=json.loads(row.metadata),
        request_id=row.request_id,
    )
