"""From a template and values to a page: one environment a language, everything escaped."""

import gzip
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from functools import cache, lru_cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined, nodes
from jinja2.visitor import NodeTransformer
from litestar import Request, Response
from litestar.enums import MediaType
from litestar.response import Stream
from markupsafe import Markup

from counterfoil.pages import assets, language, shape

_PACKING: Final = 4
"""Quick: a page is made once and read once."""

_SENTENCES: Final = 2_000
"""More than pages have that are not constants of a template."""

_POLICY: Final = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}';"
    " img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
)
"""What a page may load and run: scripts with this answer's nonce, and nothing from elsewhere."""


class Templates(Environment):
    """Templates in which what never changes is worked out once, when a template is compiled.

    A page says a hundred sentences and shows thirty icons, most of them the same each time.
    """

    once: Mapping[str, Callable[..., str]] = {}
    """Globals whose answer to constants is a constant, and no markup but our own.

    No page may give a value of the same name; a template may.
    """

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        parsed = super()._parse(source, name, filename)
        named = _named_in(parsed)
        _Foreseen({k: call for k, call in self.once.items() if k not in named}).visit(parsed)
        return parsed


def _named_in(template: nodes.Template) -> set[str]:
    """What a template itself gives a meaning to."""
    names = {one.name for one in template.find_all(nodes.Name) if one.ctx != "load"}
    names |= {one.name for one in template.find_all(nodes.Macro)}
    names |= {one.target for one in template.find_all(nodes.Import)}
    for one in template.find_all(nodes.FromImport):
        names |= {known if isinstance(known, str) else known[1] for known in one.names}
    return names


class _Foreseen(NodeTransformer):
    """Puts what a call with constants answers in the call's place."""

    def __init__(self, once: Mapping[str, Callable[..., str]]) -> None:
        self._once = once

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802 - as visitors are called
        """Do it now where that is possible; what fails now is left to fail where it is used."""
        self.generic_visit(node)
        called = self._once.get(node.node.name) if isinstance(node.node, nodes.Name) else None
        given = [one.value for one in node.args if isinstance(one, nodes.Const)]
        beside = node.kwargs or node.dyn_args or node.dyn_kwargs
        if called is None or beside or len(given) < len(node.args):
            return node
        try:
            answer = nodes.Const(str(called(*given)), lineno=node.lineno)
        except (KeyError, OSError, TypeError, ValueError):
            return node
        return nodes.MarkSafe(answer, lineno=node.lineno)


@cache
def environment(tag: str) -> Environment:
    """The templates in a language. A name that a template uses and nobody gave is an error."""
    env = Templates(
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
    say = _saying(language.translations(tag).gettext)
    env.once = {"_": say, "asset": assets.address, "icon": icon}
    env.globals |= {
        "_": say,
        "gettext": say,
        "asset": assets.address,
        "icon": icon,
        "language": tag,
        "languages": language.LANGUAGES,
    }
    env.filters |= shape.filters(tag)
    return env


def _saying(gettext: Callable[[str], str]) -> Callable[..., Markup]:
    """What templates call ``_``: the translated sentence, which is markup, around values."""

    @lru_cache(maxsize=_SENTENCES)
    def alone(sentence: str) -> Markup:
        return Markup(gettext(sentence)) % {}  # noqa: S704 - sentences are ours and the translators'

    def say(sentence: str, /, **values: object) -> Markup:
        if not values:
            return alone(sentence)
        return Markup(gettext(sentence)) % values  # noqa: S704 - as above; values are escaped

    return say


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
