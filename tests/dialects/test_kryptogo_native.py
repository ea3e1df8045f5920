"""Invoices in ether: asked for, shown, and their transactions named."""

import pytest

from counterfoil.core.assets import CHAINS
from support.invoices import ETH
from support.payments import Payments
from support.site import Firm

HASH = "0x" + "22" * 32


async def test_an_invoice_in_ether_is_priced_by_its_rate(firm: Firm) -> None:
    bill = (await firm.merchant.create(pay_token="ETH", chain="arb")).data
    (option,) = bill["payment_options"]
    address = option["address"]
    assert (option["chain"], option["token"], option["token_address"]) == ("arb", "ETH", "")
    assert (option["amount"], option["decimals"]) == ("0.03", 18)
    assert option["payment_uri"] == f"ethereum:{address}@42161?value=30000000000000000"
    intent = bill["payment_intent"]
    assert (intent["symbol"], intent["crypto_amount"]) == ("ETH", "0.03")


@pytest.mark.parametrize("chain", list(CHAINS))
async def test_ether_is_taken_on_every_chain(firm: Firm, chain: str) -> None:
    (option,) = (await firm.merchant.create(pay_token="ETH", chain=chain)).data["payment_options"]
    assert (option["chain"], option["token"]) == (chain, "ETH")


async def test_a_fixed_stablecoin_rate_makes_no_ether_a_dollar(firm: Firm) -> None:
    bill = await firm.merchant.create(
        pay_token="ETH", currency="USD", use_fixed_stablecoin_rate=True
    )
    (option,) = bill.data["payment_options"]
    assert option["amount"] == "1.00"


async def test_an_amount_in_ether_is_what_it_says(firm: Firm) -> None:
    item = {"name": "Consulting", "quantity": 1, "unit_price": 0.25, "tax": 0}
    bill = await firm.merchant.create(
        pay_token="ETH",
        pricing_mode="crypto",
        currency=None,
        amount="1.75",
        detail_items=[{**item, "unit_price": 1.5}, item],
    )
    (option,) = bill.data["payment_options"]
    assert option["amount"] == "1.75"


async def test_any_token_means_stablecoins_and_what_was_named(firm: Firm) -> None:
    async def offered(**changes: object) -> set[tuple[str, str]]:
        bill = (await firm.merchant.create(None, **changes)).data
        return {(o["chain"], o["token"]) for o in bill["payment_options"]}

    stable = {("arb", "USDC"), ("arb", "USDT")}
    assert await offered(pay_token="USDT", allow_any_token=True) == stable
    assert await offered(pay_token="ETH", allow_any_token=True) == {*stable, ("arb", "ETH")}
    assert await offered(pay_token="ETH", allow_any_chain=True) == {(c, "ETH") for c in CHAINS}

    refused = await firm.merchant.create(
        pay_token="ETH", pricing_mode="crypto", currency=None, allow_any_token=True
    )
    assert refused.status == 422
    assert "no other token is worth one" in refused.fields["allow_any_token"]


async def test_a_payment_of_unknown_transaction_shows_no_payer_and_can_be_explained(
    firm: Firm, payments: Payments
) -> None:
    bill = (await firm.merchant.create(pay_token="ETH")).data
    await firm.reviewer.approve(bill["id"])
    placeholder = await payments.arrives_unexplained(bill["id"], ETH)

    shown = (await firm.merchant.look(bill["id"])).data
    (transfer,) = shown["transfers"]
    assert (transfer["tx_hash"], transfer["from_address"]) == (None, None)
    assert (transfer["unattributed"], transfer["internal_transfer"]) == (placeholder, True)
    intent = shown["payment_intent"]
    assert (intent["payment_tx_hash"], intent["payer_address"]) == (None, None)

    said = {"transfer": placeholder, "tx_hash": HASH, "reason": "the customer's wallet shows it"}
    assert (await firm.merchant.act("attach", bill["id"], said)).status == 403
    bad = await firm.officer.act("attach", bill["id"], {**said, "tx_hash": "0x22"})
    assert "64 hex digits" in bad.fields["tx_hash"]
    assert (await firm.officer.act("attach", bill["id"], said)).status == 200
    assert (await firm.officer.act("attach", bill["id"], said)).refusal[0] == 409
    (*_, entry) = (await firm.merchant.logs(bill["id"])).data
    assert (entry["event"], entry["reason"]) == ("transaction_named", said["reason"])
    assert entry["metadata"]["tx_hash"] == HASH
