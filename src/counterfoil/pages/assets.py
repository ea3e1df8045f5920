"""The files that pages load: ours, and those of Tabler, htmx and Lucide.

Their addresses carry a piece of their content's hash, so browsers may keep them for ever.
`python -m counterfoil.pages.assets` copies what npm installed into ``static/vendor``.
"""

import gzip
import hashlib
import re
import shutil
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from litestar import Request, Response, get
from litestar.params import FromPath

from counterfoil.core.errors import NotFound

_STATIC: Final = Path(str(files("counterfoil.pages") / "static"))
_IN_TEMPLATES: Final = re.compile(r"\{[{%].*?[}%]\}", re.DOTALL)
_NAMES: Final = re.compile(r"\"([a-z0-9]+(?:-[a-z0-9]+)*)\"")
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

VENDOR: Final = {
    "tabler.css": "@tabler/core/dist/css/tabler.min.css",
    "tabler.js": "@tabler/core/dist/js/tabler.min.js",
    "htmx.js": "htmx.org/dist/htmx.min.js",
    "sse.js": "htmx-ext-sse/dist/sse.min.js",
}
"""File in ``static/vendor`` to where npm puts it."""


@cache
def _asset(name: str) -> tuple[bytes, bytes, str]:
    """A file's content, the same compressed, and a piece of its hash."""
    content = (_STATIC / name).read_bytes()
    return content, gzip.compress(content, 9, mtime=0), hashlib.sha256(content).hexdigest()[:12]


def address(name: str) -> str:
    """Where a file of ``static`` is served; ``FileNotFoundError`` where there is none."""
    return f"/static/{_asset(name)[2]}/{name}"


@get("/static/{version:str}/{name:path}")
async def asset(
    request: Request[Any, Any, Any], version: FromPath[str], name: FromPath[str]
) -> Response[bytes]:
    """One of our files; whatever is not in the list of them does not exist."""
    wanted = name.removeprefix("/")
    if wanted not in _names():
        raise NotFound("there is no such file")
    content, compressed, current = _asset(wanted)
    headers = {"Vary": "Accept-Encoding", "Cross-Origin-Resource-Policy": "same-origin"}
    # An old address gets the new file, but is not kept under the old name.
    lasting = "public, max-age=31536000, immutable" if version == current else "no-cache"
    headers["Cache-Control"] = lasting
    packed = "gzip" in request.headers.get("accept-encoding", "")
    if packed:
        headers["Content-Encoding"] = "gzip"
    media_type = _TYPES.get(Path(wanted).suffix, "application/octet-stream")
    return Response(compressed if packed else content, media_type=media_type, headers=headers)


@cache
def _names() -> frozenset[str]:
    return frozenset(
        path.relative_to(_STATIC).as_posix() for path in _STATIC.rglob("*") if path.is_file()
    )


def install(node_modules: Path, source: Path) -> None:
    """Copy what pages load, and join the icons that templates name into one file."""
    vendor = _STATIC / "vendor"
    vendor.mkdir(exist_ok=True)
    for name, origin in VENDOR.items():
        content = (node_modules / origin).read_text(encoding="utf-8")
        # Source maps are not shipped, and browsers would ask for them.
        tidy = re.sub(r"(?m)^/[/*]# sourceMappingURL=.*$", "", content)
        (vendor / name).write_text(tidy, encoding="utf-8")
    icons = "\n".join(_symbol(node_modules, name) for name in sorted(_icons(node_modules, source)))
    sprite = f'<svg xmlns="http://www.w3.org/2000/svg">\n{icons}\n</svg>\n'
    (vendor / "icons.svg").write_text(sprite, encoding="utf-8")


def _icons(node_modules: Path, source: Path) -> set[str]:
    """The icons that templates may ask for: whatever they quote and Lucide has a drawing of."""
    text = "".join(path.read_text("utf-8") for path in source.rglob("*.html"))
    quoted = {name for part in _IN_TEMPLATES.findall(text) for name in _NAMES.findall(part)}
    drawn = {path.stem for path in (node_modules / "lucide-static" / "icons").glob("*.svg")}
    return quoted & drawn


def _symbol(node_modules: Path, name: str) -> str:
    drawn = (node_modules / "lucide-static" / "icons" / f"{name}.svg").read_text("utf-8")
    body = re.sub(r"(?s)^.*?<svg[^>]*>|</svg>.*$|\n\s*", "", drawn)
    return f'<symbol id="{name}" viewBox="0 0 24 24">{body}</symbol>'


if __name__ == "__main__":
    _root = Path(__file__).resolve().parents[3]
    shutil.rmtree(_STATIC / "vendor", ignore_errors=True)
    install(_root / "node_modules", _root / "src")
