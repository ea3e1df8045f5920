"""Stories about native coin, which writes no log: balances and blocks tell of it, or people do."""

from typing import Final

from counterfoil.core.invoice import Status
from simulation.teller import How, Story, Teller

S = Status


async def _asked_for(t: Teller) -> None:
    await t.create(coin=True, amount=1)


def _comes_as(how: How) -> Story:
    """A payment too large, by a transaction itself or from inside one; the surplus goes back."""

    async def story(t: Teller) -> None:
        await _asked_for(t)
        t.pays(150, how=how)
        await t.comes(S.SIGN_PENDING)
        await t.signs(t.payer("a"))
        await t.comes(S.COMPLETED)

    return story


async def coin_that_only_the_balance_shows(t: Teller) -> None:
    """People name the transaction, the chain is asked, and two of them let the money go."""
    await _asked_for(t)
    t.pays(100, how="forced")
    await t.comes(S.COMPLIANCE_HOLD)
    await t.firm()
    await t.does("name a transaction")
    await t.works("attach", 0)
    await t.screened()
    await t.both("release")
    await t.is_(S.SIGN_PENDING)
    await t.signs()
    await t.comes(S.COMPLETED)


async def coin_is_taken_back(t: Teller) -> None:
    await _asked_for(t)
    for how in ("plain", "call"):
        paid = t.pays(100, how=how)
        t.mined(1)
        await t.watched()
        await t.is_(S.PAYMENT_DETECTED)
        t.takes_back(paid)
        await t.watched()
        await t.is_(S.AWAITING_PAYMENT)
    t.pays(100)
    await t.comes(S.SIGN_PENDING)


async def coin_goes_back_in_parts(t: Teller) -> None:
    """More comes from inside a transaction while a part is on its way back."""
    await _asked_for(t)
    t.pays(60)
    await t.comes(S.RESOLUTION_REQUIRED)
    await t.firm()
    await t.refunds("0.1")
    t.pays(70, "b", how="call")
    await t.comes(S.SIGN_PENDING)
    await t.signs()
    await t.comes(S.COMPLETED)


COIN_STORIES: Final[dict[str, Story]] = {
    "coin by the transaction": _comes_as("plain"),
    "coin from inside": _comes_as("call"),
    "coin that only the balance shows": coin_that_only_the_balance_shows,
    "coin is taken back": coin_is_taken_back,
    "coin goes back in parts": coin_goes_back_in_parts,
}
