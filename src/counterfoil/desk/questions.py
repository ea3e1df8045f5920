"""What a screening is asked about: whose money, how much, and by which policy it is judged."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from counterfoil.books import transfers
from counterfoil.core import reckoning
from counterfoil.core.assets import PEGGED_TO
from counterfoil.core.invoice import Invoice
from counterfoil.core.money import Money
from counterfoil.core.reckoning import Depth
from counterfoil.core.risk_facts import RateUsed
from counterfoil.core.risk_rules import Policy
from counterfoil.core.tally import AssetTally
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.rates import Snapshot, heard


@dataclass(frozen=True, slots=True)
class Payer:
    """Who paid, and on which chain.

    With ``passed_on`` it is the contract that a payer called, which handed the money on: it is
    asked about like the payer, and is none.
    """

    chain: str
    address: str
    passed_on: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """The money of one invoice, to be screened.

    ``covers`` is `Tally.confirmed`. ``amount_twd`` is None where a rate is missing or too old;
    ``rate`` is that of the largest part. ``party`` is whose invoice it is (`party_of`).
    """

    covers: tuple[tuple[str, int], ...]
    payers: tuple[Payer, ...]
    amount_twd: Decimal | None
    rate: RateUsed | None
    policy: Policy
    org_id: int
    party: str


def party_of(invoice: Invoice) -> str:
    """Whose invoice it is, as screening knows customers (specs/aml.md 2)."""
    return invoice.document.recipient_email.lower()


def payers_of(
    invoice: Invoice, rows: Sequence[transfers.TransferRow], tallies: Sequence[AssetTally]
) -> tuple[Payer, ...]:
    """Everybody who sent the money, also what is not confirmed yet: they pay for one bill."""
    money = {part.asset for part in tallies}
    return tuple(
        sorted(
            {
                payer
                for row in rows
                for payer in _senders(row)
                if row.depth is not Depth.ORPHANED
                and transfers.asset_of(row) in money
                and not reckoning.is_dust(transfers.asset_of(row), row.amount_units, invoice.policy)
            },
            key=lambda payer: (payer.address, payer.chain),
        )
    )


def _senders(row: transfers.TransferRow) -> list[Payer]:
    found = [Payer(row.chain, row.payer)]
    if row.attached_to is not None:
        found.append(Payer(row.chain, row.attached_to, passed_on=True))
    return found


class Worth:
    """What money is worth in New Taiwan dollars, each rate read once."""

    def __init__(self, desk: Desk, tx: Tx) -> None:
        """Know none yet."""
        self._desk = desk
        self._tx = tx
        self._known: dict[str, Snapshot | None] = {}

    async def of(self, money: Sequence[Money]) -> tuple[Decimal | None, RateUsed | None]:
        """The sum and the largest part's rate; None where any part of it has no fresh rate."""
        total, used, largest = Decimal(0), None, Decimal(-1)
        for part in money:
            rate = await self._rate(part.asset.symbol)
            if rate is None:
                return None, None
            worth = Decimal(part.units).scaleb(-part.asset.decimals) * rate.rate
            total += worth
            if worth > largest:
                largest = worth
                used = RateUsed(f"{rate.base}/TWD", rate.rate, rate.source, rate.observed_at)
        return total, used

    async def _rate(self, symbol: str) -> Snapshot | None:
        base = PEGGED_TO.get(symbol, symbol)
        if base not in self._known:
            now, age = self._desk.clock.now(), self._desk.rate_max_age_seconds
            found = await heard(self._tx, base, "TWD", now=now, max_age_seconds=age)
            self._known[base] = found[0] if found else None
        return self._known[base]
