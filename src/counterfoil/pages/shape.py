"""How values look on a page: amounts, times, addresses. Filters of the templates."""

from collections.abc import Callable
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from functools import partial
from typing import Any, Final

from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from counterfoil.core import ids, zones
from counterfoil.core.assets import CHAINS, known_asset
from counterfoil.core.invoice import Document, Invoice, Price, number_label
from counterfoil.core.lookalike import mixes_scripts
from counterfoil.core.money import Asset, Money, format_units, plain_text
from counterfoil.pages.language import told

_CENT: Final = Decimal("0.01")


def filters(language: str) -> dict[str, Callable[..., Any]]:
    """Every filter. All our languages write numbers and dates of this kind alike."""
    return {
        "moment": moment,
        "due": due,
        "price": price,
        "worth": worth,
        "number_label": number_label,
        "transferred": transferred,
        "day": date.isoformat,
        "number": number,
        "fiat": fiat,
        "cash": cash,
        "company": company,
        "money": money,
        "amount": amount,
        "chain_name": chain_name,
        "short": short,
        "file_id": partial(ids.public, "file"),
        "mixes_scripts": mixes_scripts,
        "plain": plain_text,
        "told": partial(told, language),
        "tx_link": tx_link,
        "address_link": address_link,
    }


@pass_context
def moment(context: Context, at: datetime | None) -> Markup:
    """A time where the organisation of the page is."""
    return moment_in(at, context.get("zone", UTC))


def moment_in(at: datetime | None, zone: tzinfo) -> Markup:
    """A time with its zone; over it, the reader's browser says when that is where they are."""
    return Markup("&ndash;") if at is None else _time(at, zones.said(at, zone))


@pass_context
def due(context: Context, at: datetime) -> Markup:
    """The end of a time to pay where the organisation is; the end of a day belongs to that day."""
    return _time(at, zones.said_due(at, context.get("zone", UTC)))


def _time(at: datetime, said: str) -> Markup:
    exact = at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return Markup(f'<time datetime="{exact}" data-local>{said}</time>')  # noqa: S704 - a time writes no marks


def number(value: Decimal | int) -> str:
    """A number with its thousands apart, and every digit that it has."""
    _, _, fraction = plain_text(Decimal(value)).partition(".")
    return f"{value:,.{len(fraction)}f}"


def fiat(amount: Decimal, currency: str | None) -> str:
    """An amount of a currency, to its hundredths."""
    return f"{amount:,.2f}" if currency is None else f"{amount:,.2f} {currency}"


def price(invoice: Invoice) -> str:
    """What the invoice asks for, in its own currency or token."""
    asked = invoice.price
    if asked.mode == "fiat":
        return fiat(asked.amount, asked.currency)
    return f"{number(asked.amount)} {invoice.requests[0].asset.symbol}"


def worth(amount_of: Money, invoice: Invoice) -> str:
    """What tokens are worth at the invoice's own price; empty where it asks for tokens."""
    asked = invoice.price
    request = next((r for r in invoice.requests if r.asset == amount_of.asset), None)
    if asked.mode != "fiat" or request is None:
        return ""
    value = asked.amount * amount_of.units / request.due_units
    return fiat(value, asked.currency)


def company(document: Document, merchant: str) -> str:
    """The organisation that an invoice is for, where its document names one beside the person.

    Some programs name the merchant there, which says nothing of who is to pay.
    """
    named = document.organization_name
    return "" if named in {document.recipient_name, merchant} else named


def cash(value: Decimal, asked: Price) -> str:
    """An amount on an invoice that asks so: all its digits and, of a currency, at least cents."""
    exact = value == value.quantize(_CENT)
    return fiat(value, None) if exact and asked.mode == "fiat" else number(value)


def money(value: Money) -> str:
    """An amount with its token, every digit of it; for reading, never for copying."""
    return amount(value.units, value.asset)


def amount(units: int, asset: Asset) -> str:
    """Base units as people read them, every digit, thousands apart, with the token."""
    whole, point, fraction = format_units(units, asset.decimals).partition(".")
    return f"{int(whole):,}{point}{fraction} {asset.symbol}"


def roughly(value: Decimal) -> str:
    """An amount in few letters, to stand above a bar: ``950``, ``12.4k``, ``3.1M``."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:.1f}".removesuffix(".0") + letter
    return f"{value:.0f}"


def transferred(transfer: Any) -> str:  # noqa: ANN401 - its type is the books', which doors leave alone
    """How much came with a transfer."""
    asset = known_asset(transfer.chain, transfer.contract)
    if asset is None:
        return f"{transfer.amount_units} {transfer.contract}"
    return amount(transfer.amount_units, asset)


def chain_name(key: str) -> str:
    """What people call a chain."""
    chain = CHAINS.get(key)
    return key if chain is None else chain.name


def short(text: str, head: int = 8, tail: int = 6) -> str:
    """A long address or hash, cut in the middle; for reading, never for copying."""
    return text if len(text) <= head + tail + 1 else f"{text[:head]}…{text[-tail:]}"


def tx_link(tx_hash: str, chain: str) -> str:
    """Where the public looks at a transaction."""
    return f"{CHAINS[chain].explorer}/tx/{tx_hash}"


def address_link(address: str, chain: str) -> str:
    """Where the public looks at an address."""
    return f"{CHAINS[chain].explorer}/address/{address}"
