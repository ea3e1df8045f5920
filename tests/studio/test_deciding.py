"""Reviewers, signers and compliance at their pages: in bulk, with numbers, by two people."""

import re
from datetime import timedelta

import aiohttp
import pytest

from counterfoil.core.reckoning import Depth
from counterfoil.desk import settings
from counterfoil.studio import approvals
from support.payments import CUSTOMER_WALLET, Payments, order_refund
from support.site import PASSWORD, Firm, Site
from support.visitor import Page

RITA = "rita1@merchant.example"
SAM = "sam1@merchant.example"
SUE = "sue1@merchant.example"
OTTO = "otto1@merchant.example"
CUSTOMER = "0x" + "c0" * 20
THIEF = "0x" + "7e" * 20
PDF = b"%PDF-1.7\nx\nstartxref\n0\n%%EOF"


def keys(text: str) -> list[str]:
    return re.findall(r'name="invoice" value="([^"]+)"', text)


def seen_in(page: Page) -> dict[str, str]:
    """The order that a page shows, as its form sends it back."""
    (found,) = re.findall(r'name="seen" value="([^"]+)"', page.text)
    (run,) = re.findall(r'name="seen_run" value="([^"]*)"', page.text)
    return {"seen": found, "seen_run": run}


async def ready_to_sign(firm: Firm, payments: Payments) -> str:
    """An invoice that is paid, screened, and waits for a signature."""
    made: str = (await firm.merchant.create()).data["id"]
    await firm.reviewer.approve(made)
    await payments.paid(made)
    return made


async def statuses(firm: Firm, *made: str) -> list[str]:
    return [(await firm.auditor.look(one)).data["status"] for one in made]


async def test_a_rule_writes_down_where_a_surplus_came_from_for_who_signs(
    site: Site, firm: Firm, payments: Payments
) -> None:
    plain: str = (await firm.merchant.create()).data["id"]
    await settings.change_policy(site.desk, 1, {"auto_refund_surplus_below_usd": "5"})
    ruled: str = (await firm.merchant.create()).data["id"]
    for made in (plain, ruled):
        await firm.reviewer.approve(made)
        await payments.paid(made, percent=105)
    sam = await site.at_the_pages(SAM)
    written = {made: (await sam.open(f"/studio/invoices/{made}")).text for made in (plain, ruled)}
    field = r'id="refund_address"[^>]* value="([^"]*)"'
    assert [re.findall(field, written[made]) for made in (plain, ruled)] == [
        [""],
        [CUSTOMER_WALLET],
    ]
    assert "so your rule proposes it" in written[ruled]


async def test_an_address_is_no_way_back_for_a_surplus_that_somebody_chose_to_keep(
    site: Site, firm: Firm, payments: Payments
) -> None:
    made: str = (await firm.merchant.create()).data["id"]
    await firm.reviewer.approve(made)
    await payments.paid(made, percent=105)
    sam, sue = [await site.at_the_pages(who) for who in (SAM, SUE)]
    page = await sam.open(f"/studio/invoices/{made}")
    assert 'id="refund_address"' in page.text
    await sue.send(f"/studio/invoices/{made}/accept", {"reason": "a tip"})

    given = {"refund_address": CUSTOMER_WALLET, "reason": "sent too much"}
    path = f"/studio/invoices/{made}/sign_off"
    refused = await sam.send(path, given, token=page.form_token)
    assert "accept was chosen, which keeps it" in refused.words
    assert 'id="refund_address"' not in refused.text
    assert await payments.moves(made) == []
    await sam.send(path, {}, token=refused.form_token)
    assert [purpose for purpose, *_ in await payments.moves(made)] == ["sweep", "payout"]


async def test_rita_approves_many_at_once_and_hears_of_each(site: Site, firm: Firm) -> None:
    made = [(await firm.merchant.create()).data["id"] for _ in range(3)]
    rita = await site.at_the_pages(RITA)
    page = await rita.open("/studio/approvals")
    assert "3 invoices wait for you" in page.words
    chosen = keys(page.text)
    assert len(chosen) == 3
    await firm.merchant.update(made[1], recipient_name="Somebody Else")
    after = await rita.send(
        "/studio/approvals", {"decision": "approve", "invoice": chosen}, token=page.form_token
    )
    assert after.words.count(": approved") == 2
    assert "the invoice was changed since you opened it" in after.words
    assert await statuses(firm, *made) == [
        "pending_payment",
        "approval_pending",
        "pending_payment",
    ]


async def test_all_that_waits_can_be_reached_page_by_page(
    site: Site, firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approvals, "AT_ONCE", 2)
    other = await site.firm(2)
    await site.joins("rita1@merchant.example", 2, "reviewer")
    made = []
    for one in (firm, firm, firm, other, other):
        made.append((await one.merchant.create()).data["id"])
        site.clock.advance(timedelta(seconds=1))
    rita = await site.at_the_pages(RITA)
    pages = [await rita.open(f"/studio/approvals?page={number}") for number in (1, 2, 3, 9)]
    found = [[key.split(":")[1] for key in keys(page.text)] for page in pages]
    assert found == [made[:2], made[2:4], made[4:], made[4:]], "the longest waiting come first"
    assert all("5 invoices wait for you" in page.words for page in pages)
    assert "2 / 3" in pages[1].words
    action = '<form method="post" action="/studio/approvals?page=2" id="approvals">'
    assert action in pages[1].text
    after = await rita.send(
        "/studio/approvals?page=2",
        {"decision": "approve", "invoice": keys(pages[1].text)},
        token=pages[1].form_token,
    )
    assert after.words.count(": approved") == 2
    assert [key.split(":")[1] for key in keys(after.text)] == made[4:]
    assert await statuses(firm, *made[:3]) == ["approval_pending"] * 2 + ["pending_payment"]


async def test_rejecting_many_needs_a_reason(site: Site, firm: Firm) -> None:
    made = [(await firm.merchant.create()).data["id"] for _ in range(2)]
    rita = await site.at_the_pages(RITA)
    page = await rita.open("/studio/approvals")
    fields = {"decision": "reject", "invoice": keys(page.text)}
    refused = await rita.send("/studio/approvals", fields, token=page.form_token)
    assert refused.status == 422
    assert refused.text.count(" checked>") == 2
    assert await statuses(firm, *made) == ["approval_pending"] * 2
    await rita.send("/studio/approvals", {**fields, "reason": "Not ours"}, token=page.form_token)
    assert await statuses(firm, *made) == ["approval_rejected"] * 2


async def test_nobody_approves_their_own_work_in_bulk_either(site: Site, firm: Firm) -> None:
    made = (await firm.all_roles.create()).data["id"]
    alma = await site.at_the_pages("alma1@merchant.example")
    page = await alma.open("/studio/approvals")
    assert keys(page.text) == []
    assert "somebody else approves it" in page.words
    content = (await firm.auditor.look(made)).data["content_hash"]
    forced = await alma.send(
        "/studio/approvals",
        {"decision": "approve", "invoice": [f"1:{made}:{content}"]},
        token=(await alma.open("/studio")).form_token,
    )
    assert "not decided" in forced.words
    assert await statuses(firm, made) == ["approval_pending"]


async def test_another_organisations_invoices_cannot_be_decided(site: Site, firm: Firm) -> None:
    other = await site.firm(2)
    theirs = (await other.merchant.create()).data
    rita = await site.at_the_pages(RITA)
    token = (await rita.open("/studio")).form_token
    for key in (f"2:{theirs['id']}:{theirs['content_hash']}", f"1:{theirs['id']}:x"):
        sent = await rita.send(
            "/studio/approvals", {"decision": "approve", "invoice": [key]}, token=token
        )
        assert ": approved" not in sent.words
    assert await statuses(other, theirs["id"]) == ["approval_pending"]
    assert firm.org_id == 1


async def test_sam_reads_that_more_came_that_is_not_final_yet(
    site: Site, firm: Firm, payments: Payments
) -> None:
    made = await ready_to_sign(firm, payments)
    sam = await site.at_the_pages(SAM)
    await payments.arrives(made, units=10_000, depth=Depth.SEEN)
    queue = await sam.open("/studio/queue/sign")
    assert "not final on its chain yet" in queue.words
    assert "somebody else has to" not in queue.words
    page = await sam.open(f"/studio/invoices/{made}")
    assert "All of the money has to be final on its chain before it can be signed for" in page.words
    path = f"/studio/invoices/{made}/sign_off"
    refused = await sam.send(path, {"proof": PASSWORD}, token=page.form_token)
    assert refused.status == 409
    assert "more money came, and 0.01 USDT of it is not yet final on chain" in refused.words
    chinese = await sam.send(path, {"proof": PASSWORD}, headers={"Accept-Language": "zh-TW"})
    assert "其中 0.01 USDT 在鏈上尚未最終確定" in chinese.words


async def test_sam_signs_with_the_password_and_not_without(
    site: Site, firm: Firm, payments: Payments
) -> None:
    made = await ready_to_sign(firm, payments)
    sam = await site.at_the_pages(SAM)
    site.clock.advance(timedelta(minutes=20))
    page = await sam.open("/studio/queue/sign")
    assert "Sign for it" in page.words
    path = f"/studio/invoices/{made}/sign_off"
    page = await sam.open(f"/studio/invoices/{made}")
    assert "Your password, to confirm that it is you" in page.words
    for proof in ({}, {"proof": "wrong"}):
        assert (await sam.send(path, proof, token=page.form_token)).status == 403
    assert await statuses(firm, made) == ["sign_pending"]
    signed = await sam.send(path, {"proof": PASSWORD}, token=page.form_token)
    assert "Signed." in signed.words
    assert await statuses(firm, made) == ["sweep_processing"]


async def test_the_page_of_an_overpaid_invoice_says_where_the_money_is_and_puts_the_best_first(
    site: Site, firm: Firm, payments: Payments
) -> None:
    made = (await firm.merchant.create()).data["id"]
    await firm.reviewer.approve(made)
    await payments.paid(made, percent=150)
    sam = await site.at_the_pages(SAM)
    page = await sam.open(f"/studio/invoices/{made}")
    assert "Received 138.461539 USDT With us now 138.461539 USDT" in page.words
    assert (
        re.search(r"To be paid out 92\.307693 USDT 0x\w{40} To be sent back", page.words)
        is not None
    )
    assert "To be sent back 46.153846 USDT" in page.words
    assert "Sent back" not in page.words
    assert re.findall(r"<details[^>]*open>\s*<summary[^>]*>([^<]+)", page.text) == [
        "Sign for the money"
    ]


async def test_a_refund_with_papers_is_ordered_by_one_and_approved_by_another(
    site: Site, firm: Firm, payments: Payments
) -> None:
    made = await ready_to_sign(firm, payments)
    sam = await site.at_the_pages(SAM)
    page = await sam.open(f"/studio/invoices/{made}/refund")
    assert "What can go back now" in page.words
    assert "3,000.00 TWD at the price of this invoice" in page.words
    form = aiohttp.FormData({"address": CUSTOMER, "reason": "", "amount": "", "asset": ""})
    form.add_field("attachments", PDF, filename="order.pdf", content_type="application/pdf")
    refused = await sam.send(f"/studio/invoices/{made}/refund", form, token=page.form_token)
    assert refused.status == 422
    kept = re.findall(r'name="file_id" value="([^"]+)"', refused.text)
    assert len(kept) == 1, refused.words
    fields = {
        "address": CUSTOMER,
        "reason": "Wrong order",
        "amount": "",
        "asset": "",
        "file_id": kept,
    }
    ordered = await sam.send(f"/studio/invoices/{made}/refund", fields, token=page.form_token)
    assert "a second person has to approve it" in ordered.words
    mine = await sam.send(f"/studio/invoices/{made}/approve_refund", token=page.form_token)
    assert mine.status == 403
    sue = await site.at_the_pages(SUE)
    page = await sue.open(f"/studio/invoices/{made}")
    box = page.words.split("What you can do")[1]
    assert re.search(r"Reason Wrong order Attachments order.pdf Ordered by Sam 20", box), box
    assert box.count("To be sent back 92.307693 USDT") == 1
    assert kept[0] in page.text.split("What you can do")[1]
    path, seen = f"/studio/invoices/{made}/approve_refund", seen_in(page)
    approved = await sue.send(path, seen, token=page.form_token)
    assert "The refund is approved; this page says how far it is." in approved.words
    assert "approved, not sent yet 92.307693 USDT" in approved.words
    assert "Nothing of this refund has left yet" in approved.words
    assert "on its way 92.307693" not in approved.words
    assert await statuses(firm, made) == ["refund_processing"]
    file = await sue.open(f"/studio/files/{kept[0]}")
    assert file.headers["Content-Disposition"].startswith("attachment")


async def test_what_was_found_while_sue_reads_the_order_is_shown_to_her_first(
    site: Site, firm: Firm, payments: Payments
) -> None:
    made = await ready_to_sign(firm, payments)
    await order_refund(firm, made, {})
    sue = await site.at_the_pages(SUE)
    path = f"/studio/invoices/{made}/approve_refund"
    page = await sue.open(f"/studio/invoices/{made}")
    assert "Screening clear" in page.words.split("What you can do")[1]
    queued = await sue.open("/studio/queue/refund")
    assert "Screening clear" in queued.words
    await payments.screened(made, "aml_hold")

    for shown in (queued, page):
        refused = await sue.send(path, seen_in(shown), token=page.form_token)
        assert refused.status == 409
        assert "the money was screened since you looked, and something was found" in refused.words
    assert await statuses(firm, made) == ["refund_pending"]
    now = await sue.open(f"/studio/invoices/{made}")
    assert "Screening held" in now.words.split("What you can do")[1]
    approved = await sue.send(path, seen_in(now), token=now.form_token)
    assert "The refund is approved" in approved.words


async def test_who_orders_a_refund_cannot_swap_it_under_the_eyes_of_who_approves(
    site: Site, firm: Firm, payments: Payments
) -> None:
    """Sam orders a small one to the customer, and while Sue reads it, all of it to himself."""
    made = await ready_to_sign(firm, payments)
    small = {"refund_amount": "5", "refund_token": "USDT", "refund_chain": "arb"}
    first = (await order_refund(firm, made, small)).data["refund"]["refund_id"]
    sue = await site.at_the_pages(SUE)
    path = f"/studio/invoices/{made}/approve_refund"
    page = await sue.open(f"/studio/invoices/{made}")
    read = seen_in(page)
    assert (await firm.signer.act("refund/withdraw", made)).status == 200
    second = (await order_refund(firm, made, {"refund_address": THIEF})).data["refund"]

    for fields in (read, {}, {"seen": "anything"}):
        refused = await sue.send(path, fields, token=page.form_token)
        assert refused.status == 409
        assert "another refund stands here than the one you looked at" in refused.words
    by_api = await firm.second_signer.act("refund/approve", made, {"refund_id": first})
    assert by_api.refusal == (409, 4090)
    assert (await firm.second_signer.act("refund/approve", made, {"refund_id": "x"})).status == 422
    unnamed = await firm.second_signer.act("refund/approve", made)
    assert unnamed.refusal == (422, 4220)
    assert "more than one refund was ordered" in unnamed.fields["refund_id"]
    assert await statuses(firm, made) == ["refund_pending"]
    assert await payments.moves(made) == []

    named = {"refund_id": second["refund_id"]}
    assert (await firm.second_signer.act("refund/approve", made, named)).status == 200
    assert (await payments.moves(made))[-1][:2] == ("refund", THIEF)


async def test_a_refund_form_tells_all_that_is_wrong_at_once_and_keeps_its_files(
    site: Site, firm: Firm, payments: Payments
) -> None:
    made = await ready_to_sign(firm, payments)
    sam = await site.at_the_pages(SAM)
    page = await sam.open(f"/studio/invoices/{made}/refund")
    form = aiohttp.FormData({"address": "0xnobody", "reason": " ", "amount": "1000", "asset": ""})
    form.add_field("attachments", PDF, filename="order.pdf", content_type="application/pdf")
    form.add_field("attachments", b"<svg>", filename="drawn.svg", content_type="application/pdf")
    refused = await sam.send(f"/studio/invoices/{made}/refund", form, token=page.form_token)
    assert refused.status == 422
    assert "4 fields need another look" in refused.words
    told = (
        "is more than is still here",
        "Address : must be",
        "Reason :",
        "svg is refused: it must",
    )
    places = [refused.words.index(one) for one in told]
    assert places == sorted(places)
    assert "kept from before: order.pdf" in refused.words
    kept = re.findall(r'name="file_id" value="([^"]+)"', refused.text)
    fields = {"address": CUSTOMER, "reason": "Wrong order", "amount": "", "asset": ""}
    without = await sam.send(f"/studio/invoices/{made}/refund", fields, token=page.form_token)
    assert "must name one to 10 uploaded files" in without.words
    unknown = {**fields, "file_id": "file_" + "0" * 32}
    foreign = await sam.send(f"/studio/invoices/{made}/refund", unknown, token=page.form_token)
    assert "names a file that was not uploaded here" in foreign.words
    assert await statuses(firm, made) == ["sign_pending"]
    fields |= {"file_id": kept[0]}
    ordered = await sam.send(f"/studio/invoices/{made}/refund", fields, token=page.form_token)
    assert "a second person has to approve it" in ordered.words


async def test_what_was_collected_stands_before_what_was_paid_out_of_it(
    site: Site, firm: Firm, payments: Payments
) -> None:
    made = await ready_to_sign(firm, payments)
    assert (await firm.signer.act("sign", made)).status == 200
    await payments.swept(made, more_to_move=True)
    await payments.paid_out(made)
    ada = await site.at_the_pages("ada1@merchant.example")
    sent = (await ada.open(f"/studio/invoices/{made}")).words.split("Sent by us")[1]
    assert "the invoice's address your pool 92.307693 USDT" in sent
    assert "your pool you, outside 92.307693 USDT" in sent
    assert "By The system (moving money)" in sent
    assert "system:" not in sent
    collected, paid = sent.index("Collected into the pool"), sent.index("Paid out")
    assert collected < sent.index("your pool") < paid


async def test_a_new_price_says_what_it_comes_to_and_gives_time_for_the_rest(
    site: Site, firm: Firm, payments: Payments
) -> None:
    made: str = (await firm.merchant.create()).data["id"]
    await firm.reviewer.approve(made)
    await payments.paid(made, percent=40)
    sam = await site.at_the_pages(SAM)
    page = await sam.open(f"/studio/invoices/{made}")
    # Waiting has no button, and everything else has one: each choice is said once.
    assert page.words.count("Wait for the customer to pay the rest") == 1
    assert "Accept it as it is" not in page.words
    assert "Order a refund (up to 36.92" in page.words
    assert '<option value="24" selected>one day</option>' in page.text
    before = (await payments.look(made)).deadline_at
    site.clock.advance(before - site.clock.now() + timedelta(minutes=10))
    await site.publish_rates()
    sam = await site.at_the_pages(SAM)
    page = await sam.open(f"/studio/invoices/{made}")
    path, fields = f"/studio/invoices/{made}/recalculate", {"reason": "Two days", "hours": "9"}
    assert (await sam.send(path, fields, token=page.form_token)).status == 422
    done = await sam.send(path, {**fields, "hours": "24"}, token=page.form_token)
    assert "The invoice is priced at the current rate" in done.words
    assert (await payments.look(made)).deadline_at == site.clock.now() + timedelta(hours=24)


async def test_who_decides_sees_what_was_due_what_came_and_what_is_missing_or_too_much(
    site: Site, firm: Firm, payments: Payments
) -> None:
    short, late = [(await firm.merchant.create()).data["id"] for _ in range(2)]
    for made in (short, late):
        await firm.reviewer.approve(made)
    await payments.paid(short, percent=40)
    site.clock.advance(
        (await payments.look(late)).deadline_at - site.clock.now() + timedelta(hours=1)
    )
    await payments.paid(late, percent=150)
    sam = await site.at_the_pages(SAM)
    told = (await sam.open("/studio/queue/resolve")).words
    due = "3,000.00 TWD 92.307693 USDT"
    assert f"{due} 36.923077 USDT 1,200.00 TWD missing 55.384616 USDT 1,800.00 TWD" in told
    assert f"{due} 138.461539 USDT 4,500.00 TWD too much 46.153846 USDT 1,500.00 TWD" in told


async def test_money_that_came_after_the_end_is_found_and_can_go_back(
    site: Site, firm: Firm, payments: Payments
) -> None:
    made, plain = [(await firm.merchant.create()).data["id"] for _ in range(2)]
    for one in (made, plain):
        await firm.reviewer.approve(one)
        await payments.paid(one)
        await payments.booked(one)
        assert (await firm.signer.act("sign", one, {})).status == 200
        await payments.swept(one, more_to_move=True)
        await payments.paid_out(one)
    sam = await site.at_the_pages(SAM)
    assert "No money came after the end" in (await sam.open("/studio/queue/after")).words
    assert "after they had ended" not in (await sam.open("/studio/now")).words
    await payments.arrives(made)
    await payments.booked(made)
    alert = '<a class="alert-link text-nowrap" href="/studio/queue/after">'
    assert alert in (await sam.open("/studio/now")).text
    page = await sam.open("/studio/queue/after?page=7")
    assert [one for one in (made, plain) if one in page.text] == [made]
    assert "92.307693 USDT Order a refund" in page.words
    told = (await sam.open(f"/studio/invoices/{made}")).words
    assert "All is done. Money that came after that, or was left over, is still with us." in told
    assert "Order a refund" in told.split("Money that came after")[1]
    otto = await site.at_the_pages(OTTO)
    assert "after they had ended" not in (await otto.open("/studio/now")).words


async def test_roles_see_only_their_queues(site: Site, firm: Firm) -> None:
    assert firm.org_id == 1
    otto = await site.at_the_pages(OTTO)
    assert (await otto.open("/studio/queue/clear")).status == 200
    assert (await otto.open("/studio/queue/sign")).status == 403
    refused = await otto.open("/studio/approvals")
    assert refused.status == 403
    assert "transfer:approve" in refused.words
