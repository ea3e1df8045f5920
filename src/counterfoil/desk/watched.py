"""Whose addresses are watched."""

from collections.abc import Mapping

from counterfoil.books import cursors
from counterfoil.books.cursors import WatchedAddress
from counterfoil.core.invoice import DepositMode
from counterfoil.desk.desk import Desk

__all__ = ["WatchedAddress", "addresses_since"]


async def addresses_since(
    desk: Desk, family: str, mode: DepositMode, known: Mapping[int, int], limit: int
) -> list[WatchedAddress]:
    """A mode's addresses with numbers above those known, at most ``limit`` per organisation."""
    since = cursors.watched_since if mode == "factory" else cursors.children_since
    async with desk.database.looking() as tx:
        return await since(tx, family, known, limit)
