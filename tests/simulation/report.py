"""What a number of runs came to, in figures and names."""

import time
from collections import Counter
from dataclasses import dataclass, field

from simulation.chaos import FAULTS
from simulation.edges import CANNOT, EDGES
from simulation.people import RULES
from simulation.result import Result
from simulation.stories import STORIES


@dataclass(slots=True)
class Report:
    """Sums over runs."""

    results: list[Result] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    passed: Counter[str] = field(default_factory=Counter)
    crashed: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    edges: Counter[str] = field(default_factory=Counter)
    began: float = field(default_factory=time.monotonic)

    def add(self, result: Result) -> None:
        self.results.append(result)
        self.faults += result.record.faults
        self.passed += result.record.passed
        self.crashed += result.record.crashed
        self.acts += result.record.acts
        self.refused += result.record.refused
        self.told += result.record.told
        self.lost += result.record.lost
        self.edges += result.edges
        result.record.passed.clear()
        if result.violation is None:
            result.record.lines.clear()

    @property
    def violations(self) -> list[Result]:
        return [one for one in self.results if one.violation is not None]

    def violation(self, result: Result, last: int = 60) -> str:
        trace = list(result.record.lines)[-last:]
        return "\n".join(
            (
                f"VIOLATION in seed {result.seed} after {result.steps} steps",
                *trace,
                f"  {result.violation}",
                f"  again, with every step: {result.replay}",
            )
        )

    def text(self) -> str:
        seconds = time.monotonic() - self.began
        never = sorted(set(self.passed) - set(self.crashed))
        untaken = sorted(EDGES - set(self.edges))
        # Also those that never fell, as they were not tried at all.
        faults = (f"  {kind:<26}{self.faults[kind]:>8}" for kind in sorted({*FAULTS, *self.faults}))
        lines = [
            f"seeds              {len(self.results):>10}",
            f"steps              {sum(r.steps for r in self.results):>10}",
            f"simulated days     {sum(r.days for r in self.results):>10.1f}",
            f"crashes            {self.faults['crash']:>10}",
            f"reorgs             {self.faults['reorg']:>10}",
            f"checks             {sum(r.checks for r in self.results):>10}",
            f"violations         {len(self.violations):>10}",
            f"seconds            {seconds:>10.1f}",
            f"crash points       {len(self.crashed):>10} of {len(self.passed)} passed",
            "faults",
            *faults,
            "what people did, and how often they were refused",
            *(f"  {r.name:<26}{self.acts[r.name]:>8}{self.refused[r.name]:>8}" for r in RULES),
            "stories, how often they were told, and how often the invoice went another way",
            *(f"  {name:<50}{self.told[name]:>4}{self.lost[name]:>4}" for name in STORIES),
            f"edges of the lifecycle that were never taken: {len(untaken)} of {len(EDGES)}",
            f"  of these {len(CANNOT.keys() & set(untaken))} cannot be taken; the others:",
            *(f"  {edge}" for edge in untaken if edge not in CANNOT),
            *(f"  {edge}, although that cannot be" for edge in sorted(CANNOT.keys() & self.edges)),
            f"crash points that were hit, and how often: {len(self.crashed)}",
            *(f"  {name:<70}{times:>4}" for name, times in sorted(self.crashed.items())),
            f"crash points that were passed and never hit: {len(never)}",
            *(f"  {name}" for name in never),
        ]
        if self.violations:
            seeds = ", ".join(str(r.seed) for r in self.violations)
            lines.append(f"seeds with violations: {seeds}")
        return "\n".join(lines)
