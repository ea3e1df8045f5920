"""The invoice tables: one row each, what it may be paid in, and all that came in."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, LiteralString
from uuid import UUID

import msgspec

from counterfoil.books import invoice_detail, ledger, refunds, searched, transfers
from counterfoil.core import reckoning
from counterfoil.core.assets import known_asset
from counterfoil.core.invoice import (
    Context,
    Invoice,
    PaymentRequest,
    Quote,
    Refund,
    Status,
)
from counterfoil.core.settlement import Settlement
from counterfoil.db.pool import Tx
from counterfoil.db.rows import (
    all_rows,
    as_records,
    execute,
    execute_many,
    one_row,
    together,
)


@dataclass(frozen=True, slots=True)
class _InvoiceRow:
    org_id: int
    invoice_id: UUID
    number: int
    dialect: str
    status: str
    context: str | None
    settlement: Literal["crypto", "fiat"]
    deposit_address: str
    deadline_at: datetime
    created_at: datetime
    version: int
    detail: str


@dataclass(frozen=True, slots=True)
class _RequestRow:
    invoice_id: UUID
    chain: str
    contract: str
    due_units: int
    quote: str | None


_COLUMNS: Final[LiteralString] = """
    org_id, invoice_id, number, dialect, status, context, settlement, deposit_address,
    deadline_at, created_at, version, detail::text AS detail
"""

_decode_quote = msgspec.json.Decoder(Quote).decode
_encode = msgspec.json.Encoder().encode


async def insert(tx: Tx, invoice: Invoice) -> None:
    """Write a new invoice and its payment requests; a taken number or id is an error."""
    await execute(
        tx,
        """
        WITH counted AS (
            INSERT INTO invoice_count (org_id, status, context, settlement, archived, count)
            VALUES (%(org_id)s, %(status)s, %(context)s, %(settlement)s, %(archived)s, 1)
        ), searched AS (
            INSERT INTO invoice_search
                (org_id, invoice_id, grams, grams_of_org, price_currency, price_amount)
            VALUES (%(org_id)s, %(invoice_id)s, %(grams)s::integer[], true, %(price_currency)s,
                %(price_amount)s)
        )
        INSERT INTO invoice (org_id, invoice_id, number, dialect, status, context, settlement,
            archived, recipient_email, group_key, search_text, deposit_address, deadline_at,
            created_at, updated_at, version, detail)
        VALUES (%(org_id)s, %(invoice_id)s, %(number)s, %(dialect)s, %(status)s, %(context)s,
            %(settlement)s, %(archived)s, %(recipient_email)s, %(group_key)s, %(search_text)s,
            %(deposit_address)s, %(deadline_at)s, %(created_at)s, %(created_at)s, %(version)s,
            %(detail)s)
        """,
        _parameters(invoice, invoice.created_at)
        | searched.columns(invoice)
        | {"detail": invoice_detail.written(invoice).decode()},
    )
    await _insert_requests(tx, invoice)


@dataclass(frozen=True, slots=True)
class Changed:
    """An invoice as it was when it was locked, as it is now, and since when."""

    before: Invoice
    after: Invoice
    at: datetime


async def save_all(tx: Tx, changed: Sequence[Changed]) -> None:
    """Write changed invoices, no two the same, all of which the caller holds locked."""
    await execute(
        tx,
        """
        WITH counted AS (
            INSERT INTO invoice_count (org_id, status, context, settlement, archived, count)
            SELECT * FROM json_to_recordset(%(counts)s::json) AS moved (org_id bigint, status text,
                context text, settlement text, archived boolean, count bigint)
        )
        UPDATE invoice
           SET status = new.status, context = new.context, settlement = new.settlement,
               archived = new.archived, deadline_at = new.deadline_at,
               updated_at = new.updated_at, version = new.version, detail = new.detail
          FROM json_to_recordset(%(rows)s::json) AS new (org_id bigint, invoice_id uuid,
               status text, context text, settlement text, archived boolean,
               deadline_at timestamptz, updated_at timestamptz, version integer, detail jsonb)
         WHERE invoice.org_id = new.org_id AND invoice.invoice_id = new.invoice_id
        """,
        {
            "counts": as_records(_moved(changed)),
            "rows": as_records(
                [
                    _parameters(one.after, one.at)
                    | {"detail": msgspec.Raw(invoice_detail.written(one.after))}
                    for one in changed
                ]
            ),
        },
    )
    for before, after in ((one.before, one.after) for one in changed):
        if searched.differ(before, after):
            await searched.save(tx, after)
        if after.requests != before.requests:
            await _save_requests(tx, after)
        await refunds.save(tx, before, after)


async def _save_requests(tx: Tx, invoice: Invoice) -> None:
    await execute(
        tx,
        """
        DELETE FROM payment_request
         WHERE org_id = %(org_id)s AND invoice_id = %(invoice_id)s
        """,
        {"org_id": invoice.org_id, "invoice_id": invoice.invoice_id},
    )
    await _insert_requests(tx, invoice)


async def lock(tx: Tx, org_id: int, invoice_id: UUID) -> Invoice | None:
    """The invoice, held against everybody else until the transaction ends; None if unknown."""
    return await _one(tx, org_id, invoice_id, "FOR UPDATE")


async def lock_all(tx: Tx, org_id: int, invoice_ids: Collection[UUID]) -> list[Invoice]:
    """Those of the invoices that exist, each held as by `lock`, by id.

    They are taken in the order of their ids, so that two who want the same ones never wait for
    each other. What belongs to them goes out in the same trip, behind them: by the time the server
    looks for it they are held.
    """
    ids = list(invoice_ids)
    rows, (requests, received), gone = await together(
        tx,
        _rows(tx, org_id, ids, "ORDER BY invoice_id FOR UPDATE"),
        _came(tx, org_id, ids),
        _went(tx, org_id, ids),
    )
    return _whole(rows, requests, received, gone)


async def hold(tx: Tx, org_id: int, invoice_id: UUID) -> None:
    """Hold an invoice as `lock` does without reading it: for what is written beside a broken one.

    Holds nothing where there is none.
    """
    await execute(
        tx,
        """
        SELECT FROM invoice WHERE org_id = %(org_id)s AND invoice_id = %(invoice_id)s FOR UPDATE
        """,
        {"org_id": org_id, "invoice_id": invoice_id},
    )


async def get(tx: Tx, org_id: int, invoice_id: UUID) -> Invoice | None:
    """The invoice as it is now, for showing; decisions need `lock`."""
    return await _one(tx, org_id, invoice_id, "")


async def of_ids(tx: Tx, org_id: int, invoice_ids: Sequence[UUID]) -> list[Invoice]:
    """Those of the invoices that exist, in no order."""
    return await _complete(tx, org_id, await _rows(tx, org_id, list(invoice_ids)))


@dataclass(frozen=True, slots=True)
class _VersionRow:
    org_id: int
    invoice_id: UUID
    version: int


async def versions(tx: Tx, keys: Sequence[tuple[int, UUID]]) -> dict[tuple[int, UUID], int]:
    """How often each of these invoices has changed."""
    rows = await all_rows(
        tx,
        _VersionRow,
        """
        SELECT org_id, invoice_id, version FROM invoice
         WHERE (org_id, invoice_id) IN
               (SELECT * FROM unnest(%(orgs)s::bigint[], %(ids)s::uuid[]))
        """,
        {"orgs": [org for org, _ in keys], "ids": [invoice_id for _, invoice_id in keys]},
    )
    return {(row.org_id, row.invoice_id): row.version for row in rows}


async def _one(tx: Tx, org_id: int, invoice_id: UUID, locking: LiteralString) -> Invoice | None:
    row = await one_row(
        tx,
        _InvoiceRow,
        "SELECT "  # noqa: S608 - joined from literals of this file only
        + _COLUMNS
        + " FROM invoice WHERE org_id = %(org_id)s AND invoice_id = %(invoice_id)s "
        + locking,
        {"org_id": org_id, "invoice_id": invoice_id},
    )
    if row is None:
        return None
    (invoice,) = await _complete(tx, org_id, [row])
    return invoice


async def _rows(tx: Tx, org_id: int, ids: list[UUID], how: LiteralString = "") -> list[_InvoiceRow]:
    return await all_rows(
        tx,
        _InvoiceRow,
        "SELECT "  # noqa: S608 - joined from literals of this file only
        + _COLUMNS
        + " FROM invoice WHERE org_id = %(org_id)s AND invoice_id = ANY(%(ids)s) "
        + how,
        {"org_id": org_id, "ids": ids},
    )


async def _complete(tx: Tx, org_id: int, rows: Sequence[_InvoiceRow]) -> list[Invoice]:
    ids = [row.invoice_id for row in rows]
    if not ids:
        return []
    requests, received = await _came(tx, org_id, ids)
    # Only what came in can have gone anywhere, so unpaid invoices cost no further query.
    paid = [invoice_id for invoice_id in ids if received[invoice_id]]
    return _whole(rows, requests, received, await _went(tx, org_id, paid) if paid else ({}, {}))


_Received = defaultdict[UUID, list[transfers.TransferRow]]
_Gone = tuple[dict[UUID, Settlement], dict[UUID, tuple[Refund, ...]]]


async def _came(tx: Tx, org_id: int, ids: list[UUID]) -> tuple[list[_RequestRow], _Received]:
    return await together(tx, _requests(tx, org_id, ids), transfers.by_invoice(tx, org_id, ids))


async def _went(tx: Tx, org_id: int, ids: list[UUID]) -> _Gone:
    return await together(
        tx, ledger.settlements(tx, org_id, ids), refunds.by_invoice(tx, org_id, ids)
    )


def _whole(
    rows: Sequence[_InvoiceRow], requests: Sequence[_RequestRow], received: _Received, gone: _Gone
) -> list[Invoice]:
    settled, sent_back = gone
    asked: defaultdict[UUID, list[PaymentRequest]] = defaultdict(list)
    for request in requests:
        asked[request.invoice_id].append(_request(request))
    return [
        _invoice(
            row,
            tuple(asked[row.invoice_id]),
            received[row.invoice_id],
            settled.get(row.invoice_id, Settlement()),
            sent_back.get(row.invoice_id, ()),
        )
        for row in rows
    ]


async def _requests(tx: Tx, org_id: int, ids: Sequence[UUID]) -> list[_RequestRow]:
    return await all_rows(
        tx,
        _RequestRow,
        """
        SELECT invoice_id, chain, contract, due_units, quote::text AS quote
          FROM payment_request
         WHERE org_id = %(org_id)s AND invoice_id = ANY(%(ids)s)
         ORDER BY invoice_id, position
        """,
        {"org_id": org_id, "ids": ids},
    )


def _invoice(
    row: _InvoiceRow,
    requests: tuple[PaymentRequest, ...],
    received: Sequence[transfers.TransferRow],
    settled: Settlement,
    sent_back: tuple[Refund, ...],
) -> Invoice:
    detail = invoice_detail.read(row.detail)
    policy, taken = detail["policy"], detail["taken_assets"]
    return Invoice(
        org_id=row.org_id,
        invoice_id=row.invoice_id,
        number=row.number,
        dialect=row.dialect,
        status=Status(row.status),
        context=None if row.context is None else Context(row.context),
        settlement=row.settlement,
        deposit_address=row.deposit_address,
        deadline_at=row.deadline_at,
        created_at=row.created_at,
        version=row.version,
        requests=requests,
        tally=reckoning.tally(requests, map(transfers.received, received), policy, taken),
        settled=settled,
        refunds=sent_back,
        **detail,
    )


def _request(row: _RequestRow) -> PaymentRequest:
    asset = known_asset(row.chain, row.contract)
    if asset is None:
        msg = f"{row.chain}:{row.contract} has left the registry while an invoice asks for it"
        raise LookupError(msg)
    quote = None if row.quote is None else _decode_quote(row.quote)
    return PaymentRequest(asset=asset, due_units=row.due_units, quote=quote)


async def _insert_requests(tx: Tx, invoice: Invoice) -> None:
    await execute_many(
        tx,
        """
        INSERT INTO payment_request
            (org_id, invoice_id, position, chain, contract, due_units, quote)
        VALUES (%(org_id)s, %(invoice_id)s, %(position)s, %(chain)s, %(contract)s, %(due_units)s,
            %(quote)s)
        """,
        [
            {
                "org_id": invoice.org_id,
                "invoice_id": invoice.invoice_id,
                "position": position,
                "chain": due.asset.chain,
                "contract": due.asset.contract,
                "due_units": due.due_units,
                "quote": None if due.quote is None else _encode(due.quote).decode(),
            }
            for position, due in enumerate(invoice.requests)
        ],
    )


def _parameters(invoice: Invoice, updated_at: datetime) -> dict[str, Any]:
    return {
        "org_id": invoice.org_id,
        "invoice_id": invoice.invoice_id,
        "number": invoice.number,
        "dialect": invoice.dialect,
        "status": invoice.status.value,
        "context": None if invoice.context is None else invoice.context.value,
        "settlement": invoice.settlement,
        "archived": invoice.archived_at is not None,
        "deposit_address": invoice.deposit_address,
        "deadline_at": invoice.deadline_at,
        "created_at": invoice.created_at,
        "updated_at": updated_at,
        "version": invoice.version,
    }


def _moved(changed: Sequence[Changed]) -> list[dict[str, object]]:
    """How many fewer and more stand where, for `counterfoil.books.lists`."""
    counts: Counter[tuple[object, ...]] = Counter()
    for one in changed:
        counts[_counts_as(one.before)] -= 1
        counts[_counts_as(one.after)] += 1
    names = ("org_id", "status", "context", "settlement", "archived")
    return [
        dict(zip(names, where, strict=True)) | {"count": count}
        for where, count in counts.items()
        if count
    ]


def _counts_as(invoice: Invoice) -> tuple[object, ...]:
    archived = invoice.archived_at is not None
    return invoice.org_id, invoice.status, invoice.context, invoice.settlement, archived
