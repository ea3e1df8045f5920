"""Strangers and thieves at the payment page (T10, T25, T29, T30, T31)."""

import base64
import json
import re
from datetime import timedelta

from counterfoil.app import WebSettings
from counterfoil.core.money import Money
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Database
from counterfoil.db.rows import execute
from counterfoil.desk import org_log
from support.contents import all_tables
from support.invoices import USDT
from support.payer import Payer, invited, stage, to_copy
from support.payments import Payments
from support.site import Firm, Site, open_site
from support.visitor import Page

RETURNS = "/studio/settings/organisation/returns"
THIEF = "0x" + "bad0" * 10


def without_nonce(page: Page) -> str:
    return re.sub(r'nonce="[^"]+"', "", page.text)


async def test_no_query_form_or_header_changes_where_the_money_goes(
    site: Site, firm: Firm, database: Database
) -> None:
    bill, payer = await invited(site, firm)
    (option,) = (await firm.merchant.look(bill)).data["payment_options"]
    before = await all_tables(database)
    honest = await payer.look()
    for query in (
        f"?address={THIEF}&amount=0.01&to={THIEF}&uint256=1",
        f"?pay={THIEF}",
        f"?pay=arb-USDC&pay_to={THIEF}",
        f"?qr={THIEF}",
        f"?lang={THIEF}&seen={THIEF}",
        f"?pay=arb-USDT&pay=base-USDC&deposit_address={THIEF}",
        f"?qr=address&pay=%22%3E%3Cscript%3E{THIEF}",
    ):
        page = await payer.look(query)
        assert page.status == 200
        assert to_copy(page) == to_copy(honest) == (option["amount"], option["address"])
        assert THIEF not in page.text.replace(f'href="{payer.path}', "")
        assert option["amount"] in page.words
    spoofed = await payer.look(X_Forwarded_Host="evil.example", Forwarded="host=evil.example")
    assert without_nonce(spoofed) == without_nonce(honest)
    assert "evil" not in spoofed.text
    assert (await payer.send("", {"address": THIEF})).status == 405
    assert await all_tables(database) == before


async def test_a_row_that_was_tampered_with_shows_no_address_at_the_old_link(
    site: Site, firm: Firm, payments: Payments, database: Database
) -> None:
    _, payer = await invited(site, firm)
    async with database.transaction() as tx:
        await execute(
            tx,
            "UPDATE invoice SET deposit_address = %(thief)s WHERE org_id = 1 AND number = 1",
            {"thief": THIEF},
        )
    page = await payer.look()
    assert page.status == 404
    assert THIEF not in page.text
    other, second = await invited(site, firm)
    await payments.forged(other, ("hd_address",), json.dumps(THIEF))
    await payments.forged(other, ("hd_chains",), '["arb"]')
    assert (await second.look()).status == 404


async def test_wrong_links_and_dead_links_look_alike(site: Site, firm: Firm) -> None:
    other_firm = await site.firm(2)
    bill, payer = await invited(site, firm)
    _, foreign = await invited(site, other_firm)
    await firm.merchant.cancel(bill)
    site.clock.advance(timedelta(days=31))
    dead = await payer.look()
    assert dead.status == 404
    mine, theirs = (
        base64.urlsafe_b64decode(p.path.removeprefix("/pay/") + "==") for p in (payer, foreign)
    )
    forged = [
        theirs[:24] + mine[24:],
        mine[:8] + theirs[8:],
        theirs[:8] + mine[8:],
        theirs[:-1] + bytes([theirs[-1] ^ 1]),
        theirs[:-16] + bytes(16),
        theirs + b"\0",
        theirs[:-1],
        b"\xff" * 40,
    ]
    names = [base64.urlsafe_b64encode(raw).rstrip(b"=").decode() for raw in forged]
    good = foreign.path.removeprefix("/pay/")
    # The last letter carries two idle bits: another letter for the same bytes is another name.
    names += [good[:-1] + chr(ord(good[-1]) + 1), good + "==", bill, "x", "%00"]
    for name in names:
        page = await Payer(payer.visitor, f"/pay/{name}").look()
        assert page.status == 404, name
        assert without_nonce(page) == without_nonce(dead), name
    assert stage(await foreign.look()) == "over"


async def test_the_page_tells_no_more_than_a_payer_needs(
    site: Site, firm: Firm, payments: Payments
) -> None:
    bill, payer = await invited(
        site,
        firm,
        group_key="project-nightingale",
        callback_url="https://hooks.merchant.example/secret-path",
    )
    await payments.arrives(bill, percent=50, payer="0x" + "c9" * 20)
    seen = (await firm.merchant.look(bill)).data
    for page in (await payer.look(), await payer.look("?qr=address&lang=zh-Hant-TW")):
        for private in (
            seen["recipient_email"],
            seen["organization_email"],
            "project-nightingale",
            "secret-path",
            "INV-2026-001",
            seen["payment_intent"]["payout_target_address"],
            seen["payment_intent"]["payer_address"],
            seen["created_by"],
            bill,
            firm.reviewer.uid,
        ):
            assert private.lower() not in page.text.lower(), private
        assert page.headers["x-robots-tag"] == "noindex, nofollow, noarchive"
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Referrer-Policy"] == "same-origin"
        assert page.headers["X-Frame-Options"] == "DENY"
        assert '<meta name="robots" content="noindex, nofollow">' in page.text
        assert "Set-Cookie" not in page.headers


ELSEWHERE = (
    "//evil.example",
    "https:\\\\evil.example",
    "https://merchant.example\\@evil.example",
    "https://merchant.example@evil.example",
    "javascript:alert('evil')",
    "data:text/html,<script>alert('evil')</script>",
    "https://merchant.example\n.evil.example",
)


async def test_the_way_back_is_the_invoices_own_and_nobody_elses(
    site: Site, firm: Firm, payments: Payments
) -> None:
    bill, payer = await invited(site, firm, origin="https://shop.merchant.example/orders/7")
    page = await payer.look("?origin=https://evil.example&return_url=//evil.example&next=//evil")
    away = re.findall(r'<a [^>]*href="(?!/)([^"#]+)"', page.text)
    assert away == ["https://shop.merchant.example/orders/7"]
    assert "Back to shop.merchant.example" in page.words
    assert 'rel="noreferrer noopener" href="https://shop' in page.text
    for origin in ELSEWHERE:
        refused = await firm.merchant.create(origin=origin)
        assert (refused.status, list(refused.fields)) == (422, ["origin"])
        # Even a row that somebody else wrote leads nowhere else.
        await payments.forged(bill, ("document", "origin"), json.dumps(origin))
        page = await payer.look()
        assert page.status == 200
        assert "evil" not in page.text
        assert "Back to" not in page.words


async def test_customers_are_led_back_to_listed_origins_only(
    site: Site, firm: Firm, payments: Payments
) -> None:
    await site.person(firm.org_id, "anna", "administrator")
    anna = await site.at_the_pages("anna1@merchant.example")
    shop, other = "https://shop.merchant.example", "https://new.merchant.example:8443"
    _, payer = await invited(site, firm, origin=f"{shop}/orders/7")
    unlisted, _ = await invited(site, firm, approve=False, origin=other)
    thief, victim = await invited(site, firm, origin="https://shop.merchant.example.evil.example")
    assert "Back to shop.merchant.example.evil.example" in (await victim.look()).words

    async def listed(*origins: str) -> Page:
        return await anna.send(RETURNS, {"return_origins": "\n".join(origins)})

    wrong = await listed(shop, "https://shop.merchant.example@evil.example")
    assert (wrong.status, wrong.words.count("is no web address")) == (422, 2)
    assert "lead back to these addresses only" in (await listed(shop)).words
    assert "Back to shop.merchant.example" in (await payer.look()).words
    # It holds for invoices from before as well, and for a row that somebody else wrote.
    assert "Back to" not in (await victim.look()).words
    for origin in (*ELSEWHERE, f"{shop}.evil.example", f"{shop}:8443", other, "http" + shop[5:]):
        refused = await firm.merchant.create(origin=origin)
        assert (refused.status, list(refused.fields)) == (422, ["origin"])
        await payments.forged(thief, ("document", "origin"), json.dumps(origin))
        assert "Back to" not in (await victim.look()).words
    refused = await firm.merchant.create(origin=other)
    assert refused.fields["origin"] == (
        f"must be an address of {shop}: customers are led back nowhere else"
    )
    # What is there already can still be mended, and its reviewer sees what it names.
    changed = await firm.merchant.update(unlisted, description="mended")
    assert (changed.status, changed.data["origin"]) == (200, other)
    rita = await site.at_the_pages("rita1@merchant.example")
    assert other in (await rita.open(f"/studio/invoices/{unlisted}")).words
    assert (await (await site.firm(2)).merchant.create(origin=other)).status == 200
    maya = await site.at_the_pages("maya1@merchant.example")
    assert (await maya.send(RETURNS, {"return_origins": other})).status == 403

    # What allows more waits, announced on home; what allows less does not.
    assert "holds once the time of waiting is over" in (await listed(shop, other)).words
    assert (await firm.merchant.create(origin=other)).status == 422
    assert "lead customers back to other addresses from" in (await anna.open("/studio/now")).words
    site.clock.advance(timedelta(hours=24))
    await site.publish_rates()
    made, customer = await invited(site, firm, origin=f"{other}/x")
    assert f"Back to {other[8:]}" in (await customer.look()).words
    anna = await site.at_the_pages("anna1@merchant.example")
    await listed(shop)
    assert "Back to" not in (await customer.look()).words
    assert (await firm.merchant.look(made)).data["origin"] == f"{other}/x"
    assert "holds once the time of waiting is over" in (await listed()).words
    assert (await firm.merchant.create(origin=other)).status == 422
    # The one address cannot be taken away by naming another: it holds on, and that is said.
    replaced = await listed(other)
    assert "The old addresses hold on: none of them is among the new ones" in replaced.words
    assert "What is stricter holds now" not in replaced.words
    assert (await firm.merchant.create(origin=shop)).status == 200
    reader = Actor("user_test", firm.org_id, frozenset({Permission.AUDIT}))
    kept = await org_log.history(site.desk, reader)
    assert [e.event for e, _ in kept.entries] == ["return_origins_changed"] * 5


async def test_words_of_a_merchant_are_words_and_nothing_else(site: Site, firm: Firm) -> None:
    evil = "</title><script>alert(1)</script>{{ 7*7 }}<img src=x onerror=alert(1)>\"'hx-get=/"
    _, payer = await invited(
        site,
        firm,
        recipient_name=evil[:200],
        description=evil,
        detail_items=[{"name": evil, "quantity": 1, "unit_price": 3000, "tax": 0}],
    )
    page = await payer.look()
    assert page.words.count("{{ 7*7 }}") == 3
    assert "<script>alert" not in page.text
    assert "<img" not in page.text
    assert "'unsafe" not in page.headers["Content-Security-Policy"]


async def test_whoever_asks_too_fast_is_asked_to_wait(database: Database) -> None:
    async with open_site(database, WebSettings(payers_per_second=3)) as site:
        _, payer = await invited(site, await site.firm())
        answers = [await payer.look(X_Forwarded_For=f"203.0.113.{n}") for n in range(7)]
        assert [page.status for page in answers] == [200] * 6 + [429]
        assert answers[-1].headers["Retry-After"] == "1"
        site.clock.advance(timedelta(seconds=1))
        assert (await payer.look()).status == 200


async def test_behind_https_nothing_goes_by_http(database: Database) -> None:
    settings = WebSettings(public_url="https://pay.merchant.example", secure=True)
    async with open_site(database, settings) as site:
        firm = await site.firm()
        bill, payer = await invited(site, firm)
        url = (await firm.merchant.look(bill)).data["payment_page_url"]
        assert url == f"https://pay.merchant.example{payer.path}"
        page = await payer.look()
        assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
        sign_in = await payer.visitor.open("/studio/sign-in")
        assert sign_in.headers["Set-Cookie"].startswith("__Host-counterfoil=")
        assert "Secure" in sign_in.headers["Set-Cookie"]


class Purse:
    def __init__(self) -> None:
        self.paid: list[tuple[Money, str]] = []

    async def pay(self, money: Money, address: str) -> None:
        self.paid.append((money, address))


async def test_the_demo_customer_pays_in_a_sandbox_and_for_its_own_pages_only(
    database: Database,
) -> None:
    purse = Purse()
    async with open_site(database, WebSettings(sandbox=True, demo_customer=purse)) as site:
        firm = await site.firm()
        _, payer = await invited(site, firm)
        _, closed = await invited(site, firm, approve=False)
        address = to_copy(await payer.look())[1]
        assert "Pay as the demo customer" in (await payer.look()).words
        for share in ("exact", "half", "double"):
            done = await payer.send("/demo?lang=en", {"share": share, "pay": "arb-USDT"})
            assert (done.status, done.headers["Location"]) == (
                303,
                f"{payer.path}?pay=arb-USDT&lang=en",
            )
        units = (92_307_693, 46_153_846, 184_615_386)
        assert purse.paid == [(Money(one, USDT), address) for one in units]
        strange = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        assert (await payer.send("/demo", {"share": "exact"}, strange)).status == 400
        assert (await payer.send("/demo", {"share": "all"})).status == 400
        assert (await closed.send("/demo", {"share": "exact"})).status == 303
        assert len(purse.paid) == 3


async def test_without_a_sandbox_nobody_pays_for_others(site: Site, firm: Firm) -> None:
    _, payer = await invited(site, firm)
    assert "demo" not in (await payer.look()).words.lower()
    assert (await payer.send("/demo", {"share": "exact"})).status == 404
