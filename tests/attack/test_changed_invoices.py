"""Somebody who may write invoices sends the money of others' to an address of their own."""

from support.actors import Caller
from support.site import Firm, Site

RITA = "rita1@merchant.example"
THIEF = "0x" + "7e" * 20
TO_THIEF = {"payout_addresses": {"evm": THIEF}}
HERS = "0xd8da6bf26964af9d7eed9e03e53415d37aa96045"
LOUD = "Its money would go to another address than when it was submitted"


async def payout_of(firm: Firm, invoice_id: str) -> str:
    intent = (await firm.auditor.look(invoice_id)).data["payment_intent"]
    found: str = intent["payout_addresses"]["evm"]
    return found.lower()


async def a_new_colleague(site: Site) -> Caller:
    """Somebody whom one administrator has just made a member with ``finance``."""
    return Caller(*await site.person(1, "nils", "finance"))


async def test_who_approves_is_told_who_sent_the_money_elsewhere_on_every_page(
    site: Site, firm: Firm
) -> None:
    made = (await firm.merchant.create()).data["id"]
    plain = (await firm.merchant.create()).data["id"]
    nils = await a_new_colleague(site)
    assert (await nils.update(made, description="tidied up", **TO_THIEF)).status == 200
    assert await payout_of(firm, made) == THIEF

    rita = await site.at_the_pages(RITA)
    page = await rita.open("/studio/approvals")
    assert page.words.count(LOUD) == 1
    assert f"{HERS} → {THIEF}" in page.words
    assert "Nils changed it after it was submitted" in page.words
    assert "Description" in page.words.split(LOUD)[1]
    # It is not among those that "all" chooses.
    assert page.text.count(" data-alone") == 1
    one = (await rita.open(f"/studio/invoices/{made}")).words
    assert one.index(LOUD) < one.index("What you can do")
    assert f"{HERS} → {THIEF}" in one
    assert f"Paid out to {THIEF}" in one.split("What you can do")[1]
    assert LOUD not in (await rita.open(f"/studio/invoices/{plain}")).words


async def test_a_program_that_approves_by_id_alone_does_not_approve_what_was_changed(
    site: Site, firm: Firm
) -> None:
    made = (await firm.merchant.create()).data
    untouched = (await firm.merchant.create()).data["id"]
    nils = await a_new_colleague(site)
    await nils.update(made["id"], **TO_THIEF)

    bare = await firm.reviewer.approve(made["id"])
    stale = {"content_hash": made["content_hash"]}
    old = await firm.reviewer.act("approve", made["id"], stale)
    assert bare.refusal == (422, 4220)
    assert "look at it, at where its money goes above all" in bare.fields["content_hash"]
    assert old.refusal == (409, 4090)
    seen = (await firm.reviewer.look(made["id"])).data
    assert (seen["status"], seen["edited_by"]) == ("approval_pending", [nils.uid])

    now = {"content_hash": seen["content_hash"]}
    assert (await firm.reviewer.act("approve", made["id"], now)).status == 200
    # What nobody changed is approved as the API's documents say.
    assert (await firm.reviewer.approve(untouched)).data["status"] == "pending_payment"


async def test_changing_it_back_or_twice_hides_nothing(site: Site, firm: Firm) -> None:
    made = (await firm.merchant.create()).data["id"]
    nils = await a_new_colleague(site)
    await nils.update(made, **TO_THIEF)
    await nils.update(made, description="nothing to see here")
    page = (await (await site.at_the_pages(RITA)).open("/studio/approvals")).words
    assert LOUD in page
    assert page.count("Nils changed it after it was submitted") == 2
    await nils.update(made, payout_addresses={"evm": HERS})
    back = (await (await site.at_the_pages(RITA)).open("/studio/approvals")).words
    assert LOUD not in back
    assert back.count("was changed, and changed back to the one it was submitted with") == 2
    assert (await firm.reviewer.approve(made)).status == 422


async def test_who_changed_it_is_its_maker_and_so_is_who_wrote_it(site: Site, firm: Firm) -> None:
    """Neither the thief with both roles nor the first writer is the second person."""
    made = (await firm.merchant.create()).data["id"]
    both = Caller(*await site.person(1, "bo", "finance", "reviewer"))
    await both.update(made, **TO_THIEF)
    for hashed in (None, {"content_hash": (await both.look(made)).data["content_hash"]}):
        assert (await both.act("approve", made, hashed)).refusal == (403, 4003)
    theirs = (await both.create()).data
    await firm.merchant.update(theirs["id"], description="x")
    now = {"content_hash": (await both.look(theirs["id"])).data["content_hash"]}
    assert (await both.act("approve", theirs["id"], now)).refusal == (403, 4003)
    bo = await site.at_the_pages("bo1@merchant.example")
    page = await bo.open("/studio/approvals")
    assert page.words.count("You made or changed it, so somebody else approves it") == 2


async def test_token_and_customer_are_told_with_what_they_were(site: Site, firm: Firm) -> None:
    made = (await firm.merchant.create()).data["id"]
    nils = await a_new_colleague(site)
    line = {"name": "<b>Rent</b>", "quantity": 1, "unit_price": 3000, "tax": 0}
    changed = await nils.update(
        made,
        detail_items=[line],
        chain="base",
        pay_token="USDC",
        recipient_name="<script>alert(1)</script>",
    )
    assert changed.status == 200, changed.raw
    page = await (await site.at_the_pages(RITA)).open("/studio/approvals")
    assert LOUD not in page.words
    assert "USDT, Arbitrum One" in page.words.split("changed it after it was submitted")[1]
    assert "USDC, Base" in page.words.split("changed it after it was submitted")[1]
    assert "Acme Buyer <buyer@example.com> → <script>alert(1)" in page.words
    assert "<script>alert" not in page.text


async def test_a_change_between_the_look_and_the_click_is_approved_by_nobody(
    site: Site, firm: Firm
) -> None:
    made = (await firm.merchant.create()).data["id"]
    rita = await site.at_the_pages(RITA)
    page = await rita.open("/studio/approvals")
    key = page.text.split('name="invoice" value="')[1].split('"')[0]
    await (await a_new_colleague(site)).update(made, **TO_THIEF)
    fields = {"decision": "approve", "invoice": key}
    for sent in (fields, {**fields, "invoice": key.rsplit(":", 1)[0] + ":"}):
        after = await rita.send("/studio/approvals", sent, token=page.form_token)
        assert "the invoice was changed since you opened it" in after.words
        assert LOUD in after.words
    assert (await firm.auditor.look(made)).data["status"] == "approval_pending"
