"""Crowds of invoices, made from one real one, for benchmarks of what many of them cost."""

from collections.abc import Iterator, Sequence
from typing import Final

import psycopg
from psycopg import AsyncConnection

from counterfoil.books.searched import kept_grams

INVOICES_PER_CUSTOMER: Final = 20

MIXED: Final = (
    "completed",
    "completed",
    "completed",
    "awaiting_payment",
    "expired",
    "sign_pending",
    "refunded",
)
OPEN: Final = ("awaiting_payment",)

_ABOVE_ALL_OTHERS: Final = 10_000_000
"""Numbers of a crowd among an organisation's own invoices."""


async def new_org(connection: AsyncConnection, org_id: int, like: int) -> None:
    """An organisation like another one, without anything in it."""
    await connection.execute(
        """
        INSERT INTO org SELECT (jsonb_populate_record(org, jsonb_build_object(
            'org_id', %(org_id)s::bigint, 'client_id', 'crowd-' || %(org_id)s::text))).*
          FROM org WHERE org_id = %(like)s
        """,
        {"org_id": org_id, "like": like},
    )


async def crowd(
    connection: AsyncConnection,
    org_id: int,
    like: int,
    how_many: int,
    statuses: Sequence[str] = MIXED,
) -> None:
    """Give an organisation so many invoices, copied from the newest of another one or its own.

    They are a minute apart, their statuses in turn, `INVOICES_PER_CUSTOMER` for each customer; the
    customers are called ``Buyer`` and a number. Each has a deposit address that is watched.
    """
    await connection.execute(
        "CREATE TEMP TABLE member_of_crowd (number bigint, text text, grams integer[])"
    )
    copy = "COPY member_of_crowd (number, text, grams) FROM STDIN"
    async with connection.cursor() as cursor, cursor.copy(copy) as rows:
        for row in _texts(how_many, org_id):
            await rows.write_row(row)
    await connection.execute(
        """
        INSERT INTO invoice SELECT (jsonb_populate_record(model, jsonb_build_object(
            'org_id', %(org_id)s::bigint,
            'invoice_id', lpad(to_hex(member.number), 32, 'f'),
            'number', member.number,
            'deposit_address',
                '0x' || lpad(to_hex(%(org_id)s::bigint * 100000000 + member.number), 40, 'c'),
            'status',
                (%(statuses)s::text[])[1 + member.number %% cardinality(%(statuses)s::text[])],
            'context', NULL,
            'search_text', member.text,
            'deadline_at', now() + interval '30 days',
            'created_at', now() - interval '1 minute' * (%(last)s - member.number)))).*
          FROM member_of_crowd AS member, invoice AS model
         WHERE (model.org_id, model.invoice_id) = (
            SELECT org_id, invoice_id FROM invoice WHERE org_id = %(like)s
             ORDER BY created_at DESC LIMIT 1)
        """,
        {
            "org_id": org_id,
            "like": like,
            "last": _ABOVE_ALL_OTHERS + how_many,
            "statuses": list(statuses),
        },
    )
    await connection.execute(
        """
        INSERT INTO invoice_search
            (org_id, invoice_id, grams, grams_of_org, price_currency, price_amount)
        SELECT org_id, invoice_id, grams, true, 'TWD', number * 7919 %% 100003
          FROM invoice JOIN member_of_crowd USING (number) WHERE org_id = %(org_id)s
        """,
        {"org_id": org_id},
    )
    for take in (
        """
        INSERT INTO deposit_address (org_id, number, family, address, invoice_id)
        SELECT org_id, number, 'evm', deposit_address, invoice_id FROM invoice
         WHERE org_id = %(org_id)s AND number >= %(first)s
        """,
        """
        INSERT INTO ingest.address_owner (family, address, org_id, number)
        SELECT 'evm', deposit_address, org_id, number FROM invoice
         WHERE org_id = %(org_id)s AND number >= %(first)s
        """,
    ):
        await connection.execute(take, {"org_id": org_id, "first": _ABOVE_ALL_OTHERS})
    await connection.execute(
        """
        INSERT INTO payment_request
            (org_id, invoice_id, position, chain, contract, due_units, quote)
        SELECT mine.org_id, mine.invoice_id, asked.position, asked.chain, asked.contract,
               asked.due_units, asked.quote
          FROM invoice AS mine,
               LATERAL (SELECT * FROM payment_request WHERE (org_id, invoice_id) = (
                   SELECT org_id, invoice_id FROM invoice WHERE org_id = %(like)s
                    ORDER BY created_at DESC LIMIT 1)) AS asked
         WHERE mine.org_id = %(org_id)s AND mine.number >= %(first)s
        """,
        {"org_id": org_id, "like": like, "first": _ABOVE_ALL_OTHERS},
    )
    await connection.execute(
        """
        INSERT INTO invoice_count (org_id, status, context, settlement, archived, count)
        SELECT org_id, status, context, settlement, archived, count(*)
          FROM invoice WHERE org_id = %(org_id)s AND number >= %(first)s
         GROUP BY org_id, status, context, settlement, archived
        """,
        {"org_id": org_id, "first": _ABOVE_ALL_OTHERS},
    )
    await connection.execute("DROP TABLE member_of_crowd")
    await connection.commit()


async def settled_in(url: str) -> None:
    """What autovacuum does to tables that have stood for a while."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(
            "VACUUM (ANALYZE) invoice, invoice_search, payment_request, invoice_count"
        )


def _texts(how_many: int, org_id: int) -> Iterator[tuple[int, str, str]]:
    for place in range(1, how_many + 1):
        number = _ABOVE_ALL_OTHERS + place
        label = f"INV-2026-{number:06d}"
        customer = place // INVOICES_PER_CUSTOMER
        text = f"{label}\nbuyer {customer}\nbuyer{customer}@example.com\nmerchant ltd.\nconsulting"
        yield number, text.casefold(), kept_grams(text, label, org_id)
