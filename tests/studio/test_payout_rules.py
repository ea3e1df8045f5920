"""Registered payout addresses: the rule to pay out to no others, and how it becomes looser."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from counterfoil.books import invoices, orgs
from counterfoil.core import ids
from counterfoil.core.errors import Conflict, Forbidden, Invalid
from counterfoil.core.payout_rules import PayoutPolicy, PayoutRules
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import bank_accounts, org_log, payout_addresses
from support.banks import FUBON
from support.keyboards import wide
from support.payments import Payments
from support.site import PASSWORD, Firm, Site
from support.visitor import Page, Visitor

PAYOUTS = "/studio/settings/payout-addresses"
TREASURY = "0x52908400098527886e0f7030069857d2e4169ee7"
SAFE = "0x" + "5a" * 20
TWIN = TREASURY[:6] + "77" * 16 + TREASURY[-4:]
OTHER = "0x" + "0d" * 20
DAY = timedelta(hours=24)
READER = Actor("user_test", 1, frozenset({Permission.AUDIT, Permission.READ}))


def administrator(name: str, org_id: int = 1) -> Actor:
    return Actor(f"user_{name}", org_id, frozenset({Permission.ADMINISTER, Permission.READ}))


ANNA, ARNO = administrator("anna"), administrator("arno")


@dataclass
class Board:
    """Two administrators, and what they registered."""

    site: Site

    async def add(self, address: str = TREASURY, label: str = "Treasury") -> UUID:
        return await payout_addresses.add(self.site.desk, "evm", address, label, by=ANNA)

    async def register(self, address: str = TREASURY, label: str = "Treasury") -> UUID:
        """An address that is good once its time of waiting is over."""
        found = await self.add(address, label)
        await payout_addresses.approve(self.site.desk, found, ARNO)
        return found

    async def rules(self, take_back: Collection[str] = (), **changes: bool | int) -> PayoutPolicy:
        """Ask for other rules than those in force."""
        now = self.site.clock.now()
        present = (await payout_addresses.registered(self.site.desk, READER)).policy.in_force(now)
        values = {name: getattr(present, name) for name in present.__slots__}
        wanted = PayoutRules(**{**values, **changes})
        return await payout_addresses.change_rules(self.site.desk, wanted, ANNA, take_back)

    async def wait(self, time: timedelta = DAY) -> None:
        self.site.clock.advance(time)
        await self.site.publish_rates()


@pytest.fixture
async def board(site: Site, firm: Firm) -> Board:
    assert firm.org_id == 1
    return Board(site)


def to(address: str) -> dict[str, Any]:
    return {"payout_addresses": {"evm": address}}


FIELD = "payout_addresses.evm"


async def test_invoices_are_paid_out_to_registered_addresses_only_once_the_rule_says_so(
    firm: Firm, board: Board
) -> None:
    assert (await firm.merchant.create(**to(OTHER))).status == 200
    await board.rules(registered_only=True)
    refused = await firm.merchant.create(**to(OTHER))
    assert refused.status == 422
    assert "None is good just now" in refused.fields[FIELD]
    await board.add()
    refused = await firm.merchant.create(**to(TREASURY))
    assert "registered as Treasury, but nobody has approved it yet" in refused.fields[FIELD]
    found = (await payout_addresses.registered(board.site.desk, READER)).addresses[0]
    await payout_addresses.approve(board.site.desk, found.payout_address_id, ARNO)
    await board.register(SAFE, "Safe")
    await board.wait(DAY - timedelta(microseconds=1))
    refused = await firm.merchant.create(**to(TREASURY.upper().replace("0X", "0x")))
    assert "registered as Treasury, but good only from 2026-06-23" in refused.fields[FIELD]
    await board.wait(timedelta(microseconds=1))
    refused = await firm.merchant.create(**to(OTHER))
    assert refused.fields[FIELD] == (
        "is no registered payout address, and nothing else is allowed here. Allowed:"
        f" Safe ({SAFE}), Treasury ({TREASURY})"
    )
    made = await firm.merchant.create(**to(TREASURY))
    assert made.data["payment_intent"]["payout_addresses"] == {"evm": TREASURY}
    changed = await firm.merchant.update(made.data["id"], **to(OTHER))
    assert changed.status == 422
    assert (await firm.merchant.create(payout_addresses=None)).status == 200
    elsewhere = await board.site.firm(2)
    assert (await elsewhere.merchant.create(**to(OTHER))).status == 200


async def test_what_is_looser_holds_after_the_waiting_and_what_is_stricter_at_once(
    firm: Firm, board: Board
) -> None:
    await board.rules(registered_only=True, wait_hours=48)
    mixed = await board.rules(registered_only=False, two_people=False, wait_hours=72)
    assert mixed.rules == PayoutRules(registered_only=True, two_people=True, wait_hours=72)
    await board.wait(timedelta(hours=48) - timedelta(seconds=1))
    assert (await firm.merchant.create(**to(OTHER))).status == 422
    lone = await board.add()
    with pytest.raises(Forbidden, match="whoever added it"):
        await payout_addresses.approve(board.site.desk, lone, ANNA)
    await board.wait(timedelta(seconds=1))
    assert (await firm.merchant.create(**to(OTHER))).status == 200
    await board.add(SAFE, "Safe")
    (alone,) = [
        one
        for one in (await payout_addresses.registered(board.site.desk, READER)).addresses
        if one.label == "Safe"
    ]
    assert alone.usable_at == board.site.clock.now() + timedelta(hours=72)
    with pytest.raises(Conflict, match="approved already"):
        await payout_addresses.approve(board.site.desk, alone.payout_address_id, ARNO)

    await board.rules(two_people=True, wait_hours=24)
    after = (await payout_addresses.registered(board.site.desk, READER)).policy
    later = after.announced(board.site.clock.now())
    assert (after.rules.two_people, after.rules.wait_hours) == (True, 72)
    assert later is not None
    assert later.wait_hours == 24
    kept = await board.rules(registered_only=True)
    assert (kept.rules.registered_only, kept.next_at) == (True, after.next_at)
    assert kept.next_rules == PayoutRules(registered_only=True, two_people=True, wait_hours=24)
    longer = await board.rules(wait_hours=73)
    assert longer.next_rules is None
    later_still = await board.rules(registered_only=False)
    assert later_still.next_at == board.site.clock.now() + timedelta(hours=73)
    longer = await board.rules(wait_hours=75)
    assert longer.next_at == later_still.next_at + timedelta(hours=2)
    taken_back = await board.rules(take_back=["registered_only"])
    assert taken_back.next_rules is None
    await board.wait(timedelta(hours=75))
    assert taken_back.in_force(board.site.clock.now()).registered_only
    for hours in (0, 721):
        with pytest.raises(Invalid, match="from 1 to 720 hours"):
            await board.rules(wait_hours=hours)
    told = [e.event for e, _ in (await org_log.history(board.site.desk, READER)).entries]
    assert told.count("payout_rules_changed") == 8


async def test_what_is_stricter_reaches_what_is_registered_and_not_good_yet(board: Board) -> None:
    desk, clock = board.site.desk, board.site.clock

    async def good() -> set[UUID]:
        known = (await payout_addresses.registered(desk, READER)).addresses
        return {one.payout_address_id for one in known if one.is_usable(clock.now())}

    approved = await board.register(SAFE, "Safe")
    await board.rules(wait_hours=30)
    await board.wait(timedelta(hours=30) - timedelta(seconds=1))
    assert await good() == set()
    await board.wait(timedelta(seconds=1))
    assert await good() == {approved}

    await board.rules(two_people=False)
    await board.wait(timedelta(hours=30))
    lone = await board.add()
    account = await bank_accounts.add(desk, FUBON, label="House", currency="TWD", by=ANNA)
    assert account.usable_at == clock.now() + timedelta(hours=30)
    await board.rules(two_people=True)
    await board.wait(timedelta(days=4))
    assert await good() == {approved}
    (account,) = (await bank_accounts.registered(desk, READER)).accounts
    assert (account.is_told, account.approved_at) == (False, None)
    await payout_addresses.approve(desk, lone, ARNO)
    await bank_accounts.approve(desk, account.bank_account_id, ARNO)
    assert await good() == {approved}
    await board.wait(timedelta(hours=30))
    assert await good() == {approved, lone}
    assert (await bank_accounts.registered(desk, READER)).accounts[0].is_usable(clock.now())
    told = [e.metadata for e, _ in (await org_log.history(desk, READER)).entries]
    assert [one["held_back"] for one in told if "held_back" in one] == [1, 2]


async def test_what_only_looks_like_a_registered_address_is_not_registered(board: Board) -> None:
    await board.register()
    with pytest.raises(Invalid, match="begins and ends like Treasury"):
        await board.add(TWIN, "Savings")
    with pytest.raises(Invalid, match="label: looks like Treasury"):
        await board.add(SAFE, "Tre\u0430sury")
    for own in ("pool_address", "factory_address"):
        async with board.site.desk.database.reading() as tx:
            org = await orgs.get(tx, 1)
        with pytest.raises(Invalid, match="is an address of this system"):
            await board.add(getattr(org, own), "Ours")
    await board.add(SAFE, "Savings")


async def payable(site: Site, firm: Firm, address: str) -> str:
    made = (await firm.merchant.create(**to(address))).data["id"]
    await firm.reviewer.approve(made)
    await Payments(site.desk).paid(made)
    return str(made)


async def test_nobody_signs_for_money_to_an_address_that_was_removed(
    site: Site, firm: Firm, board: Board
) -> None:
    """Whatever the rules are: whoever removed it was told that nothing is paid there any more."""
    invoice_id = await payable(site, firm, TREASURY)
    sam = await site.at_the_pages("sam1@merchant.example")
    path = f"/studio/invoices/{invoice_id}"

    async def offered() -> list[str]:
        found: list[str] = (await firm.signer.look(invoice_id)).data["available_actions"]
        return found

    assert "sign" in await offered()
    assert f'action="{path}/sign_off"' in (await sam.open(path)).text
    await board.rules(registered_only=True)
    assert await offered() == ["refund"]
    assert f'action="{path}/sign_off"' not in (await sam.open(path)).text
    await board.rules(registered_only=False)
    await board.wait()
    where = await board.register()
    assert "sign" in await offered()
    await payout_addresses.remove(site.desk, where, ARNO)
    assert await offered() == ["refund"]
    refused = await firm.signer.act("sign", invoice_id, {})
    assert refused.status == 409
    assert "no registered payout address or not good yet" in refused.body["message"]
    assert refused.body["data"]["allowed"] == ["refund"]
    another = await firm.merchant.create(**to(TREASURY))
    assert another.status == 422
    assert "was a registered payout address and is removed" in another.body["message"]
    await board.register()
    assert await offered() == ["refund"]
    await board.wait()
    assert (await firm.signer.act("sign", invoice_id, {})).status == 200


async def test_the_form_offers_addresses_by_name_and_begins_with_the_default(
    site: Site, board: Board
) -> None:
    first, second = await board.register(), await board.register(SAFE, "Safe")
    with pytest.raises(Conflict, match="not good yet"):
        await payout_addresses.choose_default(site.desk, first, ANNA, on=True)
    await board.wait()
    await payout_addresses.choose_default(site.desk, second, ANNA, on=True)
    maya = await site.at_the_pages("maya1@merchant.example")
    form = await maya.open("/studio/invoices/new")
    assert f'name="payout_address" type="text" value="{SAFE}"' in form.text
    assert re.search(
        rf'<option value="{TREASURY}" label="Treasury: 0x\w+…\w+ \(Arbitrum', form.text
    )
    await board.rules(registered_only=True)
    form = await maya.open("/studio/invoices/new")
    chosen = re.search(r'(?s)<select[^>]*name="payout_address".*?</select>', form.text)
    assert chosen is not None
    assert f'<option value="{SAFE}" selected>' in chosen[0]
    assert "none: the money stays in your pool" in chosen[0]
    await payout_addresses.choose_default(site.desk, second, ANNA, on=False)
    form = await maya.open("/studio/invoices/new")
    assert f'<option value="{SAFE}" selected>' not in form.text
    sent = await maya.send("/studio/invoices/new", {**_fields(form), "payout_address": OTHER})
    assert sent.status == 422
    assert "is no registered payout address, and nothing else is allowed here" in sent.words
    assert f'<option value="{OTHER}" selected>' in sent.text
    made = await maya.send("/studio/invoices/new", {**_fields(form), "payout_address": SAFE})
    found = re.search(r"inv_[0-9a-f]{32}", made.address)
    assert found is not None, made.words
    invoice_id = ids.parse("inv", found[0])
    assert invoice_id is not None
    async with site.desk.database.reading() as tx:
        invoice = await invoices.get(tx, 1, invoice_id)
    assert invoice is not None
    assert invoice.payout_to == {"evm": SAFE}


def _fields(form: Page) -> dict[str, str | list[str]]:
    key = re.search(r'name="form_key" value="([^"]+)"', form.text)
    assert key is not None
    return {
        "form_key": key[1],
        "recipient_name": "Acme Buyer",
        "recipient_email": "buyer@example.com",
        "organization_name": "Merchant Ltd.",
        "organization_email": "finance@merchant.example",
        "origin": "https://merchant.example",
        "price_in": "TWD",
        "pay_token": "USDT",
        "chain": "arb",
        "due": "days",
        "payment_terms": "30",
        "payment_method_type": "crypto",
        "item_name": ["Tea"],
        "item_quantity": ["1"],
        "item_unit_price": ["100"],
        "item_tax": [""],
        "do": "save",
    }


async def test_the_settings_page_changes_rules_and_says_what_becomes_looser_when(
    site: Site, anna: Visitor, board: Board
) -> None:
    strict = {"registered_only": "true", "two_people": "true", "wait_hours": wide("24")}
    done = await anna.send(f"{PAYOUTS}/rules", strict)
    assert "to these addresses and to no others" in done.words
    for wrong in ({"wait_hours": "0"}, {"wait_hours": "-1"}, {"two_people": "maybe"}):
        assert (await anna.send(f"{PAYOUTS}/rules", {**strict, **wrong})).status == 422
    loose = {"registered_only": "false", "two_people": "false", "wait_hours": "1"}
    later = await anna.send(f"{PAYOUTS}/rules", loose)
    assert "These rules become looser at" in later.words
    assert "to these addresses and to no others" in later.words
    alarm = await (await site.at_the_pages("sam1@merchant.example")).open("/studio/now")
    assert "rules about payout addresses become looser" in alarm.words
    assert "become looser" in (await anna.send(f"{PAYOUTS}/rules", strict)).words
    unwanted = {**strict, "take_back": ["registered_only", "two_people", "wait_hours"]}
    assert "become looser" not in (await anna.send(f"{PAYOUTS}/rules", unwanted)).words
    where = ids.public("pad", await board.register())
    await board.wait()
    await anna.sign_in("anna1@merchant.example", PASSWORD)
    chosen = await anna.send(f"{PAYOUTS}/{where}/default")
    assert "Not the default any more" in chosen.words
    assert "Make it the default" in (await anna.send(f"{PAYOUTS}/{where}/no-default")).words
    site.clock.advance(timedelta(minutes=11))
    assert (await anna.send(f"{PAYOUTS}/rules", strict)).status == 403
    assert (await anna.send(f"{PAYOUTS}/{where}/default")).status == 403


async def test_invoices_without_a_callback_address_use_the_organisations_default(
    site: Site, firm: Firm, anna: Visitor
) -> None:
    path = "/studio/settings/callbacks/default"
    refused = await anna.send(path, {"default_url": "http://127.0.0.1/x"})
    assert refused.status == 422
    assert "Default callback address:" in refused.words
    url = "https://merchant.example/told"
    assert url in (await anna.send(path, {"default_url": url})).text
    plain = await firm.merchant.create(callback_url=None)
    assert plain.data["payment_intent"]["callback_url"] == url
    own = await firm.merchant.create(callback_url="https://merchant.example/own")
    assert own.data["payment_intent"]["callback_url"] == "https://merchant.example/own"
    await firm.reviewer.approve(plain.data["id"])
    callbacks = await firm.merchant.get(f"/invoice/intent/{plain.data['id']}/callbacks")
    assert {one["url"] for one in callbacks.data} == {url}
    await anna.send(path, {"default_url": ""})
    none = await firm.merchant.create(callback_url=None)
    assert none.data["payment_intent"]["callback_url"] is None
    told = [e.event for e, _ in (await org_log.history(site.desk, READER)).entries]
    assert told == ["callback_default_changed"] * 2
