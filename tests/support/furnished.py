"""What an organisation's settings look like after a while, for those who look at them."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

from counterfoil.books import profiles
from counterfoil.books.profiles import PayoutAddress
from counterfoil.core import ids
from counterfoil.core.payout_rules import PayoutRules
from counterfoil.core.roles import Actor, operator, permissions_of
from counterfoil.desk import (
    bank_accounts,
    callbacks,
    clients,
    keys,
    membership,
    payout_addresses,
    profile,
    settings,
)
from counterfoil.worker import CALLBACK_FORMS
from counterfoil.workers.notify import Notifier
from counterfoil.workers.outward import callback_session
from support.banks import BERLIN, FUBON, from_before
from support.inbox import Inbox
from support.patience import patiently
from support.pictures import drawn
from support.shop import Shop
from support.site import Firm, Site

MASTER: Final = b"master secret of this installation"
LONG: Final = "Wolfeschlegelsteinhausenbergerdorff International Trading and Shipping"


async def furnish(site: Site, firm: Firm) -> dict[str, str]:
    """Two administrators change something of everything; answers what addresses name of it."""
    anna, arno = [
        _administrator(firm, (await site.person(firm.org_id, name, "administrator"))[3])
        for name in ("anna", "arno")
    ]
    await _describe(site, anna)
    dora = ids.parse("user", (await site.person(firm.org_id, "dora", "signer"))[3])
    assert dora is not None
    await membership.disable(site.desk, dora, anna)
    invited = await membership.add(
        site.desk,
        site.app.state.studio.signing_in.passwords,
        anna,
        email="wang.xiaoming.of.the.long.address@subsidiary.merchant.example",
        name=f"王小明 {LONG}",
        roles=("finance", "reviewer", "auditor"),
    )
    await _register(site, anna, arno)
    await clients.add(site.desk, f"{LONG} 網路商店", anna)
    await clients.disable(site.desk, await clients.add(site.desk, "Old till", anna), anna)
    await _make_keys(site, anna)
    rules = {"underpay_ratio": "0.995", "auto_accept_underpaid_from": "0.98"}
    await settings.change_policy(site.desk, firm.org_id, rules, by=anna)
    await _tell(site, anna)
    return {
        "member": firm.reviewer.uid,
        "invited": ids.public("user", invited.member_id),
        "invitation": f"/studio/invitation/{invited.token}",
        "offer": await _offer(site),
    }


async def _offer(site: Site) -> str:
    """Another organisation invites Maya: where its link leads."""
    await Shop(site.desk, 2).open()
    offered = await membership.add(
        site.desk,
        site.app.state.studio.signing_in.passwords,
        operator(2),
        email="maya1@merchant.example",
        name="Maya",
        roles=("finance", "reviewer", "auditor"),
    )
    return f"/studio/invitation/{offered.token}"


def _administrator(firm: Firm, uid: str) -> Actor:
    return Actor(uid, firm.org_id, permissions_of(("administrator",)))


async def _describe(site: Site, anna: Actor) -> None:
    written = profile.Written(
        name="Merchant 1",
        email="billing@merchant.example",
        address="台北市信義區信義路五段七號\n7 Xinyi Road, Section 5, Taipei",
        tax_number="12345678",
        time_zone="Asia/Taipei",
    )
    await profile.change(site.desk, written, anna)
    redraw = site.app.state.studio.press.picture
    await profile.set_logo(site.desk, drawn(220, 60), "logo.png", anna, redraw)


async def _register(site: Site, anna: Actor, arno: Actor) -> None:
    treasury = await payout_addresses.add(
        site.desk, "evm", "0x" + "52" * 20, "Treasury 財務部", by=anna
    )
    await payout_addresses.add(site.desk, "evm", "0x" + "53" * 20, LONG, by=anna)
    await payout_addresses.add(site.desk, "evm", "0x" + "54" * 20, "Exchange", by=arno)
    await payout_addresses.approve(site.desk, treasury, arno)
    add = partial(bank_accounts.add, site.desk, by=anna)
    fubon = await add(FUBON, label="台北富邦", currency="TWD")
    await add(replace(BERLIN, holder=LONG), label=f"{LONG} 9", currency="USD")
    await bank_accounts.approve(site.desk, fubon.bank_account_id, arno)
    async with site.desk.database.transaction() as tx:
        await from_before(tx, 9, "Old account")
    await bank_accounts.disable(site.desk, 9, anna)
    async with site.desk.database.transaction() as tx:
        await from_before(tx, 10, "Petty cash")
    now = site.clock.now()
    old = PayoutAddress(
        site.desk.ids.new(), "evm", "0x" + "5e" * 20, "Safe", arno.uid, now, anna.uid, now, now
    )
    async with site.desk.database.transaction() as tx:
        await profiles.insert_payout_address(tx, anna.org_id, old)
    await payout_addresses.choose_default(site.desk, old.payout_address_id, anna, on=True)
    loose = PayoutRules(wait_hours=2)
    await payout_addresses.change_rules(site.desk, loose, anna)


async def _make_keys(site: Site, anna: Actor) -> None:
    last_day = (site.clock.now() + timedelta(days=90)).date()
    for label, permissions in (
        (f"{LONG} 網路商店", ("transfer:read", "organization:audit")),
        ("Old shop", ("transfer:read",)),
    ):
        await keys.make(site.desk, anna, label=label, permissions=permissions, last_day=last_day)
    old = next(key for key in await keys.shown(site.desk, anna) if key.label == "Old shop")
    await keys.revoke(site.desk, old.key_id, anna)


async def _tell(site: Site, anna: Actor) -> None:
    """Of three callbacks one arrives, one is refused, and one is on its way."""
    async with Inbox().open() as inbox, callback_session(allow_private=True) as session:
        notifier = Notifier(site.desk, CALLBACK_FORMS, session, MASTER, allow_private=True)
        for status in (200, 500):
            if status != 200:
                inbox.always_refuses(status)
            await callbacks.test(site.desk, inbox.url, anna, allow_private=True)
            async with patiently("a notifier that rests"):
                while await notifier.step():
                    await notifier.settle()
    hook = f"https://hooks.merchant.example/{'payments/' * 8}"
    await callbacks.test(site.desk, hook, anna, allow_private=False)
    assert len((await callbacks.overview(site.desk, anna)).tests) == 3
