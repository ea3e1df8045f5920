"""Somebody with a hand in the database changes an invoice after its approval."""

import pytest
from structlog.testing import capture_logs

from counterfoil.db.pool import Database
from support.contents import all_tables
from support.payments import Payments
from support.site import Firm

THIEF = "0x" + "ee" * 20

FORGERIES = [
    (("payout_to", "evm"), f'"{THIEF}"'),
    (("payout_to",), "{}"),
    (("price", "amount"), '"1.00"'),
    (("policy", "underpay_ratio"), '"0.01"'),
    (("callback_url",), '"https://thief.example/cb"'),
    (("approved_hash",), "null"),
    (("approved_hash",), '"' + "0" * 64 + '"'),
]


@pytest.mark.parametrize(("path", "value"), FORGERIES)
async def test_what_was_not_approved_is_not_signed_and_moves_nothing(
    firm: Firm, payments: Payments, database: Database, path: tuple[str, ...], value: str
) -> None:
    created = (await firm.merchant.create()).data
    await firm.reviewer.approve(created["id"])
    await payments.paid(created["id"])
    await payments.forged(created["id"], path, value)
    before = await all_tables(database)

    with capture_logs() as lines:
        refused = await firm.signer.act("sign", created["id"])

    assert refused.refusal == (409, 4090)
    assert refused.body["message"].startswith("what was approved is not what is stored now")
    assert refused.body["data"]["rule"] == "approved_content"
    (alarm,) = [line for line in lines if line["event"] == "approved_content_changed"]
    assert alarm["log_level"] == "critical"
    assert alarm["operator_uid"] == firm.signer.uid
    assert before["move"] == []
    assert await all_tables(database) == before


async def test_a_payment_that_is_accepted_by_signing_is_compared_as_well(
    firm: Firm, payments: Payments, database: Database
) -> None:
    created = (await firm.merchant.create()).data
    await firm.reviewer.approve(created["id"])
    await payments.arrives(created["id"], percent=50)
    await payments.arrives(created["id"], percent=50, payer="0x" + "c2" * 20)
    await payments.screened(created["id"])
    await payments.forged(created["id"], ("payout_to", "evm"), f'"{THIEF}"')
    before = await all_tables(database)

    refused = await firm.signer.act("sign", created["id"])

    assert refused.refusal == (409, 4090)
    assert refused.body["data"]["rule"] == "approved_content"
    assert await all_tables(database) == before
