"""What one run came to, and how it is done again."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from simulation.chaos import Record
from simulation.parts import Violation

STEPS: Final = 160


@dataclass(slots=True)
class Result:
    """What a run came to. ``violation`` None: everything held."""

    seed: int
    record: Record
    chosen: int = STEPS
    """How many steps were asked for; those of stories come on top."""
    steps: int = 0
    checks: int = 0
    days: float = 0.0
    violation: Violation | None = None
    edges: Counter[str] = field(default_factory=Counter)

    @property
    def replay(self) -> str:
        """The command that goes the same way again."""
        steps = "" if self.chosen == STEPS else f" STEPS={self.chosen}"
        return f"make simulate SEED={self.seed}{steps}"
