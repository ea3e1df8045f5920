"""Nonces that the signer signed for movements of ours, while nothing was kept of it.

A worker that dies after the signer's answer leaves one. Nothing else may take that nonce, so the
wallet stands still until it is given to the same movements again, or cancelled.
"""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute, one_row, one_value

Ending = Literal["kept", "cancelled", "gone", "landed"]


@dataclass(frozen=True, slots=True)
class LostSignature:
    """One nonce of a wallet, and what the signer says that it signed with it.

    ``ended`` None: nobody knows yet what becomes of the nonce. ``kept``: given to the same
    movements again. ``cancelled``: a transaction of ours that does nothing has used it up.
    ``gone``: something else has. ``landed``: one of ``tx_hashes`` is on the chain after all.
    ``block_number`` is the finalized block at which the last three were established.
    """

    chain: str
    wallet: str
    nonce: int
    org_id: int
    move_ids: list[UUID]
    tx_hashes: list[str]
    found_at: datetime
    ended: Ending | None = None
    ended_at: datetime | None = None
    block_number: int | None = None


_SELECT: Final = """
    SELECT chain, wallet, nonce, org_id, move_ids, tx_hashes, found_at, ended, ended_at,
        block_number
    FROM ingest.lost_signature
    """


async def add(tx: Tx, found: LostSignature) -> bool:
    """Write down a lost signature unless it is known; answers whether it was new."""
    added = await execute(
        tx,
        """
        INSERT INTO ingest.lost_signature (chain, wallet, nonce, org_id, move_ids, tx_hashes,
            found_at)
        VALUES (%(chain)s, %(wallet)s, %(nonce)s, %(org_id)s, %(move_ids)s, %(tx_hashes)s,
            %(found_at)s)
        ON CONFLICT (chain, wallet, nonce) DO NOTHING
        """,
        asdict(found),
    )
    return added == 1


async def get(tx: Tx, chain: str, wallet: str, nonce: int) -> LostSignature | None:
    """What was lost of one nonce."""
    return await one_row(
        tx,
        LostSignature,
        _SELECT + "WHERE chain = %(chain)s AND wallet = %(wallet)s AND nonce = %(nonce)s",
        {"chain": chain, "wallet": wallet, "nonce": nonce},
    )


async def open_ones(tx: Tx, chain: str | None = None) -> list[LostSignature]:
    """Those of which nobody knows yet what becomes of them, on one chain or on all."""
    return await all_rows(
        tx,
        LostSignature,
        _SELECT
        + """
        WHERE ended IS NULL AND (%(chain)s::text IS NULL OR chain = %(chain)s)
        ORDER BY chain, wallet, nonce
        """,
        {"chain": chain},
    )


async def of_move(tx: Tx, org_id: int, move_id: UUID) -> list[LostSignature]:
    """Every nonce that was signed for a movement and lost."""
    return await all_rows(
        tx,
        LostSignature,
        _SELECT
        + """
        WHERE org_id = %(org_id)s AND move_ids @> ARRAY[%(move_id)s]::uuid[] ORDER BY nonce
        """,
        {"org_id": org_id, "move_id": move_id},
    )


async def of_given_up(
    tx: Tx, org_id: int, invoice_id: UUID, chain: str, contract: str
) -> list[LostSignature]:
    """Lost nonces of an invoice's movements of an asset that were given up, unless used up since.

    Giving up a movement does not call back bytes that somebody may still have.
    """
    return await all_rows(
        tx,
        LostSignature,
        _SELECT  # noqa: S608 - a constant of this file
        + """
        WHERE org_id = %(org_id)s AND (ended IS NULL OR ended = 'landed')
          AND move_ids && ARRAY(
              SELECT move_id FROM move WHERE org_id = %(org_id)s AND invoice_id = %(invoice_id)s
                 AND chain = %(chain)s AND contract = %(contract)s AND status = 'failed')
        ORDER BY chain, wallet, nonce
        """,
        {"org_id": org_id, "invoice_id": invoice_id, "chain": chain, "contract": contract},
    )


async def end(  # noqa: PLR0913, PLR0917 - which nonce, and what became of it, where and when
    tx: Tx,
    chain: str,
    wallet: str,
    nonce: int,
    ended: Ending,
    at: datetime,
    block_number: int | None = None,
) -> bool:
    """Write down what became of a nonce that is still open; answers whether it was."""
    changed = await execute(
        tx,
        """
        UPDATE ingest.lost_signature SET ended = %(ended)s, ended_at = %(at)s,
            block_number = %(block_number)s
        WHERE chain = %(chain)s AND wallet = %(wallet)s AND nonce = %(nonce)s AND ended IS NULL
        """,
        {
            "chain": chain,
            "wallet": wallet,
            "nonce": nonce,
            "ended": ended,
            "at": at,
            "block_number": block_number,
        },
    )
    return changed == 1


async def found_again(  # noqa: PLR0913, PLR0917 - which nonce, what for, and when
    tx: Tx, chain: str, wallet: str, nonce: int, move_ids: Collection[UUID], at: datetime
) -> None:
    """Write down that a nonce was given to these movements after all, whatever was known of it."""
    await execute(
        tx,
        """
        UPDATE ingest.lost_signature SET ended = 'kept', ended_at = %(at)s, block_number = NULL,
            move_ids = %(move_ids)s
        WHERE chain = %(chain)s AND wallet = %(wallet)s AND nonce = %(nonce)s
        """,
        {
            "chain": chain,
            "wallet": wallet,
            "nonce": nonce,
            "move_ids": list(move_ids),
            "at": at,
        },
    )


async def landed_after_all(tx: Tx, found: LostSignature) -> None:
    """Write down that a payment was made with a nonce, whatever was known of that one before."""
    await execute(
        tx,
        """
        INSERT INTO ingest.lost_signature AS known (chain, wallet, nonce, org_id, move_ids,
            tx_hashes, found_at, ended, ended_at, block_number)
        VALUES (%(chain)s, %(wallet)s, %(nonce)s, %(org_id)s, %(move_ids)s, %(tx_hashes)s,
            %(found_at)s, %(ended)s, %(ended_at)s, %(block_number)s)
        ON CONFLICT (chain, wallet, nonce) DO UPDATE SET
            move_ids = known.move_ids || excluded.move_ids,
            tx_hashes = known.tx_hashes || excluded.tx_hashes, ended = excluded.ended,
            ended_at = excluded.ended_at, block_number = excluded.block_number
        WHERE known.ended IS DISTINCT FROM 'landed'
        """,
        asdict(found),
    )


async def held_for_dead(tx: Tx, found: LostSignature) -> None:
    """Write down that movements were signed with a nonce that is dead and get another one.

    So that it is looked at once more before. What is known of the nonce already stays.
    """
    await execute(
        tx,
        """
        INSERT INTO ingest.lost_signature AS known (chain, wallet, nonce, org_id, move_ids,
            tx_hashes, found_at, ended, ended_at)
        VALUES (%(chain)s, %(wallet)s, %(nonce)s, %(org_id)s, %(move_ids)s, %(tx_hashes)s,
            %(found_at)s, %(ended)s, %(ended_at)s)
        ON CONFLICT (chain, wallet, nonce) DO UPDATE SET ended = 'gone'
        WHERE known.ended = 'kept'
        """,
        asdict(found),
    )


async def seen_gone(tx: Tx, chain: str, wallet: str, nonce: int, at: datetime) -> datetime:
    """Remember that a nonce looks consumed by something else; answers since when it does."""
    params = {"chain": chain, "wallet": wallet, "nonce": nonce, "at": at}
    await execute(
        tx,
        """
        INSERT INTO ingest.gone_nonce (chain, wallet, nonce, seen_at)
        VALUES (%(chain)s, %(wallet)s, %(nonce)s, %(at)s)
        ON CONFLICT (chain, wallet, nonce) DO NOTHING
        """,
        params,
    )
    since = await one_value(
        tx,
        datetime,
        """
        SELECT seen_at FROM ingest.gone_nonce
        WHERE chain = %(chain)s AND wallet = %(wallet)s AND nonce = %(nonce)s
        """,
        params,
    )
    return since or at


async def seen_otherwise(tx: Tx, chain: str, wallet: str, nonce: int) -> None:
    """Forget that a nonce looked consumed by something else."""
    await execute(
        tx,
        """
        DELETE FROM ingest.gone_nonce
        WHERE chain = %(chain)s AND wallet = %(wallet)s AND nonce = %(nonce)s
        """,
        {"chain": chain, "wallet": wallet, "nonce": nonce},
    )
