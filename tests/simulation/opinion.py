"""What a payment comes to, by a small model of its own: enough, late, too much, and where it goes.

It reads rows and computes with whole numbers and fractions, in nothing as the program does, and
with none of its code. Rules: specs/lifecycle.md D.1 and D.2, specs/chains.md 6.3 and 6.5.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from simulation.parts import Violation

Ask = Callable[[str], Awaitable[list[Any]]]
Asset = tuple[str, str]
"""Chain and contract; "" is the chain's own coin."""

_CLEAR_OF_CHOICE: Final = ("", "overpaid")
_JUDGED: Final = ("resolution_required", "sign_pending")
FACTS: Final = """
SELECT i.invoice_id, i.status, coalesce(i.context, ''), i.version,
       extract(epoch FROM i.deadline_at)::text, i.detail->'policy', i.detail->'payout_to'->>'evm',
       l.event, l.metadata::jsonb,
       (i.detail->>'signed_off_at')::timestamptz IS NOT DISTINCT FROM l.at
           AND l.from_status NOT IN ('sweeping', 'payout_processing', 'completed'),
       (SELECT json_agg(json_build_array(chain, contract, due_units::text, quote) ORDER BY position)
          FROM payment_request AS r WHERE (r.org_id, r.invoice_id) = (i.org_id, i.invoice_id)),
       (SELECT json_agg(json_build_array(chain, contract, amount_units::text, depth,
                        coalesce(attached_sender, from_address),
                        extract(epoch FROM least(first_seen_at, block_at))::text))
          FROM transfer AS t
         WHERE (t.org_id, t.invoice_id) = (i.org_id, i.invoice_id) AND depth > 0),
       (SELECT json_agg(json_build_array(chain, contract, purpose, amount_units::text,
                        coalesce(moved_units, 0)::text, status, destination, created_at = l.at))
          FROM move AS m WHERE (m.org_id, m.invoice_id) = (i.org_id, i.invoice_id)),
       (SELECT c.metadata::jsonb->>'surplus' FROM invoice_log AS c
         WHERE (c.org_id, c.invoice_id, c.event) = (i.org_id, i.invoice_id, 'accept')
           AND c.sequence >= (SELECT max(sequence) FROM (
                   SELECT sequence, to_status, metadata::jsonb->>'context' AS context,
                          lag(metadata::jsonb->>'context') OVER (ORDER BY sequence) AS before
                     FROM invoice_log AS b
                    WHERE (b.org_id, b.invoice_id) = (i.org_id, i.invoice_id)) AS b
                  -- Whoever chose before that chose about other money.
                  WHERE to_status IN ('payment_detected', 'screening', 'compliance_hold')
                     OR context IS DISTINCT FROM before)
         ORDER BY c.sequence DESC LIMIT 1)
  FROM invoice AS i
  JOIN invoice_log AS l ON (l.org_id, l.invoice_id, l.sequence)
                         = (i.org_id, i.invoice_id, i.version)
 WHERE EXISTS (SELECT FROM transfer AS t
                WHERE (t.org_id, t.invoice_id) = (i.org_id, i.invoice_id))
   -- Money of which nobody could be told so far.
   AND NOT EXISTS (SELECT FROM effect AS e
                    WHERE (e.org_id, e.invoice_id) = (i.org_id, i.invoice_id)
                      AND e.kind <> 'screen' AND done_at IS NULL)
 ORDER BY i.created_at, i.invoice_id
"""


@dataclass(frozen=True, slots=True)
class Came:
    """One transfer that stands on its chain: 1 seen, 2 safe, 3 final."""

    asset: Asset
    units: int
    depth: int
    payer: str
    at: Fraction


@dataclass(frozen=True, slots=True)
class Left:
    """One movement of it: ``moved`` of the ``units`` that were planned, ``fresh`` just now."""

    asset: Asset
    purpose: str
    units: int
    moved: int
    status: str
    destination: str
    fresh: bool


class Payment:
    """All that is known of one invoice's payment just now."""

    def __init__(self, row: Sequence[Any]) -> None:
        (self.invoice_id, self.status, self.context, self.version, self.deadline, self.policy,
         self.payout_to, self.event, self.told, self.signed, due, came, left,
         self.chosen) = row  # fmt: skip
        self.due = {(chain, contract): int(units) for chain, contract, units, _ in due}
        self.quotes = {(chain, contract): quote for chain, contract, _, quote in due}
        every = [
            Came((chain, contract), int(units), depth, payer, Fraction(at))
            for chain, contract, units, depth, payer, at in came or ()
        ]
        self.came = [one for one in every if self._counts(one)]
        self.moves = [
            Left((chain, contract), purpose, int(units), int(moved), status, destination, fresh)
            for chain, contract, purpose, units, moved, status, destination, fresh in left or ()
        ]

    # ------------------------------------------------------------------ what came

    def _counts(self, one: Came) -> bool:
        """Less than a cent disturbs nobody; a chain's own coin counts a thousand dollars."""
        return _dollars(one.asset, one.units) >= Fraction(self.policy["dust_below"])

    @property
    def paid(self) -> list[Came]:
        """What came of the assets that are asked for."""
        return [one for one in self.came if one.asset in self.due]

    def units(self, depth: int, came: Sequence[Came] | None = None) -> Counter[Asset]:
        """Totals of what is at least so deep."""
        found: Counter[Asset] = Counter()
        for one in self.paid if came is None else came:
            found[one.asset] += one.units if one.depth >= depth else 0
        return found

    @property
    def enough_depth(self) -> int:
        """How deep money is confirmed: less than the policy's limit in dollars when it is safe."""
        worth = Fraction(0)
        for asset, units in self.units(1).items():
            if asset[1]:
                worth += _dollars(asset, units)
                continue
            quote = self.quotes[asset] or {}
            per_dollar = {"USD": 1, "TWD": 20}.get(quote.get("quote", ""))
            if per_dollar is None:
                return 3
            rate = Fraction(quote.get("market") or quote["rate"])
            worth += Fraction(units, 10**18) * rate / per_dollar
        return 2 if worth < self.policy["confirm_soft_below_usd"] else 3

    @property
    def kept(self) -> Counter[Asset]:
        """What is confirmed of it and had not gone back when this was decided.

        Where all was swept before, a surplus may arrive while the payout beside it still waits,
        and no entry is written until both are there.
        """
        back = self.went("refund", "partial_refund")
        confirmed = self.units(self.enough_depth)
        return Counter({asset: max(units - back[asset], 0) for asset, units in confirmed.items()})

    def went(self, *purposes: str) -> Counter[Asset]:
        found: Counter[Asset] = Counter()
        for move in self.moves:
            if move.purpose in purposes and not move.fresh:
                found[move.asset] += move.moved
        return found

    @property
    def share(self) -> Fraction:
        """Of what is due; 1 is exactly paid, and nothing is rounded."""
        return _sum(Fraction(units, self.due[asset]) for asset, units in self.kept.items())

    # ------------------------------------------------------------------ what that amounts to

    @property
    def late_seconds(self) -> Fraction:
        """How long after the deadline enough had come; of too little, the last of it."""
        come = Fraction(0)
        arrived = Fraction(self.deadline)
        for one in sorted(self.paid, key=lambda one: one.at):
            come, arrived = come + Fraction(one.units, self.due[one.asset]), one.at
            if come >= Fraction(self.policy["underpay_ratio"]):
                break
        return arrived - Fraction(self.deadline)

    @property
    def findings(self) -> list[str]:
        """All that is particular about it, the gravest first."""
        said = {
            "wrong_asset": self._too_little and not self.paid,
            "underpaid": self._too_little and bool(self.paid),
            "paid_late": self.late_seconds > 0,
            "multiple_payers": self.policy["several_payers"] == "resolve"
            and len({one.payer for one in self.paid or self.came}) > 1,
            "overpaid": self.share > Fraction(self.policy["overpay_ratio"]),
        }
        return [name for name, is_so in said.items() if is_so]

    @property
    def _too_little(self) -> bool:
        return self.share < Fraction(self.policy["underpay_ratio"])

    @property
    def needs_choice(self) -> bool:
        """Whether somebody, or a rule of the policy, has to choose before it is signed for."""
        grave = next(iter(self.findings), "")
        return grave not in _CLEAR_OF_CHOICE or (
            grave == "overpaid" and self.policy["overpaid"] == "resolve"
        )

    def may_be_accepted_by_rule(self) -> bool:
        """Whether the policy covers everything that is particular about it."""
        policy, share = self.policy, self.share
        least, most = policy["auto_accept_underpaid_from"], policy["auto_accept_overpaid_to"]
        minutes = policy["auto_accept_late_minutes"]
        covered = {
            "underpaid": least is not None and share >= Fraction(least),
            "overpaid": most is not None and share <= Fraction(most),
            "paid_late": minutes is not None and self.late_seconds <= minutes * 60,
            "multiple_payers": policy["auto_accept_several_payers"],
        }
        return all(covered.get(name) for name in self.findings)

    # ------------------------------------------------------------------ what does not fit

    def wrongs(self) -> Iterator[str]:
        """Whatever stands there otherwise than it should."""
        if self.event.startswith("transfer_"):
            yield from self._wrong_totals()
        if self.status in _JUDGED:
            yield from self._wrong_judgement()
        by_rule = self.event == "accept" and self.told.get("rule")
        if by_rule and not self.may_be_accepted_by_rule():
            yield f"a rule accepted what is {self.findings}, {self.share} of what is due"
        if self.signed and self.status in {"sweeping", "payout_processing", "completed"}:
            yield from self._wrong_plan()
        if self.event == "sign_off" and self.status == "refund_pending":
            ordered = {_asset(key): int(n) for key, n in self.told["refund_amounts"].items()}
            yield from self._wrong_surplus(ordered)

    def _wrong_totals(self) -> Iterator[str]:
        due = [one for one in self.came if one.asset in self.due]
        stray = [one for one in self.came if one.asset not in self.due]
        seen = self.units(1, due) + self.units(1, stray)
        confirmed = self.units(self.enough_depth, due) + self.units(3, stray)
        final = self.units(3, due) + self.units(3, stray)
        truth = {
            _key(asset): {
                "seen_units": str(seen[asset]),
                "confirmed_units": str(confirmed[asset]),
                "final_units": str(final[asset]),
            }
            for asset in seen
        }
        said = self.told["received"]
        if {**said} != truth:
            yield f"its log says {said}, and there is {truth}"

    def _wrong_judgement(self) -> Iterator[str]:
        expected = next(iter(self.findings), "exact")
        if self.context != expected:
            yield f"{self.status}, {self.context}: it is {expected}, {self.share} of what is due"
        if self.status == "sign_pending" and self.needs_choice and self.chosen is None:
            yield f"to be signed for, though it is {expected} and nobody chose that"
        if self.status == "resolution_required" and not self.needs_choice:
            yield f"{expected}, {self.share} of what is due, and yet to be decided about"

    def _wrong_plan(self) -> Iterator[str]:
        """Signed for just now: the surplus goes back, all else to the merchant."""
        if self.needs_choice and self.chosen is None:
            yield f"signed for, though it is {self.findings} and nobody chose that"
        back, on = self._planned("partial_refund"), self._planned("payout")
        yield from self._wrong_surplus(back)
        kept = self.kept
        rest = {asset: units - back[asset] for asset, units in kept.items() if units > back[asset]}
        if self.paid and on != (rest if self.payout_to else {}):
            yield f"{on} is paid out of {kept}, while {back} goes back"
        if {to for to in self._goes_to("payout") if to != self.payout_to}:
            yield f"it is paid out to {self._goes_to('payout')}, not to {self.payout_to}"

    def _wrong_surplus(self, back: Mapping[Asset, int]) -> Iterator[str]:
        """To the unit where one asset is due; of several, to less than a unit of each."""
        over = self.share - 1
        if self.chosen == "keep" or self.share <= Fraction(self.policy["overpay_ratio"]):
            over = Fraction(0)
        sent = _sum(Fraction(units, self.due.get(asset, 1)) for asset, units in back.items())
        grain = _sum(Fraction(1, self.due[asset]) for asset in self.kept)
        if sent > over or (over and sent <= over - grain):
            yield f"{dict(back)} goes back of {self.kept}, of which {self.due} was due"

    def _goes_to(self, purpose: str) -> set[str]:
        return {m.destination for m in self.moves if m.fresh and m.purpose == purpose}

    def _planned(self, purpose: str) -> Counter[Asset]:
        found: Counter[Asset] = Counter()
        for move in self.moves:
            if move.fresh and move.purpose == purpose and move.status != "failed":
                found[move.asset] += move.units
        return found


async def check(ask: Ask) -> int:
    """Compare every invoice that money came for with the model; answers how many.

    Raises `Violation` M for what is decided otherwise.
    """
    rows = await ask(FACTS)
    for row in rows:
        payment = Payment(row)
        for sentence in payment.wrongs():
            raise Violation("M", f"invoice {payment.invoice_id}, {payment.event}: {sentence}")
    return len(rows)


def _dollars(asset: Asset, units: int) -> Fraction:
    return Fraction(units, 10**6) if asset[1] else Fraction(units * 1_000, 10**18)


def _key(asset: Asset) -> str:
    return f"{asset[0]}:{asset[1] or 'native'}"


def _asset(key: str) -> Asset:
    chain, _, contract = key.partition(":")
    return chain, "" if contract == "native" else contract


def _sum(parts: Iterable[Fraction]) -> Fraction:
    return sum(parts, start=Fraction(0))
