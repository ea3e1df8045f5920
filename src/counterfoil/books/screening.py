"""Screening runs, and the sanctions lists they search. Both only ever grow.

A run is never changed, and a listed address that is delisted keeps its row with the version in
which it left, so that every old verdict can be explained (specs/aml.md 5 and 6).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, as_records, execute, execute_many, one_row


@dataclass(frozen=True, slots=True)
class ScreeningRun:
    """One finished screening: ``scores`` are the flat ``kya_*`` fields, ``record`` tells why.

    ``is_stray``: it was about what strayed here beside the payment, and says nothing of that.
    """

    org_id: int
    run_id: UUID
    invoice_id: UUID
    decision: str
    total: Decimal
    scores: Mapping[str, str | None]
    record: Mapping[str, object]
    created_at: datetime
    is_stray: bool = False


@dataclass(frozen=True, slots=True)
class ListRow:
    """The current version of one list. ``imported_at``: when it was last known to be current."""

    list_code: str
    published_on: date | None
    imported_at: datetime
    sha256: str
    entry_count: int
    address_count: int
    version: int
    source: str


@dataclass(frozen=True, slots=True)
class ListedRow:
    """One address of one entry of one list, under one label."""

    list_code: str
    family: str
    address: str
    entry_uid: str
    label: str
    source: str
    names: Sequence[str]
    programs: Sequence[str]


async def add_runs(tx: Tx, runs: Sequence[ScreeningRun]) -> None:
    """Keep runs."""
    await execute(
        tx,
        """
        INSERT INTO screening_run
            (org_id, run_id, invoice_id, decision, total, scores, record, created_at, is_stray)
        SELECT * FROM json_to_recordset(%(rows)s::json) AS run (org_id bigint, run_id uuid,
            invoice_id uuid, decision text, total numeric, scores jsonb, record jsonb,
            created_at timestamptz, is_stray boolean)
        """,
        {"rows": as_records([_columns(run) for run in runs])},
    )


async def latest_of_invoices(
    tx: Tx, org_id: int, invoice_ids: Sequence[UUID], *, is_stray: bool = False
) -> list[ScreeningRun]:
    """The newest run of each of these invoices that has one, about the payment or beside it."""
    return await all_rows(
        tx,
        ScreeningRun,
        """
        SELECT DISTINCT ON (invoice_id)
               org_id, run_id, invoice_id, decision, total, scores, record, created_at, is_stray
          FROM screening_run
         WHERE org_id = %(org_id)s AND invoice_id = ANY(%(invoice_ids)s)
           AND is_stray = %(is_stray)s
         ORDER BY invoice_id, created_at DESC, run_id DESC
        """,
        {"org_id": org_id, "invoice_ids": list(invoice_ids), "is_stray": is_stray},
    )


async def of_ids(tx: Tx, org_id: int, run_ids: Sequence[UUID]) -> list[ScreeningRun]:
    """Those of the runs that exist, the oldest first."""
    return await all_rows(
        tx,
        ScreeningRun,
        """
        SELECT org_id, run_id, invoice_id, decision, total, scores, record, created_at, is_stray
          FROM screening_run
         WHERE org_id = %(org_id)s AND run_id = ANY(%(run_ids)s)
         ORDER BY created_at, run_id
        """,
        {"org_id": org_id, "run_ids": list(run_ids)},
    )


async def lists(tx: Tx) -> list[ListRow]:
    """Every list there is."""
    return await all_rows(
        tx,
        ListRow,
        """
        SELECT list_code, published_on, imported_at, sha256, entry_count, address_count, version,
               source
          FROM screening_list ORDER BY list_code
        """,
        {},
    )


async def lock_list(tx: Tx, list_code: str) -> ListRow | None:
    """One list, held against other imports; None when it was never imported."""
    return await one_row(
        tx,
        ListRow,
        """
        SELECT list_code, published_on, imported_at, sha256, entry_count, address_count, version,
               source
          FROM screening_list WHERE list_code = %(list_code)s FOR UPDATE
        """,
        {"list_code": list_code},
    )


async def put_list(tx: Tx, row: ListRow) -> None:
    """Say which version of a list is current."""
    await execute(
        tx,
        """
        INSERT INTO screening_list (list_code, published_on, imported_at, sha256, entry_count,
            address_count, version, source)
        VALUES (%(list_code)s, %(published_on)s, %(imported_at)s, %(sha256)s, %(entry_count)s,
            %(address_count)s, %(version)s, %(source)s)
        ON CONFLICT (list_code) DO UPDATE
           SET published_on = excluded.published_on, imported_at = excluded.imported_at,
               sha256 = excluded.sha256, entry_count = excluded.entry_count,
               address_count = excluded.address_count, version = excluded.version,
               source = excluded.source
        """,
        {
            "list_code": row.list_code,
            "published_on": row.published_on,
            "imported_at": row.imported_at,
            "sha256": row.sha256,
            "entry_count": row.entry_count,
            "address_count": row.address_count,
            "version": row.version,
            "source": row.source,
        },
    )


async def listed(tx: Tx, list_code: str) -> list[ListedRow]:
    """Every address that stands on a list now."""
    return await all_rows(
        tx,
        ListedRow,
        """
        SELECT list_code, family, address, entry_uid, label, source, names, programs
          FROM screening_list_address
         WHERE list_code = %(list_code)s AND version_to IS NULL
        """,
        {"list_code": list_code},
    )


async def find(tx: Tx, forms: Sequence[tuple[str, str]]) -> list[ListedRow]:
    """What stands on any list now under these ``(family, address)`` pairs."""
    return await all_rows(
        tx,
        ListedRow,
        """
        SELECT list_code, family, address, entry_uid, label, source, names, programs
          FROM screening_list_address
         WHERE (family, address) IN
                   (SELECT * FROM unnest(%(families)s::text[], %(addresses)s::text[]))
           AND version_to IS NULL
         ORDER BY list_code, family, address, entry_uid, label
        """,
        {
            "families": [family for family, _ in forms],
            "addresses": [address for _, address in forms],
        },
    )


async def put_on_list(tx: Tx, rows: Sequence[ListedRow], version: int) -> None:
    """Add addresses that a version of their list brings."""
    await execute_many(
        tx,
        """
        INSERT INTO screening_list_address
            (list_code, family, address, entry_uid, label, source, names, programs, version_from)
        VALUES (%(list_code)s, %(family)s, %(address)s, %(entry_uid)s, %(label)s, %(source)s,
            %(names)s, %(programs)s, %(version)s)
        """,
        [_listed_parameters(row, version) for row in rows],
    )


async def take_off_list(tx: Tx, rows: Sequence[ListedRow], version: int) -> None:
    """Close addresses that a version of their list no longer has."""
    await execute_many(
        tx,
        """
        UPDATE screening_list_address SET version_to = %(version)s
         WHERE list_code = %(list_code)s AND family = %(family)s AND address = %(address)s
           AND entry_uid = %(entry_uid)s AND label = %(label)s AND version_to IS NULL
        """,
        [_listed_parameters(row, version) for row in rows],
    )


def _listed_parameters(row: ListedRow, version: int) -> dict[str, object]:
    return {
        "list_code": row.list_code,
        "family": row.family,
        "address": row.address,
        "entry_uid": row.entry_uid,
        "label": row.label,
        "source": row.source,
        "names": list(row.names),
        "programs": list(row.programs),
        "version": version,
    }


def _columns(run: ScreeningRun) -> dict[str, object]:
    return {
        "org_id": run.org_id,
        "run_id": run.run_id,
        "invoice_id": run.invoice_id,
        "decision": run.decision,
        "total": run.total,
        "scores": run.scores,
        "record": run.record,
        "created_at": run.created_at,
        "is_stray": run.is_stray,
    }
