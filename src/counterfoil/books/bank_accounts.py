"""The bank accounts of organisations: registered, approved, disabled, and never changed."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from counterfoil.core.bank import BankDetails
from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute, one_value


@dataclass(frozen=True, slots=True)
class BankAccount:
    """A bank account. Invoices may name it from ``usable_at`` on, unless it is disabled.

    One from before details were kept has an empty ``account_number``, and ``added_by`` None.
    """

    bank_account_id: int
    label: str
    currency: str
    created_at: datetime
    holder: str
    bank_name: str
    branch: str
    bank_code: str
    bic: str
    account_number: str
    reference: str
    added_by: str | None
    approved_by: str | None
    approved_at: datetime | None
    usable_at: datetime | None
    disabled_at: datetime | None

    @property
    def is_told(self) -> bool:
        """Whether customers whose invoice names it are told to pay into it."""
        return self.usable_at is not None and self.disabled_at is None

    def is_usable(self, now: datetime) -> bool:
        """Whether invoices may name it."""
        return self.is_told and self.usable_at is not None and self.usable_at <= now


async def of_org(tx: Tx, org_id: int) -> list[BankAccount]:
    """All that were ever registered, by number."""
    return await all_rows(
        tx,
        BankAccount,
        """
        SELECT bank_account_id, label, currency, created_at, holder, bank_name, branch, bank_code,
               bic, account_number, reference, added_by, approved_by, approved_at, usable_at,
               disabled_at
          FROM bank_account WHERE org_id = %(org_id)s ORDER BY bank_account_id
        """,
        {"org_id": org_id},
    )


async def next_number(tx: Tx, org_id: int) -> int:
    """A number that no bank account has. The caller holds the organisation."""
    return (
        await one_value(
            tx,
            int,
            """
            SELECT coalesce(max(bank_account_id), 0) + 1 FROM bank_account
             WHERE org_id = %(org_id)s
            """,
            {"org_id": org_id},
        )
        or 1
    )


async def insert(  # noqa: PLR0913 - the columns of the row
    tx: Tx,
    org_id: int,
    bank_account_id: int,
    details: BankDetails,
    *,
    label: str,
    currency: str,
    added_by: str,
    created_at: datetime,
) -> None:
    """Register a bank account, not approved yet; a taken number is an error."""
    await execute(
        tx,
        """
        INSERT INTO bank_account (org_id, bank_account_id, label, currency, created_at, holder,
            bank_name, branch, bank_code, bic, account_number, reference, added_by)
        VALUES (%(org_id)s, %(bank_account_id)s, %(label)s, %(currency)s, %(created_at)s,
            %(holder)s, %(bank_name)s, %(branch)s, %(bank_code)s, %(bic)s, %(account_number)s,
            %(reference)s, %(added_by)s)
        """,
        {
            "org_id": org_id,
            "bank_account_id": bank_account_id,
            "label": label,
            "currency": currency,
            "added_by": added_by,
            "created_at": created_at,
            **asdict(details),
        },
    )


async def approve(  # noqa: PLR0913 - the columns of the row
    tx: Tx,
    org_id: int,
    bank_account_id: int,
    *,
    by: str | None,
    at: datetime,
    usable_at: datetime,
) -> None:
    """Let invoices name it from then on; ``by`` None where nobody else was asked for."""
    await execute(
        tx,
        """
        UPDATE bank_account
           SET approved_by = %(by)s, approved_at = %(at)s, usable_at = %(usable_at)s
         WHERE org_id = %(org_id)s AND bank_account_id = %(bank_account_id)s
        """,
        {
            "org_id": org_id,
            "bank_account_id": bank_account_id,
            "by": by,
            "at": at,
            "usable_at": usable_at,
        },
    )


async def disable(tx: Tx, org_id: int, bank_account_id: int, at: datetime) -> None:
    """Have nobody pay into it any more."""
    await execute(
        tx,
        """
        UPDATE bank_account SET disabled_at = %(at)s
         WHERE org_id = %(org_id)s AND bank_account_id = %(bank_account_id)s
        """,
        {"org_id": org_id, "bank_account_id": bank_account_id, "at": at},
    )


async def doubt(tx: Tx, org_id: int, uid: str, now: datetime) -> int:
    """Have what this one let be wait for approval, as `profiles.doubt_payout_addresses`."""
    return await execute(
        tx,
        """
        UPDATE bank_account SET usable_at = NULL, approved_by = NULL, approved_at = NULL
         WHERE org_id = %(org_id)s AND disabled_at IS NULL AND usable_at > %(now)s
           AND coalesce(approved_by, added_by) = %(uid)s
        """,
        {"org_id": org_id, "uid": uid, "now": now},
    )


async def hold_back(
    tx: Tx, org_id: int, now: datetime, *, two_people: bool, wait: timedelta
) -> int:
    """Have accounts that are not good yet keep to stricter rules; answers how many those are.

    As `books.profiles.hold_payout_addresses_back`.
    """
    return await execute(
        tx,
        """
        UPDATE bank_account
           SET usable_at = CASE WHEN %(two_people)s AND approved_by IS NULL THEN NULL
                                ELSE coalesce(approved_at, created_at) + %(wait)s END,
               approved_at = CASE WHEN %(two_people)s AND approved_by IS NULL THEN NULL
                                  ELSE approved_at END
         WHERE org_id = %(org_id)s AND disabled_at IS NULL AND usable_at > %(now)s
           AND (%(two_people)s AND approved_by IS NULL
                OR usable_at < coalesce(approved_at, created_at) + %(wait)s)
        """,
        {"org_id": org_id, "now": now, "two_people": two_people, "wait": wait},
    )
