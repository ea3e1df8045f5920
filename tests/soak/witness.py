"""`Witness`: what the database itself sees when something is signed, expires, or is recorded.

A look every two seconds comes too late: by then the invoice has gone on, the wallet was thawed, or
the server was dead. So the questions that are about one moment (I5, I20 and half of I21) are asked
by PostgreSQL within the very transaction, when it is about to be committed. So is whose lease
a callback or a chain's cursor is under when somebody records what came of it (I19), as a minute
later nobody could tell who wrote it. The triggers are the harness's own, in a schema of its own;
the program has none and knows of none.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from counterfoil.db.pool import Database
from counterfoil.db.rows import all_values, one_value
from simulation.invariants import INVARIANTS
from simulation.parts import Invariant
from soak.worker_process import WHO

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
    "CREATE TABLE soak.lease (token uuid PRIMARY KEY, holder text NOT NULL)",
)

_FUNCTION: Final = """
    CREATE FUNCTION soak.{name}() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN
        INSERT INTO soak.seen VALUES ('{name}', {what});
        INSERT INTO soak.finding {question};
        RETURN NULL;
    END $body$
"""

_LEASED: Final = """
    CREATE FUNCTION soak.{name}() RETURNS trigger LANGUAGE plpgsql AS $body$
    DECLARE
        acting text := coalesce(current_setting('{who}', true), 'no worker');
        holding text := (SELECT holder FROM soak.lease WHERE token = OLD.lease_token);
    BEGIN
        IF NEW.lease_token <> OLD.lease_token THEN
            INSERT INTO soak.seen VALUES ('taken over', NEW.lease_token);
        END IF;
        IF NEW.lease_token IS NOT NULL THEN
            INSERT INTO soak.lease VALUES (NEW.lease_token, acting) ON CONFLICT DO NOTHING;
        END IF;
        -- Who took a lease before anybody looked on is not known.
        IF ({recorded}) AND (OLD.lease_token IS NULL OR holding <> acting) THEN
            INSERT INTO soak.finding VALUES
                ('I19', format('%s was recorded by %s, leased by %s', {what}, acting, holding));
        END IF;
        RETURN NULL;
    END $body$
"""

_TOLD: Final = """
    OLD.status = 'pending'
    AND (NEW.status <> 'pending' OR (OLD.lease_token IS NOT NULL AND NEW.lease_token IS NULL)
         -- Anybody may bring an attempt forward; that one came to nothing a worker says.
         OR (NEW.due_at <> OLD.due_at AND acting <> 'no worker'))
"""

_READ: Final = """
    (NEW.head_number, NEW.head_hash, NEW.safe_number, NEW.final_number)
    IS DISTINCT FROM (OLD.head_number, OLD.head_hash, OLD.safe_number, OLD.final_number)
"""

_TRIGGERS: Final = (
    """
    CREATE TRIGGER witness AFTER UPDATE ON public.outbox FOR EACH ROW EXECUTE FUNCTION soak.told()
    """,
    """
    CREATE TRIGGER witness AFTER UPDATE ON ingest.chain_cursor
        FOR EACH ROW EXECUTE FUNCTION soak.read()
    """,
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
                _LEASED.format(name="told", who=WHO, recorded=_TOLD, what="NEW.event_id"),
                _LEASED.format(name="read", who=WHO, recorded=_READ, what="NEW.chain"),
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
        """How many signatures and expiries were looked at, and leases taken from somebody."""
        async with self.database.reading() as tx:
            return Counter(await all_values(tx, str, "SELECT kind FROM soak.seen", {}))

    async def reader(self, chain: str) -> int | None:
        """The process that holds a chain's lease."""
        query = """
            SELECT holder::integer FROM ingest.chain_cursor JOIN soak.lease ON token = lease_token
             WHERE chain = %(chain)s
        """
        async with self.database.reading() as tx:
            return await one_value(tx, int, query, {"chain": chain})

    async def teller(self, event_id: UUID | None) -> int | None:
        """The process that holds a callback."""
        query = """
            SELECT holder::integer FROM outbox JOIN soak.lease ON token = lease_token
             WHERE event_id = %(event_id)s
        """
        async with self.database.reading() as tx:
            return await one_value(tx, int, query, {"event_id": event_id})

    async def told_to(self, url: str) -> UUID | None:
        """The callback that was last begun to be told to an address, and is not yet."""
        query = """
            SELECT event_id FROM outbox WHERE url = %(url)s AND lease_token IS NOT NULL
             ORDER BY lease_until DESC LIMIT 1
        """
        async with self.database.reading() as tx:
            return await one_value(tx, UUID, query, {"url": url})

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
