"""The ledger: entries by cause, postings with both sides. Append-only."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from counterfoil.core.journal import JournalEntry, LedgerAccount
from counterfoil.core.settlement import Settlement, Units
from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, all_values, as_records, execute, one_value


@dataclass(frozen=True, slots=True)
class Balance:
    """What one ledger account of an organisation holds of one asset, in base units."""

    org_id: int
    account: str
    invoice_id: UUID | None
    chain: str
    contract: str
    units: int


@dataclass(frozen=True, slots=True)
class PostingRow:
    """One posting, with the entry's cause."""

    cause: str
    source: str
    destination: str
    chain: str
    contract: str
    amount_units: int


async def post(tx: Tx, org_id: int, entry: JournalEntry) -> bool:
    """Book an entry once; False, and nothing booked, when its cause is booked already."""
    return entry.cause in await post_all(tx, org_id, [entry])


async def post_all(tx: Tx, org_id: int, entries: Sequence[JournalEntry]) -> frozenset[str]:
    """Book each entry once, all in one go; answers the causes that were not booked before."""
    if not entries:
        return frozenset()
    booked = frozenset(
        await all_values(
            tx,
            str,
            """
            INSERT INTO journal_entry (org_id, cause, invoice_id, at, block_number)
            SELECT %(org_id)s, entry.*
              FROM unnest(%(causes)s::text[], %(invoice_ids)s::uuid[], %(ats)s::timestamptz[],
                   %(block_numbers)s::bigint[]) AS entry
                ON CONFLICT DO NOTHING
            RETURNING cause
            """,
            {
                "org_id": org_id,
                "causes": [entry.cause for entry in entries],
                "invoice_ids": [entry.invoice_id for entry in entries],
                "ats": [entry.at for entry in entries],
                "block_numbers": [entry.block_number for entry in entries],
            },
        )
    )
    await _insert_postings(tx, org_id, [entry for entry in entries if entry.cause in booked])
    return booked


async def _insert_postings(tx: Tx, org_id: int, entries: Sequence[JournalEntry]) -> None:
    rows = [
        {
            "org_id": org_id,
            "cause": entry.cause,
            "position": position,
            "invoice_id": entry.invoice_id,
            "source": posting.source,
            "destination": posting.destination,
            "chain": posting.money.asset.chain,
            "contract": posting.money.asset.contract,
            "units": str(posting.money.units),
        }
        for entry in entries
        for position, posting in enumerate(entry.postings)
    ]
    await execute(
        tx,
        """
        INSERT INTO posting (org_id, cause, position, invoice_id, source, destination, chain,
            contract, amount_units)
        SELECT * FROM json_to_recordset(%(rows)s::json) AS new (org_id bigint, cause text,
            position smallint, invoice_id uuid, source text, destination text, chain text,
            contract text, units numeric)
        """,
        {"rows": as_records(rows)},
    )


async def balance(  # noqa: PLR0913 - the coordinates of one balance
    tx: Tx,
    org_id: int,
    account: LedgerAccount,
    chain: str,
    contract: str,
    *,
    invoice_id: UUID | None = None,
) -> int:
    """What an account holds of an asset, in base units; of one invoice when it is named."""
    units = await one_value(
        tx,
        int,
        BALANCE if invoice_id is None else BALANCE_OF_INVOICE,
        {
            "org_id": org_id,
            "account": account,
            "chain": chain,
            "contract": contract,
            "invoice_id": invoice_id,
        },
    )
    return units or 0


BALANCE: Final = """
    SELECT (coalesce((
               SELECT sum(amount_units) FROM posting
                WHERE org_id = %(org_id)s AND destination = %(account)s
                  AND chain = %(chain)s AND contract = %(contract)s), 0)
          - coalesce((
               SELECT sum(amount_units) FROM posting
                WHERE org_id = %(org_id)s AND source = %(account)s
                  AND chain = %(chain)s AND contract = %(contract)s), 0))::numeric(78, 0)
"""
"""Each side out of an index alone, which holds the amounts: no posting is looked up."""

BALANCE_OF_INVOICE: Final = """
    SELECT coalesce(sum(CASE WHEN destination = %(account)s THEN amount_units
                             ELSE -amount_units END), 0)::numeric(78, 0)
      FROM posting
     WHERE org_id = %(org_id)s AND invoice_id = %(invoice_id)s
       AND %(account)s IN (source, destination)
       AND chain = %(chain)s AND contract = %(contract)s
"""


@dataclass(frozen=True, slots=True)
class _WentRow:
    invoice_id: UUID
    chain: str
    contract: str
    swept_units: int
    paid_out_units: int
    returned_units: int
    in_hold_units: int
    token_fee_units: int


async def settlements(tx: Tx, org_id: int, invoice_ids: Collection[UUID]) -> dict[UUID, Settlement]:
    """What became of the money of each of these invoices; one that has no row has moved nothing."""
    rows = await all_rows(
        tx,
        _WentRow,
        """
        SELECT invoice_id, chain, contract,
               sum(CASE WHEN source IN ('deposit', 'child') AND destination <> 'outside:network'
                        THEN amount_units ELSE 0 END)::numeric(78, 0) AS swept_units,
               sum(CASE WHEN destination = 'outside:merchant' THEN amount_units ELSE 0 END)
                   ::numeric(78, 0) AS paid_out_units,
               sum(CASE WHEN destination = 'outside:payer' THEN amount_units ELSE 0 END)
                   ::numeric(78, 0) AS returned_units,
               sum(CASE WHEN destination IN ('hold', 'hold:coin') THEN amount_units
                        WHEN source IN ('hold', 'hold:coin') THEN -amount_units ELSE 0 END)
                   ::numeric(78, 0) AS in_hold_units,
               sum(CASE WHEN destination = 'outside:token' THEN amount_units ELSE 0 END)
                   ::numeric(78, 0) AS token_fee_units
          FROM posting
         WHERE org_id = %(org_id)s AND invoice_id = ANY(%(invoice_ids)s)
           AND source <> 'outside:payer'
         GROUP BY invoice_id, chain, contract
         ORDER BY invoice_id, chain, contract
        """,
        {"org_id": org_id, "invoice_ids": list(invoice_ids)},
    )
    found: defaultdict[UUID, list[_WentRow]] = defaultdict(list)
    for row in rows:
        found[row.invoice_id].append(row)
    return {invoice_id: _settlement(of_invoice) for invoice_id, of_invoice in found.items()}


def _settlement(rows: Sequence[_WentRow]) -> Settlement:
    def units(of: Callable[[_WentRow], int]) -> Units:
        keyed = ((f"{row.chain}:{row.contract or 'native'}", of(row)) for row in rows)
        return tuple(sorted((key, count) for key, count in keyed if count))

    return Settlement(
        swept=units(lambda row: row.swept_units),
        paid_out=units(lambda row: row.paid_out_units),
        returned=units(lambda row: row.returned_units),
        in_hold=units(lambda row: row.in_hold_units),
        token_fees=units(lambda row: row.token_fee_units),
    )


async def balances_at(tx: Tx, chain: str, block_number: int) -> list[Balance]:
    """What every place of ours on a chain held at the end of a block, all organisations.

    Deposits and children are given per invoice, since each has an address of its own.
    """
    return await all_rows(
        tx,
        Balance,
        """
        SELECT org_id, account, sides.invoice_id, chain, contract,
               sum(units)::numeric(78, 0) AS units
          FROM (SELECT org_id, cause, destination AS account, chain, contract,
                       CASE WHEN destination IN ('deposit', 'child') THEN invoice_id END
                           AS invoice_id,
                       amount_units AS units
                  FROM posting WHERE chain = %(chain)s
                 UNION ALL
                SELECT org_id, cause, source, chain, contract,
                       CASE WHEN source IN ('deposit', 'child') THEN invoice_id END,
                       -amount_units
                  FROM posting WHERE chain = %(chain)s) AS sides
          JOIN journal_entry USING (org_id, cause)
         WHERE block_number <= %(block_number)s AND account NOT LIKE 'outside:%%'
         GROUP BY org_id, account, sides.invoice_id, chain, contract
        """,
        {"chain": chain, "block_number": block_number},
    )


async def of_invoice(tx: Tx, org_id: int, invoice_id: UUID) -> list[PostingRow]:
    """An invoice's postings, in the order they were booked."""
    return await all_rows(
        tx,
        PostingRow,
        """
        SELECT cause, source, destination, chain, contract, amount_units
          FROM posting JOIN journal_entry USING (org_id, cause)
         WHERE posting.org_id = %(org_id)s AND posting.invoice_id = %(invoice_id)s
         ORDER BY at, cause, position
        """,
        {"org_id": org_id, "invoice_id": invoice_id},
    )
