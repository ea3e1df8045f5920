"""Sets sheets as PDF with Typst, and draws pictures anew: few at once, in bounded time, each once.

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
from typing import TYPE_CHECKING, Any, Final

from litestar import Response

from counterfoil.core.errors import Invalid, Unavailable

if TYPE_CHECKING:
    import typst

AT_ONCE: Final = 2
WAITING: Final = 16
SECONDS: Final = 20.0
KEPT_BYTES: Final = 32 * 1024 * 1024

_SHEETS: Final = Path(str(files("counterfoil.pages") / "sheets"))
_FONTS: Final = ("noto_cjk_sans_jp_regular", "noto_cjk_sans_jp_bold")
"""Packages with a font each. It has every CJK form; a sheet's language chooses between them."""

_BUSY: Final = "too many documents are being made just now; ask again in a moment"


@cache
def fonts() -> "typst.Fonts":
    """The fonts that every sheet is set in, the same on every machine."""
    import typst  # noqa: PLC0415 - seven megabytes, for those who print

    folders = [str(files(package)) for package in _FONTS]
    return typst.Fonts(include_system_fonts=False, font_paths=folders)


def typeset(data: str) -> bytes:
    """Set the invoice's sheet with this data, JSON; the same bytes for the same data."""
    import typst  # noqa: PLC0415 - as above

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


def redraw(data: str) -> bytes:
    """A picture as a PNG of ours: its pixels, and nothing else that its file had.

    Raises `Invalid` naming ``file`` for what is no picture that can be drawn.
    """
    import typst  # noqa: PLC0415 - as above

    try:
        return typst.compile(
            str(_SHEETS / "picture.typ"),
            root=str(_SHEETS),
            font_paths=fonts(),
            format="png",
            # A point of the page is a pixel of the picture.
            ppi=72.0,
            sys_inputs={"picture": data},
            package_path=str(_SHEETS),
            package_cache_path=str(_SHEETS),
        )
    except typst.TypstError:
        raise Invalid.field("file", "is a picture that cannot be drawn") from None


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


def picture_answer(png: bytes, headers: Mapping[str, str] | None = None) -> Response[bytes]:
    """A picture whose address has its hash: kept by the browser, and by nobody in between."""
    return Response(
        png,
        media_type="image/png",
        headers={
            "Cache-Control": "private, max-age=31536000, immutable",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            **(headers or {}),
        },
    )


class Press:
    """What makes PDFs in one process, and remembers those it made by what they say."""

    def __init__(
        self,
        setter: Callable[[str], bytes] = typeset,
        drawer: Callable[[str], bytes] = redraw,
        *,
        waiting: int = WAITING,
        seconds: float = SECONDS,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        """Bounds: how many may wait, how long each waits in all, how many bytes are kept."""
        self._setter = setter
        self._drawer = drawer
        self._seconds = seconds
        self._kept_bytes = kept_bytes
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="press")
        self._places = AT_ONCE + waiting
        self._made: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = Lock()

    async def pdf(self, paper: Mapping[str, Any]) -> bytes:
        """The sheet as PDF; raises `Unavailable` where too many wait or it takes too long."""
        return await self._answer(self._setter, json.dumps(paper, ensure_ascii=False))

    async def picture(self, content: bytes, width: int, height: int) -> bytes:
        """A PNG or JPEG drawn anew, as a PNG of this size in pixels, whole and unstretched.

        Raises as `redraw` and `pdf` do.
        """
        asked = {"content": list(content), "width": width, "height": height}
        return await self._answer(self._drawer, json.dumps(asked))

    async def _answer(self, make: Callable[[str], bytes], data: str) -> bytes:
        key = sha256(data.encode()).digest()
        made = self._look(key)
        if made is not None:
            return made
        with self._lock:
            if self._places == 0:
                raise Unavailable(_BUSY)
            self._places -= 1
        work = self._threads.submit(self._make, make, key, data)
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

    def _make(self, make: Callable[[str], bytes], key: bytes, data: str) -> bytes:
        # Somebody else may have asked for the same while this waited.
        made = self._look(key)
        if made is not None:
            return made
        made = make(data)
        with self._lock:
            self._made[key] = made
            while sum(map(len, self._made.values())) > self._kept_bytes:
                self._made.popitem(last=False)
        return made
