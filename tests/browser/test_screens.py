"""Every page that has a line in `screens`, opened and checked; `make screens` keeps pictures."""

import os
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from attack.studio_routes import ROUTES, Route
from browser.screens import CHINESE, PHOTOGRAPHED, SCREENS, Screen, look_at
from support.chromium import DESKTOP, PHONE, Chromium, Look
from support.sample import Sample
from support.stage import Stage, staged
from support.window import opened_window

PHOTOGRAPHS: Final = (
    Path(os.environ["COUNTERFOIL_SCREENS"]) if "COUNTERFOIL_SCREENS" in os.environ else None
)
CASES: Final = tuple(
    pytest.param(screen, look, id=f"{screen}-{look}")
    for screen in SCREENS
    for look in (screen.checked if PHOTOGRAPHS is None else PHOTOGRAPHED)
)

ELSEWHERE: Final = {
    "/account/passkeys/add": "asks where passkeys are offered, by a name: test_passkeys.py",
    "/account/passkeys/question": "for scripts",
    "/sign-in/passkey": "for scripts",
    "/now": "a part of home",
    "/recipients": "a part of the form of an invoice",
    "/invoices/{invoice}/live": "a part of the page of an invoice",
    "/invoices/{invoice}/pdf": "a file: test_on_paper.py",
    "/files/{file}": "a file",
    "/jobs/{job}/table.csv": "a file",
    "/logo/{logo}": "a picture",
    "/settings": "leads to the first of the settings",
    "/queue/approve": "leads to approvals",
}
"""What can be opened in Studio and is not looked at by a line of `screens`, and why."""

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def stage() -> AsyncIterator[Stage]:
    async with staged() as stage:
        yield stage


@pytest.mark.parametrize(("screen", "look"), CASES)
async def test_nothing_is_wrong_with_a_page(
    chromium: Chromium, sample: Sample, screen: Screen, look: Look
) -> None:
    placed = replace(screen, path=screen.path.format(**sample.invoices))
    cookies = await sample.cookies(screen.who) if screen.who else None
    await look_at(
        chromium,
        sample.site.address.rstrip("/"),
        placed,
        look,
        cookies=cookies,
        photographs=PHOTOGRAPHS,
    )


async def test_every_page_of_studio_has_a_line() -> None:
    paths = {screen.path.partition("?")[0] for screen in SCREENS}
    # Addresses that the sample knows as a whole.
    paths |= {"/studio/invitation/x"} if "{invitation}" in paths else set()
    bare = [
        route.path
        for route in ROUTES
        if route.method == "GET" and route.path not in ELSEWHERE and not _has_a_line(route, paths)
    ]
    assert bare == []


def _has_a_line(route: Route, paths: set[str]) -> bool:
    path = "/studio" + route.path.rstrip("/")
    pattern = re.sub(r"{\w+}", r"(?:{\\w+}|x)", re.sub(r"([.?])", r"\\\1", path))
    return any(re.fullmatch(pattern, path) for path in paths)


def size_of(png: Path) -> tuple[int, int]:
    """Width and height of a picture (PNG, 11.2.2)."""
    head = png.read_bytes()[16:24]
    return int.from_bytes(head[:4]), int.from_bytes(head[4:])


async def test_a_page_is_photographed_from_top_to_bottom(
    chromium: Chromium, stage: Stage, tmp_path: Path
) -> None:
    stage.show('<p style="height: 2000px">Long</p>')
    for look in (DESKTOP, PHONE):
        await look_at(
            chromium, stage.origin, Screen("long", "/"), look, photographs=tmp_path / "new"
        )
    wide, high = size_of(tmp_path / "new" / "long-desktop-light-en.png")
    assert wide == 1280
    assert 2000 < high < 2200
    assert size_of(tmp_path / "new" / "long-phone-light-en.png")[0] == 2 * 390


async def test_the_room_is_dark_and_the_reader_chinese_where_it_is_said(
    chromium: Chromium, stage: Stage
) -> None:
    stage.show("<p>Hello</p>")
    look = replace(PHONE, scheme="dark", language=CHINESE)
    async with opened_window(chromium, stage.origin, look) as window:
        await window.open("/")
        assert await window.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert stage.asked[0].headers["Accept-Language"].startswith("zh-TW")


async def test_a_page_that_is_wider_than_a_phone_is_found(
    chromium: Chromium, stage: Stage, tmp_path: Path
) -> None:
    stage.show('<p style="width: 600px">Wide</p>')
    screen = Screen("wide", "/")
    await look_at(chromium, stage.origin, screen, DESKTOP)
    with pytest.raises(
        AssertionError, match=r"width: the page is 6\d\d pixels wide, the window 390"
    ):
        await look_at(chromium, stage.origin, screen, PHONE, photographs=tmp_path)
    assert (tmp_path / "wide-phone-light-en.png").exists()


async def test_a_page_that_is_not_there_or_that_keeps_people_out_is_found(
    chromium: Chromium, stage: Stage
) -> None:
    stage.show('<input type="text">')
    with pytest.raises(AssertionError, match="critical label"):
        await look_at(chromium, stage.origin, Screen("closed", "/"), DESKTOP)
    with pytest.raises(AssertionError, match="/gone answers 404"):
        await look_at(chromium, stage.origin, Screen("gone", "/gone"), DESKTOP)
