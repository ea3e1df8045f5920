"""Passkeys in a real browser, with a device that Chromium pretends to have."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
import pytest_asyncio
from playwright.async_api import CDPSession, Page

from counterfoil.db.pool import Database
from support.chromium import Chromium
from support.payments import Payments
from support.site import PASSWORD, Site, open_site
from support.window import Window, opened_window

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def named(database: Database) -> AsyncIterator[Site]:
    """A site that is reached by a name, as browsers want it for passkeys."""
    async with open_site(database, name="localhost") as site:
        yield site


@dataclass(frozen=True)
class Reader:
    """A reader of fingers that the window's machine has."""

    session: CDPSession
    authenticator_id: str

    async def touched(self, *, at_once: bool) -> None:
        """Whether a finger lies on it, so that every question is answered at once."""
        told = {"authenticatorId": self.authenticator_id, "enabled": at_once}
        await self.session.send("WebAuthn.setAutomaticPresenceSimulation", told)


async def reader_of(window: Window) -> Reader:
    session = await window.context.new_cdp_session(window.page)
    await session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    made = await session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return Reader(session, made["authenticatorId"])


async def test_sam_adds_a_passkey_comes_in_with_it_and_signs_for_money(
    chromium: Chromium, named: Site
) -> None:
    firm = await named.firm()
    invoice = (await firm.merchant.create()).data["id"]
    await firm.reviewer.approve(invoice)
    await Payments(named.desk).paid(invoice)
    origin = named.app.state.studio.passkeys.party.origin
    async with opened_window(chromium, origin) as window:
        page = window.page
        reader = await reader_of(window)
        await window.open("/studio/sign-in")
        await page.get_by_label("E-mail").fill(f"sam{firm.org_id}@merchant.example")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign in", exact=True).click()
        await page.wait_for_url(f"{origin}/studio")
        await window.open("/studio/account")
        await page.get_by_role("link", name="Add a passkey").click()
        await page.get_by_label("Current password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await page.get_by_label("What you call it").fill("My machine")
        await page.keyboard.press("Enter")
        await page.get_by_text("The passkey is added").wait_for()
        await window.check_accessibility()
        # The browser offers it where the e-mail is typed, and here a finger lies there already.
        await sign_out(page)
        await page.wait_for_url(f"{origin}/studio")
        await reader.touched(at_once=False)
        await sign_out(page)
        await page.get_by_role("heading", name="Sign in").wait_for()
        await window.check_accessibility()
        await reader.touched(at_once=True)
        await page.get_by_role("button", name="Sign in with a passkey").click()
        await page.wait_for_url(f"{origin}/studio")
        named.clock.advance(timedelta(minutes=11))
        await window.open(f"/studio/invoices/{invoice}")
        await page.get_by_role("button", name="Use a passkey instead").click()
        await page.get_by_text("Your passkey has confirmed that it is you").wait_for()
        await window.check_accessibility()
        await page.keyboard.press("Enter")
        await page.get_by_text("Signed. Collecting and paying out go on").wait_for()
    assert (await firm.signer.look(invoice)).data["status"] == "sweep_processing"


async def sign_out(page: Page) -> None:
    await page.get_by_role("button", name="Your account").click()
    await page.get_by_role("button", name="Sign out").click()
