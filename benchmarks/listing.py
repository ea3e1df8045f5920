"""A page of a list among a million invoices, and the same page among a thousand.

The thousand are alone in a database, so that nothing is in their time that the million cost. They
stand beside the million as well: a small organisation must not pay for its neighbour.
"""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
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
SEARCH: Final = "by search"
ROUNDS: Final = 40

_TWICE: Final = 2
_TEN_TIMES: Final = 10
_FEW_ID: Final = 901
_LINKS: Final = PayLinks(b"benchmark", "https://pay.example")
MANY_ID: Final = 902


@dataclass(frozen=True, slots=True)
class Listed:
    """Milliseconds for one page of `PAGE`, medians.

    Among `MANY` invoices of an organisation, among `FEW` of one that has the database to itself,
    and among as few of one in the database of the many.
    """

    what: str
    at_most: int
    many_ms: float
    few_ms: float
    beside_ms: float

    @property
    def ratio(self) -> float:
        """How many times as long a million takes."""
        return self.many_ms / self.few_ms

    @property
    def ratio_beside(self) -> float:
        """How many times as long a thousand take because there is a million of somebody else."""
        return self.beside_ms / self.few_ms


async def listing(url: str, alone_url: str, like: int) -> list[Listed]:
    """Measure in turns, from the desk's query to the bytes of the answer.

    ``like`` is an organisation that has an invoice to copy in both databases.
    """
    async with await psycopg.AsyncConnection.connect(url) as connection:
        for org_id, how_many in ((_FEW_ID, FEW), (MANY_ID, MANY)):
            await new_org(connection, org_id, like)
            await crowd(connection, org_id, like, how_many)
    async with await psycopg.AsyncConnection.connect(alone_url) as connection:
        await new_org(connection, _FEW_ID, like)
        await crowd(connection, _FEW_ID, like, FEW)
    async with _desk_on(url) as desk, _desk_on(alone_url) as alone:
        return [await _measured(desk, alone, asked) for asked in _LISTS]


@asynccontextmanager
async def _desk_on(url: str) -> AsyncIterator[Desk]:
    await settled_in(url)
    database = Database(url, name="benchmark")
    await database.open()
    try:
        yield Desk(database=database, clock=SystemClock(), ids=TimeSortedIds(), addresses={})
    finally:
        await database.close()


def _of_customer(how_many: int) -> Filters:
    return Filters(search=f"buyer {how_many // INVOICES_PER_CUSTOMER // 2}\n")


_ALL: Final = {FEW: Filters(), MANY: Filters()}
_SIGNED: Final = Filters(statuses=((Status.SIGN_PENDING, None),))
_BY_AMOUNT: Final = Filters(order="amount_most")
_Asked = tuple[str, Mapping[int, Filters], int]
_LISTS: Final[tuple[_Asked, ...]] = (
    ("the first page", _ALL, 1),
    ("by status", {FEW: _SIGNED, MANY: _SIGNED}, 1),
    (SEARCH, {FEW: _of_customer(FEW), MANY: _of_customer(MANY)}, 1),
    ("by amount", {FEW: _BY_AMOUNT, MANY: _BY_AMOUNT}, 1),
    (f"page {DEEP:,} against the first", _ALL, DEEP),
)


async def _measured(desk: Desk, alone: Desk, asked: _Asked) -> Listed:
    what, filters, deep = asked
    many_ms, few_ms, beside_ms = [], [], []
    for _ in range(ROUNDS):
        many_ms.append(await _page_ms(desk, MANY_ID, filters[MANY], deep))
        few_ms.append(await _page_ms(alone, _FEW_ID, filters[FEW], 1))
        beside_ms.append(await _page_ms(desk, _FEW_ID, filters[FEW], 1))
    at_most = _TWICE if deep == 1 else _TEN_TIMES
    return Listed(what, at_most, median(many_ms), median(few_ms), median(beside_ms))


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
