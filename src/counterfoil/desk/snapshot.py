"""An invoice as JSON at one moment: what an event in the outbox is told from, whenever it is told.

A callback that is sent hours later must say what was true then, and must not depend on rows that
have changed since. Every dialect renders its body from this one shape. Amounts are decimal text
in whole coins, times are Unix seconds, ids are hex, and ``order_data`` stays the text it came as.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from counterfoil.books.moves import MoveRow
from counterfoil.books.transfers import TransferRow, asset_of
from counterfoil.core.assets import known_asset
from counterfoil.core.invoice import Invoice, PaymentRequest, number_label
from counterfoil.core.money import Asset, format_units
from counterfoil.core.pricing import due_text
from counterfoil.core.reckoning import Depth, rough_dollars
from counterfoil.core.tally import AssetTally

MAX_TRANSFERS: Final = 20
"""Anybody can send dust to an address, and a callback must stay small: the largest are told."""


def snapshot(
    invoice: Invoice, transfers: Sequence[TransferRow], moves: Sequence[MoveRow]
) -> dict[str, object]:
    """The JSON object of an invoice with what came in and what was sent."""
    largest = largest_first(transfers)
    return {
        "org_id": invoice.org_id,
        "invoice_id": invoice.invoice_id.hex,
        "invoice_number": number_label(invoice),
        "client_id": invoice.client_id,
        "sequence": invoice.version,
        "status": invoice.status.value,
        "context": None if invoice.context is None else invoice.context.value,
        "settlement": invoice.settlement,
        "price": {
            "mode": invoice.price.mode,
            "amount": f"{invoice.price.amount:f}",
            "currency": invoice.price.currency,
        },
        "created_at": _seconds(invoice.created_at),
        "deadline_at": _seconds(invoice.deadline_at),
        "callback_url": invoice.callback_url,
        "group_key": invoice.document.group_key,
        "order_data": invoice.document.order_data,
        "requests": [_request(r) for r in invoice.requests],
        "received": [_received(a) for a in invoice.tally.assets],
        "stray": [_received(a) for a in invoice.tally.unasked],
        "transfer_count": len(largest),
        "transfers": [_transfer(t) for t in largest[:MAX_TRANSFERS]],
        "moves": [_move(m) for m in moves],
    }


def largest_first(transfers: Iterable[TransferRow]) -> list[TransferRow]:
    """What stands on chain, the largest first, of equals the earlier: dust is not the payment."""
    live = [t for t in transfers if t.depth is not Depth.ORPHANED]
    if len(live) == 1:  # as nearly always, and weighing one takes as long as telling it
        return live
    return sorted(live, key=lambda t: (-rough_dollars(asset_of(t), t.amount_units), t.block_at))


def _request(request: PaymentRequest) -> dict[str, object]:
    return {
        **_asset(request.asset),
        "due": due_text(request),
    }


def _received(tally: AssetTally) -> dict[str, object]:
    decimals = tally.asset.decimals
    return {
        **_asset(tally.asset),
        "seen": format_units(tally.seen_units, decimals),
        "confirmed": format_units(tally.confirmed_units, decimals),
        "final": format_units(tally.final_units, decimals),
    }


def _transfer(transfer: TransferRow) -> dict[str, object]:
    asset = asset_of(transfer)
    return {
        **_asset(asset),
        "tx_hash": transfer.known_tx_hash,
        "log_index": transfer.log_index,
        "from_address": transfer.known_payer,
        "amount": format_units(transfer.amount_units, asset.decimals),
        "depth": transfer.depth.name.lower(),
        "block_at": _seconds(transfer.block_at),
    }


def _move(move: MoveRow) -> dict[str, object]:
    asset = known_asset(move.chain, move.contract)
    if asset is None:
        msg = f"{move.contract} is not a registered token of {move.chain}"
        raise LookupError(msg)
    moved = move.moved_units
    return {
        **_asset(asset),
        "purpose": move.purpose,
        "status": move.status,
        "destination": move.destination,
        "amount": format_units(move.amount_units, asset.decimals),
        "moved": None if moved is None else format_units(moved, asset.decimals),
        "tx_hash": move.tx_hash,
    }


def _asset(asset: Asset) -> dict[str, object]:
    return {"chain": asset.chain, "symbol": asset.symbol, "contract": asset.contract}


def _seconds(at: datetime) -> int:
    return int(at.timestamp())
