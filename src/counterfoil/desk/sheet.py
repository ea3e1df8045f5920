"""What decisions leave to be written: noted by each, written for all of them in one go."""

from dataclasses import dataclass, field
from uuid import UUID

from counterfoil.books import audit, effects, invoices, outbox, screening
from counterfoil.books.effects import NewEffect
from counterfoil.books.invoices import Changed
from counterfoil.books.outbox import NewOutboxEvent
from counterfoil.books.screening import ScreeningRun
from counterfoil.core.seal import LogEntry, link
from counterfoil.db.pool import Tx
from counterfoil.desk import after_end


@dataclass(frozen=True, slots=True)
class Sheet:
    """The rows of one transaction's decisions, by table.

    Decisions about the same invoice follow each other directly. ``entries`` go with their seals.
    Nothing of it is in the database before `write`, which leaves the sheet empty.
    """

    changes: list[Changed] = field(default_factory=list)
    entries: list[tuple[LogEntry, bytes]] = field(default_factory=list)
    work: list[NewEffect] = field(default_factory=list)
    events: list[NewOutboxEvent] = field(default_factory=list)
    runs: list[ScreeningRun] = field(default_factory=list)

    def change(self, changed: Changed) -> None:
        """Note what became of an invoice; of several decisions it is written once."""
        last = self.changes[-1] if self.changes else None
        if last is not None and last.after.invoice_id == changed.before.invoice_id:
            self.changes[-1] = Changed(last.before, changed.after, changed.at)
        else:
            self.changes.append(changed)

    def enter(self, previous: bytes, entry: LogEntry) -> None:
        """Note an entry of the log, sealed to the one whose seal is ``previous``."""
        self.entries.append((entry, link(previous, entry)))

    def last_seal(self, invoice_id: UUID) -> bytes | None:
        """The seal of the entry noted last, where that is one of this invoice."""
        if not self.entries:
            return None
        entry, seal = self.entries[-1]
        return seal if entry.invoice_id == invoice_id else None

    def take_back(self, invoice_id: UUID, kind: str) -> bool:
        """Strike out work that the last decision left, as it is done; False where it left none."""
        last = self.work[-1] if self.work else None
        if last is None or (last.invoice_id, last.kind) != (invoice_id, kind):
            return False
        self.work.pop()
        return True

    async def write(self, tx: Tx) -> None:
        """Write all of it, with one statement for each table that has rows."""
        if self.changes:
            await invoices.save_all(tx, self.changes)
            await after_end.keep(tx, self.changes)
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
