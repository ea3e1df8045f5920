"""What an administrator asked for and does not hold yet, once nobody trusts them any more."""

import msgspec

from counterfoil.books import bank_accounts, orgs, profiles
from counterfoil.core.roles import Actor
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.org_log import note
from counterfoil.desk.the_org import the_org


async def take_back(desk: Desk, tx: Tx, uid: str, by: Actor) -> None:
    """Take back the looser rules that somebody announced, and doubt the places that they let be.

    Rules that several asked for are taken back whole. A payout address or bank account that is not
    good yet waits for the approval of somebody else, where this one alone registered or approved
    it. The caller holds the organisation.
    """
    now = desk.clock.now()
    policy = (await the_org(tx, by.org_id)).policy
    invoices = policy.invoices.without(uid, now)
    payouts = policy.payouts.without(uid, now)
    returns = policy.returns.without(uid, now)
    changed = {
        "invoices": invoices != policy.invoices,
        "payouts": payouts != policy.payouts,
        "returns": returns != policy.returns,
    }
    if any(changed.values()):
        after = msgspec.structs.replace(policy, payouts=payouts, returns=returns)
        await orgs.save_policy(tx, by.org_id, after.with_invoices(invoices))
    told: dict[str, object] = {
        "rules": [name for name, is_so in changed.items() if is_so],
        "payout_addresses": await profiles.doubt_payout_addresses(tx, by.org_id, uid, now),
        "bank_accounts": await bank_accounts.doubt(tx, by.org_id, uid, now),
    }
    if any(told.values()):
        await note(desk, tx, by, "announced_taken_back", uid, **told)
