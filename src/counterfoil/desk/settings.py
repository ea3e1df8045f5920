"""What an organisation may set: the rules that its new invoices start with."""

from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Final, get_args

import msgspec

from counterfoil.books import orgs
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Invalid, NotFound
from counterfoil.core.invoice import DepositMode, Policy
from counterfoil.core.roles import Actor, Permission, operator
from counterfoil.db.pool import Tx
from counterfoil.desk.desk import Desk
from counterfoil.desk.org_log import note

_YEAR_MINUTES: Final = 366 * 24 * 60


async def policy_of(desk: Desk, by: Actor) -> Policy:
    """The rules as they are. Raises `Forbidden`."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        org = await orgs.get(tx, by.org_id)
    if org is None:
        raise NotFound(f"there is no organisation {by.org_id}")
    return org.policy.invoice


async def change_policy(
    desk: Desk, org_id: int, changes: Mapping[str, str], *, by: Actor | None = None
) -> Policy:
    """Set policy values given as text, and answer the policy as it then is.

    ``by`` is the administrator who does so, None at the command line. Invoices that exist keep
    the rules they were created with. Raises `Invalid` naming a setting that does not exist or a
    value that it cannot take, `NotFound` for an unknown organisation, `Forbidden`; then nothing is
    changed.
    """
    operator = _operator(by, org_id)

    async def change(tx: Tx) -> Policy:
        await orgs.hold(tx, org_id)
        org = await orgs.get(tx, org_id)
        if org is None:
            raise NotFound(f"there is no organisation {org_id}")
        policy = _changed(org.policy.invoice, changes)
        before, after = msgspec.to_builtins(org.policy.invoice), msgspec.to_builtins(policy)
        told = {name: [old, after[name]] for name, old in before.items() if after[name] != old}
        if told:
            await orgs.save_policy(tx, org_id, msgspec.structs.replace(org.policy, invoice=policy))
            await note(desk, tx, operator, "policy_changed", "", **told)
        return policy

    return await desk.database.run(change)


async def choose_deposits(
    desk: Desk, org_id: int, chain: str | None, mode: str | None, *, by: Actor | None = None
) -> dict[str, DepositMode]:
    """Set how new invoices are paid on a chain, and answer the mode of every chain as it then is.

    Changes nothing where no chain is named. Invoices that exist keep their addresses. Raises
    `Invalid` for an unknown chain or mode, `NotFound` for an unknown organisation, `Forbidden`.
    """
    operator = _operator(by, org_id)

    async def choose(tx: Tx) -> dict[str, DepositMode]:
        if chain is not None:
            await orgs.hold(tx, org_id)
        org = await orgs.get(tx, org_id)
        if org is None:
            raise NotFound(f"there is no organisation {org_id}")
        chosen = dict(org.policy.deposits)
        if chain is not None:
            before = chosen.get(_chain(chain), "factory")
            chosen[chain] = _mode(mode)
            await note(
                desk, tx, operator, "deposits_changed", chain, before=before, after=chosen[chain]
            )
            policy = msgspec.structs.replace(org.policy, deposits=chosen)
            await orgs.save_policy(tx, org_id, policy)
        return {key: chosen.get(key, "factory") for key in CHAINS}

    return await desk.database.run(choose)


def _operator(by: Actor | None, org_id: int) -> Actor:
    """Who is written down. Raises `Forbidden` for a member who does not administer."""
    if by is None:
        return operator(org_id)
    by.require(Permission.ADMINISTER)
    return by


def _chain(key: str) -> str:
    if key not in CHAINS:
        raise Invalid.field("chain", f"must be one of {', '.join(CHAINS)}")
    return key


def _mode(text: str | None) -> DepositMode:
    match text:
        case "factory" | "hd":
            return text
        case _:
            raise Invalid.field("mode", f"must be one of {', '.join(get_args(DepositMode))}")


def _changed(policy: Policy, changes: Mapping[str, str]) -> Policy:
    known = {field.name for field in fields(policy)}
    values: dict[str, object] = msgspec.to_builtins(policy)
    for name, text in changes.items():
        if name not in known:
            raise Invalid.field(name, f"is no setting; there are {', '.join(sorted(known))}")
        try:
            # Strict where it matters: text becomes a number or a truth value, nothing else.
            values |= {name: text}
            msgspec.convert(values, Policy, strict=False)
        except msgspec.ValidationError as error:
            raise Invalid.field(name, f"cannot be {text!r}: {error}") from error
    found = msgspec.convert(values, Policy, strict=False) if changes else policy
    _check(found)
    return found


def _check(policy: Policy) -> None:
    """Refuse rules under which money could be lost by a slip of the pen."""
    for name in ("underpay_ratio", "overpay_ratio", "dust_below"):
        if not getattr(policy, name).is_finite():
            raise Invalid.field(name, "must be a plain number")
    if not 0 < policy.underpay_ratio <= 1:
        raise Invalid.field("underpay_ratio", "must be above 0 and at most 1")
    if policy.overpay_ratio < 1:
        raise Invalid.field("overpay_ratio", "must be at least 1")
    if policy.receipt_window_seconds <= 0 or policy.grace_days < 0:
        raise Invalid.field("receipt_window_seconds", "and grace_days must not be negative")
    if not 0 <= policy.dust_below <= 1:
        raise Invalid.field("dust_below", "must be from 0 to 1 whole coin")
    _check_rules(policy)
    if not policy.sign_off_required:
        sentence = "must stay true: over this API the merchant signs for every payment"
        raise Invalid.field("sign_off_required", sentence)


def _check_rules(policy: Policy) -> None:
    """Refuse rules that could never apply, or that would take whatever comes."""
    bounds: tuple[tuple[str, float, float], ...] = (
        ("auto_accept_underpaid_from", 0.5, 1),
        ("auto_accept_overpaid_to", 1, 2),
        ("auto_accept_late_minutes", 1, _YEAR_MINUTES),
        ("auto_recalculate_late_minutes", 1, _YEAR_MINUTES),
        ("auto_recalculate_late_from", 0.5, 2),
    )
    for name, least, most in bounds:
        value = getattr(policy, name)
        if isinstance(value, Decimal) and not value.is_finite():
            raise Invalid.field(name, "must be a plain number")
        if value is not None and not least <= value <= most:
            sentence = f"must be from {least} to {most}, or null for no such rule"
            raise Invalid.field(name, sentence)
    from_units, least_ratio = policy.auto_accept_underpaid_from, policy.underpay_ratio
    if from_units is not None and from_units >= least_ratio:
        sentence = f"must be below underpay_ratio, which is {least_ratio}: more is no shortfall"
        raise Invalid.field("auto_accept_underpaid_from", sentence)
    to, most_ratio = policy.auto_accept_overpaid_to, policy.overpay_ratio
    if to is not None and to <= most_ratio:
        sentence = f"must be above overpay_ratio, which is {most_ratio}: less is no surplus"
        raise Invalid.field("auto_accept_overpaid_to", sentence)
    accepts, recalculates = policy.auto_accept_late_minutes, policy.auto_recalculate_late_minutes
    if accepts is not None and recalculates is not None and recalculates <= accepts:
        sentence = f"must be more than auto_accept_late_minutes, which is {accepts}"
        raise Invalid.field("auto_recalculate_late_minutes", sentence)
