"""`Visitor`: somebody with a browser that knows no scripts: pages, forms, cookies, links."""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

Fields = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class Page:
    """What came back: after redirects, unless they were not followed."""

    status: int
    address: str
    text: str
    headers: Mapping[str, str]

    @property
    def words(self) -> str:
        """The text that people read, without marks and with single blanks."""
        bare = re.sub(r"(?s)<(script|style|head).*?</\1>|<[^>]+>", " ", self.text)
        return " ".join(html.unescape(bare).split())

    @property
    def form_token(self) -> str:
        found = re.search(r'name="form_token" value="([0-9a-f]+)"', self.text)
        assert found is not None, f"no form on this page: {self.words[:300]}"
        return found[1]


class Visitor:
    """Keeps cookies, and sends forms as browsers do."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        self.session = aiohttp.ClientSession(
            cookie_jar=aiohttp.CookieJar(unsafe=True), trust_env=False
        )

    @property
    def cookie(self) -> str:
        """The value of the only cookie that the site gave."""
        (cookie,) = self.session.cookie_jar
        return cookie.value

    async def leave(self) -> None:
        await self.session.close()

    async def open(self, path: str, *, follow: bool = True, **headers: str) -> Page:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.get(
            self.base_url + path, allow_redirects=follow, headers=sent
        ) as response:
            return await _page(response)

    async def send(
        self,
        path: str,
        fields: Fields | aiohttp.FormData | None = None,
        *,
        token: str | None = None,
        follow: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> Page:
        """Send a form from a page of the site; without ``token`` that of the present page."""
        known = token if token is not None else (await self.open("/studio")).form_token
        data: Any = fields
        if isinstance(fields, aiohttp.FormData):
            fields.add_field("form_token", known)
        else:
            data = _pairs({**(fields or {}), "form_token": known})
        sent = {"Origin": self.base_url, "Sec-Fetch-Site": "same-origin", **(headers or {})}
        async with self.session.post(
            self.base_url + path, data=data, allow_redirects=follow, headers=sent
        ) as response:
            return await _page(response)

    async def sign_in(self, email: str, password: str, *, follow: bool = True) -> Page:
        token = (await self.open("/studio/sign-in")).form_token
        return await self.send(
            "/studio/sign-in", {"email": email, "password": password}, token=token, follow=follow
        )


def _pairs(fields: Fields) -> list[tuple[str, str]]:
    return [
        (name, one)
        for name, value in fields.items()
        for one in ([value] if isinstance(value, str) else value)
    ]


async def _page(response: aiohttp.ClientResponse) -> Page:
    return Page(response.status, str(response.url), await response.text(), dict(response.headers))
