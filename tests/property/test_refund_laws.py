"""Conservation: whatever came in was paid out, went back, or is still with us, at all times."""

from dataclasses import dataclass, field, replace
from typing import Literal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from counterfoil.core import reckoning, resolution
from counterfoil.core.errors import Refusal
from counterfoil.core.events import (
    Accept,
    ApproveRefund,
    Archive,
    Decline,
    Effect,
    Event,
    GiveUpMoves,
    Leg,
    OrderRefund,
    PaidOut,
    PlanMoves,
    Quarantine,
    RefundSettled,
    Release,
    ReleaseMoves,
    Screen,
    Screened,
    SignOff,
    Swept,
    TransferConfirmed,
    WithdrawRefund,
)
from counterfoil.core.invoice import Invoice, Policy, Status
from counterfoil.core.lifecycle import decide
from counterfoil.core.money import Money
from counterfoil.core.planning import INWARD
from counterfoil.core.settlement import Settlement
from counterfoil.desk.moving import RUNS_WHILE
from support.invoices import (
    CHECKER,
    CUSTOMER,
    DUE,
    MERCHANT_ADDRESS,
    NOON,
    OFFICERS,
    SIGNER,
    STRANGER,
    USDT,
    clean,
    dirty,
    gone,
    invoice,
    paid,
)

OUT = ("payout", "refund", "partial_refund")
Step = tuple[str, int]

AMOUNTS = (0, 1, DUE // 2, DUE, DUE + 7)
DEEDS = [
    "pay",
    "screen",
    "order",
    "order",
    "approve",
    "withdraw",
    "accept",
    "sign",
    "quarantine",
    "decide",
    "decide",
    "sweep",
    "isolate",
    "send",
    "send",
    "archive",
]

steps = st.tuples(st.sampled_from(DEEDS), st.integers(0, 4))


@dataclass
class Planned:
    """One movement, and how far it is."""

    leg: Leg
    status: Literal["waiting", "ready", "final", "failed"]


@dataclass
class World:
    """An invoice, its deposit address, a pool, a hold wallet, and all who want their money."""

    invoice: Invoice
    came_units: int = 0
    at_address_units: int = 0
    held_units: int = 0
    settled: Settlement = field(default_factory=Settlement)
    planned: list[Planned] = field(default_factory=list)
    screenings_due: bool = False

    def step(self, what: str, how_much: int) -> None:
        """Let somebody do one thing, whether or not it is allowed."""
        getattr(self, what)(how_much)

    def pay(self, how_much: int) -> None:
        self.came_units += AMOUNTS[how_much]
        self.at_address_units += AMOUNTS[how_much]
        if how_much:
            self.tell(TransferConfirmed(at=NOON, by="w", tally=paid(self.came_units)))

    def screen(self, how_much: int) -> None:
        if self.screenings_due:
            self.screenings_due = False
            tally = self.invoice.tally
            verdict = dirty(tally) if how_much == 0 else clean(tally)
            self.tell(Screened(at=NOON, by="w", screening=verdict))

    def order(self, how_much: int) -> None:
        self.tell(
            OrderRefund(
                at=NOON,
                by=SIGNER,
                address=STRANGER,
                reason="r",
                attachment_file_ids=(UUID(int=9),),
                amounts=(Money(AMOUNTS[how_much], USDT),) if how_much else (),
            )
        )

    def approve(self, _how_much: int) -> None:
        self.tell(ApproveRefund(at=NOON, by=CHECKER))

    def withdraw(self, _how_much: int) -> None:
        sent = [p for p in self.planned if p.status == "final" and self.of_open(p)]
        if not any(p.leg.purpose in OUT for p in sent):
            self.tell(WithdrawRefund(at=NOON, by=CHECKER))

    def accept(self, _how_much: int) -> None:
        self.tell(Accept(at=NOON, by=SIGNER))

    def sign(self, how_much: int) -> None:
        home = how_much % 2 == 0
        back = resolution.to_return(replace(self.invoice, settled=self.settled))
        to = CUSTOMER if back else None
        self.tell(SignOff(at=NOON, by=SIGNER, refund_address=to, goes_home=home))

    def archive(self, _how_much: int) -> None:
        self.tell(Archive(at=NOON, by=SIGNER))

    def quarantine(self, _how_much: int) -> None:
        self.tell(Quarantine(at=NOON, by=OFFICERS[0], reason="r"))

    def decide(self, how_much: int) -> None:
        before = self.invoice.status
        word = Decline if how_much > 2 else Release
        self.tell(word(at=NOON, by=OFFICERS[how_much % 2], reason="r"))
        if (before, self.invoice.status) == (Status.COMPLIANCE_HOLD, Status.SWEEPING):
            self.hear(*INWARD, *OUT)

    def sweep(self, _how_much: int) -> None:
        self.land("sweep", "restore")

    def isolate(self, _how_much: int) -> None:
        self.land("quarantine")

    def send(self, _how_much: int) -> None:
        self.land(*OUT)

    def of_open(self, planned: Planned) -> bool:
        refund = self.invoice.open_refund
        return refund is not None and planned.leg.source_id == refund.refund_id

    def land(self, *purposes: str) -> None:
        """The oldest movement that is ready does what it was to do; the invoice hears of it."""
        ready = [
            p
            for p in self.planned
            if p.leg.purpose in purposes
            and p.status == "ready"
            and (p.leg.purpose, self.invoice.status.value) in RUNS_WHILE
        ]
        if not ready:
            return
        ready[0].status = "final"
        self.book(ready[0].leg)
        self.hear(ready[0].leg.purpose)

    def hear(self, *landed: str) -> None:
        """The invoice hears what is complete of what has landed."""
        alive = [p for p in self.planned if p.status != "failed"]
        seen = {p.leg.purpose for p in self.planned}.intersection(landed)

        def complete(*wanted: str) -> bool:
            return bool(seen.intersection(wanted)) and all(
                p.status == "final" for p in alive if p.leg.purpose in wanted
            )

        told = {"at": NOON, "by": "w", "settled": self.settled}
        if complete("sweep", "restore"):
            more = any(p.status != "final" and p.leg.purpose not in INWARD for p in alive)
            self.tell(Swept(**told, more_to_move=more))  # type: ignore[arg-type]  # by its name
        if complete("payout", "partial_refund"):
            self.tell(PaidOut(**told))  # type: ignore[arg-type]  # as above
        if complete("refund", "partial_refund"):
            self.tell(RefundSettled(**told))  # type: ignore[arg-type]  # as above

    def book(self, leg: Leg) -> None:
        now = self.settled
        swept = now.swept_units(USDT)
        out, back = now.paid_out_units(USDT), now.returned_units(USDT)
        if leg.from_hold:
            self.held_units -= leg.money.units
        match leg.purpose:
            case "restore":
                pass
            case "quarantine":
                assert leg.money.units <= self.at_address_units
                self.held_units += self.at_address_units
                swept, self.at_address_units = swept + self.at_address_units, 0
            case "sweep":
                assert leg.money.units <= self.at_address_units
                swept, self.at_address_units = swept + self.at_address_units, 0
            case "payout":
                out += leg.money.units
            case _:
                back += leg.money.units
        held = ((USDT.key, self.held_units),) if self.held_units else ()
        self.settled = replace(gone(swept, out, back), in_hold=held)

    def tell(self, event: Event) -> None:
        now = replace(self.invoice, settled=self.settled, version=self.invoice.version + 1)
        try:
            self.invoice, effects = decide(now, event)
        except Refusal:
            return
        for effect in effects:
            self.do(effect)

    def do(self, effect: Effect) -> None:
        match effect:
            case Screen():
                self.screenings_due = True
            case PlanMoves():
                self.planned += [
                    Planned(leg, "ready" if leg.purpose in INWARD else "waiting")
                    for leg in effect.legs
                ]
            case ReleaseMoves():
                self.turn("ready", [p for p in self.planned if p.status == "waiting"])
            case GiveUpMoves(purposes):
                alive = [p for p in self.planned if p.status != "final"]
                named = [p for p in alive if purposes is None or p.leg.purpose in purposes]
                self.turn("failed", named)

    @staticmethod
    def turn(status: Literal["ready", "failed"], which: list[Planned]) -> None:
        for planned in which:
            planned.status = status

    def check(self) -> None:
        settled = self.settled
        out = settled.paid_out_units(USDT) + settled.returned_units(USDT)
        pool = settled.swept_units(USDT) - out - self.held_units
        assert pool >= 0
        assert self.held_units >= 0
        assert self.came_units == out + pool + self.held_units + self.at_address_units
        assert pool == reckoning.in_pool(replace(self.invoice, settled=settled), USDT)
        now = replace(self.invoice, settled=settled)
        held = sum(money.units for money in reckoning.holdings(now))
        assert held == self.came_units - out
        promised = sum(
            p.leg.money.units
            for p in self.planned
            if p.leg.purpose in OUT and p.status in {"waiting", "ready"}
        )
        assert promised <= held
        assert sum(p.leg.purpose == "payout" for p in self.planned) <= 1
        assert sum(refund.status.is_open for refund in self.invoice.refunds) <= 1
        back = sum(
            money.units
            for refund in self.invoice.refunds
            if refund.status.value == "settled"
            for money in refund.amounts
        )
        assert back <= settled.returned_units(USDT)
        if self.invoice.status is Status.REFUNDED and not self.invoice.open_refund:
            assert settled.paid_out_units(USDT) == 0


@given(
    st.builds(
        Policy,
        sign_off_required=st.booleans(),
        overpaid=st.sampled_from(["refund_at_sign_off", "resolve"]),
    ),
    st.sampled_from(
        [Status.AWAITING_PAYMENT, Status.AWAITING_PAYMENT, Status.CANCELLED, Status.EXPIRED]
    ),
    st.sampled_from([{}, {"evm": MERCHANT_ADDRESS}]),
    st.lists(steps, max_size=60),
)
def test_what_came_in_went_out_went_back_or_is_here(
    policy: Policy, start: Status, paid_to: dict[str, str], story: list[Step]
) -> None:
    world = World(invoice(start, policy=policy, payout_to=paid_to))
    for what, how_much in story:
        world.step(what, how_much)
        world.check()


HELD: list[list[Step]] = [
    [("pay", 3), ("screen", 0), ("quarantine", 0)],
    [("pay", 3), ("screen", 0), ("quarantine", 0), ("isolate", 0)],
    [("pay", 3), ("screen", 1), ("sign", 0), ("pay", 1), ("screen", 0), ("quarantine", 0)],
]
"""Ways to quarantine, the last one of what was signed for already."""


@given(st.sampled_from(HELD), st.lists(steps, max_size=30), st.booleans())
def test_held_money_is_never_stuck(
    start: list[Step],
    story: list[Step],
    let_go: bool,  # noqa: FBT001 - drawn
) -> None:
    world = World(invoice(Status.AWAITING_PAYMENT, payout_to={"evm": MERCHANT_ADDRESS}))
    for what, how_much in (*start, *story):
        world.step(what, how_much)
    for _ in range(20):
        for officer in (0, 1) if let_go else (3, 4):
            world.step("decide", officer)
        for deed in ("screen", "accept", "sign", "isolate", "sweep", "send", "approve"):
            world.step(deed, 1)
        if world.invoice.status is not Status.SIGN_PENDING:
            world.step("order", 0)
        world.check()
    settled = world.settled
    out = settled.paid_out_units(USDT) + settled.returned_units(USDT)
    assert (world.held_units, out) == (0, world.came_units)


@given(st.lists(steps, max_size=60))
def test_a_refund_that_is_on_its_way_can_always_be_ended(story: list[Step]) -> None:
    world = World(invoice(Status.AWAITING_PAYMENT))
    for what, how_much in story:
        world.step(what, how_much)
    for _ in range(20):
        world.step("screen", 1)
        world.step("approve", 0)
        world.step("sweep", 0)
        world.step("send", 0)
    assert world.invoice.open_refund is None
