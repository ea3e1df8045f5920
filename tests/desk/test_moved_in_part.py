"""What landed without doing what it was to: nothing moved, or a part; nobody is stuck with it."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from counterfoil.chains.port import Attestation
from counterfoil.core.errors import Forbidden, OutOfPlace
from counterfoil.core.homeward import Origin
from counterfoil.core.invoice import Invoice, Status
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import (
    approving,
    homeward,
    proving,
    queries,
    redirecting,
    refunding,
    stuck,
    token_fees,
    upkeep,
)
from counterfoil.desk.desk import Desk
from counterfoil.desk.objections import Budget
from counterfoil.signer.orders import NonceUse, Order, Signed, TxTerms
from counterfoil.workers.move import MoveWorker
from counterfoil.workers.proven import ASK_AGAIN
from support.fake_chain import FakeChain, FakeTx, Moved
from support.fake_clock import FakeClock
from support.invoices import CHECKER, DUE, MAKER, SIGNER, STRANGER, USDT
from support.pen import Pen
from support.till import Till, fresh_hash, reserve
from support.treasury import FEE_WEI, declined, land, refund

PERSON = Actor(CHECKER, 1, frozenset({Permission.READ, Permission.SIGN}))
WHY = "looked at the chain: this is what its token did"
ELSEWHERE = "0x" + "e1" * 20


class Writing(Pen):
    """Signs everything, and remembers for what."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.signed: list[int] = []

    async def use_of(self, chain_id: int, sender: str, nonce: int) -> NonceUse:
        del chain_id, sender, nonce
        return NonceUse()

    async def sign(self, order: Order, terms: TxTerms) -> Signed:
        self.signed.append(terms.nonce)
        return Signed(b"bytes", fresh_hash(), (await self.addresses(order.org_id)).pool)


class Street:
    """A till, the chain that its payments are made on, and a worker that follows them."""

    def __init__(self, till: Till, clock: FakeClock) -> None:
        self.till, self.clock = till, clock
        self.chain = FakeChain(clock)
        self.signer = Writing(till.desk)
        self.worker = MoveWorker(till.desk, {"arb": self.chain}, self.signer)

    async def swept_bill(self) -> Invoice:
        bill = await self.till.signed_bill()
        await reserve(self.till)
        await land(self.till)
        return bill

    async def mined(self, bill: Invoice, *parts: tuple[str, int], purpose: str = "payout") -> str:
        """A payment is signed and final; by its token's logs these amounts went to these places."""
        await self.worker.reserve(self.chain)
        move = (await self.till.moves(bill, purpose))[-1]
        assert (move.status, move.wallet is None) == ("signed", False), move.wait_reason
        sender, tx_hash = move.wallet or "", move.tx_hash or ""
        went = tuple(Moved(move.contract, sender, to, units) for to, units in parts)
        self.chain.pool.append(
            FakeTx(tx_hash, sender, move.nonce or 0, went, to=move.contract, fee_wei=FEE_WEI)
        )
        self.chain.mine(10)
        return tx_hash

    async def pays(self, bill: Invoice, *parts: tuple[str, int], purpose: str = "payout") -> str:
        tx_hash = await self.mined(bill, *parts, purpose=purpose)
        await self.worker.follow(self.chain)
        return tx_hash


@pytest.fixture
def street(till: Till, clock: FakeClock) -> Street:
    return Street(till, clock)


async def accept(till: Till, bill: Invoice, by: Actor = PERSON) -> None:
    await token_fees.accept(till.desk, bill.invoice_id, by, WHY)


async def again(till: Till, move_id: UUID) -> int:
    return await approving.approve_again(till.desk, move_id, PERSON, reason=WHY)


async def nothing_is_broken(till: Till) -> bool:
    return (await proving.verify_audit(till.desk)).breaks == ()


async def test_what_landed_and_moved_nothing_is_paid_once_more_by_a_second_person(
    till: Till, street: Street
) -> None:
    bill = await street.swept_bill()
    gas = await till.holds("pool")
    tx_hash = await street.pays(bill)

    parked = await till.move(bill, "payout")
    assert (parked.status, parked.moved_units, parked.left_units) == ("parked", 0, 0)
    assert f"{tx_hash} landed and its token moved nothing" in str(parked.park_reason)
    assert [row.status for row in await till.txs() if row.tx_hash == tx_hash] == ["empty"]
    assert (await till.books()).pool == DUE
    assert await till.holds("pool") == gas - FEE_WEI
    with pytest.raises(OutOfPlace, match="no payment of this invoice is short"):
        await accept(till, bill)
    with pytest.raises(Forbidden, match="you made this invoice"):
        by = Actor(MAKER, 1, frozenset({Permission.SIGN}))
        await approving.approve_again(till.desk, parked.move_id, by, reason=WHY)

    assert await again(till, parked.move_id) == 1
    await street.pays(bill)
    assert await again(till, parked.move_id) == 2
    await street.pays(bill, (parked.destination, DUE))
    paid = await till.move(bill, "payout")
    assert (paid.status, paid.nonce, paid.moved_units) == ("final", 2, DUE)
    assert street.signer.signed == [0, 1, 2]
    assert await till.status(bill) is Status.COMPLETED
    assert (await till.books()).merchant == DUE
    assert await nothing_is_broken(till)


@pytest.mark.parametrize(
    "said", [Attestation(("a",), denies=("b",)), Attestation(("a",), silent=("b",))]
)
@pytest.mark.parametrize("units", [0, 1])
async def test_that_less_moved_takes_every_nodes_word(
    till: Till, street: Street, said: Attestation, units: int
) -> None:
    bill = await street.swept_bill()
    tx_hash = await street.mined(bill, *([(ELSEWHERE, units)] if units else []))
    street.chain.ends[tx_hash] = said
    await street.worker.follow(street.chain)
    assert (await till.move(bill, "payout")).status == "signed"
    assert "nodes do not agree" in (await stuck.on_their_way(till.desk))[0].reason

    street.chain.ends.clear()
    street.clock.advance(ASK_AGAIN)
    await street.worker.follow(street.chain)
    assert (await till.move(bill, "payout")).status == "parked"


async def test_what_moved_after_all_is_found_before_it_is_signed_again(
    till: Till, street: Street
) -> None:
    """Every node left the log out once, and shows it now."""
    bill = await street.swept_bill()
    tx_hash = await street.pays(bill)
    payout = await till.move(bill, "payout")
    await again(till, payout.move_id)
    (told,) = [tx for mined in street.chain._chain for tx in mined.txs if tx.tx_hash == tx_hash]  # noqa: SLF001 - rewrites what was mined
    object.__setattr__(
        told, "moves", (Moved(payout.contract, told.sender, payout.destination, DUE),)
    )

    await street.worker.reserve(street.chain)
    stands = await till.move(bill, "payout")
    assert stands.status == "parked"
    assert f"{tx_hash}, which is proven mined: the money has left" in str(stands.park_reason)
    assert street.signer.signed == [0]
    with pytest.raises(OutOfPlace, match="do not pay it again"):
        await again(till, payout.move_id)


async def test_a_node_that_is_away_keeps_it_from_being_signed_again(
    till: Till, street: Street
) -> None:
    bill = await street.swept_bill()
    tx_hash = await street.pays(bill)
    await again(till, (await till.move(bill, "payout")).move_id)
    street.chain.ends[tx_hash] = Attestation(("a",), silent=("b",))
    await street.worker.reserve(street.chain)
    waits = await till.move(bill, "payout")
    assert f"not every node says that {tx_hash} moved nothing" in str(waits.wait_reason)
    assert street.signer.signed == [0]


async def test_the_rest_of_a_payment_goes_after_the_part_that_left(
    till: Till, street: Street
) -> None:
    bill = await street.swept_bill()
    to = (await till.move(bill, "payout")).destination
    first_units, lost_units = DUE // 4, DUE // 2
    await street.pays(bill, (to, first_units), (ELSEWHERE, lost_units))

    parked = await till.move(bill, "payout")
    assert (parked.moved_units, parked.token_fee_units) == (first_units, lost_units)
    assert parked.rest_units == DUE - first_units - lost_units
    assert (await till.books()).pool == parked.rest_units
    assert await till.holds("outside:token", USDT) == lost_units
    with pytest.raises(OutOfPlace, match="accept that instead"):
        await again(till, parked.move_id)
    with pytest.raises(Forbidden, match="you made this invoice"):
        await accept(till, bill, Actor(MAKER, 1, frozenset({Permission.SIGN})))
    await till.put(bill, Status.COMPLIANCE_HOLD)
    with pytest.raises(OutOfPlace, match="its invoice is compliance_hold"):
        await accept(till, bill)
    await till.put(bill, Status.PAYOUT_PROCESSING)

    await accept(till, bill)
    assert await till.status(bill) is Status.PAYOUT_PROCESSING
    done, rest = await till.moves(bill, "payout")
    assert (done.status, done.moved_units) == ("final", first_units)
    assert (rest.status, rest.amount_units, rest.destination) == ("ready", parked.rest_units, to)
    assert (rest.approved_by, rest.generation) == (CHECKER, 0)
    assert await nothing_is_broken(till)
    with pytest.raises(OutOfPlace, match="no payment of this invoice is short"):
        await accept(till, bill)

    # Once more in part, and at last whole: together never more than was approved.
    await street.pays(bill, (to, 1))
    await accept(till, bill)
    await street.pays(bill, (to, rest.amount_units - 1))
    assert await till.status(bill) is Status.COMPLETED
    assert (await till.books()).merchant == DUE - lost_units
    assert (await till.books()).pool == 0
    assert (await till.history(bill))[-3:] == [
        "token_fee_accepted",
        "token_fee_accepted",
        "paid_out",
    ]
    assert await nothing_is_broken(till)


async def test_a_payment_of_which_all_went_elsewhere_ends_and_is_not_paid_again(
    till: Till, street: Street
) -> None:
    bill = await street.swept_bill()
    await street.pays(bill, (ELSEWHERE, DUE))
    parked = await till.move(bill, "payout")
    assert (parked.moved_units, parked.token_fee_units, parked.rest_units) == (0, DUE, 0)
    assert (await till.books()).pool == 0
    with pytest.raises(OutOfPlace, match="accept that instead"):
        await again(till, parked.move_id)

    await accept(till, bill)
    assert (await till.move(bill, "payout")).status == "final"
    assert await till.status(bill) is Status.COMPLETED
    assert ((await till.books()).merchant, await till.holds("outside:token", USDT)) == (0, DUE)
    assert await nothing_is_broken(till)


async def test_what_did_not_leave_of_a_payment_goes_back_once_its_money_was_declined(
    till: Till, street: Street
) -> None:
    bill = await street.swept_bill()
    to, left_units = (await till.move(bill, "payout")).destination, DUE // 4
    await street.pays(bill, (to, left_units))
    await till.screened(bill, "aml_hold")
    await declined(till, bill)

    view = await queries.view(till.desk, bill.invoice_id, PERSON)
    found = await redirecting.standing(till.desk, view, PERSON)
    assert found is not None
    assert found.actions == {"accept_fees"}
    assert not found.rest
    await accept(till, bill)
    assert (await till.move(bill, "payout")).status == "final"
    assert await till.status(bill) is Status.COMPLIANCE_DECLINED
    street.clock.advance(timedelta(minutes=1))
    await refund(till, bill)
    await street.pays(bill, (STRANGER, DUE - left_units), purpose="partial_refund")
    books = await till.books()
    assert (books.merchant, books.pool) == (left_units, 0)
    assert await nothing_is_broken(till)


async def test_the_rest_of_a_refund_belongs_to_it_and_its_orderer_does_not_approve_it(
    till: Till, street: Street
) -> None:
    bill = await till.paid_bill()
    await refund(till, bill)
    await reserve(till)
    await land(till)
    await street.pays(bill, (STRANGER, 7), purpose="refund")

    with pytest.raises(Forbidden, match="you ordered this refund"):
        await accept(till, bill, Actor(SIGNER, 1, frozenset({Permission.READ, Permission.SIGN})))
    await accept(till, bill)
    assert await till.status(bill) is Status.REFUND_PROCESSING
    assert await nothing_is_broken(till)
    await street.pays(bill, (STRANGER, DUE - 7), purpose="refund")

    assert await till.status(bill) is Status.REFUNDED
    (sent_back,) = (await till.look(bill)).refunds
    legs = await till.moves(bill, "refund")
    assert [money.units for money in refunding.returned(sent_back, legs)] == [DUE]
    assert refunding.progress_of(sent_back, legs) is refunding.RefundProgress.SETTLED
    # What goes home counts once, in however many parts it went: the same may come and go again.
    await till.receive(bill, DUE, payer=STRANGER)
    await till.receive(bill, DUE, payer=STRANGER)
    another = replace(sent_back, refund_id=till.desk.ids.new())
    assert homeward.origin_of(another, await till.transfers(bill), legs) is Origin.HOME
    assert await nothing_is_broken(till)


async def test_a_forged_rest_is_no_payment_that_anybody_approved(
    till: Till, street: Street
) -> None:
    bill = await street.swept_bill()
    to = (await till.move(bill, "payout")).destination
    await street.pays(bill, (to, 5))
    await accept(till, bill)
    async with till.desk.database.transaction() as tx:
        await tx.execute("UPDATE move SET amount_units = amount_units + 1 WHERE status = 'ready'")
    (broken,) = (await proving.verify_audit(till.desk)).breaks
    assert "is not what had not left of the payment before it" in broken.finding


async def test_a_sweep_that_came_in_part_ends_with_it_and_another_fetches_the_rest(
    till: Till,
) -> None:
    bill = await till.signed_bill()
    await reserve(till)
    some = DUE // 3
    await land(till, units=some, gone_units=2, problem="were to be swept")
    parked = await till.move(bill, "sweep")
    with pytest.raises(OutOfPlace, match="a signer accepts what arrived"):
        await upkeep.retry(till.desk, 1, parked.move_id, by="operator:kim", reason=WHY)

    await accept(till, bill)
    first, second = await till.moves(bill, "sweep")
    assert (first.status, second.status) == ("final", "ready")
    assert second.amount_units == DUE - some - 2
    assert await till.status(bill) is Status.SWEEPING
    await reserve(till)
    await land(till)
    assert await till.status(bill) is Status.PAYOUT_PROCESSING
    assert (await till.books()).pool == DUE - 2
    assert await till.holds("deposit", USDT) == 0

    # The payout is larger than what is here now, by what was lost on the way.
    await reserve(till, "pool")
    await accept(till, bill)
    await reserve(till, "pool")
    await land(till)
    assert await till.status(bill) is Status.COMPLETED
    assert (await till.books()).merchant == DUE - 2
    assert await nothing_is_broken(till)


async def test_the_rest_of_a_sweep_is_fetched_once_where_another_is_under_way(
    till: Till, clock: FakeClock
) -> None:
    """The money was declined since, and its refund fetches all that lies at the address."""
    bill = await till.signed_bill()
    await reserve(till)
    await land(till, units=DUE // 3, problem="were to be swept")
    await till.screened(bill, "aml_hold")
    await declined(till, bill)
    clock.advance(timedelta(minutes=1))
    await refund(till, bill)

    await accept(till, bill)
    first, second = await till.moves(bill, "sweep")
    assert (first.status, second.status) == ("final", "ready")
    await reserve(till)
    await land(till)
    assert (await till.books()).pool == DUE
    await reserve(till, "pool")
    await land(till)
    assert await till.status(bill) is Status.REFUNDED


async def test_what_landed_short_before_every_node_was_asked_ends_and_sends_nothing_more(
    till: Till, street: Street
) -> None:
    bill = await street.swept_bill()
    await street.pays(bill, ((await till.move(bill, "payout")).destination, 9))
    async with till.desk.database.transaction() as tx:
        await tx.execute("UPDATE move SET vouched = false")

    await accept(till, bill)
    assert (await till.move(bill, "payout")).status == "final"
    assert await till.status(bill) is Status.COMPLETED
    assert (await till.books()).merchant == 9


@pytest.mark.parametrize(
    ("budget", "explained"),
    [
        (Budget(10, 10, 5), False),
        (Budget(10, 9, 1), True),
        (Budget(10, 9, 0), False),
        (Budget(10, 3, 6), False),
        (Budget(9, 10, 5), False),
    ],
)
def test_only_what_the_token_kept_explains_a_payment_that_is_too_large(
    budget: Budget, *, explained: bool
) -> None:
    assert budget.is_over_by_fees is explained
