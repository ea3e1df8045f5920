"""What came beside a payment, over the API: shown, named, refunded, and told."""

from counterfoil.core.assets import CHAINS
from support.invoices import STRANGER
from support.payments import Payments, order_refund
from support.site import Firm

(USDC_E,) = CHAINS["arb"].known_other
ON_BASE = CHAINS["base"].accepted[1]


async def beside_a_payment(firm: Firm, payments: Payments) -> str:
    """An invoice that was paid, with a bridged token and the right one on another chain beside."""
    invoice_id: str = (await firm.merchant.create(None)).data["id"]
    await firm.reviewer.approve(invoice_id)
    await payments.arrives(invoice_id, units=5_000_000, asset=USDC_E, payer=STRANGER)
    await payments.paid(invoice_id)
    await payments.arrives(invoice_id, units=7_000_000, asset=ON_BASE, payer=STRANGER)
    return invoice_id


async def test_each_token_that_could_go_back_is_named_with_its_amount(
    firm: Firm, payments: Payments
) -> None:
    invoice_id = await beside_a_payment(firm, payments)
    shown = (await firm.signer.look(invoice_id)).data
    assert [(r["chain"], r["token"], r["amount"]) for r in shown["refundable"]] == [
        ("arb", "USDT", "92.307693"),
        ("arb", "USDC.e", "5.00"),
        ("base", ON_BASE.symbol, "7.00"),
    ]
    assert [stray["screening"] for stray in shown["stray"]] == [None, None]


async def test_it_goes_back_by_its_name_and_shows_in_the_refund_fields(
    firm: Firm, payments: Payments
) -> None:
    invoice_id = await beside_a_payment(firm, payments)
    await firm.signer.act("sign", invoice_id)
    await payments.swept(invoice_id, more_to_move=True)
    await payments.paid_out(invoice_id)
    assert "refund" in (await firm.signer.look(invoice_id)).data["available_actions"]

    unnamed = await order_refund(firm, invoice_id)
    too_much = await order_refund(
        firm, invoice_id, {"refund_token": "USDC.e", "refund_amount": "5.01"}
    )
    ordered = await order_refund(
        firm, invoice_id, {"refund_token": "USDC.e", "refund_chain": "arb", "refund_amount": "4"}
    )
    assert unnamed.body["data"]["rule"] == "budget"
    assert "5.00 USDC.e and 7.00 USDT came beside it" in unnamed.body["message"]
    assert "what is left is 5.00 USDC.e and 7.00 USDT" in too_much.fields["refund_amount"]
    assert ordered.data["status"] == "refund_pending"
    approved = await firm.second_signer.act("refund/approve", invoice_id)
    assert approved.data["status"] == "refund_processing"
    await payments.refunded(invoice_id)

    done = (await firm.signer.look(invoice_id)).data
    assert (done["status"], done["refunds"][0]["status"]) == ("completed", "settled")
    (went,) = done["refunds"][0]["amounts"]
    assert (went["token"], went["amount"], went["returned"]) == ("USDC.e", "4.00", "4.00")
    assert done["payment_intent"]["partial_refund_amount"] == "4.00"
    assert done["payment_intent"]["received_crypto_amount"] == "92.307693"
    assert [(r["token"], r["amount"]) for r in done["refundable"]] == [
        ("USDC.e", "1.00"),
        ("USDT", "7.00"),
    ]
