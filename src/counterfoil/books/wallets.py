"""Our wallets on each chain, and every transaction that was ever signed for them."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final, Literal

from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, all_values, execute, one_row, one_value

WalletRole = Literal["operator", "pool", "hold", "gas", "child"]
"""``child``: a deposit address with a key of its own; all others are one of a kind."""


@dataclass(frozen=True, slots=True)
class WalletRow:
    """One wallet. While ``frozen_reason`` is set, nothing new is signed for it."""

    chain: str
    address: str
    org_id: int
    role: WalletRole
    next_nonce: int
    frozen_reason: str | None


@dataclass(frozen=True, slots=True)
class NewTx:
    """Signed bytes to be kept before any node sees them.

    ``attempt`` numbers the siblings of one nonce, which differ in their fees alone. One that
    ``cancels`` does nothing but use its nonce up. ``data_fee_wei`` is what was reckoned beside gas.
    """

    chain: str
    wallet: str
    nonce: int
    attempt: int
    tx_hash: str
    raw: bytes
    gas_limit: int
    max_fee_wei: int
    tip_wei: int
    signed_at: datetime
    cancels: bool = False
    data_fee_wei: int = 0


@dataclass(frozen=True, slots=True)
class TxRow:
    """A signed transaction as it stands.

    ``signed``: no node took it yet, and ``send_error`` says why. ``sent``: a node has it.
    ``final`` and ``reverted``: beyond any reorganisation; ``empty`` as well, where it succeeded and
    its token moved nothing. ``replaced``: its nonce was consumed
    by another transaction, a sibling or somebody else's, so it can never land.
    ``sent_at`` is when it was last offered to a node. ``gone_at_block`` is the finalized block at
    which its nonce was consumed and none of its siblings was mined. ``bump_error`` is why no
    dearer sibling was signed for it, ``bump_after`` when to try that again. ``doubt`` is why the
    end that a node tells of it or of a sibling is not believed.
    """

    chain: str
    wallet: str
    nonce: int
    attempt: int
    tx_hash: str
    raw: bytes
    gas_limit: int
    max_fee_wei: int
    tip_wei: int
    cancels: bool
    status: Literal["signed", "sent", "final", "reverted", "replaced", "empty"]
    signed_at: datetime
    sent_at: datetime | None
    send_error: str | None
    block_number: int | None
    fee_wei: int | None
    gone_at_block: int | None = None
    bump_error: str | None = None
    bump_after: datetime | None = None
    data_fee_wei: int = 0
    doubt: str | None = None

    @property
    def cost_wei(self) -> int:
        """The most that it was reckoned to cost."""
        return self.gas_limit * self.max_fee_wei + self.data_fee_wei


_SELECT_WALLET: Final = """
    SELECT chain, address, org_id, role, next_nonce, frozen_reason FROM ingest.wallet
    """

_SELECT_TX: Final = """
    SELECT chain, wallet, nonce, attempt, tx_hash, raw, gas_limit, max_fee_wei,
        tip_wei, cancels, status, signed_at, sent_at, send_error, block_number,
        fee_wei, gone_at_block, bump_error, bump_after, data_fee_wei, doubt
    FROM ingest.chain_tx
    """


async def ensure(tx: Tx, wallet: WalletRow) -> bool:
    """Write down a wallet unless it is known; its nonce is then left alone."""
    added = await execute(
        tx,
        """
        INSERT INTO ingest.wallet (chain, address, org_id, role, next_nonce)
        VALUES (%(chain)s, %(address)s, %(org_id)s, %(role)s, %(next_nonce)s)
        ON CONFLICT (chain, address) DO NOTHING
        """,
        {
            "chain": wallet.chain,
            "address": wallet.address,
            "org_id": wallet.org_id,
            "role": wallet.role,
            "next_nonce": wallet.next_nonce,
        },
    )
    return added == 1


async def of_chain(tx: Tx, chain: str) -> list[WalletRow]:
    """Every wallet on a chain but the children, by organisation and address."""
    return await all_rows(
        tx,
        WalletRow,
        _SELECT_WALLET + "WHERE chain = %(chain)s AND role <> 'child' ORDER BY org_id, address",
        {"chain": chain},
    )


async def all_wallets(tx: Tx) -> list[WalletRow]:
    """Every wallet on every chain but the children, by organisation, chain and address."""
    query = _SELECT_WALLET + "WHERE role <> 'child' ORDER BY org_id, chain, address"
    return await all_rows(tx, WalletRow, query, {})


async def get(tx: Tx, chain: str, address: str) -> WalletRow | None:
    """One wallet, unlocked."""
    return await one_row(
        tx,
        WalletRow,
        _SELECT_WALLET + "WHERE chain = %(chain)s AND address = %(address)s",
        {"chain": chain, "address": address},
    )


async def lock(tx: Tx, chain: str, address: str) -> WalletRow | None:
    """One wallet, held until the transaction ends; locked after any invoice."""
    return await one_row(
        tx,
        WalletRow,
        _SELECT_WALLET + "WHERE chain = %(chain)s AND address = %(address)s FOR UPDATE",
        {"chain": chain, "address": address},
    )


async def lock_all(tx: Tx, chain: str, org_id: int) -> list[WalletRow]:
    """An organisation's wallets on a chain but the children, held in the order of addresses."""
    return await all_rows(
        tx,
        WalletRow,
        _SELECT_WALLET
        + """
        WHERE chain = %(chain)s AND org_id = %(org_id)s AND role <> 'child'
        ORDER BY address FOR UPDATE
        """,
        {"chain": chain, "org_id": org_id},
    )


async def advance(tx: Tx, wallet: WalletRow) -> None:
    """Use up the locked wallet's next nonce."""
    await execute(
        tx,
        """
        UPDATE ingest.wallet SET next_nonce = %(next_nonce)s + 1
        WHERE chain = %(chain)s AND address = %(address)s
        """,
        {"chain": wallet.chain, "address": wallet.address, "next_nonce": wallet.next_nonce},
    )


async def freeze(tx: Tx, chain: str, address: str, reason: str) -> bool:
    """Stop a wallet; the first reason stays. Answers whether it was not frozen before."""
    frozen = await execute(
        tx,
        """
        UPDATE ingest.wallet SET frozen_reason = %(reason)s
        WHERE chain = %(chain)s AND address = %(address)s AND frozen_reason IS NULL
        """,
        {"chain": chain, "address": address, "reason": reason},
    )
    return frozen == 1


async def thaw(tx: Tx, chain: str, address: str, next_nonce: int) -> None:
    """Let a locked wallet sign again, from ``next_nonce`` on."""
    await execute(
        tx,
        """
        UPDATE ingest.wallet SET frozen_reason = NULL, next_nonce = %(next_nonce)s
        WHERE chain = %(chain)s AND address = %(address)s
        """,
        {"chain": chain, "address": address, "next_nonce": next_nonce},
    )


async def frozen(tx: Tx) -> list[WalletRow]:
    """Every wallet that is frozen."""
    return await all_rows(
        tx,
        WalletRow,
        _SELECT_WALLET + "WHERE frozen_reason IS NOT NULL ORDER BY org_id, chain, address",
        {},
    )


async def add_tx(tx: Tx, new: NewTx) -> None:
    """Keep signed bytes. A nonce's second lineage or a known hash is a ``UniqueViolation``."""
    await execute(
        tx,
        """
        INSERT INTO ingest.chain_tx (chain, wallet, nonce, attempt, tx_hash, raw, gas_limit,
            max_fee_wei, tip_wei, status, signed_at, cancels, data_fee_wei)
        VALUES (%(chain)s, %(wallet)s, %(nonce)s, %(attempt)s, %(tx_hash)s, %(raw)s,
            %(gas_limit)s, %(max_fee_wei)s, %(tip_wei)s, 'signed', %(signed_at)s, %(cancels)s,
            %(data_fee_wei)s)
        """,
        asdict(new),
    )


async def of_nonce(tx: Tx, chain: str, wallet: str, nonce: int) -> list[TxRow]:
    """All siblings of one nonce, oldest first."""
    return await all_rows(
        tx,
        TxRow,
        _SELECT_TX
        + """
        WHERE chain = %(chain)s AND wallet = %(wallet)s AND nonce = %(nonce)s ORDER BY attempt
        """,
        {"chain": chain, "wallet": wallet, "nonce": nonce},
    )


async def no_bump(tx: Tx, row: TxRow, error: str, until: datetime) -> None:
    """Remember why no dearer sibling was signed, and when to try again."""
    await execute(
        tx,
        """
        UPDATE ingest.chain_tx SET bump_error = %(error)s, bump_after = %(until)s
        WHERE chain = %(chain)s AND tx_hash = %(tx_hash)s AND status IN ('signed', 'sent')
        """,
        {"chain": row.chain, "tx_hash": row.tx_hash, "error": error, "until": until},
    )


async def open_txs(tx: Tx, chain: str | None = None) -> list[TxRow]:
    """Every transaction whose end is not known, in the order in which a chain can take them.

    Of one chain, or of all.
    """
    return await all_rows(
        tx,
        TxRow,
        _SELECT_TX
        + """
        WHERE (%(chain)s::text IS NULL OR chain = %(chain)s) AND status IN ('signed', 'sent')
        ORDER BY chain, wallet, nonce, attempt
        """,
        {"chain": chain},
    )


async def chains_at_work(tx: Tx) -> list[str]:
    """The chains on which something is to be signed, sent, followed or found out; no others."""
    return await all_values(
        tx,
        str,
        """
        SELECT chain FROM move WHERE status IN ('ready', 'signed')
         UNION SELECT chain FROM ingest.chain_tx WHERE status IN ('signed', 'sent')
         UNION SELECT chain FROM ingest.lost_signature WHERE ended IS NULL
         UNION SELECT l.chain FROM ingest.lost_signature l JOIN move m USING (org_id)
                WHERE l.ended = 'landed' AND m.move_id = ANY(l.move_ids) AND m.status = 'parked'
        """,
        {},
    )


async def due_txs(tx: Tx, chain: str, now: datetime) -> list[TxRow]:
    """The unfinished transactions that should be offered to a node now.

    The pause since the last offer is as long as the transaction was old then, from five
    seconds to five minutes: so pauses double, and no counter is kept.
    """
    return await all_rows(
        tx,
        TxRow,
        _SELECT_TX
        + """
        WHERE chain = %(chain)s AND status IN ('signed', 'sent')
          AND (sent_at IS NULL OR %(now)s >= sent_at + least(greatest(sent_at - signed_at,
               interval '5 seconds'), interval '5 minutes'))
        ORDER BY wallet, nonce, attempt
        """,
        {"chain": chain, "now": now},
    )


async def may_be_sent(tx: Tx, chain: str, tx_hashes: Collection[str]) -> set[str]:
    """Which of these are unfinished still; written back as they are.

    Whoever cannot write must not send either, so this is no mere look (specs/reliability.md 5.2).
    """
    found = await all_values(
        tx,
        str,
        """
        UPDATE ingest.chain_tx SET sent_at = sent_at
         WHERE chain = %(chain)s AND tx_hash = ANY(%(tx_hashes)s::text[])
           AND status IN ('signed', 'sent')
        RETURNING tx_hash
        """,
        {"chain": chain, "tx_hashes": list(tx_hashes)},
    )
    return set(found)


async def note_sent(tx: Tx, chain: str, tx_hash: str, error: str | None, at: datetime) -> None:
    """Remember how a node took the bytes; what a node once took stays ``sent``."""
    await execute(
        tx,
        """
        UPDATE ingest.chain_tx SET sent_at = %(at)s, send_error = %(error)s,
            status = CASE WHEN %(error)s::text IS NULL THEN 'sent' ELSE status END
        WHERE chain = %(chain)s AND tx_hash = %(tx_hash)s AND status IN ('signed', 'sent')
        """,
        {"chain": chain, "tx_hash": tx_hash, "error": error, "at": at},
    )


async def note_doubt(tx: Tx, chain: str, tx_hash: str, reason: str | None) -> None:
    """Remember why the end that a node tells is not believed; None for no doubt."""
    await execute(
        tx,
        """
        UPDATE ingest.chain_tx SET doubt = %(reason)s
        WHERE chain = %(chain)s AND tx_hash = %(tx_hash)s AND status IN ('signed', 'sent')
        """,
        {"chain": chain, "tx_hash": tx_hash, "reason": reason},
    )


async def find_tx(tx: Tx, chain: str, tx_hash: str) -> TxRow | None:
    """A transaction of ours by its hash, unlocked."""
    return await one_row(
        tx,
        TxRow,
        _SELECT_TX + "WHERE chain = %(chain)s AND tx_hash = %(tx_hash)s",
        {"chain": chain, "tx_hash": tx_hash},
    )


async def end_tx(  # noqa: PLR0913 - the columns that are known at the end
    tx: Tx,
    ended: TxRow,
    *,
    status: Literal["final", "reverted", "empty"],
    block_number: int,
    fee_wei: int,
    at: datetime,
) -> None:
    """Write down how a transaction ended; its siblings can never land any more."""
    params = {
        "chain": ended.chain,
        "wallet": ended.wallet,
        "nonce": ended.nonce,
        "tx_hash": ended.tx_hash,
        "status": status,
        "block_number": block_number,
        "fee_wei": fee_wei,
        "at": at,
    }
    await execute(
        tx,
        """
        UPDATE ingest.chain_tx SET status = %(status)s, block_number = %(block_number)s,
            fee_wei = %(fee_wei)s, final_at = %(at)s, send_error = NULL, doubt = NULL
        WHERE chain = %(chain)s AND tx_hash = %(tx_hash)s
        """,
        params,
    )
    await execute(
        tx,
        """
        UPDATE ingest.chain_tx SET status = 'replaced', final_at = %(at)s, doubt = NULL
        WHERE chain = %(chain)s AND wallet = %(wallet)s AND nonce = %(nonce)s
          AND tx_hash <> %(tx_hash)s
        """,
        params,
    )


async def consume(tx: Tx, dead: TxRow, at_block: int, at: datetime) -> None:
    """Write down that a nonce was consumed by something else than what we signed with it.

    ``at_block`` is the finalized block at which that was established.
    """
    await execute(
        tx,
        """
        UPDATE ingest.chain_tx SET status = 'replaced', final_at = %(at)s, send_error = NULL,
            doubt = NULL, gone_at_block = %(at_block)s
        WHERE chain = %(chain)s AND wallet = %(wallet)s AND nonce = %(nonce)s
          AND status IN ('signed', 'sent')
        """,
        {
            "chain": dead.chain,
            "wallet": dead.wallet,
            "nonce": dead.nonce,
            "at": at,
            "at_block": at_block,
        },
    )


async def follow_again(tx: Tx, chain: str, tx_hash: str) -> None:
    """Take back that a transaction can never land: it has."""
    await execute(
        tx,
        """
        UPDATE ingest.chain_tx SET status = 'sent', final_at = NULL, gone_at_block = NULL
        WHERE chain = %(chain)s AND tx_hash = %(tx_hash)s AND status = 'replaced'
        """,
        {"chain": chain, "tx_hash": tx_hash},
    )


async def promised_gas_wei(tx: Tx, chain: str, wallet: str) -> int:
    """The most that a wallet's unfinished transactions can cost, with what is beside gas."""
    wei = await one_value(
        tx,
        int,
        """
        SELECT coalesce(sum(cost), 0)::numeric(78, 0) FROM (
            SELECT max(gas_limit * max_fee_wei + data_fee_wei) AS cost FROM ingest.chain_tx
            WHERE chain = %(chain)s AND wallet = %(wallet)s AND status IN ('signed', 'sent')
            GROUP BY nonce) AS lineage
        """,
        {"chain": chain, "wallet": wallet},
    )
    return wei or 0


async def settled_below(tx: Tx, chain: str, wallet: str, nonce: int) -> bool:
    """Whether exactly the wallet's transactions below ``nonce`` have been settled here."""
    strays = await one_value(
        tx,
        int,
        """
        SELECT count(*) FROM ingest.chain_tx
        WHERE chain = %(chain)s AND wallet = %(wallet)s
          AND ((nonce < %(nonce)s AND status IN ('signed', 'sent'))
               OR (nonce >= %(nonce)s AND status IN ('final', 'reverted', 'empty')))
        """,
        {"chain": chain, "wallet": wallet, "nonce": nonce},
    )
    return strays == 0
