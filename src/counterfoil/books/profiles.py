"""What organisations say about themselves, and where their money may go."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from counterfoil.core import zones
from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute, one_row, one_value


@dataclass(frozen=True, slots=True)
class Profile:
    """An organisation as its invoices show it; what was never written is empty.

    ``logo_sha256`` is of the logo's content.
    """

    name: str
    email: str
    address: str
    tax_number: str
    logo_file_id: UUID | None
    logo_sha256: bytes | None = None
    time_zone: str = zones.DEFAULT


@dataclass(frozen=True, slots=True)
class PayoutAddress:
    """An address that is registered, and not removed. Money may go there from ``usable_at`` on."""

    payout_address_id: UUID
    family: str
    address: str
    label: str
    added_by: str
    added_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    usable_at: datetime | None

    def is_usable(self, now: datetime) -> bool:
        """Whether money may go there."""
        return self.usable_at is not None and self.usable_at <= now


@dataclass(frozen=True, slots=True)
class _Place:
    family: str
    address: str


async def get(tx: Tx, org_id: int) -> Profile | None:
    """The profile; None where there is no such organisation."""
    return await one_row(
        tx,
        Profile,
        """
        SELECT org.name, coalesce(email, '') AS email, coalesce(address, '') AS address,
               coalesce(tax_number, '') AS tax_number, logo_file_id, sha256 AS logo_sha256,
               time_zone
          FROM org
          LEFT JOIN org_profile USING (org_id)
          LEFT JOIN file ON (file.org_id, file_id) = (org.org_id, logo_file_id)
         WHERE org.org_id = %(org_id)s
        """,
        {"org_id": org_id},
    )


async def logo(tx: Tx, org_id: int) -> bytes | None:
    """The picture that the organisation shows now, a PNG; None where there is none."""
    return await one_value(
        tx,
        bytes,
        """
        SELECT content FROM org_profile
          JOIN file ON (file.org_id, file_id) = (org_profile.org_id, logo_file_id)
         WHERE org_profile.org_id = %(org_id)s
        """,
        {"org_id": org_id},
    )


async def save(tx: Tx, org_id: int, profile: Profile) -> None:
    """Replace the profile."""
    await execute(
        tx,
        "UPDATE org SET name = %(name)s, time_zone = %(time_zone)s WHERE org_id = %(org_id)s",
        {"org_id": org_id, "name": profile.name, "time_zone": profile.time_zone},
    )
    await execute(
        tx,
        """
        INSERT INTO org_profile (org_id, email, address, tax_number, logo_file_id)
        VALUES (%(org_id)s, %(email)s, %(address)s, %(tax_number)s, %(logo_file_id)s)
        ON CONFLICT (org_id) DO UPDATE
           SET email = excluded.email, address = excluded.address,
               tax_number = excluded.tax_number, logo_file_id = excluded.logo_file_id
        """,
        {
            "org_id": org_id,
            "email": profile.email,
            "address": profile.address,
            "tax_number": profile.tax_number,
            "logo_file_id": profile.logo_file_id,
        },
    )


async def payout_addresses(tx: Tx, org_id: int) -> list[PayoutAddress]:
    """The registered addresses, the newest first."""
    return await all_rows(
        tx,
        PayoutAddress,
        """
        SELECT payout_address_id, family, address, label, added_by, added_at, approved_by,
               approved_at, usable_at
          FROM payout_address
         WHERE org_id = %(org_id)s AND removed_at IS NULL
         ORDER BY added_at DESC, payout_address_id
        """,
        {"org_id": org_id},
    )


async def hold_payout_address(tx: Tx, org_id: int, family: str, address: str) -> None:
    """Keep others from removing or changing an address until the transaction ends."""
    await execute(
        tx,
        """
        SELECT FROM payout_address
         WHERE org_id = %(org_id)s AND family = %(family)s AND address = %(address)s
           AND removed_at IS NULL
           FOR SHARE
        """,
        {"org_id": org_id, "family": family, "address": address},
    )


async def removed_payout_addresses(tx: Tx, org_id: int) -> frozenset[tuple[str, str]]:
    """Families and addresses that were registered once and removed, registered again or not."""
    found = await all_rows(
        tx,
        _Place,
        """
        SELECT DISTINCT family, address FROM payout_address
         WHERE org_id = %(org_id)s AND removed_at IS NOT NULL
        """,
        {"org_id": org_id},
    )
    return frozenset((one.family, one.address) for one in found)


async def insert_payout_address(tx: Tx, org_id: int, row: PayoutAddress) -> None:
    """Register an address that nobody has approved; one that is registered is an error."""
    await execute(
        tx,
        """
        INSERT INTO payout_address (org_id, payout_address_id, family, address, label, added_by,
            added_at, usable_at)
        VALUES (%(org_id)s, %(payout_address_id)s, %(family)s, %(address)s, %(label)s,
            %(added_by)s, %(added_at)s, %(usable_at)s)
        """,
        {
            "org_id": org_id,
            "payout_address_id": row.payout_address_id,
            "family": row.family,
            "address": row.address,
            "label": row.label,
            "added_by": row.added_by,
            "added_at": row.added_at,
            "usable_at": row.usable_at,
        },
    )


async def approve_payout_address(  # noqa: PLR0913 - the columns of the row
    tx: Tx,
    org_id: int,
    payout_address_id: UUID,
    *,
    by: str,
    at: datetime,
    usable_at: datetime,
) -> None:
    """Approve an address."""
    await execute(
        tx,
        """
        UPDATE payout_address
           SET approved_by = %(by)s, approved_at = %(at)s, usable_at = %(usable_at)s
         WHERE org_id = %(org_id)s AND payout_address_id = %(payout_address_id)s
        """,
        {
            "org_id": org_id,
            "payout_address_id": payout_address_id,
            "by": by,
            "at": at,
            "usable_at": usable_at,
        },
    )


async def remove_payout_address(tx: Tx, org_id: int, payout_address_id: UUID, at: datetime) -> None:
    """Take an address away."""
    await execute(
        tx,
        """
        UPDATE payout_address SET removed_at = %(at)s
         WHERE org_id = %(org_id)s AND payout_address_id = %(payout_address_id)s
        """,
        {"org_id": org_id, "payout_address_id": payout_address_id, "at": at},
    )


async def doubt_payout_addresses(tx: Tx, org_id: int, uid: str, now: datetime) -> int:
    """Have what this one let be wait for somebody else's approval, unless it is good already.

    Answers how many addresses those are.
    """
    return await execute(
        tx,
        """
        UPDATE payout_address SET usable_at = NULL, approved_by = NULL, approved_at = NULL
         WHERE org_id = %(org_id)s AND removed_at IS NULL AND usable_at > %(now)s
           AND coalesce(approved_by, added_by) = %(uid)s
        """,
        {"org_id": org_id, "uid": uid, "now": now},
    )


async def hold_payout_addresses_back(
    tx: Tx, org_id: int, now: datetime, *, two_people: bool, wait: timedelta
) -> int:
    """Have addresses that are not good yet keep to stricter rules; answers how many those are.

    Where two people are asked for, one that nobody has approved waits for that; the others are good
    no earlier than after the waiting.
    """
    return await execute(
        tx,
        """
        UPDATE payout_address
           SET usable_at = CASE WHEN %(two_people)s AND approved_by IS NULL THEN NULL
                                ELSE coalesce(approved_at, added_at) + %(wait)s END
         WHERE org_id = %(org_id)s AND removed_at IS NULL AND usable_at > %(now)s
           AND (%(two_people)s AND approved_by IS NULL
                OR usable_at < coalesce(approved_at, added_at) + %(wait)s)
        """,
        {"org_id": org_id, "now": now, "two_people": two_people, "wait": wait},
    )
