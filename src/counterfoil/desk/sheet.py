"""What decisions leave to be written: noted by each, written for all of them in one go."""

from dataclasses import dataclass, field

from counterfoil.books import audit, effects, invoices, outbox, screening
from counterfoil.books.effects import NewEffect
from counterfoil.books.invoices import Changed
from counterfoil.books.outbox import NewOutboxEvent
from counterfoil.books.screening import ScreeningRun
from counterfoil.core.seal import LogEntry
from counterfoil.db.pool import Tx


@dataclass(frozen=True, slots=True)
class Sheet:
    """The rows of one transaction's decisions, by table: of one decision for each invoice.

    ``entries`` go with the seal of the entry before. Nothing of it is in the database before
    `write`, which leaves the sheet empty.
    """

    changes: list[Changed] = field(default_factory=list)
    entries: list[tuple[bytes, LogEntry]] = field(default_factory=list)
    work: list[NewEffect] = field(default_factory=list)
    events: list[NewOutboxEvent] = field(default_factory=list)
    runs: list[ScreeningRun] = field(default_factory=list)

    async def write(self, tx: Tx) -> None:
        """Write all of it, with one statement for each table that has rows."""
        if self.changes:
            await invoices.save_all(tx, self.changes)
        if self.entries:
            await audit.append_all(tx, self.entries)
        if self.work:
            await effects.add_all(tx, self.work)
        if self.events:
            await outbox.add_all(tx, self.events)
        if self.runs:
            await screening.add_runs(tx, self.runs)
        for rows in (self.changes, self.entries, self.work, self.events, self.runs):
            rows.clear()
