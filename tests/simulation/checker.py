"""Asks the invariants, with a connection of its own, and looks at the chain where they need it."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from counterfoil.chains.port import Transfer
from counterfoil.core.assets import CHAINS
from counterfoil.core.invoice import Status
from counterfoil.desk import after_end, proving
from counterfoil.desk.desk import Desk
from counterfoil.desk.idempotency import KEPT, Answered
from counterfoil.workers.reconcile import reconcile
from simulation import approved, bodies, opinion
from simulation.chain import Committed, SimulatedChain
from simulation.database import Line, SimulatedDatabase
from simulation.invariants import INVARIANTS, question
from simulation.looking import DUE, STATE
from simulation.outsiders import Ids, World
from simulation.parts import Violation
from simulation.payers import Payable
from simulation.people import Known, Person, Scene, is_refusal

if TYPE_CHECKING:
    from simulation.run import Run

_QUESTIONS: Final = {"always": question("always"), "at rest": question("at rest")}


@dataclass(slots=True)
class _State:
    """What is compared between two steps."""

    hashes: frozenset[str] = frozenset()
    effects: Mapping[str, tuple[str | None, float | None, bool]] = field(default_factory=dict)
    callbacks: Mapping[str, tuple[str | None, float | None, bool]] = field(default_factory=dict)
    cursors: Mapping[str, tuple[str | None, str]] = field(default_factory=dict)
    expired: frozenset[str] = frozenset()
    frozen: frozenset[str] = frozenset()


class Checker(Committed):
    """Whoever looks on. It sees what is committed and what the chain is in truth."""

    def __init__(self, line: Line, world: World, chains: Mapping[str, SimulatedChain]) -> None:
        self.line = line
        self.world = world
        self.chains = chains
        self.people: dict[str, Person] = {}
        self.checks = 0
        self.thawed: list[str] = []
        self.listed: list[str] = []
        self._ever_final: Counter[str] = Counter()
        self._found: Violation | None = None
        self._state = _State()
        self._commits = -1
        self._answers: dict[tuple[str, str], object] = {}
        self.desk = Desk(SimulatedDatabase(line), world.clock, Ids(world.clock, 0), addresses={})

    # ------------------------------------------------------------------ what people see

    async def invoices(self) -> list[Known]:
        rows = await self.ask(
            "SELECT org_id, invoice_id, status, context, version FROM invoice"
            " ORDER BY created_at, invoice_id"
        )
        return [Known(org, one, Status(status), c, v) for org, one, status, c, v in rows]

    async def payable(self) -> list[Payable]:
        """Whatever address can be paid: those of invoices, and one that nobody was given yet."""
        rows = await self.ask(
            """
            SELECT i.deposit_address, i.detail->>'hd_address', i.detail->'hd_chains',
                   array_agg(json_build_array(chain, contract, due_units::text)
                             ORDER BY r.position),
                   (SELECT count(*) FROM transfer AS t
                     WHERE (t.org_id, t.invoice_id) = (i.org_id, i.invoice_id))
              FROM invoice AS i JOIN payment_request AS r USING (org_id, invoice_id)
             GROUP BY i.org_id, i.invoice_id
             ORDER BY i.created_at, i.invoice_id
            """
        )
        return [
            Payable(address, hd, on or (), tuple((c, k, int(u)) for c, k, u in due), received)
            for address, hd, on, due, received in rows
        ]

    async def next_deadline(self) -> float | None:
        """Seconds until the next invoice is due."""
        rows = await self.ask(
            "SELECT min(deadline_at) FROM invoice WHERE deadline_at > %(now)s"
            " AND status IN ('awaiting_payment', 'payment_detected')",
            {"now": self.world.clock.now()},
        )
        found = rows[0][0]
        return None if found is None else (found - self.world.clock.now()).total_seconds()

    async def due(self) -> set[str]:
        """The workers that would find something to do just now."""
        heads = {chain.key: chain.head.number for chain in self.chains.values()}
        rows = await self.ask(
            DUE,
            {
                "now": self.world.clock.now(),
                "keys": list(heads),
                "heads": list(heads.values()),
            },
        )
        return {row[0] for row in rows}

    async def must_have(self, chain: str, tx_hash: str) -> None:
        self.checks += 1
        if not await self.ask(
            "SELECT 1 FROM ingest.chain_tx WHERE chain = %(chain)s AND tx_hash = %(tx_hash)s",
            {"chain": chain, "tx_hash": tx_hash},
        ):
            # Kept, as whoever broadcast it catches whatever is raised here.
            self._found = Violation("I8", f"{tx_hash} was broadcast and is not committed")

    async def knows(self, transfer: Transfer) -> bool:
        return bool(
            await self.ask(
                "SELECT 1 FROM transfer WHERE (chain, tx_hash, log_index, block_hash)"
                " = (%(chain)s, %(tx_hash)s, %(index)s, %(block)s) AND depth > 0",
                {
                    "chain": transfer.chain,
                    "tx_hash": transfer.tx_hash,
                    "index": transfer.log_index,
                    "block": transfer.block_hash,
                },
            )
        )

    async def edges(self) -> Counter[str]:
        """The ways that invoices went, as in the lifecycle's table."""
        rows = await self.ask(
            "SELECT from_status, event, to_status, count(*) FROM invoice_log"
            " WHERE from_status <> to_status GROUP BY 1, 2, 3"
        )
        return Counter({f"{was} by {event} to {to}": count for was, event, to, count in rows})

    def heard(self, scene: Scene, what: str, answer: object) -> None:
        """The same request with the same key must be given the same answer, whenever."""
        if not scene.key or answer is None or is_refusal(answer):
            return
        said = answer.body.decode() if isinstance(answer, Answered) else _said(answer)
        if not said:
            return
        self.checks += 1
        before = self._answers.setdefault((what, scene.key), said)
        if before != said:
            raise Violation("I17", f"{what} with {scene.key} was answered {before}, then {said}")

    # ------------------------------------------------------------------ the invariants

    async def after_step(self, *, when: Any = "always") -> None:  # noqa: ANN401 - one of two words
        """All that is cheap, if anything was committed since the last time."""
        if self._found is not None:
            raise self._found
        commits = self.world.commits()
        if commits == self._commits and when == "always":
            return
        self._commits = commits
        before, self._state = self._state, await self._read_state()
        self._check_leases(before, self._state)
        await self._check_queries(before, when)

    async def looks_anew(self) -> None:
        """What was there before is no measure of what is there now."""
        self._commits, self._state = -1, await self._read_state()

    async def at_rest(self) -> None:
        """Everything, with a look at the chain."""
        await self.after_step(when="at rest")
        for chain in self.chains.values():
            await self._check_credits(chain)
            await self._check_our_calls(chain)
            await self._check_balances(chain)
            self.checks += 6
        await self._check_seals()
        self.checks += 1
        for wrong in await after_end.differences(self.desk):
            raise Violation("I24 list", f"invoice {wrong.invoice_id}: {wrong.finding}")
        await self._check_callbacks()
        self.checks += await bodies.check(self.ask, self.world.receivers.got)

    async def _check_queries(self, before: _State, when: Any) -> None:  # noqa: ANN401 - as above
        self.checks += sum(when in {one.when, "at rest"} for one in INVARIANTS)
        for name, finding in await self.ask(_QUESTIONS[when], self._parameters(before)):
            raise Violation(name, finding)
        self.checks += await opinion.check(self.ask)

    def _parameters(self, before: _State) -> dict[str, object]:
        roles = {uid: person.role for uid, person in self.people.items()}
        return {
            "fresh": sorted(self._state.hashes - before.hashes),
            "just_expired": sorted(self._state.expired - before.expired),
            "keys": list(self.chains),
            "finals": [self._finals(chain) for chain in self.chains.values()],
            "thawed": self.thawed,
            "were_frozen": sorted(before.frozen),
            "listed": self.listed,
            "now": self.world.clock.now(),
            "keys_since": self.world.clock.now() - KEPT,
            "signers": [uid for uid, role in roles.items() if role == "signer"],
            "reviewers": [uid for uid, role in roles.items() if role == "reviewer"],
            "uids": list(self.people),
            "uid_orgs": [person.actor.org_id for person in self.people.values()],
        }

    async def _read_state(self) -> _State:
        ((found,),) = await self.ask(STATE)
        return _State(
            hashes=frozenset(found["hashes"]),
            effects={key: tuple(rest) for key, *rest in found["effects"]},
            callbacks={key: tuple(rest) for key, *rest in found["callbacks"]},
            cursors={key: (token, place) for key, token, place in found["cursors"]},
            expired=frozenset(found["expired"]),
            frozen=frozenset(found["frozen"]),
        )

    def _check_leases(self, before: _State, after: _State) -> None:
        """I19: what another process holds is not completed by the one that acted just now."""
        self.checks += 1
        acting = self.world.acting
        for was, now in ((before.effects, after.effects), (before.callbacks, after.callbacks)):
            for key, (token, until, done) in was.items():
                lapsed = until is None or until <= self.world.clock.now().timestamp()
                if done or token is None or lapsed or not now[key][2]:
                    continue
                holder = Ids.owner_of(UUID(token))
                if holder != acting:
                    raise Violation("I19", f"{key}, held by {holder}, was completed by {acting}")
        for chain, (token, place) in after.cursors.items():
            moved = chain in before.cursors and before.cursors[chain][1] != place
            if moved and token is not None and Ids.owner_of(UUID(token)) != acting:
                holder = Ids.owner_of(UUID(token))
                raise Violation("I19", f"{chain}, leased by {holder}, was recorded by {acting}")

    # ------------------------------------------------------------------ and the chain itself

    async def _check_credits(self, chain: SimulatedChain) -> None:
        """I4: each final transfer to an address of ours is credited or kept aside, as it is."""
        final = await self.final(chain)
        rows = await self.ask("SELECT address FROM ingest.address_owner WHERE family = 'evm'")
        ours = {row[0] for row in rows}
        known = CHAINS[chain.key]
        watched = {asset.contract for asset in (*known.accepted, *known.known_other)}
        truth = {
            (t.tx_hash, t.log_index): (t.contract, t.amount_units, t.from_address, t.block_hash)
            for t in chain.all_transfers(final)
            if t.to_address in ours and t.contract in watched and t.amount_units
        }
        books = await self.ask(
            """
            SELECT tx_hash, log_index, contract, amount_units, from_address, block_hash
              FROM transfer WHERE chain = %(chain)s AND depth = 3
             UNION ALL
            SELECT tx_hash, log_index, contract, amount_units, from_address, block_hash
              FROM ingest.unassigned_transfer
             WHERE chain = %(chain)s AND block_number <= %(final)s
            """,
            {"chain": chain.key, "final": final},
        )
        await self._check_coin(chain, final)
        books = [row for row in books if row[2]]
        times = Counter((row[0], row[1]) for row in books)
        for key, count in times.items():
            if count > 1:
                raise Violation("I4", f"{key} stands in the books {count} times")
        found = {(row[0], row[1]): tuple(row[2:]) for row in books}
        for key in {*truth, *found}:
            if truth.get(key) != found.get(key):
                raise Violation("I4", f"{key}: chain {truth.get(key)}, books {found.get(key)}")

    async def _check_coin(self, chain: SimulatedChain, final: int) -> None:
        """I4 for native coin, which has no log: all that came to each address that asks for it."""
        paid = chain.paid_in_coin(final)
        for address, units in await self.ask(
            """
            SELECT i.deposit_address,
                   coalesce((SELECT sum(amount_units) FROM transfer AS t
                              WHERE (t.org_id, t.invoice_id) = (i.org_id, i.invoice_id)
                                AND (t.chain, t.contract, depth) = (%(chain)s, '', 3)), 0)
              FROM invoice AS i WHERE EXISTS (
                   SELECT FROM payment_request AS r
                    WHERE (r.org_id, r.invoice_id) = (i.org_id, i.invoice_id) AND contract = '')
            """,
            {"chain": chain.key},
        ):
            if paid[address] != units:
                said = f"{address} was paid {paid[address]} wei, the books say {units}"
                raise Violation("I4", said)

    async def _check_our_calls(self, chain: SimulatedChain) -> None:
        """I7, I8, I9: what was mined is what was approved, once, and no nonce is missing."""
        rows = await self.ask(
            """
            SELECT c.tx_hash, m.move_id, m.purpose, CASE m.purpose
                   WHEN 'sweep' THEN o.pool_address WHEN 'restore' THEN o.pool_address
                   WHEN 'quarantine' THEN o.hold_address ELSE m.destination END,
                   m.contract, m.amount_units, coalesce((
                       SELECT l.metadata::jsonb->>'destination'
                         FROM invoice_log AS l, jsonb_array_elements(l.metadata::jsonb->'moves')
                              AS part
                        WHERE (l.org_id, l.invoice_id, l.event)
                            = (m.org_id, m.invoice_id, 'payout_redirected')
                          AND part->>'to' = m.move_id::text
                          AND part->>'amount_units' = m.amount_units::text),
                       i.detail->'payout_to'->>'evm')
              FROM ingest.chain_tx AS c
              LEFT JOIN move AS m ON (m.chain, m.wallet, m.nonce) = (c.chain, c.wallet, c.nonce)
              LEFT JOIN invoice AS i ON (i.org_id, i.invoice_id) = (m.org_id, m.invoice_id)
              LEFT JOIN org AS o ON o.org_id = m.org_id
             WHERE c.chain = %(chain)s
            """,
            {"chain": chain.key},
        )
        carried: dict[str, list[Any]] = defaultdict(list)
        for row in rows:
            carried[row[0]].append(row)
        mined: Counter[UUID] = Counter()
        for _, tx in chain.canonical():
            call = chain.ours.get(tx.tx_hash)
            if call is None:
                continue
            if tx.tx_hash not in carried:
                raise Violation("I8", f"{tx.tx_hash} was mined and is not in the books")
            if call.payment is not None and not tx.reverts:
                mined.update(approved.paid_for(call.payment, carried[tx.tx_hash]))
        for move_id, count in mined.items():
            if count > 1:
                raise Violation("I7", f"move {move_id} was mined {count} times")
        await approved.check_warrants(self.ask, mined)
        await self._check_nonces(chain)

    async def _check_nonces(self, chain: SimulatedChain) -> None:
        for address, next_nonce in await self.ask(
            "SELECT address, next_nonce FROM ingest.wallet"
            " WHERE chain = %(chain)s AND frozen_reason IS NULL",
            {"chain": chain.key},
        ):
            used = await chain.nonce(address, "finalized")
            # Of a wallet without work nobody asks whether somebody else used its key.
            idle = used > next_nonce and address in chain.misused
            if used != next_nonce and not idle:
                msg = f"{address} used {used} nonces, the books say {next_nonce}"
                raise Violation("I9", msg)

    async def _check_balances(self, chain: SimulatedChain) -> None:
        """I3, I24: every address of ours holds to the unit what the books say."""
        async for compared in reconcile(self.desk, chain):
            for difference in compared.differences:
                raise Violation("I24", f"unexplained: {difference}")
        final = await self.final(chain)
        rows = await self.ask(
            """
            WITH side AS (
                SELECT org_id, account, p.invoice_id, contract, units
                  FROM (SELECT *, destination AS account, amount_units AS units FROM posting
                         UNION ALL
                        SELECT *, source, -amount_units FROM posting) AS p
                  JOIN journal_entry AS e USING (org_id, cause)
                 WHERE chain = %(chain)s AND block_number <= %(final)s)
            SELECT d.address, contract, sum(units)
              FROM side JOIN deposit_address AS d USING (org_id, invoice_id)
             WHERE account = 'deposit' GROUP BY 1, 2
             UNION ALL
            SELECT h.address, contract, sum(units)
              FROM side JOIN deposit_address AS d USING (org_id, invoice_id)
              JOIN hd_address AS h USING (org_id, number)
             WHERE account = 'child' GROUP BY 1, 2
             UNION ALL
            SELECT o.hold_address, contract, sum(units) FROM side JOIN org AS o USING (org_id)
             WHERE account IN ('hold', 'hold:coin') GROUP BY 1, 2
             UNION ALL
            SELECT o.pool_address, contract, sum(units) FROM side JOIN org AS o USING (org_id)
             WHERE account IN ('pool', 'pool:coin') GROUP BY 1, 2
             UNION ALL
            SELECT address, contract, sum(amount_units) FROM ingest.unassigned_transfer
             WHERE chain = %(chain)s AND block_number <= %(final)s GROUP BY 1, 2
            """,
            {"chain": chain.key, "final": final},
        )
        books: Counter[tuple[str, str]] = Counter()
        for address, contract, units in rows:
            books[contract, address] += units
        for (contract, address), units in books.items():
            held = chain.holdings(contract, final)[address]
            if held != units:
                msg = f"{address} holds {held} of {contract}, the books say {units}"
                raise Violation("I3", msg)

    async def _check_seals(self) -> None:
        """I11, I12: every seal recomputed by other code, and what was approved is what is there."""
        self.checks += 2
        verified = await proving.verify_audit(self.desk)
        for one in verified.breaks:
            raise Violation("I11", f"{one.invoice_id}, entry {one.sequence}: {one.finding}")
        previous: dict[UUID, bytes] = {}
        for row in await self.ask(
            "SELECT org_id, invoice_id, sequence, from_status, to_status, event, operator_uid,"
            " reason, metadata, request_id, at, seal FROM invoice_log"
            " ORDER BY invoice_id, sequence"
        ):
            before = previous.get(row[1], bytes(32))
            expected = hashlib.sha256(before + _sealed_text(row)).digest()
            if expected != bytes(row[11]):
                raise Violation("I12", f"{row[1]}, entry {row[2]}: its seal is not over the last")
            previous[row[1]] = expected

    async def _check_callbacks(self) -> None:
        """I16: what counts as delivered was received and accepted, in the invoice's order."""
        self.checks += 1
        accepted: dict[str, int] = {}
        for number, one in enumerate(self.world.receivers.got):
            if one.status == 200:
                accepted.setdefault(one.event_id, number)
        last: dict[UUID, int] = {}
        for event_id, invoice_id, status, by_hand in await self.ask(
            "SELECT event_id, invoice_id, status, by_hand FROM outbox ORDER BY sequence"
        ):
            place = accepted.get(f"evt_{event_id.hex}")
            if status == "delivered" and place is None:
                raise Violation("I16", f"{event_id} counts as delivered and was never received")
            if place is None or by_hand:
                continue
            if place < last.get(invoice_id, -1):
                raise Violation("I16", f"{event_id} was accepted before an earlier one")
            last[invoice_id] = place

    def _finals(self, chain: SimulatedChain) -> int:
        """The highest that was ever final; a reorg takes the head back, never what is final."""
        key = chain.key
        self._ever_final[key] = max(self._ever_final[key], chain.final_number)
        return self._ever_final[key]

    async def final(self, chain: SimulatedChain) -> int:
        """The height up to which the watcher has booked."""
        rows = await self.ask(
            "SELECT final_number FROM ingest.chain_cursor WHERE chain = %(chain)s",
            {"chain": chain.key},
        )
        return int(rows[0][0])

    async def ask(self, query: str, parameters: Mapping[str, object] | None = None) -> list[Any]:
        cursor = await self.line.execute(query, parameters)
        return await cursor.fetchall()

    async def stop(self, run: "Run") -> None:
        """Leave nothing of a run behind, however it ended."""
        self.world.dice.calm = True
        for process in (run.web, *run.workers):
            if process.is_paused:
                await process.kill("the end of the run")


def _said(answer: object) -> str:
    """What a client would be answered; empty where an act takes no key."""
    invoice: Any = getattr(answer, "invoice", None)
    return f"{invoice.invoice_id} {invoice.status} {invoice.version}" if invoice else ""


def _sealed_text(row: Any) -> bytes:  # noqa: ANN401 - a row of the log
    fields = {
        "org_id": row[0],
        "invoice_id": str(row[1]),
        "sequence": row[2],
        "from_status": row[3],
        "to_status": row[4],
        "event": row[5],
        "operator_uid": row[6],
        "reason": row[7],
        "metadata": json.loads(row[8]),
        "request_id": row[9],
        "at": row[10].astimezone(UTC).isoformat(timespec="microseconds"),
    }
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()
