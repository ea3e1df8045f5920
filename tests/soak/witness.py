"""`Witness`: what the database itself sees at the moment at which something is signed or expires.

A look every two seconds comes too late: by then the invoice has gone on, the wallet was thawed, or
the server was dead. So the questions that are about one moment (I5, I20 and half of I21) are asked
by PostgreSQL within the very transaction, when it is about to be committed. The triggers are the
harness's own, in a schema of its own; the program has none and knows of none.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from counterfoil.db.pool import Database
from counterfoil.db.rows import all_values
from simulation.invariants import INVARIANTS
from simulation.parts import Invariant

FRESH: Final = "%(fresh)s"
JUST_EXPIRED: Final = "%(just_expired)s"

_THEN: Final = {
    "fresh": "ARRAY[NEW.tx_hash]",
    # The same address has another wallet on each chain.
    "were_frozen": """ARRAY(SELECT address FROM ingest.wallet
                             WHERE chain = NEW.chain AND frozen_reason IS NOT NULL)""",
    "listed": "ARRAY(SELECT address FROM screening_list_address WHERE version_to IS NULL)",
    "now": "clock_timestamp()",
}
_OF_EXPIRY: Final = {"just_expired": "ARRAY[NEW.invoice_id]"}

_TABLES: Final = (
    "CREATE SCHEMA soak",
    "CREATE TABLE soak.seen (kind text NOT NULL, what text NOT NULL)",
    "CREATE TABLE soak.finding (name text NOT NULL, sentence text NOT NULL)",
)

_FUNCTION: Final = """
    CREATE FUNCTION soak.{name}() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN
        INSERT INTO soak.seen VALUES ('{name}', {what});
        INSERT INTO soak.finding {question};
        RETURN NULL;
    END $body$
"""

_TRIGGERS: Final = (
    """
    CREATE CONSTRAINT TRIGGER witness AFTER INSERT ON ingest.chain_tx
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION soak.signed()
    """,
    """
    CREATE CONSTRAINT TRIGGER witness AFTER UPDATE ON public.invoice
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
        WHEN (NEW.status = 'expired' AND OLD.status <> 'expired')
        EXECUTE FUNCTION soak.expired()
    """,
)


@dataclass(frozen=True)
class Witness:
    """Looks on at every signature and every expiry, whoever makes it and whatever dies then."""

    database: Database

    async def arrives(self) -> None:
        """Begin to look on; once for a database. What was signed before is taken as it is."""
        signed = _question([one for one in INVARIANTS if FRESH in one.query], _THEN)
        expired = _question([one for one in INVARIANTS if JUST_EXPIRED in one.query], _OF_EXPIRY)
        async with self.database.transaction() as tx:
            for statement in (
                *_TABLES,
                _FUNCTION.format(name="signed", what="NEW.tx_hash", question=signed),
                _FUNCTION.format(name="expired", what="NEW.invoice_id", question=expired),
                *_TRIGGERS,
                "INSERT INTO soak.seen SELECT 'before', tx_hash FROM ingest.chain_tx",
            ):
                await tx.execute(statement.encode())

    async def findings(self) -> list[str]:
        """Whatever broke an invariant at its moment, as the proof says it."""
        query = (
            "SELECT DISTINCT format('%%s: %%s, at that moment', name, sentence) FROM soak.finding"
        )
        async with self.database.reading() as tx:
            return await all_values(tx, str, query, {})

    async def saw(self) -> Counter[str]:
        """How many signatures and expiries were looked at."""
        async with self.database.reading() as tx:
            return Counter(await all_values(tx, str, "SELECT kind FROM soak.seen", {}))

    async def missed(self) -> list[str]:
        """Signed transactions in the books that it did not see being signed."""
        query = """
            SELECT tx_hash FROM ingest.chain_tx
            EXCEPT SELECT what FROM soak.seen WHERE kind IN ('before', 'signed')
        """
        async with self.database.reading() as tx:
            return await all_values(tx, str, query, {})


def _question(invariants: Sequence[Invariant], values: dict[str, str]) -> str:
    """The invariants as one question, about what a trigger is told."""
    return "\nUNION ALL\n".join(
        f"SELECT '{one.name}'::text, finding FROM ({one.query % values}) AS q (finding)"  # noqa: S608 - of constants
        for one in invariants
    )
