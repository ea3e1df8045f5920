"""Open pages hear of what happens while they are open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import pytest

from counterfoil.checkout.live import CHANGED, HERE, OVER, Live
from counterfoil.core.errors import Unavailable
from counterfoil.core.reckoning import Depth
from counterfoil.db.pool import Database, Tx
from counterfoil.desk.changes import Changes
from support.patience import patiently
from support.payer import invited, stage
from support.payments import Payments
from support.site import Firm, Site, open_site


async def test_a_page_hears_of_its_payment_from_seen_to_confirmed(
    site: Site, firm: Firm, payments: Payments
) -> None:
    bill, payer = await invited(site, firm)
    page = await payer.look()
    async with payer.listening(page) as live:
        await payments.arrives(bill, depth=Depth.SEEN, tx_hash="0x" + "5e" * 32)
        assert await live.event() == "changed"
        assert stage(await payer.look(HX_Request="true")) == "seen"
        await payments.arrives(bill, depth=Depth.FINAL, tx_hash="0x" + "5e" * 32)
        assert await live.event() == "changed"
        assert stage(await payer.look(HX_Request="true")) == "checking"
        await payments.screened(bill)
        assert await live.event() == "changed"
        assert stage(await payer.look(HX_Request="true")) == "received"
        assert site.app.state.checkout.live.listening == 1
    async with patiently("the end of the stream"):
        while site.app.state.checkout.live.listening:
            await asyncio.sleep(0.01)


async def test_what_happened_before_the_page_listened_is_told_at_once(
    site: Site, firm: Firm, payments: Payments
) -> None:
    bill, payer = await invited(site, firm)
    page = await payer.look()
    await payments.arrives(bill, depth=Depth.SEEN)
    async with payer.listening(page) as live:
        assert await live.event() == "changed"


async def test_a_server_that_stops_hangs_up(database: Database) -> None:
    async with open_site(database) as site:
        _, payer = await invited(site, await site.firm())
        page = await payer.look()
        async with payer.listening(page) as live:
            site.app.state.changes.end()
            assert await live.event() is None
        assert (await payer.look(below="/events")).status == 503


async def test_nobody_who_listens_keeps_a_server_from_stopping(database: Database) -> None:
    async with open_site(database) as site:
        _, payer = await invited(site, await site.firm())
        page = await payer.look()
        async with payer.listening(page) as live:
            site.serving.should_exit = True
            assert await live.event() is None


class Away(Database):
    """A database that is not there for the first two questions; counts them."""

    def __init__(self, real: Database) -> None:
        self.real = real
        self.asked = 0

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[Tx]:
        self.asked += 1
        if self.asked <= 2:
            raise ConnectionError("the database is away")
        async with self.real.looking() as tx:
            yield tx


async def test_all_pages_share_one_question_which_a_failure_does_not_end(
    site: Site, firm: Firm, payments: Payments
) -> None:
    bill, _ = await invited(site, firm)
    invoice = await payments.look(bill)
    away = Away(site.desk.database)
    live = Live(Changes(replace(site.desk, database=away)))
    streams = [live.events((firm.org_id, invoice.invoice_id), 0) for _ in range(5)]
    assert [await anext(stream) for stream in streams] == [HERE] * 5
    waiting = [asyncio.ensure_future(anext(stream)) for stream in streams]
    assert await asyncio.gather(*waiting) == [CHANGED] * 5
    assert away.asked == 3
    for stream in streams:
        await stream.aclose()
    assert live.listening == 0


async def test_a_page_that_was_open_for_long_is_told_to_reload(
    site: Site, firm: Firm, payments: Payments
) -> None:
    bill, _ = await invited(site, firm)
    live = Live(site.app.state.changes, beat_seconds=0.01, longest_seconds=0.05)
    watched = (firm.org_id, (await payments.look(bill)).invoice_id)
    told = [event async for event in live.events(watched, 1_000)]
    assert (set(told), told[-1]) == ({HERE, OVER}, OVER)
    assert live.listening == 0


async def test_no_more_listen_than_a_process_bears(site: Site) -> None:
    live = Live(site.app.state.changes, most=1)
    stream = live.events((1, UUID(int=7)), 0)
    assert await anext(stream) == HERE
    with pytest.raises(Unavailable, match="too many pages"):
        live.events((1, UUID(int=7)), 0)
    await stream.aclose()
    assert live.listening == 0
