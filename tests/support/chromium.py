"""`Chromium`: a real browser that looks the same on every machine and reaches only this one."""

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal
from xml.sax.saxutils import escape

import playwright
from playwright.async_api import (
    Browser,
    BrowserContext,
    BrowserType,
    StorageState,
    async_playwright,
)

from support.patience import patiently
from support.sources import ROOT

MODULES: Final = ROOT / "node_modules"
PACKED: Final = MODULES / "@sparticuz" / "chromium"
CHINESE: Final = ("noto_cjk_sans_jp_regular", "noto_cjk_sans_jp_bold")
"""Packages with a font each. It has every CJK form; a page's language chooses between them."""

INSTALLED: Final = ("chromium", "google-chrome")

FONTS: Final = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  {folders}
  <cachedir>{cache}</cachedir>
  <alias><family>sans-serif</family><prefer>
    <family>Open Sans</family><family>Noto Sans CJK JP</family>
  </prefer></alias>
  <match target="pattern">
    <edit name="family" mode="append_last"><string>sans-serif</string></edit>
  </match>
</fontconfig>
"""

ALONE: Final = (
    # Names are not looked up, whoever asks; also the browser's own services.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--disable-quic",
    "--disable-domain-reliability",
    "--no-pings",
    "--no-first-run",
)
"""What Playwright does not already say to keep a browser from calling home."""

Environment = dict[str, str | float | bool]


@dataclass(frozen=True)
class Program:
    """A browser that can be started, and the environment it needs."""

    path: Path
    environment: Environment


@dataclass(frozen=True)
class Look:
    """Who looks: how large the window is, how bright the room and in which language."""

    width: int = 1280
    height: int = 900
    scheme: Literal["light", "dark"] = "light"
    language: str = "en"

    @property
    def is_phone(self) -> bool:
        return self.width < 576

    def __str__(self) -> str:
        return f"{'phone' if self.is_phone else 'desktop'}-{self.scheme}-{self.language}"


DESKTOP: Final = Look()
PHONE: Final = Look(width=390, height=844)


@dataclass
class Chromium:
    """A running browser, started again when it has died."""

    _type: BrowserType
    _program: Program
    _browser: Browser | None = field(default=None, init=False)

    async def browser(self) -> Browser:
        if self._browser is None or not self._browser.is_connected():
            self._browser = await self._type.launch(
                executable_path=self._program.path,
                args=list(ALONE),
                env=self._program.environment,
            )
        return self._browser

    async def context(
        self, look: Look = DESKTOP, cookies: StorageState | None = None
    ) -> BrowserContext:
        """A new person at the browser: nothing cached, nothing moves; no cookie but those given."""
        browser = await self.browser()
        return await browser.new_context(
            viewport={"width": look.width, "height": look.height},
            is_mobile=look.is_phone,
            has_touch=look.is_phone,
            color_scheme=look.scheme,
            locale=look.language,
            timezone_id="Asia/Taipei",
            reduced_motion="reduce",
            service_workers="block",
            device_scale_factor=2 if look.is_phone else 1,
            storage_state=cookies,
        )

    async def close(self) -> None:
        if self._browser is not None:
            async with patiently("the browser's end"):
                await self._browser.close()


@asynccontextmanager
async def running_chromium() -> AsyncIterator[Chromium]:
    """A browser of this machine, or else the packed one; it starts when it is first used."""
    with tempfile.TemporaryDirectory(prefix="counterfoil-fonts-") as folder:
        program = found(Path(folder))
        async with async_playwright() as driver:
            chromium = Chromium(driver.chromium, program)
            try:
                yield chromium
            finally:
                await chromium.close()


def found(fonts: Path) -> Program:
    """The browser that `CHROMIUM` names, one that is installed, or the packed one, unpacked.

    Which fonts it has, and only those, is written into the folder `fonts`.
    """
    pack = unpacked()
    settings = fonts / "fonts.conf"
    folders = (str(pack / "fonts"), *(str(files(package)) for package in CHINESE))
    settings.write_text(_font_settings(folders, fonts / "cache"), encoding="utf-8")
    environment: Environment = {**os.environ, "FONTCONFIG_FILE": str(settings)}
    chosen = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, INSTALLED)), None)
    if chosen is not None:
        return Program(Path(chosen), environment)
    return Program(pack / "chromium", {**environment, "LD_LIBRARY_PATH": str(pack / "lib")})


def unpacked() -> Path:
    """The folder with the packed browser, its libraries and a font; unpacked once.

    Raises `FileNotFoundError` when the npm packages are not installed.
    """
    version = json.loads((PACKED / "package.json").read_text(encoding="utf-8"))["version"]
    place = MODULES / ".cache" / f"chromium-{version}"
    if not place.exists():
        place.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix="chromium-") as folder:
            ready = Path(folder) / "ready"
            ready.mkdir()
            _unpack(ready)
            # Tests of another process may have been quicker.
            with suppress(OSError):
                ready.rename(place)
    return place


def _unpack(into: Path) -> None:
    packed = PACKED / "bin"
    for name in ("al2023.tar", "fonts.tar"):
        with tempfile.TemporaryFile(dir=into) as archive:
            _decompress(packed / f"{name}.br", archive.fileno())
            archive.seek(0)
            with tarfile.open(fileobj=archive) as members:
                members.extractall(into, filter="data")
    with (into / "chromium").open("wb") as program:
        _decompress(packed / "chromium.br", program.fileno())
    (into / "chromium").chmod(0o755)


def _decompress(source: Path, into: int) -> None:
    """Unpack Brotli, which Python does not know, with the node that comes with Playwright."""
    node = Path(playwright.__file__).parent / "driver" / "node"
    script = "process.stdin.pipe(require('zlib').createBrotliDecompress()).pipe(process.stdout)"
    with source.open("rb") as packed:
        subprocess.run([node, "-e", script], stdin=packed, stdout=into, check=True, timeout=300)


def _font_settings(folders: Sequence[str], cache: Path) -> str:
    listed = "".join(f"<dir>{escape(folder)}</dir>" for folder in folders)
    return FONTS.format(folders=listed, cache=escape(str(cache)))
