"""What has come in for an invoice so far, as a value: `counterfoil.core.reckoning` adds it up."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from counterfoil.core.money import Asset


@dataclass(frozen=True, slots=True)
class AssetTally:
    """What has come in of one asset so far, in base units.

    ``seen`` includes ``confirmed``, which includes ``final``.
    """

    asset: Asset
    seen_units: int
    confirmed_units: int
    final_units: int


@dataclass(frozen=True, slots=True)
class Tally:
    """All that has come in so far, totals and never increments, so telling it twice is harmless.

    ``paid_at`` is when enough had arrived (or the last arrival, while it is not enough, and where
    the money is what the invoice does not ask for).
    ``stray`` is what came and is registered with us, but not accepted by the invoice: it counts
    for nothing, and is `money` only where nothing else came. Once somebody signed for it there, it
    is ``taken``: it counts for nothing still, and is money whatever comes beside it. ``payers`` are
    those of the money, ``stray_payers`` are asset keys of what strayed with who sent it.
    """

    assets: tuple[AssetTally, ...] = ()
    payers: tuple[str, ...] = ()
    paid_at: datetime | None = None
    stray: tuple[AssetTally, ...] = ()
    stray_payers: tuple[tuple[str, str], ...] = ()
    taken: tuple[AssetTally, ...] = ()

    @property
    def money(self) -> tuple[AssetTally, ...]:
        """What is to be decided about: what was accepted or signed for, or what came instead."""
        return (*self.assets, *self.taken) or self.stray

    @property
    def instead(self) -> tuple[AssetTally, ...]:
        """What strayed here in the place of a payment, and nobody signed for so far."""
        return () if self.assets or self.taken else self.stray

    @property
    def aside(self) -> tuple[AssetTally, ...]:
        """What strayed here beside the payment: decided about only where somebody names it."""
        return self.stray if self.assets or self.taken else ()

    @property
    def unasked(self) -> tuple[AssetTally, ...]:
        """What the invoice does not ask for, whether somebody signed for it or not, by key."""
        return tuple(sorted((*self.taken, *self.stray), key=lambda a: a.asset.key))

    @property
    def everything(self) -> tuple[AssetTally, ...]:
        """All that came, the money first: each registered asset once."""
        return (*self.assets, *self.taken, *self.stray)

    @property
    def seen_any(self) -> bool:
        """Whether any money is on chain just now."""
        return any(a.seen_units for a in self.money)

    @property
    def settled(self) -> bool:
        """Whether everything seen of the money is confirmed."""
        return all(a.seen_units == a.confirmed_units for a in self.money)

    @property
    def final(self) -> bool:
        """Whether everything confirmed of the money is beyond any reorganisation."""
        return all(a.confirmed_units == a.final_units for a in self.money)

    @property
    def confirmed(self) -> tuple[tuple[str, int], ...]:
        """Asset key and confirmed units, sorted: what a screening covers."""
        return covering(self.money)


def covering(tallies: Iterable[AssetTally]) -> tuple[tuple[str, int], ...]:
    """Asset key and confirmed units, sorted, of these parts of a tally."""
    return tuple(sorted((a.asset.key, a.confirmed_units) for a in tallies))
