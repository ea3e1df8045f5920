"""Refunds over the API: ordered, approved by a second person, withdrawn, whole and in parts."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from counterfoil.core.reckoning import Depth
from support.actors import Caller
from support.fake_clock import FakeClock
from support.invoices import USDC, USDT
from support.payments import CUSTOMER_WALLET, Payments, order_refund
from support.shop import POOL
from support.site import Firm, Site

DUE = 92_307_693
"""3,000 TWD in base units of USDT, at 32.5."""


async def payable(firm: Firm, **changes: object) -> str:
    """An approved invoice."""
    invoice_id: str = (await firm.merchant.create(None, **changes)).data["id"]
    await firm.reviewer.approve(invoice_id)
    return invoice_id


async def completed(firm: Firm, payments: Payments, **changes: object) -> str:
    """An invoice that was paid, signed for, and paid out where the merchant said so."""
    invoice_id = await payable(firm, **changes)
    await payments.paid(invoice_id)
    await firm.signer.act("sign", invoice_id)
    to_merchant = changes.get("payout_addresses", "x") is not None
    await payments.swept(invoice_id, more_to_move=to_merchant)
    if to_merchant:
        await payments.paid_out(invoice_id)
    return invoice_id


async def sent_back(firm: Firm, payments: Payments, invoice_id: str, **changes: str) -> Any:  # noqa: ANN401 - JSON
    """A refund is ordered, approved and settled; answers the invoice as it shows then."""
    assert isinstance(payments.desk.clock, FakeClock)
    payments.desk.clock.advance(timedelta(seconds=1))
    ordered = await order_refund(firm, invoice_id, changes)
    assert ordered.data["status"] == "refund_pending"
    named = {"refund_id": ordered.data["refund"]["refund_id"]}
    approved = await firm.second_signer.act("refund/approve", invoice_id, named)
    sweeps = any(purpose == "sweep" for purpose, _, _ in await payments.moves(invoice_id))
    assert approved.data["status"] == "refund_processing"
    await payments.refunded(invoice_id, sweeps=sweeps)
    return (await firm.auditor.look(invoice_id)).data


async def actions(caller: Caller, invoice_id: str) -> list[str]:
    found: list[str] = (await caller.look(invoice_id)).data["available_actions"]
    return found


async def test_what_is_found_between_the_look_and_the_approval_is_looked_at_first(
    firm: Firm, payments: Payments
) -> None:
    invoice_id = await payable(firm)
    await payments.paid(invoice_id)
    ordered = (await order_refund(firm, invoice_id)).data["refund"]
    assert ordered["screening"]["decision"] == "clear"
    named = {"refund_id": ordered["refund_id"]}
    seen = {**named, "screening_run_id": ordered["screening"]["run_id"]}

    await payments.screened(invoice_id, "aml_hold")
    refused = await firm.second_signer.act("refund/approve", invoice_id, seen)
    wrong = {**named, "screening_run_id": "scr_1"}
    malformed = await firm.second_signer.act("refund/approve", invoice_id, wrong)
    now = (await firm.second_signer.look(invoice_id)).data["refund"]["screening"]

    assert refused.refusal == (409, 4090)
    assert refused.body["data"]["rule"] == "screened_since"
    assert refused.body["data"]["screening_run_id"] == now["run_id"]
    assert list(malformed.fields) == ["screening_run_id"]
    assert now["decision"] == "aml_hold"
    assert now["run_id"] != seen["screening_run_id"]
    read = {**named, "screening_run_id": now["run_id"]}
    approved = await firm.second_signer.act("refund/approve", invoice_id, read)
    assert approved.data["status"] == "refund_processing"


async def test_a_screening_that_finds_nothing_keeps_nobody_from_approving(
    firm: Firm, payments: Payments
) -> None:
    """Nor does one that a program does not name: the documents know of none."""
    for named in (True, False):
        invoice_id = await payable(firm)
        await payments.paid(invoice_id)
        ordered = (await order_refund(firm, invoice_id)).data["refund"]
        seen = {"screening_run_id": ordered["screening"]["run_id"]} if named else {}
        await payments.screened(invoice_id, "clear" if named else "aml_hold")
        approved = await firm.second_signer.act("refund/approve", invoice_id, seen)
        assert approved.data["status"] == "refund_processing"
        assert approved.data["refund"]["screening"] is not None


async def test_a_second_signer_lets_a_refund_go_out(firm: Firm, payments: Payments) -> None:
    invoice_id = await payable(firm)
    await payments.paid(invoice_id)

    ordered = (await order_refund(firm, invoice_id)).data
    own = await firm.signer.act("refund/approve", invoice_id)

    assert ordered["status"] == "refund_pending"
    assert ordered["refund"]["ordered_by"] == firm.signer.uid
    assert own.refusal == (403, 4003)
    assert own.body["data"]["rule"] == "maker_is_not_checker"
    assert await actions(firm.signer, invoice_id) == ["refund/withdraw"]
    assert await actions(firm.second_signer, invoice_id) == ["refund/approve", "refund/withdraw"]
    assert await payments.moves(invoice_id) == []

    approved = (await firm.second_signer.act("refund/approve", invoice_id)).data

    assert approved["status"] == "refund_processing"
    assert await payments.moves(invoice_id) == [
        ("sweep", "", DUE),
        ("refund", CUSTOMER_WALLET, DUE),
    ]
    await payments.refunded(invoice_id)
    refunded = (await firm.auditor.look(invoice_id)).data
    assert refunded["status"] == "refunded"
    assert refunded["payment_intent"]["status"] == "refunded"
    assert refunded["payment_intent"]["refund_crypto_amount"] == "92.307693"
    assert refunded["payment_intent"]["partial_refund_amount"] is None
    (refund,) = refunded["refunds"]
    assert (refund["status"], refund["is_partial"]) == ("settled", False)
    assert refund["approved_by"] == firm.second_signer.uid


async def test_a_refusal_says_what_leads_on_for_whoever_asked(
    firm: Firm, payments: Payments
) -> None:
    invoice_id = await payable(firm)
    await payments.paid(invoice_id)
    await order_refund(firm, invoice_id)

    refused = await firm.signer.act("sign", invoice_id)
    merchant = await firm.merchant.cancel(invoice_id)

    assert refused.refusal == (409, 4090)
    assert refused.body["data"]["allowed"] == ["refund/approve", "refund/withdraw"]
    assert "possible now: refund/approve, refund/withdraw" in refused.body["message"]
    assert merchant.body["data"]["allowed"] == []
    assert "possible now: nothing, others have to go on" in merchant.body["message"]


async def test_what_was_paid_out_is_not_refunded(firm: Firm, payments: Payments) -> None:
    invoice_id = await completed(firm, payments)

    refused = await order_refund(firm, invoice_id)

    assert refused.refusal == (409, 4090)
    assert refused.body["data"]["rule"] == "budget"
    assert refused.body["data"]["status"] == "completed"
    assert refused.body["message"] == (
        "92.307693 USDT of the 92.307693 USDT received has already been paid out or sent"
        " back, so the payment can no longer be refunded from here; if the customer is to get"
        " money back, send it from your own wallet"
    )
    assert await actions(firm.signer, invoice_id) == []
    assert (await firm.auditor.look(invoice_id)).data["status"] == "completed"


async def test_a_completed_invoice_is_refunded_in_parts_up_to_what_was_received(
    firm: Firm, payments: Payments
) -> None:
    invoice_id = await completed(firm, payments, payout_addresses=None)
    other_wallet = "0x" + "ca" * 20

    first = await sent_back(firm, payments, invoice_id, refund_amount="10.50")
    second = await sent_back(
        firm, payments, invoice_id, refund_amount="0.000001", refund_address=other_wallet
    )
    too_much = await order_refund(firm, invoice_id, {"refund_amount": "81.807693"})
    last = await sent_back(firm, payments, invoice_id)

    intent = first["payment_intent"]
    assert (first["status"], intent["status"]) == ("completed", "success")
    assert (intent["partial_refund_amount"], intent["partial_refund_address"]) == (
        "10.50",
        CUSTOMER_WALLET,
    )
    assert intent["refund_crypto_amount"] is None
    assert second["payment_intent"]["partial_refund_amount"] == "10.500001"
    assert second["payment_intent"]["partial_refund_address"] == other_wallet
    assert too_much.refusal == (422, 4220)
    assert too_much.fields == {
        "refund_amount": "is more than is still here: you asked for 81.807693 USDT, and what is"
        " left is 81.807692 USDT"
    }
    assert last["status"] == "refunded"
    assert last["payment_intent"]["partial_refund_amount"] == "10.500001"
    assert last["payment_intent"]["refund_crypto_amount"] == "81.807692"
    assert last["payment_intent"]["refund_tx_hash"] == last["refund"]["amounts"][0]["tx_hash"]
    assert last["payment_intent"]["refund_tx_hash"] is not None
    assert [one["is_partial"] for one in last["refunds"]] == [True, True, False]
    assert [one["amounts"][0]["amount"] for one in last["refunds"]] == [
        "10.50",
        "0.000001",
        "81.807692",
    ]
    assert await payments.moves(invoice_id) == [
        ("sweep", "", DUE),
        ("partial_refund", CUSTOMER_WALLET, 10_500_000),
        ("partial_refund", other_wallet, 1),
        ("refund", CUSTOMER_WALLET, 81_807_692),
    ]


async def test_what_stayed_after_a_surplus_went_back_can_follow_it(
    firm: Firm, payments: Payments
) -> None:
    invoice_id = await payable(firm, payout_addresses=None)
    await payments.paid(invoice_id, percent=150)
    await firm.signer.act("sign", invoice_id, {"refund_address": CUSTOMER_WALLET})
    await payments.swept(invoice_id, more_to_move=True)
    await payments.paid_out(invoice_id)

    assert (await firm.auditor.look(invoice_id)).data["refunds"][0]["status"] == "settled"
    refunded = await sent_back(firm, payments, invoice_id)

    assert refunded["status"] == "refunded"
    assert refunded["payment_intent"]["partial_refund_amount"] == "46.153846"
    assert refunded["payment_intent"]["refund_crypto_amount"] == "92.307693"


async def test_a_surplus_sent_back_leaves_the_rest_to_be_signed_for(
    firm: Firm, payments: Payments
) -> None:
    invoice_id = await payable(firm)
    await payments.paid(invoice_id, percent=150)

    back = await sent_back(firm, payments, invoice_id, refund_amount="46.153846")
    signed = (await firm.signer.act("sign", invoice_id)).data
    await payments.paid_out(invoice_id)
    done = (await firm.auditor.look(invoice_id)).data

    assert (back["status"], back["context"]) == ("sign_pending", "exact")
    assert signed["status"] == "payout_processing"
    assert done["status"] == "completed"
    assert done["payment_intent"]["partial_refund_amount"] == "46.153846"
    made = {purpose: units for purpose, _, units in await payments.moves(invoice_id)}
    assert made == {"sweep": 138_461_539, "partial_refund": 46_153_846, "payout": DUE}


@pytest.mark.parametrize(
    ("changes", "field", "why"),
    [
        ({"refund_amount": "0"}, "refund_amount", "must be more than zero"),
        ({"refund_amount": "0.0000001"}, "refund_amount", "finer than USDT"),
        ({"refund_amount": "92.307694"}, "refund_amount", "more than is still here"),
        ({"refund_amount": "1", "refund_token": "USDC"}, "refund_token", "none of it is here"),
        ({"refund_amount": "1", "refund_chain": "base"}, "refund_chain", "none of it is here"),
    ],
)
async def test_an_amount_that_cannot_be_is_refused_naming_what_is_left(
    firm: Firm, payments: Payments, changes: dict[str, str], field: str, why: str
) -> None:
    invoice_id = await payable(firm)
    await payments.paid(invoice_id)

    refused = await order_refund(firm, invoice_id, changes)

    assert refused.refusal == (422, 4220)
    assert why in refused.fields[field]
    assert "what is left is 92.307693 USDT" in refused.fields[field]
    assert (await firm.auditor.look(invoice_id)).data["refunds"] == []


async def test_of_several_tokens_the_one_that_is_meant_is_named(
    firm: Firm, payments: Payments
) -> None:
    invoice_id = await payable(firm, allow_any_token=True)
    await payments.arrives(invoice_id, percent=50)
    await payments.arrives(invoice_id, percent=50, asset=USDC)
    await payments.screened(invoice_id)

    vague = await order_refund(firm, invoice_id, {"refund_amount": "1"})
    back = await sent_back(firm, payments, invoice_id, refund_amount="1", refund_token="USDC")

    assert "refund_token" in vague.fields
    assert back["refunds"][0]["amounts"][0]["token"] == "USDC"
    assert await payments.moves(invoice_id) == [
        ("sweep", "", 46_153_846),
        ("partial_refund", CUSTOMER_WALLET, 1_000_000),
    ]
    assert (await payments.look(invoice_id)).settled.swept == ((USDC.key, 46_153_846),)


async def test_a_withdrawn_refund_leaves_the_invoice_where_it_stood(
    firm: Firm, payments: Payments
) -> None:
    invoice_id = await payable(firm)
    await payments.paid(invoice_id, percent=90)
    await firm.signer.act("accept", invoice_id)
    await order_refund(firm, invoice_id)

    denied = await firm.merchant.act("refund/withdraw", invoice_id)
    reason = {"reason": "Ordered twice."}
    withdrawn = (await firm.second_signer.act("refund/withdraw", invoice_id, reason)).data
    again = await firm.signer.act("refund/withdraw", invoice_id)

    assert denied.refusal == (403, 4003)
    assert (withdrawn["status"], withdrawn["context"]) == ("sign_pending", "underpaid")
    assert withdrawn["refund"]["withdrawn_by"] == firm.second_signer.uid
    assert again.refusal == (409, 4090)
    entry = (await firm.auditor.logs(invoice_id)).data[-1]
    assert (entry["event"], entry["reason"]) == ("withdraw_refund", "Ordered twice.")
    assert entry["metadata"]["refund_amounts"] == {USDT.key: "83076923"}
    assert (await firm.signer.act("sign", invoice_id)).data["status"] == "sweep_processing"


async def test_an_approved_refund_is_withdrawn_until_something_is_signed(
    firm: Firm, payments: Payments
) -> None:
    invoice_id = await payable(firm)
    await payments.paid(invoice_id)
    await order_refund(firm, invoice_id)
    await firm.second_signer.act("refund/approve", invoice_id)
    await payments.swept(invoice_id, more_to_move=True)

    assert "refund/withdraw" in await actions(firm.signer, invoice_id)
    withdrawn = (await firm.signer.act("refund/withdraw", invoice_id)).data
    signed = (await firm.signer.act("sign", invoice_id)).data

    assert withdrawn["status"] == "sign_pending"
    assert withdrawn["payment_intent"]["refund_tx_hash"] is None
    assert signed["status"] == "payout_processing"
    await payments.paid_out(invoice_id)
    assert (await payments.look(invoice_id)).settled.paid_out == ((USDT.key, DUE),)


async def test_a_refund_that_can_never_be_made_is_given_up_by_another_than_who_ordered_it(
    firm: Firm, payments: Payments
) -> None:
    invoice_id = await payable(firm)
    await payments.paid(invoice_id)
    why = {"reason": "The issuer blocked the receiver."}
    nothing = await firm.second_signer.act("payments/withdraw", invoice_id, why)
    assert nothing.refusal == (409, 4090)
    assert "no payment of this invoice is parked" in nothing.body["message"]
    await order_refund(firm, invoice_id)
    await firm.second_signer.act("refund/approve", invoice_id)
    await payments.swept(invoice_id, more_to_move=True)
    await payments.parked(invoice_id, "the chain would refuse it: blacklisted", "refund")

    own = await firm.signer.act("payments/withdraw", invoice_id, why)
    assert own.refusal == (403, 4003)
    headers = {"Idempotency-Key": "give-up-1"}
    given_up = await firm.second_signer.act("payments/withdraw", invoice_id, why, headers)
    again = await firm.second_signer.act("payments/withdraw", invoice_id, why, headers)
    assert given_up.data["status"] == again.data["status"] == "sign_pending"
    assert given_up.data["refund"]["status"] == "withdrawn"
    elsewhere = "0x" + "a7" * 20
    data = await sent_back(firm, payments, invoice_id, refund_address=elsewhere)
    shown = [(one["status"], one["amounts"][0]["returned"]) for one in data["refunds"]]
    assert shown == [("withdrawn", "0.00"), ("settled", "92.307693")]


@pytest.mark.parametrize("ended", ["cancelled", "rejected"])
async def test_late_money_of_an_ended_invoice_goes_back(
    site: Site, firm: Firm, payments: Payments, ended: str
) -> None:
    invoice_id = (await firm.merchant.create()).data["id"]
    if ended == "cancelled":
        await firm.merchant.cancel(invoice_id)
    else:
        await firm.reviewer.reject(invoice_id, "wrong recipient")
    nothing = await order_refund(firm, invoice_id)
    await firm.merchant.act("archive", invoice_id)
    site.clock.advance(timedelta(days=365))
    await payments.arrives(invoice_id, percent=30)

    assert nothing.body["data"]["rule"] == "budget"
    assert await actions(firm.signer, invoice_id) == ["refund"]
    refunded = await sent_back(firm, payments, invoice_id)

    assert refunded["status"] == "refunded"
    assert refunded["archived_at"] is not None
    assert refunded["payment_intent"]["refund_crypto_amount"] == "27.692307"


async def test_money_that_can_still_be_undone_is_not_refunded(
    firm: Firm, payments: Payments
) -> None:
    invoice_id = await payable(firm)
    await payments.arrives(invoice_id, depth=Depth.SAFE)
    await payments.screened(invoice_id)

    refused = await order_refund(firm, invoice_id)

    assert refused.refusal == (409, 4090)
    assert refused.body["data"]["rule"] == "finality"
    assert await actions(firm.signer, invoice_id) == []


async def test_nothing_is_promised_to_an_address_that_must_not_get_it(
    firm: Firm, payments: Payments
) -> None:
    invoice_id = await payable(firm)
    await payments.paid(invoice_id, percent=150)
    listed = "0x" + "bad0" * 10
    await payments.lists(listed)
    deposit = (await payments.look(invoice_id)).deposit_address
    wrong = {listed: "sanctions list OFAC_SDN", deposit: "address of this system"}
    wrong |= {POOL: "address of this system", USDT.contract: "token contract"}

    for address, why in wrong.items():
        refused = await order_refund(firm, invoice_id, {"refund_address": address})
        signed = await firm.signer.act("sign", invoice_id, {"refund_address": address})
        assert refused.refusal == signed.refusal == (422, 4220)
        assert why in refused.fields["refund_address"]
        assert why in signed.fields["refund_address"]
    shown = (await firm.auditor.look(invoice_id)).data
    assert (shown["status"], shown["refunds"]) == ("sign_pending", [])
    assert await payments.moves(invoice_id) == []


async def test_an_address_listed_since_the_order_is_not_approved(
    firm: Firm, payments: Payments
) -> None:
    invoice_id = await payable(firm)
    await payments.paid(invoice_id)
    await order_refund(firm, invoice_id)
    await payments.lists(CUSTOMER_WALLET)

    refused = await firm.second_signer.act("refund/approve", invoice_id)

    assert "OFAC_SDN" in refused.fields["refund_address"]
    assert (await firm.signer.act("refund/withdraw", invoice_id)).data["status"] == "sign_pending"


async def test_one_key_orders_one_refund(firm: Firm, payments: Payments) -> None:
    invoice_id = await completed(firm, payments, payout_addresses=None)
    receipt = (await firm.signer.upload(b"%PDF-1.7\ny\nstartxref\n0\n%%EOF")).data["file_id"]
    headers = {"Idempotency-Key": "refund-0001"}
    body = {"refund_amount": "1", "refund_attachments": [receipt]}

    first = await order_refund(firm, invoice_id, body, headers)
    again = await order_refund(firm, invoice_id, body, headers)
    other = await order_refund(firm, invoice_id, {**body, "refund_amount": "2"}, headers)

    assert first.data == again.data
    assert again.headers["Idempotent-Replayed"] == "true"
    assert other.status == 422
    assert len((await firm.auditor.look(invoice_id)).data["refunds"]) == 1


async def test_many_at_once_order_and_approve_one_refund(firm: Firm, payments: Payments) -> None:
    invoice_id = await completed(firm, payments, payout_addresses=None)

    orders = [order_refund(firm, invoice_id, {"refund_amount": "60"}) for _ in range(8)]
    ordered = await asyncio.gather(*orders)
    approvals = [firm.second_signer.act("refund/approve", invoice_id) for _ in range(8)]
    approved = await asyncio.gather(*approvals)

    assert sorted(answer.status for answer in ordered) == [200] + [409] * 7
    assert sorted(answer.status for answer in approved) == [200] + [409] * 7
    assert await payments.moves(invoice_id) == [
        ("sweep", "", DUE),
        ("partial_refund", CUSTOMER_WALLET, 60_000_000),
    ]
