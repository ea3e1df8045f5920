"""Stories about payments that can never be made, and where their money goes instead."""

from typing import Final

from counterfoil.core.invoice import Status
from simulation.teller import BACK_TO, Story, Teller

S = Status


async def _stands_still(t: Teller) -> None:
    """A payout whose receiver the token's issuer has frozen."""
    merchant = t.payer("merchant")
    await t.create(payout_to=merchant)
    t.pays(100)
    await t.comes(S.SIGN_PENDING)
    t.chain.frozen.add(merchant)
    await t.signs()
    await t.parks("payout")


async def paid_elsewhere(t: Teller) -> None:
    await _stands_still(t)
    await t.does("redirect")
    await t.does("withdraw redirect", second=True)
    await t.does("redirect")
    await t.does("approve redirect", second=True)
    await t.comes(S.COMPLETED)


async def paid_elsewhere_or_there_again(t: Teller) -> None:
    """The issuer thinks again while the order waits: of the two payments one is made."""
    await _stands_still(t)
    await t.does("redirect")
    t.chain.frozen.discard(t.payer("merchant"))
    await t.does("approve again", second=True)
    await t.comes(S.COMPLETED)


async def a_surplus_is_given_up(t: Teller) -> None:
    await t.create()
    t.pays(150)
    await t.comes(S.SIGN_PENDING)
    t.chain.frozen.add(BACK_TO)
    await t.signs()
    await t.parks("partial_refund")
    await t.does("give up payments", second=True)
    await t.comes(S.COMPLETED)
    t.chain.frozen.discard(BACK_TO)
    await t.refunds(None)
    await t.comes(S.COMPLETED)


STANDING_STORIES: Final[dict[str, Story]] = {
    "paid elsewhere": paid_elsewhere,
    "paid elsewhere or there again": paid_elsewhere_or_there_again,
    "a surplus is given up": a_surplus_is_given_up,
}
