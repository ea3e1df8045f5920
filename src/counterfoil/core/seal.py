"""The audit seal: each log entry carries a hash over itself and the entry before it.

The hash is SHA-256 over the previous hash (32 bytes; zeros for the first entry) and the
entry's canonical JSON: keys sorted, no blanks, UTF-8, times as ISO 8601 in UTC with
microseconds. Changing, removing or reordering any entry breaks every later link.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

GENESIS: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of an invoice's history. The order of the fields is not part of the seal."""

    org_id: int
    invoice_id: UUID
    sequence: int
    from_status: str | None
    to_status: str
    event: str
    operator_uid: str
    reason: str
    metadata: Mapping[str, object]
    request_id: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class OrgEntry:
    """One line of an organisation's own history: what was done to its members, keys and rules.

    ``subject`` names what it was done to, as in ``user_...``.
    """

    org_id: int
    sequence: int
    at: datetime
    operator_uid: str
    event: str
    subject: str
    metadata: Mapping[str, object]
    request_id: str | None


def canonical(entry: LogEntry | OrgEntry) -> bytes:
    """The exact bytes that are sealed. The two kinds of entry have other keys, so none is both."""
    if isinstance(entry, OrgEntry):
        return _bytes(
            {
                "at": _time(entry.at),
                "event": entry.event,
                "metadata": entry.metadata,
                "operator_uid": entry.operator_uid,
                "org_id": entry.org_id,
                "request_id": entry.request_id,
                "sequence": entry.sequence,
                "subject": entry.subject,
            }
        )
    return _bytes(
        {
            "at": _time(entry.at),
            "event": entry.event,
            "from_status": entry.from_status,
            "invoice_id": str(entry.invoice_id),
            "metadata": entry.metadata,
            "operator_uid": entry.operator_uid,
            "org_id": entry.org_id,
            "reason": entry.reason,
            "request_id": entry.request_id,
            "sequence": entry.sequence,
            "to_status": entry.to_status,
        }
    )


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


_encoded: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
"""Made once: `json.dumps` would make one for each entry."""


def _bytes(content: Mapping[str, object]) -> bytes:
    return _encoded(content).encode()


def link(previous: bytes, entry: LogEntry | OrgEntry) -> bytes:
    """The seal of ``entry`` when it follows the entry sealed with ``previous``."""
    return hashlib.sha256(previous + canonical(entry)).digest()


@dataclass(frozen=True, slots=True)
class Break:
    """Where a chain of log entries does not hold, and in which way."""

    invoice_id: UUID
    sequence: int
    finding: str


def verify(chain: Iterable[tuple[LogEntry, bytes]]) -> Break | None:
    """Recompute one invoice's chain of (entry, stored seal), oldest first; None when it holds."""
    previous = GENESIS
    from_status: str | None = None
    for expected, (entry, stored) in enumerate(chain, start=1):
        if entry.sequence != expected:
            return Break(entry.invoice_id, expected, "an entry is missing")
        if entry.from_status != from_status:
            return Break(entry.invoice_id, expected, "it does not start where the last one ended")
        if link(previous, entry) != stored:
            return Break(entry.invoice_id, expected, "its seal does not match its content")
        previous, from_status = stored, entry.to_status
    return None


@dataclass(frozen=True, slots=True)
class OrgBreak:
    """Where an organisation's own history does not hold, and in which way."""

    org_id: int
    sequence: int
    finding: str


def verify_org(
    org_id: int, chain: Iterable[tuple[OrgEntry, bytes]], length: int
) -> OrgBreak | None:
    """Recompute an organisation's own chain, oldest first, which should have ``length`` entries."""
    previous = GENESIS
    expected = 0
    for expected, (entry, stored) in enumerate(chain, start=1):
        if entry.sequence != expected:
            return OrgBreak(org_id, expected, "an entry is missing")
        if link(previous, entry) != stored:
            return OrgBreak(org_id, expected, "its seal does not match its content")
        previous = stored
    if expected != length:
        return OrgBreak(org_id, expected + 1, "the end of the log is missing")
    return None
