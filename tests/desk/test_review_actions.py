"""What officers do about hits and money to be looked at: escalate, dispose, report."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from counterfoil.books import dispositions
from counterfoil.chains.evm.addresses import parse_evm_address
from counterfoil.core import ids
from counterfoil.core.errors import Forbidden, Invalid, NotFound, OutOfPlace
from counterfoil.core.invoice import Context, Invoice, Status
from counterfoil.core.risk_facts import Severity
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Database
from counterfoil.db.rows import execute
from counterfoil.desk import commands, compliance, files, proving, queries
from counterfoil.desk.queries import InvoiceView
from counterfoil.desk.refunding import Part
from counterfoil.studio.terms import FROZEN_LEFT, NEXT, next_of
from counterfoil.workers.lists import import_list
from support.bureau import LISTED, Bureau, history, listed, looked_at, officer, opened, sdn
from support.invoices import CHECKER, CUSTOMER, MAKER, OFFICERS, STRANGER, USDC, invoice

S = Status
WHY = "Another person of that name; see the passport."
PDF = b"%PDF-1.7\nx\nstartxref\n0\n%%EOF"
ENTRY: dict[str, Any] = {"list_code": "OFAC_SDN", "entry_uid": "0"}


@pytest.fixture
async def bureau(database: Database) -> Bureau:
    return await opened(database)


async def paper(bureau: Bureau, by: Actor) -> UUID:
    member = replace(by, uid=ids.public("user", bureau.desk.ids.new()))
    return (await files.store(bureau.desk, PDF, "passport.pdf", member)).file_id


async def disposed(bureau: Bureau, bill: Invoice) -> None:
    """Two officers say that it is somebody else."""
    for number in (0, 1):
        by = officer(number, bill.org_id)
        evidence = (await paper(bureau, by),) if number == 0 else ()
        await compliance.dispose(
            bureau.desk, bill.invoice_id, by, **ENTRY, reason=WHY, evidence=evidence
        )


async def sends_back(bureau: Bureau, bill: Invoice, part: Part | None = None) -> InvoiceView:
    """A signer orders that all of it goes back to the customer, or the part that is named."""
    by = Actor("user_sam", bill.org_id, frozenset({Permission.SIGN, Permission.READ}))
    return await commands.order_refund(
        replace(bureau.desk, addresses={"evm": parse_evm_address}),
        bill.invoice_id,
        by,
        address=CUSTOMER,
        reason="declined",
        attachments=(await paper(bureau, by),),
        part=part,
    )


async def approves(bureau: Bureau, bill: Invoice) -> InvoiceView:
    """Another signer lets the open refund go out."""
    by = Actor("user_sue", bill.org_id, frozenset({Permission.SIGN, Permission.READ}))
    view = await queries.view(bureau.desk, bill.invoice_id, by)
    assert view.invoice.open_refund is not None
    return await commands.approve_refund(
        replace(bureau.desk, addresses={"evm": parse_evm_address}),
        bill.invoice_id,
        by,
        seen=view.invoice.open_refund.refund_id,
    )


class TestDisposition:
    async def test_with_two_officers_and_evidence_it_is_screened_anew_and_goes_on(
        self, bureau: Bureau
    ) -> None:
        bill = await listed(bureau)
        assert (bill.status, bill.context) == (S.COMPLIANCE_HOLD, Context.SANCTIONED)
        by = officer()
        view = await compliance.dispose(
            bureau.desk,
            bill.invoice_id,
            by,
            **ENTRY,
            reason=WHY,
            evidence=(await paper(bureau, by),),
        )
        assert [one.people for one in view.invoice.disposals] == [(OFFICERS[0],)]
        with pytest.raises(Forbidden, match="second person"):
            await compliance.dispose(bureau.desk, bill.invoice_id, by, **ENTRY, reason=WHY)
        await compliance.dispose(bureau.desk, bill.invoice_id, officer(1), **ENTRY, reason=WHY)
        with pytest.raises(OutOfPlace, match="being screened"):
            await commands.release(bureau.desk, bill.invoice_id, officer(), WHY)

        after = await bureau.screens(bill)

        assert (after.status, after.context) == (S.SIGN_PENDING, Context.EXACT)
        run: Any = (await bureau.run(bill)).record
        assert (run["decision"], run["hits"], run["total"]) == ("clear", [], "9.50")
        assert [(d["list"], d["entry_uid"]) for d in run["dispositions"]] == [("OFAC_SDN", "0")]
        assert (await history(bureau, bill))[-3:] == ["dispose_hit", "dispose_hit", "screened"]
        assert (await proving.verify_audit(bureau.desk)).holds

    async def test_it_holds_for_the_same_customer_and_payer_until_the_entry_changes(
        self, bureau: Bureau
    ) -> None:
        await disposed(bureau, first := await listed(bureau))
        await bureau.screens(first)
        assert (await listed(bureau, number=43)).status is S.SIGN_PENDING

        somebody = invoice().document
        other: dict[str, Any] = {
            "document": type(somebody)(
                **{
                    **{name: getattr(somebody, name) for name in somebody.__slots__},
                    "recipient_email": "else@example.com",
                }
            )
        }
        assert (await listed(bureau, number=44, **other)).context is Context.SANCTIONED

        renamed = sdn(LISTED)
        await import_list(bureau.desk, _renamed(renamed), "a test", override=True)
        assert (await listed(bureau, number=45)).context is Context.SANCTIONED

    async def test_one_organisations_word_is_nothing_to_another(self, bureau: Bureau) -> None:
        await bureau.office.opens(2)
        await disposed(bureau, await listed(bureau))
        theirs = await listed(bureau, org_id=2)
        assert theirs.context is Context.SANCTIONED
        with pytest.raises(NotFound):
            await compliance.dispose(bureau.desk, theirs.invoice_id, officer(), **ENTRY, reason=WHY)

    async def test_declined_money_whose_hit_is_found_false_can_go_back_and_nowhere_else(
        self, bureau: Bureau
    ) -> None:
        bill = await listed(bureau)
        for number in (0, 1):
            await commands.decline(bureau.desk, bill.invoice_id, officer(number), WHY)
        with pytest.raises(OutOfPlace, match="frozen"):
            await sends_back(bureau, bill)

        await disposed(bureau, bill)
        after = await bureau.screens(bill)

        assert (after.status, after.context) == (S.COMPLIANCE_DECLINED, Context.HIGH_RISK)
        assert (await bureau.run(bill)).decision == "clear"
        with pytest.raises(OutOfPlace):
            await commands.release(bureau.desk, bill.invoice_id, officer(), WHY)
        ordered = await sends_back(bureau, bill)
        assert ordered.invoice.status is S.REFUND_PENDING
        assert (await proving.verify_audit(bureau.desk)).holds

    async def test_declined_money_stays_frozen_for_another_hit(self, bureau: Bureau) -> None:
        bill = await listed(bureau)
        for number in (0, 1):
            await commands.decline(bureau.desk, bill.invoice_id, officer(number), WHY)
        await import_list(
            bureau.desk,
            sdn(LISTED, STRANGER, entries=[(LISTED, "Another")]),
            "a test",
            override=True,
        )
        await disposed(bureau, bill)
        after = await bureau.screens(bill)
        assert (after.status, after.context) == (S.COMPLIANCE_DECLINED, Context.SANCTIONED)
        with pytest.raises(OutOfPlace, match="frozen"):
            await sends_back(bureau, bill)

    @pytest.mark.parametrize("withdrawn", [False, True])
    async def test_what_came_after_the_end_can_go_back_once_its_hit_is_found_false(
        self, bureau: Bureau, *, withdrawn: bool
    ) -> None:
        """Nobody looked at it before somebody ordered that it goes back."""
        bill = await bureau.office.issues()
        maker = Actor(MAKER, 1, frozenset({Permission.CREATE, Permission.READ}))
        await commands.cancel(bureau.desk, bill.invoice_id, maker, "by mistake")
        await bureau.office.is_paid(bill, payer=LISTED)
        await sends_back(bureau, bill)
        asked = await bureau.screens(bill)
        assert next_of(asked) == (FROZEN_LEFT,)
        with pytest.raises(OutOfPlace, match="frozen"):
            await approves(bureau, bill)
        if withdrawn:
            sam = Actor("user_sam", 1, frozenset({Permission.SIGN, Permission.READ}))
            back = await commands.withdraw_refund(bureau.desk, bill.invoice_id, sam, "frozen")
            assert next_of(back.invoice) == (NEXT[S.CANCELLED], FROZEN_LEFT)
            with pytest.raises(OutOfPlace, match="frozen"):
                await sends_back(bureau, bill)

        await disposed(bureau, bill)
        if withdrawn:
            await sends_back(bureau, bill)
        after = await bureau.screens(bill)

        assert (await bureau.run(bill)).decision == "clear"
        assert next_of(after) == (NEXT[S.REFUND_PENDING],)
        assert (await approves(bureau, bill)).invoice.status is S.REFUND_PROCESSING
        assert (await proving.verify_audit(bureau.desk)).holds

    @pytest.mark.parametrize("withdrawn", [False, True])
    async def test_what_strayed_in_can_go_back_once_its_hit_is_found_false(
        self, bureau: Bureau, *, withdrawn: bool
    ) -> None:
        """It came beside a payment that is clean, and was looked at when it was to go back."""
        bill = await bureau.office.issues()
        maker = Actor(MAKER, 1, frozenset({Permission.CREATE, Permission.READ}))
        await commands.cancel(bureau.desk, bill.invoice_id, maker, "by mistake")
        await bureau.office.is_paid(bill)
        await bureau.office.is_paid(bill, payer=LISTED, asset=USDC)
        await sends_back(bureau, bill, Part(symbol="USDC"))
        assert next_of(await bureau.screens(bill)) == (FROZEN_LEFT,)
        with pytest.raises(OutOfPlace, match="frozen"):
            await approves(bureau, bill)
        if withdrawn:
            sam = Actor("user_sam", 1, frozenset({Permission.SIGN, Permission.READ}))
            await commands.withdraw_refund(bureau.desk, bill.invoice_id, sam, "frozen")
            with pytest.raises(OutOfPlace, match="frozen"):
                await sends_back(bureau, bill, Part(symbol="USDC"))

        await disposed(bureau, bill)
        if withdrawn:
            await sends_back(bureau, bill, Part(symbol="USDC"))
        await bureau.screens(bill)

        assert (await approves(bureau, bill)).invoice.status is S.REFUND_PROCESSING
        assert (await proving.verify_audit(bureau.desk)).holds

    async def test_a_hit_whose_entry_left_the_list_can_still_be_found_false(
        self, bureau: Bureau
    ) -> None:
        """More money came, and the newest screening finds nothing: the hit stands all the same."""
        bill = await listed(bureau)
        await bureau.lists(STRANGER, override=True)
        await bureau.office.is_paid(bill)
        held = await bureau.screens(bill)
        assert (held.status, held.context) == (S.COMPLIANCE_HOLD, Context.SANCTIONED)
        assert (await bureau.run(bill)).decision == "clear"

        await disposed(bureau, bill)

        assert (await bureau.screens(bill)).status is S.RESOLUTION_REQUIRED
        assert (await proving.verify_audit(bureau.desk)).holds

    async def test_money_that_was_declined_is_not_looked_at_again_by_itself(
        self, bureau: Bureau
    ) -> None:
        """Of held money a provider that was silent is asked again; this is decided."""
        bureau.provider.fails(STRANGER, TimeoutError())
        bill = await bureau.office.issues()
        await bureau.office.is_paid(bill, payer=STRANGER)
        await bureau.screens_patiently(bill)
        for number in (0, 1):
            await commands.decline(bureau.desk, bill.invoice_id, officer(number), WHY)
        found = await bureau.run(bill)

        bureau.provider.says(STRANGER, Severity.LOW)
        bureau.clock.advance(timedelta(minutes=10))
        await bureau.knows_the_rate()
        after = await bureau.screens(bill)

        assert (await bureau.run(bill)).run_id == found.run_id
        assert after.status is S.COMPLIANCE_DECLINED
        assert after.screening is not None
        assert after.screening.run_id == found.run_id

    async def test_what_else_was_found_stays(self, bureau: Bureau) -> None:
        bureau.provider.says(LISTED, Severity.HIGH)
        await disposed(bureau, bill := await listed(bureau))
        after = await bureau.screens(bill)
        assert (after.status, after.context) == (S.COMPLIANCE_HOLD, Context.HIGH_RISK)
        with pytest.raises(Invalid, match="nothing that was found on any list"):
            await compliance.dispose(bureau.desk, bill.invoice_id, officer(), **ENTRY, reason=WHY)

    @pytest.mark.parametrize("involved", [MAKER, CHECKER])
    async def test_who_made_or_approved_it_has_no_word(self, bureau: Bureau, involved: str) -> None:
        bill = await listed(bureau)
        by = Actor(involved, 1, frozenset({Permission.REVIEW, Permission.READ}))
        evidence = (await paper(bureau, by),)
        with pytest.raises(Forbidden, match="other people"):
            await compliance.dispose(
                bureau.desk, bill.invoice_id, by, **ENTRY, reason=WHY, evidence=evidence
            )

    async def test_it_takes_evidence_a_reason_and_a_hit(self, bureau: Bureau) -> None:
        bill, by = await listed(bureau), officer()
        before = await bureau.office.invoice(bill)
        evidence = (await paper(bureau, by),)
        for wrong, field in (
            ({"evidence": ()}, "evidence"),
            ({"evidence": (bureau.desk.ids.new(),)}, "evidence"),
            ({"reason": "somebody"}, "reason"),
            ({"entry_uid": "7"}, "entry_uid"),
        ):
            asked: dict[str, Any] = {**ENTRY, "reason": WHY, "evidence": evidence, **wrong}
            with pytest.raises(Invalid) as refused:
                await compliance.dispose(bureau.desk, bill.invoice_id, by, **asked)
            assert list(refused.value.fields) == [field]
        assert await bureau.office.invoice(bill) == before

    async def test_two_officers_at_once_are_two_and_one_twice_is_one(self, bureau: Bureau) -> None:
        bill = await listed(bureau)
        evidence = (await paper(bureau, officer()),)

        async def says(number: int) -> bool:
            try:
                await compliance.dispose(
                    bureau.desk,
                    bill.invoice_id,
                    officer(number),
                    **ENTRY,
                    reason=WHY,
                    evidence=evidence,
                )
            except (Forbidden, OutOfPlace):
                return False
            return True

        assert sum(await asyncio.gather(*(says(0) for _ in range(5)))) == 1
        assert sum(await asyncio.gather(*(says(1) for _ in range(5)))) == 1
        assert (await history(bureau, bill)).count("dispose_hit") == 2
        assert (await bureau.screens(bill)).status is S.SIGN_PENDING

    @pytest.mark.parametrize(
        "forged",
        [
            {"fingerprint": "forged"},
            {"payer": STRANGER},
            {"party": "thief@evil.example"},
            {"party": "thief@evil.example", "entry_uid": "1"},
            {"party": "thief@evil.example", "people": [OFFICERS[0], OFFICERS[0]]},
        ],
        ids=" ".join,
    )
    async def test_a_row_that_nobody_decided_is_found(
        self, bureau: Bureau, forged: dict[str, Any]
    ) -> None:
        """A hand in the database hides a hit of another payer, or of another customer's."""
        await disposed(bureau, bill := await listed(bureau))
        assert (await proving.verify_audit(bureau.desk)).holds
        async with bureau.desk.database.transaction() as tx:
            (row,) = await dispositions.of_invoices(tx, 1, [bill.invoice_id])
            new = {"disposition_id": bureau.desk.ids.new(), **forged}
            await dispositions.add(tx, replace(row, **new))
        (found,) = (await proving.verify_audit(bureau.desk)).breaks
        assert found.invoice_id == bill.invoice_id
        assert found.finding.endswith("means somebody else")


class TestEscalation:
    async def test_one_officer_holds_what_one_could_have_released(self, bureau: Bureau) -> None:
        await bureau.office.opens(2, release={"review_approvers": 1, "hold_approvers": 2})
        bureau.provider.says(STRANGER, Severity.MEDIUM)
        alone = await listed(bureau, STRANGER, org_id=2)
        held = await listed(bureau, STRANGER, number=43, org_id=2)
        assert (alone.status, held.status) == (S.COMPLIANCE_HOLD, S.COMPLIANCE_HOLD)

        freed = await commands.release(bureau.desk, alone.invoice_id, officer(0, 2), WHY)
        assert freed.invoice.status is S.SIGN_PENDING

        view = await compliance.escalate(bureau.desk, held.invoice_id, officer(0, 2), WHY)
        assert (view.invoice.escalated_by, view.invoice.status) == (OFFICERS[0], S.COMPLIANCE_HOLD)
        with pytest.raises(OutOfPlace, match="held already"):
            await compliance.escalate(bureau.desk, held.invoice_id, officer(1, 2), WHY)
        one = await commands.release(bureau.desk, held.invoice_id, officer(0, 2), WHY)
        assert one.invoice.status is S.COMPLIANCE_HOLD
        two = await commands.release(bureau.desk, held.invoice_id, officer(1, 2), WHY)
        assert two.invoice.status is S.SIGN_PENDING
        assert (await proving.verify_audit(bureau.desk)).holds

    @pytest.mark.parametrize(
        "by_hand",
        [
            "UPDATE invoice SET detail = detail - 'escalated_by' - 'escalated_at'",
            "UPDATE invoice SET detail = jsonb_set(detail, '{escalated_by}', '\"user_else\"')",
            "UPDATE invoice SET detail = jsonb_set(detail, '{escalated_at}', to_jsonb(now()))",
        ],
    )
    async def test_one_that_was_cleared_or_changed_by_hand_is_found(
        self, bureau: Bureau, by_hand: str
    ) -> None:
        """Cleared, fewer people would release the money."""
        bill = await looked_at(bureau)
        await compliance.escalate(bureau.desk, bill.invoice_id, officer(), WHY)
        assert (await proving.verify_audit(bureau.desk)).holds
        async with bureau.desk.database.transaction() as tx:
            await tx.execute(by_hand)
        (found,) = (await proving.verify_audit(bureau.desk)).breaks
        assert found.invoice_id == bill.invoice_id
        assert "escalation" in found.finding

    async def test_a_new_hold_begins_without_the_words_of_the_one_before(
        self, bureau: Bureau
    ) -> None:
        """Put back by hand, one more word would release what two have to look at."""
        bill = await looked_at(bureau)
        await compliance.escalate(bureau.desk, bill.invoice_id, officer(), WHY)
        for number in (0, 1):
            await commands.release(bureau.desk, bill.invoice_id, officer(number), WHY)
        assert (await proving.verify_audit(bureau.desk)).holds
        await bureau.office.is_paid(bill, payer=STRANGER)
        again = await bureau.screens(bill)
        assert (again.status, again.escalated_at) == (S.COMPLIANCE_HOLD, None)
        assert (await proving.verify_audit(bureau.desk)).holds
        async with bureau.desk.database.transaction() as tx:
            forged = "jsonb_set(detail, '{releases}', to_jsonb(ARRAY[%(by)s::text]))"
            await execute(tx, f"UPDATE invoice SET detail = {forged}", {"by": OFFICERS[0]})  # noqa: S608 - a constant
        (found,) = (await proving.verify_audit(bureau.desk)).breaks
        assert found.finding == f"{OFFICERS[0]} has decided nothing of the kind by the log"

    async def test_it_takes_back_a_word_that_came_before(self, bureau: Bureau) -> None:
        bill = await looked_at(bureau)
        await commands.release(bureau.desk, bill.invoice_id, officer(1), WHY)
        after = await compliance.escalate(bureau.desk, bill.invoice_id, officer(), WHY)
        assert after.invoice.releases == ()

    async def test_answers_that_come_do_not_lift_it(self, bureau: Bureau) -> None:
        bureau.provider.says(CUSTOMER, Severity.LOW)
        bill = await bureau.office.issues()
        await bureau.office.is_paid(bill)
        await bureau.lists(LISTED)
        bureau.clock.advance(timedelta(days=9))
        await bureau.knows_the_rate()
        held = await bureau.screens_patiently(bill)
        assert held.screening is not None
        assert (held.status, held.screening.degraded) == (S.COMPLIANCE_HOLD, True)
        await compliance.escalate(bureau.desk, bill.invoice_id, officer(), WHY)
        await bureau.lists(LISTED)
        await bureau.knows_the_rate()
        bureau.clock.advance(timedelta(minutes=6))
        assert (await bureau.screens(bill)).status is S.COMPLIANCE_HOLD

    async def test_only_one_of_many_at_once_escalates(self, bureau: Bureau) -> None:
        bill = await looked_at(bureau)
        answers = await asyncio.gather(
            *(
                compliance.escalate(bureau.desk, bill.invoice_id, officer(n % 2), WHY)
                for n in range(6)
            ),
            return_exceptions=True,
        )
        assert sum(not isinstance(one, BaseException) for one in answers) == 1
        assert (await history(bureau, bill)).count("escalate") == 1

    async def test_what_is_held_or_sanctioned_needs_none(self, bureau: Bureau) -> None:
        bill = await listed(bureau)
        with pytest.raises(OutOfPlace, match="held already"):
            await compliance.escalate(bureau.desk, bill.invoice_id, officer(), WHY)
        with pytest.raises(Invalid, match="at least 10 characters"):
            await compliance.escalate(bureau.desk, bill.invoice_id, officer(), "odd")


def _renamed(content: Any) -> Any:  # noqa: ANN401 - a list as its reader gives it
    """The same list on which the same entry has another name."""

    rows = tuple(replace(one, names=("Somebody Else",)) for one in content.addresses)
    return replace(content, addresses=rows, sha256="ee" * 32)
