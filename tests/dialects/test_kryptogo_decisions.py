"""No dead ends: every status that this API can bring about, it can also lead on from."""

from datetime import timedelta
from typing import Any

import pytest

from support.actors import PAYOUT_ADDRESS, Caller
from support.payments import CUSTOMER_WALLET, Payments, order_refund
from support.site import Firm, Site

WHY = "Source of funds documented; see case 2026-17."
ANOTHER_PAYER = "0x" + "c2" * 20


@pytest.fixture
async def second_officer(site: Site, firm: Firm) -> Caller:
    return Caller(*await site.person(firm.org_id, "olga", "compliance"))


async def payable(firm: Firm, **changes: object) -> str:
    """An approved invoice."""
    invoice_id: str = (await firm.merchant.create(None, **changes)).data["id"]
    await firm.reviewer.approve(invoice_id)
    return invoice_id


async def actions(caller: Caller, invoice_id: str) -> list[str]:
    found: list[str] = (await caller.look(invoice_id)).data["available_actions"]
    return found


async def events(firm: Firm, invoice_id: str) -> list[tuple[str, str]]:
    """Event and operator of every log entry, an approval's two as one."""
    entries = (await firm.auditor.logs(invoice_id)).data
    by_sequence: dict[int, Any] = {entry["sequence"]: entry for entry in entries}
    return [(entry["event"], entry["operator_uid"]) for entry in by_sequence.values()]


class TestHolds:
    async def test_two_officers_let_held_money_go_on(
        self, firm: Firm, payments: Payments, second_officer: Caller
    ) -> None:
        invoice_id = await payable(firm)
        await payments.arrives(invoice_id)
        await payments.screened(invoice_id, "aml_hold")
        held = (await firm.officer.look(invoice_id)).data

        first = (await firm.officer.act("release", invoice_id, {"reason": WHY})).data
        again = await firm.officer.act("release", invoice_id, {"reason": WHY})
        last = await second_officer.act("release", invoice_id, {"reason": "As my colleague says."})

        assert held["status"] == "compliance_freeze"
        assert held["available_actions"] == ["release", "decline", "quarantine"]
        assert held["people_needed"] == {"release": 2, "decline": 2}
        assert first["status"] == "compliance_freeze"
        assert (first["releases"], first["declines"]) == ([firm.officer.uid], [])
        assert first["people_needed"] == {"release": 1, "decline": 2}
        assert first["available_actions"] == ["decline", "quarantine"]
        assert again.refusal == (403, 4003)
        assert "a second person has to" in again.body["message"]
        assert last.data["status"] == "sign_pending"
        assert last.data["releases"] == [firm.officer.uid, second_officer.uid]
        assert last.data["people_needed"] is None
        *_, one, other = (await firm.auditor.logs(invoice_id)).data
        assert (one["event"], one["to_status"], one["reason"]) == (
            "release",
            "compliance_freeze",
            WHY,
        )
        assert (other["event"], other["to_status"]) == ("release", "sign_pending")

    async def test_declined_money_is_refunded(
        self, firm: Firm, payments: Payments, second_officer: Caller
    ) -> None:
        invoice_id = await payable(firm)
        await payments.arrives(invoice_id)
        await payments.screened(invoice_id, "aml_hold")

        first = (await firm.officer.act("decline", invoice_id, {"reason": WHY})).data
        declined = (await second_officer.act("decline", invoice_id, {"reason": WHY})).data

        assert first["people_needed"] == {"release": 2, "decline": 1}
        assert declined["payment_intent"]["status"] == "manual_review"
        assert await actions(firm.signer, invoice_id) == ["refund"]
        assert (await order_refund(firm, invoice_id)).data["status"] == "refund_pending"

    async def test_what_officers_note_about_held_money_is_for_officers_only(
        self, firm: Firm, payments: Payments, second_officer: Caller
    ) -> None:
        invoice_id = await payable(firm)
        early = await firm.officer.act("note", invoice_id, {"text": "Nothing is held yet."})
        await payments.arrives(invoice_id)
        await payments.screened(invoice_id, "aml_hold")

        noted = (await firm.officer.act("note", invoice_id, {"text": "Asked for papers."})).data
        await second_officer.act("note", invoice_id, {"text": "They came."})
        empty = await firm.officer.act("note", invoice_id, {"text": " "})
        foreign = await firm.signer.act("note", invoice_id, {"text": "Let it go!"})

        assert early.refusal == (409, 4090)
        assert noted["compliance_notes"] == [
            {"text": "Asked for papers.", "by": firm.officer.uid, "at": "2026-06-22T12:00:00Z"}
        ]
        notes = (await second_officer.look(invoice_id)).data["compliance_notes"]
        assert [note["text"] for note in notes] == ["Asked for papers.", "They came."]
        assert (await firm.merchant.look(invoice_id)).data["compliance_notes"] is None
        assert empty.refusal == (422, 4220)
        assert foreign.refusal == (403, 4003)
        log = (await firm.auditor.logs(invoice_id)).raw
        assert (await events(firm, invoice_id))[-1] == ("take_note", second_officer.uid)
        assert b"papers" not in log

    async def test_sanctioned_money_is_not_released(self, firm: Firm, payments: Payments) -> None:
        invoice_id = await payable(firm)
        await payments.arrives(invoice_id)
        await payments.screened(invoice_id, "aml_hold", sanctioned=True)

        refused = await firm.officer.act("release", invoice_id, {"reason": WHY})

        assert refused.refusal == (409, 4090)
        assert refused.body["data"]["rule"] == "sanctions_hit"
        seen = (await firm.officer.look(invoice_id)).data
        assert seen["available_actions"] == ["decline", "quarantine"]
        assert seen["people_needed"] == {"decline": 2}

    async def test_who_made_or_approved_the_invoice_does_not_decide(
        self, site: Site, firm: Firm, payments: Payments
    ) -> None:
        both = Caller(*await site.person(1, "bo", "finance", "compliance"))
        invoice_id = (await both.create()).data["id"]
        await firm.reviewer.approve(invoice_id)
        await payments.arrives(invoice_id)
        await payments.screened(invoice_id, "aml_hold")

        refused = await both.act("release", invoice_id, {"reason": WHY})

        assert refused.refusal == (403, 4003)
        assert await actions(both, invoice_id) == ["quarantine"]


class TestParticularPayments:
    async def test_a_short_payment_is_accepted_and_then_signed_for(
        self, firm: Firm, payments: Payments
    ) -> None:
        invoice_id = await payable(firm)
        await payments.paid(invoice_id, percent=90)

        early = await firm.signer.act("sign", invoice_id)
        accepted = (await firm.signer.act("accept", invoice_id, {"reason": "Bank fee."})).data
        signed = (await firm.signer.act("sign", invoice_id)).data

        assert early.refusal == (409, 4090)
        assert early.body["message"] == (
            "this is not possible while the invoice is payment_insufficient;"
            " possible now: accept, refund"
        )
        assert (accepted["status"], accepted["context"]) == ("sign_pending", "underpaid")
        assert signed["status"] == "sweep_processing"
        *_, entry, _ = (await firm.auditor.logs(invoice_id)).data
        assert (entry["event"], entry["reason"]) == ("accept", "Bank fee.")

    async def test_a_reason_for_accepting_is_welcome_and_not_asked_for(
        self, firm: Firm, payments: Payments
    ) -> None:
        invoice_id = await payable(firm)
        await payments.paid(invoice_id, percent=90)

        assert (await firm.signer.act("accept", invoice_id)).data["status"] == "sign_pending"

    async def test_a_late_payment_is_signed_for_at_once(
        self, site: Site, firm: Firm, payments: Payments
    ) -> None:
        invoice_id = await payable(firm, payment_terms=0)
        await payments.paid(invoice_id, at=site.clock.now() + timedelta(days=2))

        shown = (await firm.signer.look(invoice_id)).data
        signed = (await firm.signer.act("sign", invoice_id)).data

        assert (shown["status"], shown["context"]) == ("sign_pending", "paid_late")
        assert shown["available_actions"] == ["accept", "sign", "refund"]
        assert (signed["status"], signed["context"]) == ("sweep_processing", "paid_late")
        assert (await events(firm, invoice_id))[-2:] == [
            ("accept", firm.signer.uid),
            ("sign_off", firm.signer.uid),
        ]
        assert [purpose for purpose, _, _ in await payments.moves(invoice_id)] == [
            "sweep",
            "payout",
        ]

    async def test_a_payment_by_several_people_is_signed_for_at_once(
        self, firm: Firm, payments: Payments
    ) -> None:
        invoice_id = await payable(firm)
        await payments.arrives(invoice_id, percent=50)
        await payments.arrives(invoice_id, percent=50, payer=ANOTHER_PAYER)
        await payments.arrives(invoice_id, percent=1, payer=ANOTHER_PAYER)
        await payments.screened(invoice_id)

        shown = (await firm.signer.look(invoice_id)).data
        without = await firm.signer.act("sign", invoice_id)
        body = {"refund_address": CUSTOMER_WALLET}
        signed = (await firm.signer.act("sign", invoice_id, body)).data

        assert (shown["status"], shown["context"]) == ("sign_pending", "multiple_payers")
        assert list(without.fields) == ["refund_address"]
        assert signed["status"] == "sweep_processing"
        assert [purpose for purpose, _, _ in await payments.moves(invoice_id)] == [
            "sweep",
            "payout",
            "partial_refund",
        ]

    async def test_where_signing_fails_nothing_is_accepted_either(
        self, firm: Firm, payments: Payments
    ) -> None:
        created = (await firm.merchant.create()).data
        await payments.forged(created["id"], ("policy", "overpaid"), '"resolve"')
        await firm.reviewer.approve(created["id"])
        await payments.paid(created["id"], percent=120)
        before = await events(firm, created["id"])

        without = await firm.signer.act("sign", created["id"])

        assert without.refusal == (422, 4220)
        assert list(without.fields) == ["refund_address"]
        assert await events(firm, created["id"]) == before
        body = {"refund_address": CUSTOMER_WALLET}
        signed = (await firm.signer.act("sign", created["id"], body)).data
        assert signed["status"] == "sweep_processing"
        assert (await events(firm, created["id"]))[len(before) :] == [
            ("accept", firm.signer.uid),
            ("sign_off", firm.signer.uid),
        ]
        assert [purpose for purpose, _, _ in await payments.moves(created["id"])] == [
            "sweep",
            "payout",
            "partial_refund",
        ]


async def test_an_invoice_that_the_policy_approved_is_signed_for(
    site: Site, firm: Firm, payments: Payments
) -> None:
    robot = Caller(*await site.person(1, "robot", "finance", auto_approve=True))
    everything: dict[str, object] = {
        "allow_any_chain": True,
        "allow_any_token": True,
        "callback_url": "https://merchant.example/kg-callback",
        "payment_deadline": 1783000000,
        "description": "line one\nline two",
        "payout_addresses": {"evm": PAYOUT_ADDRESS},
    }
    invoice_id = (await robot.create(None, **everything)).data["id"]
    await payments.paid(invoice_id)

    assert (await firm.signer.act("sign", invoice_id)).data["status"] == "sweep_processing"


async def test_an_ended_invoice_is_put_away_and_stays_as_it_was(firm: Firm) -> None:
    invoice_id = (await firm.merchant.create()).data["id"]
    early = await firm.merchant.act("archive", invoice_id)
    cancelled = (await firm.merchant.cancel(invoice_id)).data

    archived = (await firm.colleague.act("archive", invoice_id)).data
    again = (await firm.colleague.act("archive", invoice_id)).data

    assert early.refusal == (409, 4090)
    assert cancelled["available_actions"] == ["archive"]
    assert (archived["status"], archived["archived_at"]) == ("cancelled", "2026-06-22T12:00:00Z")
    assert archived["available_actions"] == []
    assert again == archived
    assert (await events(firm, invoice_id))[-1] == ("archive", firm.colleague.uid)
    assert len(await events(firm, invoice_id)) == 3


async def test_what_goes_on_by_itself_says_so(firm: Firm, payments: Payments) -> None:
    invoice_id = await payable(firm)
    await payments.paid(invoice_id)
    await firm.signer.act("sign", invoice_id)

    refused = await firm.signer.act("sign", invoice_id)

    assert refused.body["message"] == (
        "this is not possible while the invoice is sweep_processing;"
        " possible now: nothing, it goes on by itself"
    )
    assert refused.body["data"]["allowed"] == []
