"""Who may do what: permissions, the roles that bundle them, and four eyes."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from counterfoil.core.errors import Forbidden
from counterfoil.core.events import (
    Accept,
    Approve,
    ApproveRefund,
    Archive,
    Cancel,
    Command,
    Decline,
    DisposeHit,
    Edit,
    Escalate,
    Event,
    OrderRefund,
    Quarantine,
    Recalculate,
    Reject,
    Release,
    SignOff,
    TakeNote,
    WithdrawRefund,
)


class Permission(StrEnum):
    """What a member may be allowed to do (KryptoGO's table of Transfer roles, and our own)."""

    CREATE = "transfer:create"
    APPROVE = "transfer:approve"
    SIGN = "transfer:sign"
    READ = "transfer:read"
    REVIEW = "compliance:review"
    ADMINISTER = "organization:administer"
    AUDIT = "organization:audit"


P = Permission

ROLES: Final = {
    "finance": frozenset({P.CREATE, P.READ}),
    "reviewer": frozenset({P.APPROVE, P.READ}),
    "signer": frozenset({P.SIGN, P.READ}),
    "compliance": frozenset({P.REVIEW, P.READ}),
    "auditor": frozenset({P.AUDIT, P.READ}),
    "administrator": frozenset({P.ADMINISTER, P.AUDIT, P.READ}),
}
"""Role to permissions. A member may hold several roles."""


DECIDES: Final = frozenset({P.APPROVE, P.SIGN, P.REVIEW, P.ADMINISTER})
"""With one of these a person counts where two decide about money, or says who such people are."""


def permissions_of(roles: Iterable[str]) -> frozenset[Permission]:
    """Everything that a member with these roles may do."""
    return frozenset(p for role in roles for p in ROLES[role])


def roles_that_wait(
    held: Collection[str], wanted: Collection[str], giver: frozenset[Permission]
) -> frozenset[str]:
    """Of the roles that somebody with the permissions ``giver`` gives, those that hold only later.

    All that let a member decide what they could not decide before. Whoever approves invoices could
    make their own counterpart even with the making of invoices, so from them that waits as well.
    """
    guarded = DECIDES | {P.CREATE} if P.APPROVE in giver else DECIDES
    new = guarded - permissions_of(held)
    return frozenset(role for role in wanted if ROLES[role] & new)


_OPERATOR: Final = "system:command-line"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: a member (by page or key), or the system itself.

    ``uid`` is what the audit log keeps: ``user_...`` for a member, ``system:watch`` and the like
    for workers. A key acts as the member it belongs to, so both share one ``uid``; one that is
    bound to a client id reaches the invoices that were made with it, and no others.
    """

    uid: str
    org_id: int
    permissions: frozenset[Permission]
    auto_approve: bool = False
    request_id: str | None = None
    client_id: str | None = None

    def reaches(self, client_id: str) -> bool:
        """Whether invoices that were made with this client id are there for the actor at all."""
        return self.client_id is None or self.client_id == client_id

    def require(self, permission: Permission) -> None:
        """Raise `Forbidden` naming the permission when the actor lacks it."""
        if permission not in self.permissions:
            message = f"this needs the permission {permission.value}, which you do not have"
            raise Forbidden(message, data={"missing_permission": permission.value})

    @property
    def is_operator(self) -> bool:
        """Whether it is whoever runs this installation, at its command line."""
        return self.uid == _OPERATOR


def system(part: str, org_id: int) -> Actor:
    """A worker of ours as an actor; it tells facts and needs no permission."""
    return Actor(uid=f"system:{part}", org_id=org_id, permissions=frozenset())


def operator(org_id: int) -> Actor:
    """Whoever runs this installation, at its command line: sets organisations up."""
    return Actor(uid=_OPERATOR, org_id=org_id, permissions=frozenset({P.ADMINISTER, P.READ}))


REQUIRED: Final[dict[type[Command], Permission]] = {
    Edit: P.CREATE,
    Cancel: P.CREATE,
    Archive: P.CREATE,
    Approve: P.APPROVE,
    Reject: P.APPROVE,
    SignOff: P.SIGN,
    OrderRefund: P.SIGN,
    ApproveRefund: P.SIGN,
    WithdrawRefund: P.SIGN,
    Accept: P.SIGN,
    Recalculate: P.SIGN,
    Release: P.REVIEW,
    Decline: P.REVIEW,
    Escalate: P.REVIEW,
    DisposeHit: P.REVIEW,
    Quarantine: P.REVIEW,
    TakeNote: P.REVIEW,
}
"""Which permission each command needs (sources/kryptogo-invoice-payout-api.txt, "Permissions")."""


def require(actor: Actor, event: Event) -> None:
    """Raise `Forbidden` unless the actor may give this command; facts need no permission."""
    if isinstance(event, Command):
        actor.require(REQUIRED[type(event)])
