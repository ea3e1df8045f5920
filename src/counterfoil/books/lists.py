"""Lists of invoices: a page of those that match, and how many match, among a million.

What is skipped is only read in an index. Without other filters than where they stand, invoices are
counted as a sum of changes that `invoices.insert` and `invoices.save` leave behind; everything
else is counted, up to `COUNTED_AT_MOST`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal, LiteralString
from uuid import UUID

from counterfoil.books import invoices
from counterfoil.books.searched import kept_grams
from counterfoil.core import search
from counterfoil.core.invoice import Context, Invoice, Status
from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, all_values, array_text, execute_many, one_value

COUNTED_AT_MOST: Final = 10_000
"""More matches of a search or a span of time than anybody reads; beyond, only "at least" is known.
"""

SEARCHED_WITHOUT_GRAMS: Final = 20_000
"""Among how many of the newest invoices a text too short for the index is looked for."""

ASKED_OF_INDEX: Final = 4
"""So many grams of a text, the rarest, are looked up; the text itself is looked at afterwards."""


Order = Literal["newest", "oldest", "due_first", "due_last", "amount_least", "amount_most"]
"""By when they were created or are due, or by amount; what an index can give among a million.

Amounts of one currency, or token, stand together: what one is worth in another changes every day.
"""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which invoices a list shows. ``statuses`` pairs a status with its contexts (None: any).

    ``archived`` None shows both those put away and those not. ``client_id`` is the one that they
    were made with. ``order`` says which come first.
    """

    statuses: tuple[tuple[Status, tuple[Context | None, ...] | None], ...] | None = None
    settlement: Literal["crypto", "fiat"] | None = None
    archived: bool | None = None
    recipient_email: str | None = None
    invoice_id: UUID | None = None
    number: int | None = None
    search: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    client_id: str | None = None
    order: Order = "newest"

    @property
    def by_due(self) -> bool:
        """Whether the order is that in which they are due."""
        return self.order in {"due_first", "due_last"}

    @property
    def by_amount(self) -> bool:
        """Whether the order is that of their amounts."""
        return self.order in {"amount_least", "amount_most"}

    @property
    def by_standing_only(self) -> bool:
        """Whether nothing is asked for that the kept counts do not know."""
        others = (
            self.recipient_email,
            self.invoice_id,
            self.number,
            self.search,
            self.created_after,
            self.created_before,
            self.client_id,
        )
        return all(other is None for other in others)


@dataclass(frozen=True, slots=True)
class StatusCount:
    """How many invoices stand at one status and context."""

    status: str
    context: str | None
    count: int


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom an invoice was made out to."""

    name: str
    email: str


async def page(  # noqa: PLR0913 - whose, which, and the slice of them
    tx: Tx, org_id: int, filters: Filters, *, limit: int, offset: int, many: bool = False
) -> list[Invoice]:
    """Invoices that match, in the order that is asked for.

    Where ``many`` match (`COUNTED_AT_MOST`), going through them in their order is quicker than
    sorting all of them.
    """
    wanted = await ids(tx, org_id, filters, limit=limit, offset=offset, many=many)
    found = {invoice.invoice_id: invoice for invoice in await invoices.of_ids(tx, org_id, wanted)}
    return [found[invoice_id] for invoice_id in wanted]


async def recipients(
    tx: Tx, org_id: int, filters: Filters, *, limit: int, many: bool
) -> list[Recipient]:
    """To whom the newest invoices that match were sent, each invoice's recipient, newest first."""
    wanted = await ids(tx, org_id, filters, limit=limit, offset=0, many=many)
    return await all_rows(
        tx,
        Recipient,
        """
        SELECT detail -> 'document' ->> 'recipient_name' AS name, recipient_email AS email
          FROM invoice WHERE org_id = %(org_id)s AND invoice_id = ANY(%(ids)s)
         ORDER BY created_at DESC, invoice_id DESC
        """,
        {"org_id": org_id, "ids": wanted},
    )


async def counts(tx: Tx, org_id: int, filters: Filters) -> list[StatusCount]:
    """How many invoices match, by status and context.

    In all at most `COUNTED_AT_MOST` + 1 where they have to be counted one by one.
    """
    if filters.by_standing_only:
        return await _kept_counts(tx, org_id, filters)
    return await all_rows(
        tx,
        StatusCount,
        "SELECT status, context, count(*) AS count FROM (SELECT status, context FROM ("
        + _matching(replace(filters, order="newest"), "%(limit)s", by_age=False)
        + ") AS found LIMIT %(limit)s) AS counted GROUP BY status, context",
        {**_parameters(org_id, filters), "limit": COUNTED_AT_MOST + 1},
    )


async def ids(  # noqa: PLR0913 - as `page`
    tx: Tx, org_id: int, filters: Filters, *, limit: int, offset: int, many: bool
) -> list[UUID]:
    """The ids of `page`."""
    matching = _by_amount if filters.by_amount else _matching
    return await all_values(
        tx,
        UUID,
        "SELECT invoice_id FROM ("
        + matching(filters, "%(offset)s + %(limit)s", by_age=many)
        + f") AS found ORDER BY {_ORDERS[filters.order]} LIMIT %(limit)s OFFSET %(offset)s",
        {**_parameters(org_id, filters), "limit": limit, "offset": offset},
    )


async def fold_counts(tx: Tx, *, at_least: int) -> int:
    """Fold the kept changes of organisations that have so many into one row for each standing.

    Whoever adds or reads changes meanwhile is not kept waiting; answers how many were folded.
    """
    folded = await one_value(
        tx,
        int,
        """
        WITH folded AS (
            DELETE FROM invoice_count
             WHERE ctid IN (
                SELECT ctid FROM invoice_count
                 WHERE org_id IN (
                    SELECT org_id FROM invoice_count GROUP BY org_id HAVING count(*) >= %(many)s)
                   FOR UPDATE SKIP LOCKED)
            RETURNING org_id, status, context, settlement, archived, count
        ), summed AS (
            INSERT INTO invoice_count (org_id, status, context, settlement, archived, count)
            SELECT org_id, status, context, settlement, archived, sum(count)
              FROM folded
             GROUP BY org_id, status, context, settlement, archived
            HAVING sum(count) <> 0
        )
        SELECT count(*) FROM folded
        """,
        {"many": at_least},
    )
    return folded or 0


@dataclass(frozen=True, slots=True)
class Miscounted:
    """A standing of which another number of invoices is kept than there are."""

    org_id: int
    status: str
    context: str | None
    settlement: str
    archived: bool
    kept: int
    there: int


async def miscounted(tx: Tx) -> list[Miscounted]:
    """Where the kept counts are not those of the invoices (specs/reliability.md I23)."""
    return await all_rows(
        tx,
        Miscounted,
        """
        SELECT org_id, status, context, settlement, archived,
               sum(kept)::bigint AS kept, sum(there)::bigint AS there
          FROM (SELECT org_id, status, context, settlement, archived, count AS kept, 0 AS there
                  FROM invoice_count
                 UNION ALL
                SELECT org_id, status, context, settlement, archived, 0, 1 FROM invoice) AS sides
         GROUP BY org_id, status, context, settlement, archived
        HAVING sum(kept) <> sum(there)
         ORDER BY org_id, status, context, settlement, archived
        """,
        {},
    )


async def make_searchable(tx: Tx, *, limit: int) -> int:
    """Give invoices from before there was a search, or one of each organisation, their grams.

    Answers how many got theirs.
    """
    rows = await all_rows(
        tx,
        _Unsearchable,
        """
        SELECT org_id, invoice_id, search_text
          FROM invoice_search AS unsearchable JOIN invoice USING (org_id, invoice_id)
         WHERE NOT grams_of_org
         LIMIT %(limit)s
           FOR UPDATE OF unsearchable SKIP LOCKED
        """,
        {"limit": limit},
    )
    await execute_many(
        tx,
        """
        UPDATE invoice_search SET grams = %(grams)s::integer[], grams_of_org = true
         WHERE org_id = %(org_id)s AND invoice_id = %(invoice_id)s
        """,
        [
            {
                "org_id": row.org_id,
                "invoice_id": row.invoice_id,
                "grams": kept_grams(
                    row.search_text, row.search_text.split("\n")[0], row.org_id
                ),  # the text begins with the number
            }
            for row in rows
        ],
    )
    return len(rows)


@dataclass(frozen=True, slots=True)
class _Unsearchable:
    org_id: int
    invoice_id: UUID
    search_text: str


async def _kept_counts(tx: Tx, org_id: int, filters: Filters) -> list[StatusCount]:
    return await all_rows(
        tx,
        StatusCount,
        "SELECT status, context, sum(count)::bigint AS count FROM invoice_count"
        " WHERE org_id = %(org_id)s"
        + ("" if filters.statuses is None else f" AND {_STANDS_THERE}")
        + _standing_clauses(filters)
        + " GROUP BY status, context HAVING sum(count) <> 0",
        _parameters(org_id, filters),
    )


_STANDS_THERE: Final[LiteralString] = (
    "(status, coalesce(context, '')) IN"
    " (SELECT * FROM unnest(%(statuses)s::text[], %(contexts)s::text[]))"
)

_SHOWN: Final[LiteralString] = "created_at, invoice_id, status, context"
_SHOWN_BY_DUE: Final[LiteralString] = "deadline_at, invoice_id, status, context"

_ORDERS: Final[Mapping[Order, LiteralString]] = {
    "newest": "created_at DESC, invoice_id DESC",
    "oldest": "created_at, invoice_id",
    "due_first": "deadline_at, invoice_id",
    "due_last": "deadline_at DESC, invoice_id DESC",
    "amount_least": "price_currency, price_amount, invoice_id",
    "amount_most": "price_currency DESC, price_amount DESC, invoice_id DESC",
}


def _matching(filters: Filters, at_most: LiteralString, *, by_age: bool) -> LiteralString:
    """A query of what matches, holding at least the first ``at_most`` of it."""
    where = f"org_id = %(org_id)s{_standing_clauses(filters)}{_other_clauses(filters)}"
    there = "" if filters.statuses is None else f" AND {_STANDS_THERE}"
    shown = _SHOWN_BY_DUE if filters.by_due else _SHOWN
    first = f" ORDER BY {_ORDERS[filters.order]} LIMIT "
    if filters.search is not None and not search.wanted_grams(filters.search):
        newest = (
            f"SELECT * FROM invoice WHERE {where}{there} ORDER BY {_ORDERS['newest']}"
            " LIMIT %(newest)s"
        )
        return f"SELECT {shown} FROM ({newest}) AS newest WHERE {_HAS_THE_TEXT}"
    if filters.search is not None and by_age:
        return f"SELECT {shown} FROM invoice WHERE {where}{there} AND {_HAS_THE_TEXT}"
    if filters.search is not None:
        # All that have the text first: the planner would rather walk a million invoices by age.
        hits = f"SELECT {shown} FROM invoice WHERE {where}{there} AND {_IS_INDEXED} OFFSET 0"
        return f"SELECT * FROM ({hits}) AS hits"
    if filters.by_due and not filters.by_standing_only:
        # No index has what was asked for by due date, so all of it is sorted: not more than is
        # counted (`desk.queries.page`).
        hits = f"SELECT {shown} FROM invoice WHERE {where}{there} OFFSET 0"
        return f"SELECT * FROM ({hits}) AS hits"
    if filters.statuses is None and not filters.by_due:
        return f"SELECT {shown} FROM invoice WHERE {where}{first}{at_most}"
    # Each standing is a piece of an index that is sorted already.
    piece = (
        f"SELECT {shown} FROM invoice WHERE {where}"
        " AND status = asked.status AND coalesce(context, '') = asked.context"
        f"{first}{at_most}"
    )
    return (
        "SELECT piece.* FROM unnest(%(statuses)s::text[], %(contexts)s::text[])"
        f" AS asked (status, context) CROSS JOIN LATERAL ({piece}) AS piece"
    )


def _by_amount(filters: Filters, at_most: LiteralString, *, by_age: bool) -> LiteralString:
    """As `_matching`, for the orders by amount; ``by_age`` where many match.

    Of many, all amounts are gone through in their order, and it is looked up where each invoice
    stands: the planner must not look all of them up first instead. Of few, all are sorted.
    """
    if not by_age:
        hits = _matching(replace(filters, order="newest"), "%(counted)s", by_age=False)
        return (
            f"SELECT price_currency, price_amount, hits.* FROM ({hits}) AS hits"
            " CROSS JOIN LATERAL (SELECT price_currency, price_amount FROM invoice_search"
            " WHERE org_id = %(org_id)s AND invoice_id = hits.invoice_id OFFSET 0) AS price"
        )
    where = f"org_id = %(org_id)s{_standing_clauses(filters)}{_other_clauses(filters)}"
    there = "" if filters.statuses is None else f" AND {_STANDS_THERE}"
    order = _ORDERS[filters.order]
    return (
        "SELECT price_currency, price_amount, walked.invoice_id, status, context FROM"
        " (SELECT price_currency, price_amount, invoice_id FROM invoice_search"
        f" WHERE org_id = %(org_id)s ORDER BY {order}) AS walked"
        f" CROSS JOIN LATERAL (SELECT status, context FROM invoice WHERE {where}{there}"
        f" AND invoice_id = walked.invoice_id OFFSET 0) AS there ORDER BY {order} LIMIT {at_most}"
    )


_HAS_THE_TEXT: Final[LiteralString] = "search_text LIKE %(search)s"
_RAREST: Final[LiteralString] = """
    SELECT array_agg(gram) FROM (
        SELECT gram FROM unnest(%(grams)s::integer[]) AS wanted (gram)
          LEFT JOIN (SELECT unnest(most_common_elems::text::integer[]) AS gram,
                            unnest(most_common_elem_freqs) AS share
                       FROM pg_stats
                      WHERE schemaname = current_schema() AND tablename = 'invoice_search'
                        AND attname = 'grams') AS common USING (gram)
         ORDER BY share NULLS FIRST LIMIT %(asked_of_index)s) AS rarest
    """
"""What is asked of the index: under a gram that most invoices have, it reads a million entries.

Which are common is told by the server's own statistics. Without any, it is merely slower.
"""

_IS_INDEXED: Final[LiteralString] = (
    "invoice_id IN (SELECT invoice_id FROM invoice_search WHERE org_id = %(org_id)s"
    f" AND (grams @> ({_RAREST}) OR grams @> %(former_grams)s::integer[] AND NOT grams_of_org))"
    f" AND {_HAS_THE_TEXT}"
)


def _standing_clauses(filters: Filters) -> LiteralString:
    clauses: LiteralString = ""
    if filters.settlement is not None:
        clauses += " AND settlement = %(settlement)s"
    if filters.archived is not None:
        clauses += " AND archived = %(archived)s"
    return clauses


def _other_clauses(filters: Filters) -> LiteralString:
    clauses: LiteralString = ""
    if filters.recipient_email is not None:
        clauses += " AND recipient_email = %(recipient_email)s"
    if filters.invoice_id is not None:
        clauses += " AND invoice_id = %(invoice_id)s"
    if filters.number is not None:
        clauses += " AND number = %(number)s"
    if filters.created_after is not None:
        clauses += " AND created_at >= %(created_after)s"
    if filters.created_before is not None:
        clauses += " AND created_at <= %(created_before)s"
    if filters.client_id is not None:
        clauses += " AND detail ->> 'client_id' = %(client_id)s"
    return clauses


def _parameters(org_id: int, filters: Filters) -> Mapping[str, Any]:
    asked = filters.statuses
    if asked is None:
        asked = tuple((status, None) for status in Status) if filters.by_due else ()
    pairs = [
        (status.value, context.value if context else "")
        for status, contexts in asked
        for context in (contexts if contexts is not None else (None, *Context))
    ]
    text = filters.search
    wanted = frozenset() if text is None else search.wanted_grams(text)
    return {
        "org_id": org_id,
        "statuses": [status for status, _ in pairs],
        "contexts": [context for _, context in pairs],
        "settlement": filters.settlement,
        "archived": filters.archived,
        "recipient_email": filters.recipient_email,
        "invoice_id": filters.invoice_id,
        "number": filters.number,
        "search": None if text is None else f"%{_literal(text.casefold())}%",
        "grams": None if text is None else array_text(search.of_org(wanted, org_id)),
        "former_grams": None if text is None else array_text(wanted),
        "asked_of_index": ASKED_OF_INDEX,
        "newest": SEARCHED_WITHOUT_GRAMS,
        "counted": COUNTED_AT_MOST,
        "created_after": filters.created_after,
        "created_before": filters.created_before,
        "client_id": filters.client_id,
    }


def _literal(text: str) -> str:
    """Text with LIKE's own wildcards made harmless."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
