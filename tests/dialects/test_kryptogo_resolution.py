"""Discrepancies over the API: the choices with their numbers, each of them taken, and rules."""

from datetime import timedelta
from typing import Any

import pytest

from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Invalid
from counterfoil.db.pool import Database
from counterfoil.db.rows import execute
from counterfoil.desk import proving, settings
from support.actors import Caller
from support.contents import all_tables
from support.invoices import STRANGER
from support.payments import CUSTOMER_WALLET, Payments
from support.site import Firm, Site

(USDC_E,) = CHAINS["arb"].known_other
LATE = timedelta(days=1, minutes=20)
"""After the window of an invoice that is due on receipt."""


async def payable(firm: Firm, **changes: object) -> str:
    """An approved invoice over 3000 TWD, which is 92.307693 USDT."""
    invoice_id: str = (await firm.merchant.create(None, **changes)).data["id"]
    await firm.reviewer.approve(invoice_id)
    return invoice_id


async def resolution(caller: Caller, invoice_id: str) -> Any:  # noqa: ANN401 - JSON
    return (await caller.look(invoice_id)).data["resolution"]


async def resolve(firm: Firm, invoice_id: str, choice: str, **more: object) -> Any:  # noqa: ANN401 - JSON
    return await firm.signer.act("resolve", invoice_id, {"choice": choice, **more})


async def history(firm: Firm, invoice_id: str) -> list[tuple[str, str, str]]:
    entries = (await firm.auditor.logs(invoice_id)).data
    return [(e["event"], e["operator_uid"], e["reason"]) for e in entries]


async def rules(site: Site, **changes: str) -> None:
    await settings.change_policy(site.desk, 1, changes)


def amount(text: str) -> list[dict[str, str]]:
    return [
        {
            "chain": "arb",
            "token": "USDT",
            "token_address": "0xfd086bc7cd5c481dcc9c85ebe478a1c0b69fcbb9",
            "amount": text,
        }
    ]


class TestChoices:
    async def test_a_short_payment_shows_what_is_missing_and_at_which_rate(
        self, site: Site, firm: Firm, payments: Payments
    ) -> None:
        invoice_id = await payable(firm)
        await payments.paid(invoice_id, percent=90)

        found = await resolution(firm.signer, invoice_id)

        assert (found["context"], found["suggested"], found["chosen"]) == (
            "underpaid",
            "wait",
            None,
        )
        assert found["paid_share"] == "0.899999"
        deadline = int((await payments.look(invoice_id)).deadline_at.timestamp())
        observed = int(site.clock.now().timestamp())
        rate = {"pair": "USDT/TWD", "value": "32.5", "source": "test", "observed_at": observed}
        due = {"chain": "arb", "token": "USDT", "amount": "92.307693", "rate": rate}
        assert found["choices"] == [
            {"choice": "accept", "takes": amount("83.076923")},
            {
                "choice": "recalculate",
                "due": [due],
                "paid_share": "0.899999",
                "missing": amount("9.23077"),
            },
            {"choice": "refund_all", "returns": amount("83.076923")},
            {"choice": "wait", "missing": amount("9.23077"), "until": deadline},
        ]

    async def test_a_plain_payment_has_nothing_to_choose(
        self, firm: Firm, payments: Payments
    ) -> None:
        invoice_id = await payable(firm)
        assert await resolution(firm.signer, invoice_id) is None
        await payments.paid(invoice_id)
        assert await resolution(firm.signer, invoice_id) is None
        refused = await resolve(firm, invoice_id, "accept")
        assert refused.refusal == (409, 4090)

    async def test_each_choice_is_taken(self, firm: Firm, payments: Payments) -> None:
        receipt = (await firm.signer.upload(b"%PDF-1.7\nx\nstartxref\n0\n%%EOF")).data["file_id"]
        short, over, several = [await payable(firm) for _ in range(3)]
        await payments.paid(short, percent=90)
        await payments.paid(over, percent=150)
        await payments.arrives(several, percent=50)
        await payments.arrives(several, percent=50, payer=STRANGER)
        await payments.screened(several)

        taken = (await resolve(firm, short, "accept", reason="Bank fee.")).data
        signed = (await resolve(firm, over, "refund_surplus", refund_address=CUSTOMER_WALLET)).data
        back = {"refund_address": CUSTOMER_WALLET, "refund_attachments": [receipt]}
        returned = (await resolve(firm, several, "refund_all", reason="Who are they?", **back)).data

        assert (taken["status"], taken["resolution"]["chosen"]["choice"]) == (
            "sign_pending",
            "accept",
        )
        assert taken["resolution"]["chosen"]["by"] == firm.signer.uid
        assert signed["status"] == "sweep_processing"
        assert returned["status"] == "refund_pending"
        assert (await history(firm, several))[-1][2] == "Who are they?"

    async def test_a_surplus_that_is_kept_is_signed_for_without_an_address(
        self, firm: Firm, payments: Payments
    ) -> None:
        invoice_id = await payable(firm)
        await payments.paid(invoice_id, percent=150)
        found = await resolution(firm.signer, invoice_id)
        assert [c["choice"] for c in found["choices"]] == ["accept", "refund_surplus", "refund_all"]
        assert found["choices"][1]["returns"] == amount("46.153846")

        assert "refund_address" in (await firm.signer.act("sign", invoice_id)).fields
        await resolve(firm, invoice_id, "accept", reason="A tip.")
        assert "sign" in (await firm.signer.look(invoice_id)).data["available_actions"]
        body = {"refund_address": CUSTOMER_WALLET}
        refused = await firm.signer.act("sign", invoice_id, body)
        assert refused.refusal == (422, 4220)
        assert "accept was chosen" in refused.fields["refund_address"]
        assert await payments.moves(invoice_id) == []

        assert (await firm.signer.act("sign", invoice_id)).data["status"] == "sweep_processing"

    async def test_money_goes_nowhere_without_an_address(
        self, firm: Firm, payments: Payments, database: Database
    ) -> None:
        invoice_id = await payable(firm)
        await payments.paid(invoice_id, percent=150)
        before = await all_tables(database)

        for choice in ("refund_surplus", "refund_all"):
            refused = await resolve(firm, invoice_id, choice)
            assert refused.refusal == (422, 4220)
            assert list(refused.fields) == ["refund_address"]
        wrong = await resolve(firm, invoice_id, "recalculate")
        nonsense = await resolve(firm, invoice_id, "burn")

        assert wrong.refusal == (409, 4090)
        assert nonsense.refusal == (422, 4220)
        assert await all_tables(database) == before

    async def test_only_signers_choose(self, firm: Firm, payments: Payments) -> None:
        invoice_id = await payable(firm)
        await payments.paid(invoice_id, percent=90)
        for caller in (firm.merchant, firm.reviewer, firm.officer, firm.auditor):
            refused = await caller.act("resolve", invoice_id, {"choice": "accept"})
            assert refused.refusal == (403, 4003)


class TestWrongAsset:
    async def test_another_token_is_shown_and_sent_back(
        self, firm: Firm, payments: Payments
    ) -> None:
        receipt = (await firm.signer.upload(b"%PDF-1.7\nx\nstartxref\n0\n%%EOF")).data["file_id"]
        invoice_id = await payable(firm)
        await payments.arrives(invoice_id, units=5_000_000, asset=USDC_E)
        await payments.screened(invoice_id)

        shown = (await firm.signer.look(invoice_id)).data
        kept = await resolve(firm, invoice_id, "accept")
        back = {"refund_address": CUSTOMER_WALLET, "refund_attachments": [receipt]}
        ordered = await resolve(firm, invoice_id, "refund_all", reason="Wrong token.", **back)
        approved = await firm.second_signer.act("refund/approve", invoice_id)

        token = {"chain": "arb", "token": "USDC.e", "token_address": USDC_E.contract}
        assert (shown["status"], shown["context"]) == ("payment_insufficient", "wrong_asset")
        assert shown["stray"] == [{**token, "seen": "5.00", "final": "5.00", "screening": None}]
        assert shown["resolution"]["choices"] == [
            {"choice": "refund_all", "returns": [{**token, "amount": "5.00"}]}
        ]
        assert shown["payment_intent"]["received_crypto_amount"] is None
        assert kept.refusal == (409, 4090)
        assert ordered.data["status"] == "refund_pending"
        assert approved.data["status"] == "refund_processing"

    async def test_beside_a_payment_it_is_shown_and_the_payment_goes_on(
        self, firm: Firm, payments: Payments
    ) -> None:
        invoice_id = await payable(firm)
        await payments.paid(invoice_id)
        await payments.arrives(invoice_id, units=5_000_000, asset=USDC_E, payer=STRANGER)

        shown = (await firm.signer.look(invoice_id)).data

        assert (shown["status"], shown["context"]) == ("sign_pending", "exact")
        assert [stray["final"] for stray in shown["stray"]] == ["5.00"]
        assert (await firm.signer.act("sign", invoice_id)).data["status"] == "sweep_processing"


class TestRecalculation:
    async def late(self, site: Site, firm: Firm, payments: Payments) -> str:
        """A payment of the whole amount, twenty minutes after the deadline."""
        invoice_id = await payable(firm, payment_terms=0)
        site.clock.advance(LATE)
        await payments.paid(invoice_id)
        return invoice_id

    async def new_rate(self, site: Site, rate: str) -> None:
        await site.publish_rates()
        async with site.desk.database.transaction() as tx:
            await execute(
                tx,
                "UPDATE rate_snapshot SET rate = %(rate)s::numeric"
                " WHERE base = 'USDT' AND quote = 'TWD' AND observed_at = %(now)s",
                {"rate": rate, "now": site.clock.now()},
            )

    async def test_a_late_payment_is_judged_at_the_rate_of_the_day(
        self, site: Site, firm: Firm, payments: Payments
    ) -> None:
        invoice_id = await self.late(site, firm, payments)
        await self.new_rate(site, "30")
        found = await resolution(firm.signer, invoice_id)
        assert (found["context"], found["suggested"]) == ("paid_late", "recalculate")
        assert found["choices"][1]["due"][0]["amount"] == "100.00"
        assert found["choices"][1]["missing"] == amount("7.692307")

        after = (await resolve(firm, invoice_id, "recalculate", reason="Two days.")).data

        assert (after["status"], after["context"]) == ("payment_insufficient", "underpaid")
        assert after["payment_intent"]["crypto_amount"] == "100.00"
        assert after["payment_intent"]["crypto_price"] == "30"
        *_, entry = (await firm.auditor.logs(invoice_id)).data
        key = "arb:0xfd086bc7cd5c481dcc9c85ebe478a1c0b69fcbb9"
        due = entry["metadata"]["due"]
        assert (entry["event"], entry["reason"]) == ("recalculate", "Two days.")
        assert (due["from"][key]["due_units"], due["to"][key]["due_units"]) == (
            "92307693",
            "100000000",
        )
        assert (due["from"][key]["rate"]["value"], due["to"][key]["rate"]["value"]) == (
            "32.5",
            "30",
        )
        assert due["to"][key]["rate"]["source"] == "test"
        assert entry["metadata"]["content_hash"] == after["content_hash"]
        assert (await proving.verify_audit(site.desk)).breaks == ()

        await payments.arrives(invoice_id, percent=8)
        await payments.screened(invoice_id)
        late_again = (await firm.signer.look(invoice_id)).data
        # The instant of the new price is its deadline, and this clock stands still.
        assert (late_again["status"], late_again["context"]) == ("sign_pending", "overpaid")
        signed = await firm.signer.act("sign", invoice_id, {"refund_address": CUSTOMER_WALLET})
        assert signed.data["status"] == "sweep_processing"

    async def test_a_top_up_after_the_new_deadline_is_late_once_more(
        self, site: Site, firm: Firm, payments: Payments
    ) -> None:
        invoice_id = await self.late(site, firm, payments)
        await self.new_rate(site, "30")
        await resolve(firm, invoice_id, "recalculate")
        site.clock.advance(timedelta(seconds=1))

        await payments.arrives(invoice_id, percent=10)
        await payments.screened(invoice_id)

        found = await resolution(firm.signer, invoice_id)
        assert (found["context"], found["suggested"]) == ("paid_late", "recalculate")

    async def test_never_at_a_stale_rate(
        self, site: Site, firm: Firm, payments: Payments, database: Database
    ) -> None:
        invoice_id = await self.late(site, firm, payments)
        before = await all_tables(database)

        found = await resolution(firm.signer, invoice_id)
        refused = await resolve(firm, invoice_id, "recalculate")

        assert found["choices"][1] == {"choice": "recalculate", "due": None}
        assert refused.status == 503
        assert refused.body["data"]["pair"] == "USDT/TWD"
        assert await all_tables(database) == before

    async def test_a_forged_row_is_not_laundered(
        self, site: Site, firm: Firm, payments: Payments, database: Database
    ) -> None:
        invoice_id = await self.late(site, firm, payments)
        await site.publish_rates()
        await payments.forged(invoice_id, ("payout_to", "evm"), '"0x' + "ee" * 20 + '"')
        before = await all_tables(database)

        refused = await resolve(firm, invoice_id, "recalculate")

        assert refused.refusal == (409, 4090)
        assert refused.body["data"]["rule"] == "approved_content"
        assert await all_tables(database) == before

    async def test_a_price_in_the_token_itself_has_no_other_rate(
        self, site: Site, firm: Firm, payments: Payments
    ) -> None:
        item = {"name": "Consulting", "quantity": 1, "unit_price": 100, "tax": 0}
        plain = {"pricing_mode": "crypto", "amount": "100.00", "currency": None}
        invoice_id = await payable(firm, payment_terms=0, detail_items=[item], **plain)
        site.clock.advance(LATE)
        await payments.paid(invoice_id)

        refused = await resolve(firm, invoice_id, "recalculate")

        assert refused.body["data"]["rule"] == "no_rate"
        found = await resolution(firm.signer, invoice_id)
        assert [c["choice"] for c in found["choices"]] == ["accept", "refund_all"]


class TestRules:
    async def test_a_rule_accepts_in_the_same_breath_and_says_so(
        self, site: Site, firm: Firm, payments: Payments
    ) -> None:
        await rules(site, auto_accept_underpaid_from="0.99")
        invoice_id = await payable(firm)
        await payments.paid(invoice_id, percent=99)
        assert (await firm.signer.look(invoice_id)).data["status"] == "payment_insufficient"
        short = await payable(firm)
        due = (await payments.look(short)).requests[0].due_units
        await payments.arrives(short, units=due - due // 100)
        await payments.screened(short)

        shown = (await firm.signer.look(short)).data

        assert (shown["status"], shown["context"]) == ("sign_pending", "underpaid")
        assert shown["resolution"]["chosen"]["by"] == "system:policy"
        assert shown["resolution"]["chosen"]["rule"] == "auto_accept_underpaid_from=0.99"
        assert (await history(firm, short))[-2:] == [
            ("screened", "system:screen", ""),
            ("accept", "system:policy", "by rule: auto_accept_underpaid_from=0.99"),
        ]
        assert (await firm.signer.act("sign", short)).data["status"] == "sweep_processing"

    async def test_invoices_keep_the_rules_they_were_created_with(
        self, site: Site, firm: Firm, payments: Payments
    ) -> None:
        before = await payable(firm)
        await rules(site, auto_accept_overpaid_to="1.02")
        after = await payable(firm)

        for invoice_id in (before, after):
            await payments.paid(invoice_id, percent=102)

        assert (await resolution(firm.signer, before))["chosen"] is None
        assert (await resolution(firm.signer, after))["chosen"]["choice"] == "accept"
        assert "refund_address" in (await firm.signer.act("sign", before)).fields
        assert (await firm.signer.act("sign", after)).data["status"] == "sweep_processing"

    async def test_a_surplus_goes_back_to_its_one_sender_when_somebody_signs(
        self, site: Site, firm: Firm, payments: Payments
    ) -> None:
        await rules(site, auto_refund_surplus_below_usd="5", several_payers="accept")
        small, large, mixed, asked = [await payable(firm) for _ in range(4)]
        await rules(site, overpaid="resolve")
        resolved = await payable(firm)
        for invoice_id in (small, asked, resolved):
            await payments.paid(invoice_id, percent=105)
        await payments.paid(large, percent=106)
        await payments.arrives(mixed, percent=50)
        await payments.arrives(mixed, percent=55, payer=STRANGER)
        await payments.screened(mixed)

        assert (await firm.signer.look(resolved)).data["status"] == "sign_pending"
        assert (await history(firm, resolved))[-1] == (
            "accept",
            "system:policy",
            "by rule: auto_refund_surplus_below_usd=5",
        )
        for invoice_id in (large, mixed):
            assert "refund_address" in (await firm.signer.act("sign", invoice_id)).fields
            assert await payments.moves(invoice_id) == []
        elsewhere = {"refund_address": STRANGER}
        assert "refund_reason" in (await firm.signer.act("sign", asked, elsewhere)).fields

        for invoice_id in (small, resolved):
            signed = (await firm.signer.act("sign", invoice_id)).data
            assert signed["status"] == "sweep_processing"
            assert signed["payment_intent"]["partial_refund_address"].lower() == CUSTOMER_WALLET
            (back,) = [m for m in await payments.moves(invoice_id) if m[0] == "partial_refund"]
            assert back == ("partial_refund", CUSTOMER_WALLET, 4_615_384)
            signer = (await history(firm, invoice_id))[-1]
            assert signer[0] == "sign_off"
            assert signer[2] == "by rule: auto_refund_surplus_below_usd=5"

    async def test_a_late_payment_is_recalculated_by_rule_where_it_is_enough(
        self, site: Site, firm: Firm, payments: Payments
    ) -> None:
        await rules(site, auto_recalculate_late_minutes="60", auto_recalculate_late_from="0.999")
        enough, dearer, stale = [await payable(firm, payment_terms=0) for _ in range(3)]
        site.clock.advance(LATE)
        await payments.paid(stale)
        await site.publish_rates()
        await payments.paid(enough)
        await TestRecalculation().new_rate(site, "30")
        site.clock.advance(timedelta(seconds=1))
        await payments.paid(dearer)

        assert (await resolution(firm.signer, enough))["chosen"]["choice"] == "recalculate"
        assert (await firm.signer.look(enough)).data["context"] == "exact"
        assert (await resolution(firm.signer, dearer))["chosen"] is None
        assert (await resolution(firm.signer, stale))["chosen"] is None
        for waiting in (dearer, stale):
            assert (await firm.signer.look(waiting)).data["context"] == "paid_late"

    async def test_a_rule_does_not_act_on_what_nobody_approved(
        self, firm: Firm, payments: Payments
    ) -> None:
        invoice_id = await payable(firm)
        await payments.forged(invoice_id, ("policy", "auto_accept_underpaid_from"), '"0.5"')

        await payments.paid(invoice_id, percent=60)

        assert (await firm.signer.look(invoice_id)).data["status"] == "payment_insufficient"

    async def test_nonsense_is_refused_by_name(self, site: Site, firm: Firm) -> None:
        assert firm.org_id == 1
        for setting, value, says in (
            ("auto_accept_underpaid_from", "0.1", "from 0.5 to 1"),
            ("auto_accept_underpaid_from", "1", "below underpay_ratio, which is 1"),
            ("auto_accept_underpaid_from", "NaN", "plain number"),
            ("auto_accept_overpaid_to", "1", "above overpay_ratio, which is 1"),
            ("auto_accept_overpaid_to", "3", "from 1 to 2"),
            ("auto_refund_surplus_below_usd", "0", "from 1 to 10000"),
            ("auto_accept_late_minutes", "0", "null for no such rule"),
            ("auto_recalculate_late_minutes", "soon", "cannot be 'soon'"),
            ("auto_refund_to", "0x00", "there are "),
        ):
            with pytest.raises(Invalid) as refusal:
                await rules(site, **{setting: value})
            assert says in refusal.value.fields[setting]

    async def test_a_rule_is_taken_back(self, site: Site, firm: Firm) -> None:
        assert firm.org_id == 1
        await rules(site, auto_accept_late_minutes="30")
        policy = await settings.change_policy(site.desk, 1, {"auto_accept_late_minutes": "null"})
        assert policy.auto_accept_late_minutes is None


async def test_the_log_says_what_was_asked_for_and_what_an_edit_changed(firm: Firm) -> None:
    invoice_id = (await firm.merchant.create()).data["id"]
    item = {"name": "Consulting", "quantity": 1, "unit_price": 3000, "tax": 0}
    await firm.merchant.update(invoice_id, detail_items=[item], pay_token="USDC")

    created, edited = [e["metadata"] for e in (await firm.auditor.logs(invoice_id)).data]

    usdc, usdt = (
        "arb:0xaf88d065e77c8cc2239327c5edb3a432268e5831",
        "arb:0xfd086bc7cd5c481dcc9c85ebe478a1c0b69fcbb9",
    )
    assert (created["amount"], created["currency"]) == ("3000", "TWD")
    assert created["due"][usdt]["due_units"] == "92307693"
    assert created["due"][usdt]["rate"]["value"] == "32.5"
    assert edited["changed"] == ["items", "requests"]
    assert list(edited["due"]["from"]) == [usdt]
    assert list(edited["due"]["to"]) == [usdc]
