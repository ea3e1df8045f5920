"""The payment page: what is due, where to send it, and how far it has come.

Everything on it comes from the invoice. The query chooses among what the invoice offers: a token,
a language, a form of the QR code; it never says what to pay or where to (T29, T31).
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from litestar import get, post
from litestar.params import FromPath
from litestar.response import Stream

from counterfoil.checkout.door import (
    HEADERS,
    Answer,
    PageRequest,
    desk_of,
    keep_pace,
    language_of,
    parts_of,
    query,
    show,
)
from counterfoil.checkout.qr import qr_code
from counterfoil.checkout.stages import PAYABLE, STEPS, TOLD, WITH_RECEIPT, Stage, stage_of
from counterfoil.core import zones
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Invalid, NotFound
from counterfoil.core.invoice import Invoice, PaymentRequest, number_label, pay_to
from counterfoil.core.money import Asset, Money, format_units
from counterfoil.core.pay_links import PREFIX
from counterfoil.core.payment_uri import payment_uri, wallet_call
from counterfoil.core.reckoning import received, shortfall, still_due, surplus
from counterfoil.desk.paying import PaymentView, payment_page
from counterfoil.pages import bank, render
from counterfoil.pages.forms import comes_from_here, read_form

_BARE: Final = "address"
_PART: Final = "checkout/part.html"
_DEMO_SHARES: Final = {"exact": (1, 1), "half": (1, 2), "double": (2, 1)}
"""What the demo's customer sends of what is due."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What the visitor chose to see, as it stands in addresses; all of it may be empty."""

    token: str
    pay: str = ""
    qr: str = ""
    lang: str = ""

    def address(self, path: str = "", **changes: str) -> str:
        """The same page, or one below it, with what is to be different."""
        chosen = replace(self, **changes)
        shown = query(pay=chosen.pay, qr=chosen.qr, lang=chosen.lang)
        return f"{PREFIX}/{self.token}{path}{shown}"


@dataclass(frozen=True, slots=True)
class Ask:
    """What to send, and where to: text, QR code and wallet all have it from here."""

    money: Money
    address: str

    @property
    def amount(self) -> str:
        """The amount as people type it, exact."""
        return format_units(self.money.units, self.money.asset.decimals)

    @property
    def uri(self) -> str:
        """What a wallet's camera reads."""
        return payment_uri(self.money, self.address)

    @property
    def call(self) -> dict[str, str]:
        """What a wallet in the browser is asked for."""
        return wallet_call(self.money, self.address)

    @property
    def chain_id(self) -> str:
        """The chain, as wallets in browsers name it."""
        return hex(CHAINS[self.money.asset.chain].chain_id)


def option_of(asset: Asset) -> str:
    """How an asset is named in addresses."""
    return f"{asset.chain}-{asset.symbol}"


@get("/{token:str}")
async def pay(request: PageRequest, token: FromPath[str]) -> Answer:
    """The page; for htmx the part of it that changes."""
    keep_pace(request)
    found = await _found(request, token)
    template = _PART if render.is_fragment(request) else "checkout/page.html"
    return _page(request, found, token, template)


@get("/{token:str}/receipt")
async def receipt(request: PageRequest, token: FromPath[str]) -> Answer:
    """What was paid, to print; until then there is none."""
    keep_pace(request)
    found = await _found(request, token)
    if stage_of(found.view.invoice, desk_of(request).clock.now()) not in WITH_RECEIPT:
        raise NotFound("there is no receipt yet")
    return _page(request, found, token, "checkout/receipt.html")


@get("/{token:str}/events", media_type="text/event-stream")
async def events(request: PageRequest, token: FromPath[str]) -> Stream:
    """Word of every change, while the page is open."""
    keep_pace(request)
    found = await _found(request, token)
    seen = request.query_params.get("seen", "")[:9]
    return Stream(
        parts_of(request).live.events(found.watched, int(seen) if seen.isdecimal() else 0),
        media_type="text/event-stream",
        # What stands in between must not wait for more before it passes something on.
        headers={**HEADERS, "X-Accel-Buffering": "no"},
    )


@post("/{token:str}/demo", status_code=303)
async def pay_as_demo(request: PageRequest, token: FromPath[str]) -> Answer:
    """In a sandbox: have its customer pay all, half or twice of what is due."""
    keep_pace(request)
    customer = parts_of(request).customer
    if customer is None:
        raise NotFound("nobody pays here but customers")
    if not comes_from_here(request):
        raise Invalid("this form came from another site, so nothing was done")
    found = await _found(request, token)
    form = await read_form(request)
    times, parts = _DEMO_SHARES[form.chosen("share", _DEMO_SHARES)]
    choice = replace(_choice(request, token), pay=form.raw("pay"))
    ask = _ask(found.view.invoice, choice, desk_of(request).clock.now())
    if ask is not None:
        units = max(ask.money.units * times // parts, 1)
        await customer.pay(Money(units, ask.money.asset), ask.address)
    headers = {"Location": choice.address()}
    return Answer(b"", status_code=303, headers=headers)


async def _found(request: PageRequest, token: str) -> PaymentView:
    parts = parts_of(request)
    return await payment_page(desk_of(request), parts.links, token, parts.keep)


def _choice(request: PageRequest, token: str) -> Choice:
    given = request.query_params
    named = given.get("lang", "")
    return Choice(
        token=token,
        pay=given.get("pay", "")[:40],
        qr=_BARE if given.get("qr") == _BARE else "",
        lang=named if named == language_of(request) else "",
    )


def _ask(invoice: Invoice, choice: Choice, now: datetime) -> Ask | None:
    """What is to be sent in the token that was chosen, or the first; None where nothing is."""
    if stage_of(invoice, now) not in PAYABLE:
        return None
    due = {option_of(money.asset): money for money in still_due(invoice)}
    if not due:
        return None
    money = due.get(choice.pay) or next(iter(due.values()))
    return Ask(money, pay_to(invoice, money.asset))


def _page(request: PageRequest, found: PaymentView, token: str, template: str) -> Answer:
    view, now = found.view, desk_of(request).clock.now()
    invoice = view.invoice
    stage, choice = stage_of(invoice, now), _choice(request, token)
    ask = _ask(invoice, choice, now)
    asked = ask.money.asset if ask else _paid_with(invoice)
    values = {
        "merchant": found.profile.name,
        "zone": zones.zone(found.profile.time_zone),
        "logo": _logo(found, choice),
        "invoice": invoice,
        "transfers": view.transfers,
        "returns": [m for m in view.moves if _goes_back(m)],
        "stage": stage,
        "told": TOLD[stage],
        "steps": STEPS,
        "choice": choice,
        "options": [(option_of(r.asset), r.asset) for r in invoice.requests],
        "ask": ask,
        "request": _request_for(invoice, asked),
        "chosen": option_of(asked),
        "arrived": received(invoice),
        "surplus": surplus(invoice),
        "shortfall": _shortfall(invoice, stage, asked),
        "bank": _bank(found) if stage is Stage.BY_BANK else (),
        "qr": qr_code(ask.address if choice.qr else ask.uri) if ask else None,
        "is_bare": bool(choice.qr),
        "live": choice.address("/events") if not invoice.status.is_end else None,
        "is_part": template == _PART,
        "has_receipt": stage in WITH_RECEIPT,
        "back": _back(found),
        "sandbox": parts_of(request).customer is not None,
    }
    return show(request, template, values)


def _logo(found: PaymentView, choice: Choice) -> str | None:
    sha256 = found.profile.logo_sha256
    return None if sha256 is None else f"{PREFIX}/{choice.token}/logo/{sha256.hex()}"


def _bank(found: PaymentView) -> bank.Lines:
    return bank.lines(found.bank_account, number_label(found.view.invoice))


def _paid_with(invoice: Invoice) -> Asset:
    held = [a.asset for a in invoice.tally.assets if a.seen_units]
    return held[0] if held else invoice.requests[0].asset


def _shortfall(invoice: Invoice, stage: Stage, asset: Asset) -> Money | None:
    """What was accepted as missing, in the asset that the page speaks of."""
    if stage not in WITH_RECEIPT:
        return None
    return next((money for money in shortfall(invoice) if money.asset == asset), None)


def _request_for(invoice: Invoice, asset: Asset) -> PaymentRequest:
    return next(r for r in invoice.requests if r.asset == asset)


def _goes_back(move: Any) -> bool:  # noqa: ANN401 - its type is the books', which doors leave alone
    return move.purpose in {"refund", "partial_refund"} and move.status != "failed"


def _back(found: PaymentView) -> tuple[str, str] | None:
    """Where the customer is led back to, and its host."""
    return None if found.back is None else (found.back, urlsplit(found.back).netloc)


HANDLERS: Final = (pay, receipt, events, pay_as_demo)
