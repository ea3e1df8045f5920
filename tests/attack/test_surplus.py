"""One signer and a surplus: what one person alone can not do with what a customer paid too much."""

import aiohttp

from counterfoil.core.reckoning import Depth
from support.invoices import CUSTOMER, USDC
from support.payments import PDF, Payments, order_refund
from support.site import Firm, Site
from support.visitor import Page

SAM = "sam1@merchant.example"
SUE = "sue1@merchant.example"
THIEF = "0x" + "7e" * 20
HOME = {"refund_address": CUSTOMER, "refund_reason": "Sent too much."}
DUE_UNITS, SURPLUS_UNITS = 92_307_693, 46_153_846


async def overpaid(firm: Firm, payments: Payments, *, any_token: bool = False) -> str:
    made: str = (await firm.merchant.create(allow_any_token=any_token)).data["id"]
    await firm.reviewer.approve(made)
    await payments.paid(made, percent=150)
    return made


async def to_thief(firm: Firm) -> dict[str, object]:
    paper = (await firm.signer.upload(PDF)).data["file_id"]
    why = "The customer moved."
    return {"refund_address": THIEF, "refund_reason": why, "refund_attachments": [paper]}


def card_and_history(page: Page) -> tuple[str, str]:
    words = page.words
    return words.split("Refunds", 1)[1], words.split("History", 1)[1]


async def test_what_goes_home_goes_with_one_signature_and_nobody_is_called_its_approver(
    site: Site, firm: Firm, payments: Payments
) -> None:
    made = await overpaid(firm, payments)
    signed = (await firm.signer.act("sign", made, HOME)).data
    assert signed["status"] == "sweep_processing"
    assert [leg[0] for leg in await payments.moves(made)] == ["sweep", "payout", "partial_refund"]
    assert signed["refund"]["second_person"] is None
    card, history = card_and_history(
        await (await site.at_the_pages(SAM)).open(f"/studio/invoices/{made}")
    )
    assert "nobody else was asked" in card
    assert "approved by" not in card.split("History")[0]
    assert f"46.153846 USDT, Arbitrum One back to {CUSTOMER}, where it came from" in history


async def test_a_surplus_for_elsewhere_waits_for_a_second_person_and_the_payout_with_it(
    site: Site, firm: Firm, payments: Payments
) -> None:
    """Told over the API and on the pages: who ordered it, where to, who approved."""
    made = await overpaid(firm, payments)
    sam, sue = await site.at_the_pages(SAM), await site.at_the_pages(SUE)
    page = await sam.open(f"/studio/invoices/{made}")
    assert "For any other address a second person is asked" in page.words
    fields = {"refund_address": THIEF, "reason": "The customer moved."}
    path = f"/studio/invoices/{made}/sign_off"
    bare = await sam.send(path, fields, token=page.form_token)
    assert bare.status == 422
    assert "Papers of the refund" in bare.words
    form = aiohttp.FormData(fields)
    form.add_field("refund_attachments", b"MZ", filename="order.exe")
    refused = await sam.send(path, form, token=page.form_token)
    assert "the file order.exe is refused" in refused.words
    form = aiohttp.FormData(fields)
    form.add_field("refund_attachments", PDF, filename="order.pdf", content_type="application/pdf")
    signed = await sam.send(path, form, token=page.form_token)
    assert "nothing moves before a second person has approved that" in signed.words
    waiting = (await firm.auditor.look(made)).data
    assert (waiting["status"], waiting["signed_off_by"]) == ("refund_pending", None)
    assert waiting["refund"]["with_sign_off"]
    assert await payments.moves(made) == []

    alone = await firm.signer.act("refund/approve", made)
    again = await firm.signer.act("sign", made, HOME)
    assert (alone.refusal, again.refusal) == ((403, 4003), (409, 4090))
    page = await sue.open(f"/studio/invoices/{made}")
    assert "Attachments order.pdf Ordered by Sam" in page.words
    assert "Sam has signed for the payment and wants the surplus sent" in page.words
    assert await payments.moves(made) == []

    named = {"refund_id": waiting["refund"]["refund_id"]}
    going = (await firm.second_signer.act("refund/approve", made, named)).data
    assert (going["status"], going["signed_off_by"]) == ("sweep_processing", firm.signer.uid)
    assert going["refund"]["second_person"] == firm.second_signer.uid
    assert await payments.moves(made) == [
        ("sweep", "", DUE_UNITS + SURPLUS_UNITS),
        ("payout", going["payment_intent"]["payout_addresses"]["evm"].lower(), DUE_UNITS),
        ("partial_refund", THIEF, SURPLUS_UNITS),
    ]
    await payments.swept(made, more_to_move=True)
    await payments.paid_out(made)
    done = (await firm.auditor.look(made)).data
    assert (done["status"], done["refund"]["status"]) == ("completed", "settled")
    card, history = card_and_history(await sue.open(f"/studio/invoices/{made}"))
    assert "Ordered by Sam" in card
    assert "approved by Sue" in card
    assert f"back to {THIEF}, as Sam ordered" in history
    assert f"back to {THIEF}, once a second person approves it" in history


async def test_who_pays_a_cent_or_another_token_gets_no_more_than_that_back_alone(
    firm: Firm, payments: Payments
) -> None:
    made = await overpaid(firm, payments, any_token=True)
    await payments.arrives(made, units=10_000, payer=THIEF)
    await payments.arrives(made, units=SURPLUS_UNITS + 10_000, payer=THIEF, asset=USDC)
    await payments.arrives(made, units=10**9, payer=THIEF, depth=Depth.ORPHANED)
    await payments.screened(made)
    signed = (await firm.signer.act("sign", made, await to_thief(firm))).data
    assert signed["status"] == "refund_pending"
    assert {amount["token"] for amount in signed["refund"]["amounts"]} == {"USDT"}
    assert await payments.moves(made) == []


async def test_no_other_verb_signs_alone_either(firm: Firm, payments: Payments) -> None:
    made = await overpaid(firm, payments)
    chosen = await to_thief(firm) | {"choice": "refund_surplus", "reason": "x"}
    del chosen["refund_reason"]
    bare = await firm.signer.act("resolve", made, chosen | {"refund_attachments": []})
    mute = await firm.signer.act("sign", made, await to_thief(firm) | {"refund_reason": " "})
    assert (list(bare.fields), list(mute.fields)) == (["refund_attachments"], ["refund_reason"])
    resolved = (await firm.signer.act("resolve", made, chosen)).data
    assert resolved["status"] == "refund_pending"
    key = {"Idempotency-Key": "once-more"}
    other = await overpaid(firm, payments)
    body = await to_thief(firm)
    for _ in range(2):
        again = (await firm.signer.act("sign", other, body, key)).data
        assert again["status"] == "refund_pending"
    assert len((await firm.auditor.look(other)).data["refunds"]) == 1
    assert await payments.moves(made) == await payments.moves(other) == []


async def test_what_went_home_before_does_not_go_there_twice_on_one_signature(
    firm: Firm, payments: Payments
) -> None:
    """The customer paid half and had it back, by two people; then somebody else pays too much."""
    made: str = (await firm.merchant.create()).data["id"]
    await firm.reviewer.approve(made)
    await payments.arrives(made, units=SURPLUS_UNITS)
    await payments.screened(made)
    part = {"refund_amount": "46.153845", "refund_token": "USDT", "refund_chain": "arb"}
    assert (await order_refund(firm, made, part)).status == 200
    assert (await firm.second_signer.act("refund/approve", made)).status == 200
    await payments.refunded(made)
    await payments.arrives(made, percent=150, payer=THIEF)
    await payments.screened(made)
    home = await to_thief(firm) | {"refund_address": CUSTOMER}
    assert (await firm.signer.act("sign", made, home)).data["status"] == "refund_pending"
    await firm.signer.act("refund/withdraw", made, {"reason": "To who paid it."})
    assert (await firm.signer.act("sign", made, await to_thief(firm))).data[
        "status"
    ] != "refund_pending"


async def test_where_nobody_can_sign_that_is_told_and_no_reason_is_asked_for(
    firm: Firm, payments: Payments
) -> None:
    """Somebody orders all of it back in the moment in which another one signs."""
    made = await overpaid(firm, payments)
    assert (await order_refund(firm, made)).status == 200
    signed = await firm.signer.act("sign", made, {"refund_address": CUSTOMER})
    assert (signed.status, signed.body["data"]["status"]) == (409, "refund_pending")
    assert (await firm.second_signer.act("refund/approve", made)).status == 200
    signed = await firm.signer.act("sign", made, {"refund_address": CUSTOMER})
    assert (signed.status, signed.body["data"]["status"]) == (409, "refund_processing")


async def test_neither_the_money_nor_its_way_changes_between_the_order_and_its_approval(
    firm: Firm, payments: Payments
) -> None:
    made = await overpaid(firm, payments)
    await firm.signer.act("sign", made, await to_thief(firm))
    await payments.arrives(made, units=5_000_000, payer=THIEF)
    early = await firm.second_signer.act("refund/approve", made)
    assert "being screened" in early.body["message"]
    await payments.screened(made)
    changed = await firm.second_signer.act("refund/approve", made)
    assert "withdraw the refund, look at the invoice and sign again" in changed.body["message"]
    back = (await firm.signer.act("refund/withdraw", made, {"reason": "More came."})).data
    assert (back["status"], back["available_actions"]) == (
        "sign_pending",
        ["accept", "sign", "refund"],
    )
    assert await payments.moves(made) == []

    forged = await overpaid(firm, payments)
    await firm.signer.act("sign", forged, await to_thief(firm))
    await payments.forged(forged, ("payout_to", "evm"), f'"{THIEF}"')
    refused = await firm.second_signer.act("refund/approve", forged)
    assert refused.body["data"]["rule"] == "approved_content"
    assert await payments.moves(forged) == []


async def test_a_finding_while_it_waits_goes_before_everybodys_word(
    firm: Firm, payments: Payments
) -> None:
    made = await overpaid(firm, payments)
    await firm.signer.act("sign", made, await to_thief(firm))
    await payments.arrives(made, units=5_000_000)
    await payments.screened(made, "aml_hold")
    held = (await firm.officer.look(made)).data
    assert (held["status"], held["refund"]["status"]) == ("compliance_freeze", "withdrawn")
    assert (await firm.second_signer.act("refund/approve", made)).refusal == (409, 4090)
    assert await payments.moves(made) == []
