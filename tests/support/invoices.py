"""Invoices made by hand, for tests of what is decided about them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from counterfoil.core.assets import CHAINS
from counterfoil.core.invoice import (
    Document,
    Invoice,
    LineItem,
    PaymentRequest,
    Policy,
    Price,
    Quote,
    Screening,
    Status,
)
from counterfoil.core.money import Asset
from counterfoil.core.settlement import Settlement
from counterfoil.core.tally import AssetTally, Tally

NOON = datetime(2026, 6, 22, 12, tzinfo=UTC)
DEADLINE = NOON + timedelta(days=30)
MAKER, CHECKER, SIGNER = "user_maker", "user_checker", "user_signer"
OFFICERS = ("user_officer_one", "user_officer_two")
MERCHANT_ADDRESS = "0x" + "ab" * 20
CUSTOMER, STRANGER = "0x" + "c1" * 20, "0x" + "5a" * 20
USDC, USDT = CHAINS["arb"].accepted
ETH = CHAINS["arb"].native
DUE = 100_000_000
QUOTE = Quote("USDT", "TWD", Decimal("32.5"), "test", NOON, NOON)
"""A rate that an amount due was computed with."""


def invoice(status: Status = Status.APPROVAL_PENDING, **changes: object) -> Invoice:
    """An invoice over 100 USDT on Arbitrum, made by the maker, paid out to the merchant."""
    made = Invoice(
        org_id=1,
        invoice_id=UUID(int=7),
        number=42,
        dialect="kryptogo",
        client_id="client_demo",
        status=status,
        document=Document(
            recipient_name="Acme Buyer",
            recipient_email="buyer@example.com",
            organization_name="Merchant Ltd.",
            organization_email="finance@merchant.example",
            creator="finance-bot",
            items=(LineItem("Consulting", Decimal(1), Decimal(100), Decimal(0)),),
            issued_on=NOON.date(),
            terms_days=30,
            origin="https://merchant.example",
        ),
        price=Price("crypto", Decimal(100), None),
        requests=(PaymentRequest(USDT, DUE, None),),
        policy=Policy(),
        payout_to={"evm": MERCHANT_ADDRESS},
        deposit_address="0x" + "d0" * 20,
        callback_url=None,
        created_by=MAKER,
        created_at=NOON,
        deadline_at=DEADLINE,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # - any field may be changed


def paid(  # noqa: PLR0913 - every part of a tally can be chosen
    units: int = DUE,
    *,
    confirmed: int | None = None,
    final: int | None = None,
    asset: Asset = USDT,
    payers: tuple[str, ...] = (CUSTOMER,),
    at: datetime = NOON,
) -> Tally:
    """A tally of one asset, everything confirmed and final unless said otherwise."""
    deep = units if confirmed is None else confirmed
    return Tally(
        assets=(AssetTally(asset, units, deep, deep if final is None else final),),
        payers=payers,
        paid_at=at,
    )


def gone(
    swept: int = 0, paid_out: int = 0, returned: int = 0, *, asset: Asset = USDT
) -> Settlement:
    """What became of the money of one asset, as totals so far."""

    def units(count: int) -> tuple[tuple[str, int], ...]:
        return ((asset.key, count),) if count else ()

    return Settlement(units(swept), units(paid_out), units(returned))


def clean(tally: Tally) -> Screening:
    """A screening that found nothing in exactly this money."""
    return Screening(
        UUID(int=1), "clear", sanctioned=False, covers=tally.confirmed, payers=tally.payers
    )


def silent(tally: Tally) -> Screening:
    """A screening that found nothing in exactly this money, but lacked answers."""
    return Screening(
        UUID(int=3),
        "manual_review",
        sanctioned=False,
        covers=tally.confirmed,
        payers=tally.payers,
        degraded=True,
    )


def dirty(tally: Tally, *, sanctioned: bool = False) -> Screening:
    """A screening that found something in exactly this money."""
    return Screening(
        UUID(int=2), "aml_hold", sanctioned=sanctioned, covers=tally.confirmed, payers=tally.payers
    )
