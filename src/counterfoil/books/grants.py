"""Roles that members were given and that do not hold yet."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute, one_row


@dataclass(frozen=True, slots=True)
class Grant:
    """A role that a member gets at ``holds_at``, or when a second administrator agrees.

    ``asked_by`` asked first; ``renewed_by`` had it begin again since, knowing a new link.
    """

    org_id: int
    member_id: UUID
    role: str
    asked_by: str
    asked_at: datetime
    holds_at: datetime
    renewed_by: Sequence[str] = ()

    @property
    def askers(self) -> frozenset[str]:
        """All who asked for it; none of them is a second person to it."""
        return frozenset({self.asked_by, *self.renewed_by})


async def put(tx: Tx, grant: Grant) -> None:
    """Have a role wait, in the place of what was asked for before."""
    await execute(
        tx,
        """
        INSERT INTO role_grant (org_id, member_id, role, asked_by, asked_at, holds_at, renewed_by)
        VALUES (%(org_id)s, %(member_id)s, %(role)s, %(asked_by)s, %(asked_at)s, %(holds_at)s,
                %(renewed_by)s)
        ON CONFLICT (org_id, member_id, role) DO UPDATE
           SET asked_by = excluded.asked_by, asked_at = excluded.asked_at,
               holds_at = excluded.holds_at, renewed_by = excluded.renewed_by
        """,
        {
            "org_id": grant.org_id,
            "member_id": grant.member_id,
            "role": grant.role,
            "asked_by": grant.asked_by,
            "asked_at": grant.asked_at,
            "holds_at": grant.holds_at,
            "renewed_by": list(grant.renewed_by),
        },
    )


async def of_org(tx: Tx, org_id: int) -> list[Grant]:
    """All that wait in an organisation, those first that hold first."""
    return await all_rows(
        tx,
        Grant,
        """
        SELECT org_id, member_id, role, asked_by, asked_at, holds_at, renewed_by
          FROM role_grant
         WHERE org_id = %(org_id)s ORDER BY holds_at, member_id, role
        """,
        {"org_id": org_id},
    )


async def get(tx: Tx, org_id: int, member_id: UUID, role: str) -> Grant | None:
    """One that waits, or None."""
    return await one_row(
        tx,
        Grant,
        """
        SELECT org_id, member_id, role, asked_by, asked_at, holds_at, renewed_by
          FROM role_grant
         WHERE org_id = %(org_id)s AND member_id = %(member_id)s AND role = %(role)s
        """,
        {"org_id": org_id, "member_id": member_id, "role": role},
    )


async def due(tx: Tx, now: datetime, *, limit: int) -> list[Grant]:
    """Those whose time has come, of all organisations."""
    return await all_rows(
        tx,
        Grant,
        """
        SELECT org_id, member_id, role, asked_by, asked_at, holds_at, renewed_by
          FROM role_grant
         WHERE holds_at <= %(now)s ORDER BY holds_at LIMIT %(limit)s
        """,
        {"now": now, "limit": limit},
    )


async def hold_back(tx: Tx, org_id: int, now: datetime, wait: timedelta) -> int:
    """Have roles that wait keep to a longer waiting; answers how many those are."""
    return await execute(
        tx,
        """
        UPDATE role_grant SET holds_at = asked_at + %(wait)s
         WHERE org_id = %(org_id)s AND holds_at > %(now)s AND holds_at < asked_at + %(wait)s
        """,
        {"org_id": org_id, "now": now, "wait": wait},
    )


async def remove(tx: Tx, org_id: int, member_id: UUID, roles: Collection[str]) -> None:
    """Have them wait no longer."""
    await execute(
        tx,
        """
        DELETE FROM role_grant
         WHERE org_id = %(org_id)s AND member_id = %(member_id)s AND role = ANY(%(roles)s)
        """,
        {"org_id": org_id, "member_id": member_id, "roles": list(roles)},
    )
