"""Escalating, finding hits false and reporting over the API: who may, and what others see."""

import pytest

from counterfoil.api.kryptogo.risk import RISK_FIELDS
from support.actors import Caller
from support.contents import all_tables
from support.payments import PDF, Payments
from support.site import Firm, Site

WHY = "Source of funds documented; see case 2026-17."
REPORT = {"reference": "MJIB 114-000123", "reported_on": "2026-06-22"}
DISPOSITION = {
    "disposition": "false_positive",
    "list": "OFAC_SDN",
    "entry_uid": "36518",
    "reason": "Another person of that name; see the passport.",
}


@pytest.fixture
async def second_officer(site: Site, firm: Firm) -> Caller:
    return Caller(*await site.person(firm.org_id, "olga", "compliance"))


async def held(firm: Firm, payments: Payments, *, sanctioned: bool = False) -> str:
    """An invoice whose money is to be looked at, or comes from somebody on a list."""
    invoice_id: str = (await firm.merchant.create()).data["id"]
    await firm.reviewer.approve(invoice_id)
    await payments.arrives(invoice_id)
    if sanctioned:
        await payments.listed(invoice_id, "36518", "LAZARUS GROUP")
    else:
        await payments.screened(invoice_id, "manual_review")
    return invoice_id


async def test_one_officer_escalates_and_the_log_says_so(
    firm: Firm, payments: Payments, second_officer: Caller
) -> None:
    invoice_id = await held(firm, payments)
    seen = (await firm.officer.look(invoice_id)).data
    assert seen["available_actions"] == ["release", "decline", "escalate", "quarantine"]

    done = (await firm.officer.act("escalate", invoice_id, {"reason": WHY})).data
    again = await second_officer.act("escalate", invoice_id, {"reason": WHY})
    foreign = await firm.signer.act("escalate", invoice_id, {"reason": WHY})

    assert (done["escalated_by"], done["status"]) == (firm.officer.uid, "compliance_freeze")
    assert done["people_needed"] == {"release": 2, "decline": 2}
    assert again.refusal == (409, 4090)
    assert again.body["data"]["rule"] == "held_already"
    assert foreign.refusal == (403, 4003)
    *_, last = (await firm.auditor.logs(invoice_id)).data
    assert (last["event"], last["operator_uid"], last["reason"]) == (
        "escalate",
        firm.officer.uid,
        WHY,
    )


async def test_two_officers_find_a_hit_false_and_it_is_screened_anew(
    firm: Firm, payments: Payments, second_officer: Caller
) -> None:
    invoice_id = await held(firm, payments, sanctioned=True)
    assert "disposition" in (await firm.officer.look(invoice_id)).data["available_actions"]
    passport = (await firm.officer.upload(PDF)).data["file_id"]

    bare = await firm.officer.act("disposition", invoice_id, DISPOSITION)
    one = await firm.officer.act("disposition", invoice_id, {**DISPOSITION, "evidence": [passport]})
    twice = await firm.officer.act("disposition", invoice_id, DISPOSITION)
    two = await second_officer.act("disposition", invoice_id, DISPOSITION)
    early = await firm.officer.act("release", invoice_id, {"reason": WHY})

    assert bare.fields == {"evidence": "must name one to 10 uploaded files that show who it is"}
    assert one.data["dispositions"] == [
        {"list": "OFAC_SDN", "entry_uid": "36518", "by": [firm.officer.uid]}
    ]
    assert twice.refusal == (403, 4003)
    assert two.data["status"] == "compliance_freeze"
    assert early.refusal == (409, 4090)
    await payments.screened(invoice_id)
    assert (await firm.merchant.look(invoice_id)).data["status"] == "sign_pending"
    (first, second) = (
        entry["metadata"]
        for entry in (await firm.auditor.logs(invoice_id)).data
        if entry["event"] == "dispose_hit"
    )
    assert (first["evidence"], second["evidence"]) == ([passport], [])
    assert (first["list"], first["entry_uid"]) == ("OFAC_SDN", "36518")


async def test_a_hit_on_declined_money_can_be_found_false_and_then_it_goes_back(
    firm: Firm, payments: Payments, second_officer: Caller
) -> None:
    invoice_id = await held(firm, payments, sanctioned=True)
    for officer in (firm.officer, second_officer):
        await officer.act("decline", invoice_id, {"reason": WHY})
    back = {
        "refund_address": "0x" + "d4" * 20,
        "refund_reason": "declined",
        "refund_attachments": [(await firm.signer.upload(PDF)).data["file_id"]],
    }
    frozen = await firm.signer.act("refund", invoice_id, back)
    offered = (await firm.officer.look(invoice_id)).data["available_actions"]
    passport = (await firm.officer.upload(PDF)).data["file_id"]
    await firm.officer.act("disposition", invoice_id, {**DISPOSITION, "evidence": [passport]})
    two = await second_officer.act("disposition", invoice_id, DISPOSITION)
    await payments.screened(invoice_id)
    ordered = await firm.signer.act("refund", invoice_id, back)

    assert frozen.refusal == (409, 4090)
    assert frozen.body["data"]["rule"] == "sanctions_hit"
    assert "disposition" in offered
    assert two.data["status"] == "compliance_freeze"
    assert ordered.data["status"] == "refund_pending"


async def test_the_papers_of_a_hit_are_named_to_officers_and_auditors_alone(
    site: Site, firm: Firm, payments: Payments
) -> None:
    """They say whom a hit may mean; a file is given to everybody who can name it."""
    invoice_id = await held(firm, payments, sanctioned=True)
    passport = (await firm.officer.upload(PDF)).data["file_id"]
    await firm.officer.act("disposition", invoice_id, {**DISPOSITION, "evidence": [passport]})
    path = f"/invoice/intent/{invoice_id}/logs"
    for caller in (firm.officer, firm.auditor):
        assert passport.encode() in (await caller.get(path)).raw
        assert (await caller.get(f"/files/{passport}")).status == 200
    otto = await site.at_the_pages("otto1@merchant.example")
    assert passport in (await otto.open(f"/studio/invoices/{invoice_id}")).text

    for caller in (firm.merchant, firm.reviewer, firm.signer, firm.all_roles):
        (told,) = (e for e in (await caller.get(path)).data if e["event"] == "dispose_hit")
        assert "evidence" not in told["metadata"]
    for name in ("maya", "rita", "sam"):
        visitor = await site.at_the_pages(f"{name}1@merchant.example")
        page = await visitor.open(f"/studio/invoices/{invoice_id}")
        assert "36518" in page.text
        assert passport not in page.text


async def test_whoever_is_no_officer_sees_scores_and_hits_without_names(
    firm: Firm, payments: Payments
) -> None:
    invoice_id = await held(firm, payments, sanctioned=True)
    for caller in (firm.merchant, firm.signer, firm.auditor):
        answer = await caller.look(invoice_id)
        assert b"LAZARUS" not in answer.raw
        intent = answer.data["payment_intent"]
        assert intent["total_weighted_risk_score"] == "100.00"
        assert set(RISK_FIELDS) <= set(intent)
        assert [hit["names"] for hit in intent["kya_record"]["hits"]] == [[]]
    assert b"LAZARUS" in (await firm.officer.look(invoice_id)).raw


async def test_a_report_is_told_to_officers_and_to_nobody_else(
    site: Site, firm: Firm, payments: Payments, second_officer: Caller
) -> None:
    """No tipping off: answers of everybody else are byte for byte what they were before."""
    invoice_id = await held(firm, payments)
    path = f"/invoice/intent/{invoice_id}"
    others = (firm.merchant, firm.reviewer, firm.signer, firm.auditor, firm.all_roles)

    async def seen() -> list[bytes]:
        paths = (path, f"{path}/logs", f"{path}/callbacks", f"{path}/reports", "/invoice/intents")
        return [(await who.get(one)).raw for who in others for one in paths]

    sam, ada = [await site.at_the_pages(f"{who}1@merchant.example") for who in ("sam", "ada")]
    before, outbox = await seen(), (await all_tables(site.desk.database))["outbox"]

    filed = await firm.officer.act("report", invoice_id, REPORT)
    foreign = await firm.signer.act("report", invoice_id, REPORT)

    assert filed.data["id"] == invoice_id
    assert b"MJIB" not in filed.raw
    assert foreign.refusal == (403, 4003)
    assert await seen() == before
    assert (await all_tables(site.desk.database))["outbox"] == outbox
    told = (await second_officer.get(f"{path}/reports")).data
    assert told == [{**REPORT, "by": firm.officer.uid, "at": "2026-06-22T12:00:00Z"}]
    export = {"first": "2026-06-01", "last": "2026-06-30", "form": "csv"}
    pages = [
        await sam.open(f"/studio/invoices/{invoice_id}"),
        await ada.open(f"/studio/invoices/{invoice_id}"),
        await ada.open("/studio/settings/log"),
        await ada.send("/studio/settings/log/export", export),
    ]
    for page in pages:
        assert page.status == 200
        assert "MJIB" not in page.text
        assert "report_filed" not in page.text
    late = await firm.officer.act("report", invoice_id, {**REPORT, "reported_on": "2031-01-01"})
    assert list(late.fields) == ["reported_on"]
