"""Settings: API keys, and what programs may do with them."""

import re
from datetime import timedelta

import pytest

from counterfoil.db.rows import one_value
from support.actors import Caller
from support.site import PASSWORD, Firm, Site
from support.visitor import Page, Visitor

KEYS = "/studio/settings/keys"
KEY = re.compile(r"cfk_([0-9a-f]{16})_[0-9a-f]{64}")


@pytest.fixture
async def alma(site: Site, firm: Firm) -> Visitor:
    """Finance, reviewer and signer in one, at the pages."""
    del firm
    return await site.at_the_pages("alma1@merchant.example")


def fields(site: Site, *permissions: str, days: int = 10) -> dict[str, str | list[str]]:
    last_day = (site.clock.now() + timedelta(days=days)).date().isoformat()
    return {"label": "shop", "permission": list(permissions), "last_day": last_day}


def program(site: Site, page: Page) -> Caller:
    found = KEY.search(page.text)
    assert found is not None, page.words
    return Caller(site.session, found[0], "client_1")


async def test_a_key_does_what_was_chosen_and_nothing_after_its_last_day(
    site: Site, alma: Visitor
) -> None:
    made = await alma.send(KEYS, fields(site, "transfer:read", "transfer:create"))
    caller = program(site, made)
    invoice = await caller.create()
    assert invoice.status == 200
    assert (await caller.approve(invoice.data["id"])).status == 403
    reader = program(site, await alma.send(KEYS, fields(site, "transfer:read")))
    assert (await reader.create()).status == 403
    assert (await reader.look(invoice.data["id"])).status == 200
    page = await alma.open(KEYS)
    assert "cfk_" in page.text
    assert KEY.search(page.text) is None
    site.clock.advance(timedelta(days=10))
    assert (await caller.list()).status == 200
    site.clock.advance(timedelta(days=1))
    assert (await caller.list()).status == 401


async def test_a_key_never_may_more_than_its_member(site: Site, firm: Firm, alma: Visitor) -> None:
    caller = program(site, await alma.send(KEYS, fields(site, "transfer:read", "transfer:create")))
    await site.person(firm.org_id, "anna", "administrator")
    anna = await site.at_the_pages("anna1@merchant.example")
    found = re.search(
        r'members/(user_[0-9a-f]+)"><bdi>Alma<', (await anna.open("/studio/settings/members")).text
    )
    assert found is not None
    await anna.send(f"/studio/settings/members/{found[1]}/roles", {"role": ["reviewer"]})
    assert (await caller.create()).status == 403
    assert (await caller.list()).status == 200


async def test_what_is_wrong_is_said_at_its_field(site: Site, alma: Visitor) -> None:
    good = fields(site, "transfer:read")
    for wrong, sentence in (
        ({"label": ""}, "must not be empty"),
        ({"permission": []}, "must be at least one"),
        ({"permission": ["organization:administer"]}, "is none that you have"),
        ({"last_day": ""}, "must be a day from"),
        ({"last_day": "2020-01-01"}, "must be a day from"),
        ({"last_day": "9999-12-31"}, "must be a day from"),
        ({"last_day": "soon"}, "must be a day such as"),
    ):
        refused = await alma.send(KEYS, {**good, **wrong})
        assert refused.status == 422
        assert refused.words.count(sentence) == 2
        assert ('value="shop"' in refused.text) == ("label" not in wrong)
        assert KEY.search(refused.text) is None


async def test_a_key_is_made_by_who_is_there(site: Site, alma: Visitor) -> None:
    site.clock.advance(timedelta(minutes=11))
    good = fields(site, "transfer:read")
    assert (await alma.send(KEYS, good)).status == 403
    assert KEY.search((await alma.send(KEYS, {**good, "proof": "wrong"})).text) is None
    assert KEY.search((await alma.send(KEYS, {**good, "proof": PASSWORD})).text)


async def test_who_sees_and_ends_which_keys(site: Site, firm: Firm, alma: Visitor) -> None:
    made = await alma.send(KEYS, fields(site, "transfer:read"))
    caller = program(site, made)
    key = caller.key.split("_")[1] if caller.key else ""
    other = await site.firm(2)
    await site.person(2, "omar", "administrator")
    for name in ("maya1", "ada1", "omar2"):
        somebody = await site.at_the_pages(f"{name}@merchant.example")
        assert (key in (await somebody.open(KEYS)).text) == (name == "ada1")
        assert (await somebody.send(f"{KEYS}/{key}/revoke")).status == 404
    assert (await caller.list()).status == 200
    assert (await other.merchant.list()).status == 200
    await site.person(firm.org_id, "anna", "administrator")
    anna = await site.at_the_pages("anna1@merchant.example")
    assert "The key is revoked" in (await anna.send(f"{KEYS}/{key}/revoke")).words
    assert (await caller.list()).status == 401
    assert (await alma.send(f"{KEYS}/{key}/revoke")).status == 404
    told = (await anna.open("/studio/settings/log")).words
    assert f"Alma made an API key: key_{key}" in told
    assert f"Anna revoked an API key: key_{key}" in told


async def test_when_a_key_was_used_is_noted_once_a_minute(site: Site, alma: Visitor) -> None:
    caller = program(site, await alma.send(KEYS, fields(site, "transfer:read")))

    async def noted() -> int:
        query = "SELECT count(DISTINCT xmin::text) FROM api_key WHERE last_used_at = %(now)s"
        async with site.desk.database.reading() as tx:
            return await one_value(tx, int, query, {"now": site.clock.now()}) or 0

    await caller.list()
    assert await noted() == 1
    site.clock.advance(timedelta(seconds=59))
    await caller.list()
    assert await noted() == 0
    site.clock.advance(timedelta(seconds=1))
    await caller.list()
    assert await noted() == 1
