"""Where money may go: registered by one person, approved by another, good after a while.

The same for payout addresses and for bank accounts (specs/reliability.md T34).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from counterfoil.core import lookalike
from counterfoil.core.errors import Forbidden, Invalid
from counterfoil.core.payout_rules import PayoutRules
from counterfoil.core.roles import Actor, Permission
from counterfoil.db.pool import Tx
from counterfoil.desk.the_org import the_org


@dataclass(frozen=True, slots=True)
class Known:
    """A registered place: what it is called, where it is, and that as people may read it."""

    label: str
    place: str
    shown: str


async def rules_of(tx: Tx, org_id: int, now: datetime) -> PayoutRules:
    """What an organisation asks of such places. Raises `NotFound`."""
    org = await the_org(tx, org_id)
    return org.policy.payouts.in_force(now)


def must_be_another(added_by: str | None, by: Actor) -> None:
    """Raise `Forbidden` for who added what they are about to approve."""
    if added_by == by.uid:
        raise Forbidden("whoever added it does not approve it; ask another person")


def may_approve(added_by: str | None, by: Actor) -> bool:
    """Whether a member may approve a place that waits for that: who added it may not."""
    return Permission.ADMINISTER in by.permissions and added_by != by.uid


def must_look_like_no_other(known: Iterable[Known], new: Known, field: str) -> None:
    """Refuse what people would take for what is registered when they choose or compare it.

    Raises `Invalid` at ``label``, or at ``field`` for the place itself.
    """
    for one in known:
        same = lookalike.skeleton(one.label) == lookalike.skeleton(new.label)
        if same and one.place != new.place:
            sentence = f"looks like {one.label}, which is registered; give it a name of its own"
            raise Invalid.field("label", sentence)
        if lookalike.address_looks_like(one.place, new.place):
            raise Invalid.field(
                field,
                f"begins and ends like {one.label} ({one.shown}) and is another; such twins are"
                " made to be copied by mistake",
            )
