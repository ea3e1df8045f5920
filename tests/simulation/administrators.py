"""What administrators do about the places that money may go to, while money is on its way there."""

from typing import TYPE_CHECKING

from counterfoil.desk import payout_addresses
from simulation import people

if TYPE_CHECKING:
    from simulation.run import Run


async def look(run: "Run") -> None:
    """Remove the place that comes and goes, register it again, or approve what another did.

    Nothing of it comes with a key, so whoever gets no answer looks again another time.
    """
    chance = run.dice.random
    org_id = chance.choice((1, 1, 2))
    admin = chance.choice([p for p in run.staff[org_id] if p.role == "administrator"]).actor
    address = people.place(org_id, people.BRANCH)
    desk = run.web.desk
    known = await payout_addresses.registered(desk, admin)
    row = next((one for one in known.addresses if one.address == address), None)
    if row is None:
        run.record.say(f"      administrator {org_id}: registers {address[:8]}")
        await payout_addresses.add(desk, "evm", address, people.BRANCH, by=admin)
    elif row.usable_at is None and row.added_by != admin.uid:
        run.record.say(f"      administrator {org_id}: approves {address[:8]}")
        await payout_addresses.approve(desk, row.payout_address_id, admin)
    else:
        run.record.say(f"      administrator {org_id}: removes {address[:8]}")
        await payout_addresses.remove(desk, row.payout_address_id, admin)
