"""I7: what was paid is what people approved, as the warrants and the log have it."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC
from typing import Any
from uuid import UUID

from counterfoil.core.warrant import Warrant, check_warrant
from simulation.outsiders import APPROVAL_KEY
from simulation.parts import Violation

Ask = Callable[[str, Mapping[str, object]], Awaitable[list[Any]]]


def paid_for(payment: tuple[str, str, int], rows: Sequence[Any]) -> list[UUID]:
    """The moves that a mined payment carried out, which must be exactly what it paid."""
    found = []
    for tx_hash, move_id, purpose, destination, contract, units, payout in rows:
        if move_id is None:
            raise Violation("I7", f"{tx_hash} paid {payment} for no move")
        if payment != (contract, destination, units):
            raise Violation("I7", f"{tx_hash} paid {payment} for {move_id}, approved otherwise")
        if purpose == "payout" and destination != payout:
            raise Violation("I7", f"{move_id} paid {destination}, not {payout}")
        found.append(move_id)
    return found


async def check_warrants(ask: Ask, move_ids: Collection[UUID]) -> None:
    """Raises `Violation` for a payment that was made without a warrant for exactly that."""
    for row in await ask(
        """
        SELECT org_id, move_id, purpose, chain, contract, destination, amount_units, approved_by,
               approved_at, generation, replaces_nonce, from_hold, warrant
          FROM move WHERE move_id = ANY(%(ids)s)
           AND purpose IN ('payout', 'refund', 'partial_refund')
        """,
        {"ids": list(move_ids)},
    ):
        org_id, move_id, purpose, chain, contract, destination, units, by, at, *rest = row
        generation, replaces_nonce, from_hold, seal = rest
        warrant = Warrant(
            org_id=org_id,
            move_id=str(move_id),
            purpose="payout" if purpose == "payout" else "refund",
            chain=chain,
            contract=contract,
            destination=destination,
            amount_units=units,
            approved_by=by,
            approved_at=at.astimezone(UTC),
            generation=generation,
            replaces_nonce=replaces_nonce,
            from_hold=from_hold,
        )
        if not check_warrant(warrant, seal or "", APPROVAL_KEY):
            raise Violation("I7", f"{move_id} was paid under a warrant for something else")
