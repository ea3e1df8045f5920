"""Where an organisation lets its money be paid out to, and how it may change its mind about that.

A rule that becomes looser holds only after the time of waiting that was in force before: whoever
takes over one account can so neither use an address at once nor do away with the waiting
(specs/reliability.md T34).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

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
    """The rules, those that hold from ``next_at`` on, and by chain family the default address."""

    rules: PayoutRules = PayoutRules()
    next_rules: PayoutRules | None = None
    next_at: datetime | None = None
    defaults: Mapping[str, UUID] = field(default_factory=dict)

    def in_force(self, now: datetime) -> PayoutRules:
        """The rules as they are at a time."""
        announced = self.announced(now)
        return self.rules if self.next_rules is None or announced else self.next_rules

    def announced(self, now: datetime) -> PayoutRules | None:
        """The looser rules that do not hold yet; None where there are none."""
        waits = self.next_at is not None and now < self.next_at
        return self.next_rules if waits else None

    def changed(self, to: PayoutRules, now: datetime) -> "PayoutPolicy":
        """The policy once somebody asked for these rules: stricter at once, looser later.

        Whoever asks for the rules as they are takes back what was announced.
        """
        present = self.in_force(now)
        at_once = present.with_stricter(to)
        later = at_once != to
        return PayoutPolicy(
            rules=at_once,
            next_rules=to if later else None,
            next_at=now + present.wait if later else None,
            defaults=self.defaults,
        )
