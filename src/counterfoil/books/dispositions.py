"""Hits that two people found to mean somebody else. They are only ever added."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute


@dataclass(frozen=True, slots=True)
class DispositionRow:
    """One of them: good for this customer, this payer and exactly what the hit said."""

    org_id: int
    disposition_id: UUID
    party: str
    payer: str
    fingerprint: str
    list_code: str
    entry_uid: str
    invoice_id: UUID
    people: Sequence[str]
    evidence: Sequence[UUID]
    decided_at: datetime


async def add(tx: Tx, row: DispositionRow) -> None:
    """Keep one; the same decided again somewhere else changes nothing."""
    await execute(
        tx,
        """
        INSERT INTO screening_disposition (org_id, disposition_id, party, payer, fingerprint,
            list_code, entry_uid, invoice_id, people, evidence, decided_at)
        VALUES (%(org_id)s, %(disposition_id)s, %(party)s, %(payer)s, %(fingerprint)s,
            %(list_code)s, %(entry_uid)s, %(invoice_id)s, %(people)s, %(evidence)s,
            %(decided_at)s)
        ON CONFLICT (org_id, party, payer, fingerprint) DO NOTHING
        """,
        {name: getattr(row, name) for name in DispositionRow.__slots__}
        | {"people": list(row.people), "evidence": list(row.evidence)},
    )


_SELECT: Final = """
    SELECT org_id, disposition_id, party, payer, fingerprint, list_code, entry_uid, invoice_id,
           people, evidence, decided_at
      FROM screening_disposition
    """


async def of_payers(
    tx: Tx, org_ids: Collection[int], payers: Collection[str]
) -> list[DispositionRow]:
    """All about any of these addresses, in these organisations."""
    return await all_rows(
        tx,
        DispositionRow,
        _SELECT
        + """
         WHERE org_id = ANY(%(org_ids)s) AND payer = ANY(%(payers)s)
        """,
        {"org_ids": list(org_ids), "payers": list(payers)},
    )


async def of_invoices(tx: Tx, org_id: int, invoice_ids: Collection[UUID]) -> list[DispositionRow]:
    """All that were decided at these invoices."""
    return await all_rows(
        tx,
        DispositionRow,
        _SELECT
        + """
         WHERE org_id = %(org_id)s AND invoice_id = ANY(%(invoice_ids)s)
         ORDER BY decided_at, disposition_id
        """,
        {"org_id": org_id, "invoice_ids": list(invoice_ids)},
    )
