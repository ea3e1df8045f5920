"""`Stage`: a web server whose pages a test writes, to see whether it is seen what they do."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

from support.served import served

Answer = tuple[bytes, Mapping[str, str]]

GOOD = """<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>Stage</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
{head}</head><body><main><h1>Stage</h1>{body}</main></body></html>"""


class Stage:
    """Answers with what it was given; everything else is not found."""

    def __init__(self) -> None:
        self.origin = ""
        self.asked: list[web.Request] = []
        self._answers: dict[str, Answer] = {}

    def show(self, body: str, *, head: str = "", language: str = "en", **headers: str) -> None:
        """Make this the page at `/`; headers are given with underscores."""
        page = GOOD.format(language=language, head=head, body=body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.put("/", page, "text/html; charset=utf-8", **named)

    def put(self, path: str, content: bytes, content_type: str, **headers: str) -> None:
        self._answers[path] = (content, {"Content-Type": content_type, **headers})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        if request.path not in self._answers:
            raise web.HTTPNotFound
        content, headers = self._answers[request.path]
        response = web.Response(body=content, headers=headers)
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            response.enable_compression(web.ContentCoding.gzip)
        return response


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    """A stage on a free port of this machine."""
    stage = Stage()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stage.answer)
    async with served(app) as port:
        stage.origin = f"http://127.0.0.1:{port}"
        yield stage
