"""Fuellings: the moves by which the gas station supplies the wallets that sign."""

from datetime import datetime

from counterfoil.books.moves import SELECT_MOVE, MoveRow
from counterfoil.db.pool import Tx
from counterfoil.db.rows import one_row, one_value


async def last_fuel(tx: Tx, org_id: int, chain: str, destination: str) -> MoveRow | None:
    """The newest fuelling of a wallet."""
    return await one_row(
        tx,
        MoveRow,
        SELECT_MOVE
        + """
        WHERE org_id = %(org_id)s AND purpose = 'fuel' AND chain = %(chain)s
          AND destination = %(destination)s
        ORDER BY created_at DESC, move_id DESC LIMIT 1
        """,
        {"org_id": org_id, "chain": chain, "destination": destination},
    )


async def hold_has_work(tx: Tx, org_id: int, chain: str) -> bool:
    """Whether anything is to leave the hold wallet, which gets gas money only then."""
    found = await one_value(
        tx,
        bool,
        """
        SELECT EXISTS (SELECT FROM move
            WHERE org_id = %(org_id)s AND chain = %(chain)s AND from_hold
              AND status IN ('waiting', 'ready', 'signed'))
        """,
        {"org_id": org_id, "chain": chain},
    )
    return bool(found)


async def open_fuel_units(tx: Tx, org_id: int, chain: str) -> int:
    """The native coin that the gas station is still to hand out; parked ones are given up."""
    units = await one_value(
        tx,
        int,
        """
        SELECT coalesce(sum(amount_units), 0)::numeric(78, 0) FROM move
        WHERE org_id = %(org_id)s AND chain = %(chain)s AND purpose = 'fuel'
          AND status IN ('ready', 'signed')
        """,
        {"org_id": org_id, "chain": chain},
    )
    return units or 0


async def planned_units(tx: Tx, org_id: int, chain: str, since: datetime) -> int:
    """The native coin that the gas station was told to hand out since then, unless given up."""
    units = await one_value(
        tx,
        int,
        """
        SELECT coalesce(sum(amount_units), 0)::numeric(78, 0) FROM move
        WHERE org_id = %(org_id)s AND chain = %(chain)s AND purpose = 'fuel'
          AND status <> 'failed' AND created_at >= %(since)s
        """,
        {"org_id": org_id, "chain": chain, "since": since},
    )
    return units or 0
