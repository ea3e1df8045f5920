"""All logs of a period, to be taken along: as sealed lines of JSON, or as a table.

A line of JSON carries the very bytes that its seal was made over, so that whoever holds all lines
of a log can compute the chain again without us (`counterfoil.core.seal`).
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal, get_args
from uuid import UUID

from counterfoil.books import audit, org_log
from counterfoil.core import ids, sheet
from counterfoil.core.errors import Invalid
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.seal import LogEntry, OrgEntry, canonical
from counterfoil.desk.desk import Desk
from counterfoil.desk.org_log import note

Form = Literal["jsonl", "csv"]
FORMS: Final = get_args(Form)

COLUMNS: Final = (
    "log",
    "sequence",
    "at",
    "operator",
    "event",
    "subject",
    "from_status",
    "to_status",
    "reason",
    "metadata",
    "request",
    "seal",
)

_BATCH: Final = 500

Sealed = tuple[LogEntry | OrgEntry, bytes]


@dataclass(frozen=True, slots=True)
class Period:
    """From the start of one day to the end of another, in UTC."""

    first: date
    last: date

    @property
    def start(self) -> datetime:
        """The first moment that belongs to it."""
        return datetime.combine(self.first, time(), UTC)

    @property
    def end(self) -> datetime:
        """The first moment after it."""
        return datetime.combine(self.last + timedelta(days=1), time(), UTC)


async def begin(desk: Desk, period: Period, form: Form, by: Actor) -> AsyncIterator[bytes]:
    """Note who takes the logs along, and answer them piece by piece, as they are read.

    Raises `Forbidden`, and `Invalid` for a period that ends before it begins.
    """
    by.require(Permission.AUDIT)
    if period.last < period.first:
        raise Invalid.field("last", "must not be before the first day")
    async with desk.database.transaction() as tx:
        await note(
            desk,
            tx,
            by,
            "audit_exported",
            "",
            first=period.first.isoformat(),
            last=period.last.isoformat(),
            form=form,
        )
    return _pieces(desk, by.org_id, period, form)


async def _pieces(desk: Desk, org_id: int, period: Period, form: Form) -> AsyncIterator[bytes]:
    if form == "csv":
        yield (sheet.BYTE_ORDER_MARK + sheet.rows([COLUMNS])).encode()
    async for batch in _batches(desk, org_id, period):
        if form == "csv":
            yield sheet.rows(_row(entry, seal) for entry, seal in batch).encode()
        else:
            yield b"".join(_line(entry, seal) for entry, seal in batch)


async def _batches(desk: Desk, org_id: int, period: Period) -> AsyncIterator[list[Sealed]]:
    """The organisation's own log, then those of its invoices; each batch read by itself."""
    async with desk.database.reading() as tx:
        own = await org_log.of_org(tx, org_id)
    yield [pair for pair in own if period.start <= pair[0].at < period.end]
    after = (UUID(int=0), 0)
    while True:
        async with desk.database.reading() as tx:
            found = await audit.in_period(
                tx, org_id, start=period.start, end=period.end, after=after, limit=_BATCH
            )
        yield [*found]
        if len(found) < _BATCH:
            return
        after = (found[-1][0].invoice_id, found[-1][0].sequence)


def _line(entry: LogEntry | OrgEntry, seal: bytes) -> bytes:
    name = b"invoice" if isinstance(entry, LogEntry) else b"organisation"
    return b'{"log":"%b","seal":"%b","entry":%b}\n' % (
        name,
        seal.hex().encode(),
        canonical(entry),
    )


def _row(entry: LogEntry | OrgEntry, seal: bytes) -> tuple[str, ...]:
    if isinstance(entry, LogEntry):
        subject = ids.public("inv", entry.invoice_id)
        told = ("invoice", entry.from_status or "", entry.to_status, entry.reason)
    else:
        subject, told = entry.subject, ("organisation", "", "", "")
    log, before, after, reason = told
    return (
        log,
        str(entry.sequence),
        entry.at.astimezone(UTC).isoformat(),
        entry.operator_uid,
        entry.event,
        subject,
        before,
        after,
        reason,
        json.dumps(entry.metadata, ensure_ascii=False, sort_keys=True),
        entry.request_id or "",
        seal.hex(),
    )
