"""A set of addresses made for a million of them, and for being asked a million times a second."""

from collections.abc import Iterable
from typing import Final

TAIL_DIGITS: Final = 15
"""How much of an address is kept: 60 bits, the most text that Python stores in 64 bytes."""


class AddressSet:
    """Addresses by their last digits, at about 100 bytes each.

    Whole ones would take half as much again. A stranger's address that ends like one of ours,
    one in 10^18, is taken for ours here; whose an address is, the database says.
    """

    __slots__ = ("tails",)

    def __init__(self, addresses: Iterable[str] = ()) -> None:
        """Hold these addresses, lower-case hex."""
        self.tails: set[str] = set()
        self.update(addresses)

    def update(self, addresses: Iterable[str]) -> None:
        """Hold these, too."""
        self.tails.update([address[-TAIL_DIGITS:] for address in addresses])

    def __contains__(self, address: str) -> bool:
        """Whether it is held."""
        return address[-TAIL_DIGITS:] in self.tails

    def __len__(self) -> int:
        """How many are held."""
        return len(self.tails)
