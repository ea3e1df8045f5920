"""Lists: what is found, paged and counted, whatever happened to the invoices meanwhile."""

import re
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil.books import invoices, lists
from counterfoil.books.invoices import Changed
from counterfoil.books.lists import Filters
from counterfoil.core.assets import CHAINS
from counterfoil.core.invoice import Context, Invoice, Price, Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.search import grams, of_org, wanted_grams
from counterfoil.db.migrate import read_migrations
from counterfoil.desk import queries
from counterfoil.desk.desk import Desk
from counterfoil.desk.tidying import FOLDED_FROM, tidy
from support.fake_clock import NOON, FakeClock
from support.invoices import ETH, USDT
from support.shop import Shop

AUDITOR = Actor(uid="auditor", org_id=1, permissions=frozenset({Permission.READ}))


async def listed(desk: Desk, filters: Filters = Filters(), **slice_: int) -> queries.Page:  # noqa: B008 - frozen
    number, size = slice_.get("number", 1), slice_.get("size", 20)
    return await queries.page(desk, filters, AUDITOR, number=number, size=size)


async def put(shop: Shop, bill: Invoice, **changes: Any) -> Invoice:  # noqa: ANN401 - any fields of an invoice
    """The invoice somewhere else, as an event would write it."""
    async with shop.desk.database.transaction() as tx:
        before = await invoices.lock(tx, bill.org_id, bill.invoice_id)
        assert before is not None
        after = replace(before, version=before.version + 1, **changes)
        await invoices.save_all(tx, [Changed(before, after, shop.desk.clock.now())])
    return after


async def rows(shop: Shop) -> Counter[tuple[str, str | None]]:
    """How many there really are."""
    async with shop.desk.database.reading() as tx:
        found = await tx.execute("SELECT status, context FROM invoice WHERE org_id = 1")
        return Counter(await found.fetchall())


async def test_counts_are_what_is_there_however_often_invoices_moved(
    desk: Desk, shop: Shop
) -> None:
    rng = Random(7)  # noqa: S311 - which way invoices go, no secret
    other = await Shop(desk, org_id=2).open()
    bills = [await shop.bill() for _ in range(20)]
    await other.bill()
    for step in range(FOLDED_FROM):
        status, context = rng.choice(list(Status)), rng.choice([None, *Context])
        archived_at = rng.choice([None, NOON])
        await put(shop, rng.choice(bills), status=status, context=context, archived_at=archived_at)
        if step == FOLDED_FROM // 2:
            assert await tidy(desk)
    await tidy(desk)

    page = await listed(desk)

    assert Counter({(c.status, c.context): c.count for c in page.counts}) == await rows(shop)
    assert page.total == 20
    halves = [await listed(desk, Filters(archived=archived)) for archived in (True, False)]
    assert [half.total for half in halves] == [len(half.views) for half in halves]
    assert sum(half.total for half in halves) == 20


async def test_folding_makes_counts_short_and_changes_none(desk: Desk, shop: Shop) -> None:
    bill = await shop.bill()
    for number in range(FOLDED_FROM):
        await put(shop, bill, status=(Status.EXPIRED, Status.AWAITING_PAYMENT)[number % 2])
    before = (await listed(desk)).counts

    assert await tidy(desk) > FOLDED_FROM

    async with desk.database.reading() as tx:
        kept = await (await tx.execute("SELECT count FROM invoice_count")).fetchall()
    assert kept == [(1,)]
    assert (await listed(desk)).counts == before
    assert await tidy(desk) == 0


async def test_every_page_of_every_list_together_is_the_whole_list(
    desk: Desk, shop: Shop, clock: FakeClock
) -> None:
    bills = []
    for number in range(12):
        bill = await shop.bill()
        context = (None, Context.OVERPAID)[number % 2]
        bills.append(await put(shop, bill, status=Status.COMPLETED, context=context))
        clock.advance(timedelta(seconds=number % 3))
    newest_first = [b.invoice_id for b in sorted(bills, key=_age, reverse=True)]
    for filters in (
        Filters(),
        Filters(statuses=((Status.COMPLETED, None), (Status.EXPIRED, None))),
        Filters(search="acme"),
        Filters(search="a"),
        Filters(created_after=NOON),
    ):
        pages = [await listed(desk, filters, number=n, size=5) for n in (1, 2, 3, 4)]

        shown = [view.invoice.invoice_id for page in pages for view in page.views]
        assert shown == newest_first, filters
        assert {page.total for page in pages} == {12}, filters


def _age(invoice: Invoice) -> tuple[datetime, UUID]:
    return invoice.created_at, invoice.invoice_id


async def test_text_is_found_wherever_it_stands_in_any_script(desk: Desk, shop: Shop) -> None:
    acme, wang = await shop.bill(), await shop.bill()
    document = replace(
        wang.document, recipient_name="王小明 GmbH & Co", description="六月 100%_Beratung é"
    )
    await put(shop, wang, document=document)

    async def found(search: str) -> list[object]:
        return [v.invoice.invoice_id for v in (await listed(desk, Filters(search=search))).views]

    for text in (
        "王小明",
        "王小",
        "小明",
        "王",
        "明 g",
        "gmbh",
        "六月 100",
        "%_b",
        "g é",
        "é",
    ):
        assert await found(text) == [wang.invoice_id], text
    for text in ("王明", "100_", "inv-2026-999999", "明g", "zz"):
        assert await found(text) == [], text
    assert await found(f"INV-2026-{acme.number:06d}") == [acme.invoice_id]
    assert await found(f"inv-2026-{acme.number:06d}"[:-1])


async def test_invoices_from_before_the_search_are_found_once_tidied(
    desk: Desk, shop: Shop
) -> None:
    bill = await shop.bill()
    async with desk.database.transaction() as tx:
        await tx.execute("UPDATE invoice_search SET grams = NULL, grams_of_org = false")
    wanted = Filters(search=f"INV-2026-{bill.number:06d}")
    assert (await listed(desk, wanted)).total == 0

    await tidy(desk)

    assert (await listed(desk, wanted)).total == 1


async def kept(desk: Desk, org_id: int) -> set[int]:
    """All that an organisation's invoices are found by, as the index has it."""
    async with desk.database.reading() as tx:
        found = await tx.execute(
            "SELECT DISTINCT unnest(grams) FROM invoice_search WHERE org_id = %s", [org_id]
        )
        return {gram for (gram,) in await found.fetchall()}


async def test_an_organisations_search_reads_nothing_that_its_neighbour_has_in_the_index(
    desk: Desk, shop: Shop
) -> None:
    """Both have the same customer; under what it is found by stands the own invoice alone."""
    other = await Shop(desk, org_id=2).open()
    ours, theirs = await shop.bill(), await other.bill()

    assert len(await kept(desk, 1)) == len(await kept(desk, 2)) > 30
    assert not await kept(desk, 1) & await kept(desk, 2)
    (view,) = (await listed(desk, Filters(search="acme"))).views
    assert view.invoice.invoice_id == ours.invoice_id != theirs.invoice_id


async def test_what_is_kept_in_the_former_way_is_found_all_the_while_and_written_anew(
    desk: Desk, shop: Shop
) -> None:
    former, today = await shop.bill(), await shop.bill()
    today_kept = await kept(desk, 1)
    async with desk.database.transaction() as tx:
        (text,) = await (
            await tx.execute(
                "SELECT search_text FROM invoice WHERE invoice_id = %s", [former.invoice_id]
            )
        ).fetchone() or ("",)
        await tx.execute(
            "UPDATE invoice_search SET grams = %s, grams_of_org = false WHERE invoice_id = %s",
            [sorted(grams(text, text.split("\n")[0])), former.invoice_id],
        )
    wanted = Filters(search="acme")
    both = [today.invoice_id, former.invoice_id]
    assert [v.invoice.invoice_id for v in (await listed(desk, wanted)).views] == both

    assert await tidy(desk)

    assert [v.invoice.invoice_id for v in (await listed(desk, wanted)).views] == both
    assert await kept(desk, 1) == today_kept


async def test_what_is_common_is_looked_at_in_the_text_and_not_in_the_index(
    desk: Desk, shop: Shop
) -> None:
    """Once the server has counted what stands in most invoices, searches find the same."""
    bills = [await shop.bill() for _ in range(12)]
    for place, bill in enumerate(bills):
        document = replace(bill.document, description=f"common words, then {place:02d}xyz")
        await put(shop, bill, document=document)

    async def found(text: str) -> list[UUID]:
        return [v.invoice.invoice_id for v in (await listed(desk, Filters(search=text))).views]

    texts = ("common words, then 07xyz", "07x", "common words", "words, then 1", "common worms")
    before = [await found(text) for text in texts]
    async with desk.database.transaction() as tx:
        await tx.execute("ANALYZE invoice_search")
    assert [await found(text) for text in texts] == before
    assert [len(ids) for ids in before] == [1, 1, 12, 2, 0]
    assert before[0] == [bills[7].invoice_id]


async def test_more_matches_than_anybody_counts_are_called_at_least(
    desk: Desk, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (lists, queries):
        monkeypatch.setattr(module, "COUNTED_AT_MOST", 3)
    bills = [await shop.bill() for _ in range(5)]

    common = await listed(desk, Filters(search="acme"), size=2)
    all_there_are = await listed(desk, size=2)

    assert (common.total, common.total_is_at_least) == (3, True)
    assert [v.invoice.invoice_id for v in common.views] == [b.invoice_id for b in bills[:2:-1]]
    assert (all_there_are.total, all_there_are.total_is_at_least) == (5, False)


@pytest.mark.parametrize("counted", [3, 100])
async def test_lists_by_amount_hold_each_currency_together_both_ways(
    desk: Desk, shop: Shop, monkeypatch: pytest.MonkeyPatch, counted: int
) -> None:
    """Whether all amounts are gone through, among many, or what matches is sorted, among few."""
    for module in (lists, queries):
        monkeypatch.setattr(module, "COUNTED_AT_MOST", counted)
    other = await Shop(desk, org_id=2).open()
    await other.bill()
    prices = [("USD", "9"), ("TWD", "3000"), (None, "10"), ("USD", "10.5"), ("TWD", "20000")]
    bills = []
    for place, (currency, amount) in enumerate(prices):
        price = Price("fiat" if currency else "crypto", Decimal(amount), currency)
        status = (Status.COMPLETED, Status.EXPIRED)[place % 2]
        bill = await shop.bill(assets=(USDT,))
        bills.append(await put(shop, bill, price=price, status=status))
    least = [bills[n].invoice_id for n in (1, 4, 0, 3, 2)]

    async def pages(**changes: Any) -> list[UUID]:  # noqa: ANN401 - any filters
        found = [await listed(desk, Filters(**changes), number=n, size=2) for n in (1, 2, 3)]
        return [view.invoice.invoice_id for page in found for view in page.views]

    assert await pages(order="amount_least") == least
    assert await pages(order="amount_most") == least[::-1]
    completed = {"statuses": ((Status.COMPLETED, None), (Status.REFUNDED, None))}
    assert await pages(order="amount_most", **completed) == [bills[n].invoice_id for n in (2, 0, 4)]
    await put(shop, bills[1], archived_at=NOON)
    assert await pages(order="amount_least", archived=False) == least[1:]
    narrowed = await listed(desk, Filters(search="acme", order="amount_least"))
    assert narrowed.order == ("newest" if counted == 3 else "amount_least")
    assert len(narrowed.views) == 5


async def test_an_amount_in_another_token_stands_under_its_symbol(desk: Desk, shop: Shop) -> None:
    bills = [await shop.bill(assets=(USDT,)) for _ in range(2)]
    price = Price("crypto", Decimal(10), None)
    one, other = [await put(shop, bill, price=price) for bill in bills]
    coin = tuple(replace(request, asset=ETH) for request in other.requests)
    await put(shop, other, requests=coin)
    await put(shop, one, price=replace(price, amount=Decimal(9)))
    found = await listed(desk, Filters(order="amount_least"))
    assert found.order == "amount_least"
    assert [view.invoice.invoice_id for view in found.views] == [other.invoice_id, one.invoice_id]


async def test_invoices_from_before_lists_by_amount_get_their_amounts(
    desk: Desk, shop: Shop
) -> None:
    """What the migration writes is what is written today."""
    (migration,) = [file for file in read_migrations() if file.name.endswith("_amounts.sql")]
    (update,) = re.findall(r"UPDATE invoice_search.*?;", migration.text, re.DOTALL)
    for chain in CHAINS.values():
        for asset in chain.payable:
            bill = await shop.bill(assets=(asset, *(a for a in chain.payable if a != asset)))
            await put(shop, bill, price=Price("crypto", Decimal("1.250"), None))
            await put(
                shop, await shop.bill(assets=(asset,)), price=Price("fiat", Decimal(7), "USD")
            )
    amounts = "SELECT invoice_id, price_currency, price_amount FROM invoice_search ORDER BY 1"
    async with desk.database.transaction() as tx:
        today = await (await tx.execute(amounts)).fetchall()
        await tx.execute("UPDATE invoice_search SET price_currency = '', price_amount = 0")
        await tx.execute(update)
        assert await (await tx.execute(amounts)).fetchall() == today
    assert Counter(currency for _, currency, _ in today) == Counter(
        {"USD": 9, "USDC": 3, "USDT": 3, "ETH": 3}
    )


@settings(max_examples=200)
@given(st.text("aB1 \né王小ßİ", max_size=30), st.integers(0, 29), st.integers(1, 10))
def test_whatever_is_in_a_text_is_in_its_grams(text: str, start: int, length: int) -> None:
    piece = text.casefold()[start : start + length]

    wanted, kept = wanted_grams(piece), grams(text, "INV-2026-000001")
    assert wanted <= kept
    assert of_org(wanted, 7) <= of_org(kept, 7)
    assert len(of_org(kept, 2**40)) == len(kept)
    assert all(0 <= gram < 2**31 for gram in of_org(kept, 2**40))
