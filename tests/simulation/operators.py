"""What operators do about money that stands still: thaw wallets, bring gas money, deploy again."""

from contextlib import suppress
from typing import TYPE_CHECKING

from counterfoil.core.errors import OutOfPlace
from counterfoil.desk import provisioning, upkeep
from counterfoil.desk.provisioning import FuelLevels
from counterfoil.workers.thawing import thaw
from simulation.outsiders import SimulatedSigner
from support.till import ETHER

if TYPE_CHECKING:
    from simulation.run import Run


async def look(run: "Run") -> list[str]:
    """Answers what was done; one who is killed in the middle has done a part of it."""
    desk = run.web.desk
    said: list[str] = []
    for wallet in await upkeep.frozen_wallets(desk):
        chain = run.web.chains[wallet.chain]
        # Before it is done, as whoever does it may die of it.
        run.checker.thawed.append(wallet.address)
        # All nodes have to say twice what became of a nonce, minutes apart.
        with suppress(OutOfPlace):
            await thaw(
                desk,
                chain,
                SimulatedSigner(run.world.signer, run.web.life),
                wallet.address,
                by="operator",
                reason="looked at it",
                explained=range(1_000_000),
            )
            said.append(f"thawed {wallet.role} {wallet.address[:8]}")
    for move in await upkeep.held_up(desk):
        if move.purpose == "deploy" and move.wait_until is None:
            # All sweeps of the organisation wait for it.
            with suppress(OutOfPlace):
                why = {"by": "operator", "reason": "looked at it"}
                await upkeep.retry(desk, move.org_id, move.move_id, **why)
                said.append(f"had the factory of {move.org_id} deployed again on {move.chain}")
    levels = FuelLevels()
    low = await provisioning.low_stations(
        desk, low_wei=levels.low_wei, target_wei=levels.target_wei
    )
    for station, key in sorted({(one.gas_address, one.wallet.chain) for one in low}):
        chain = run.chains[key]
        if not any(move.to_address == station for tx in chain.pool for move in tx.moves):
            chain.pay("", station, ETHER)
            said.append(f"brought gas money to {station[:8]}")
    if said:
        run.record.say(f"      operator: {', '.join(said)}")
    return said
