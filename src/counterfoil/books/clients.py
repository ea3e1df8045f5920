"""Client ids: the integrations of an organisation, which its API keys are used with."""

from dataclasses import dataclass
from datetime import datetime

from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute


@dataclass(frozen=True, slots=True)
class Client:
    """An integration. Its id is what programs send as ``X-Client-ID``."""

    client_id: str
    name: str
    created_at: datetime
    disabled_at: datetime | None


async def of_org(tx: Tx, org_id: int) -> list[Client]:
    """All of an organisation, the oldest first, disabled ones too."""
    return await all_rows(
        tx,
        Client,
        """
        SELECT client_id, name, created_at, disabled_at FROM client
         WHERE org_id = %(org_id)s ORDER BY created_at, client_id
        """,
        {"org_id": org_id},
    )


async def insert(tx: Tx, org_id: int, client: Client) -> None:
    """Write a new one; an id that the organisation has is an error."""
    await execute(
        tx,
        """
        INSERT INTO client (org_id, client_id, name, created_at, disabled_at)
        VALUES (%(org_id)s, %(client_id)s, %(name)s, %(created_at)s, %(disabled_at)s)
        """,
        {
            "org_id": org_id,
            "client_id": client.client_id,
            "name": client.name,
            "created_at": client.created_at,
            "disabled_at": client.disabled_at,
        },
    )


async def save(tx: Tx, org_id: int, client: Client) -> None:
    """Replace the name of one, and since when it is disabled."""
    await execute(
        tx,
        """
        UPDATE client SET name = %(name)s, disabled_at = %(disabled_at)s
         WHERE org_id = %(org_id)s AND client_id = %(client_id)s
        """,
        {
            "org_id": org_id,
            "client_id": client.client_id,
            "name": client.name,
            "disabled_at": client.disabled_at,
        },
    )
