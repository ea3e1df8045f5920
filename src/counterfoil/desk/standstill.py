"""Why an invoice does not go on by itself: what happened, where its money is, who gets it going.

For whoever asks of an invoice what nobody can ask there, and who would wait in vain otherwise.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from counterfoil.books.moves import MoveRow
from counterfoil.books.wallets import WalletRow
from counterfoil.core.roles import Actor, Permission
from counterfoil.desk import changed_tokens, moving, objections, redirecting, upkeep
from counterfoil.desk.desk import Desk
from counterfoil.desk.queries import InvoiceView
from counterfoil.desk.redirecting import Standing

_OPERATOR: Final = "whoever runs this installation"
_ORDER: Final = (
    "accept_fees",
    "approve_redirect",
    "approve_payments",
    "redirect",
    "withdraw_payments",
)


@dataclass(frozen=True, slots=True)
class Standstill:
    """What stands still. ``reasons`` are what the machinery wrote down about it.

    ``who`` may do something about it, and how; ``actions`` are those of members upon the invoice,
    in the order in which they help. ``needs`` is whom or what it takes: members and these actions,
    somebody's look at a changed token, whoever runs the installation, or only time.
    """

    reasons: tuple[str, ...]
    money: str
    who: str
    needs: Literal["members", "token", "operator", "time"]
    actions: tuple[str, ...] = ()

    @property
    def happened(self) -> str:
        """The reasons as one sentence."""
        return "; ".join(self.reasons)

    @property
    def by_itself(self) -> bool:
        """Whether it only waits."""
        return self.needs == "time"


async def standstill(
    desk: Desk, view: InvoiceView, names: Mapping[str, str] | None = None
) -> Standstill | None:
    """What of an invoice stands still or waits; None where all of it goes on.

    ``names`` are what the members' actions are called where this is told.
    """
    # Somebody who made and ordered nothing may do whatever can be done.
    anybody = Actor("", view.invoice.org_id, frozenset(Permission))
    standing = await redirecting.standing(desk, view, anybody)
    if standing is not None:
        return _payments(standing, names or {})
    status = view.invoice.status.value
    here = [m for m in view.moves if (m.purpose, status) in moving.RUNS_WHILE]
    parked = [move for move in here if move.status == "parked"]
    if parked:
        return _inward(parked)
    unsigned = [move for move in here if move.status in {"ready", "signed"}]
    for wallet in await upkeep.frozen_wallets(desk) if unsigned else ():
        if any(moving.serves(wallet, move) for move in unsigned):
            return _frozen(wallet)
    ready = [move for move in unsigned if move.status == "ready"]
    if changed := await _runs_something_else(desk, view.invoice.org_id, ready):
        return _changed(changed)
    undeployed = await _undeployed(desk, view.invoice.org_id, ready)
    waits = _reasons(move.wait_reason for move in unsigned)
    if undeployed or not waits:
        return undeployed
    return Standstill(
        waits, "the money is where it was", who="it is tried again by itself", needs="time"
    )


def _reasons(found: Iterable[str | None]) -> tuple[str, ...]:
    """Each once, in the order in which they were found."""
    return tuple(dict.fromkeys(filter(None, found)))


async def _runs_something_else(desk: Desk, org_id: int, ready: list[MoveRow]) -> tuple[str, ...]:
    """Why these would call what nobody of the organisation has looked at, where they would."""
    if not ready:
        return ()
    async with desk.database.reading() as tx:
        changed = await changed_tokens.held(tx, org_id)
    return _reasons(objections.runs_something_else(move, changed) for move in ready)


async def _undeployed(desk: Desk, org_id: int, ready: list[MoveRow]) -> Standstill | None:
    """What keeps back the contract that these need, where only a person gets that going."""
    swept = [m for m in ready if m.purpose in {"sweep", "quarantine"}]
    chains = {move.chain for move in swept if move.deposit_mode == "factory"}
    for held in await upkeep.held_up(desk) if chains else ():
        of_them = held.purpose == "deploy" and held.org_id == org_id and held.chain in chains
        if of_them and held.wait_until is None:
            return Standstill(
                reasons=(f"the contract that sweeps is not on {held.chain} yet: {held.reason}",),
                money="the money is where it was, and with you",
                who=f"{_OPERATOR} has it deployed with counterfoil move retry, for {held.move_id}",
                needs="operator",
            )
    return None


def _changed(reasons: tuple[str, ...]) -> Standstill:
    return Standstill(
        reasons,
        money="the money is where it was, and with you",
        who="a member who may sign looks at the change in Studio, under Changed tokens",
        needs="token",
    )


def _payments(standing: Standing, names: Mapping[str, str]) -> Standstill:
    actions = tuple(name for name in _ORDER if name in standing.actions)
    called = ", ".join(names.get(name, name) for name in actions)
    if standing.short:
        money = "what has left is booked, and what has not is still with you"
    elif standing.waits:
        money = "it may have been paid already, so nothing is sent before that is certain"
    else:
        money = "nothing of it has left, the money is still with you"
    if actions:
        who = f"a signer who did not make this invoice or order its refund can: {called}"
    elif standing.waits:
        who = f"nobody can do anything just now: {standing.waits}"
    else:
        who = (
            "it is not paid to where it goes any more; an administrator registers another payout"
            f" address, and then a signer pays it out there. {standing.barred}"
        )
    reasons = _reasons(move.park_reason for move in standing.parked)
    return Standstill(reasons, money, who.strip(), "members", actions)


def _inward(parked: list[MoveRow]) -> Standstill:
    ids = ", ".join(str(move.move_id) for move in parked)
    return Standstill(
        reasons=_reasons(move.park_reason for move in parked),
        money="the money is where it was, and with you",
        who=f"{_OPERATOR} has it made again with counterfoil move retry, for {ids}",
        needs="operator",
    )


def _frozen(wallet: WalletRow) -> Standstill:
    return Standstill(
        reasons=(f"the wallet {wallet.address} signs nothing: {wallet.frozen_reason}",),
        money="what was not sent yet is where it was",
        who=f"{_OPERATOR} looks at the chain and lets it sign again with counterfoil wallet thaw",
        needs="operator",
    )
