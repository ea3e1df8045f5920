"""Sample invoices, made the way any client makes them: over the API, by the people of the demo."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from counterfoil.core.errors import Refusal
from counterfoil.sandbox.places import DemoFacts

_PREFIX: Final = "/v1/studio/api/invoice"
_PAYOUT: Final = "0x7e57000000000000000000000000000000000001"


class SampleRefused(Refusal):
    """The API refused what the sandbox asked for; its own words are in the message."""

    kind = "sample_refused"


class Api:
    """The invoice API as one member of the demo sees it."""

    def __init__(self, facts: DemoFacts, role: str) -> None:
        """Speak as the first member who holds ``role``."""
        self._facts = facts
        self._headers = {
            "X-STUDIO-API-KEY": facts.member(role).api_key,
            "X-Client-ID": facts.client_id,
        }
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the connection."""
        self._session = aiohttp.ClientSession(headers=self._headers, trust_env=False)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        if self._session is not None:
            await self._session.close()

    async def invoice(self, invoice_id: str) -> dict[str, Any]:
        """One invoice as the API shows it."""
        return dict(await self._call("GET", f"/intent/{invoice_id}"))

    async def create(self, **fields: object) -> dict[str, Any]:
        """Create an invoice."""
        return dict(await self._call("POST", "/intent", fields))

    async def act(self, invoice_id: str, verb: str, **fields: object) -> None:
        """Approve, reject, cancel, sign, ..."""
        await self._call("POST", f"/intent/{invoice_id}/{verb}", fields)

    async def count(self) -> int:
        """How many invoices there are."""
        answer = await self._answer("GET", "/intents?page_size=1", None)
        return int(answer["paging"]["total_count"])

    async def _call(
        self, method: str, path: str, fields: Mapping[str, object] | None = None
    ) -> Any:  # noqa: ANN401 - any JSON
        return (await self._answer(method, path, fields))["data"]

    async def _answer(
        self, method: str, path: str, fields: Mapping[str, object] | None
    ) -> dict[str, Any]:
        assert self._session is not None, "use it as a context manager"  # noqa: S101 - our own use
        address = f"{self._facts.base_url}{_PREFIX}{path}"
        try:
            async with self._session.request(method, address, json=fields) as response:
                answer: dict[str, Any] = await response.json()
        except aiohttp.ClientConnectionError as error:
            message = f"nothing answers at {self._facts.base_url}; start the sandbox: make demo"
            raise SampleRefused(message) from error
        if answer["code"] != 0:
            raise SampleRefused(answer["message"])
        return answer


def example(facts: DemoFacts, **changes: object) -> dict[str, object]:
    """The documented example of an invoice, with changes."""
    asked: dict[str, object] = {
        "pricing_mode": "fiat",
        "amount": "3000.00",
        "currency": "TWD",
        "pay_token": "USDT",
        "chain": "arb",
        "origin": "https://meridian.example",
        "recipient_name": "Acme Buyer",
        "recipient_email": "buyer@acme.example",
        "organization_name": "Meridian Trading Co.",
        "organization_email": "finance@meridian.example",
        "creator": "finance-bot",
        "payment_terms": 30,
        "payment_method_type": "crypto",
        "payout_addresses": {"evm": _PAYOUT},
        "callback_url": facts.callback_inbox_url,
        "detail_items": [
            {"name": "Consulting service", "quantity": 1, "unit_price": 3000, "tax": 0}
        ],
        "order_data": {"external_invoice_id": "INV-2026-001"},
    }
    return asked | changes


async def ensure(facts: DemoFacts) -> None:
    """Make the sample invoices unless there are invoices already."""
    async with Api(facts, "finance") as finance, Api(facts, "reviewer") as reviewer:
        if await finance.count():
            return
        await finance.create(**example(facts, recipient_name="Taipei Robotics Ltd."))
        waiting = await finance.create(
            **example(
                facts,
                recipient_name="Harbour Logistics",
                chain="base",
                pay_token="USDC",  # noqa: S106 - a token of the chain
                payment_terms=0,
                allow_any_chain=True,
                allow_any_token=True,
            )
        )
        await reviewer.act(waiting["id"], "approve")
        wrong = await finance.create(
            **example(facts, recipient_name="Acme Buyer", chain="optimism")
        )
        await reviewer.act(
            wrong["id"], "reject", reason="Recipient information does not match our records."
        )
        off = await finance.create(**example(facts, recipient_name="Orchid Design Studio"))
        await finance.act(off["id"], "cancel", reason="Ordered twice")
