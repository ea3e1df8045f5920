"""Sets sheets as PDF with Typst: few at once, in bounded time, and each only once.

What is set is data of ours in templates of ours. A template sees nothing but its own folder, the
fonts that come as packages, and the text it was given; no text is ever read as markup.
"""

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from threading import Lock
from typing import Any, Final

import typst
from litestar import Response

from counterfoil.core.errors import Unavailable

AT_ONCE: Final = 2
WAITING: Final = 16
SECONDS: Final = 20.0
KEPT_BYTES: Final = 32 * 1024 * 1024

_SHEETS: Final = Path(str(files("counterfoil.pages") / "sheets"))
_FONTS: Final = ("noto_cjk_sans_jp_regular", "noto_cjk_sans_jp_bold")
"""Packages with a font each. It has every CJK form; a sheet's language chooses between them."""

_BUSY: Final = "too many documents are being made just now; ask again in a moment"


@cache
def fonts() -> typst.Fonts:
    """The fonts that every sheet is set in, the same on every machine."""
    folders = [str(files(package)) for package in _FONTS]
    return typst.Fonts(include_system_fonts=False, font_paths=folders)


def typeset(data: str) -> bytes:
    """Set the invoice's sheet with this data, JSON; the same bytes for the same data."""
    return typst.compile(
        str(_SHEETS / "invoice.typ"),
        root=str(_SHEETS),
        font_paths=fonts(),
        format="pdf",
        sys_inputs={"paper": data},
        # Templates import no packages; were one to, there is none here and none is fetched.
        package_path=str(_SHEETS),
        package_cache_path=str(_SHEETS),
        timestamp=0,
    )


def answer(pdf: bytes, file_name: str, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    """A PDF to be saved, never opened in place; ``file_name`` is plain ASCII."""
    return Response(
        pdf,
        media_type="application/pdf",
        headers={
            "Content-Disposition": f'attachment; filename="{file_name}"',
            "Content-Security-Policy": "default-src 'none'; sandbox",
            **(headers or {}),
        },
    )


class Press:
    """What makes PDFs in one process, and remembers those it made by what they say."""

    def __init__(
        self,
        setter: Callable[[str], bytes] = typeset,
        *,
        waiting: int = WAITING,
        seconds: float = SECONDS,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        """Bounds: how many may wait, how long each waits in all, how many bytes are kept."""
        self._setter = setter
        self._seconds = seconds
        self._kept_bytes = kept_bytes
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="press")
        self._places = AT_ONCE + waiting
        self._made: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = Lock()

    async def pdf(self, paper: Mapping[str, Any]) -> bytes:
        """The sheet as PDF; raises `Unavailable` where too many wait or it takes too long."""
        data = json.dumps(paper, ensure_ascii=False)
        key = sha256(data.encode()).digest()
        made = self._look(key)
        if made is not None:
            return made
        with self._lock:
            if self._places == 0:
                raise Unavailable(_BUSY)
            self._places -= 1
        work = self._threads.submit(self._make, key, data)
        work.add_done_callback(self._finished)
        waiting = asyncio.wrap_future(work)
        done, _ = await asyncio.wait({waiting}, timeout=self._seconds)
        if not done:
            # What has not begun never will; a thread that has keeps its place until it is done.
            waiting.cancel()
            raise Unavailable(_BUSY)
        return waiting.result()

    def _finished(self, _work: Future[bytes]) -> None:
        with self._lock:
            self._places += 1

    def _look(self, key: bytes) -> bytes | None:
        with self._lock:
            made = self._made.get(key)
            if made is not None:
                self._made.move_to_end(key)
            return made

    def _make(self, key: bytes, data: str) -> bytes:
        # Somebody else may have asked for the same while this waited.
        made = self._look(key)
        if made is not None:
            return made
        made = self._setter(data)
        with self._lock:
            self._made[key] = made
            while sum(map(len, self._made.values())) > self._kept_bytes:
                self._made.popitem(last=False)
        return made
