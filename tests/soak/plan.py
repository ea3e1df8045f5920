"""`Plan` and `Report`: what is asked of a soak, and what it came to."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

PROCESSES: Final = ("serve", "work", "work-2", "sign")
SERVER: Final = "postgres"
BACKEND: Final = "postgres backend"
PAYMENT: Final = "payments at a frozen wallet"
CALLBACK: Final = "callbacks in a bad hour"
LEASE: Final = "leases that were gone"

AIMED_AT: Final = (PAYMENT, CALLBACK, LEASE)
"""What some troubles are meant for. A wallet that is frozen while it has nothing to pay, a receiver
that refuses while it is told nothing, a worker that sleeps with nothing in hand: none proves
anything."""


@dataclass(frozen=True)
class Plan:
    """How much is asked of the system.

    ``kills`` and ``pauses`` are those of our own processes, ``postgres`` those of the whole
    database server. They are spread over ``seconds``, and go on for at most ``most_seconds``.
    ``at_once`` is how many invoices are on their way; with ``every_tale`` one of each kind has to
    end at least.
    """

    seed: int
    kills: int
    pauses: int
    postgres: int
    seconds: float
    most_seconds: float
    at_once: int
    every_tale: bool = True
    follow: Callable[[str], None] | None = None
    """Is told what happens while it happens."""


@dataclass
class Report:
    """What was done to the system, and what came of it."""

    plan: Plan
    kinds: tuple[str, ...] = ()
    troubles: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By what was done and to whom: ``kill``, ``pause``, ``line``, ``server``, ``wallet``."""
    during: Counter[str] = field(default_factory=Counter)
    amid: Counter[str] = field(default_factory=Counter)
    """Troubles by kind that came while money was on its way."""
    met: Counter[str] = field(default_factory=Counter)
    """How often troubles that are aimed struck what they were meant for."""
    invoices: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    came_back: Counter[str] = field(default_factory=Counter)
    saw: Counter[str] = field(default_factory=Counter)
    payments: int = 0
    callbacks: int = 0
    checks: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def struck(self, what: str, *whom: str) -> int:
        """How often something was done, to these or to anybody."""
        return sum(n for (w, who), n in self.troubles.items() if w == what and who in (whom or who))

    def lacking(self) -> list[str]:
        """What was asked for and did not come about, so that nothing is proved by its absence."""
        asked = (
            ("kills of our processes", self.struck("kill", *PROCESSES), self.plan.kills),
            ("pauses of our processes", self.struck("pause", *PROCESSES), self.plan.pauses),
            ("kills of PostgreSQL", self.struck("kill", SERVER), self.plan.postgres),
            ("checks while it ran", self.checks, 2),
            ("signatures seen", self.saw["signed"], 1),
            ("callbacks", self.callbacks, 1),
            *((what, self.met[what], 1) for what in AIMED_AT),
        )
        found = [f"{n} of {wanted} {what}" for what, n, wanted in asked if n < wanted]
        if self.plan.every_tale:
            found += [f"0 of 1 {kind}" for kind in self.kinds if not self.invoices[kind]]
            found += ["0 of 1 expiries seen"] if not self.saw["expired"] else []
        return found

    @property
    def failed(self) -> bool:
        return bool(self.violations or self.lacking())

    def lines(self) -> Iterator[str]:
        yield f"seed                {self.plan.seed}"
        yield "process             kills  pauses"
        for name in PROCESSES:
            yield f"  {name:18}{self.struck('kill', name):5}{self.struck('pause', name):8}"
        ours = (self.struck("kill", *PROCESSES), self.struck("pause", *PROCESSES))
        yield f"  {'together':18}{ours[0]:5}{ours[1]:8}   during {_listed(self.during)}"
        yield (
            f"PostgreSQL killed   {self.struck('kill', SERVER)} times, one of its backends"
            f" {self.struck('kill', BACKEND)} times; {self.amid[SERVER]} of both in mid-tale"
        )
        for what in ("line", "server", "wallet"):
            yield f"{what + 's':20}{self._each(what)}"
        yield f"struck              {_listed(self.met)}"
        yield f"tales ended         {self.invoices.total()}"
        for kind in self.kinds:
            yield f"  {kind:18}{self.invoices[kind]:5}"
        yield f"paid to             {_listed(self.modes)}"
        yield f"payments            {self.payments}"
        yield f"callbacks           {self.callbacks}"
        yield f"asked again         {_listed(self.came_back)}"
        yield f"seen at its moment  {_listed(self.saw)}"
        yield f"checks              {self.checks}"
        yield f"seconds             {', '.join(f'{k} {v:.0f}' for k, v in self.seconds.items())}"
        for title, found in (("not reached", self.lacking()), ("violations", self.violations)):
            yield f"{title:20}{len(found)}"
            yield from (f"  {sentence}" for sentence in found)

    def _each(self, what: str) -> str:
        return _listed(Counter({who: n for (w, who), n in self.troubles.items() if w == what}))


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.most_common()) or "none"
