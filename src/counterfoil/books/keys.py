"""API keys as people see them: by whom, for what, until when, last used when."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, all_values, execute, one_value


@dataclass(frozen=True, slots=True)
class KeyShown:
    """A key without its secret. ``scopes`` is None for all that its member may do.

    ``client`` is the name of the only integration that may use it; None for any.
    """

    key_id: str
    label: str
    member_id: UUID
    name: str
    roles: list[str]
    scopes: list[str] | None
    auto_approve: bool
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    client: str | None = None


async def of_org(tx: Tx, org_id: int, member_id: UUID | None = None) -> list[KeyShown]:
    """The keys of an organisation, or of one member, the newest first."""
    return await all_rows(
        tx,
        KeyShown,
        """
        SELECT key_id, label, member_id, person.name, roles, scopes, auto_approve,
               api_key.created_at, expires_at, revoked_at, last_used_at, client.name AS client
          FROM api_key
          LEFT JOIN client USING (org_id, client_id)
          JOIN member USING (org_id, member_id)
          JOIN person USING (person_id)
         WHERE org_id = %(org_id)s
           AND (%(member_id)s::uuid IS NULL OR member_id = %(member_id)s)
         ORDER BY api_key.created_at DESC, key_id
        """,
        {"org_id": org_id, "member_id": member_id},
    )


async def usable(tx: Tx, org_id: int, member_id: UUID, now: datetime) -> int:
    """How many keys of a member are good."""
    return (
        await one_value(
            tx,
            int,
            """
            SELECT count(*) FROM api_key
             WHERE org_id = %(org_id)s AND member_id = %(member_id)s AND revoked_at IS NULL
               AND (expires_at IS NULL OR expires_at > %(now)s)
            """,
            {"org_id": org_id, "member_id": member_id, "now": now},
        )
        or 0
    )


async def revoke(
    tx: Tx, org_id: int, key_id: str, member_id: UUID | None, now: datetime
) -> str | None:
    """End a key, of this member where one is named; answers its label, None where it was none."""
    found = await all_values(
        tx,
        str,
        """
        UPDATE api_key SET revoked_at = %(now)s
         WHERE org_id = %(org_id)s AND key_id = %(key_id)s AND revoked_at IS NULL
           AND (%(member_id)s::uuid IS NULL OR member_id = %(member_id)s)
        RETURNING label
        """,
        {"org_id": org_id, "key_id": key_id, "member_id": member_id, "now": now},
    )
    return found[0] if found else None


async def used(tx: Tx, key_id: str, now: datetime, every: timedelta) -> None:
    """Note that a key is used, unless that was noted just before, or somebody does so now."""
    await execute(
        tx,
        """
        UPDATE api_key SET last_used_at = %(now)s
         WHERE key_id = (SELECT key_id FROM api_key
                          WHERE key_id = %(key_id)s
                            AND (last_used_at IS NULL OR last_used_at <= %(before)s)
                            FOR NO KEY UPDATE SKIP LOCKED)
        """,
        {"key_id": key_id, "now": now, "before": now - every},
    )
