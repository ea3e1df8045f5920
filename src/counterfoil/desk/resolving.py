"""Resolving at the desk: the current price of an invoice, and what its own rules choose.

A rule acts in the transaction in which the payment comes to need a choice, as ``system:policy``.
What stops a rule (no fresh rate, content that nobody approved) leaves the choice to people and
never stops the fact that brought it up.
"""

from datetime import datetime, timedelta
from typing import Final, Literal

import structlog

from counterfoil.core import planning, pricing, resolution
from counterfoil.core.content import content_hash, is_approved_content
from counterfoil.core.errors import Conflict, Refusal
from counterfoil.core.events import Accept, Command, Event, Recalculate, Release, Screened
from counterfoil.core.invoice import Invoice, PaymentRequest, Quote, Status
from counterfoil.core.resolution import ByRule, Choice
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Tx
from counterfoil.desk import rates
from counterfoil.desk.desk import Desk

POLICY: Final = "system:policy"

_BRING_IT_UP: Final = (Screened, Release, Recalculate)
"""After these a payment may need a choice that it did not need before."""

_log: Final = structlog.get_logger("counterfoil.desk.resolving")


async def repriced(desk: Desk, tx: Tx, invoice: Invoice, now: datetime) -> list[PaymentRequest]:
    """What would be due at the current rates, asset by asset as it was asked for.

    The same where the price needs no rate. `Unavailable` where a rate is missing or too old.
    """
    quotes: dict[tuple[str, str], Quote] = {}
    found = []
    for request in invoice.requests:
        needed = pricing.pair(
            invoice.price,
            request.asset,
            stablecoin_is_one_dollar=invoice.use_fixed_stablecoin_rate,
        )
        if needed is not None and needed not in quotes:
            quotes[needed] = await rates.current(
                tx,
                *needed,
                now=now,
                max_age_seconds=desk.rate_max_age_seconds,
                policy=invoice.policy,
            )
        quote = None if needed is None else quotes[needed]
        found.append(pricing.request(invoice.price, request.asset, quote))
    return found


async def recalculation(  # noqa: PLR0913 - a command, whole
    desk: Desk,
    tx: Tx,
    invoice: Invoice,
    by: str,
    *,
    reason: str = "",
    more_time: timedelta | None = None,
) -> Recalculate:
    """The command that prices a locked invoice anew, as far as it still is what was approved.

    With ``more_time`` from now to pay what is then missing.
    Raises as `repriced` and `check_approved_content` do.
    """
    check_approved_content(invoice, by)
    now = desk.clock.now()
    until = None if more_time is None else now + more_time
    requests = invoice.requests
    if resolution.is_priced_by_rate(invoice):
        requests = tuple(await repriced(desk, tx, invoice, now))
    return Recalculate(at=now, by=by, requests=requests, reason=reason, until=until)


async def by_rule(
    desk: Desk, tx: Tx, invoice: Invoice, after: Event
) -> tuple[Command, Actor] | None:
    """What the rules of an invoice, which the caller holds, choose after an event, and as whom."""
    if not isinstance(after, _BRING_IT_UP) or not resolution.is_asked(invoice):
        return None
    try:
        requests = None
        if resolution.wants_rate(invoice):
            requests = await repriced(desk, tx, invoice, after.at)
        chosen = resolution.by_rule(invoice, requests)
        if chosen is None:
            return None
        check_approved_content(invoice, POLICY)
    except Refusal as refusal:
        _log.warning(
            "rule_not_applied",
            org_id=invoice.org_id,
            invoice_id=str(invoice.invoice_id),
            reason=refusal.message,
        )
        return None
    actor = Actor(POLICY, invoice.org_id, frozenset({Permission.SIGN}))
    return _command(chosen, after.at, requests), actor


def check_approved_content(invoice: Invoice, by: str) -> None:
    """Refuse to move or reprice what nobody approved: a forged row, or a bug of ours.

    Raises `Conflict`, and tells whoever watches the log.
    """
    decided = {Status.SIGN_PENDING, Status.RESOLUTION_REQUIRED}
    if invoice.status not in decided and planning.waiting_surplus(invoice) is None:
        return
    stored = content_hash(invoice)
    if is_approved_content(invoice):
        return
    _log.critical(
        "approved_content_changed",
        org_id=invoice.org_id,
        invoice_id=str(invoice.invoice_id),
        approved_hash=invoice.approved_hash,
        stored_hash=stored,
        operator_uid=by,
    )
    raise Conflict(
        "what was approved is not what is stored now; nothing was signed and no money moves."
        " Somebody changed this invoice behind the system's back: tell your administrator",
        data={
            "rule": "approved_content",
            "approved_hash": invoice.approved_hash,
            "content_hash": stored,
        },
    )


def _command(
    chosen: ByRule, at: datetime, requests: list[PaymentRequest] | None
) -> Accept | Recalculate:
    reason = f"by rule: {chosen.rule}"
    if chosen.choice is Choice.RECALCULATE and requests is not None:
        return Recalculate(
            at=at, by=POLICY, requests=tuple(requests), reason=reason, rule=chosen.rule
        )
    surplus: Literal["keep", "return"] = (
        "return" if chosen.choice is Choice.REFUND_SURPLUS else "keep"
    )
    return Accept(at=at, by=POLICY, reason=reason, surplus=surplus, rule=chosen.rule)
