"""Where an organisation lets its payment pages lead customers back to (`core.returning`)."""

import msgspec

from counterfoil.books import orgs
from counterfoil.core.returning import ReturnRules, read_origins
from counterfoil.core.roles import Actor, Permission
from counterfoil.core.slowly import Slowly
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.org_log import note
from counterfoil.desk.the_org import the_org


async def rules_of(desk: Desk, by: Actor) -> Slowly[ReturnRules]:
    """The rules as they are, and what is announced. Raises `Forbidden`."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        return (await the_org(tx, by.org_id)).policy.returns


async def change_rules(desk: Desk, lines: str, by: Actor) -> Slowly[ReturnRules]:
    """Have customers led back to these origins only, one a line; nothing typed allows all.

    What is stricter holds at once, for invoices that exist as well; what is looser after the
    waiting that payout rules have. Raises `Forbidden`, and `Invalid` naming ``return_origins``.
    """
    by.require(Permission.ADMINISTER)
    wanted = ReturnRules(read_origins(lines))

    async def work(tx: Tx) -> Slowly[ReturnRules]:
        await orgs.hold(tx, by.org_id)
        org = await the_org(tx, by.org_id)
        now = desk.clock.now()
        before, wait = org.policy.returns, org.policy.payouts.in_force(now).wait
        after = before.changed(wanted, now, wait, ReturnRules.with_stricter, by.uid)
        if (after.rules, after.next_rules) == (before.in_force(now), before.announced(now)):
            return before
        await orgs.save_policy(tx, by.org_id, msgspec.structs.replace(org.policy, returns=after))
        told: dict[str, object] = {
            "before": _told(before.in_force(now)),
            "after": _told(after.rules),
        }
        if after.next_rules is not None and after.next_at is not None:
            told |= {"later": _told(after.next_rules), "from": after.next_at.isoformat()}
        await note(desk, tx, by, "return_origins_changed", "", **told)
        return after

    return await desk.database.run(work)


def _told(rules: ReturnRules) -> str:
    return " ".join(rules.origins) or "any"
