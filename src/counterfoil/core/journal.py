"""Double entry. A posting names both sides, so an unbalanced one cannot be written down."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from counterfoil.core.invoice import DepositMode
from counterfoil.core.money import Asset, Money

LedgerAccount = Literal[
    "outside:payer",
    "outside:merchant",
    "outside:network",
    "outside:funding",
    "outside:token",
    "deposit",
    "child",
    "pool",
    "pool:coin",
    "hold",
    "hold:coin",
    "gas",
    "operator",
]
"""Where value can be. ``deposit`` is an invoice's address at the factory, ``child`` the one that
has a key of its own; a child's native coin is gas money only. ``outside:*`` may go below zero, as
its money came from elsewhere; the others are places of ours, and never can. The pool wallet's
native coin is two accounts: ``pool`` is its gas money, ``pool:coin`` what customers paid, so that
neither is spent for the other; the hold wallet's likewise. ``outside:token`` is what a token's own
contract kept of what was sent."""

DEPOSITED: Final[Mapping[DepositMode, LedgerAccount]] = {"factory": "deposit", "hd": "child"}
"""Where money lies that was paid to an invoice's address of a mode."""


def pool_account(asset: Asset) -> LedgerAccount:
    """The account of customers' money in the pool wallet."""
    return "pool:coin" if asset.is_native else "pool"


def hold_account(asset: Asset) -> LedgerAccount:
    """The account of customers' money in the hold wallet."""
    return "hold:coin" if asset.is_native else "hold"


@dataclass(frozen=True, slots=True)
class Posting:
    """Value that went from one ledger account to another; positive, one asset.

    Raises ``ValueError`` for zero or for two equal sides.
    """

    source: LedgerAccount
    destination: LedgerAccount
    money: Money

    def __post_init__(self) -> None:
        """Refuse what would not be an entry at all."""
        if self.source == self.destination or self.money.units == 0:
            msg = f"no entry: {self.money} from {self.source} to {self.destination}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """Postings that belong together, and the fact that caused them.

    ``cause`` is unique within the organisation (such as ``transfer:arb:0x...:3`` or
    ``move:<id>``), which is what makes booking the same fact twice impossible. ``block_number`` is
    the block of the postings' chain in which it happened, so that the books can be read as they
    stood at any block.
    """

    cause: str
    invoice_id: UUID | None
    postings: tuple[Posting, ...]
    at: datetime
    block_number: int
