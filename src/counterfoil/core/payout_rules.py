"""Where an organisation lets its money be paid out to, and how it may change its mind about that.

A rule that becomes looser holds only after the time of waiting that was in force before
(`counterfoil.core.slowly`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from counterfoil.core.slowly import Slowly

SHORTEST_HOURS: Final = 1
LONGEST_HOURS: Final = 30 * 24


@dataclass(frozen=True, slots=True)
class PayoutRules:
    """What is asked of an address before money goes there.

    ``registered_only``: invoices are paid out to registered addresses and to no others.
    ``two_people``: one registers an address, or sends a payout elsewhere, and another lets it be.
    ``wait_hours``: from then on, before an address is good.
    """

    registered_only: bool = False
    two_people: bool = True
    wait_hours: int = 24

    @property
    def wait(self) -> timedelta:
        """How long everybody has to notice what they did not do."""
        return timedelta(hours=self.wait_hours)

    def good_from(self, now: datetime) -> datetime | None:
        """When a place registered now is good; None while a second person has to approve it."""
        return None if self.two_people else now + self.wait

    def with_stricter(self, other: "PayoutRules") -> "PayoutRules":
        """Of each rule the stricter one."""
        return PayoutRules(
            registered_only=self.registered_only or other.registered_only,
            two_people=self.two_people or other.two_people,
            wait_hours=max(self.wait_hours, other.wait_hours),
        )


@dataclass(frozen=True, slots=True)
class PayoutPolicy:
    """The rules, those that hold from ``next_at`` on, and by chain family the default address.

    ``asked_by`` announced those that are to hold.
    """

    rules: PayoutRules = PayoutRules()
    next_rules: PayoutRules | None = None
    next_at: datetime | None = None
    defaults: Mapping[str, UUID] = field(default_factory=dict)
    asked_by: frozenset[str] = frozenset()

    def in_force(self, now: datetime) -> PayoutRules:
        """The rules as they are at a time."""
        return self._slowly.in_force(now)

    def announced(self, now: datetime) -> PayoutRules | None:
        """The looser rules that do not hold yet; None where there are none."""
        return self._slowly.announced(now)

    def to_come(self, now: datetime) -> PayoutRules:
        """The rules that hold in the end if nobody asks for others."""
        return self._slowly.to_come(now)

    def without(self, uid: str, now: datetime) -> "PayoutPolicy":
        """The policy without what waits, as `Slowly.without` says."""
        after = self._slowly.without(uid, now)
        return PayoutPolicy(
            after.rules, after.next_rules, after.next_at, self.defaults, after.asked_by
        )

    def changed(self, to: PayoutRules, now: datetime, by: str | None = None) -> "PayoutPolicy":
        """The policy once somebody asked for these rules, as `Slowly.changed` says.

        A longer waiting that holds at once is added to what is announced already.
        """
        wait = self.in_force(now).wait
        after = self._slowly.changed(to, now, wait, PayoutRules.with_stricter, by)
        next_at = after.next_at
        if next_at is not None and next_at == self.next_at:
            next_at += max(after.rules.wait - wait, timedelta(0))
        return PayoutPolicy(after.rules, after.next_rules, next_at, self.defaults, after.asked_by)

    @property
    def _slowly(self) -> Slowly[PayoutRules]:
        return Slowly(self.rules, self.next_rules, self.next_at, self.asked_by)
