"""The pages that are looked at, and how. Every page people work on has a line here.

Each line is opened, checked and, by `make screens`, photographed into ``var/screens``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from playwright.async_api import StorageState

from support.chromium import DESKTOP, PHONE, Chromium, Look
from support.window import Window, opened_window

CHINESE: Final = "zh-TW"

PHOTOGRAPHED: Final = (
    *(replace(look, scheme=scheme) for look in (DESKTOP, PHONE) for scheme in ("light", "dark")),
    *(replace(look, language=CHINESE) for look in (DESKTOP, PHONE)),
)
"""How `make screens` looks at a page."""

CHECKED: Final = (DESKTOP, replace(PHONE, scheme="dark", language=CHINESE))
"""How the tests do: each size, scheme and language once."""


@dataclass(frozen=True)
class Screen:
    """One page: where it is, who is signed in there, and what it answers with.

    ``path`` may name what the sample organisation has, as in ``/studio/invoices/{paid}``. What is
    looked at is what its form ``send`` leads to, where one is named by its address: sent with
    ``fields``, in which ``{look}`` differs each time. ``checked`` is how the tests look at it.
    """

    name: str
    path: str
    who: str | None = None
    status: int = 200
    send: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    checked: Sequence[Look] = CHECKED

    def __str__(self) -> str:
        return self.name


_SETTINGS: Final = "/studio/settings"

SETTINGS: Final = (
    Screen("organisation", f"{_SETTINGS}/organisation", "anna"),
    Screen("organisation-to-read", f"{_SETTINGS}/organisation", "maya"),
    Screen("members", f"{_SETTINGS}/members", "anna"),
    Screen("member", f"{_SETTINGS}/members/{{member}}", "anna"),
    Screen("member-invited", f"{_SETTINGS}/members/{{invited}}", "anna", checked=CHECKED[1:]),
    Screen("member-add", f"{_SETTINGS}/members/add", "anna"),
    Screen("invitation", "{invitation}"),
    Screen("invitation-to-accept", "{offer}", checked=CHECKED[1:]),
    Screen("roles", f"{_SETTINGS}/roles", "maya"),
    Screen("keys", f"{_SETTINGS}/keys", "anna"),
    Screen("keys-of-ones-own", f"{_SETTINGS}/keys", "maya"),
    Screen("clients", f"{_SETTINGS}/clients", "anna"),
    Screen("payout-addresses", f"{_SETTINGS}/payout-addresses", "arno"),
    Screen("bank-accounts", f"{_SETTINGS}/bank-accounts", "arno"),
    Screen("rules", f"{_SETTINGS}/rules", "anna"),
    Screen("rules-to-read", f"{_SETTINGS}/rules", "maya"),
    Screen("rates", f"{_SETTINGS}/rates", "maya"),
    Screen("callbacks", f"{_SETTINGS}/callbacks", "anna"),
    Screen("log", f"{_SETTINGS}/log", "anna"),
    Screen("refused", f"{_SETTINGS}/members", "maya", status=403),
    # What is shown once comes of a form, and changes what the pages above show.
    Screen(
        "key-made",
        f"{_SETTINGS}/keys",
        "colin",
        send=f"{_SETTINGS}/keys",
        fields={"label": "{look}", "permission": "transfer:read"},
    ),
    Screen(
        "invited",
        f"{_SETTINGS}/members/add",
        "anna",
        send=f"{_SETTINGS}/members/add",
        fields={"email": "{look}@merchant.example", "name": "Nora Neumann", "role": "signer"},
    ),
    Screen(
        "callback-secret",
        f"{_SETTINGS}/callbacks",
        "anna",
        send=f"{_SETTINGS}/callbacks/secret",
    ),
)
"""The organisation's settings, each of which the tests look at once."""

SCREENS: Final = (
    Screen("sign-in", "/studio/sign-in"),
    Screen("home", "/studio", "maya"),
    Screen("home-of-a-reviewer", "/studio", "rita"),
    Screen("home-of-two-organisations", "/studio", "olga", checked=CHECKED[1:]),
    Screen("invoices", "/studio/invoices", "maya"),
    Screen("invoices-none-found", "/studio/invoices?q=nothing+is+called+this", "maya"),
    Screen(
        "invoices-filtered",
        "/studio/invoices?status=completed&status=expired&archived=yes&order=due_last",
        "maya",
    ),
    Screen("exports", "/studio/jobs", "maya"),
    Screen("export", "/studio/jobs/{job}", "maya", checked=CHECKED[1:]),
    Screen("recipients", "/studio/directory", "maya"),
    Screen("recipient", "/studio/directory/{recipient}", "maya", checked=CHECKED[1:]),
    Screen("draft-new", "/studio/invoices/new", "maya"),
    Screen("draft-copy-of-a-long-one", "/studio/invoices/new?from={long}", "maya"),
    Screen("draft-change", "/studio/invoices/{to_approve}/edit", "maya"),
    Screen("invoice-to-approve", "/studio/invoices/{to_approve}", "rita"),
    Screen("invoice-long", "/studio/invoices/{long}", "rita"),
    Screen("invoice-hostile", "/studio/invoices/{hostile}", "rita"),
    Screen("invoice-rejected", "/studio/invoices/{rejected}", "maya"),
    Screen("invoice-awaiting", "/studio/invoices/{awaiting}", "maya"),
    Screen("invoice-underpaid", "/studio/invoices/{underpaid}", "sam"),
    Screen("invoice-to-sign", "/studio/invoices/{to_sign}", "sam"),
    Screen("invoice-held", "/studio/invoices/{held}", "otto"),
    Screen("invoice-escalated", "/studio/invoices/{escalated}", "ophelia", checked=CHECKED[1:]),
    Screen("invoice-doubted", "/studio/invoices/{doubted}", "ophelia"),
    Screen("invoice-to-refund", "/studio/invoices/{to_refund}", "sue"),
    Screen("invoice-standing-still", "/studio/invoices/{standing}", "sam"),
    Screen("invoice-waiting", "/studio/invoices/{waiting}", "sam", checked=CHECKED[1:]),
    Screen("invoice-completed", "/studio/invoices/{completed}", "ada"),
    Screen("approvals", "/studio/approvals", "rita"),
    Screen("approvals-of-two-organisations", "/studio/approvals", "olga", checked=CHECKED[:1]),
    Screen("queue-to-decide", "/studio/queue/resolve", "sam"),
    Screen("queue-refunds", "/studio/queue/refund", "sue"),
    Screen("queue-of-nothing", "/studio/queue/refund", "alma"),
    Screen("queue-standing", "/studio/queue/standing", "sam"),
    Screen("queue-after", "/studio/queue/after", "sam"),
    Screen("queue-held", "/studio/queue/clear", "otto"),
    Screen("queue-to-sign", "/studio/queue/sign", "sam", checked=CHECKED[1:]),
    Screen("changed-tokens", "/studio/changed-tokens", "sam"),
    Screen("changed-tokens-to-read", "/studio/changed-tokens", "ada", checked=CHECKED[:1]),
    Screen("refund", "/studio/invoices/{to_sign}/refund", "sam"),
    Screen("account", "/studio/account", "maya"),
    Screen("second-factor", "/studio/account/second-factor", "maya"),
    Screen("second-factor-asked", "/studio/second-factor", "fay", checked=CHECKED[1:]),
    Screen("pay-to-approve", "{pay_to_approve}", checked=CHECKED[1:]),
    Screen("pay-held", "{pay_held}", checked=CHECKED[1:]),
    Screen("pay-awaiting", "{pay_awaiting}"),
    Screen("pay-long", "{pay_long}"),
    Screen("pay-hostile", "{pay_hostile}"),
    Screen("pay-underpaid", "{pay_underpaid}?qr=address"),
    Screen("pay-completed", "{pay_completed}"),
    Screen("pay-receipt", "{pay_completed}/receipt"),
    Screen("pay-nowhere", "/pay/nowhere", status=404),
    Screen("nothing-here", "/studio/invoices/none", "maya", status=404),
    *(
        replace(
            screen,
            name=f"settings-{screen.name}",
            checked=CHECKED[number % 2 :][:1] if screen.checked is CHECKED else screen.checked,
        )
        for number, screen in enumerate(SETTINGS)
    ),
)


async def look_at(  # noqa: PLR0913 - a look has this many sides
    chromium: Chromium,
    origin: str,
    screen: Screen,
    look: Look,
    *,
    cookies: StorageState | None = None,
    photographs: Path | None = None,
) -> None:
    """Open a page and raise AssertionError for whatever is wrong with it.

    Its photograph is taken first, so that what is wrong can be seen.
    """
    async with opened_window(chromium, origin, look, cookies) as window:
        status = await window.open(screen.path)
        # Parts that pages fetch by themselves, once they are there.
        await window.page.locator(".htmx-request").first.wait_for(state="detached")
        if screen.send is not None:
            await _send(window, screen, look)
        if photographs is not None:
            await window.page.screenshot(
                path=photographs / f"{screen.name}-{look}.png", full_page=True
            )
        if screen.status != 200:
            window.excuse(f"status of {screen.status}")
        assert status == screen.status, f"{screen.path} answers {status}"
        await window.check_width()
        if look.language == CHINESE:
            await window.check_punctuation()
        await window.check_accessibility()


async def _send(window: Window, screen: Screen, look: Look) -> None:
    """Fill in the form of a page and send it."""
    form = window.page.locator(f'form[action="{screen.send}"]')
    for name, value in screen.fields.items():
        box = form.locator(f'[name="{name}"][type=checkbox][value="{value}"]')
        if await box.count():
            await box.check()
        else:
            await form.locator(f'[name="{name}"]').fill(value.format(look=look))
    async with window.page.expect_navigation():
        await form.locator("button[type=submit]").click()
