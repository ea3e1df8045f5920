"""A token that its issuer changed: who is told, who may let money go on, and what stands of it."""

import re
from datetime import timedelta

from counterfoil.core.assets import CHAINS
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import changed_tokens
from counterfoil.desk.changed_tokens import Told
from support.site import PASSWORD, Firm, Site

PATH = "/studio/changed-tokens"
USDT = CHAINS["arb"].accepted[1]
IMPLEMENTATION = "0x" + "1a" * 20
REASON = "announced on tether.to on Friday"


async def test_a_signer_looks_at_a_changed_token_and_lets_its_money_go_on(
    site: Site, firm: Firm
) -> None:
    for told in (
        Told(USDT.contract, "0x01", ()),
        Told(USDT.contract, "0x02", (IMPLEMENTATION,)),
    ):
        await changed_tokens.tell(site.desk, "arb", [told])

    ada = await site.at_the_pages("ada1@merchant.example")
    alert = await ada.open("/studio/now")
    assert "USDT on Arbitrum One was changed by its issuer." in alert.words
    assert f'href="{PATH}"' in alert.text
    page = await ada.open(PATH)
    assert IMPLEMENTATION in page.text
    assert USDT.contract in page.text
    assert "Somebody who may sign has to say so." in page.words
    version = {"chain": "arb", "contract": USDT.contract, "fingerprint": "0x02"}
    assert (await ada.send(PATH, {**version, "reason": REASON})).status == 403

    sam = await site.at_the_pages("sam1@merchant.example")
    empty = await sam.send(PATH, {**version, "reason": ""})
    assert empty.status == 422
    assert (await sam.send(PATH, {**version, "fingerprint": "0x03", "reason": "?"})).status == 404
    (shown,) = re.findall(r'name="fingerprint" value="([^"]+)"', (await sam.open(PATH)).text)
    assert shown == "0x02"

    # Money goes on only for who proves that it is they; what they wrote is still there.
    site.clock.advance(timedelta(minutes=11))
    unproved = await sam.send(PATH, {**version, "reason": REASON})
    assert unproved.status == 403
    assert REASON in unproved.words
    done = await sam.send(PATH, {**version, "reason": REASON, "proof": PASSWORD})
    assert "What waited goes on within a minute." in done.words
    assert "No token was changed" in done.words
    assert "was changed by its issuer" not in (await ada.open("/studio/now")).words
    reader = Actor("user_x", firm.org_id, frozenset({Permission.READ}))
    assert await changed_tokens.waiting(site.desk, reader) == []
    log = (await ada.open("/studio/settings/log")).words
    assert "let money go on under a token that its issuer had changed" in log
    assert REASON in log

    # What was accepted stays to be seen, by whom and why, and can be taken back.
    page = await ada.open(PATH)
    assert "Looked at, and money goes on" in page.words
    assert f"Version 0x02 Looked at by Sam · 2026-06-22 12:11 UTC {REASON}" in page.words
    assert "Take it back" not in page.words.split(REASON)[1]
    wrong = "it was never announced"
    back = {**version, "reason": wrong, "proof": PASSWORD}
    assert (await ada.send(f"{PATH}/withdraw", back)).status == 403
    assert (await sam.send(f"{PATH}/withdraw", {**back, "reason": ""})).status == 422
    chinese = await sam.open(PATH, Accept_Language="zh-TW")
    assert "撤回" in chinese.words
    taken = await sam.send(f"{PATH}/withdraw", back)
    assert "Money in this token waits for another look." in taken.words
    assert "Looked at, and money goes on" not in taken.words
    (change,) = await changed_tokens.waiting(site.desk, reader)
    assert change.fingerprint == "0x02"
    assert (await sam.send(f"{PATH}/withdraw", back)).status == 404
    log = (await ada.open("/studio/settings/log")).words
    assert "took back that money goes on under a changed token" in log
    assert wrong in log
