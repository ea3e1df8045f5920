"""The recipient directory: kept by people, offered while an invoice is written."""

import re

import pytest

from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import org_log
from support.site import Firm, Site
from support.visitor import Page, Visitor

DIRECTORY = "/studio/directory"
ACME = {
    "name": "Acme Widgets",
    "email": "pay@acme-widgets.example",
    "address": "7 Cog Street\nTaipei",
    "tax_number": "87654321",
}
CYRILLIC = "\u0410cme Widgets"


@pytest.fixture
async def maya(site: Site, firm: Firm) -> Visitor:
    assert firm.org_id == 1
    return await site.at_the_pages("maya1@merchant.example")


def listed(page: Page) -> list[str]:
    """The names in the directory's table, from top to bottom."""
    assert page.status == 200, page.words
    return re.findall(r'href="/studio/directory/rcp_[0-9a-f]+"><bdi>([^<]+)<', page.text)


def address_of(page: Page, name: str) -> str:
    found = re.search(rf'href="(/studio/directory/rcp_[0-9a-f]+)"><bdi>{name}<', page.text)
    assert found, name
    return found[1]


async def offered(maya: Visitor, name: str) -> list[tuple[str, str]]:
    page = await maya.open(f"/studio/recipients?recipient_name={name}")
    return re.findall(r'value="([^"]+)" data-email="([^"]+)"', page.text)


async def test_maya_keeps_recipients_and_invoices_them(
    site: Site, firm: Firm, maya: Visitor
) -> None:
    bill = await firm.merchant.create(recipient_name="Old Buyer", recipient_email="old@b.example")
    empty = await maya.open(DIRECTORY)
    assert listed(empty) == []
    (prefilled,) = re.findall(r'href="([^"]+)" class="wrap"><bdi>Old Buyer<', empty.text)
    assert 'value="old@b.example"' in (await maya.open(prefilled.replace("&amp;", "&"))).text

    added = await maya.send(DIRECTORY, ACME)
    assert "offered to whoever writes an invoice" in added.words
    await maya.send(DIRECTORY, {**ACME, "name": "Old Buyer", "email": "old@b.example"})
    page = await maya.open(DIRECTORY)
    assert listed(page) == ["Acme Widgets", "Old Buyer"]
    assert "7 Cog Street Taipei" in page.words
    assert "Invoiced of late" not in page.words
    for text, names in (
        ("cog", []),
        ("ACME-w", ["Acme Widgets"]),
        ("8765", listed(page)),
        ("%", []),
    ):
        assert listed(await maya.open(f"{DIRECTORY}?q={text.replace('%', '%25')}")) == names, text
    acme = address_of(page, "Acme Widgets")

    form = await maya.open(f"/studio/invoices/new?recipient={acme.rpartition('/')[2]}")
    assert 'value="Acme Widgets"' in form.text
    assert f'value="{ACME["email"]}"' in form.text
    assert await offered(maya, "acme") == [("Acme Widgets", ACME["email"])]

    changed = await maya.send(acme, {**ACME, "email": "new@acme-widgets.example"})
    assert "Saved." in changed.words
    assert await offered(maya, "acme") == [("Acme Widgets", "new@acme-widgets.example")]
    old = address_of(page, "Old Buyer")
    await maya.send(f"{old}/deactivate")
    assert listed(await maya.open(DIRECTORY)) == ["Acme Widgets"]
    assert listed(await maya.open(f"{DIRECTORY}?inactive=only")) == ["Old Buyer"]
    # Nor is who was invoiced before offered for that invoice's sake.
    assert await offered(maya, "old") == []
    assert (await firm.merchant.look(bill.data["id"])).data["recipient_name"] == "Old Buyer"
    await maya.send(f"{old}/activate")
    assert await offered(maya, "old") == [("Old Buyer", "old@b.example")]

    reader = Actor("user_test", 1, frozenset({Permission.AUDIT}))
    kept = await org_log.history(site.desk, reader)
    assert kept.broken is None
    assert [entry.event.removeprefix("recipient_") for entry, _ in kept.entries] == [
        *("added", "added", "changed", "deactivated", "activated")
    ]


async def test_what_is_wrong_is_told_and_changes_nothing(site: Site, maya: Visitor) -> None:
    await maya.send(DIRECTORY, ACME)
    for wrong, said in (
        ({"name": ""}, "must not be empty"),
        ({"name": "Acme\u202eWidgets"}, "U+202E"),
        ({"email": "acme"}, "must be an e-mail address"),
        ({"address": "x" * 501}, "at most 500 characters"),
        ({"tax_number": "x" * 41}, "at most 40 characters"),
    ):
        refused = await maya.send(DIRECTORY, {**ACME, **wrong})
        assert (refused.status, refused.words.count(said)) == (422, 2), said
        assert ("Cog Street" in refused.text.partition("<textarea")[2]) == ("address" not in wrong)
    twice = await maya.send(DIRECTORY, ACME)
    assert (twice.status, "is in the directory already" in twice.words) == (409, True)
    assert listed(await maya.open(DIRECTORY)) == ["Acme Widgets"]
    for query in ("inactive=x", "page=0", "page=x", "page=1001", "q=" + "x" * 201):
        assert (await maya.open(f"{DIRECTORY}?{query}")).status == 422, query
    assert listed(await maya.open(f"{DIRECTORY}?page=2")) == ["Acme Widgets"]
    ada = await site.at_the_pages("ada1@merchant.example")
    seen = await ada.open(DIRECTORY)
    acme = address_of(seen, "Acme Widgets")
    assert "<form method" not in seen.text.partition('id="content"')[2]
    assert "87654321" in (await ada.open(acme)).words
    await site.firm(2)
    stranger = await site.at_the_pages("maya2@merchant.example")
    assert listed(await stranger.open(DIRECTORY)) == []
    for path in (acme, f"{acme}/deactivate"):
        assert (await stranger.send(path, ACME)).status == 404
    assert (await stranger.open(acme)).status == 404


async def test_a_name_that_only_looks_known_is_asked_about(maya: Visitor) -> None:
    await maya.send(DIRECTORY, ACME)
    twin = {**ACME, "name": CYRILLIC, "email": "pay@evil.example"}
    refused = await maya.send(DIRECTORY, twin)
    assert refused.status == 422
    assert "only looks like Acme Widgets (pay@acme-widgets.example)" in refused.words
    # The form of an invoice knows the directory's names as well as those of invoices.
    drafted = await maya.open(f"/studio/recipients?recipient_name={CYRILLIC}")
    assert "This name only looks like Acme Widgets" in drafted.words
    assert (await maya.send(DIRECTORY, {**twin, "meant": "yes"})).status == 200
    page = await maya.open(DIRECTORY)
    assert set(listed(page)) == {"Acme Widgets", CYRILLIC}
    assert page.words.count("letters of several scripts in one word") == 1
    acme = address_of(page, "Acme Widgets")
    renamed = await maya.send(acme, {**ACME, "name": "\u0410cme widgets"})
    assert (renamed.status, "look twice" in renamed.words) == (422, True)
