"""Rules that become stricter at once, and looser only after a time of waiting.

Whoever takes over one account can so neither do what the rules forbid at once nor do away with the
waiting (specs/reliability.md T34).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Slowly(Generic[R]):
    """Some rules, and those that hold from ``next_at`` on, as ``asked_by`` asked together."""

    rules: R
    next_rules: R | None = None
    next_at: datetime | None = None
    asked_by: frozenset[str] = frozenset()

    def in_force(self, now: datetime) -> R:
        """The rules as they are at a time."""
        announced = self.announced(now)
        return self.rules if self.next_rules is None or announced else self.next_rules

    def announced(self, now: datetime) -> R | None:
        """The looser rules that do not hold yet; None where there are none."""
        waits = self.next_at is not None and now < self.next_at
        return self.next_rules if waits else None

    def to_come(self, now: datetime) -> R:
        """The rules that hold in the end if nobody asks for others."""
        return self.announced(now) or self.in_force(now)

    def without(self, uid: str, now: datetime) -> "Slowly[R]":
        """The same without what waits, where this one asked for a part of it or nobody knows."""
        if self.announced(now) is None or (self.asked_by and uid not in self.asked_by):
            return self
        return Slowly(self.rules)

    def changed(
        self,
        to: R,
        now: datetime,
        wait: timedelta,
        stricter: Callable[[R, R], R],
        by: str | None = None,
    ) -> "Slowly[R]":
        """Once somebody asked for other rules: stricter at once, looser later.

        ``stricter`` makes of the rules in force and those asked for what may hold at once. Whoever
        asks for the rules as they are takes back what was announced; whoever asks for nothing
        looser than that waits no longer for it. ``by`` asks; what others announced stays theirs as
        well.
        """
        at_once = stricter(self.in_force(now), to)
        if at_once == to:
            return Slowly(to)
        announced = self.announced(now)
        before = frozenset() if announced is None else self.asked_by
        if announced is not None and stricter(announced, to) == to:
            return Slowly(at_once, to, self.next_at, before)
        return Slowly(at_once, to, now + wait, before.union({by} if by else ()))
