"""`Sample`: a running site whose organisation has an invoice for each thing people look at."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import pyotp
from playwright.async_api import StorageState

from counterfoil.app import WebSettings
from counterfoil.core.assets import CHAINS
from counterfoil.core.invoice import Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Database
from counterfoil.desk import changed_tokens
from counterfoil.desk.changed_tokens import Told
from support.fake_screening import ON_OFAC, a_payment
from support.furnished import MASTER, furnish
from support.payments import PDF, Payments, order_refund
from support.shop import Shop
from support.site import Firm, Site, open_site

LONG_NAME: Final = "Wolfeschlegelsteinhausenbergerdorff International Trading and Shipping " * 2
CHINESE_NAME: Final = "台灣積體電路製造股份有限公司"
SCRIPT: Final = "<img src=x onerror=alert('T10')><script>alert('T10')</script>"
"""What must never run (specs/reliability.md T10)."""


@dataclass
class Sample:
    """The site, its people, and invoices by what is the matter with them.

    ``pay_`` before an invoice's name is the path of its payment page. Beside invoices stands what
    addresses of settings name.
    """

    site: Site
    firm: Firm
    invoices: dict[str, str] = field(default_factory=dict)
    _cookies: dict[str, StorageState] = field(default_factory=dict)

    async def cookies(self, who: str) -> StorageState:
        """What the browser of a member of the firm keeps once they have signed in."""
        if who not in self._cookies:
            self._cookies[who] = await signed_in(self.site, f"{who}{self.firm.org_id}")
        return self._cookies[who]


async def signed_in(site: Site, name: str) -> StorageState:
    """The cookies of somebody who signed in with their password; ``name`` is before the @."""
    visitor = await site.at_the_pages(f"{name}@merchant.example")
    kept = [
        {
            "name": cookie.key,
            "value": cookie.value,
            "domain": "127.0.0.1",
            "path": "/",
            "expires": -1.0,
            "httpOnly": True,
            "secure": bool(cookie["secure"]),
            "sameSite": "Lax",
        }
        for cookie in visitor.session.cookie_jar
    ]
    assert kept, f"{name} cannot sign in"
    return {"cookies": kept, "origins": []}  # type: ignore[typeddict-item]  # - the same keys


@asynccontextmanager
async def sampled(database: Database) -> AsyncIterator[Sample]:
    """The site, running, with all invoices in their places."""
    # Its clock stands still, so whoever opened many of its pages would be let in no more.
    patient = WebSettings(callback_master=MASTER, payers_per_second=10_000)
    async with open_site(database, patient) as site:
        sample = Sample(site, await site.firm())
        await _fill(sample, Payments(site.desk))
        sample.invoices |= await furnish(site, sample.firm)
        await _review(sample, Payments(site.desk))
        await _exchange_a_token(site, sample.firm)
        await _keep(sample)
        await _second_organisation(site, sample.firm)
        yield sample


async def _second_organisation(site: Site, firm: Firm) -> None:
    """Olga is a member of both, and something waits for her in each."""
    await site.person(firm.org_id, "olga", "reviewer", "signer")
    await site.joins(f"olga{firm.org_id}@merchant.example", 2, "reviewer")
    await Shop(site.desk, 2).bill(status=Status.APPROVAL_PENDING)


async def _review(sample: Sample, payments: Payments) -> None:
    """Officers have escalated one invoice, and found half of a hit of another one false."""
    firm, made = sample.firm, sample.invoices
    escalated, doubted = [(await firm.merchant.create()).data["id"] for _ in range(2)]
    made["escalated"], made["doubted"] = escalated, doubted
    for invoice_id in (escalated, doubted):
        assert (await firm.reviewer.approve(invoice_id)).status == 200
        await payments.arrives(invoice_id)
    await payments.screened(escalated, "manual_review")
    await payments.explained(escalated, a_payment("600000"))
    await payments.listed(doubted, "36518", f"LAZARUS GROUP {LONG_NAME}")
    passport = (await firm.officer.upload(PDF, f"{CHINESE_NAME} {LONG_NAME}.pdf")).data["file_id"]
    why = f"Another person of that name, see the passport. {LONG_NAME}"
    hit = {"disposition": "false_positive", "list": "OFAC_SDN", "entry_uid": "36518"}
    for verb, invoice_id, fields in (
        ("escalate", escalated, {"reason": why}),
        ("disposition", doubted, {**hit, "reason": why, "evidence": [passport]}),
        ("note", doubted, {"text": SCRIPT}),
        ("report", doubted, {"reference": "MJIB 114-000123", "reported_on": "2026-06-22"}),
    ):
        answer = await firm.officer.act(verb, invoice_id, fields)
        assert answer.status == 200, answer.body
    await sample.site.person(firm.org_id, "ophelia", "compliance")


async def _exchange_a_token(site: Site, firm: Firm) -> None:
    """The issuer of one of the tokens has it run something else, twice; the first was looked at."""
    usdt = CHAINS["arb"].accepted[1]
    version = ("arb", usdt.contract, "0x" + "02" * 32)
    for fingerprint in ("0x01", version[2], "0x03"):
        told = Told(usdt.contract, fingerprint, ("0x" + "1a" * 20,))
        await changed_tokens.tell(site.desk, "arb", [told])
        if fingerprint == version[2]:
            by = Actor(firm.signer.uid, firm.org_id, frozenset({Permission.SIGN}))
            await changed_tokens.accept(site.desk, version, by=by, reason=LONG_NAME)


async def _keep(sample: Sample) -> None:
    """Maya has a recipient and an export; Fay signs in with a second factor."""
    site, firm = sample.site, sample.firm
    maya = await site.at_the_pages(f"maya{firm.org_id}@merchant.example")
    written = {"name": f"{CHINESE_NAME} {LONG_NAME}", "email": "ap@buyer.example", "language": "en"}
    assert (await maya.send("/studio/directory", written)).status == 200
    found = re.search(r"rcp_[0-9a-f]{32}", (await maya.open("/studio/directory")).text)
    assert found is not None
    sample.invoices["recipient"] = found[0]
    export = await maya.send("/studio/exports", {"query": "", "what": "all"})
    sample.invoices["job"] = export.address.rpartition("/")[2]
    await site.person(firm.org_id, "fay", "finance")
    fay = await site.at_the_pages(f"fay{firm.org_id}@merchant.example")
    enrol = await fay.open("/studio/account/second-factor")
    secret = re.search(r'name="secret" value="([A-Z2-7]+)"', enrol.text)
    assert secret is not None
    code = pyotp.TOTP(secret[1]).at(site.clock.now())
    done = await fay.send("/studio/account/second-factor", {"secret": secret[1], "code": code})
    assert done.status == 200


async def _fill(sample: Sample, payments: Payments) -> None:
    firm, made = sample.firm, sample.invoices

    async def create(name: str, **changes: object) -> str:
        bill = (await firm.merchant.create(None, **changes)).data
        made[name] = bill["id"]
        made[f"pay_{name}"] = urlsplit(bill["payment_page_url"]).path
        return made[name]

    async def approved(name: str, **changes: object) -> str:
        invoice_id = await create(name, **changes)
        assert (await firm.reviewer.approve(invoice_id)).status == 200
        return invoice_id

    await create("to_approve", recipient_name="Orchid Studio")
    items = [
        {"name": f"第 {n} 項 {LONG_NAME if n == 1 else 'Service'}", "quantity": n, "unit_price": 10}
        for n in range(1, 101)
    ]
    await create(
        "long",
        recipient_name=f"{CHINESE_NAME} {LONG_NAME}",
        amount="50500.00",
        detail_items=items,
    )
    scripted = [{"name": SCRIPT, "quantity": 1, "unit_price": 3000, "tax": 0}]
    await create(
        "hostile",
        recipient_name=SCRIPT,
        creator=SCRIPT,
        detail_items=scripted,
        order_data={"external_invoice_id": SCRIPT},
    )
    rejected = await create("rejected")
    await firm.reviewer.reject(rejected, f"{SCRIPT} 金額不符")
    await approved("awaiting", recipient_name=CHINESE_NAME)
    await payments.paid(await approved("underpaid"), percent=40)
    await payments.paid(await approved("to_sign"))
    held = await approved("held")
    await payments.arrives(held)
    await payments.screened(held, "aml_hold")
    await payments.explained(held, a_payment("600000", hits=(ON_OFAC,)))
    settled = await approved("completed")
    await payments.paid(settled)
    assert (await firm.signer.act("sign", settled)).status == 200
    await payments.explained(settled, a_payment())
    await payments.swept(settled, more_to_move=True)
    await payments.paid_out(settled)
    twice = await approved("paid_twice", recipient_name=CHINESE_NAME)
    await payments.paid(twice)
    assert (await firm.signer.act("sign", twice)).status == 200
    await payments.swept(twice, more_to_move=True)
    await payments.paid_out(twice)
    await payments.arrives(twice)
    await payments.booked(twice)
    standing = await approved("standing")
    await payments.paid(standing)
    await payments.booked(standing)
    assert (await firm.signer.act("sign", standing)).status == 200
    await payments.swept(standing, more_to_move=True)
    await payments.parked(standing, "the chain would refuse it: account is blacklisted")
    waiting = await approved("waiting")
    await payments.paid(waiting)
    await payments.booked(waiting)
    assert (await firm.signer.act("sign", waiting)).status == 200
    to_refund = await approved("to_refund")
    await payments.paid(to_refund)
    assert (await order_refund(firm, to_refund)).status == 200
