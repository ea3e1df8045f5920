"""Tokens that came in: one row per credit key ``(chain, tx_hash, log_index)`` of an organisation.

Only the watcher that holds a chain's lease writes rows of that chain, and it writes an invoice's
rows only while it holds the invoice's lock (specs/chains.md 6.2).
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import Final, Literal
from uuid import UUID

from counterfoil.core.assets import TOP_LEVEL, known_asset
from counterfoil.core.invoice import DepositMode
from counterfoil.core.money import Asset
from counterfoil.core.reckoning import Depth, Received
from counterfoil.db.pool import Tx
from counterfoil.db.rows import all_rows, as_records, execute, execute_many, one_value

Key = tuple[str, int]
"""Transaction hash and log index: with the chain, what is credited at most once."""


NOBODY: Final = "0x" + "0" * 40
"""Who paid what nobody is known to have paid."""

_UNKNOWN: Final = "internal:"


def unknown_hash(block_number: int, address: str) -> str:
    """What stands in place of a transaction's hash for coin that came with none that we know.

    One for each block and address, so that it is found again and never counted twice.
    """
    return f"{_UNKNOWN}{block_number}:{address}"


def address_of_unknown(name: str) -> str:
    """The address that stands in what `unknown_hash` made."""
    return name.rsplit(":", 1)[-1]


@dataclass(frozen=True, slots=True)
class TransferRow:
    """One transfer to an invoice's address.

    ``block_at`` is the time of the block it stands in now, ``first_seen_at`` when we first saw
    its transaction in any block, also in one that a reorg removed since. ``deposit_mode`` says
    which of the invoice's addresses it went to. ``attached_...`` is the
    transaction that a person gave to one that had none, with its sender and whom it called.
    """

    org_id: int
    chain: str
    tx_hash: str
    log_index: int
    invoice_id: UUID
    contract: str
    from_address: str
    amount_units: int
    block_number: int
    block_hash: str
    block_at: datetime
    first_seen_at: datetime
    depth: Depth
    attached_tx_hash: str | None = None
    attached_sender: str | None = None
    attached_to: str | None = None
    deposit_mode: DepositMode = "factory"

    def __post_init__(self) -> None:
        """Turn the column's number into the depth it stands for."""
        object.__setattr__(self, "depth", Depth(self.depth))

    @property
    def key(self) -> Key:
        """The credit key within the chain."""
        return self.tx_hash, self.log_index

    @property
    def payer(self) -> str:
        """Who paid: the sender of an attached transaction, else whom the transfer names."""
        return self.attached_sender or self.from_address

    @property
    def known_tx_hash(self) -> str | None:
        """The transaction it came with; None while nobody knows."""
        return self.attached_tx_hash or (None if self.is_unattributed else self.tx_hash)

    @property
    def known_payer(self) -> str | None:
        """Who paid; None while nobody knows."""
        unknown = self.is_unattributed and self.attached_sender is None
        return None if unknown else self.payer

    @property
    def is_internal(self) -> bool:
        """Whether native coin came from inside a transaction, which names somebody else."""
        return self.is_unattributed or self.log_index < TOP_LEVEL

    @property
    def is_unattributed(self) -> bool:
        """Whether only the balance shows it: native coin from inside an unknown transaction."""
        return self.tx_hash.startswith(_UNKNOWN)

    @property
    def arrived_at(self) -> datetime:
        """When it was paid: never later than we saw it, nor than its block says.

        A transaction seen before its (present) inclusion was paid when we saw it, and a block
        that claims a time after we read it is not believed (specs/reliability.md 1.5).
        """
        return min(self.first_seen_at, self.block_at)


def asset_of(row: TransferRow) -> Asset:
    """The registered asset that moved; ``LookupError`` where it has left the registry."""
    asset = known_asset(row.chain, row.contract)
    if asset is None:
        msg = f"{row.chain}:{row.contract} has left the registry while transfers of it are kept"
        raise LookupError(msg)
    return asset


def received(row: TransferRow) -> Received:
    """A transfer as the reckoning takes it."""
    return Received(
        asset=asset_of(row),
        amount_units=row.amount_units,
        payer=row.payer,
        depth=row.depth,
        arrived_at=row.arrived_at,
    )


@dataclass(frozen=True, slots=True)
class BlockRef:
    """A block that transfers stand in."""

    block_number: int
    block_hash: str


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A transfer to one of our addresses that belongs to no invoice.

    ``unassigned``: the address had no invoice yet when it was paid. ``own_address``: it came from
    an address of the same organisation, so nobody paid anything.
    """

    org_id: int
    chain: str
    tx_hash: str
    log_index: int
    number: int
    address: str
    reason: Literal["unassigned", "own_address"]
    contract: str
    from_address: str
    amount_units: int
    block_number: int
    block_hash: str
    block_at: datetime
    first_seen_at: datetime
    depth: Depth

    def __post_init__(self) -> None:
        """Turn the column's number into the depth it stands for."""
        object.__setattr__(self, "depth", Depth(self.depth))

    @property
    def key(self) -> Key:
        """The credit key within the chain."""
        return self.tx_hash, self.log_index


_SELECT: Final = """
    SELECT org_id, chain, tx_hash, log_index, invoice_id, contract, from_address, amount_units,
           block_number, block_hash, block_at, first_seen_at, depth, attached_tx_hash,
           attached_sender, attached_to, deposit_mode
      FROM transfer
"""


async def of_invoices(tx: Tx, org_id: int, invoice_ids: Collection[UUID]) -> list[TransferRow]:
    """Every transfer to these invoices, orphaned ones included, oldest block first."""
    return await all_rows(
        tx,
        TransferRow,
        _SELECT
        + """
        WHERE org_id = %(org_id)s AND invoice_id = ANY(%(invoice_ids)s)
        ORDER BY block_at, chain, block_number, log_index, tx_hash
        """,
        {"org_id": org_id, "invoice_ids": list(invoice_ids)},
    )


async def by_invoice(
    tx: Tx, org_id: int, invoice_ids: Collection[UUID]
) -> defaultdict[UUID, list[TransferRow]]:
    """The same by invoice; an empty list where nothing came."""
    found: defaultdict[UUID, list[TransferRow]] = defaultdict(list)
    for row in await of_invoices(tx, org_id, invoice_ids):
        found[row.invoice_id].append(row)
    return found


async def of_transactions(
    tx: Tx, chain: str, org_ids: Collection[int], tx_hashes: Collection[str]
) -> list[TransferRow]:
    """Every row these organisations have of these transactions, whatever its depth."""
    return await all_rows(
        tx,
        TransferRow,
        _SELECT
        + """
        WHERE org_id = ANY(%(org_ids)s) AND chain = %(chain)s AND tx_hash = ANY(%(tx_hashes)s)
        """,
        {"chain": chain, "org_ids": list(org_ids), "tx_hashes": list(tx_hashes)},
    )


async def unsettled(tx: Tx, chain: str, after: int, upto: int) -> list[TransferRow]:
    """Transfers that are not final, in the blocks above ``after`` up to and with ``upto``.

    Native coin of any block up to there: it is found by balances, in whatever range they are told.
    """
    return await all_rows(
        tx,
        TransferRow,
        _SELECT
        + """
        WHERE chain = %(chain)s AND depth IN (1, 2)
          AND (block_number > %(after)s OR contract = '') AND block_number <= %(upto)s
        ORDER BY block_number, log_index
        """,
        {"chain": chain, "after": after, "upto": upto},
    )


async def seen_blocks(tx: Tx, chain: str, upto: int) -> list[BlockRef]:
    """The blocks up to and with ``upto`` that hold transfers which are merely seen."""
    return await all_rows(
        tx,
        BlockRef,
        """
        SELECT DISTINCT block_number, block_hash FROM transfer
         WHERE chain = %(chain)s AND depth = 1 AND block_number <= %(upto)s
         ORDER BY block_number
        """,
        {"chain": chain, "upto": upto},
    )


async def seen_in_blocks(
    tx: Tx, chain: str, upto: int, block_hashes: Collection[str]
) -> list[TransferRow]:
    """Transfers merely seen that stand in one of these blocks, all of them up to ``upto``."""
    return await all_rows(
        tx,
        TransferRow,
        _SELECT
        + """
        WHERE chain = %(chain)s AND depth = 1 AND block_number <= %(upto)s
          AND block_hash = ANY(%(block_hashes)s)
        """,
        {"chain": chain, "upto": upto, "block_hashes": list(block_hashes)},
    )


async def save(tx: Tx, rows: Sequence[TransferRow]) -> None:
    """Write rows as they now are, each at most once; what is final never changes again."""
    if not rows:
        return
    await execute(
        tx,
        """
        INSERT INTO transfer (org_id, chain, tx_hash, log_index, invoice_id, contract,
            from_address, amount_units, block_number, block_hash, block_at, first_seen_at, depth,
            deposit_mode)
        SELECT * FROM json_to_recordset(%(rows)s::json) AS new (org_id bigint, chain text,
            tx_hash text, log_index integer, invoice_id uuid, contract text, from_address text,
            amount_units numeric, block_number bigint, block_hash text, block_at timestamptz,
            first_seen_at timestamptz, depth smallint, deposit_mode text)
        ON CONFLICT (org_id, chain, tx_hash, log_index) DO UPDATE
           SET invoice_id = EXCLUDED.invoice_id, contract = EXCLUDED.contract,
               from_address = EXCLUDED.from_address, amount_units = EXCLUDED.amount_units,
               block_number = EXCLUDED.block_number, block_hash = EXCLUDED.block_hash,
               block_at = EXCLUDED.block_at, first_seen_at = EXCLUDED.first_seen_at,
               depth = EXCLUDED.depth, deposit_mode = EXCLUDED.deposit_mode
         WHERE transfer.depth < 3
        """,
        {"rows": as_records([_columns(row) for row in rows])},
    )


async def is_used(tx: Tx, org_id: int, chain: str, tx_hash: str) -> bool:
    """Whether a payment in native coin of an organisation is known to have come with this."""
    found = await one_value(
        tx,
        bool,
        """
        SELECT EXISTS (SELECT FROM transfer
                 WHERE org_id = %(org_id)s AND chain = %(chain)s AND tx_hash = %(tx_hash)s
                   AND contract = '' AND depth > 0)
            OR EXISTS (SELECT FROM transfer
                 WHERE org_id = %(org_id)s AND chain = %(chain)s
                   AND attached_tx_hash = %(tx_hash)s)
        """,
        {"org_id": org_id, "chain": chain, "tx_hash": tx_hash},
    )
    return bool(found)


async def attach(tx: Tx, row: TransferRow) -> None:
    """Keep the transaction that a final transfer came with; it is settled once and for all."""
    await execute(
        tx,
        """
        UPDATE transfer SET attached_tx_hash = %(attached_tx_hash)s,
               attached_sender = %(attached_sender)s, attached_to = %(attached_to)s
         WHERE org_id = %(org_id)s AND chain = %(chain)s AND tx_hash = %(tx_hash)s
           AND log_index = %(log_index)s AND depth = 3 AND attached_tx_hash IS NULL
        """,
        _columns(row),
    )


async def quarantined(tx: Tx, chain: str, tx_hashes: Collection[str]) -> list[Quarantined]:
    """What is kept of these transactions without belonging to an invoice."""
    return await all_rows(
        tx,
        Quarantined,
        """
        SELECT org_id, chain, tx_hash, log_index, number, address, reason, contract,
               from_address, amount_units, block_number, block_hash, block_at, first_seen_at,
               depth
          FROM ingest.unassigned_transfer
         WHERE chain = %(chain)s AND tx_hash = ANY(%(tx_hashes)s)
        """,
        {"chain": chain, "tx_hashes": list(tx_hashes)},
    )


async def drop_quarantined(tx: Tx, chain: str, after: int, upto: int) -> int:
    """Orphan what is kept from the blocks above ``after`` up to and with ``upto``."""
    return await execute(
        tx,
        """
        UPDATE ingest.unassigned_transfer SET depth = 0
         WHERE chain = %(chain)s AND depth IN (1, 2)
           AND block_number > %(after)s AND block_number <= %(upto)s
        """,
        {"chain": chain, "after": after, "upto": upto},
    )


async def quarantine(tx: Tx, rows: Sequence[Quarantined]) -> None:
    """Keep transfers that belong to no invoice; what is final never changes again."""
    if not rows:
        return
    await execute_many(
        tx,
        """
        INSERT INTO ingest.unassigned_transfer (org_id, chain, tx_hash, log_index, number,
            address, reason, contract, from_address, amount_units, block_number, block_hash,
            block_at, first_seen_at, depth)
        VALUES (%(org_id)s, %(chain)s, %(tx_hash)s, %(log_index)s, %(number)s, %(address)s,
            %(reason)s, %(contract)s, %(from_address)s, %(amount_units)s, %(block_number)s,
            %(block_hash)s, %(block_at)s, %(first_seen_at)s, %(depth)s)
        ON CONFLICT (chain, tx_hash, log_index) DO UPDATE
           SET org_id = EXCLUDED.org_id, number = EXCLUDED.number, address = EXCLUDED.address,
               reason = EXCLUDED.reason, contract = EXCLUDED.contract,
               from_address = EXCLUDED.from_address, amount_units = EXCLUDED.amount_units,
               block_number = EXCLUDED.block_number, block_hash = EXCLUDED.block_hash,
               block_at = EXCLUDED.block_at, depth = EXCLUDED.depth
         WHERE unassigned_transfer.depth < 3
        """,
        [_columns(row) for row in rows],
    )


def _columns(row: TransferRow | Quarantined) -> dict[str, object]:
    # Not `asdict`, which copies every value and takes as long as writing them.
    names, read = _IN_TRANSFER if isinstance(row, TransferRow) else _IN_QUARANTINE
    return dict(zip(names, read(row), strict=True)) | {
        "amount_units": str(row.amount_units),
        "depth": int(row.depth),
    }


_Read = Callable[[object], tuple[object, ...]]


def _reading(kind: type[TransferRow | Quarantined]) -> tuple[list[str], _Read]:
    names = [field.name for field in fields(kind)]
    return names, attrgetter(*names)


_IN_TRANSFER: Final = _reading(TransferRow)
_IN_QUARANTINE: Final = _reading(Quarantined)
