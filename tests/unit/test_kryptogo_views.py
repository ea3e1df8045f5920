"""What a payment intent shows once money has come and gone."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from counterfoil.api.kryptogo.risk import RISK_FIELDS
from counterfoil.api.kryptogo.views import invoice_intent, payment_intent
from counterfoil.books.moves import MoveRow
from counterfoil.books.screening import ScreeningRun
from counterfoil.core.events import OrderRefund
from counterfoil.core.invoice import Context, PaymentRequest, Resolution, Status
from counterfoil.core.money import Money
from counterfoil.core.pay_links import PayLinks
from counterfoil.core.reckoning import Depth, take
from counterfoil.core.roles import Actor, permissions_of
from counterfoil.core.tally import Tally
from counterfoil.desk.queries import InvoiceView
from counterfoil.desk.snapshot import snapshot
from support.invoices import CUSTOMER, DUE, NOON, STRANGER, USDC, USDT, clean, gone, invoice, paid
from support.life import sign_pending, through
from support.rows import a_move, a_transfer

LINKS = PayLinks(b"k" * 32, "https://pay.example")
CLERK = Actor(uid="user_clerk", org_id=1, permissions=permissions_of(("finance",)))
OFFICER = Actor(uid="user_officer", org_id=1, permissions=permissions_of(("compliance",)))


def view(**parts: object) -> InvoiceView:
    found: dict[str, object] = {
        "invoice": invoice(Status.AWAITING_PAYMENT),
        "transfers": (),
        "moves": (),
        "screening": None,
        "read_at": NOON,
        **parts,
    }
    return InvoiceView(**found)  # type: ignore[arg-type]  # any part may be given


def test_an_unconfirmed_payment_shows_its_hash_but_no_amount() -> None:
    seen = invoice(Status.PAYMENT_DETECTED, tally=paid(confirmed=0))
    intent = payment_intent(view(invoice=seen, transfers=(a_transfer(depth=Depth.SEEN),)), CLERK)

    assert intent["payment_tx_hash"] == "0x" + "77" * 32
    assert intent["payer_address"] == CUSTOMER
    assert intent["received_crypto_amount"] is None
    assert intent["payment_tx_timestamp"] is None


def test_a_confirmed_payment_shows_amount_and_time() -> None:
    done = invoice(Status.SIGN_PENDING, tally=paid(), context=Context.EXACT)
    intent = payment_intent(view(invoice=done, transfers=(a_transfer(),)), CLERK)

    assert intent["received_crypto_amount"] == "100.00"
    assert intent["payment_tx_timestamp"] == int(NOON.timestamp())
    assert intent["status"] == "success"


def test_dust_and_reorganised_transfers_do_not_pass_for_the_payment() -> None:
    done = invoice(Status.SIGN_PENDING, tally=paid())
    later = NOON + timedelta(minutes=1)
    transfers = (
        a_transfer(),
        a_transfer(units=1, payer=STRANGER, tx="0x" + "d0" * 32, at=later),
        a_transfer(units=10 * DUE, tx="0x" + "aa" * 32, depth=Depth.ORPHANED),
        a_transfer(units=10 * DUE, tx="0x" + "bb" * 32, asset=USDC),
    )

    intent = payment_intent(view(invoice=done, transfers=transfers), CLERK)

    assert intent["payment_tx_hash"] == "0x" + "77" * 32


def test_the_paid_asset_is_the_one_shown() -> None:
    either = invoice(
        Status.SCREENING,
        requests=(PaymentRequest(USDT, DUE, None), PaymentRequest(USDC, DUE + 1, None)),
        tally=paid(asset=USDC),
    )

    intent = payment_intent(view(invoice=either, transfers=(a_transfer(asset=USDC),)), CLERK)

    assert (intent["symbol"], intent["token_address"]) == ("USDC", USDC.contract)
    assert intent["crypto_amount"] == "100.000001"


def test_movements_show_in_their_own_fields_once_they_moved() -> None:
    moving = invoice(Status.PAYOUT_PROCESSING, tally=paid())
    moves = (
        a_move("sweep", moved=DUE, tx="0x" + "01" * 32),
        a_move("payout", moved=None, tx="0x" + "02" * 32),
        a_move("partial_refund", units=5, moved=None, tx="0x" + "03" * 32),
    )

    intent = payment_intent(view(invoice=moving, moves=moves), CLERK)

    assert intent["aggregation_tx_hash"] == "0x" + "01" * 32
    assert intent["aggregated_crypto_amount"] == "100.00"
    assert intent["aggregation_tx_timestamp"] == int(NOON.timestamp())
    assert intent["partial_refund_tx_hash"] == "0x" + "03" * 32
    assert intent["partial_refund_amount"] is None
    assert intent["refund_tx_hash"] is None


def test_what_was_made_and_moved_nothing_has_no_amount() -> None:
    reverted = replace(a_move("sweep", moved=0, tx="0x" + "01" * 32), status="parked")
    moving = invoice(Status.SWEEPING, tally=paid())

    intent = payment_intent(view(invoice=moving, moves=(reverted,)), CLERK)

    assert intent["aggregation_tx_hash"] == "0x" + "01" * 32
    assert intent["aggregated_crypto_amount"] is None


def test_a_refund_order_is_shown_with_its_reason() -> None:
    order = OrderRefund(
        at=NOON,
        by="user_signer",
        address="0x" + "ab" * 20,
        reason="why",
        attachment_file_ids=(UUID(int=9),),
        amounts=(Money(5, USDT),),
    )
    shown = invoice_intent(view(invoice=through(sign_pending(), order)), CLERK, LINKS)

    assert shown["refund"] == shown["refunds"][0]
    assert shown["refund"]["refund_reason"] == "why"
    assert shown["refund"]["refund_attachments"] == ["file_" + UUID(int=9).hex]
    assert (shown["refund"]["status"], shown["refund"]["is_partial"]) == ("pending", True)
    assert shown["refund"]["amounts"] == [
        {
            "chain": "arb",
            "token": "USDT",
            "token_address": USDT.contract,
            "amount": "0.000005",
            "returned": "0.00",
            "tx_hash": None,
        }
    ]


def test_partial_refunds_are_added_up_and_the_newest_is_named() -> None:
    def sent(tx: str, to: str, units: int, minute: int) -> MoveRow:
        move = a_move("partial_refund", units=units, moved=units, tx=tx)
        return replace(move, destination=to, created_at=NOON + timedelta(minutes=minute))

    given_up = replace(sent("0x03", "0xc", 1, 3), status="failed", moved_units=None, tx_hash=None)
    moves = (sent("0x01", "0xa", 10_000_000, 1), sent("0x02", "0xb", 500_001, 2), given_up)

    intent = payment_intent(
        view(invoice=invoice(Status.COMPLETED, tally=paid()), moves=moves), CLERK
    )

    assert intent["partial_refund_amount"] == "10.500001"
    assert intent["partial_refund_tx_hash"] == "0x02"
    assert intent["partial_refund_address"] == "0xb"


def test_only_compliance_reads_the_names_on_a_list() -> None:
    hit = {"list": "OFAC_SDN", "names": ["Somebody Listed"]}
    run = ScreeningRun(
        org_id=1,
        run_id=UUID(int=1),
        invoice_id=UUID(int=7),
        decision="aml_hold",
        total=Decimal("100.00"),
        scores={"kya_risk": "100.00", "total_weighted_risk_score": "100.00"},
        record={"hits": [hit], "decision": "aml_hold"},
        created_at=NOON,
    )
    held = view(invoice=invoice(Status.COMPLIANCE_HOLD), screening=run)

    clerk, officer = payment_intent(held, CLERK), payment_intent(held, OFFICER)

    assert clerk["kya_risk"] == officer["kya_risk"] == "100.00"
    assert clerk["large_transaction_risk"] is None
    assert set(RISK_FIELDS) <= set(clerk)
    assert clerk["kya_record"]["hits"][0]["names"] == []
    assert officer["kya_record"]["hits"] == [hit]


def test_line_items_never_show_an_exponent() -> None:
    made = invoice()
    item = replace(made.document.items[0], quantity=Decimal("1E+3"), tax=Decimal("1E-7"))
    shown = invoice_intent(
        view(invoice=replace(made, document=replace(made.document, items=(item,)))), CLERK, LINKS
    )

    assert str(shown["detail_items"][0]["quantity"]) == "1000"
    assert f"{shown['detail_items'][0]['tax']}" == "1E-7"


def test_what_was_signed_for_instead_is_told_as_it_was_before() -> None:
    """The signature makes it the money for good; nothing that programs read says more or less."""
    (came,) = paid(asset=USDC).assets
    astray = Tally(stray=(came,), payers=(CUSTOMER,), stray_payers=((USDC.key, CUSTOMER),))
    before = invoice(
        Status.COMPLETED,
        tally=astray,
        screening=clean(astray),
        context=Context.WRONG_ASSET,
        resolution=Resolution("accept", "user_signer", NOON),
        settled=gone(DUE, DUE // 2, asset=USDC),
    )
    after = take(before)
    assert after.tally != before.tally
    transfers, moves = (a_transfer(asset=USDC),), (a_move("sweep", asset=USDC),)
    seen = [view(invoice=one, transfers=transfers, moves=moves) for one in (before, after)]
    for told in (
        [invoice_intent(one, CLERK, LINKS) for one in seen],
        [payment_intent(one, CLERK) for one in seen],
        [snapshot(one.invoice, transfers, moves) for one in seen],
    ):
        assert told[0] == told[1]
