"""Every deposit address of one chain family, in memory."""

import asyncio
from collections.abc import Collection
from typing import Final

from counterfoil.chains.address_set import AddressSet
from counterfoil.core.invoice import DepositMode
from counterfoil.desk import watched
from counterfoil.desk.desk import Desk

LISTED_AT_MOST: Final = 2_000
"""Up to so many addresses the node is asked for them by name, beyond for everybody's transfers."""

ADDRESSES_PER_PAGE: Final = 20_000


class WatchedAddresses:
    """Every deposit address of one chain family, in memory; share it between chains.

    Made for a million: filled once, and then only with what was added since. Whose an address is,
    the database says about the few that are hit.
    """

    def __init__(self, desk: Desk, family: str) -> None:
        """Start empty; `refresh` fills it."""
        self._desk = desk
        self._family = family
        self._addresses = AddressSet()
        self._named: set[str] = set()
        """All of them, while they are few enough to be asked for by name."""
        self._highest: dict[DepositMode, dict[int, int]] = {"factory": {}, "hd": {}}
        self._refreshing = asyncio.Lock()

    def __contains__(self, address: str) -> bool:
        """Whether it is one of ours."""
        return address in self._addresses

    def __len__(self) -> int:
        """How many there are."""
        return len(self._addresses)

    async def refresh(self) -> None:
        """Learn the addresses that were added since."""
        async with self._refreshing:
            await asyncio.gather(*(self._learn(*known) for known in self._highest.items()))

    async def _learn(self, mode: DepositMode, highest: dict[int, int]) -> None:
        full = True
        while full:
            page = await watched.addresses_since(
                self._desk, self._family, mode, highest, ADDRESSES_PER_PAGE
            )
            added = [found.address for found in page]
            self._addresses.update(added)
            if len(self._addresses) <= LISTED_AT_MOST:
                self._named.update(added)
            else:
                self._named.clear()
            highest.update((found.org_id, found.number) for found in page)
            full = len(page) >= ADDRESSES_PER_PAGE

    def recipients(self, at_most: int) -> Collection[str] | AddressSet:
        """Whom to ask for: all of them by name, or everybody when that would be too many."""
        few = len(self._addresses) <= min(at_most, LISTED_AT_MOST)
        return frozenset(self._named) if few else self._addresses
