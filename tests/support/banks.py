"""Bank accounts, as somebody types them."""

from typing import Final

from counterfoil.db.pool import Tx
from counterfoil.db.rows import execute
from counterfoil.desk.bank_accounts import BankDetails

FUBON: Final = BankDetails(
    holder="梅里迪安貿易有限公司",
    bank_name="台北富邦銀行 Taipei Fubon",
    branch="信義分行",
    bank_code="012",
    bic="TPBKTWTP",
    account_number="00710987654321",
    reference="",
)
BERLIN: Final = BankDetails(
    holder="Tea & Söhne",
    bank_name="Berliner Volksbank",
    branch="",
    bank_code="",
    bic="",
    account_number="DE89370400440532013000",
    reference="TEA",
)


async def from_before(tx: Tx, number: int, label: str, *, approved: bool = True) -> None:
    """An account as they were kept before there were details."""
    await execute(
        tx,
        """
        INSERT INTO bank_account
            (org_id, bank_account_id, label, currency, created_at, approved_at, usable_at)
        SELECT 1, %(number)s, %(label)s, 'TWD', now(), good_at, good_at
          FROM (SELECT CASE WHEN %(approved)s THEN timestamptz '2026-01-01' END AS good_at)
        """,
        {"number": number, "label": label, "approved": approved},
    )
