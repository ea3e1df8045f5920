"""No dead ends: wherever an invoice stands and whatever stands still, somebody has a way on."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import pytest

from counterfoil.books import lost, moves, orgs, wallets
from counterfoil.books.lost import LostSignature
from counterfoil.books.moves import MoveRow
from counterfoil.core.events import DeadlinePassed, Fact
from counterfoil.core.invoice import Status
from counterfoil.core.lifecycle import LIFECYCLE
from counterfoil.core.reckoning import Depth
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.rows import execute
from counterfoil.desk import changed_tokens, provisioning, upkeep
from counterfoil.desk.changed_tokens import Told
from support.actors import Caller
from support.payments import Payments, order_refund
from support.site import Firm, Site
from support.till import fresh_hash

S = Status
WHY = "Looked at the chain; see case 2026-17."

ENDED: Final = {S.APPROVAL_REJECTED, S.CANCELLED, S.COMPLETED, S.REFUNDED, S.EXPIRED}
"""Where nothing is open: nobody has to do anything, and money that comes later is told of."""


class Stage:
    """Brings an invoice of the API to where it may stand."""

    def __init__(self, site: Site, firm: Firm, payments: Payments, officers: list[Caller]) -> None:
        self.site, self.firm, self.payments, self.officers = site, firm, payments, officers
        self.people = [
            firm.merchant,
            firm.reviewer,
            firm.signer,
            firm.second_signer,
            *officers,
        ]

    async def made(self) -> str:
        return str((await self.firm.merchant.create()).data["id"])

    async def payable(self) -> str:
        made = await self.made()
        await self.firm.reviewer.approve(made)
        return made

    async def held(self) -> str:
        made = await self.payable()
        await self.payments.arrives(made)
        await self.payments.screened(made, "aml_hold")
        return made

    async def paid(self, percent: int = 100) -> str:
        made = await self.payable()
        await self.payments.paid(made, percent=percent)
        return made

    async def signed(self) -> str:
        made = await self.paid()
        await self.payments.booked(made)
        assert (await self.firm.signer.act("sign", made, {})).status == 200
        return made

    async def paying(self) -> str:
        made = await self.signed()
        await self.payments.swept(made, more_to_move=True)
        return made

    async def refund(self, *, approved: bool) -> str:
        made = await self.paid()
        await self.payments.booked(made)
        await order_refund(self.firm, made)
        if approved:
            await self.firm.second_signer.act("refund/approve", made, {})
        return made

    async def stands_at(self, status: Status) -> str:  # noqa: C901, PLR0912 - a road to each
        match status:
            case S.APPROVAL_PENDING:
                made = await self.made()
            case S.APPROVAL_REJECTED:
                made = await self.made()
                await self.firm.reviewer.reject(made, "The amount is wrong.")
            case S.AWAITING_PAYMENT:
                made = await self.payable()
            case S.PAYMENT_DETECTED:
                made = await self.payable()
                await self.payments.arrives(made, depth=Depth.SEEN)
            case S.SCREENING:
                made = await self.payable()
                await self.payments.arrives(made)
            case S.COMPLIANCE_HOLD:
                made = await self.held()
            case S.COMPLIANCE_DECLINED:
                made = await self.held()
                for officer in self.officers:
                    await officer.act("decline", made, {"reason": WHY})
            case S.RESOLUTION_REQUIRED:
                made = await self.paid(90)
            case S.SIGN_PENDING:
                made = await self.paid()
            case S.SWEEPING:
                made = await self.signed()
            case S.PAYOUT_PROCESSING:
                made = await self.paying()
            case S.COMPLETED:
                made = await self.paying()
                await self.payments.paid_out(made)
            case S.REFUND_PENDING:
                made = await self.refund(approved=False)
            case S.REFUND_PROCESSING:
                made = await self.refund(approved=True)
            case S.REFUNDED:
                made = await self.refund(approved=True)
                await self.payments.refunded(made)
            case S.EXPIRED:
                made = await self.payable()
                await self.expire(made)
            case _:
                made = await self.made()
                await self.firm.merchant.cancel(made)
        assert (await self.payments.look(made)).status is status
        return made

    async def expire(self, made: str) -> None:
        deadline_at = (await self.payments.look(made)).deadline_at
        await self.payments.happens(made, DeadlinePassed(at=deadline_at, by="system:expire"))

    async def ways_on(self, made: str) -> set[str]:
        """What any of the people may do, putting away aside."""
        found = [(await one.look(made)).data["available_actions"] for one in self.people]
        return {name for names in found for name in names} - {"archive"}

    async def move(self, made: str, purpose: str = "payout") -> MoveRow:
        invoice = await self.payments.look(made)
        async with self.site.desk.database.reading() as tx:
            found = await moves.of_invoices(tx, 1, [invoice.invoice_id])
        return next(move for move in found if move.purpose == purpose)

    async def change(self, move: MoveRow, changes: str) -> None:
        async with self.site.desk.database.transaction() as tx:
            await execute(
                tx,
                f"UPDATE move SET {changes} WHERE org_id = 1 AND move_id = %(id)s",  # noqa: S608 - constants below
                {"id": move.move_id},
            )

    async def refused(self, made: str) -> tuple[str, Any]:
        """What somebody is told who asks for what the status does not allow."""
        answer = await self.firm.second_signer.act("sign", made, {})
        assert answer.refusal == (409, 4090)
        assert answer.body["data"]["allowed"] == []
        return answer.body["message"], answer.body["data"].get("stands_still")


@pytest.fixture
async def stage(site: Site, firm: Firm, payments: Payments) -> Stage:
    olga = Caller(*await site.person(firm.org_id, "olga", "compliance"))
    return Stage(site, firm, payments, [firm.officer, olga])


@pytest.mark.parametrize("status", list(Status))
async def test_every_status_has_a_way_on_or_is_the_end(stage: Stage, status: Status) -> None:
    made = await stage.stands_at(status)
    ways = await stage.ways_on(made)
    if status in ENDED or ways:
        return
    by_facts = {on for when, on, _, to in LIFECYCLE if when is status and to != {status}}
    assert any(issubclass(on, Fact) for on in by_facts)
    message, stands = await stage.refused(made)
    assert message.endswith("possible now: nothing, it goes on by itself")
    assert stands is None


async def test_only_what_is_at_its_end_has_nothing_to_do_and_nothing_to_wait_for(
    stage: Stage,
) -> None:
    idle = {
        status
        for status in Status
        if not any(when is status and to - {status} for when, _, _, to in LIFECYCLE)
    }
    assert idle <= ENDED, "no status outside of the ends has no row that leads on"
    made = await stage.stands_at(S.COMPLETED)
    assert "archive" in (await stage.firm.merchant.look(made)).data["available_actions"]


Kind = Callable[[Stage], Awaitable[str]]


async def reverted(stage: Stage) -> str:
    made = await stage.paying()
    await stage.payments.parked(made, "reverted on chain: 0xabc")
    return made


async def moved_nothing(stage: Stage) -> str:
    made = await stage.paying()
    await stage.payments.parked(made, "0xabc landed and its token moved nothing")
    await stage.change(await stage.move(made), "moved_units = 0, vouched = true")
    return made


async def arrived_in_part(stage: Stage) -> str:
    made = await stage.paying()
    await stage.payments.parked(made, "92307692 base units were to be paid; the token shows 5")
    await stage.change(await stage.move(made), "moved_units = 5, vouched = true")
    return made


async def went_elsewhere(stage: Stage) -> str:
    made = await stage.paying()
    await stage.payments.parked(made, "the token shows all leaving and 0 arriving")
    change = "moved_units = 0, token_fee_units = amount_units, vouched = true"
    await stage.change(await stage.move(made), change)
    return made


async def fee_on_the_way(stage: Stage) -> str:
    made = await stage.paying()
    await stage.payments.kept_by_token(made, 92_307)
    await stage.payments.parked(made, "less is here, as its token kept 92307 on the way")
    return made


async def swept_in_part(stage: Stage) -> str:
    made = await stage.signed()
    await stage.payments.parked(made, "were to be swept; 5 arrived in the pool", "sweep")
    await stage.change(await stage.move(made, "sweep"), "moved_units = 5, vouched = true")
    return made


async def refund_refused(stage: Stage) -> str:
    made = await stage.refund(approved=True)
    await stage.payments.swept(made, more_to_move=True)
    await stage.payments.parked(made, "the chain would refuse it", "refund")
    return made


async def declined_since(stage: Stage, bring: Kind) -> str:
    """Its money was held on its way and declined, with a payment of it standing still."""
    made = await bring(stage)
    async with stage.site.desk.database.transaction() as tx:
        await execute(tx, "UPDATE invoice SET status = 'compliance_declined'", {})
    return made


KINDS: Final[dict[str, tuple[Kind, str, str]]] = {
    "reverted": (reverted, "payments/approve", "nothing of it has left"),
    "moved nothing": (moved_nothing, "payments/approve", "nothing of it has left"),
    "arrived in part": (arrived_in_part, "payments/accept", "what has left is booked"),
    "went elsewhere": (went_elsewhere, "payments/accept", "what has left is booked"),
    "a fee on the way": (fee_on_the_way, "payments/accept", "what has left is booked"),
    "swept in part": (swept_in_part, "payments/accept", "what has left is booked"),
    "a refund is refused": (refund_refused, "payments/approve", "nothing of it has left"),
    "reverted, and declined since": (
        partial(declined_since, bring=reverted),
        "payments/withdraw",
        "nothing of it has left",
    ),
    "arrived in part, and declined since": (
        partial(declined_since, bring=arrived_in_part),
        "payments/accept",
        "what has left is booked",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_what_stands_still_is_explained_and_gets_going_as_it_says(
    stage: Stage, kind: str
) -> None:
    bring, way, money = KINDS[kind]
    made = await bring(stage)
    answer = await stage.firm.second_signer.act("sign", made, {})
    stands = answer.body["data"]["stands_still"]
    assert "goes on by itself" not in answer.body["message"].replace("not go on by itself", "")
    assert "It stands still: " in answer.body["message"]
    assert money in stands["money"]
    assert stands["actions"][0] == way
    assert way in answer.body["message"]
    assert stands["by_itself"] is False

    taken = await stage.firm.second_signer.act(way, made, {"reason": WHY})
    assert taken.status == 200, taken.body
    after = await stage.firm.second_signer.act("sign", made, {})
    assert after.body["data"].get("stands_still") is None


async def test_what_only_an_operator_gets_going_names_the_command(stage: Stage) -> None:
    made = await stage.signed()
    await stage.payments.parked(made, "0xabc holds 1, the books say 2", "sweep")
    sweep = await stage.move(made, "sweep")
    message, stands = await stage.refused(made)
    assert "nothing, and it does not go on by itself. It stands still: 0xabc holds 1" in message
    assert f"counterfoil move retry, for {sweep.move_id}" in message
    assert stands["actions"] == []
    await upkeep.retry(stage.site.desk, 1, sweep.move_id, by="operator:kim", reason=WHY)
    message, stands = await stage.refused(made)
    assert message.endswith("it goes on by itself")
    assert stands is None


async def test_a_sweep_whose_contract_could_not_be_deployed_names_the_command(
    stage: Stage,
) -> None:
    made = await stage.signed()
    sweep, desk = await stage.move(made, "sweep"), stage.site.desk
    async with desk.database.transaction() as tx:
        org = await orgs.get(tx, 1)
        assert org is not None
    await provisioning.plan_factory(desk, org, sweep.chain)
    message, stands = await stage.refused(made)
    assert stands is None, "it is being deployed"

    async with desk.database.transaction() as tx:
        await execute(
            tx,
            "UPDATE move SET status = 'parked', park_reason = 'reverted on chain: 0xabc'"
            " WHERE purpose = 'deploy'",
            {},
        )
    message, stands = await stage.refused(made)
    assert "does not go on by itself. It stands still: the contract that sweeps is not" in message
    assert "reverted on chain: 0xabc" in message
    (deploy,) = await upkeep.held_up(desk)
    assert f"counterfoil move retry, for {deploy.move_id}" in stands["who"]
    await upkeep.retry(desk, 1, deploy.move_id, by="operator:kim", reason=WHY)
    message, stands = await stage.refused(made)
    assert stands is None


async def test_a_wallet_that_signs_nothing_and_what_waits_are_told_as_well(stage: Stage) -> None:
    made = await stage.paying()
    payout = await stage.move(made)
    await stage.change(payout, "wait_reason = 'the signer gives no answer', wait_until = now()")
    message, stands = await stage.refused(made)
    assert "goes on by itself. It waits: the signer gives no answer." in message
    assert stands["by_itself"] is True

    pool = wallets.WalletRow(payout.chain, "0x" + "9a" * 20, 1, "pool", 0, None)
    async with stage.site.desk.database.transaction() as tx:
        await wallets.ensure(tx, pool)
        await wallets.freeze(tx, pool.chain, pool.address, "the chain counts more")
    message, stands = await stage.refused(made)
    assert f"the wallet {pool.address} signs nothing: the chain counts more" in message
    assert "counterfoil wallet thaw" in stands["who"]


async def test_money_in_a_changed_token_waits_for_a_look_and_says_so(stage: Stage) -> None:
    desk = stage.site.desk
    made = await stage.signed()
    sweep = await stage.move(made, "sweep")
    for told in (Told(sweep.contract, "0x01", ()), Told(sweep.contract, "0x02", ())):
        await changed_tokens.tell(desk, sweep.chain, [told])

    message, stands = await stage.refused(made)
    assert "it does not go on by itself. It stands still: USDT on arb was changed" in message
    assert stands["by_itself"] is False
    assert stands["actions"] == []
    assert "in Studio, under Changed tokens" in stands["who"]
    ada = await stage.site.at_the_pages("ada1@merchant.example")
    page = await ada.open(f"/studio/invoices/{made}")
    assert "The money stays where it is until a member who may sign" in page.words
    assert 'href="/studio/changed-tokens"' in page.text
    assert "by itself" not in page.words

    sam = Actor(stage.firm.signer.uid, 1, frozenset({Permission.SIGN}))
    version = (sweep.chain, sweep.contract, "0x02")
    await changed_tokens.accept(desk, version, by=sam, reason="announced on tether.to")
    message, stands = await stage.refused(made)
    assert stands is None
    page = await ada.open(f"/studio/invoices/{made}")
    assert "The money arrives in your pool next, by itself." in page.words


async def test_a_sweep_that_somebody_has_to_retry_says_so_on_its_page(stage: Stage) -> None:
    made = await stage.signed()
    await stage.payments.parked(made, "holds 5, the books say 7", "sweep")
    sam = await stage.site.at_the_pages("sam1@merchant.example")
    page = await sam.open(f"/studio/invoices/{made}")
    assert "stands still where it is until whoever runs this installation" in page.words
    assert "holds 5, the books say 7" in page.words
    assert "by itself" not in page.words


async def test_money_that_has_left_unbooked_is_never_offered_to_be_paid_again(
    stage: Stage,
) -> None:
    made = await stage.paying()
    await stage.payments.parked(made, "which is proven mined")
    payout, now = await stage.move(made), stage.site.clock.now()
    found = LostSignature(
        chain=payout.chain,
        wallet="0x" + "9a" * 20,
        nonce=3,
        org_id=1,
        move_ids=[payout.move_id],
        tx_hashes=[fresh_hash()],
        found_at=now,
        ended="landed",
        ended_at=now,
        block_number=9,
    )
    async with stage.site.desk.database.transaction() as tx:
        await lost.landed_after_all(tx, found)
    message, stands = await stage.refused(made)
    assert stands["actions"] == []
    assert "it may have been paid already" in stands["money"]
    assert "do not pay it again" in message
