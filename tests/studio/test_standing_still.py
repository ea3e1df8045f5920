"""Payments that stand still: who sees them, what they are told, and what they can do about it."""

import re
from datetime import timedelta

import pytest

from counterfoil.books import lost, moves
from counterfoil.books.moves import MoveRow
from counterfoil.core.invoice import Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.rows import execute
from counterfoil.desk import payout_addresses
from counterfoil.desk.proving import verify_audit
from counterfoil.studio import queues
from support.actors import PAYOUT_ADDRESS
from support.payments import Payments, order_refund
from support.site import PASSWORD, Firm, Site

TREASURY = "0x" + "7e" * 20
REASON = "the chain would refuse it: execution reverted: Blacklistable: account is blacklisted"
WHY = "The issuer has frozen this address for good; see case 7"
ADMINISTERS = frozenset({Permission.ADMINISTER, Permission.READ})


async def registered(site: Site) -> None:
    """A treasury that two administrators agreed on a day ago."""
    anna, arno = (Actor(f"user_{name}", 1, ADMINISTERS) for name in ("anna", "arno"))
    found = await payout_addresses.add(site.desk, "evm", TREASURY, "Treasury", by=anna)
    await payout_addresses.approve(site.desk, found, arno)
    site.clock.advance(timedelta(hours=24))
    await site.publish_rates()


@pytest.fixture
async def stuck(site: Site, firm: Firm, payments: Payments) -> str:
    """An invoice whose payout no node would take."""
    await registered(site)
    return await stuck_one(firm, payments)


async def stuck_one(firm: Firm, payments: Payments) -> str:
    made = str((await firm.merchant.create()).data["id"])
    await firm.reviewer.approve(made)
    await payments.paid(made)
    await payments.booked(made)
    assert (await firm.signer.act("sign", made, {})).status == 200
    await payments.swept(made, more_to_move=True)
    await payments.parked(made, REASON)
    return made


async def payouts(site: Site, invoice_id: str, payments: Payments) -> list[MoveRow]:
    invoice = await payments.look(invoice_id)
    async with site.desk.database.reading() as tx:
        found = await moves.of_invoices(tx, 1, [invoice.invoice_id])
    return [move for move in found if move.purpose == "payout"]


async def test_signers_are_told_what_stands_still_why_and_what_to_do(
    site: Site, firm: Firm, payments: Payments, stuck: str
) -> None:
    sam = await site.at_the_pages("sam1@merchant.example")
    assert "Payments that stand still 1" in (await sam.open("/studio")).words
    queue = await sam.open("/studio/queue/standing")
    assert "The token refuses this payment" in queue.words
    assert "Pay it out to another address" in queue.words
    assert f"/studio/invoices/{stuck}" in queue.text
    path = f"/studio/invoices/{stuck}"
    page = await sam.open(path)
    assert "Nothing of it has left; the money is still with you." in page.words
    assert REASON in page.words
    assert f'<option value="{TREASURY}">Treasury' in page.text
    assert "Nothing is for you to do here now" not in page.words
    ada = await site.at_the_pages("ada1@merchant.example")
    assert "Invoices of which a payment stands still: 1." in (await ada.open("/studio/now")).words
    seen = await ada.open(path)
    assert "A payment stands still" in seen.words
    assert "A signer who did not make this invoice has to decide." in seen.words

    wanted = {"payout_address": TREASURY, "reason": WHY}
    refused = await sam.send(f"{path}/redirect", {**wanted, "payout_address": PAYOUT_ADDRESS})
    assert refused.status == 422
    assert "is no registered payout address" in refused.words
    assert (await sam.send(f"{path}/redirect", {**wanted, "reason": ""})).status == 422
    ordered = await sam.send(f"{path}/redirect", wanted)
    assert "To be paid to Treasury instead" in ordered.words
    assert "Approve the other address" not in ordered.words
    assert (await sam.send(f"{path}/approve_redirect")).status == 403
    sue = await site.at_the_pages("sue1@merchant.example")
    hers = (await sue.open("/studio/queue/standing")).words
    assert f"92.307693 USDT to {PAYOUT_ADDRESS[:6].lower()}" in hers
    assert f"paid to another address: Treasury {TREASURY} {WHY} ordered by Sam , " in hers
    assert "ordered by Sam" in (await sue.open(path)).words
    assert "A second signer can approve it until:" in (await sue.open(path)).words
    assert "approve_redirect" not in (await sam.open("/studio/queue/standing")).text
    site.clock.advance(timedelta(minutes=11))
    assert (await sue.send(f"{path}/approve_redirect")).status == 403
    ordered_here = rf'action="{path}/approve_redirect"(?:.|\n)*?name="seen" value="([^"]+)"'
    (seen,) = re.findall(ordered_here, (await sue.open("/studio/queue/standing")).text)
    other = await sue.send(f"{path}/approve_redirect", {"proof": PASSWORD, "seen": stuck})
    assert other.status == 409
    assert "another order stands here than the one you looked at" in other.words
    done = await sue.send(f"{path}/approve_redirect", {"proof": PASSWORD, "seen": seen})
    assert "sent a payout to another address instead" in done.words
    assert "A payment stands still" not in done.words
    old, new = await payouts(site, stuck, payments)
    assert (old.status, new.status, new.destination) == ("failed", "ready", TREASURY)
    assert new.amount_units == old.amount_units
    assert "Payments that stand still 0" in (await sue.open("/studio")).words
    assert (await payments.look(stuck)).status is Status.PAYOUT_PROCESSING
    assert firm.org_id == 1


async def test_where_some_of_it_has_left_nobody_is_told_that_it_is_still_here(
    site: Site, payments: Payments, stuck: str
) -> None:
    """A token took a part of what was paid: the payout landed, and less came than was sent."""
    (payout,) = await payouts(site, stuck, payments)
    arrived = payout.amount_units - 10_000
    why = f"{payout.amount_units} base units were to be paid; the token shows {arrived}"
    async with site.desk.database.transaction() as tx:
        await execute(
            tx,
            "UPDATE move SET moved_units = %(units)s, park_reason = %(why)s, tx_hash = %(hash)s"
            " WHERE org_id = 1 AND move_id = %(id)s",
            {"units": arrived, "why": why, "hash": "0x" + "5e" * 32, "id": payout.move_id},
        )
    sam = await site.at_the_pages("sam1@merchant.example")
    page = await sam.open(f"/studio/invoices/{stuck}")
    assert "Some of the money has left; do not pay it again." in page.words
    assert "Less has arrived than was sent" in page.words
    assert f"Arrived {arrived / 10**6:.6f}".rstrip("0") in page.words
    assert "0x" + "5e" * 32 in page.text
    queue = await sam.open("/studio/queue/standing")
    assert "Accept what its token left of it" in queue.words
    home = await sam.open("/studio/now")
    for said in (page, queue, home):
        assert "still with you" not in said.words


async def test_what_keeps_declined_money_from_going_back_is_given_up_first(
    site: Site, payments: Payments, stuck: str
) -> None:
    """Its payout stood still since before the money was declined."""
    async with site.desk.database.transaction() as tx:
        await execute(tx, "UPDATE invoice SET status = 'compliance_declined'", {})
    path = f"/studio/invoices/{stuck}"
    sam = await site.at_the_pages("sam1@merchant.example")
    page = await sam.open(path)
    assert "It keeps declined money from being sent back, until a signer gives it up." in page.words
    assert "Nothing is sent by it. The money can be sent back then." in page.words
    for other in ("Approve it again", "Pay it out to another address", "Order a refund"):
        assert other not in page.words
    queue = await sam.open("/studio/queue/standing")
    assert "Give it up" in queue.words
    await sam.send(f"{path}/withdraw_payments", {"reason": WHY})
    (payout,) = await payouts(site, stuck, payments)
    assert payout.status == "failed"
    after = await sam.open(path)
    assert "A payment stands still" not in after.words
    assert "Order a refund" in after.words


async def test_where_an_earlier_attempt_may_land_nobody_is_told_that_nothing_has_left(
    site: Site, payments: Payments, stuck: str
) -> None:
    (payout,) = await payouts(site, stuck, payments)
    signed = lost.LostSignature(
        chain=payout.chain,
        wallet="0x" + "a1" * 20,
        nonce=7,
        org_id=1,
        move_ids=[payout.move_id],
        tx_hashes=["0x" + "5f" * 32],
        found_at=site.clock.now(),
    )
    sam = await site.at_the_pages("sam1@merchant.example")
    for ended, sentence in ((None, "not known to be dead"), ("landed", "do not pay it again")):
        async with site.desk.database.transaction() as tx:
            if ended is None:
                await lost.add(tx, signed)
            else:
                await lost.end(tx, signed.chain, signed.wallet, 7, "landed", site.clock.now(), 90)
        page = await sam.open(f"/studio/invoices/{stuck}")
        assert "Whether the money has left is not certain" in page.words
        assert sentence in page.words
        assert "still with you" not in page.words
        assert "Approve it again" not in page.words


async def test_it_is_tried_again_where_the_first_address_works_after_all(
    site: Site, payments: Payments, stuck: str
) -> None:
    path = f"/studio/invoices/{stuck}"
    sam = await site.at_the_pages("sam1@merchant.example")
    await sam.send(f"{path}/redirect", {"payout_address": TREASURY, "reason": WHY})
    site.clock.advance(timedelta(days=7))
    sam = await site.at_the_pages("sam1@merchant.example")
    assert "It ran out:" in (await sam.open(path)).words
    await sam.send(f"{path}/redirect", {"payout_address": TREASURY, "reason": WHY})
    sue = await site.at_the_pages("sue1@merchant.example")
    assert "Approve the other address" in (await sue.open("/studio/queue/standing")).words
    for roles, told in ("auditor", "Pay it out to another"), ("signer", "Approve the other"):
        async with site.desk.database.transaction() as tx:
            await execute(
                tx,
                "UPDATE member SET roles = %(roles)s WHERE person_id = (SELECT person_id"
                " FROM person WHERE email = 'sam1@merchant.example')",
                {"roles": [roles]},
            )
        queue = (await sue.open("/studio/queue/standing")).words
        assert f"{told} address" in queue
        assert "A second signer has to approve" not in queue
    withdrawn = await sam.send(f"{path}/withdraw_redirect", {"reason": "It works again"})
    assert "withdrew that order" in withdrawn.words
    again = await sam.send(f"{path}/approve_payments", {"reason": "The issuer lifted it"})
    assert "Approved again;" in again.words
    (payout,) = await payouts(site, stuck, payments)
    assert (payout.status, payout.generation) == ("ready", 1)
    assert payout.destination == PAYOUT_ADDRESS.lower()


async def test_a_refund_that_can_never_be_made_is_given_up_by_another_than_who_ordered_it(
    site: Site, firm: Firm, payments: Payments
) -> None:
    await site.publish_rates()
    made = str((await firm.merchant.create()).data["id"])
    await firm.reviewer.approve(made)
    await payments.paid(made)
    await payments.booked(made)
    await order_refund(firm, made)
    await firm.second_signer.act("refund/approve", made)
    await payments.swept(made, more_to_move=True)
    await payments.parked(made, REASON, "refund")

    path = f"/studio/invoices/{made}"
    sam = await site.at_the_pages("sam1@merchant.example")
    assert "Give it up" not in (await sam.open(path)).words
    assert (await sam.send(f"{path}/withdraw_payments", {"reason": WHY})).status == 403
    sue = await site.at_the_pages("sue1@merchant.example")
    assert "Give it up" in (await sue.open(path)).words
    assert (await sue.send(f"{path}/withdraw_payments", {"reason": ""})).status == 422
    done = await sue.send(f"{path}/withdraw_payments", {"reason": WHY})
    assert "Given up. The money can go back to another address." in done.words
    assert "A payment stands still" not in done.words
    assert (await payments.look(made)).status is Status.SIGN_PENDING


async def test_what_a_token_kept_is_shown_and_accepted_by_a_signer(
    site: Site, firm: Firm, payments: Payments, stuck: str
) -> None:
    await payments.kept_by_token(stuck, 92_307)
    kept = "less is here, as its token kept 92307 on the way"
    await payments.parked(other := await stuck_one(firm, payments), REASON)
    await payments.kept_by_token(other, 1)
    async with site.desk.database.transaction() as tx:
        because = "UPDATE move SET park_reason = %(kept)s WHERE purpose = 'payout'"
        await execute(tx, because, {"kept": kept})

    ada = await site.at_the_pages("ada1@merchant.example")
    path = f"/studio/invoices/{stuck}"
    assert "Accept what its token left of it" not in (await ada.open(path)).words
    sam = await site.at_the_pages("sam1@merchant.example")
    assert "Accept what its token left of it" in (await sam.open("/studio/queue/standing")).words
    page = (await sam.open(path)).words
    assert "Kept by its token, as a fee 0.092307 USDT" in page
    assert "Can be paid 92.215386 USDT" in page
    assert "Its token kept a part of the money." in page
    assert "Approve it again" not in page
    assert "to another address" not in page
    done = await sam.send(f"{path}/accept_fees", {"reason": "The issuer takes a fee; we bear it"})
    assert "Accepted. What was not paid yet goes out with what is here." in done.words
    assert "A payment stands still" not in done.words
    (payout,) = await payouts(site, stuck, payments)
    assert (payout.status, payout.amount_units, payout.generation) == ("ready", 92_215_386, 1)

    reason = {"reason": "The issuer takes a fee; we bear it"}
    by_program = await firm.signer.act("payments/accept", other, reason)
    assert [fee["amount"] for fee in by_program.data["token_fees"]] == ["0.000001"]
    again = await firm.signer.act("payments/accept", other, reason)
    assert again.status == 409
    assert (await payouts(site, other, payments))[0].amount_units == 92_307_692
    assert (await verify_audit(site.desk)).breaks == ()


async def test_programs_send_payouts_elsewhere_with_two_keys(
    site: Site, firm: Firm, payments: Payments, stuck: str
) -> None:
    wanted = {"payout_address": TREASURY, "reason": WHY}
    once = {"Idempotency-Key": "elsewhere"}
    for nobody in (firm.merchant, firm.reviewer, firm.officer, firm.auditor):
        assert (await nobody.act("payments/redirect", stuck, wanted)).status == 403
    bad = await firm.signer.act("payments/redirect", stuck, {**wanted, "payout_address": "0x1"})
    assert list(bad.fields) == ["payout_address"]
    first = await firm.signer.act("payments/redirect", stuck, wanted, once)
    second = await firm.signer.act("payments/redirect", stuck, wanted, once)
    assert first.status == second.status == 200
    assert (await firm.signer.act("payments/redirect", stuck, wanted)).status == 409
    assert (await firm.signer.act("payments/redirect/approve", stuck)).status == 403
    why = {"reason": "Looked up once more, wait"}
    assert (await firm.signer.act("payments/redirect/withdraw", stuck, why)).status == 200
    assert (await firm.second_signer.act("payments/redirect/approve", stuck)).status == 409
    assert (await firm.second_signer.act("payments/redirect", stuck, wanted)).status == 200
    unnamed = await firm.signer.act("payments/redirect/approve", stuck)
    assert list(unnamed.fields) == ["redirect_id"], "there was more than one order"
    logs = (await firm.signer.get(f"/invoice/intent/{stuck}/logs")).data
    ordered = [log["metadata"]["redirect"] for log in logs if log["event"] == "redirect_ordered"]
    called_off, last = sorted(ordered)
    for wrong in (called_off.upper(), "the last one"):
        misnamed = await firm.signer.act("payments/redirect/approve", stuck, {"redirect_id": wrong})
        assert list(misnamed.fields) == ["redirect_id"]
    former = await firm.signer.act("payments/redirect/approve", stuck, {"redirect_id": called_off})
    assert former.status == 409
    done = await firm.signer.act("payments/redirect/approve", stuck, {"redirect_id": last})
    assert done.data["payment_intent"]["payout_addresses"] == {"evm": PAYOUT_ADDRESS.lower()}
    assert [move.destination for move in await payouts(site, stuck, payments)] == [
        PAYOUT_ADDRESS.lower(),
        TREASURY,
    ]
    elsewhere = await site.firm(2)
    assert (await elsewhere.signer.act("payments/redirect", stuck, wanted)).status == 404


async def test_administrators_see_addresses_that_wait_for_their_approval(
    site: Site, firm: Firm
) -> None:
    _, _, _, uid = await site.person(firm.org_id, "anna", "administrator")
    await site.person(firm.org_id, "arno", "administrator")
    anna = Actor(uid, 1, ADMINISTERS)
    await payout_addresses.add(site.desk, "evm", TREASURY, "Treasury", by=anna)
    waits = "Payout addresses to approve 1"
    for name, told in (("arno", True), ("anna", False), ("sam", False)):
        visitor = await site.at_the_pages(f"{name}1@merchant.example")
        assert (waits in (await visitor.open("/studio")).words) == told


async def test_all_that_stands_still_is_found_page_after_page_and_from_the_alert(
    site: Site, firm: Firm, payments: Payments, stuck: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "AT_ONCE", 1)
    found = [stuck, await stuck_one(firm, payments)]
    sam = await site.at_the_pages("sam1@merchant.example")
    for number in (1, 2):
        page = await sam.open(f"/studio/queue/standing?page={number}")
        assert f"2 invoices Back {number} / 2 Next" in page.words
        assert [one for one in found if one in page.text] == found[number - 1 : number]
    assert "2 invoices Back 2 / 2 Next" in (await sam.open("/studio/queue/standing?page=9")).words
    alert = '<a class="alert-link text-nowrap" href="/studio/queue/standing">'
    assert alert in (await sam.open("/studio/now")).text
    ada = await site.at_the_pages("ada1@merchant.example")
    assert alert not in (await ada.open("/studio/now")).text
