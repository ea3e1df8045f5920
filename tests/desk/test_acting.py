"""The one road for every change: locked, authorised, decided, recorded, and provable."""

import asyncio
from collections import Counter
from uuid import UUID

import psycopg
import pytest

from counterfoil.core.content import content_hash
from counterfoil.core.errors import Conflict, Forbidden, NotFound, OutOfPlace, Refusal
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Database
from counterfoil.db.rows import all_values, execute, one_value
from counterfoil.desk import commands, proving
from counterfoil.desk.desk import Desk
from support.fake_clock import FakeClock
from support.invoices import MAKER
from support.shop import Shop, desk_on
from support.till import Till

REVIEWER = Actor("user_reviewer", 1, frozenset({Permission.APPROVE}))
SIGNER = Actor("user_signer", 1, frozenset({Permission.SIGN}))
AUDITOR = Actor("user_auditor", 1, frozenset({Permission.READ}))


@pytest.fixture
def desk(database: Database) -> Desk:
    return desk_on(database, FakeClock())


async def asked(shop: Shop) -> Invoice:
    """An invoice that waits for approval."""
    return await shop.bill(status=Status.APPROVAL_PENDING)


class TestAuthority:
    async def test_approving_needs_the_permission_and_says_which(self, shop: Shop) -> None:
        bill = await asked(shop)
        with pytest.raises(Forbidden) as refusal:
            await commands.approve(shop.desk, bill.invoice_id, AUDITOR)
        assert refusal.value.data["missing_permission"] == "transfer:approve"
        assert await shop.history(bill) == ["created"]

    async def test_the_maker_does_not_approve_even_with_the_permission(self, shop: Shop) -> None:
        bill = await asked(shop)
        maker = Actor(MAKER, 1, frozenset({Permission.APPROVE}))
        with pytest.raises(Forbidden, match="somebody else"):
            await commands.approve(shop.desk, bill.invoice_id, maker)

    async def test_another_organisation_sees_nothing_of_it(self, shop: Shop) -> None:
        bill = await asked(shop)
        stranger = Actor("user_stranger", 2, frozenset({Permission.APPROVE}))
        for invoice_id in (bill.invoice_id, UUID(int=1)):
            with pytest.raises(NotFound, match="there is no such invoice"):
                await commands.approve(shop.desk, invoice_id, stranger)

    async def test_an_approval_is_for_what_the_reviewer_saw(self, shop: Shop) -> None:
        bill = await asked(shop)
        with pytest.raises(Conflict, match="was changed since you opened it"):
            await commands.approve(shop.desk, bill.invoice_id, REVIEWER, seen_hash="0" * 64)
        seen = content_hash(bill)
        await commands.approve(shop.desk, bill.invoice_id, REVIEWER, seen_hash=seen)
        assert (await shop.look(bill)).approved_hash == seen


class TestRaces:
    async def test_fifty_approvals_and_rejections_at_once_have_one_effect(self, shop: Shop) -> None:
        bill = await asked(shop)

        async def decide(number: int) -> str:
            try:
                if number % 2:
                    await commands.approve(shop.desk, bill.invoice_id, REVIEWER)
                else:
                    await commands.reject(shop.desk, bill.invoice_id, REVIEWER, "no")
            except OutOfPlace:
                return "too late"
            return "done"

        outcomes = Counter(await asyncio.gather(*map(decide, range(50))))
        assert outcomes == {"done": 1, "too late": 49}
        assert len(await shop.history(bill)) == 2

    async def test_fifty_signatures_at_once_plan_one_payout(self, desk: Desk) -> None:
        till = await (await Till(desk).open()).ready()
        bill = await till.paid_bill()

        async def sign() -> bool:
            try:
                await commands.sign_off(desk, bill.invoice_id, SIGNER)
            except Refusal:
                return False
            return True

        assert sum(await asyncio.gather(*(sign() for _ in range(50)))) == 1
        assert len(await till.moves(bill, "payout")) == 1
        assert len(await till.moves(bill, "sweep")) == 1


class TestProof:
    async def test_an_untouched_log_holds(self, shop: Shop) -> None:
        bill = await asked(shop)
        await commands.approve(shop.desk, bill.invoice_id, REVIEWER)
        found = await proving.verify_audit(shop.desk)
        assert (found.invoices, found.entries, found.breaks) == (1, 2, ())

    @pytest.mark.parametrize(
        ("forgery", "sequence", "finding"),
        [
            ("UPDATE invoice_log SET operator_uid = 'user_x' WHERE sequence = 2", 2, "seal"),
            ("UPDATE invoice_log SET reason = 'x' WHERE sequence = 1", 1, "seal"),
            ("UPDATE invoice_log SET metadata = '{}' WHERE sequence = 2", 2, "seal"),
            ("UPDATE invoice_log SET at = at + interval '1 us' WHERE sequence = 1", 1, "seal"),
            ("DELETE FROM invoice_log WHERE sequence = 1", 1, "missing"),
            ("DELETE FROM invoice_log WHERE sequence = 2", 2, "end of the log"),
            ("UPDATE invoice SET status = 'completed'", 2, "another status"),
        ],
    )
    async def test_whatever_is_forged_is_found(
        self, shop: Shop, forgery: str, sequence: int, finding: str
    ) -> None:
        bill = await asked(shop)
        await commands.approve(shop.desk, bill.invoice_id, REVIEWER)
        async with shop.desk.database.transaction() as tx:
            await execute(tx, "GRANT UPDATE, DELETE ON invoice_log TO CURRENT_USER", {})
            await tx.execute(forgery.encode())
        (broken,) = (await proving.verify_audit(shop.desk)).breaks
        assert (broken.invoice_id, broken.sequence) == (bill.invoice_id, sequence)
        assert finding in broken.finding

    @pytest.mark.parametrize("table", ["invoice_log", "posting", "screening_run"])
    @pytest.mark.parametrize("verb", ["DELETE FROM", "TRUNCATE"])
    async def test_what_proves_something_cannot_be_taken_away(
        self, shop: Shop, table: str, verb: str
    ) -> None:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            async with shop.desk.database.transaction() as tx:
                await tx.execute(f"{verb} {table}".encode())

    async def test_no_two_entries_of_an_invoice_share_a_number(self, shop: Shop) -> None:
        bill = await asked(shop)
        await commands.approve(shop.desk, bill.invoice_id, REVIEWER)
        await commands.cancel(
            shop.desk, bill.invoice_id, Actor(MAKER, 1, frozenset({Permission.CREATE})), "twice"
        )
        async with shop.desk.database.reading() as tx:
            numbers = await all_values(
                tx, int, "SELECT sequence FROM invoice_log ORDER BY sequence", {}
            )
            version = await one_value(tx, int, "SELECT version FROM invoice", {})
        assert (numbers, version) == ([1, 2, 3], 3)
