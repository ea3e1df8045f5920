"""The ways from one status to another that the lifecycle documents, and those that cannot be."""

from typing import Final

from counterfoil.core.invoice import Status
from support.documented import WAYS

S = Status


def _edge(was: Status, on: str, to: Status) -> str:
    return f"{was.value} by {on} to {to.value}"


EDGES: Final = {f"{was} by {on} to {to}" for was, on, to in WAYS if to != was}
"""The documented ways from one status to another."""

_UNPAID: Final = (S.AWAITING_PAYMENT, S.EXPIRED)
_FOLLOWED: Final = (
    S.PAYMENT_DETECTED,
    S.SCREENING,
    S.COMPLIANCE_HOLD,
    S.RESOLUTION_REQUIRED,
    S.SIGN_PENDING,
)
_GOING: Final = (S.SWEEPING, S.PAYOUT_PROCESSING, S.COMPLETED)

CANNOT: Final = {
    **{
        _edge(was, on, to): "what was seen or counted is there, so it is not unpaid"
        for was in _FOLLOWED
        for on in ("transfer_seen", "transfer_confirmed")
        for to in _UNPAID
    },
    **{
        _edge(was, "transfer_dropped", to): "nothing was there that could be dropped"
        for was in _UNPAID
        for to in (S.PAYMENT_DETECTED, S.SCREENING)
    },
    **{
        _edge(was, "transfer_seen", S.SCREENING): "what is merely seen makes nothing ripe"
        for was in (*_UNPAID, S.PAYMENT_DETECTED)
    },
    **{
        _edge(S.SIGN_PENDING, "transfer_seen", to): "what is merely seen makes nothing final"
        for to in _GOING
    },
    **{
        _edge(was, on, to): "money that is refunded is final, so it cannot be gone"
        for was, on in (
            (S.REFUND_PENDING, "withdraw_refund"),
            (S.REFUND_PROCESSING, "withdraw_refund"),
            (S.REFUND_PROCESSING, "refund_settled"),
        )
        for to in _UNPAID
    },
}
"""Documented, as the three facts about transfers share their rows, and yet impossible; and why."""
