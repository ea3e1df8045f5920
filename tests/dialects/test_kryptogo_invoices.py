"""The documented calls, as the documents show them."""

import json
from datetime import timedelta

from support.actors import CURL_EXAMPLE, PAYOUT_ADDRESS, STUDIO
from support.site import Firm, Site

DOCUMENTED_INTENT = {
    "payment_intent_id",
    "client_id",
    "org_id",
    "pricing_mode",
    "payment_chain_id",
    "payment_address",
    "payer_address",
    "token_address",
    "symbol",
    "decimals",
    "crypto_amount",
    "fiat_amount",
    "fiat_currency",
    "payment_deadline",
    "status",
    "payment_tx_hash",
    "payment_tx_timestamp",
    "aggregation_tx_hash",
    "refund_tx_hash",
    "received_crypto_amount",
    "aggregated_crypto_amount",
    "refund_crypto_amount",
    "order_data",
    "callback_url",
    "group_key",
    "kg_deep_link",
    "payment_method_type",
    "swap_enabled",
    "payout_target_address",
    "payout_target_sol_address",
    "payout_target_tron_address",
    "payout_addresses",
    "exact_out_amount",
    "kg_fee_amount",
    "aggregation_tx_timestamp",
    "finalized_timestamp",
    "partial_refund_tx_hash",
    "partial_refund_amount",
    "partial_refund_address",
    "crypto_price",
    "target_chain_id",
    "target_token_address",
    "bank_account_id",
    "kya_risk",
    "large_transaction_risk",
    "kya_risk_address",
    "kya_risk_counter_party",
    "transaction_frequency_risk",
    "total_weighted_risk_score",
    "quick_in_out_risk",
    "dormant_account_risk",
    "volume_spike_risk",
    "structuring_risk",
    "kya_accumulation_risk",
    "business_pattern_risk",
    "kya_record",
}


async def test_the_curl_example_creates_an_invoice_that_waits_for_approval(firm: Firm) -> None:
    created = (await firm.merchant.create()).data

    assert created["id"].startswith("inv_")
    assert created["invoice_id"] == "INV-2026-000001"
    assert created["status"] == "approval_pending"
    assert created["recipient_name"] == "Acme Buyer"
    assert created["payment_terms"] == 30
    assert created["detail_items"] == CURL_EXAMPLE["detail_items"]
    assert created["available_actions"] == ["update", "cancel"]
    intent = created["payment_intent"]
    assert set(intent) == DOCUMENTED_INTENT
    assert intent["payment_intent_id"] == created["id"].replace("inv_", "pi_")
    assert intent["client_id"] == "client_1"
    assert intent["org_id"] == 1
    assert intent["pricing_mode"] == "fiat"
    assert intent["payment_chain_id"] == "arb"
    assert intent["token_address"] == "0xfd086bc7cd5c481dcc9c85ebe478a1c0b69fcbb9"
    assert (intent["symbol"], intent["decimals"]) == ("USDT", 6)
    # 3000 TWD at 32.5 is 92.307692307...: the last unit is rounded up, never down.
    assert intent["crypto_amount"] == "92.307693"
    assert intent["crypto_price"] == "32.5"
    assert (intent["fiat_amount"], intent["fiat_currency"]) == ("3000.00", "TWD")
    assert intent["status"] == "awaiting_approval"
    assert intent["order_data"] == {"external_invoice_id": "INV-2026-001"}
    assert intent["payout_target_address"] == PAYOUT_ADDRESS.lower()
    assert intent["payout_addresses"] == {"evm": PAYOUT_ADDRESS.lower()}
    assert intent["kya_record"] == {}
    unknown = {name for name, value in intent.items() if value is None}
    assert {"payer_address", "payment_tx_hash", "kya_risk", "received_crypto_amount"} <= unknown


async def test_every_field_of_the_full_example_is_kept(firm: Firm) -> None:
    file_id = (await firm.merchant.upload(b"%PDF-1.7\nx\nstartxref\n0\n%%EOF\n")).data["file_id"]

    created = (
        await firm.merchant.create(
            client_id="client_1",
            callback_url="https://merchant.example/kg-callback",
            group_key="merchant-batch-2026-06",
            payout_target_address=PAYOUT_ADDRESS,
            payment_deadline=1783000000,
            swap_enabled=True,
            use_fixed_stablecoin_rate=True,
            description="June invoice",
            attachment={"file_id": file_id},
            invoice_issue_date="2026-06-22",
            allow_any_chain=False,
            allow_any_token=True,
        )
    ).data

    intent = created["payment_intent"]
    assert intent["callback_url"] == "https://merchant.example/kg-callback"
    assert intent["group_key"] == "merchant-batch-2026-06"
    assert intent["payment_deadline"] == 1783000000
    assert intent["swap_enabled"] is True
    # A fixed rate prices by the dollar: 3000 / 32.4.
    assert intent["crypto_amount"] == "92.592593"
    assert created["description"] == "June invoice"
    assert created["attachment"] == {"file_id": file_id}
    assert created["invoice_issue_date"] == "2026-06-22"
    assert [option["token"] for option in created["payment_options"]] == ["USDT", "USDC"]
    assert (await firm.auditor.look(created["id"])).data["payment_intent"] == intent


async def test_payment_options_say_how_a_wallet_pays(firm: Firm) -> None:
    created = (await firm.merchant.create(allow_any_chain=True)).data

    first, *others = created["payment_options"]
    address = created["payment_intent"]["payment_address"]
    assert first["payment_uri"] == (
        "ethereum:0xfd086bc7cd5c481dcc9c85ebe478a1c0b69fcbb9@42161/transfer"
        f"?address={address}&uint256=92307693"
    )
    assert [(o["chain"], o["chain_id"], o["token"]) for o in others] == [
        ("base", 8453, "USDT"),
        ("optimism", 10, "USDT"),
    ]
    assert {o["address"] for o in created["payment_options"]} == {address}


async def test_crypto_mode_asks_for_the_token_itself(firm: Firm) -> None:
    created = (
        await firm.merchant.create(
            pricing_mode="crypto",
            currency=None,
            amount="9.23",
            chain="op",
            pay_token="USDC",
            detail_items=[{"name": "Tea", "quantity": 1, "unit_price": 9.23}],
        )
    ).data

    intent = created["payment_intent"]
    assert intent["crypto_amount"] == "9.23"
    assert (intent["fiat_amount"], intent["fiat_currency"]) == (None, None)
    assert intent["payment_chain_id"] == "optimism"


async def test_numbers_of_line_items_are_exact(firm: Firm) -> None:
    answer = await firm.merchant.call(
        "POST",
        f"{STUDIO}/invoice/intent",
        content=json.dumps({**CURL_EXAMPLE, "amount": "0.30", "detail_items": "ITEMS"})
        .replace('"ITEMS"', '[{"name": "a", "quantity": 3, "unit_price": 0.1}]')
        .encode(),
    )

    # As floats three times 0.1 is more than 0.3, and this would not add up.
    assert b'"unit_price":0.1,' in answer.raw
    assert answer.data["payment_intent"]["fiat_amount"] == "0.30"


async def test_line_items_may_be_text_as_well(firm: Firm) -> None:
    items = [{"name": "a", "quantity": "1.5", "unit_price": "1999.99", "tax": "0.015"}]

    created = (await firm.merchant.create(detail_items=items)).data

    assert created["detail_items"] == [
        {"name": "a", "quantity": 1.5, "unit_price": 1999.99, "tax": 0.015}
    ]


async def test_order_data_comes_back_unchanged(firm: Firm) -> None:
    opaque = (
        '{"$ref":"1","__proto__":{"a":null},"note":"發票","big":12345678901234567890123,'
        '"price":1.10,"sci":1e5,"list":[true,false,[]],"":"empty"}'
    )
    body = json.dumps({**CURL_EXAMPLE, "order_data": "OPAQUE"}).replace('"OPAQUE"', opaque)

    created = await firm.merchant.call("POST", f"{STUDIO}/invoice/intent", content=body.encode())
    seen = await firm.auditor.look(created.data["id"])

    assert f'"order_data":{opaque},'.encode() in created.raw
    assert f'"order_data":{opaque},'.encode() in seen.raw


async def test_text_is_kept_in_one_form(firm: Firm) -> None:
    created = (await firm.merchant.create(recipient_name="  Cafe\u0301 株式会社 ")).data

    assert created["recipient_name"] == "Caf\u00e9 株式会社"


async def test_fields_that_are_not_ours_to_set_are_ignored(firm: Firm) -> None:
    plain = (await firm.merchant.create()).data
    meddled = (
        await firm.merchant.create(
            id="inv_mine",
            status="completed",
            org_id=2,
            payment_address="0x" + "66" * 20,
            kg_fee_amount="-1",
            approve_time="2026-01-01T00:00:00Z",
            approved_by="user_me",
            reviewer="me",
            crypto_amount="0.01",
            payment_intent={"status": "success"},
            available_actions=["sign"],
            policy={"approval_required": False},
        )
    ).data

    own = {
        "id",
        "invoice_id",
        "payment_intent",
        "payment_options",
        "payment_page_url",
        "content_hash",
    }
    assert {k: v for k, v in meddled.items() if k not in own} == {
        k: v for k, v in plain.items() if k not in own
    }
    assert meddled["payment_intent"]["crypto_amount"] == plain["payment_intent"]["crypto_amount"]


async def test_an_update_changes_what_it_names_and_nothing_else(firm: Firm) -> None:
    before = (await firm.merchant.create(description="old")).data

    after = (
        await firm.merchant.update(
            before["id"],
            recipient_name="Acme Buyer",
            description="Updated invoice description",
            reviewer="finance-manager@example.com",
            approve_time="2026-06-22T12:00:00Z",
            payout_target_address="0x" + "ab" * 20,
            chain="base",
        )
    ).data

    assert after["description"] == "Updated invoice description"
    assert after["reviewer"] == "finance-manager@example.com"
    assert after["approved_at"] is None
    assert after["payment_intent"]["payment_chain_id"] == "base"
    assert after["payment_intent"]["payout_addresses"] == {"evm": "0x" + "ab" * 20}
    assert after["payment_intent"]["payment_address"] == before["payment_intent"]["payment_address"]
    assert after["recipient_email"] == before["recipient_email"]
    assert after["content_hash"] != before["content_hash"]


async def test_new_terms_win_over_an_old_explicit_deadline(firm: Firm) -> None:
    before = (await firm.merchant.create(payment_deadline=1783000000)).data

    kept = (await firm.merchant.update(before["id"], description="x", payment_terms=30)).data
    after = (await firm.merchant.update(before["id"], payment_terms=10)).data

    assert kept["payment_intent"]["payment_deadline"] == 1783000000
    # Ten days after 22 June, to the end of that day.
    assert after["payment_intent"]["payment_deadline"] == 1783036800
    later = (await firm.merchant.update(before["id"], description="y")).data
    assert later["description"] == "y"
    assert later["payment_intent"]["payment_deadline"] == 1783036800


async def test_approval_opens_the_invoice_for_payment_and_shows_in_the_log(firm: Firm) -> None:
    created = (await firm.merchant.create()).data

    approved = (await firm.reviewer.approve(created["id"])).data

    assert approved["status"] == "pending_payment"
    assert approved["payment_intent"]["status"] == "pending"
    assert approved["approved_by"] == firm.reviewer.uid
    first, passed, rests = (await firm.auditor.logs(created["id"])).data
    assert (first["from_status"], first["to_status"]) == ("", "approval_pending")
    assert first["operator_uid"] == firm.merchant.uid
    assert (passed["from_status"], passed["to_status"]) == ("approval_pending", "approved")
    assert (rests["from_status"], rests["to_status"]) == ("approved", "pending_payment")
    assert passed["operator_uid"] == firm.reviewer.uid
    assert passed["created_at"] == "2026-06-22T12:00:00Z"
    assert passed["invoice_id"] == created["id"]
    assert len({entry["id"] for entry in (first, passed, rests)}) == 3
    assert passed["request_id"].startswith("req_")


async def test_an_approval_can_be_bound_to_what_the_reviewer_saw(firm: Firm) -> None:
    created = (await firm.merchant.create()).data
    await firm.merchant.update(created["id"], payout_target_address="0x" + "ee" * 20)

    stale = await firm.reviewer.act(
        "approve", created["id"], {"content_hash": created["content_hash"]}
    )

    assert stale.refusal == (409, 4090)
    assert (await firm.auditor.look(created["id"])).data["status"] == "approval_pending"


async def test_a_rejection_needs_a_reason_and_ends_it(firm: Firm) -> None:
    created = (await firm.merchant.create()).data

    without = await firm.reviewer.act("reject", created["id"], {})
    rejected = (
        await firm.reviewer.reject(
            created["id"], "Recipient information does not match our records."
        )
    ).data

    assert without.refusal == (422, 4220)
    assert without.fields == {"reason": "is required"}
    assert rejected["status"] == "approval_rejected"
    assert rejected["payment_intent"]["status"] == "cancelled"
    last = (await firm.auditor.logs(created["id"])).data[-1]
    assert last["reason"] == "Recipient information does not match our records."


async def test_an_invoice_is_cancelled_with_or_without_a_reason(firm: Firm) -> None:
    one, other = (await firm.merchant.create()).data, (await firm.merchant.create()).data

    with_reason = (await firm.merchant.cancel(one["id"])).data
    without = (await firm.merchant.act("cancel", other["id"])).data

    assert with_reason["status"] == without["status"] == "cancelled"
    last = (await firm.auditor.logs(one["id"])).data[-1]
    assert last["reason"] == "Cancelled by initiator"


async def test_a_command_out_of_place_names_the_status_and_what_is_possible(firm: Firm) -> None:
    created = (await firm.merchant.create()).data

    early = await firm.all_roles.act("sign", created["id"])
    refund = await firm.all_roles.act(
        "refund",
        created["id"],
        {
            "refund_address": PAYOUT_ADDRESS,
            "refund_reason": "Customer requested refund",
            "refund_attachments": [
                (await firm.signer.upload(b"%PDF-1.7\nx\nstartxref\n0\n%%EOF")).data["file_id"]
            ],
        },
    )

    for answer in (early, refund):
        assert answer.refusal == (409, 4090)
        assert answer.body["data"]["status"] == "approval_pending"
        assert answer.body["data"]["allowed"] == ["update", "approve", "reject", "cancel"]


async def test_due_on_receipt_starts_when_it_is_approved(site: Site, firm: Firm) -> None:
    created = (await firm.merchant.create(payment_terms=0)).data

    approved = (await firm.reviewer.approve(created["id"])).data

    day = 86_400
    assert approved["payment_intent"]["payment_deadline"] == site.clock.now().timestamp() + day


async def test_an_address_in_both_spellings_is_one_address(firm: Firm) -> None:
    both = await firm.merchant.create(payout_target_address=PAYOUT_ADDRESS.lower())
    two = await firm.merchant.create(payout_target_address="0x" + "11" * 20)

    assert both.data["payment_intent"]["payout_addresses"] == {"evm": PAYOUT_ADDRESS.lower()}
    assert two.refusal == (422, 4220)
    assert list(two.fields) == ["payout_target_address"]


async def test_the_documented_zero_address_is_refused_where_it_was_sent(firm: Firm) -> None:
    zero = "0x" + "0" * 40

    new = await firm.merchant.create(payout_addresses={"evm": zero})
    old = await firm.merchant.create(payout_addresses=None, payout_target_address=zero)

    assert new.refusal == old.refusal == (422, 4220)
    assert list(new.fields) == ["payout_addresses.evm"]
    assert list(old.fields) == ["payout_target_address"]


async def test_an_old_rate_prices_nothing_and_says_when_to_come_back(
    site: Site, firm: Firm
) -> None:
    site.clock.advance(timedelta(hours=2))

    answer = await firm.merchant.create()

    assert answer.refusal == (503, 5030)
    assert int(answer.headers["Retry-After"]) > 0
