"""Passkeys: public keys whose other half never leaves somebody's telephone, machine or stick."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString
from uuid import UUID

from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute, one_row


@dataclass(frozen=True, slots=True)
class PasskeyRow:
    """A passkey. ``public_key`` is a COSE key (RFC 9052); ``sign_count`` what it last counted.

    ``blocked_at`` is set once it may have been copied.
    """

    passkey_id: UUID
    person_id: UUID
    credential_id: bytes
    public_key: bytes
    sign_count: int
    label: str
    created_at: datetime
    used_at: datetime | None
    blocked_at: datetime | None


_PASSKEYS: Final[LiteralString] = """
    SELECT passkey_id, person_id, credential_id, public_key, sign_count, label, created_at,
           used_at, blocked_at
      FROM passkey
"""


async def insert(tx: Tx, row: PasskeyRow) -> None:
    """Keep a passkey; one that somebody has already is an error."""
    await execute(
        tx,
        """
        INSERT INTO passkey (passkey_id, person_id, credential_id, public_key, sign_count, label,
            created_at)
        VALUES (%(passkey_id)s, %(person_id)s, %(credential_id)s, %(public_key)s, %(sign_count)s,
            %(label)s, %(created_at)s)
        """,
        {
            "passkey_id": row.passkey_id,
            "person_id": row.person_id,
            "credential_id": row.credential_id,
            "public_key": row.public_key,
            "sign_count": row.sign_count,
            "label": row.label,
            "created_at": row.created_at,
        },
    )


async def of_person(tx: Tx, person_id: UUID) -> list[PasskeyRow]:
    """A person's passkeys, blocked ones too, the oldest first."""
    return await all_rows(
        tx,
        PasskeyRow,
        _PASSKEYS + " WHERE person_id = %(person_id)s ORDER BY created_at, passkey_id",
        {"person_id": person_id},
    )


async def lock(tx: Tx, credential_id: bytes) -> PasskeyRow | None:
    """The passkey behind an answer, held until the transaction ends, so that it counts once."""
    return await one_row(
        tx,
        PasskeyRow,
        _PASSKEYS + " WHERE credential_id = %(credential_id)s FOR UPDATE",
        {"credential_id": credential_id},
    )


async def used(tx: Tx, passkey_id: UUID, sign_count: int, now: datetime) -> None:
    """Remember that a passkey was used, and how far it has counted."""
    await execute(
        tx,
        """
        UPDATE passkey SET sign_count = %(sign_count)s, used_at = %(now)s
         WHERE passkey_id = %(passkey_id)s
        """,
        {"passkey_id": passkey_id, "sign_count": sign_count, "now": now},
    )


async def block(tx: Tx, passkey_id: UUID, now: datetime) -> bool:
    """Take a passkey no longer; False where it is blocked or gone already."""
    return bool(
        await execute(
            tx,
            """
            UPDATE passkey SET blocked_at = %(now)s
             WHERE passkey_id = %(passkey_id)s AND blocked_at IS NULL
            """,
            {"passkey_id": passkey_id, "now": now},
        )
    )


async def forget(tx: Tx, person_id: UUID, passkey_id: UUID | None = None) -> int:
    """Take one of a person's passkeys away, or all of them; answers how many that were."""
    return await execute(
        tx,
        """
        DELETE FROM passkey
         WHERE person_id = %(person_id)s
           AND (%(passkey_id)s::uuid IS NULL OR passkey_id = %(passkey_id)s)
        """,
        {"person_id": person_id, "passkey_id": passkey_id},
    )


async def use_challenge(
    tx: Tx, challenge_hash: bytes, *, now: datetime, expires_at: datetime
) -> bool:
    """Use a challenge up; False where it was answered before. Those that are too old are swept."""
    await execute(tx, "DELETE FROM answered_challenge WHERE expires_at < %(now)s", {"now": now})
    return bool(
        await execute(
            tx,
            """
            INSERT INTO answered_challenge (challenge_hash, expires_at)
            VALUES (%(challenge_hash)s, %(expires_at)s)
            ON CONFLICT DO NOTHING
            """,
            {"challenge_hash": challenge_hash, "expires_at": expires_at},
        )
    )
