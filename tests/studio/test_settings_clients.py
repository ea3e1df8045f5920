"""Settings: client ids of programs, and what the API makes of them."""

import re
from datetime import timedelta

import pytest

from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import org_log
from support.actors import STUDIO, Caller
from support.site import PASSWORD, Firm, Site
from support.visitor import Page, Visitor

CLIENTS = "/studio/settings/clients"
KEYS = "/studio/settings/keys"
READER = Actor("user_test", 1, frozenset({Permission.AUDIT, Permission.READ}))


@pytest.fixture
async def anna(site: Site, firm: Firm) -> Visitor:
    """The administrator, who also writes invoices, at the pages."""
    await site.person(firm.org_id, "anna", "administrator", "finance")
    return await site.at_the_pages("anna1@merchant.example")


async def made(anna: Visitor, name: str) -> str:
    before = shown(await anna.open(CLIENTS))
    page = await anna.send(CLIENTS, {"name": name})
    assert "A new client id" in page.words
    (new,) = shown(page) - before
    return new


def shown(page: Page) -> set[str]:
    return set(re.findall(r"client_[0-9a-f]{24}", page.text))


async def events(site: Site) -> list[str]:
    return [entry.event for entry, _ in (await org_log.history(site.desk, READER)).entries]


def sending(client_id: str) -> dict[str, str]:
    return {"X-Client-ID": client_id}


async def test_each_program_has_an_id_that_its_invoices_keep(
    site: Site, firm: Firm, anna: Visitor
) -> None:
    shop = await made(anna, "Web shop")
    first = (await firm.merchant.create()).data
    second = (await firm.merchant.create(headers=sending(shop), client_id=shop)).data
    told = [bill["payment_intent"]["client_id"] for bill in (first, second)]
    assert told == ["client_1", shop]
    mixed = await firm.merchant.create(headers=sending(shop), client_id="client_1")
    assert mixed.refusal == (403, 4001)
    await anna.send(f"{CLIENTS}/{shop}/rename", {"name": "Kiosk"})
    await anna.send(f"{CLIENTS}/{shop}/disable")
    page = await anna.open(CLIENTS)
    assert "Kiosk" in page.words
    assert "Web shop" not in page.words
    for refused in (
        await firm.merchant.create(headers=sending(shop)),
        await firm.merchant.call("GET", f"{STUDIO}/invoice/intents", headers=sending(shop)),
    ):
        assert refused.refusal == (403, 4001)
    assert (await firm.merchant.create()).status == 200
    kept = await firm.merchant.look(second["id"])
    assert kept.data["payment_intent"]["client_id"] == shop
    await anna.send(f"{CLIENTS}/{shop}/enable")
    assert (await firm.merchant.create(headers=sending(shop))).status == 200
    did = ("added", "renamed", "disabled", "enabled")
    assert await events(site) == [f"client_{what}" for what in did]


async def test_a_key_that_is_bound_to_one_is_good_with_no_other(
    site: Site, firm: Firm, anna: Visitor
) -> None:
    shop, other = await made(anna, "Web shop"), await made(anna, "Till")
    last_day = (site.clock.now() + timedelta(days=9)).date().isoformat()
    form = {"label": "shop", "permission": ["transfer:create"], "last_day": last_day}
    page = await anna.send(KEYS, {**form, "client_id": shop})
    key = re.search(r"cfk_[0-9a-f]{16}_[0-9a-f]{64}", page.text)
    assert key is not None
    caller = Caller(site.session, key[0], shop)
    assert (await caller.create()).data["payment_intent"]["client_id"] == shop
    for wrong in (other, "client_1", "client_2", ""):
        assert (await caller.create(headers=sending(wrong))).status in {400, 403}
    assert "only for Web shop" in (await anna.open(KEYS)).words
    theirs = (await site.firm(2)).shop
    for wrong in ("client_nobody", f"client_{theirs.org_id}"):
        refused = await anna.send(KEYS, {**form, "client_id": wrong})
        assert refused.status == 422
        assert refused.words.count("names no client id of your organisation") == 2
    await anna.send(f"{CLIENTS}/{shop}/disable")
    assert (await caller.create()).refusal == (403, 4001)
    with_key_alone = {"X-STUDIO-API-KEY": key[0]}
    async with site.session.get(f"{STUDIO}/invoice/intents", headers=with_key_alone) as listed:
        assert listed.status == 403
    assert (await anna.send(KEYS, {**form, "client_id": shop})).status == 422
    assert (await firm.merchant.create()).status == 200


async def test_one_key_for_two_programs_orders_is_not_answered_with_the_firsts_invoice(
    firm: Firm, anna: Visitor
) -> None:
    shop, till = await made(anna, "Web shop"), await made(anna, "Till")
    once = {"Idempotency-Key": "order-1-of-this-program"}
    first = await firm.merchant.create(headers={**sending(shop), **once})
    second = await firm.merchant.create(headers={**sending(till), **once})
    assert (first.status, second.status) == (200, 422)


async def test_names_are_told_apart_and_changes_are_for_administrators(
    site: Site, anna: Visitor
) -> None:
    shop = await made(anna, "Web shop")
    assert (await anna.send(CLIENTS, {"name": "Web shop"})).status == 409
    assert (await anna.send(CLIENTS, {"name": ""})).status == 422
    assert (await anna.send(f"{CLIENTS}/client_1/rename", {"name": "Web shop"})).status == 409
    assert (await anna.send(f"{CLIENTS}/{shop}/enable")).status == 409
    for name in ("maya", "ada"):
        visitor = await site.at_the_pages(f"{name}1@merchant.example")
        page = await visitor.open(CLIENTS)
        assert shop in page.text
        refused = await visitor.send(f"{CLIENTS}/{shop}/disable", token=page.form_token)
        assert refused.status == 403
    await site.firm(2)
    await site.person(2, "omar", "administrator")
    omar = await site.at_the_pages("omar2@merchant.example")
    assert shop not in (await omar.open(CLIENTS)).text
    assert (await omar.send(f"{CLIENTS}/{shop}/disable")).status == 404
    site.clock.advance(timedelta(minutes=11))
    assert (await anna.send(f"{CLIENTS}/{shop}/disable")).status == 403
    assert (await anna.send(f"{CLIENTS}/{shop}/disable", {"proof": PASSWORD})).status == 200
    assert await events(site) == ["client_added", "client_disabled"]
