"""From a template and values to a page: one environment a language, everything escaped."""

import gzip
import secrets
from collections.abc import AsyncIterator, Mapping
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined
from litestar import Request, Response
from litestar.enums import MediaType
from litestar.response import Stream
from markupsafe import Markup

from counterfoil.pages import assets, language, shape

_PACKING: Final = 4
"""Quick: a page is made once and read once."""

_POLICY: Final = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}';"
    " img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
)
"""What a page may load and run: scripts with this answer's nonce, and nothing from elsewhere."""


@cache
def environment(tag: str) -> Environment:
    """The templates in a language. A name that a template uses and nobody gave is an error."""
    env = Environment(
        loader=PrefixLoader(
            {
                "checkout": PackageLoader("counterfoil.checkout"),
                "pages": PackageLoader("counterfoil.pages"),
                "studio": PackageLoader("counterfoil.studio"),
            }
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
    )
    env.install_gettext_translations(language.translations(tag), newstyle=True)  # type: ignore[attr-defined]  # what the extension adds
    env.globals |= {
        "asset": assets.address,
        "icon": icon,
        "language": tag,
        "languages": language.LANGUAGES,
    }
    env.filters |= shape.filters(tag)
    return env


@cache
def icon(name: str, css: str = "") -> Markup:
    """A drawing of Lucide; it says nothing to those who cannot see it."""
    sheet = assets.address("vendor/icons.svg")
    return Markup(
        '<svg class="icon {css}" width="24" height="24" fill="none" stroke="currentColor"'
        ' stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">'
        '<use href="{sheet}#{name}"></use></svg>'
    ).format(css=css, sheet=sheet, name=name)


def page(  # noqa: PLR0913 - an answer, whole
    tag: str,
    template: str,
    values: Mapping[str, Any],
    *,
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
    packed: bool = False,
) -> Response[bytes]:
    """An HTML answer: never kept, never framed, and with a policy of its own.

    ``packed`` where the browser takes it: a hundred line items weigh a tenth then.
    """
    nonce = secrets.token_urlsafe(16)
    body = environment(tag).get_template(template).render(nonce=nonce, **values).encode()
    return Response(
        gzip.compress(body, _PACKING, mtime=0) if packed else body,
        status_code=status_code,
        media_type=MediaType.HTML,
        headers={
            "Content-Security-Policy": _POLICY.format(nonce=nonce),
            "Content-Language": tag,
            # With less, browsers would not say which site a form comes from.
            "Referrer-Policy": "same-origin",
            "Vary": "HX-Request, Accept-Encoding",
            **({"Content-Encoding": "gzip"} if packed else {}),
            **(headers or {}),
        },
    )


def takes_packed(request: Request[Any, Any, Any]) -> bool:
    """Whether the browser takes compressed answers."""
    return "gzip" in request.headers.get("accept-encoding", "")


def stream(events: AsyncIterator[int]) -> Stream:
    """Server-sent events: ``changed``, with each number as it comes."""

    async def written() -> AsyncIterator[bytes]:
        yield b"retry: 2000\n\n"
        async for number in events:
            yield b"event: changed\ndata: %d\n\n" % number

    return Stream(
        written,
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def is_fragment(request: Request[Any, Any, Any]) -> bool:
    """Whether htmx asks, and wants the part of the page that changed."""
    return "HX-Request" in request.headers and "HX-Boosted" not in request.headers
