"""Stories in which what was looked at is another by the time it counts.

A list names somebody, a registered address is removed, a surplus is sent to somebody else, the
books are put back to where they stood before a payment.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from counterfoil.core.invoice import Status
from counterfoil.core.payout_rules import SHORTEST_HOURS, PayoutPolicy, PayoutRules
from counterfoil.desk import payout_addresses
from counterfoil.workers.lists import import_list
from simulation.backups import Kept
from simulation.people import Scene
from simulation.teller import Story, Teller
from support.bureau import sdn

S = Status

_HOUR: Final = 3_600


# ---------------------------------------------------------------- lists


@asynccontextmanager
async def _listed(t: Teller, address: str) -> AsyncIterator[None]:
    """A list names somebody for a while."""
    checker = t.run.checker
    before = list(checker.listed)
    await import_list(checker.desk, sdn(*before, address), "a story")
    checker.listed = [*before, address]
    try:
        yield
    finally:
        checker.listed = before
        await import_list(checker.desk, sdn(*before), "a story", override=True)


async def listed_between_look_and_count(t: Teller) -> None:
    await t.create()
    t.pays(100)
    t.mined(1)
    await t.watched()
    await t.is_(S.PAYMENT_DETECTED)
    for which in (0, 1):
        await t.works("foresee", which)
    async with _listed(t, t.payer("a")):
        t.mined(2)
        await t.watched()
        await t.screened()
        await t.is_(S.COMPLIANCE_HOLD)
        await t.firm()
        await t.both("decline")


async def listed_before_it_goes_back(t: Teller) -> None:
    """Whoever gets the surplus is named once it is on its way; the merchant gets the rest."""
    await t.create()
    t.pays(150)
    await t.comes(S.SIGN_PENDING)
    await t.signs(t.payer("a"))
    async with _listed(t, t.payer("a")):
        await t.parks("partial_refund")
    await t.does("approve again")
    await t.comes(S.COMPLETED)


# ---------------------------------------------------------------- a surplus, and who gets it


async def a_surplus_goes_home(t: Teller) -> None:
    """One person is enough to send it back to where it came from."""
    await t.create()
    t.pays(50, "b")
    t.pays(100, "a")
    await t.comes(S.SIGN_PENDING)
    await t.signs_alone(t.payer("a"))
    await t.is_(S.SWEEPING)
    await t.comes(S.COMPLETED)


async def a_coin_buys_no_surplus(t: Teller) -> None:
    """Who sent a little is one of the payers, and the rest of a surplus is not theirs."""
    await t.create()
    t.pays(1, "b")
    t.pays(120, "a")
    await t.comes(S.SIGN_PENDING)
    await t.signs_alone(t.payer("b"))
    await t.is_(S.REFUND_PENDING)
    await t.does("withdraw refund")
    await t.is_(S.SIGN_PENDING)
    await t.signs(t.payer("b"))
    await t.comes(S.COMPLETED)


async def a_surplus_goes_home_once(t: Teller) -> None:
    """What went back to its payer already is not sent there again on one word.

    What is left over then is no whole hundredth of what was due.
    """
    await t.create()
    t.pays(30, "a")
    t.pays(110, "b")
    await t.comes(S.SIGN_PENDING)
    await t.firm()
    await t.refunds("19.6", to=t.payer("a"))
    await t.comes(S.SIGN_PENDING)
    await t.signs_alone(t.payer("a"))
    await t.is_(S.REFUND_PENDING)
    await t.does("approve refund", second=True)
    await t.comes(S.COMPLETED)


# ---------------------------------------------------------------- places that are removed


async def _administers(t: Teller, name: str, place: str, *, second: bool = False) -> None:
    """An administrator registers a place, or removes it."""

    async def do(s: Scene) -> object:
        if name == "register":
            return await payout_addresses.add(s.desk, "evm", place, "Story", by=s.person.actor)
        known = await payout_addresses.registered(s.desk, s.person.actor)
        # None, where it was removed and the answer was lost.
        for one in known.addresses:
            if one.address == place:
                await payout_addresses.remove(s.desk, one.payout_address_id, s.person.actor)
        return known

    await t.acts(name, "administrator", do, second=second)


async def a_place_is_removed(t: Teller) -> None:
    """A payout that was signed for is not made there, until the place is good again."""
    rules = PayoutRules(registered_only=True, two_people=False, wait_hours=SHORTEST_HOURS)
    t.payouts = PayoutPolicy(rules)
    await t.rule(payouts=t.payouts)
    place = t.payer("place")
    await _administers(t, "register", place)
    t.passes(_HOUR + 60)
    await t.create(payout_to=place)
    t.pays(100)
    await t.comes(S.SIGN_PENDING)
    await t.signs()
    await _administers(t, "remove", place, second=True)
    await t.parks("payout")
    await _administers(t, "register", place)
    t.passes(_HOUR + 60)
    await t.does("approve again", second=True)
    await t.comes(S.COMPLETED)


# ---------------------------------------------------------------- books from a backup


def _from_a_backup(at: Status, rounds: int, *, slowly: bool = False) -> Story:
    """What was signed since the backup is found on the chain, and nothing is paid twice."""

    async def story(t: Teller) -> None:
        await t.create()
        t.pays(150)
        await t.comes(S.SIGN_PENDING)
        await t.signs()
        await t.comes(at)
        kept = Kept(t.run)
        for number in range(rounds):
            for which in (0, 1):
                await t.works("move", which)
            if slowly and number < rounds - 1:
                # Nothing is mined meanwhile, so it is offered more for its gas.
                t.run.world.pass_time(900)
            else:
                t.mined(4)
        await kept.put_back()
        await t.comes(S.COMPLETED)

    return story


CHANGING_STORIES: Final[dict[str, Story]] = {
    "listed between look and count": listed_between_look_and_count,
    "listed before it goes back": listed_before_it_goes_back,
    "a surplus goes home": a_surplus_goes_home,
    "a coin buys no surplus": a_coin_buys_no_surplus,
    "a surplus goes home once": a_surplus_goes_home_once,
    "a place is removed": a_place_is_removed,
    "from a backup, swept since": _from_a_backup(S.SWEEPING, 2),
    "from a backup, paid out since": _from_a_backup(S.PAYOUT_PROCESSING, 2),
    "from a backup, all done since": _from_a_backup(S.SWEEPING, 6),
    "from a backup, paid for more gas": _from_a_backup(S.PAYOUT_PROCESSING, 4, slowly=True),
}
