"""What tokens were seen to run, and which organisation lets its money go on under a change."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, execute, execute_many


@dataclass(frozen=True, slots=True)
class SeenCode:
    """One version of a token; ``behind`` are the contracts that it hands its calls to."""

    chain: str
    contract: str
    fingerprint: str
    behind: list[str]
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Accepted:
    """Somebody's word that an organisation's money goes on under a version."""

    org_id: int
    chain: str
    contract: str
    fingerprint: str
    accepted_by: str
    reason: str
    accepted_at: datetime


async def known(tx: Tx, chain: str) -> list[SeenCode]:
    """Every version of every token of a chain that was ever seen, the oldest first."""
    return await all_rows(
        tx,
        SeenCode,
        """
        SELECT chain, contract, fingerprint, behind, seen_at FROM ingest.token_code
         WHERE chain = %(chain)s ORDER BY seen_at, contract, fingerprint
        """,
        {"chain": chain},
    )


async def remember(tx: Tx, seen: Sequence[SeenCode]) -> None:
    """Write versions down; the first of a token is no change.

    Where two are told at once as the first, the second one is left out and found again.
    """
    await execute_many(
        tx,
        """
        INSERT INTO ingest.token_code (chain, contract, fingerprint, behind, is_first, seen_at)
        SELECT %(chain)s, %(contract)s, %(fingerprint)s, %(behind)s,
               NOT EXISTS (SELECT FROM ingest.token_code
                            WHERE chain = %(chain)s AND contract = %(contract)s), %(seen_at)s
            ON CONFLICT DO NOTHING
        """,
        [asdict(one) for one in seen],
    )


_CHANGED: Final = """
    SELECT chain, contract, fingerprint, behind, seen_at
      FROM ingest.token_code c
     WHERE NOT is_first
       AND seen_at >= (SELECT created_at FROM org WHERE org_id = %(org_id)s)
       AND NOT EXISTS (SELECT FROM token_code_accepted a
                        WHERE a.org_id = %(org_id)s
                          AND (a.chain, a.contract, a.fingerprint)
                            = (c.chain, c.contract, c.fingerprint))
    """


async def changed(tx: Tx, org_id: int) -> list[SeenCode]:
    """The changes that an organisation has not accepted, the oldest first.

    What changed before it was opened is none to it.
    """
    return await all_rows(
        tx,
        SeenCode,
        _CHANGED + "ORDER BY seen_at, chain, contract, fingerprint",
        {"org_id": org_id},
    )


async def every_change(tx: Tx) -> list[SeenCode]:
    """The changes that some organisation has not accepted, the oldest first."""
    return await all_rows(
        tx,
        SeenCode,
        """
        SELECT chain, contract, fingerprint, behind, seen_at
          FROM ingest.token_code c
         WHERE NOT is_first AND EXISTS (
                SELECT FROM org WHERE org.created_at <= c.seen_at AND NOT EXISTS (
                    SELECT FROM token_code_accepted a
                     WHERE a.org_id = org.org_id
                       AND (a.chain, a.contract, a.fingerprint)
                         = (c.chain, c.contract, c.fingerprint)))
         ORDER BY seen_at, chain, contract, fingerprint
        """,
        {},
    )


async def forget_unaccepted(tx: Tx, chain: str, keep: int) -> None:
    """Keep of each token of a chain the newest changes, so many, that no organisation accepted."""
    await execute(
        tx,
        """
        DELETE FROM ingest.token_code AS old USING (
            SELECT contract, fingerprint, row_number() OVER (
                       PARTITION BY contract ORDER BY seen_at DESC, fingerprint) AS place
              FROM ingest.token_code c
             WHERE chain = %(chain)s AND NOT is_first
               AND NOT EXISTS (SELECT FROM token_code_accepted a
                                WHERE (a.chain, a.contract, a.fingerprint)
                                    = (c.chain, c.contract, c.fingerprint))) AS unaccepted
         WHERE old.chain = %(chain)s AND place > %(keep)s
           AND (old.contract, old.fingerprint) = (unaccepted.contract, unaccepted.fingerprint)
        """,
        {"chain": chain, "keep": keep},
    )


async def accepted(tx: Tx, org_id: int) -> list[Accepted]:
    """The versions under which an organisation lets its money go on, the newest word first."""
    return await all_rows(
        tx,
        Accepted,
        """
        SELECT org_id, chain, contract, fingerprint, accepted_by, reason, accepted_at
          FROM token_code_accepted WHERE org_id = %(org_id)s
         ORDER BY accepted_at DESC, chain, contract, fingerprint
        """,
        {"org_id": org_id},
    )


async def withdraw(tx: Tx, org_id: int, version: tuple[str, str, str]) -> bool:
    """Take an acceptance back; False where there is none."""
    gone = await execute(
        tx,
        """
        DELETE FROM token_code_accepted
         WHERE org_id = %(org_id)s AND chain = %(chain)s AND contract = %(contract)s
           AND fingerprint = %(fingerprint)s
        """,
        {"org_id": org_id, **dict(zip(("chain", "contract", "fingerprint"), version, strict=True))},
    )
    return gone == 1


async def accept(tx: Tx, accepted: Accepted) -> bool:
    """Let an organisation's money go on; False where it did already."""
    added = await execute(
        tx,
        """
        INSERT INTO token_code_accepted (org_id, chain, contract, fingerprint, accepted_by,
            reason, accepted_at)
        VALUES (%(org_id)s, %(chain)s, %(contract)s, %(fingerprint)s, %(accepted_by)s,
            %(reason)s, %(accepted_at)s)
        ON CONFLICT DO NOTHING
        """,
        asdict(accepted),
    )
    return added == 1
