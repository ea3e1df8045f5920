"""Organisations that are paid at addresses with keys of their own: what invoices are given."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from counterfoil.books import orgs
from counterfoil.chains.evm.addresses import DepositAddresses
from counterfoil.chains.evm.hd import HdAddresses
from counterfoil.core.assets import CHAINS, accepted_asset
from counterfoil.core.content import content_hash
from counterfoil.core.errors import Invalid, NotFound, Unavailable
from counterfoil.core.invoice import Invoice, LineItem, Status, pay_to
from counterfoil.core.money import Asset
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Database
from counterfoil.db.rows import all_values, execute
from counterfoil.desk import children, intake, proving, provisioning, settings, watched
from counterfoil.desk.intake import Draft
from counterfoil.desk.provisioning import Stock
from counterfoil.signer.keys import Keyring
from support.invoices import CUSTOMER, DUE, USDT
from support.shop import desk_on
from support.till import Till
from support.watcher import Watcher, kept_aside, payment

FACTORY = DepositAddresses("0x" + "fa" * 20)
BRANCH = Keyring(bytes(range(64))).branch(1)
CHILDREN = HdAddresses(bytes.fromhex(BRANCH.public_key), bytes.fromhex(BRANCH.chain_code))
MAKER = Actor("user_maker", 1, frozenset({Permission.CREATE}))


@pytest.fixture
async def till(database: Database) -> Till:
    till = await Till(desk_on(database)).open()
    till.desk = replace(till.desk, chains=tuple(CHAINS))
    await stock(till, 5)
    return till


async def stock(till: Till, target: int, children: int | None = None) -> None:
    """What the provision worker does for the organisation."""
    await provisioning.fill(till.desk, 1, "evm", Stock(target, target), FACTORY.address)
    if (await till.org()).policy.chains_in("hd"):
        added = await provisioning.fill_children(till.desk, 1, "evm", CHILDREN.address)
        assert children is None or added == children


async def choose(till: Till, **modes: str) -> None:
    for chain, mode in modes.items():
        await settings.choose_deposits(till.desk, 1, chain, mode)


async def create(till: Till, chain: str = "arb", *, any_chain: bool = True) -> Invoice:
    draft = Draft(
        dialect="kryptogo",
        pricing_mode="crypto",
        amount=Decimal(100),
        currency=None,
        pay_token="USDT",
        chain=chain,
        origin="https://merchant.example",
        recipient_name="Acme Buyer",
        recipient_email="buyer@example.com",
        organization_name="Merchant Ltd.",
        organization_email="finance@merchant.example",
        creator="finance-bot",
        payment_terms=30,
        detail_items=(LineItem("Consulting", Decimal(1), Decimal(100), Decimal(0)),),
        allow_any_chain=any_chain,
    )
    return (await intake.create(till.desk, draft, MAKER)).invoice


def usdt(chain: str) -> Asset:
    token = accepted_asset(CHAINS[chain], "USDT")
    assert token is not None
    return token


def asked(bill: Invoice) -> dict[str, str]:
    """Where the invoice is to be paid, by chain."""
    return {r.asset.chain: pay_to(bill, r.asset) for r in bill.requests}


async def test_without_a_choice_every_chain_has_the_factorys_address(till: Till) -> None:
    bill = await create(till)
    assert set(asked(bill).values()) == {FACTORY.address(bill.number)} == {bill.deposit_address}
    assert bill.hd_address is None


async def test_every_chain_has_the_address_that_was_chosen_for_it(till: Till) -> None:
    await choose(till, arb="hd", optimism="hd")
    await stock(till, 5, children=5)
    bill = await create(till)

    n = bill.number
    assert asked(bill) == {
        "arb": CHILDREN.address(n),
        "base": FACTORY.address(n),
        "optimism": CHILDREN.address(n),
    }
    assert await till.look(bill) == bill
    assert pay_to(bill, CHAINS["arb"].native) == FACTORY.address(n)


async def test_what_an_invoice_was_given_never_changes(till: Till) -> None:
    before = await create(till)
    await choose(till, arb="hd")
    await stock(till, 5)
    between = await create(till)
    await choose(till, arb="factory", base="hd")
    await stock(till, 5)
    after = await create(till)

    found = [asked(await till.look(bill)) for bill in (before, between, after)]
    assert found == [asked(bill) for bill in (before, between, after)]
    hd = [
        {chain for chain, at in one.items() if at == CHILDREN.address(bill.number)}
        for one, bill in zip(found, (before, between, after), strict=True)
    ]
    assert hd == [set(), {"arb"}, {"base"}]
    assert [bill.number for bill in (before, between, after)] == [1, 2, 3]


async def test_an_edit_keeps_the_address_of_each_chain(till: Till) -> None:
    await choose(till, arb="hd")
    await stock(till, 5)
    bill = await create(till, any_chain=False)
    await choose(till, arb="factory", base="hd")

    def elsewhere(draft: Draft) -> Draft:
        return replace(draft, chain="base", allow_any_chain=True)

    edited = (await intake.edit(till.desk, bill.invoice_id, elsewhere, MAKER)).invoice
    assert asked(bill) == {"arb": CHILDREN.address(bill.number)}
    assert asked(edited) == {
        "base": FACTORY.address(bill.number),
        "arb": CHILDREN.address(bill.number),
        "optimism": FACTORY.address(bill.number),
    }


async def test_nothing_is_created_before_the_stock_has_its_addresses(till: Till) -> None:
    await choose(till, arb="hd")
    with pytest.raises(Unavailable, match="no deposit address is ready"):
        await create(till)
    await stock(till, 5, children=5)
    assert (await create(till)).number == 1


async def test_no_address_is_ever_given_twice(till: Till) -> None:
    await choose(till, arb="hd")
    await stock(till, 30, children=30)
    bills = await asyncio.gather(*(create(till) for _ in range(20)))
    await stock(till, 30, children=20)

    given = {address for bill in bills for address in asked(bill).values()}
    assert len(given) == 40
    async with till.desk.database.reading() as tx:
        owned = await all_values(tx, str, "SELECT address FROM ingest.address_owner", {})
        for address in given:
            assert await orgs.owns_address(tx, "evm", address)
    assert len(set(owned)) == len(owned) == 100


async def test_the_approval_covers_where_the_money_is_asked_to(till: Till) -> None:
    await choose(till, arb="hd")
    await stock(till, 5)
    bill = await create(till)
    moved = (
        replace(bill, hd_address="0x" + "bad0" * 10),
        replace(bill, hd_chains=("arb", "base")),
        replace(bill, hd_address=None, hd_chains=()),
    )
    assert content_hash(bill) not in {content_hash(other) for other in moved}


async def test_the_watcher_learns_children_whenever_they_come(till: Till) -> None:
    known: dict[int, int] = {}

    async def learn() -> list[str]:
        page = await watched.addresses_since(till.desk, "evm", "hd", known, 3)
        known.update((found.org_id, found.number) for found in page)
        return [found.address for found in page]

    await create(till)
    assert await learn() == []
    await choose(till, base="hd")
    await stock(till, 5, children=5)
    assert await learn() == [CHILDREN.address(n) for n in (2, 3, 4)]
    await stock(till, 7, children=2)
    assert await learn() == [CHILDREN.address(n) for n in (5, 6, 7)]
    assert await learn() == [CHILDREN.address(8)]


@pytest.mark.parametrize("at", ["child", "factory"])
async def test_money_at_either_address_is_the_invoices_on_any_chain(till: Till, at: str) -> None:
    """The address meant for another chain: seen, credited, and lying where the books say."""
    await choose(till, arb="hd")
    await stock(till, 5)
    bill = await create(till)
    await till.put(bill, Status.AWAITING_PAYMENT)
    to = CHILDREN.address(bill.number) if at == "child" else FACTORY.address(bill.number)
    for chain in ("arb", "base"):
        watcher = await Watcher(till.desk, chain).start()
        paid = replace(payment(to, 5, DUE // 2, tx=f"{len(chain)}"), contract=usdt(chain).contract)
        await watcher.final(0, 10, paid)

    received = await till.transfers(bill)
    mode = "hd" if at == "child" else "factory"
    assert [(row.chain, row.deposit_mode) for row in received] == [("arb", mode), ("base", mode)]
    assert sum(a.final_units for a in (await till.look(bill)).tally.assets) == DUE
    lies = "child" if at == "child" else "deposit"
    places = await proving.places(till.desk, "base", 10)
    holding = {(p.account, p.address): p.units for p in places if p.units}
    assert holding == {(lies, to): {usdt("base").contract: DUE // 2}}


async def test_what_came_before_the_invoice_is_nobodys(till: Till) -> None:
    await choose(till, arb="hd")
    await stock(till, 5)
    watcher = await Watcher(till.desk).start()
    gift = payment(CHILDREN.address(1), 5, 7)
    await watcher.final(0, 10, gift)
    bill = await create(till)

    (kept,) = await kept_aside(till.desk, gift)
    assert (kept.number, kept.reason, kept.from_address) == (1, "unassigned", CUSTOMER)
    assert await till.transfers(bill) == []
    places = await proving.places(till.desk, "arb", 10)
    assert [p.units for p in places if p.account == "child" and p.units] == [{USDT.contract: 7}]


@pytest.mark.parametrize(
    ("org_id", "chain", "mode", "refused"),
    [
        (1, "arb", "cold", Invalid),
        (1, "solana", "hd", Invalid),
        (1, "arb", None, Invalid),
        (2, "arb", "hd", NotFound),
    ],
)
async def test_a_choice_that_is_none_changes_nothing(
    till: Till, org_id: int, chain: str, mode: str | None, refused: type[Exception]
) -> None:
    with pytest.raises(refused):
        await settings.choose_deposits(till.desk, org_id, chain, mode)
    assert (await till.org()).policy.deposits == {}


async def test_choosing_deposits_and_rules_leaves_the_other_alone(till: Till) -> None:
    await choose(till, arb="hd")
    await settings.change_policy(till.desk, 1, {"grace_days": "3"})
    shown = await settings.choose_deposits(till.desk, 1, None, None)
    assert shown == {"arb": "hd", "base": "factory", "optimism": "factory"}
    assert (await till.org()).policy.invoice.grace_days == 3


async def test_the_branch_is_in_no_table(till: Till) -> None:
    await choose(till, arb="hd")
    await stock(till, 5)
    async with till.desk.database.transaction() as tx:
        tables = await all_values(
            tx,
            str,
            "SELECT format('%%I.%%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname IN ('public', 'ingest')",
            {},
        )
        for table in tables:
            found = await execute(
                tx,
                f"SELECT FROM {table} AS t WHERE t::text ~ %(secrets)s",
                {"secrets": f"{BRANCH.public_key}|{BRANCH.chain_code}"},
            )
            assert found == 0, table


async def test_sweeps_by_child_keys_come_in_turns_so_that_none_starves(till: Till) -> None:
    await choose(till, arb="hd")
    await stock(till, 5, children=5)
    for _ in range(3):
        bill = await till.bill(status=Status.SIGN_PENDING)
        await till.receive(bill, DUE, mode="hd")
        await till.screened(bill)
        await till.sign_off(bill)
    turns = children.Turns(till.desk, at_once=2)
    pages = [[one.move_id for one in await turns.sweeps("arb")] for _ in range(3)]
    assert [len(page) for page in pages] == [2, 1, 2]
    assert (pages[0], len({*pages[0], *pages[1]})) == (pages[2], 3)
