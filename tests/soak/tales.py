"""The kinds of invoices that a soak tells, each with the end that it promises."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final

from soak.stories import Promise, Story

LATE_SECONDS: Final = (20, 60, 180, 600)
"""How long a late payer's invoice may be paid: as long as it takes to get it approved between
kills, on a machine that is busy with other things."""

SANCTIONED: Final = "0x5a9c7104ed000000000000000000000000000001"
"""On the list that the sandbox imports (sandbox/sanctions.csv)."""

WHY: Final = {"reason": "Source of funds looked at; see case 2026-17."}


def doubtful() -> str:
    """Somebody whom the simulated provider finds risky, though on no list."""
    return "0x" + secrets.token_hex(18) + "7777"


async def exact(story: Story) -> Promise:
    await story.opens()
    await story.pays(story.due_units)
    await story.signable()
    return await story.paid_out()


async def split(story: Story) -> Promise:
    await story.opens()
    first, second = story.due_units // 3, story.due_units // 2
    for units in (first, second, story.due_units - first - second):
        await story.pays(units)
    await story.signable()
    return await story.paid_out()


async def overpaid(story: Story) -> Promise:
    """The surplus goes elsewhere with the second signer's word, and the rest is paid out."""
    await story.opens()
    surplus = story.due_units // 4
    await story.pays(story.due_units + surplus)
    await story.signable()
    order = await story.order(refund_reason="Paid too much.")
    await story.acts(story.journey.signer, "sign", order)
    await story.acts(story.second_signer, "refund/approve")
    await story.ends("completed")
    return Promise("completed", merchant=(story.due_units,), back=(surplus,))


async def underpaid(story: Story) -> Promise:
    """The customer pays the rest when told."""
    await story.opens()
    part = story.due_units * 3 // 5
    await story.pays(part)
    await story.short()
    await story.pays(story.due_units - part)
    await story.signable()
    return await story.paid_out()


async def refunded(story: Story) -> Promise:
    await story.opens()
    await story.pays(story.due_units)
    await story.signable()
    return await story.sent_back(story.due_units)


async def refunded_short(story: Story) -> Promise:
    await story.opens()
    part = story.due_units // 2
    await story.pays(part)
    await story.short()
    return await story.sent_back(part)


async def late(story: Story) -> Promise:
    """Paid after the deadline, and taken all the same."""
    deadline = await _opens_for_a_moment(story)
    await asyncio.sleep(max(0, deadline + 2 - time.time()))
    await story.pays(story.due_units)
    await story.signable()
    return await story.paid_out()


async def expired(story: Story) -> Promise:
    """Paid when nobody waited for it any more, and taken all the same."""
    await _opens_for_a_moment(story)
    await story.ends("expired")
    await story.pays(story.due_units)
    await story.signable()
    return await story.paid_out()


async def _opens_for_a_moment(story: Story) -> int:
    """Approved, with little time left; answers the deadline."""
    deadline = 0
    for seconds in LATE_SECONDS:
        deadline = int(time.time()) + seconds
        if await story.opens_in_time(deadline):
            break
    return deadline


async def released(story: Story) -> Promise:
    """Held, as the payer is found risky; nobody may sign before two officers let it go."""
    await story.opens()
    await story.pays_out_of(doubtful())
    await story.held()
    await story.may_not(story.journey.signer, "sign", 409)
    await story.acts(story.journey.officer, "release", WHY)
    await story.may_not(story.journey.officer, "release", 403, WHY)
    await story.acts(story.journey.second_officer, "release", WHY)
    await story.signable()
    return await story.paid_out()


async def declined(story: Story) -> Promise:
    """Held, taken to the hold wallet, refused by two officers, sent back to a place on no list."""
    await story.opens()
    await story.pays_out_of(doubtful())
    await story.held()
    await story.acts(story.journey.officer, "quarantine", WHY)
    for officer in (story.journey.officer, story.journey.second_officer):
        await story.acts(officer, "decline", WHY)
    listed = await story.order(refund_address=SANCTIONED)
    await story.may_not(story.journey.signer, "refund", 422, listed)
    return await story.sent_back(story.due_units)


async def sanctioned(story: Story) -> Promise:
    """Held, as the payer is on a list: nobody lets it go or sends it back; it is taken to HOLD."""
    await story.opens()
    await story.pays_out_of(SANCTIONED)
    await story.held()
    await story.may_not(story.journey.officer, "release", 409, WHY)
    for officer in (story.journey.officer, story.journey.second_officer):
        await story.acts(officer, "decline", WHY)
    await story.may_not(story.journey.signer, "refund", 409, await story.order())
    await story.acts(story.journey.officer, "quarantine", WHY)
    return Promise("compliance_freeze")


async def in_ether(story: Story) -> Promise:
    story.token = story.chain.token("ETH")
    return await exact(story)


async def ether_refunded(story: Story) -> Promise:
    story.token = story.chain.token("ETH")
    return await refunded(story)


async def unheard(story: Story) -> Promise:
    """The merchant's server has bad hours, and is told everything all the same."""
    story.receiver = story.moody
    await story.opens()
    await story.pays(story.due_units)
    await story.signable()
    return await story.paid_out()


Tale = Callable[[Story], Awaitable[Promise]]

TALES: Final[tuple[Tale, ...]] = (
    exact,
    overpaid,
    released,
    refunded,
    in_ether,
    unheard,
    underpaid,
    declined,
    split,
    sanctioned,
    refunded_short,
    ether_refunded,
    late,
    expired,
)
