"""People and programs that use the HTTP API, each through a real socket with a key of their own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

STUDIO: Final = "/v1/studio/api"

PAYOUT_ADDRESS: Final = "0xd8dA6BF26964aF9D7eEd9e03E53415D37aA96045"

CURL_EXAMPLE: Final[Mapping[str, Any]] = {
    "pricing_mode": "fiat",
    "amount": "3000.00",
    "currency": "TWD",
    "pay_token": "USDT",
    "chain": "arb",
    "origin": "https://merchant.example",
    "recipient_name": "Acme Buyer",
    "recipient_email": "buyer@example.com",
    "organization_name": "Merchant Ltd.",
    "organization_email": "finance@merchant.example",
    "creator": "finance-bot",
    "payment_terms": 30,
    "payment_method_type": "crypto",
    "payout_addresses": {"evm": PAYOUT_ADDRESS},
    "detail_items": [{"name": "Consulting service", "quantity": 1, "unit_price": 3000, "tax": 0}],
    "order_data": {"external_invoice_id": "INV-2026-001"},
}
"""The source's first example, with an address that is somebody's instead of the zero address."""


@dataclass(frozen=True)
class Answer:
    """What came back over the wire."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:  # noqa: ANN401 - JSON is whatever it is
        return json.loads(self.raw)

    @property
    def data(self) -> Any:  # noqa: ANN401 - as body
        """The content of a success; fails loudly on anything else."""
        assert self.status == 200, f"{self.status}: {self.raw.decode()}"
        assert self.body["code"] == 0
        return self.body["data"]

    @property
    def refusal(self) -> tuple[int, int]:
        """HTTP status and code of an error."""
        assert set(self.body) == {"code", "message", "data"}, self.raw
        return self.status, self.body["code"]

    @property
    def fields(self) -> dict[str, str]:
        """The fields that an error names."""
        found: dict[str, str] = self.body["data"].get("fields", {})
        return found


class Caller:
    """Somebody with an API key (or with none), at one server."""

    def __init__(
        self, session: aiohttp.ClientSession, key: str | None, client_id: str, uid: str = ""
    ) -> None:
        self.session = session
        self.key = key
        self.client_id = client_id
        self.uid = uid

    async def call(  # noqa: PLR0913 - the parts of a request
        self,
        method: str,
        path: str,
        *,
        json_body: object = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | list[tuple[str, str]] | None = None,
        form: aiohttp.FormData | None = None,
    ) -> Answer:
        """Any request; ``content`` are raw bytes, sent as JSON unless the headers say otherwise."""
        sent = {"X-Client-ID": self.client_id, **(headers or {})}
        if self.key is not None:
            sent.setdefault("X-STUDIO-API-KEY", self.key)
        data: Any = form
        if json_body is not None:
            data = json.dumps(json_body).encode()
        elif content is not None:
            data = content
        if data is not None and form is None:
            sent.setdefault("Content-Type", "application/json")
        sent = {name: value for name, value in sent.items() if value != ""}
        async with self.session.request(
            method, path, data=data, headers=sent, params=query
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        return await self.call("GET", STUDIO + path, query=query)

    async def post(
        self, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        return await self.call("POST", STUDIO + path, json_body=body, headers=headers)

    async def create(self, headers: Mapping[str, str] | None = None, **changes: object) -> Answer:
        """The source's example with ``changes``; a change to None leaves the field out."""
        body = {
            name: value for name, value in {**CURL_EXAMPLE, **changes}.items() if value is not None
        }
        return await self.post("/invoice/intent", body, headers)

    async def look(self, invoice_id: str) -> Answer:
        return await self.get(f"/invoice/intent/{invoice_id}")

    async def update(self, invoice_id: str, **changes: object) -> Answer:
        path = f"{STUDIO}/invoice/intent/{invoice_id}"
        return await self.call("PUT", path, json_body=changes)

    async def act(
        self,
        verb: str,
        invoice_id: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        return await self.post(f"/invoice/intent/{invoice_id}/{verb}", body, headers)

    async def approve(self, invoice_id: str) -> Answer:
        return await self.act("approve", invoice_id)

    async def reject(self, invoice_id: str, reason: str) -> Answer:
        return await self.act("reject", invoice_id, {"reason": reason})

    async def cancel(self, invoice_id: str, reason: str = "Cancelled by initiator") -> Answer:
        return await self.act("cancel", invoice_id, {"reason": reason})

    async def logs(self, invoice_id: str) -> Answer:
        return await self.get(f"/invoice/intent/{invoice_id}/logs")

    async def list(self, **query: str) -> Answer:
        return await self.get("/invoice/intents", query)

    async def upload(self, content: bytes, name: str = "receipt.pdf") -> Answer:
        form = aiohttp.FormData()
        form.add_field("file", content, filename=name)
        return await self.call("POST", f"{STUDIO}/files", form=form)


class Merchant(Caller):
    """Creates invoices (role finance)."""


class Reviewer(Caller):
    """Approves and rejects what others created."""


class Signer(Caller):
    """Accepts money and orders refunds."""


class Officer(Caller):
    """Decides about held money (role compliance)."""


class Auditor(Caller):
    """May only read."""


class Stranger(Caller):
    """Has no key."""
