"""Rows of the books made by hand, for tests of what is shown of them."""

from datetime import datetime
from uuid import UUID

from counterfoil.books.moves import MovePurpose, MoveRow
from counterfoil.books.transfers import TransferRow
from counterfoil.core.money import Asset
from counterfoil.core.reckoning import Depth
from support.invoices import CUSTOMER, DUE, NOON, USDT


def a_transfer(  # noqa: PLR0913 - what a story may vary
    *,
    asset: Asset = USDT,
    units: int = DUE,
    payer: str = CUSTOMER,
    tx: str = "0x" + "77" * 32,
    depth: Depth = Depth.FINAL,
    at: datetime = NOON,
) -> TransferRow:
    return TransferRow(
        org_id=1,
        chain=asset.chain,
        tx_hash=tx,
        log_index=0,
        invoice_id=UUID(int=7),
        contract=asset.contract,
        from_address=payer,
        amount_units=units,
        block_number=100,
        block_hash="0x" + "b1" * 32,
        block_at=at,
        first_seen_at=at,
        depth=depth,
    )


def a_move(
    purpose: MovePurpose,
    *,
    units: int = DUE,
    moved: int | None = DUE,
    tx: str | None = "0x" + "88" * 32,
    asset: Asset = USDT,
) -> MoveRow:
    return MoveRow(
        org_id=1,
        move_id=UUID(int=8),
        purpose=purpose,
        source_id=UUID(int=7).hex,
        leg=0,
        invoice_id=UUID(int=7),
        chain=asset.chain,
        contract=asset.contract,
        destination="",
        amount_units=units,
        moved_units=moved,
        status="ready" if moved is None else "final",
        park_reason=None,
        wallet=None,
        nonce=None,
        tx_hash=tx,
        approved_by=None,
        approved_at=None,
        warrant=None,
        created_at=NOON,
        updated_at=NOON,
        final_at=None if moved is None else NOON,
    )
