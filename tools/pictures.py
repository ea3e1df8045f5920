"""Photograph the running demo for the README, into docs/images; `make demo` first."""

import asyncio
import os
import sys
from pathlib import Path
from urllib.parse import urljoin

from playwright.async_api import Page

from counterfoil.sandbox.places import DemoFacts, Places
from support.chromium import DESKTOP, PHONE, Look, running_chromium

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
VAR = Path(os.environ.get("COUNTERFOIL_VAR_DIR", ROOT / "var"))

OPEN = "/studio/invoices?status=awaiting_payment"

PICTURES: tuple[tuple[str, str, str, Look], ...] = (
    ("home", "finance", "/studio", DESKTOP),
    ("invoices", "finance", "/studio/invoices", DESKTOP),
    ("sign", "signer", "/studio/queue/sign >> tbody a", DESKTOP),
    ("pay", "finance", f"{OPEN} >> tbody a >> a[href*='/pay/']", PHONE),
)
"""Name, whose session, where and what to follow from there, how large."""


async def main() -> None:
    """Take every picture."""
    facts = Places(VAR).read()
    if facts is None:
        sys.exit("no demo runs here; start it with `make demo`")
    IMAGES.mkdir(exist_ok=True)
    async with running_chromium() as chromium:
        for name, role, way, look in PICTURES:
            context = await chromium.context(look)
            page = await context.new_page()
            await _sign_in(page, facts, role)
            path, *links = way.split(" >> ")
            await page.goto(facts.base_url + path)
            for link in links:
                address = await page.locator(link).first.get_attribute("href") or ""
                await page.goto(urljoin(facts.base_url, address))
            await page.wait_for_timeout(1_500)
            await page.screenshot(path=IMAGES / f"{name}.png")
            await context.close()
            print(f"docs/images/{name}.png")


async def _sign_in(page: Page, facts: DemoFacts, role: str) -> None:
    member = facts.member(role)
    await page.goto(f"{facts.base_url}/studio/sign-in")
    await page.fill("#email", member.email)
    await page.fill("#password", member.password)
    await page.click("button[type=submit]")
    await page.wait_for_url("**/studio")


if __name__ == "__main__":
    asyncio.run(main())
