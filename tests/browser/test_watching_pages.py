"""That the browser sees what it is there to see, before it looks at pages of ours."""

import asyncio
import random
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Error

from support.chromium import PHONE, Chromium
from support.patience import patiently
from support.stage import Stage, staged
from support.window import HEAVIEST_BYTES, Window, opened_window

pytestmark = pytest.mark.asyncio(loop_scope="session")

STYLES = '<link rel="stylesheet" href="/x.css"><link rel="stylesheet" href="/y.css">'

STRICT = "default-src 'none'; img-src 'self'; style-src 'self'; connect-src 'self'"


@pytest_asyncio.fixture(loop_scope="session")
async def stage() -> AsyncIterator[Stage]:
    async with staged() as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="session")
async def elsewhere() -> AsyncIterator[Stage]:
    async with staged() as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="session")
async def window(chromium: Chromium, stage: Stage) -> AsyncIterator[Window]:
    async with opened_window(chromium, stage.origin) as window:
        yield window


def noise(size: int) -> bytes:
    """What no compression makes smaller."""
    return random.Random(size).randbytes(size)  # noqa: S311 - it hides nothing, it is only heavy


async def until_seen(window: Window, pattern: str) -> None:
    """Wait for what a page does in its own time."""
    async with patiently(f"a finding like {pattern}"):
        while not any(re.search(pattern, finding) for finding in window.findings):
            await asyncio.sleep(0.01)


async def picture(window: Window, selector: str) -> bytes:
    return await window.page.locator(selector).screenshot()


async def test_nothing_is_found_on_a_good_page(stage: Stage, window: Window) -> None:
    stage.show("<p>All is well.</p>", Content_Security_Policy=STRICT)
    assert await window.open("/") == 200
    await window.check_accessibility()
    assert window.findings == []
    assert 300 < window.loaded_bytes < 1_000


@pytest.mark.parametrize(
    "asking",
    [
        '<img alt="A picture" src="{there}/x.png">',
        '<link rel="stylesheet" href="{there}/x.css">',
        '<script>fetch("{there}/x").catch(() => 0)</script>',
        '<script>new WebSocket("{there}/x".replace("http", "ws"))</script>',
        '<script>navigator.sendBeacon("{there}/x", "seen")</script>',
        '<iframe title="A page" src="{there}/x"></iframe>',
        '<script>open("{there}/x")</script>',
    ],
)
async def test_asking_another_origin_is_found(
    chromium: Chromium, stage: Stage, elsewhere: Stage, asking: str
) -> None:
    stage.show(asking.format(there=elsewhere.origin))
    found = f"asked outside: {elsewhere.origin}/x"
    with pytest.raises(AssertionError, match=found):
        async with opened_window(chromium, stage.origin) as window:
            await window.open("/")
            await until_seen(window, found)


async def test_no_name_is_looked_up_for_a_page(window: Window, stage: Stage) -> None:
    stage.show("")
    for address in ("http://example.com/", "http://192.0.2.1/", "http://[2001:db8::1]/"):
        with pytest.raises(Error, match="ERR_NAME_NOT_RESOLVED"):
            await window.page.goto(address)
    window.excuse("asked outside")
    window.findings.clear()


@pytest.mark.parametrize("kind", ["alert", "confirm", "prompt"])
async def test_a_dialog_is_found_and_closed(stage: Stage, window: Window, kind: str) -> None:
    stage.show(f'<img alt="A picture" src="data:image/png,x" onerror="{kind}(\'T10\')">')
    await window.open("/")
    assert window.excuse("dialog") == [f"dialog: {kind} 'T10' (on {stage.origin}/)"]


async def test_a_script_that_fails_is_found(stage: Stage, window: Window) -> None:
    stage.show(
        "<script>console.error('it is said'); console.warn('a hint'); nothing.there</script>"
    )
    await window.open("/")
    window.excuse("console: it is said")
    window.excuse("script: ReferenceError: nothing is not defined")
    window.check()


@pytest.mark.parametrize(
    "forbidden",
    [
        "<script>window.ran = 1</script>",
        '<p onclick="ran()" id="p">press</p><style>p { color: red }</style>',
        '<img alt="A picture" src="data:image/png,x">',
        '<p style="color: blue">Blue</p>',
    ],
)
async def test_what_the_policy_refuses_is_found(
    stage: Stage, window: Window, forbidden: str
) -> None:
    stage.show(forbidden, Content_Security_Policy=STRICT)
    await window.open("/")
    window.excuse("console: .*Content Security Policy")
    window.check()


async def test_a_page_or_part_that_is_refused_is_found(stage: Stage, window: Window) -> None:
    assert await window.open("/nowhere") == 404
    window.excuse("console: Failed to load resource: .* 404")
    stage.show('<img alt="A picture" src="/missing.png">')
    await window.open("/")
    window.excuse(r"console: Failed to load resource: .*missing\.png")
    window.check()


async def test_a_page_is_weighed_as_it_travels(stage: Stage, window: Window) -> None:
    stage.show(STYLES)
    stage.put("/x.css", b"p { color: black }\n" * 50_000, "text/css")
    stage.put("/y.css", noise(HEAVIEST_BYTES - 10_000), "text/css")
    await window.open("/")
    window.check()
    assert HEAVIEST_BYTES - 10_000 < window.loaded_bytes < HEAVIEST_BYTES


async def test_a_page_that_weighs_too_much_is_found(stage: Stage, window: Window) -> None:
    stage.show(STYLES + "<script>fetch('/z')</script>")
    stage.put("/x.css", noise(HEAVIEST_BYTES // 2), "text/css")
    stage.put("/y.css", noise(HEAVIEST_BYTES // 3), "text/css")
    stage.put("/z", noise(HEAVIEST_BYTES // 5), "text/plain")
    await window.open("/")
    await until_seen(window, "weight")
    (finding,) = window.excuse("weight: more than 250,000 bytes")
    parts = re.findall(r"(\d+),\d{3} http://[\d.:]+(/\S+)", finding)
    assert parts == [("125", "/x.css"), ("83", "/y.css"), ("50", "/z")]
    window.check()


async def test_what_somebody_asks_for_later_is_not_the_pages_weight(
    stage: Stage, window: Window
) -> None:
    stage.show("")
    stage.put("/later", noise(HEAVIEST_BYTES), "application/octet-stream")
    await window.open("/")
    before = window.loaded_bytes
    size = await window.page.evaluate("fetch('/later').then(r => r.blob()).then(b => b.size)")
    assert size == HEAVIEST_BYTES
    assert window.loaded_bytes == before
    await window.open("/")
    assert window.loaded_bytes <= before


async def test_what_keeps_people_out_is_found(stage: Stage, window: Window) -> None:
    stage.show(
        '<input type="text" id="nameless"><p style="color: #999; background: #fff">Too pale</p>'
        "<h4>Skips a level, which is only moderate</h4>"
    )
    await window.open("/")
    await window.check_accessibility()
    (contrast,) = window.excuse("serious color-contrast")
    assert '["p"] <p style="color: #999' in contrast
    (label,) = window.excuse("critical label")
    assert "nameless" in label
    window.check()


async def test_findings_fail_the_test_that_caused_them(chromium: Chromium, stage: Stage) -> None:
    stage.show("<script>alert('T10')</script>")
    with pytest.raises(AssertionError, match="dialog: alert 'T10'"):
        async with opened_window(chromium, stage.origin) as window:
            await window.open("/")
    with pytest.raises(LookupError) as failed:
        async with opened_window(chromium, stage.origin) as window:
            await window.open("/")
            raise LookupError("of the test itself")
    assert failed.value.__notes__ == [f"dialog: alert 'T10' (on {stage.origin}/)"]


async def test_only_what_happened_can_be_excused(stage: Stage, window: Window) -> None:
    stage.show("")
    await window.open("/")
    with pytest.raises(AssertionError, match="nothing matches 'dialog'"):
        window.excuse("dialog")


async def test_chinese_has_glyphs(stage: Stage, window: Window) -> None:
    written = {
        "invoice": "發",
        "ticket": "票",
        "simplified": "仓",
        "rare": "堃",
        "unknown": "&#xe000;",
        "unknown-too": "&#xe001;",
    }
    lines = "".join(f'<p><span id="{name}">{text}</span></p>' for name, text in written.items())
    style = "<style>span { display: inline-block; width: 40px; height: 50px; font: 32px serif }"
    stage.show(
        f'{lines}<p lang="ja"><span id="ja">骨</span></p><p><span id="zh">骨</span></p>',
        head=style + "</style>",
        language="zh-Hant-TW",
    )
    await window.open("/")
    seen = {name: await picture(window, f"#{name}") for name in (*written, "ja", "zh")}
    assert seen["unknown"] == seen["unknown-too"]
    real = {name: png for name, png in seen.items() if not name.startswith("unknown")}
    assert len({*real.values(), seen["unknown"]}) == len(real) + 1


async def test_everyone_at_the_browser_is_somebody_else(chromium: Chromium, stage: Stage) -> None:
    cookie = "__Host-session=maya; Path=/; Secure; HttpOnly; SameSite=Lax"
    stage.show("", Set_Cookie=cookie)
    async with (
        opened_window(chromium, stage.origin) as maya,
        opened_window(chromium, stage.origin, PHONE) as rita,
    ):
        await maya.open("/")
        await maya.open("/")
        assert stage.asked[-1].cookies == {"__Host-session": "maya"}
        await rita.open("/")
        assert stage.asked[-1].cookies == {}
        assert await rita.page.evaluate("innerWidth") == 390
        assert await maya.page.evaluate("innerWidth") == 1280


async def test_a_browser_that_died_is_started_again(chromium: Chromium, stage: Stage) -> None:
    stage.show("")
    browser = await chromium.browser()
    with pytest.raises(Error, match="has been closed"):
        await (await browser.new_browser_cdp_session()).send("Browser.crash")
    assert not browser.is_connected()
    async with opened_window(chromium, stage.origin) as window:
        assert await window.open("/") == 200
