"""The second phase: no more faults, and everything that waits for us must come to rest in time."""

import itertools
from typing import TYPE_CHECKING, Final

from counterfoil.workers.lists import import_list
from simulation import operators
from simulation.parts import NOT_HELD, Violation
from support.bureau import sdn

if TYPE_CHECKING:
    from simulation.run import Run

MINUTES: Final = 90
"""Simulated minutes in which all but callbacks must have ended (I25)."""

DAYS_OF_CALLBACKS: Final = 5
"""A callback is tried for 75 hours before it is parked."""

_SELDOM: Final = frozenset({"price", "provision", "fuel", "children", "tidy", "retell", "attach"})

_OPEN: Final = f"""
SELECT (SELECT count(*) FROM move AS m WHERE status = 'signed'
            OR (status = 'ready'
                -- For people: what was found after they approved a refund.
                AND NOT starts_with(coalesce(wait_reason, ''), 'screening ') AND EXISTS (
                SELECT FROM ingest.wallet AS w WHERE (w.org_id, w.chain) = (m.org_id, m.chain))
                {NOT_HELD}))
     + (SELECT count(*) FROM effect WHERE done_at IS NULL)
     + (SELECT count(*) FROM transfer WHERE depth IN (1, 2))
     + (SELECT count(*) FROM ingest.chain_tx WHERE status IN ('signed', 'sent'))
     + (SELECT count(*) FROM invoice WHERE status IN ('payment_detected', 'screening')),
       (SELECT count(*) FROM outbox WHERE status = 'pending'),
       (SELECT min(due_at) FROM outbox WHERE status = 'pending')
"""

_OPEN_MOVES: Final = """
SELECT org_id, chain, purpose, status, move_id, wait_reason FROM move
 WHERE status IN ('ready', 'signed') ORDER BY created_at, move_id
"""


async def drain(run: "Run") -> None:
    """Let workers and chains go on until nothing is open; `Violation` I25 where that never is."""
    world = run.world
    world.risky.clear()
    world.silent.clear()
    for chain in run.chains.values():
        chain.faults.lag_blocks = 0
        chain.frozen.clear()
    await import_list(run.checker.desk, sdn("0x098b716b8aaf21512996dc57eb0615e2383e2f96"), "drain")
    began = world.clock.now()
    told = None
    idle = 0
    for number in itertools.count():
        before = world.commits()
        await _round(run, number)
        idle = idle + 1 if world.commits() == before else 0
        helped = await operators.look(run)
        await run.checker.after_step()
        ((open_, callbacks, due_at),) = await run.checker.ask(_OPEN)
        passed = world.clock.now() - began
        if not open_ and not callbacks and not helped:
            # What was sent last becomes final and is read, so that books and chain can be compared.
            heights = {key: chain.final_number for key, chain in run.chains.items()}
            for last in range(3):
                await _round(run, 4 * last)
            ((open_, callbacks, due_at),) = await run.checker.ask(_OPEN)
            read = [await run.checker.final(run.chains[key]) >= n for key, n in heights.items()]
            if not open_ and not callbacks and all(read):
                break
        if open_ and passed.total_seconds() > MINUTES * 60 and told is None:
            await run.checker.after_step(when="at rest")
            moves = await run.checker.ask(_OPEN_MOVES)
            what = "; ".join(map(str, moves))
            raise Violation("I25", f"{open_} are still open after {MINUTES} minutes: {what}")
        if not open_:
            told = told or passed
            if passed.days > DAYS_OF_CALLBACKS:
                raise Violation("I25", f"{callbacks} callbacks are neither delivered nor parked")
            if due_at is not None:
                world.pass_time(max((due_at - world.clock.now()).total_seconds(), 0))
        # Pauses before something is tried again double, up to a quarter of an hour.
        world.pass_time(min(20 * 2**idle, 300))


async def _round(run: "Run", number: int) -> None:
    for chain in run.chains.values():
        run.world.pass_time(2)
        chain.mine(6)
    worker = run.workers[number % len(run.workers)]
    for name, step in worker.steps.items():
        if name in _SELDOM and number % 4:
            continue
        again = 30
        while await worker.do(name, step) and again:
            again -= 1
            await run.checker.after_step()
        await run.checker.after_step()
