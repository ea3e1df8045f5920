"""Crowds of invoices, made from one real one, for benchmarks of what many of them cost."""

from collections.abc import Iterator
from typing import Final

import psycopg
from psycopg import AsyncConnection

from counterfoil.core.search import grams
from counterfoil.db.rows import array_text

INVOICES_PER_CUSTOMER: Final = 20

_STATUSES: Final = "{completed,completed,completed,awaiting_payment,expired,sign_pending,refunded}"


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


async def crowd(connection: AsyncConnection, org_id: int, like: int, how_many: int) -> None:
    """Give an organisation so many invoices, copied from the newest of another one.

    They are a minute apart, in seven statuses, `INVOICES_PER_CUSTOMER` for each customer; the
    customers are called ``Buyer`` and a number.
    """
    await connection.execute(
        "CREATE TEMP TABLE member_of_crowd (number bigint, text text, grams integer[])"
    )
    copy = "COPY member_of_crowd (number, text, grams) FROM STDIN"
    async with connection.cursor() as cursor, cursor.copy(copy) as rows:
        for row in _texts(how_many):
            await rows.write_row(row)
    await connection.execute(
        """
        INSERT INTO invoice SELECT (jsonb_populate_record(model, jsonb_build_object(
            'org_id', %(org_id)s::bigint,
            'invoice_id', lpad(to_hex(member.number), 32, '0'),
            'number', member.number,
            'status', (%(statuses)s::text[])[1 + member.number %% 7],
            'context', NULL,
            'search_text', member.text,
            'search_grams', member.grams,
            'deadline_at', now() + interval '30 days',
            'created_at', now() - interval '1 minute' * (%(how_many)s - member.number)))).*
          FROM member_of_crowd AS member, invoice AS model
         WHERE (model.org_id, model.invoice_id) = (
            SELECT org_id, invoice_id FROM invoice WHERE org_id = %(like)s
             ORDER BY created_at DESC LIMIT 1)
        """,
        {"org_id": org_id, "like": like, "how_many": how_many, "statuses": _STATUSES},
    )
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
         WHERE mine.org_id = %(org_id)s
        """,
        {"org_id": org_id, "like": like},
    )
    await connection.execute(
        """
        INSERT INTO invoice_count (org_id, status, context, settlement, archived, count)
        SELECT org_id, status, context, settlement, archived, count(*)
          FROM invoice WHERE org_id = %(org_id)s
         GROUP BY org_id, status, context, settlement, archived
        """,
        {"org_id": org_id},
    )
    await connection.execute("DROP TABLE member_of_crowd")
    await connection.commit()


async def settled_in(url: str) -> None:
    """What autovacuum does to tables that have stood for a while."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("VACUUM (ANALYZE) invoice, payment_request, invoice_count")


def _texts(how_many: int) -> Iterator[tuple[int, str, str]]:
    for number in range(1, how_many + 1):
        label = f"INV-2026-{number:06d}"
        customer = number // INVOICES_PER_CUSTOMER
        text = f"{label}\nbuyer {customer}\nbuyer{customer}@example.com\nmerchant ltd.\nconsulting"
        yield number, text.casefold(), array_text(grams(text, label))
