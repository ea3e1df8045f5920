"""What a movement's row says was approved, in the shape that was sealed."""

from datetime import UTC

from counterfoil.books.moves import MoveRow
from counterfoil.core.warrant import Warrant


def claimed_warrant(move: MoveRow) -> Warrant | None:
    """The warrant that a payment's row claims to have; None where nobody approved it.

    Whether its seal fits, only a holder of the approval key can tell. Raises ``ValueError`` for
    what no approval could have produced.
    """
    if move.warrant is None or move.approved_by is None or move.approved_at is None:
        return None
    return Warrant(
        org_id=move.org_id,
        move_id=str(move.move_id),
        purpose="payout" if move.purpose == "payout" else "refund",
        chain=move.chain,
        contract=move.contract,
        destination=move.destination,
        amount_units=move.amount_units,
        approved_by=move.approved_by,
        approved_at=move.approved_at.astimezone(UTC),
        generation=move.generation,
        replaces_nonce=move.replaces_nonce,
        from_hold=move.from_hold,
    )
