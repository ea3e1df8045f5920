"""Claiming what has to be told: by row, in order, and by one claimant at a time."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from counterfoil.books import outbox
from counterfoil.db.pool import Database, Tx
from support.fake_clock import NOON, FakeClock
from support.office import Office

URL = "https://merchant.example/cb"
ENDPOINT = "https://merchant.example:443"


@pytest.fixture
async def office(database: Database) -> Office:
    office = Office(database, FakeClock())
    await office.opens()
    return office


async def claim(  # noqa: PLR0913 - what a story may vary
    tx: Tx,
    *,
    at: datetime = NOON,
    limit: int = 10,
    per_endpoint: int = 20,
    per_org: int = 20,
    in_flight: dict[str, int] | None = None,
    of: dict[int, int] | None = None,
) -> list[UUID]:
    claimed = await outbox.claim(
        tx,
        limit=limit,
        shares=outbox.Shares(per_endpoint, per_org, to=in_flight or {}, of=of or {}),
        now=at,
        lease_until=at + timedelta(minutes=1),
        lease_token=uuid4(),
    )
    return [event.event_id for event in claimed]


async def test_two_claimants_at_once_share_out_the_work(office: Office) -> None:
    told = {await office.tells(URL) for _ in range(20)}

    async def take() -> list[UUID]:
        async with office.desk.database.transaction() as tx:
            mine = await claim(tx, limit=10)
            await asyncio.sleep(0.05)
            return mine

    first, second = await asyncio.gather(take(), take())
    assert len(first) == len(second) == 10
    assert {*first, *second} == told


async def test_an_event_that_commits_late_is_not_skipped(office: Office) -> None:
    database = office.desk.database
    async with database.transaction() as late:
        await late.execute("SELECT 1")
        quick = await office.tells(URL)
        async with database.transaction() as tx:
            assert await claim(tx) == [quick]
        slow = await office.tells(URL)
    async with database.transaction() as tx:
        assert await claim(tx) == [slow]


async def test_only_the_first_event_of_an_invoice_is_ripe(office: Office) -> None:
    invoice_id = uuid4()
    third, second = [
        await office.tells(URL, invoice_id=invoice_id, sequence=sequence) for sequence in (3, 2)
    ]
    async with office.desk.database.transaction() as tx:
        assert await claim(tx) == [second]
        assert await claim(tx) == [], "the one on its way still counts as first"
    assert third != second


async def test_one_asked_for_by_hand_takes_its_turn_at_once_but_never_beside_another(
    office: Office,
) -> None:
    invoice_id, database = uuid4(), office.desk.database
    on_its_way = await office.tells(URL, invoice_id=invoice_id, sequence=2)
    async with database.transaction() as tx:
        assert await claim(tx) == [on_its_way]
    asked = await office.tells(URL, invoice_id=invoice_id, sequence=3)
    async with database.transaction() as tx:
        await outbox.ask_again(tx, 1, asked, NOON)
        assert await claim(tx) == []
        assert await claim(tx, at=NOON + timedelta(minutes=1), limit=1) in ([on_its_way], [asked])


async def test_an_event_of_the_same_number_elsewhere_is_another_invoices(office: Office) -> None:
    await office.opens(org_id=2)
    invoice_id = uuid4()
    for org_id, sequence in ((1, 2), (2, 3)):
        await office.tells(URL, org_id=org_id, invoice_id=invoice_id, sequence=sequence)
    async with office.desk.database.transaction() as tx:
        assert len(await claim(tx)) == 2


async def test_what_is_due_later_waits(office: Office) -> None:
    office.clock.advance(timedelta(seconds=1))
    await office.tells(URL)
    async with office.desk.database.transaction() as tx:
        assert await claim(tx) == []


@pytest.mark.parametrize(
    ("in_flight", "taken"), [({}, 3), ({ENDPOINT: 1}, 2), ({ENDPOINT: 3}, 0), ({"x": 3}, 3)]
)
async def test_one_receiver_gets_its_share_and_no_more(
    office: Office, in_flight: dict[str, int], taken: int
) -> None:
    theirs = [await office.tells(f"{URL}?n={n}") for n in range(9)]
    other = await office.tells("https://other.example/cb")
    async with office.desk.database.transaction() as tx:
        claimed = await claim(tx, per_endpoint=3, in_flight=in_flight)
    assert other in claimed
    assert len([e for e in claimed if e in theirs]) == taken


@pytest.mark.parametrize(("of", "taken"), [({}, 3), ({1: 2}, 1), ({1: 3}, 0), ({2: 3}, 3)])
async def test_one_organisation_gets_its_share_and_no_more(
    office: Office, of: dict[int, int], taken: int
) -> None:
    theirs = [await office.tells(f"https://host{n}.example/cb") for n in range(9)]
    async with office.desk.database.transaction() as tx:
        assert await claim(tx, per_org=3, of=of) == theirs[:taken]


async def test_a_full_receiver_takes_no_share_from_its_organisations_others(
    office: Office,
) -> None:
    for n in range(9):
        await office.tells(f"{URL}?n={n}")
    other = await office.tells("https://other.example/cb")
    async with office.desk.database.transaction() as tx:
        claimed = await claim(tx, per_endpoint=2, per_org=3)
    assert len(claimed) == 3
    assert other in claimed


async def test_a_flood_for_one_receiver_does_not_hide_the_others(office: Office) -> None:
    for n in range(30):
        await office.tells(f"{URL}?n={n}")
    office_b = await office.tells("https://other.example/cb")
    async with office.desk.database.transaction() as tx:
        flood = await claim(tx, limit=5, per_endpoint=2)
        assert len(flood) == 2
        assert await claim(tx, limit=5, per_endpoint=2, in_flight={ENDPOINT: 2}) == [office_b]
