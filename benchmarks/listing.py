"""A page of a list among a million invoices, and the same page among a thousand."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

import psycopg

from benchmarks.crowd import INVOICES_PER_CUSTOMER, crowd, new_org, settled_in
from counterfoil.api.kryptogo import views
from counterfoil.clock import SystemClock, TimeSortedIds
from counterfoil.core.invoice import Status
from counterfoil.core.pay_links import PayLinks
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Database
from counterfoil.desk import queries
from counterfoil.desk.desk import Desk
from counterfoil.desk.queries import Filters

FEW: Final = 1_000
MANY: Final = 1_000_000
PAGE: Final = 20
DEEP: Final = 1_000
ROUNDS: Final = 40

_TWICE: Final = 2
_TEN_TIMES: Final = 10
_FEW_ID: Final = 901
_LINKS: Final = PayLinks(b"benchmark", "https://pay.example")
MANY_ID: Final = 902


@dataclass(frozen=True, slots=True)
class Listed:
    """Milliseconds for one page of `PAGE`, medians, among `MANY` invoices and among `FEW`."""

    what: str
    at_most: int
    many_ms: float
    few_ms: float

    @property
    def ratio(self) -> float:
        """How many times as long a million takes."""
        return self.many_ms / self.few_ms


async def listing(url: str, like: int) -> list[Listed]:
    """Measure in turns, from the desk's query to the bytes of the answer.

    ``like`` is an organisation that has an invoice to copy.
    """
    async with await psycopg.AsyncConnection.connect(url) as connection:
        for org_id, how_many in ((_FEW_ID, FEW), (MANY_ID, MANY)):
            await new_org(connection, org_id, like)
            await crowd(connection, org_id, like, how_many)
    await settled_in(url)
    database = Database(url, name="benchmark")
    await database.open()
    try:
        desk = Desk(database=database, clock=SystemClock(), ids=TimeSortedIds(), addresses={})
        return [
            await _measured(desk, what, asked[MANY], asked[FEW], deep)
            for what, asked, deep in _LISTS
        ]
    finally:
        await database.close()


def _of_customer(how_many: int) -> Filters:
    return Filters(search=f"buyer {how_many // INVOICES_PER_CUSTOMER // 2}\n")


_ALL: Final = {FEW: Filters(), MANY: Filters()}
_SIGNED: Final = Filters(statuses=((Status.SIGN_PENDING, None),))
_BY_AMOUNT: Final = Filters(order="amount_most")
_LISTS: Final[tuple[tuple[str, Mapping[int, Filters], int], ...]] = (
    ("the first page", _ALL, 1),
    ("by status", {FEW: _SIGNED, MANY: _SIGNED}, 1),
    ("by search", {FEW: _of_customer(FEW), MANY: _of_customer(MANY)}, 1),
    ("by amount", {FEW: _BY_AMOUNT, MANY: _BY_AMOUNT}, 1),
    (f"page {DEEP:,} against the first", _ALL, DEEP),
)


async def _measured(
    desk: Desk, what: str, among_many: Filters, among_few: Filters, deep: int
) -> Listed:
    many_ms, few_ms = [], []
    for _ in range(ROUNDS):
        many_ms.append(await _page_ms(desk, MANY_ID, among_many, deep))
        few_ms.append(await _page_ms(desk, _FEW_ID, among_few, 1))
    at_most = _TWICE if deep == 1 else _TEN_TIMES
    return Listed(what, at_most, median(many_ms), median(few_ms))


async def _page_ms(desk: Desk, org_id: int, filters: Filters, number: int) -> float:
    by = Actor(uid="benchmark", org_id=org_id, permissions=frozenset({Permission.READ}))
    started = time.perf_counter()
    page = await queries.page(desk, filters, by, number=number, size=PAGE)
    views.list_envelope(page, by, _LINKS, number=number, size=PAGE)
    took = time.perf_counter() - started
    if not page.views:
        msg = f"{filters} finds nothing in organisation {org_id}, so there is nothing to measure"
        raise RuntimeError(msg)
    return took * 1_000
