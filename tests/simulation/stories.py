"""Stories that lead one invoice along ways which chance alone would hardly find.

Each is told to a `Teller` in the middle of everything else, under the faults of its seed. A seed
tells a few, in turn, so that consecutive seeds tell all of them. Those of refunds are in
`refund_stories`, those of payments that stand still in `standing_stories`, those of what changes
before it counts in `changing_stories`, those of native coin in `coin_stories`.
"""

from contextlib import suppress
from typing import Final

from counterfoil.core.invoice import Status
from simulation.changing_stories import CHANGING_STORIES
from simulation.coin_stories import COIN_STORIES
from simulation.refund_stories import REFUND_STORIES
from simulation.standing_stories import STANDING_STORIES
from simulation.teller import Lost, Story, Teller
from support.fake_chain import FakeTx

S = Status

STEPS_BETWEEN: Final = 40
"""A seed tells one story for so many steps that it takes by chance."""

_STRIDE: Final = 29
"""So that a seed tells stories of several kinds; it shares no divisor with their number."""


# ---------------------------------------------------------------- before money can be asked for


async def paid_before_approval(t: Teller) -> None:
    for deep, after in ((0, S.PAYMENT_DETECTED), (4, S.SCREENING)):
        await t.create(approved=False)
        t.pays(100)
        t.mined(1 + deep)
        await t.watched()
        await t.does("approve")
        await t.is_(after)


async def called_off(t: Teller) -> None:
    await t.create(approved=False)
    await t.does("edit")
    await t.does("reject")
    await t.create(approved=False)
    await t.does("cancel")
    await t.create()
    await t.does("cancel")
    await t.does("archive")


async def grace_ends(t: Teller) -> None:
    await t.create(minutes=3, grace_days=1)
    await t.expired()
    t.passes(90_000)
    await t.comes(S.CANCELLED)


# ---------------------------------------------------------------- money that is there and is not


async def _paid(t: Teller, to: Status, *, expires: bool = False) -> None:
    """A payment that is not final yet, so that it can still be taken back."""
    late = S.RESOLUTION_REQUIRED if expires else S.SIGN_PENDING
    if expires:
        await t.create(minutes=3)
        await t.expired()
    else:
        await t.create()
    first = t.pays(50 if to is S.RESOLUTION_REQUIRED else 100)
    t.mined(1)
    await t.watched()
    await t.is_(S.PAYMENT_DETECTED)
    if to is not S.PAYMENT_DETECTED:
        t.mined(2)
        await t.watched()
        await t.is_(S.SCREENING)
    if to is S.COMPLIANCE_HOLD:
        t.run.world.risky.add(t.payer("a"))
    if to not in {S.PAYMENT_DETECTED, S.SCREENING}:
        await t.screened()
    if to is S.SIGN_PENDING and expires:
        await t.is_(late)
        await t.does("accept")
    await t.is_(to)
    t.takes_back(first)
    await t.watched()
    await t.is_(S.EXPIRED if expires else S.AWAITING_PAYMENT)


_UNDECIDED: Final = (
    S.PAYMENT_DETECTED,
    S.SCREENING,
    S.COMPLIANCE_HOLD,
    S.RESOLUTION_REQUIRED,
    S.SIGN_PENDING,
)


def _taken_back(to: Status, *, expires: bool) -> Story:
    async def story(t: Teller) -> None:
        await _paid(t, to, expires=expires)

    return story


async def _judged(t: Teller, at: Status, *shares: int) -> list[FakeTx]:
    """Payments in blocks of their own, confirmed and not final; the invoice stands ``at``."""
    paid = []
    for share in shares:
        paid.append(t.pays(share))
        t.mined(1)
    t.mined(2)
    await t.watched()
    await t.is_(S.SCREENING)
    if at is not S.SCREENING:
        await t.screened()
    await t.is_(at)
    return paid


_ANEW: Final = (S.PAYMENT_DETECTED, S.SCREENING)
"""Merely seen, and by the time that all is read perhaps deep enough again."""


def _mined_again(at: Status) -> Story:
    """A reorg takes one of two payments, and the other is mined again; then that one once more."""

    async def story(t: Teller) -> None:
        shares = (30, 30) if at is S.RESOLUTION_REQUIRED else (60, 60)
        await t.create()
        gone, stays = await _judged(t, at, *shares)
        t.takes_back(gone, also=stays)
        await t.watched()
        await t.is_(*_ANEW)

    return story


def _seen_again(at: Status) -> Story:
    """A reorg moves a payment to another block, where its depth is counted anew."""

    async def story(t: Teller) -> None:
        await t.create()
        (paid,) = await _judged(t, at, 50 if at is S.RESOLUTION_REQUIRED else 100)
        t.takes_back(also=paid)
        await t.watched()
        await t.is_(*_ANEW)

    return story


async def one_is_gone_before_it_counted(t: Teller) -> None:
    await t.create()
    t.pays(40)
    t.mined(1)
    await t.watched()
    second = t.pays(40)
    t.mined(2)
    await t.watched()
    await t.is_(S.PAYMENT_DETECTED)
    t.takes_back(second)
    await t.watched()
    await t.is_(S.SCREENING)


def _one_is_gone(at: Status) -> Story:
    async def story(t: Teller) -> None:
        await t.create()
        first = 40 if at is S.RESOLUTION_REQUIRED else 100
        _, second = await _judged(t, at, first, 20)
        t.takes_back(second)
        await t.watched()
        await t.is_(S.SCREENING)

    return story


# ---------------------------------------------------------------- more money than was judged


async def somebody_else_pays_too(t: Teller) -> None:
    await t.create(several_payers="resolve")
    t.pays(50, "a")
    t.pays(50, "b")
    await t.comes(S.RESOLUTION_REQUIRED)
    t.pays(20, "c")
    t.mined(1)
    await t.watched()
    await t.is_(S.SCREENING)
    await t.create()
    t.pays(100)
    await t.comes(S.SIGN_PENDING)
    t.pays(20, "d")
    t.mined(1)
    await t.watched()
    await t.is_(S.SCREENING)


def _tops_up(at: Status) -> Story:
    async def story(t: Teller) -> None:
        await t.create()
        t.pays(50 if at is S.RESOLUTION_REQUIRED else 100)
        await t.comes(at)
        t.pays(20)
        t.mined(1)
        await t.watched()
        await t.is_(at)
        t.mined(3)
        await t.watched()
        await t.is_(S.SCREENING)

    return story


def _pays_on_and_on(at: Status) -> Story:
    """A second part counts while a third is only seen."""

    async def story(t: Teller) -> None:
        await t.create()
        t.pays(30)
        t.mined(3)
        await t.watched()
        await t.is_(S.SCREENING)
        if at is not S.SCREENING:
            await t.screened()
            await t.is_(S.RESOLUTION_REQUIRED)
        if at is S.SIGN_PENDING:
            await t.does("accept")
        t.pays(30)
        t.mined(2)
        t.pays(30)
        t.mined(1)
        await t.watched()
        await t.is_(S.PAYMENT_DETECTED)

    return story


async def nodes_disagree(t: Teller) -> None:
    """After an outage, of two large payments nodes agree on one only."""
    for expires in (False, True):
        await t.create(amount=40_000, minutes=3 if expires else 1_440)
        if expires:
            await t.expired()
        first = t.pays(17)
        t.pays(17)
        t.nodes_disagree(first)
        t.mined(9)
        await t.watched()
        await t.is_(S.PAYMENT_DETECTED)
        t.chain.told.clear()
        await t.comes(S.RESOLUTION_REQUIRED)


async def a_node_stays_behind(t: Teller) -> None:
    """A reorg takes payments back during an outage, and one node never hears of that.

    There are several, as each is asked for by itself, now of one node and now of the other.
    """
    await t.create()
    for _ in range(3):
        paid = [t.pays(25) for _ in range(4)]
        t.mined(1)
        await t.watched()
        await t.is_(S.PAYMENT_DETECTED)
        before = t.chain.as_it_is()
        t.takes_back(*paid)
        t.chain.stays_behind(before)
        t.mined(9)
        for _ in range(3):
            with suppress(Lost):  # one node denies again and again what the other says
                await t.watched()
        t.chain.other = None
        await t.watched()
        await t.is_(S.AWAITING_PAYMENT)


async def found_after_an_outage(t: Teller) -> None:
    for expires in (False, True):
        await t.create(minutes=3 if expires else 1_440)
        if expires:
            await t.expired()
        t.pays(100)
        t.mined(9)
        await t.watched()
        await t.is_(S.SCREENING)


# ---------------------------------------------------------------- findings


def _found_too_late(at: Status) -> Story:
    """Money that came and was gone again leaves a screening behind, which finds something."""

    async def story(t: Teller) -> None:
        await t.create()
        t.pays(40 if at is S.RESOLUTION_REQUIRED else 100)
        await t.comes(at)
        await t.firm()
        await t.orders()
        second = t.pays(10)
        t.mined(3)
        await t.watched()
        t.takes_back(second)
        await t.watched()
        await t.does("withdraw refund")
        await t.is_(at)
        t.run.world.risky.add(t.payer("a"))
        await t.screened()
        await t.is_(S.COMPLIANCE_HOLD)

    return story


def _released(to: Status) -> Story:
    async def story(t: Teller) -> None:
        await t.create(sign_off_required=to is not S.SWEEPING)
        t.run.world.risky.add(t.payer("a"))
        t.pays(50 if to is S.RESOLUTION_REQUIRED else 100)
        await t.comes(S.COMPLIANCE_HOLD)
        await t.firm()
        await t.both("release")
        await t.is_(to)

    return story


def _answered(to: Status) -> Story:
    """Nothing but missing answers holds the money, until they come."""

    async def story(t: Teller) -> None:
        await t.rule(screening={"providers": [{"code": "simulated", "required": True}]})
        await t.create(sign_off_required=to is not S.SWEEPING)
        t.run.world.silent.add(t.payer("a"))
        t.pays(50 if to is S.RESOLUTION_REQUIRED else 100)
        await t.firm()
        await t.comes(S.COMPLIANCE_HOLD)
        t.run.world.silent.discard(t.payer("a"))
        t.passes(300)
        await t.comes(to)

    return story


async def found_while_it_is_swept(t: Teller) -> None:
    await t.create()
    t.pays(100)
    await t.comes(S.SIGN_PENDING)
    await t.signs()
    await t.is_(S.SWEEPING)
    t.run.world.risky.add(t.payer("b"))
    t.pays(20, "b")
    await t.firm()
    await t.screened()
    await t.is_(S.COMPLIANCE_HOLD)
    if t.run.dice.random.random() < 0.5:
        return  # and so it stands until people say something
    await t.both("release")
    await t.is_(S.SWEEPING)


async def found_while_it_is_paid_out(t: Teller) -> None:
    await t.create()
    t.pays(150)
    await t.comes(S.SIGN_PENDING)
    await t.signs()
    await t.sent()
    t.run.world.risky.add(t.payer("b"))
    t.pays(20, "b")
    await t.firm()
    await t.moved()
    await t.is_(S.PAYOUT_PROCESSING)
    await t.screened()
    await t.is_(S.COMPLIANCE_HOLD)


# ---------------------------------------------------------------- the policy signs


async def signs_itself_when_final(t: Teller) -> None:
    await t.create(sign_off_required=False)
    await _judged(t, S.SIGN_PENDING, 100)
    await t.firm()
    await t.is_(S.SWEEPING)
    await t.create(sign_off_required=False, payout=False)
    t.pays(100)
    await t.firm()
    await t.screened()
    await t.is_(S.SWEEPING)
    await t.comes(S.COMPLETED)


async def signs_itself_without_what_is_gone(t: Teller) -> None:
    await t.create(sign_off_required=False)
    await _judged(t, S.SIGN_PENDING, 100)
    second = t.pays(20)
    t.mined(2)
    await t.watched()
    await t.is_(S.SIGN_PENDING)
    t.takes_back(second)
    await t.watched()
    await t.is_(S.SWEEPING)


async def priced_anew(t: Teller) -> None:
    await t.create(fiat=True, minutes=3)
    await t.expired()
    t.pays(110)
    await t.comes(S.RESOLUTION_REQUIRED)
    await t.firm()
    await t.recalculated()
    await t.is_(S.SIGN_PENDING)


# ---------------------------------------------------------------- processes


async def a_watcher_oversleeps(t: Teller) -> None:
    """It stops between reading the head and writing it down; another goes on, and then it wakes up.

    Once a reorg has taken meanwhile what it read.
    """
    await t.create()
    for is_gone in (False, True, False):
        # Of a range that is final by now it would say nothing else than the other one.
        await t.watched()
        paid = t.pays(60)
        # Whoever watched before has no right to it any more.
        t.run.world.pass_time(20)
        t.mined(1)
        t.fated("stops", "port chain.transfers")
        await t.works("watch:arb", 0)
        t.run.world.pass_time(20)
        if is_gone:
            t.takes_back(paid)
        t.mined(1)
        await t.works("watch:arb", 1)
        await t.goes_on()
    await t.comes(S.SIGN_PENDING)


_DECIDED: Final = (S.RESOLUTION_REQUIRED, S.SIGN_PENDING)
_COUNTED: Final = (S.SCREENING, *_DECIDED)
_FREED: Final = (*_DECIDED, S.SWEEPING)

STORIES: Final[dict[str, Story]] = {
    "paid before approval": paid_before_approval,
    "called off": called_off,
    "grace ends": grace_ends,
    "one is gone before it counted": one_is_gone_before_it_counted,
    "somebody else pays too": somebody_else_pays_too,
    "nodes disagree": nodes_disagree,
    "a node stays behind": a_node_stays_behind,
    "found after an outage": found_after_an_outage,
    "found while it is swept": found_while_it_is_swept,
    "found while it is paid out": found_while_it_is_paid_out,
    "signs itself when final": signs_itself_when_final,
    "signs itself without what is gone": signs_itself_without_what_is_gone,
    "priced anew": priced_anew,
    "a watcher oversleeps": a_watcher_oversleeps,
    **{f"taken back at {s}": _taken_back(s, expires=False) for s in _UNDECIDED},
    **{f"taken back at {s}, late": _taken_back(s, expires=True) for s in _UNDECIDED},
    **{f"mined again at {s}": _mined_again(s) for s in _COUNTED},
    **{f"seen again at {s}": _seen_again(s) for s in _COUNTED},
    **{f"one is gone at {s}": _one_is_gone(s) for s in _DECIDED},
    **{f"tops up at {s}": _tops_up(s) for s in _DECIDED},
    **{f"pays on and on at {s}": _pays_on_and_on(s) for s in _COUNTED},
    **{f"found too late at {s}": _found_too_late(s) for s in _DECIDED},
    **{f"released to {s}": _released(s) for s in _FREED},
    **{f"answered to {s}": _answered(s) for s in _FREED},
    **REFUND_STORIES,
    **STANDING_STORIES,
    **CHANGING_STORIES,
    **COIN_STORIES,
}
"""What can be told. A new one is a line here and a function above."""


def of_seed(seed: int, steps: int) -> list[str]:
    """The names of what a seed tells in so many steps: consecutive seeds go through all."""
    names = list(STORIES)
    count = steps // STEPS_BETWEEN
    return [names[(seed * count + number) * _STRIDE % len(names)] for number in range(count)]


async def tell(t: Teller) -> bool:
    """Whether the story came to its end."""
    try:
        await STORIES[t.name](t)
    except Lost as lost:
        t.run.record.say(f"      {t.name}: lost, {lost}")
        return False
    else:
        return True
    finally:
        t.forget()
