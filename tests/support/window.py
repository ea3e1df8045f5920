"""`Window`: a browser window, and all that its pages do which no page of ours may do."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.async_api import (
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Error,
    FloatRect,
    Locator,
    Page,
    Request,
    StorageState,
    WebSocket,
)

from support.chromium import DESKTOP, MODULES, Chromium, Look
from support.patience import patiently
from support.typography import HALF_WIDTH

HEAVIEST_BYTES: Final = 250_000
"""What a page may load in all, compressed, with nothing cached."""

INSIDE: Final = frozenset({"about", "blob", "data"})
"""Addresses that lead nowhere else."""

LATER: Final = frozenset({"EventSource", "Fetch", "Ping", "XHR"})
"""What a page asks for when somebody uses it; it counts as the page's own until that is loaded."""

SHOWN: Final = """() => [
    document.body.innerText,
    ...[...document.querySelectorAll("td[data-label]")].map((cell) => {
        const { content } = getComputedStyle(cell, "::before")
        const said = content.replace("attr(data-label)", `"${cell.dataset.label}"`)
        return said.replaceAll(/" "|"/g, "")
    }),
].join("\\n")"""
"""The text of a page, and what style sheets put before its cells."""

GRAVE: Final = frozenset({"serious", "critical"})


class Window:
    """A window of somebody's own, on one page at a time, whose pages are watched."""

    def __init__(self, context: BrowserContext, origin: str, page: Page) -> None:
        self.context = context
        self.origin = origin
        self.page = page
        self.findings: list[str] = []
        self._weighed: dict[str, tuple[str, int]] = {}
        self._is_loaded = asyncio.Event()

    async def open(self, path: str) -> int:
        """Go to a page of ours; answers its HTTP status once all that belongs to it is there."""
        self._is_loaded.clear()
        response = await self.page.goto(self.origin + path, wait_until="load")
        assert response is not None, f"{path} is the page that is open already"
        # The scales are a listener of their own: what came with the page may still be on its way.
        async with patiently(f"all of {path}"):
            await self._is_loaded.wait()
        return response.status

    async def check_accessibility(self) -> None:
        """Ask axe-core about the page as it now is; what is serious or critical is a finding."""
        self.findings += await accessibility(self.page)

    async def check_width(self) -> None:
        """A page that has to be moved sideways is a finding."""
        wide, window = await self.page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        if wide > window:
            self._found("width", f"the page is {wide} pixels wide, the window {window}")

    async def check_punctuation(self) -> None:
        """A mark of half width after Chinese characters is a finding."""
        text = await self.page.evaluate(SHOWN)
        for found in HALF_WIDTH.finditer(text):
            around = text[max(0, found.start() - 20) : found.end() + 20]
            self._found("punctuation", f"{found[0]!r} in {around!r}")

    def excuse(self, pattern: str) -> list[str]:
        """Take back what was provoked on purpose; raises AssertionError if nothing matches."""
        excused = [finding for finding in self.findings if re.search(pattern, finding)]
        assert excused, f"nothing matches {pattern!r} in {self.findings}"
        self.findings = [finding for finding in self.findings if finding not in excused]
        return excused

    def check(self) -> None:
        """Raises AssertionError with everything that was found so far."""
        assert not self.findings, "the pages did what they may not:\n" + "\n".join(self.findings)

    @property
    def loaded_bytes(self) -> int:
        """What the page has cost so far on the wire, with headers."""
        return sum(size for _, size in self._weighed.values())

    async def watched(self) -> "Window":
        """Begin to watch."""
        self.context.on("page", self._watch)
        self.context.on("request", self._asked)
        self.context.on("console", self._said)
        self.context.on("dialog", self._stopped)
        self._watch(self.page)
        scales = await self.context.new_cdp_session(self.page)
        scales.on("Network.requestWillBeSent", self._weigh)
        scales.on("Network.loadingFinished", self._weigh_done)
        scales.on("Page.loadEventFired", self._loaded)
        await scales.send("Network.enable")
        await scales.send("Page.enable")
        return self

    def _found(self, kind: str, text: str) -> None:
        self.findings.append(f"{kind}: {text} (on {self.page.url})")

    def _watch(self, page: Page) -> None:
        page.on("pageerror", self._broke)
        page.on("websocket", self._connected)
        page.on("crash", self._crashed)

    def _asked(self, request: Request) -> None:
        self._outside(request.url)

    def _connected(self, socket: WebSocket) -> None:
        self._outside(socket.url.replace("ws", "http", 1))

    def _outside(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in INSIDE and f"{parts.scheme}://{parts.netloc}" != self.origin:
            self._found("asked outside", url)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "assert"):
            self._found("console", f"{message.text} [{message.location['url']}]")

    def _broke(self, error: Error) -> None:
        self._found("script", error.stack or str(error))

    def _crashed(self, page: Page) -> None:
        self._found("crash", page.url)

    async def _stopped(self, dialog: Dialog) -> None:
        self._found("dialog", f"{dialog.type} {dialog.message!r}")
        await dialog.dismiss()

    def _weigh(self, event: dict[str, Any]) -> None:
        if event["type"] == "Document" and event["requestId"] == event["loaderId"]:
            self._weighed.clear()
            self._is_loaded.clear()
        if not (self._is_loaded.is_set() and event["type"] in LATER):
            self._weighed[event["requestId"]] = (event["request"]["url"], 0)

    def _weigh_done(self, event: dict[str, Any]) -> None:
        url, _ = self._weighed.get(event["requestId"], ("", 0))
        if not url:
            return
        before = self.loaded_bytes
        self._weighed[event["requestId"]] = (url, int(event["encodedDataLength"]))
        if before <= HEAVIEST_BYTES < self.loaded_bytes:
            parts = sorted(self._weighed.values(), key=lambda part: -part[1])
            listed = "".join(f"\n  {size:>9,} {url}" for url, size in parts if size)
            self._found("weight", f"more than {HEAVIEST_BYTES:,} bytes:{listed}\n ")

    def _loaded(self, _: dict[str, Any]) -> None:
        self._is_loaded.set()


@asynccontextmanager
async def opened_window(
    chromium: Chromium, origin: str, look: Look = DESKTOP, cookies: StorageState | None = None
) -> AsyncIterator[Window]:
    """A window on an empty page, for somebody new or with cookies; fails for what was found."""
    context = await chromium.context(look, cookies)
    try:
        # Loaded so it takes a tenth of the time that it takes on a page that is there already.
        await context.add_init_script(path=MODULES / "axe-core" / "axe.min.js")
        window = await Window(context, origin, await context.new_page()).watched()
        try:
            yield window
        except Exception as error:
            for finding in window.findings:
                error.add_note(finding)
            raise
    finally:
        async with patiently("the window's closing"):
            await context.close()
    window.check()


async def place_of(part: Locator) -> FloatRect:
    """Where something is drawn; raises AssertionError for what is not."""
    found = await part.bounding_box()
    assert found is not None, f"{part} is not to be seen"
    return found


async def accessibility(page: Page) -> list[str]:
    """What axe-core finds serious or critical on a page, with the elements and what to do.

    The page must be in an `opened_window`, which brings axe-core along.
    """
    async with patiently("axe-core"):
        report = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        _described(violation, page.url)
        for violation in report["violations"]
        if violation["impact"] in GRAVE
    ]


def _described(violation: dict[str, Any], url: str) -> str:
    lines = [f"accessibility: {violation['impact']} {violation['id']}: {violation['help']}"]
    for node in violation["nodes"]:
        advice = re.sub(r"\s*\n\s*", "; ", node["failureSummary"].strip())
        lines += [f"  {json.dumps(node['target'])} {node['html'][:200]}", f"    {advice}"]
    return "\n".join([*lines, f"  (on {url})"])
