"""What payment pages ask of the books beside the invoice itself."""

from datetime import datetime
from uuid import UUID

from counterfoil.db.pool import Tx
from counterfoil.db.rows import one_value


async def standing_since(tx: Tx, org_id: int, invoice_id: UUID) -> datetime | None:
    """When the invoice got to the status that it has, by its log; None where there is no log."""
    return await one_value(
        tx,
        datetime,
        """
        SELECT at FROM invoice_log
         WHERE org_id = %(org_id)s AND invoice_id = %(invoice_id)s
           AND from_status IS DISTINCT FROM to_status
         ORDER BY sequence DESC LIMIT 1
        """,
        {"org_id": org_id, "invoice_id": invoice_id},
    )
