"""People out of turn: their own work, the wrong moment, each other's log (T3-T5, T19, T24)."""

import asyncio
from datetime import timedelta
from typing import Final

import psycopg
import pytest
from psycopg import sql

from counterfoil.api.kryptogo.actions import ACTIONS
from counterfoil.core import ids
from counterfoil.core.invoice import Status
from counterfoil.core.lifecycle import allowed_commands
from counterfoil.db.pool import Database
from support.actors import PAYOUT_ADDRESS, Answer, Caller
from support.contents import all_tables
from support.payments import CUSTOMER_WALLET, PDF, Payments
from support.site import Firm, Site

THIEF: Final = "0x" + "7e" * 20
ALMA: Final = "alma1@merchant.example"

COMMANDS: Final = {
    "sign": "sign_off",
    "refund": "order_refund",
    "refund/approve": "approve_refund",
    "refund/withdraw": "withdraw_refund",
    "note": "take_note",
    "disposition": "dispose_hit",
    "resolve": "recalculate",
}
"""What the lifecycle calls an action, where that is another name."""

BODIES: Final = {
    "sign": {"refund_address": CUSTOMER_WALLET},
    "disposition": {
        "disposition": "false_positive",
        "list": "OFAC_SDN",
        "entry_uid": "1",
        "reason": "Another person of that name.",
    },
    "note": {"text": "Asked the sender for a proof of funds."},
    "resolve": {"choice": "recalculate", "reason": "Paid two days late."},
    "attach": {"transfer": "0x" + "5e" * 32, "tx_hash": "0x" + "5e" * 32, "reason": "It is this."},
    "payments/redirect": {"payout_address": THIEF, "reason": "The first one is frozen."},
}


async def test_who_made_it_approves_it_through_no_door(site: Site, firm: Firm) -> None:
    """Not with the key that made it, not with a second session, and not with a key given away."""
    made = (await firm.all_roles.create(creator="Somebody Else")).data
    first, second = [await site.at_the_pages(ALMA) for _ in range(2)]
    last_day = (site.clock.now() + timedelta(days=9)).date().isoformat()
    key = {"label": "for Rita", "permission": ["transfer:read", "transfer:approve"]}
    page = await first.send("/studio/settings/keys", {**key, "last_day": last_day})
    given_away = next(word for word in page.words.split() if word.startswith("cfk_"))

    for caller in (firm.all_roles, Caller(site.session, given_away, "client_1")):
        refused = await caller.approve(made["id"])
        assert refused.refusal == (403, 4003)
        assert refused.body["data"]["rule"] == "maker_is_not_checker"
    for visitor in (first, second):
        path = f"/studio/invoices/{made['id']}/approve"
        assert (await visitor.send(path, {"content_hash": made["content_hash"]})).status == 403
    kept = (await firm.auditor.look(made["id"])).data
    assert (kept["status"], kept["approved_by"]) == ("approval_pending", None)
    assert (await firm.reviewer.approve(made["id"])).status == 200


async def test_nothing_happens_at_the_wrong_moment(
    site: Site, firm: Firm, database: Database
) -> None:
    """Whatever the lifecycle's table does not list is refused, also to who may do everything."""
    roles = ("finance", "reviewer", "signer", "compliance")
    everybody = Caller(*await site.person(1, "omar", *roles))
    refund = {
        "refund_address": CUSTOMER_WALLET,
        "refund_reason": "Called off.",
        "refund_attachments": [(await everybody.upload(PDF)).data["file_id"]],
    }
    bodies = {**BODIES, "refund": refund}
    bills = {status: await firm.shop.bill(status=status) for status in Status}
    before = await all_tables(database)
    for status, bill in bills.items():
        made = ids.public("inv", bill.invoice_id)
        for action in ACTIONS:
            if action.name == "report":
                continue  # Kept beside the invoice, wherever that stands.
            if COMMANDS.get(action.name, action.name) in allowed_commands(status):
                continue
            body = bodies.get(action.name, action.example)
            refused = await everybody.act(action.name, made, body)
            # Whether there is such a transfer is looked at before everything else.
            expected = (422, 4220) if action.name == "attach" else (409, 4090)
            assert refused.refusal == expected, (status, action.name, refused.raw)
        if status is not Status.APPROVAL_PENDING:
            assert (await everybody.update(made, amount="1.00")).refusal == (409, 4090)
    assert await all_tables(database) == before


async def test_money_goes_where_the_approved_invoice_said_whoever_is_quicker(
    firm: Firm, payments: Payments
) -> None:
    """Approvals, signatures and changes of the payout address, all in the same moment."""

    def changed() -> list[asyncio.Task[Answer]]:
        to_thief = {"payout_addresses": {"evm": THIEF}}
        return [asyncio.create_task(firm.merchant.update(made, **to_thief)) for _ in range(5)]

    for _ in range(4):
        made: str = (await firm.merchant.create()).data["id"]
        await asyncio.gather(*changed(), *(firm.reviewer.approve(made) for _ in range(5)))
        found = await payments.look(made)
        if found.status is Status.APPROVAL_PENDING:
            assert (await firm.reviewer.approve(made)).refusal == (422, 4220)
            continue
        await payments.paid(made)
        answers = await asyncio.gather(*changed(), *(firm.signer.act("sign", made) for _ in "12"))
        assert sorted(answer.status for answer in answers) == [200, *[409] * 6]
        *_, payout = await payments.moves(made)
        assert payout[:2] == ("payout", PAYOUT_ADDRESS.lower())


async def test_a_change_sets_nothing_but_what_people_may_write(firm: Firm) -> None:
    made = (await firm.merchant.create()).data
    before = (await firm.auditor.look(made["id"])).data
    meddled = await firm.merchant.update(
        made["id"],
        id="inv_mine",
        org_id=2,
        status="completed",
        payment_address=THIEF,
        payment_intent={"payment_address": THIEF, "crypto_amount": "0.01"},
        kg_fee_amount="-1",
        approved_by=firm.reviewer.uid,
        approved_hash=made["content_hash"],
        policy={"approval_required": False},
    )
    assert meddled.status == 200
    after = (await firm.auditor.look(made["id"])).data
    assert {name for name in before if after[name] != before[name]} == set()


async def test_nobody_writes_another_name_or_line_into_the_log(
    firm: Firm, database: Database
) -> None:
    made = (await firm.merchant.create(creator="admin")).data["id"]
    before = await all_tables(database)
    for reason in ("no\x1b[2Jway", "no\u202eway", 'no\r\n{"operator_uid": "admin"}\x00'):
        refused = await firm.reviewer.reject(made, reason)
        assert list(refused.fields) == ["reason"]
    forged = {"User-Agent": "\x9b2J", "X-Request-Id": 'x"} {"event": "approved"'}
    seen = await firm.auditor.call("GET", f"/v1/studio/api/invoice/intent/{made}", headers=forged)
    assert seen.headers["X-Request-Id"].startswith("req_")
    assert await all_tables(database) == before

    said = 'no\n{"event": "approve", "operator_uid": "admin"}'
    assert (await firm.reviewer.reject(made, said)).status == 200
    created, rejected = (await firm.auditor.logs(made)).data
    assert (created["event"], created["operator_uid"]) == ("created", firm.merchant.uid)
    assert (rejected["event"], rejected["operator_uid"]) == ("reject", firm.reviewer.uid)
    assert rejected["reason"] == said


@pytest.mark.parametrize("table", ["invoice_log", "posting", "screening_run", "org_log"])
async def test_our_own_processes_change_no_line_of_a_log(database: Database, table: str) -> None:
    change = sql.SQL("UPDATE {} SET org_id = 2").format(sql.Identifier(table))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        async with database.transaction() as tx:
            await tx.execute(change)
