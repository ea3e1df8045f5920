"""Stories about refunds: where they are ordered, what comes beside them, and where they lead."""

from typing import Final

from counterfoil.core.invoice import Status
from simulation.teller import Story, Teller

S = Status


async def _ends(t: Teller, at: Status) -> None:
    """Bring an invoice with final money to one of the places from which refunds are ordered."""
    if at is S.APPROVAL_REJECTED:
        await t.create(approved=False)
        await t.does("reject")
        t.pays(100)
    elif at in {S.CANCELLED, S.REFUNDED}:
        await t.create()
        await t.does("cancel")
        t.pays(100)
    elif at is S.COMPLETED:
        await t.create(payout=False)
        t.pays(100)
        await t.comes(S.SIGN_PENDING)
        await t.signs()
        await t.comes(S.COMPLETED)
    elif at is S.COMPLIANCE_DECLINED:
        await t.create()
        t.run.world.risky.add(t.payer("a"))
        t.pays(100)
        await t.comes(S.COMPLIANCE_HOLD)
        await t.both("decline")
    else:
        await t.create()
        t.pays(50 if at is S.RESOLUTION_REQUIRED else 150)
        await t.comes(at)
    await t.firm()
    if at is S.REFUNDED:
        await t.refunds(None)
        await t.comes(S.REFUNDED)
        t.pays(100)
        await t.firm()
    await t.is_(at)


def _refunded_from(at: Status) -> Story:
    async def story(t: Teller) -> None:
        await _ends(t, at)
        await t.orders()
        await t.does("withdraw refund")
        await t.is_(at)
        await t.refunds()
        await t.does("withdraw refund")
        await t.is_(at)
        await t.refunds()
        await t.comes(at)
        if at is S.COMPLETED:
            # Then the pool has too little for the next one, which takes along what came since.
            await t.refunds("98")
            await t.comes(at)
            t.pays(50)
            await t.firm()
            await t.refunds("20")
            await t.comes(at)

    return story


async def _asked_back(
    t: Teller, *, approved: bool, sign_off_required: bool = True, payout: bool = True
) -> None:
    """Half was paid, and a coin of it is to go back."""
    await t.create(sign_off_required=sign_off_required, payout=payout)
    t.pays(50)
    await t.comes(S.RESOLUTION_REQUIRED)
    await t.firm()
    await (t.refunds() if approved else t.orders())


def _withdrawn_beside(to: Status, *, approved: bool) -> Story:
    """More money comes while a refund is open; when it is withdrawn, all of it counts."""

    async def story(t: Teller) -> None:
        await _asked_back(t, approved=approved, sign_off_required=to is not S.SWEEPING)
        if to is S.COMPLIANCE_HOLD:
            t.run.world.risky.add(t.payer("b"))
        t.pays(50 if to is S.SWEEPING else 20, "b")
        t.mined(1)
        if to is not S.PAYMENT_DETECTED:
            t.mined(5)
        await t.watched()
        if to in {S.COMPLIANCE_HOLD, S.SWEEPING}:
            await t.screened()
        await t.does("withdraw refund")
        await t.is_(to)

    return story


async def _swept_along(t: Teller, *, sign_off_required: bool = True, payout: bool = True) -> None:
    """After a refund of a coin all the rest is in the pool, and too little as before."""
    await _asked_back(t, approved=True, sign_off_required=sign_off_required, payout=payout)
    await t.comes(S.RESOLUTION_REQUIRED)


async def withdrawn_when_all_was_swept(t: Teller) -> None:
    for approved in (False, True):
        await _swept_along(t, sign_off_required=False)
        await t.does("accept")
        await (t.refunds() if approved else t.orders())
        await t.does("withdraw refund")
        await t.is_(S.PAYOUT_PROCESSING)


def _signed_when_all_was_swept(to: Status) -> Story:
    async def story(t: Teller) -> None:
        await _swept_along(t, payout=to is S.PAYOUT_PROCESSING)
        await t.does("accept")
        await t.signs()
        await t.is_(to)
        if to is S.PAYOUT_PROCESSING:
            await t.comes(S.COMPLETED)
            # Nothing of it is here any more: others' money would go.
            if await t.may_refund():
                await t.comes(S.COMPLETED)

    return story


def _settled_beside(to: Status) -> Story:
    """More money comes while a refund is on its way, and counts once that has ended."""

    async def story(t: Teller) -> None:
        await _swept_along(t, sign_off_required=to is not S.SWEEPING)
        await t.refunds()
        await t.sent()
        t.pays(52 if to is S.SWEEPING else 20, "b")
        t.mined(1)
        if to is not S.PAYMENT_DETECTED:
            t.mined(5)
        await t.watched()
        if to is S.SWEEPING:
            await t.screened()
        await t.moved()
        await t.is_(to)

    return story


def _surplus_first(to: Status) -> Story:
    """A refund leaves exactly what is due, and the policy signs for it."""

    async def story(t: Teller) -> None:
        await t.create(sign_off_required=False, payout=to is S.PAYOUT_PROCESSING)
        t.pays(101)
        await t.comes(S.SIGN_PENDING)
        await t.firm()
        await t.refunds()
        await t.comes(to)

    return story


def _gone_when_all_was_swept(to: Status) -> Story:
    """What was seen beside it keeps the policy from signing, until a reorg takes it."""

    async def story(t: Teller) -> None:
        await t.create(sign_off_required=False, payout=to is S.PAYOUT_PROCESSING)
        t.pays(102)
        await t.comes(S.SIGN_PENDING)
        await t.firm()
        await t.refunds()
        await t.comes(S.SIGN_PENDING)
        await t.refunds()
        await t.sent()
        second = t.pays(20)
        t.mined(1)
        await t.watched()
        await t.moved()
        await t.is_(S.SIGN_PENDING)
        t.takes_back(second)
        await t.watched()
        await t.is_(to)

    return story


def _held_when_all_was_swept(to: Status, how: str) -> Story:
    """Money that is held was swept along with a refund; let go, nothing is left to sweep."""

    async def story(t: Teller) -> None:
        if how == "screened":
            await t.rule(screening={"providers": [{"code": "simulated", "required": True}]})
        await _asked_back(
            t, approved=False, sign_off_required=False, payout=to is S.PAYOUT_PROCESSING
        )
        bad = t.run.world.silent if how == "screened" else t.run.world.risky
        bad.add(t.payer("b"))
        t.pays(51, "b")
        await t.firm()
        await t.screened()
        await t.does("approve refund", second=True)
        await t.comes(S.COMPLIANCE_HOLD)
        bad.discard(t.payer("b"))
        if how == "screened":
            t.passes(300)
            await t.comes(to)
            return
        await t.both("release")
        await t.is_(to)

    return story


_REFUNDED: Final = (
    S.APPROVAL_REJECTED,
    S.CANCELLED,
    S.COMPLETED,
    S.REFUNDED,
    S.COMPLIANCE_DECLINED,
    S.RESOLUTION_REQUIRED,
    S.SIGN_PENDING,
)
_GOING: Final = (S.PAYOUT_PROCESSING, S.COMPLETED)
_JOINED: Final = (S.PAYMENT_DETECTED, S.SCREENING, S.COMPLIANCE_HOLD, S.SWEEPING)

REFUND_STORIES: Final[dict[str, Story]] = {
    "withdrawn when all was swept": withdrawn_when_all_was_swept,
    **{f"refunded from {s}": _refunded_from(s) for s in _REFUNDED},
    **{f"ordered, then {s}": _withdrawn_beside(s, approved=False) for s in _JOINED},
    **{f"approved, then {s}": _withdrawn_beside(s, approved=True) for s in _JOINED},
    **{f"settled, then {s}": _settled_beside(s) for s in _JOINED if s is not S.COMPLIANCE_HOLD},
    **{f"signed to {s}": _signed_when_all_was_swept(s) for s in _GOING},
    **{f"surplus first to {s}": _surplus_first(s) for s in _GOING},
    **{f"gone to {s}": _gone_when_all_was_swept(s) for s in _GOING},
    **{f"released, swept, to {s}": _held_when_all_was_swept(s, "released") for s in _GOING},
    **{f"answered, swept, to {s}": _held_when_all_was_swept(s, "screened") for s in _GOING},
}
