"""A customer's day at the payment page: what it says at each turn, and what it asks for."""

import html
import re
from datetime import timedelta

import pytest

from counterfoil.checkout.qr import qr_code
from counterfoil.core.invoice import Status
from counterfoil.core.reckoning import Depth
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import printing
from counterfoil.pages import paper
from support.actors import Caller
from support.invoices import USDC
from support.payer import invited, stage, to_copy
from support.payments import CUSTOMER_WALLET, PDF, Payments, order_refund
from support.site import Firm, Site

READER = Actor("user_test", 1, frozenset({Permission.READ}))
DUE = "92.307693"
"""3,000 TWD at 32.5 TWD the coin, rounded up to the unit."""


async def test_a_customer_pays_half_then_the_rest_and_prints_a_receipt(
    site: Site, firm: Firm, payments: Payments
) -> None:
    bill, payer = await invited(site, firm)

    page = await payer.look()
    assert (page.status, stage(page)) == (200, "open")
    (option,) = (await firm.merchant.look(bill)).data["payment_options"]
    assert to_copy(page) == (DUE, option["address"])
    assert str(qr_code(option["payment_uri"])) in page.text
    for words in (
        "Merchant 1 Invoice INV-2026-000001",
        "Consulting service",
        "3,000.00 TWD · 1 USDT = 32.5 TWD",
        "Chain Arbitrum One",
        "until 2026-07-22 24:00 UTC",
        "The rate is fixed until then.",
        "Issued by Merchant 1 Billed to Acme Buyer Merchant Ltd. Number",
    ):
        assert words in page.words
    assert 'data-until="2026-07-23T00:00:00+00:00"' in page.text
    assert (await payer.look(below="/receipt")).status == 404

    await payments.arrives(bill, percent=50, depth=Depth.SEEN, tx_hash="0x" + "5e" * 32)
    page = await payer.look()
    assert stage(page) == "partly_seen"
    assert to_copy(page) == ("46.153847", option["address"])
    assert str(qr_code(option["payment_uri"].replace("92307693", "46153847"))) in page.text
    assert f"of {DUE} USDT in all" in page.words
    assert "46.153846 USDT seen" in page.words

    await payments.arrives(bill, percent=50, tx_hash="0x" + "5e" * 32)
    assert stage(await payer.look()) == "checking"
    await payments.screened(bill)
    page = await payer.look()
    assert stage(page) == "missing"
    assert to_copy(page) == ("46.153847", option["address"])

    await payments.arrives(bill, units=46_153_847, depth=Depth.SEEN, tx_hash="0x" + "6e" * 32)
    page = await payer.look()
    assert stage(page) == "seen"
    assert "What to send" not in page.words
    await payments.arrives(bill, units=46_153_847, tx_hash="0x" + "6e" * 32)
    await payments.screened(bill)
    page = await payer.look()
    assert stage(page) == "received"
    assert "https://arbiscan.io/tx/0x" + "6e" * 32 in page.text

    await firm.signer.act("sign", bill)
    assert stage(await payer.look()) == "paid"
    receipt = await payer.look(below="/receipt")
    assert receipt.status == 200
    for words in (
        "Receipt for INV-2026-000001",
        f"Amount due {DUE} USDT (3,000.00 TWD)",
        f"Received {DUE} USDT",
        "Paid on 2026-06-22 12:00 UTC",
        "0x" + "5e" * 32,
        "Total 3,000.00 TWD",
        "Billed to Acme Buyer Merchant Ltd. Number",
    ):
        assert words in receipt.words


async def test_a_customer_who_may_choose_sees_what_belongs_to_the_choice(
    site: Site, firm: Firm
) -> None:
    bill, payer = await invited(
        site, firm, allow_any_chain=True, allow_any_token=True, use_fixed_stablecoin_rate=True
    )
    options = (await firm.merchant.look(bill)).data["payment_options"]
    assert len(options) == 6
    page = await payer.look()
    # What the merchant named comes first.
    assert (options[0]["chain"], options[0]["token"]) == ("arb", "USDT")
    assert str(qr_code(options[0]["payment_uri"])) in page.text
    for option in options:
        chosen = f"?pay={option['chain']}-{option['token']}"
        assert f'href="{payer.path}{chosen}"' in page.text
        page = await payer.look(chosen)
        assert to_copy(page) == (option["amount"], option["address"])
        assert str(qr_code(option["payment_uri"])) in page.text
        assert f'data-chain-id="{hex(option["chain_id"])}"' in page.text
        assert f'data-to="{option["token_address"]}"' in page.text
        assert "1 USD = 32.4 TWD" in page.words
        bare = await payer.look(chosen + "&qr=address")
        assert str(qr_code(option["address"])) in bare.text
        assert to_copy(bare) == to_copy(page)


async def test_an_invoice_in_a_token_needs_no_rate_and_ether_no_contract(
    site: Site, firm: Firm
) -> None:
    _, payer = await invited(
        site,
        firm,
        pricing_mode="crypto",
        currency=None,
        amount="0.03",
        pay_token="ETH",
        detail_items=[{"name": "Wine", "quantity": 1, "unit_price": 0.03, "tax": 0}],
    )
    page = await payer.look()
    assert to_copy(page)[0] == "0.03"
    assert "0.03 ETH" in page.words
    assert "token contract" not in page.words
    assert "rate" not in page.words
    assert 'data-value="0x6a94d74f430000"' in page.text
    assert 'data-call="0x"' in page.text


async def test_nothing_can_be_paid_before_the_reviewer_approved(site: Site, firm: Firm) -> None:
    bill, payer = await invited(site, firm, approve=False)
    page = await payer.look()
    assert stage(page) == "not_open"
    (option,) = (await firm.merchant.look(bill)).data["payment_options"]
    assert option["address"] not in page.text
    assert not re.search(r"data-copy|class=\"qr\"|data-wallet", page.text)
    await firm.reviewer.reject(bill, "not as ordered")
    page = await payer.look()
    assert stage(page) == "called_off"
    assert "not as ordered" not in page.words


async def test_a_customer_who_comes_too_late_is_asked_to_send_nothing(
    site: Site, firm: Firm, payments: Payments
) -> None:
    bill, payer = await invited(site, firm)
    half, other = await invited(site, firm)
    await payments.paid(half, percent=50)
    address = to_copy(await payer.look())[1]
    site.clock.advance(timedelta(days=31))
    page = await payer.look()
    assert stage(page) == "over"
    assert address not in page.text
    assert stage(page := await other.look()) == "missing_late"
    assert "What to send" not in page.words
    assert "data-copy" not in page.text

    await payments.paid(bill)
    page = await payer.look()
    assert stage(page) == "late"
    assert "The merchant decides" in page.words
    await firm.signer.act("accept", bill, {"reason": "a good customer"})
    assert stage(await payer.look()) == "received"


async def test_a_customer_who_sent_too_much_gets_the_surplus_back(
    site: Site, firm: Firm, payments: Payments
) -> None:
    bill, payer = await invited(site, firm)
    await payments.paid(bill, percent=150)
    page = await payer.look()
    assert stage(page) == "received_too_much"
    assert "More than was due: 46.153846 USDT" in page.words
    await firm.signer.act(
        "sign", bill, {"refund_address": CUSTOMER_WALLET, "refund_reason": "sent too much"}
    )
    page = await payer.look()
    assert stage(page) == "paid"
    assert "What goes back 46.153846 USDT on its way" in page.words
    await payments.swept(bill, more_to_move=True)
    await payments.paid_out(bill)
    page = await payer.look()
    assert stage(page) == "paid"
    assert "What goes back 46.153846 USDT sent" in page.words
    assert "sent too much" not in page.words


async def test_a_surplus_that_waits_for_a_second_person_takes_nothing_back_from_its_customer(
    site: Site, firm: Firm, payments: Payments
) -> None:
    bill, payer = await invited(site, firm)
    await payments.paid(bill, percent=150)
    paper = (await firm.signer.upload(PDF)).data["file_id"]
    elsewhere = {
        "refund_address": "0x" + "e5" * 20,
        "refund_reason": "sent too much",
        "refund_attachments": [paper],
    }
    signed = (await firm.signer.act("sign", bill, elsewhere)).data
    assert signed["status"] == "refund_pending"
    assert stage(await payer.look()) == "received_too_much"
    assert (await payer.look(below="/receipt")).status == 200
    await firm.second_signer.act("refund/approve", bill)
    assert stage(await payer.look()) == "paid"


async def test_a_customer_whose_money_went_back_sees_it(
    site: Site, firm: Firm, payments: Payments
) -> None:
    bill, payer = await invited(site, firm)
    await payments.paid(bill)
    await order_refund(firm, bill)
    page = await payer.look()
    assert stage(page) == "refund_ordered"
    assert "Nothing of this refund has been sent yet" in page.words
    assert "What goes back" not in page.words
    assert "Customer requested refund" not in page.words
    await firm.second_signer.act("refund/approve", bill)
    await payments.swept(bill, more_to_move=True)
    await payments.parked(bill, "the chain would refuse it", "refund")
    page = await payer.look()
    assert stage(page) == "refunding"
    assert "delayed: the merchant has to look at it" in page.words
    assert "on its way" not in page.words
    await payments.refund_settled(bill)
    page = await payer.look()
    assert stage(page) == "refunded"
    assert f"What goes back {DUE} USDT sent" in page.words
    assert (await payer.look(below="/receipt")).status == 404


async def test_a_customer_to_whom_a_part_went_back_is_asked_for_nothing(
    site: Site, firm: Firm, payments: Payments
) -> None:
    bill, payer = await invited(site, firm)
    await payments.paid(bill, percent=60)
    assert stage(await payer.look()) == "missing"
    part = {"refund_amount": "20", "refund_token": "USDT", "refund_chain": "arb"}
    await order_refund(firm, bill, part)
    await firm.second_signer.act("refund/approve", bill)
    await payments.swept(bill, more_to_move=True)
    await payments.refund_settled(bill)
    assert (await payments.look(bill)).status is Status.RESOLUTION_REQUIRED
    page = await payer.look()
    assert stage(page) == "partly_refunded"
    assert "There is nothing for you to do; please send nothing more." in page.words
    assert "What goes back 20.00 USDT sent" in page.words
    assert "What to send" not in page.words
    assert "data-copy" not in page.text
    sam = await site.at_the_pages("sam1@merchant.example")
    told = await sam.open(f"/studio/invoices/{bill}")
    assert "A part sent back 20.00 USDT" in told.words
    assert "Surplus" not in told.words
    assert "Wait for the customer" not in told.words


async def test_who_paid_less_and_is_let_off_reads_how_much(
    site: Site, firm: Firm, payments: Payments
) -> None:
    bill, payer = await invited(site, firm)
    await payments.paid(bill, percent=60)
    assert (await payer.look(below="/receipt")).status == 404
    await firm.signer.act("accept", bill, {"reason": "a good customer"})
    told = "55.384615 USDT was received of 92.307693 USDT due. The merchant accepted it as it is;"
    assert told in (await payer.look()).words
    await firm.signer.act("sign", bill)
    page = await payer.look()
    assert (stage(page), told in page.words) == ("paid", True)
    receipt = (await payer.look(below="/receipt")).words
    assert "Paid in part, and accepted as it is Amount due 92.307693 USDT" in receipt
    assert "Received 55.384615 USDT Accepted as it is 36.923078 USDT less than" in receipt
    sam = await site.at_the_pages("sam1@merchant.example")
    standing = (await sam.open(f"/studio/invoices/{bill}")).words
    assert "Missing, and accepted as it is 36.923078 USDT" in standing
    found = await printing.printable(site.desk, (await payments.look(bill)).invoice_id, READER)
    sheet = paper.paper(paper.sheet_of(found, mail=False), "en", site.clock.now())
    assert sheet["stamp"]["text"] == "Paid in part on 2026-06-22, and accepted"


async def test_a_token_that_the_invoice_does_not_take_pays_nothing(
    site: Site, firm: Firm, payments: Payments
) -> None:
    bill, payer = await invited(site, firm)
    await payments.arrives(bill, units=92_307_693, asset=USDC, depth=Depth.SEEN)
    page = await payer.look()
    assert stage(page) == "wrong_token"
    assert to_copy(page)[0] == DUE
    assert "92.307693 USDC" in page.words


@pytest.mark.parametrize("sanctioned", [False, True])
async def test_a_customer_whose_money_is_held_learns_nothing_of_it(
    site: Site, firm: Firm, payments: Payments, *, sanctioned: bool
) -> None:
    bill, payer = await invited(site, firm)
    await payments.arrives(bill)
    checked = await payer.look()
    await payments.screened(bill, "aml_hold", sanctioned=sanctioned)
    held = await payer.look()
    assert (await payments.look(bill)).status is Status.COMPLIANCE_HOLD
    assert stage(held) == "checking"
    assert held.words == checked.words
    second = Caller(*await site.person(1, "olga", "compliance"))
    for officer in (firm.officer, second):
        await officer.act("decline", bill, {"reason": "its origin is on a list"})
    assert (await payments.look(bill)).status is Status.COMPLIANCE_DECLINED
    assert (await payer.look()).words == checked.words


async def test_a_part_alone_is_what_the_page_asks_for_by_itself(
    site: Site, firm: Firm, payments: Payments
) -> None:
    bill, payer = await invited(site, firm)
    page = await payer.look()
    assert 'http-equiv="refresh"' in page.text
    part = await payer.look(HX_Request="true")
    assert "<html" not in part.text
    assert stage(part) == "open"
    assert '<div hx-swap-oob="innerHTML:#told">Waiting for your payment</div>' in part.text
    await payments.paid(bill)
    await firm.signer.act("sign", bill)
    await payments.swept(bill, more_to_move=True)
    await payments.paid_out(bill)
    page = await payer.look()
    assert "sse-connect" not in page.text
    assert 'http-equiv="refresh"' not in page.text


async def test_the_page_speaks_the_customers_language_and_keeps_no_cookie(
    site: Site, firm: Firm
) -> None:
    _, payer = await invited(site, firm)
    page = await payer.look("?pay=arb-USDT", Accept_Language="zh-TW,zh;q=0.9,en;q=0.5")
    assert page.headers["Content-Language"] == "zh-Hant-TW"
    switch = f"{payer.path}?pay=arb-USDT&lang=en"
    assert f'href="{switch}"' in html.unescape(page.text)
    page = await payer.look("?pay=arb-USDT&lang=en", Accept_Language="zh-TW")
    assert page.headers["Content-Language"] == "en"
    assert f'hx-get="{switch}"' in html.unescape(page.text)
    assert (await payer.look("?lang=tlh")).headers["Content-Language"] == "en"
    assert len(payer.visitor.session.cookie_jar) == 0


async def test_merchants_find_the_link_in_studio_and_in_the_api(site: Site, firm: Firm) -> None:
    bill, payer = await invited(site, firm)
    maya = await site.at_the_pages("maya1@merchant.example")
    (listed,) = (await firm.merchant.list()).body["data"]
    link = listed["payment_page_url"]
    assert link.endswith(payer.path)
    assert f'href="{link}"' in (await maya.open(f"/studio/invoices/{bill}")).text


async def test_the_link_leads_nowhere_a_month_after_the_end(
    site: Site, firm: Firm, payments: Payments
) -> None:
    bill, payer = await invited(site, firm)
    _, open_one = await invited(site, firm)
    await payments.paid(bill)
    await firm.signer.act("sign", bill)
    await payments.swept(bill, more_to_move=True)
    site.clock.advance(timedelta(days=20))
    await payments.paid_out(bill)
    site.clock.advance(timedelta(days=29))
    await firm.merchant.act("archive", bill)
    assert stage(await payer.look()) == "paid"
    site.clock.advance(timedelta(days=2))
    gone = await payer.look()
    assert gone.status == 404
    assert (await payer.look(below="/receipt")).status == 404
    assert (await payer.look(below="/events")).status == 404
    assert stage(await open_one.look()) == "over"
    for tag in ("en", "zh-Hant-TW"):
        assert f'<section lang="{tag}"' in gone.text
