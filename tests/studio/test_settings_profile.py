"""Settings: the organisation's profile and logo, bank accounts, and payout addresses."""

import re
from datetime import timedelta
from hashlib import sha256

import aiohttp

from counterfoil.core.documents import picture_size
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import org_log, profile, registered
from support.payer import invited
from support.payments import Payments
from support.pictures import chunk, drawn, jpeg, png
from support.printed import printed
from support.site import PASSWORD, Firm, Site
from support.visitor import Visitor

PROFILE = "/studio/settings/organisation"
BANKS = "/studio/settings/bank-accounts"
PAYOUTS = "/studio/settings/payout-addresses"
PNG = png()
GOOD = {
    "name": "Tea & Söhne",
    "email": "billing@tea.example",
    "address": "1 Leaf Road\nTaipei",
    "tax_number": "12345678",
    "time_zone": "Asia/Taipei",
}
ADDRESS = "0x52908400098527886E0F7030069857D2E4169EE7"
PAYOUT = {"family": "evm", "address": ADDRESS, "label": "Treasury"}
READER = Actor("user_test", 1, frozenset({Permission.AUDIT, Permission.READ}))


def upload(content: bytes) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("file", content, filename="logo.png", content_type="image/png")
    return form


async def events(site: Site) -> list[str]:
    found = await org_log.history(site.desk, READER)
    assert found.broken is None
    return [entry.event for entry, _ in found.entries]


async def test_anna_writes_what_documents_say(site: Site, anna: Visitor) -> None:
    done = await anna.send(PROFILE, GOOD)
    assert "Saved." in done.words
    assert "Tea & Söhne" in (await anna.open("/studio")).words
    async with site.desk.database.reading() as tx:
        found = await profile.profile(tx, 1)
    assert (found.name, found.address) == (GOOD["name"], GOOD["address"])
    maya = await site.at_the_pages("maya1@merchant.example")
    assert "1 Leaf Road Taipei" in (await maya.open(PROFILE)).words
    for wrong, sentence in (
        ({"name": ""}, "must not be empty"),
        ({"email": "x"}, "must be an e-mail address"),
        ({"address": "x" * 501}, "at most 500 characters"),
        ({"tax_number": "x" * 41}, "at most 40 characters"),
    ):
        refused = await anna.send(PROFILE, {**GOOD, "tax_number": "GUI 04595257", **wrong})
        assert refused.status == 422
        assert refused.words.count(sentence) == 2
        assert ("GUI 04595257" in refused.text) == ("tax_number" not in wrong)
    assert await events(site) == ["profile_changed"]


async def test_the_logo_is_a_picture_and_nothing_else(site: Site, anna: Visitor) -> None:
    logo = f"{PROFILE}/logo"
    assert "/studio/logo/" not in (await anna.open(PROFILE)).text
    for bad in (
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<html><script>alert(1)</script>",
        b"%PDF-1.4\nstartxref\n1\n%%EOF",
        PNG + b"<script>",
        PNG.ljust(600_000, b"\0"),
        PNG.replace(b"\x78\xda", b"\x00\x00"),
        png(4_001, 1_000),
        jpeg(),
        b"",
    ):
        assert (await anna.send(logo, upload(bad))).status in {413, 422}
    assert await events(site) == []
    sent = drawn(600, 100)
    commented = sent[:33] + chunk(b"tEXt", b"Comment\0<script>") + sent[33:]
    assert "Saved." in (await anna.send(logo, upload(commented))).words
    (address,) = set(re.findall(r"/studio/logo/\w+", (await anna.open(PROFILE)).text))
    async with anna.session.get(anna.base_url + address) as answer:
        shown = await answer.read()
        assert answer.content_type == "image/png"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert address.endswith(sha256(shown).hexdigest())
    assert b"Comment" not in shown
    assert picture_size(shown) == (profile.LOGO_WIDTH, profile.LOGO_WIDTH // 6)
    maya = await site.at_the_pages("maya1@merchant.example")
    assert address in (await maya.open("/studio")).text
    omar = await _elsewhere(site)
    assert (await omar.open(address)).status == 404
    assert "/studio/logo/" not in (await omar.open("/studio")).text
    await anna.send(f"{logo}/drop")
    assert (await anna.open(address)).status == 404
    assert "/studio/logo/" not in (await anna.open("/studio")).text
    assert await events(site) == ["logo_changed", "logo_changed"]


async def test_customers_see_the_logo_on_the_page_and_on_paper(
    site: Site, firm: Firm, anna: Visitor
) -> None:
    await anna.send(PROFILE, {**GOOD, "name": "Merchant Ltd."})
    await anna.send(f"{PROFILE}/logo", upload(drawn(90, 30)))
    _, payer = await invited(site, firm)
    (address,) = set(re.findall(rf"{payer.path}/logo/\w+", (await payer.look()).text))
    async with payer.visitor.session.get(payer.visitor.base_url + address) as answer:
        assert picture_size(await answer.read()) == (90, 30)
        assert answer.content_type == "image/png"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert "noindex" in answer.headers["X-Robots-Tag"]
    for wrong in (address[:-1], f"{address}0", address.replace(payer.path, payer.path[:-1])):
        assert (await payer.visitor.open(wrong)).status == 404
    sheet = await printed(payer.visitor, f"{payer.path}/invoice.pdf")
    head = "Issued by Merchant Ltd. billing@tea.example 1 Leaf Road Taipei Tax number 12345678"
    assert head in sheet.words
    assert sheet.has_picture
    await anna.send(f"{PROFILE}/logo", upload(drawn(30, 30)))
    assert (await payer.visitor.open(address)).status == 404


async def test_an_address_is_added_by_one_approved_by_another_and_good_a_day_later(
    site: Site, anna: Visitor, arno: Visitor
) -> None:
    added = await anna.send(PAYOUTS, PAYOUT)
    assert "The address is added" in added.words
    assert "to be approved" in added.words
    (public,) = set(re.findall(r"/(pad_[0-9a-f]{32})/", added.text))
    approve = f"{PAYOUTS}/{public}/approve"
    assert approve not in added.text
    assert (await anna.send(approve)).status == 403
    assert await _usable(site) == []
    approved = await arno.send(approve)
    assert "good from" in approved.words
    assert (await arno.send(approve)).status == 409
    site.clock.advance(timedelta(hours=24) - timedelta(microseconds=1))
    assert await _usable(site) == []
    site.clock.advance(timedelta(microseconds=1))
    assert await _usable(site) == [ADDRESS.lower()]
    await arno.sign_in("arno1@merchant.example", PASSWORD)
    await arno.send(f"{PAYOUTS}/{public}/remove")
    assert await _usable(site) == []
    assert await events(site) == [
        f"payout_address_{what}" for what in ("added", "approved", "removed")
    ]


async def test_nothing_is_registered_that_would_lose_money_or_break_the_law(
    site: Site, anna: Visitor, arno: Visitor
) -> None:
    for wrong, sentence in (
        ({"address": "0x0"}, "address"),
        ({"address": "0x" + "0" * 40}, "is the zero address"),
        ({"family": "doge"}, "must be one of evm"),
        ({"label": ""}, "must not be empty"),
    ):
        refused = await anna.send(PAYOUTS, {**PAYOUT, **wrong})
        assert refused.status == 422
        assert sentence in refused.words
    added = await anna.send(PAYOUTS, PAYOUT)
    assert (await anna.send(PAYOUTS, {**PAYOUT, "address": ADDRESS.lower()})).status == 409
    (public,) = set(re.findall(r"/(pad_[0-9a-f]{32})/", added.text))
    await Payments(site.desk).lists(ADDRESS.lower())
    refused = await arno.send(f"{PAYOUTS}/{public}/approve")
    assert refused.status == 422
    assert "is on the sanctions list" in refused.words
    assert (await arno.send(f"{PAYOUTS}/{public}/remove")).status == 200
    assert (await arno.send(PAYOUTS, PAYOUT)).status == 422
    assert await events(site) == ["payout_address_added", "payout_address_removed"]


async def test_everybody_reads_and_administrators_change(
    site: Site, anna: Visitor, arno: Visitor
) -> None:
    added = await anna.send(PAYOUTS, PAYOUT)
    (public,) = set(re.findall(r"/(pad_[0-9a-f]{32})/", added.text))
    assert "those that still wait, wait as long as these rules say" in added.words
    before = await events(site)
    for name in ("maya", "rita", "sam", "otto", "ada"):
        visitor = await site.at_the_pages(f"{name}1@merchant.example")
        assert (await visitor.open(PROFILE)).status == 200
        assert "Treasury" in (await visitor.open(PAYOUTS)).words
        token = (await visitor.open("/studio")).form_token
        for path, form in (
            (PROFILE, GOOD),
            (f"{PROFILE}/logo", {}),
            (f"{PROFILE}/logo/drop", {}),
            (BANKS, {}),
            (PAYOUTS, PAYOUT),
            (f"{PAYOUTS}/{public}/approve", {}),
            (f"{PAYOUTS}/{public}/remove", {}),
        ):
            refused = await visitor.send(path, form, token=token)
            assert refused.status == 403, (name, path)
            assert "organization:administer" in refused.words
    omar = await _elsewhere(site)
    assert "Treasury" not in (await omar.open(PAYOUTS)).words
    for action in ("approve", "remove"):
        assert (await omar.send(f"{PAYOUTS}/{public}/{action}")).status == 404
        assert (await omar.send(f"{PAYOUTS}/x/{action}")).status == 404
    site.clock.advance(timedelta(minutes=11))
    assert (await arno.send(f"{PAYOUTS}/{public}/approve")).status == 403
    assert await events(site) == before


async def _usable(site: Site) -> list[str]:
    async with site.desk.database.reading() as tx:
        found = await registered.usable(tx, 1, site.desk.clock.now())
    return [one.address for one in found]


async def _elsewhere(site: Site) -> Visitor:
    await site.firm(2)
    await site.person(2, "omar", "administrator")
    return await site.at_the_pages("omar2@merchant.example")
