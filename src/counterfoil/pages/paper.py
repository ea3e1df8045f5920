"""An invoice as the data of its printed sheet, in the reader's language.

The sheet shows where to pay only while that is wanted: an invoice that is not approved, or over,
bears no address that somebody could send money to.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any, Final

import segno

from counterfoil.core import zones
from counterfoil.core.invoice import Context, Invoice, Status, number_label, pay_to
from counterfoil.core.money import Money
from counterfoil.core.payment_uri import payment_uri
from counterfoil.core.reckoning import Depth, is_over, is_partly_returned, shortfall, still_due
from counterfoil.pages import shape
from counterfoil.pages.bank import Lines, lines
from counterfoil.pages.language import N_, translations

_WATERMARKS: Final[Mapping[Status, tuple[str, str]]] = {
    Status.APPROVAL_PENDING: (N_("Not approved yet"), "red"),
    Status.APPROVAL_REJECTED: (N_("Rejected"), "red"),
    Status.CANCELLED: (N_("Cancelled"), "red"),
    Status.EXPIRED: (N_("Expired"), "grey"),
    Status.REFUNDED: (N_("Refunded"), "grey"),
}
_PAID: Final = frozenset(
    {Status.SIGN_PENDING, Status.SWEEPING, Status.PAYOUT_PROCESSING, Status.COMPLETED}
)
_MISSING: Final = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Letterhead:
    """Who the sheet is from. ``lines`` stand below the name; ``logo`` is a PNG or JPEG."""

    name: str
    lines: tuple[str, ...] = ()
    logo: bytes | None = None
    tax_number: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """What is printed. ``transfers`` are what came in."""

    invoice: Invoice
    transfers: Sequence[Any]
    letterhead: Letterhead
    bank: Lines = ()
    """The account to pay into, and the reference to give; empty where it is paid on chain."""
    zone: tzinfo = UTC
    """Where the organisation is, whose days and times the sheet bears."""
    mail: bool = True
    """Whether the recipient's e-mail address is shown."""


def sheet_of(
    found: Any,  # noqa: ANN401 - the desk's type, which pages leave alone
    *,
    mail: bool,
) -> Sheet:
    """The sheet of what the desk found: a view, a profile with its logo, perhaps a bank account.

    ``mail``: with the addresses of e-mail that the document bears. Whoever has nothing but a link
    is shown none.
    """
    invoice = found.view.invoice
    by_bank = invoice.settlement == "fiat"
    bank = lines(found.bank_account, number_label(invoice)) if by_bank else ()
    head = letterhead_of(invoice, found.profile, found.logo, mail=mail)
    zone = zones.zone(found.profile.time_zone)
    return Sheet(invoice, found.view.transfers, head, bank, zone, mail=mail)


def letterhead_of(
    invoice: Invoice,
    profile: Any,  # noqa: ANN401 - as above
    logo: bytes | None = None,
    *,
    mail: bool = True,
) -> Letterhead:
    """Who issues the invoice: the organisation as its profile says.

    The document's own organisation is its recipient's (KryptoGO, ``organization_name``), but for
    those who write their own there; then its e-mail is theirs as well.
    """
    document = invoice.document
    named = document.organization_name == profile.name
    below = document.organization_email if mail and named else ""
    lines = (profile.email or below, *profile.address.splitlines())
    return Letterhead(profile.name, lines, logo, profile.tax_number)


def file_name(invoice: Invoice) -> str:
    """What the PDF is saved as."""
    return f"{number_label(invoice)}.pdf"


def paper(sheet: Sheet, language: str, now: datetime) -> dict[str, Any]:
    """The data of ``sheets/invoice.typ``."""
    return _Writer(sheet, language, now).paper()


class _Writer:
    def __init__(self, sheet: Sheet, language: str, now: datetime) -> None:
        self.sheet = sheet
        self.invoice = sheet.invoice
        self.now = now
        self.language = language
        self.say = translations(language).gettext
        self.filters = shape.filters(language)

    def paper(self) -> dict[str, Any]:
        say, invoice, document = self.say, self.invoice, self.invoice.document
        head = self.sheet.letterhead
        logo = None if head.logo is None else list(head.logo)
        lang, _, region = self.language.partition("-")
        return {
            "lang": lang,
            "region": region.rpartition("-")[2] or "GB",
            "title": say("Invoice"),
            "number": number_label(invoice),
            "pages": say("Page {page} of {pages}"),
            "merchant": {"name": head.name, "logo": logo},
            "watermark": self.watermark(),
            "stamp": self.stamp(),
            "parties": [
                _party(say("Issued by"), head.name, (*head.lines, self.tax_number())),
                _party(say("Billed to"), document.recipient_name, self.recipient()),
            ],
            "facts": [
                (say("Issued"), self.day(document.issued_on)),
                (say("Terms"), self.terms()),
                (say("Due"), self.due()),
            ],
            "description": document.description,
            "columns": [
                "",
                say("Item"),
                say("Quantity"),
                say("Unit price"),
                say("Tax"),
                say("Total"),
            ],
            "items": [
                (
                    str(number),
                    item.name,
                    self.number(item.quantity),
                    self.cash(item.unit_price),
                    self.cash(item.tax) if item.tax else _MISSING,
                    self.cash(item.total),
                )
                for number, item in enumerate(document.items, start=1)
            ],
            "sums": self.sums(),
            "total": (say("Total"), self.filters["price"](invoice)),
            "payment": self.payment(),
            "arrived": {"heading": say("What has arrived"), "rows": list(self.arrived())},
        }

    def watermark(self) -> dict[str, str] | None:
        found = _WATERMARKS.get(self.invoice.status)
        return None if found is None else {"text": self.say(found[0]), "colour": found[1]}

    def stamp(self) -> dict[str, str] | None:
        paid_at = self.invoice.tally.paid_at
        if self.invoice.status not in _PAID or paid_at is None:
            return None
        on = self.day(paid_at.astimezone(self.sheet.zone).date())
        said = (
            self.say("Paid in part on %(date)s, and accepted")
            if shortfall(self.invoice)
            else self.say("Paid on %(date)s")
        )
        return {"text": said % {"date": on}, "colour": "green"}

    def tax_number(self) -> str:
        number = self.sheet.letterhead.tax_number
        return self.say("Tax number %(number)s") % {"number": number} if number else ""

    def recipient(self) -> tuple[str, ...]:
        document, mail = self.invoice.document, self.sheet.mail
        lines = [document.recipient_email] if mail else []
        if named := shape.company(document, self.sheet.letterhead.name):
            lines += [named]
            lines += [document.organization_email] if mail else []
        return tuple(lines)

    def terms(self) -> str:
        days = self.invoice.document.terms_days
        if self.invoice.explicit_deadline_at is not None:
            return self.say("Fixed date")
        if days == 0:
            return self.say("Due on receipt")
        told = translations(self.language).ngettext("%(num)s day", "%(num)s days", days)
        return told % {"num": days}

    def due(self) -> str:
        invoice = self.invoice
        if invoice.deadline_follows_approval and invoice.approved_at is None:
            return self.say("On approval")
        return zones.said_due(invoice.deadline_at, self.sheet.zone)

    def sums(self) -> list[tuple[str, str]]:
        net, tax = self.invoice.document.net, self.invoice.document.tax
        return [(self.say("Subtotal"), self.cash(net)), (self.say("Tax"), self.cash(tax))]

    def payment(self) -> dict[str, Any] | None:
        invoice, say = self.invoice, self.say
        heading, address = say("How to pay"), say("Address")
        plain: dict[str, Any] = {"heading": heading, "address": address, "text": [], "ways": []}
        plain |= {"bank": [], "qr": None}
        if invoice.status is Status.APPROVAL_PENDING:
            told = say("How to pay is printed here once the invoice is approved. Send nothing yet.")
            return {**plain, "text": [told]}
        if not self.is_open():
            return None
        if invoice.settlement == "fiat":
            return {
                **plain,
                "text": self.by_bank(),
                "bank": [(say(name), value) for name, value in self.sheet.bank],
            }
        due = still_due(invoice)
        if not due:
            return None
        told = say(
            "Send exactly one of these amounts, in the token and on the chain that are named. What"
            " is sent on another chain may be lost."
        )
        first = due[0]
        uri = payment_uri(first, pay_to(invoice, first.asset))
        caption = say("For wallets: %(amount)s on %(chain)s") % {
            "amount": str(first),
            "chain": shape.chain_name(first.asset.chain),
        }
        return {
            **plain,
            "text": [told],
            "ways": [self.way(money) for money in due],
            "qr": {"drawing": _qr(uri), "caption": caption},
        }

    def is_open(self) -> bool:
        """Whether money is awaited: as long as there is time, and some of it is missing."""
        invoice = self.invoice
        waiting = {Status.AWAITING_PAYMENT, Status.PAYMENT_DETECTED}
        short = (Status.RESOLUTION_REQUIRED, Context.UNDERPAID)
        awaited = invoice.status in waiting or (invoice.status, invoice.context) == short
        awaited = awaited and not is_partly_returned(invoice)
        return awaited and not is_over(invoice, self.now)

    def by_bank(self) -> list[str]:
        told = [self.say("By bank transfer; send no tokens.")]
        if len(self.sheet.bank) == 1:
            # A reference alone.
            told.append(self.say("The merchant tells you the bank account."))
        return told

    def way(self, money: Money) -> dict[str, Any]:
        quote = next(r.quote for r in self.invoice.requests if r.asset == money.asset)
        rate = None
        if quote is not None:
            numbers = {"base": quote.base, "quote": quote.quote, "rate": self.number(quote.rate)}
            rate = self.say("1 %(base)s = %(rate)s %(quote)s") % numbers
        return {
            "amount": str(money),
            "chain": shape.chain_name(money.asset.chain),
            "address": pay_to(self.invoice, money.asset),
            "rate": rate,
        }

    def arrived(self) -> Iterable[dict[str, str]]:
        for transfer in self.sheet.transfers:
            if transfer.depth is not Depth.ORPHANED:
                yield {
                    "at": self.moment(transfer.block_at),
                    "chain": shape.chain_name(transfer.chain),
                    "tx": transfer.known_tx_hash or _MISSING,
                    "amount": shape.transferred(transfer),
                }

    def moment(self, at: datetime) -> str:
        return zones.said(at, self.sheet.zone)

    def day(self, on: Any) -> str:  # noqa: ANN401 - as the filter takes it
        return str(self.filters["day"](on))

    def number(self, value: Decimal) -> str:
        return str(self.filters["number"](value))

    def cash(self, value: Decimal) -> str:
        return str(self.filters["cash"](value, self.invoice.price))


def _party(label: str, name: str, lines: Iterable[str]) -> dict[str, Any]:
    return {"label": label, "name": name, "lines": [line for line in lines if line]}


def _qr(text: str) -> str:
    return segno.make(text, error="m", micro=False).svg_inline(
        border=4, dark="#000", light="#fff", lineclass=None, svgclass=None
    )
