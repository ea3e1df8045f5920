"""What people did to a move that stood still or a wallet that was frozen. Only ever grows."""

from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute


@dataclass(frozen=True, slots=True)
class MoveNote:
    """``what`` was done to a movement, by whom and why."""

    org_id: int
    note_id: UUID
    move_id: UUID
    at: datetime
    by: str
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class WalletNote:
    """``what`` was done to a wallet, by whom and why."""

    note_id: UUID
    chain: str
    address: str
    at: datetime
    by: str
    what: str
    reason: str


async def of_move(tx: Tx, org_id: int, move_id: UUID) -> list[MoveNote]:
    """What was done to a movement, oldest first."""
    return await all_rows(
        tx,
        MoveNote,
        """
        SELECT org_id, note_id, move_id, at, by, what, reason FROM move_note
        WHERE org_id = %(org_id)s AND move_id = %(move_id)s ORDER BY at, note_id
        """,
        {"org_id": org_id, "move_id": move_id},
    )


async def of_wallet(tx: Tx, chain: str, address: str) -> list[WalletNote]:
    """What was done to a wallet, oldest first."""
    return await all_rows(
        tx,
        WalletNote,
        """
        SELECT note_id, chain, address, at, by, what, reason FROM ingest.wallet_note
        WHERE chain = %(chain)s AND address = %(address)s ORDER BY at, note_id
        """,
        {"chain": chain, "address": address},
    )


async def add_to_move(tx: Tx, note: MoveNote) -> None:
    """Keep what was done to a movement."""
    await execute(
        tx,
        """
        INSERT INTO move_note (org_id, note_id, move_id, at, by, what, reason)
        VALUES (%(org_id)s, %(note_id)s, %(move_id)s, %(at)s, %(by)s, %(what)s, %(reason)s)
        """,
        asdict(note),
    )


async def add_to_wallet(tx: Tx, note: WalletNote) -> None:
    """Keep what was done to a wallet."""
    await execute(
        tx,
        """
        INSERT INTO ingest.wallet_note (note_id, chain, address, at, by, what, reason)
        VALUES (%(note_id)s, %(chain)s, %(address)s, %(at)s, %(by)s, %(what)s, %(reason)s)
        """,
        asdict(note),
    )
