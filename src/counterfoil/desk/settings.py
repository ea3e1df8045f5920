"""What an organisation may set: the rules that its new invoices start with."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Final, get_args

import msgspec

from counterfoil.books import orgs
from counterfoil.core import quoting
from counterfoil.core.assets import CHAINS
from counterfoil.core.errors import Invalid
from counterfoil.core.invoice import DepositMode, Policy, names_in
from counterfoil.core.loosening import stricter
from counterfoil.core.roles import Actor, Permission, operator
from counterfoil.core.slowly import Slowly
from counterfoil.db.pool import Tx
from counterfoil.desk import rates
from counterfoil.desk.desk import Desk
from counterfoil.desk.org_log import note
from counterfoil.desk.the_org import the_org

LEAST_WINDOW_SECONDS: Final = 60
"""Less is over before a customer has opened their wallet."""
MOST_WINDOW_SECONDS: Final = 90 * 24 * 3600
"""A rate that is held for longer gives the customer a free bet against the merchant."""
MOST_GRACE_DAYS: Final = 366
MOST_SOFT_DOLLARS: Final = 10_000
MOST_SURPLUS_DOLLARS: Final = 10_000
"""What is worth more is confirmed when it is final, whatever anybody sets (specs/chains.md 6.3)."""
MOST_SOURCES_LENGTH: Final = 200
_PLACES: Final = 6
_LEAST_PAID: Final = Decimal("0.9")
_MOST_PAID: Final = 2
_YEAR_MINUTES: Final = 366 * 24 * 60


async def rules_of(desk: Desk, by: Actor) -> Slowly[Policy]:
    """The rules as they are, and what is announced. Raises `Forbidden`."""
    by.require(Permission.READ)
    async with desk.database.reading() as tx:
        org = await the_org(tx, by.org_id)
    return org.policy.invoices


async def policy_of(desk: Desk, by: Actor) -> Policy:
    """The rules as they are. Raises `Forbidden`."""
    return (await rules_of(desk, by)).in_force(desk.clock.now())


async def change_policy(
    desk: Desk, org_id: int, changes: Mapping[str, str], *, by: Actor | None = None
) -> Policy:
    """Set policy values given as text, and answer the policy as it then is.

    ``by`` is the administrator who does so, None at the command line. What an administrator makes
    looser holds only after the waiting that payout rules have; the operator's word holds at once.
    What was announced before goes on waiting, but for the rules that are named here: of those, this
    is the last word, so naming one with its present value takes it back. Invoices that exist keep
    the rules they were created with. Raises `Invalid` naming a setting that does not exist or a
    value that it cannot take, `NotFound` for an unknown organisation, `Forbidden`; then nothing is
    changed.
    """
    operator = _operator(by, org_id)

    async def change(tx: Tx) -> Policy:
        await orgs.hold(tx, org_id)
        org = await the_org(tx, org_id)
        now = desk.clock.now()
        slowly = org.policy.invoices
        present = slowly.in_force(now)
        wanted = _changed(slowly.to_come(now), changes)
        await _check_sources(desk, tx, present, wanted)
        if by is None:
            after = _at_once(slowly, changes, now)
        else:
            wait = org.policy.payouts.in_force(now).wait
            after = slowly.changed(wanted, now, wait, stricter, by.uid)
        told = _told(slowly, after, now)
        if told:
            await orgs.save_policy(tx, org_id, org.policy.with_invoices(after))
            await note(desk, tx, operator, "policy_changed", "", **told)
        return after.in_force(now)

    return await desk.database.run(change)


def _at_once(slowly: Slowly[Policy], changes: Mapping[str, str], now: datetime) -> Slowly[Policy]:
    """What an operator asks for holds now; what was announced of other rules goes on waiting."""
    if not changes:
        return slowly
    rules, to_come = (_changed(p, changes) for p in (slowly.in_force(now), slowly.to_come(now)))
    if to_come == rules:
        return Slowly(rules)
    return Slowly(rules, to_come, slowly.next_at, slowly.asked_by)


def _told(before: Slowly[Policy], after: Slowly[Policy], now: datetime) -> dict[str, object]:
    """What the log says: each rule that changed, before and after; what waits; what does not."""
    present, announced = before.in_force(now), before.announced(now)
    told: dict[str, object] = dict(_differences(present, after.in_force(now)))
    waits = after.announced(now)
    waited = _differences(present, announced or present)
    waiting = _differences(after.in_force(now), waits or after.in_force(now))
    is_news = waiting != waited or after.next_at != before.next_at
    if waits is not None and after.next_at is not None and is_news:
        told["later"] = waiting
        told["from"] = after.next_at.isoformat()
    gone = {name: values for name, values in waited.items() if name not in waiting}
    if gone:
        told["taken_back"] = gone
    return told


def _differences(before: Policy, after: Policy) -> dict[str, list[object]]:
    old, new = msgspec.to_builtins(before), msgspec.to_builtins(after)
    return {name: [value, new[name]] for name, value in old.items() if new[name] != value}


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
        org = await the_org(tx, org_id)
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


async def _check_sources(desk: Desk, tx: Tx, before: Policy, after: Policy) -> None:
    """Refuse rules by which nothing could be priced, as too few sources say anything."""
    wanted = names_in(after.rate_sources)
    if wanted == names_in(before.rate_sources) and after.rate_sources_agree <= (
        before.rate_sources_agree
    ):
        return
    speaking = await rates.sources(desk, tx)
    known = frozenset[str]().union(*speaking.values())
    unknown = sorted(set(wanted) - known)
    there = ", ".join(sorted(known)) or "none"
    if unknown:
        raise Invalid.field("rate_sources", f"{unknown[0]} said nothing of late; there is {there}")
    for pair, told in speaking.items():
        counted = told.intersection(wanted) if wanted else told
        if not counted:
            sentence = (
                f"would leave nobody for {pair}, of which only {', '.join(sorted(told))} speaks"
            )
            raise Invalid.field("rate_sources", sentence)
        if after.rate_sources_agree > len(counted):
            sentence = f"must be at most {len(counted)}, as so many sources count for {pair}"
            raise Invalid.field("rate_sources_agree", sentence)


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
        if not text.isascii():
            raise Invalid.field(name, "must be written with plain digits and letters")
        try:
            # Strict where it matters: text becomes a number or a truth value, nothing else.
            values |= {name: text}
            msgspec.convert(values, Policy, strict=False)
        except msgspec.ValidationError as error:
            raise Invalid.field(name, f"cannot be {text!r}: {_wanted(name)}") from error
    found = msgspec.convert(values, Policy, strict=False) if changes else policy
    _check(policy, found)
    return found


def _refused(name: str, sentence: str, **bounds: float | Decimal) -> Invalid:
    """A refusal that has its bounds as data as well, for those who write them in other units."""
    return Invalid(f"{name}: {sentence}", fields={name: sentence}, data=bounds)


def _outside(
    name: str, least: float | Decimal, most: float | Decimal, *, or_null: bool = False
) -> Invalid:
    sentence = f"must be from {least} to {most}"
    if or_null:
        sentence = f"must be from {least} to {most}, or null for no such rule"
    return _refused(name, sentence, least=least, most=most)


def _wanted(name: str) -> str:
    """What a rule can be; a clause of its own, for translators."""
    match getattr(Policy(), name):
        case bool():
            return "only yes or no"
        case int():
            return "only a whole number"
        case Decimal():
            return "only a plain number, such as 0.99"
        case None:
            return "only a number, or nothing for no such rule"
        case _:
            return "only one of the words that are offered"


def _is_short(value: Decimal) -> bool:
    """Whether a number is as people write it.

    Every transfer is compared with these in whole numbers: ``1e-4000000`` would keep all workers
    busy for good, with the payments of every organisation.
    """
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -_PLACES and value.adjusted() <= _PLACES


def _check(before: Policy, after: Policy) -> None:
    """Refuse rules under which money could be lost by a slip of the pen.

    Bounds are asked of what is changed, so that a value from before there were any stands in
    nobody's way; how values fit each other is asked of all.
    """
    _check_bounds(_alone(before, after))
    _check_relations(after)


def _alone(before: Policy, after: Policy) -> Policy:
    """What is changed, beside values that everybody begins with."""
    names = [field.name for field in fields(after)]
    values = {name: getattr(after, name) for name in names}
    return Policy(**{n: v for n, v in values.items() if v != getattr(before, n)})


def _check_bounds(policy: Policy) -> None:
    for field in fields(policy):
        value = getattr(policy, field.name)
        if isinstance(value, Decimal) and not _is_short(value):
            sentence = f"must be a plain number with at most {_PLACES} digits after the point"
            raise Invalid.field(field.name, sentence)
    if not _LEAST_PAID <= policy.underpay_ratio <= 1:
        raise _outside("underpay_ratio", _LEAST_PAID, 1)
    if not 1 <= policy.overpay_ratio <= _MOST_PAID:
        raise _outside("overpay_ratio", 1, _MOST_PAID)
    if not LEAST_WINDOW_SECONDS <= policy.receipt_window_seconds <= MOST_WINDOW_SECONDS:
        raise _outside("receipt_window_seconds", LEAST_WINDOW_SECONDS, MOST_WINDOW_SECONDS)
    if not 0 <= policy.grace_days <= MOST_GRACE_DAYS:
        raise _outside("grace_days", 0, MOST_GRACE_DAYS)
    if not 0 <= policy.dust_below <= 1:
        raise Invalid.field("dust_below", "must be from 0 to 1 whole coin")
    _check_rules(policy)
    _check_rates(policy)
    _check_finality(policy)
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
        ("auto_refund_surplus_below_usd", 1, MOST_SURPLUS_DOLLARS),
    )
    for name, least, most in bounds:
        value = getattr(policy, name)
        if value is not None and not least <= value <= most:
            raise _outside(name, least, most, or_null=True)


def _check_relations(policy: Policy) -> None:
    """Refuse rules that contradict each other."""
    from_units, least_ratio = policy.auto_accept_underpaid_from, policy.underpay_ratio
    if from_units is not None and from_units >= least_ratio:
        sentence = f"must be below underpay_ratio, which is {least_ratio}: more is no shortfall"
        raise _refused("auto_accept_underpaid_from", sentence, below=least_ratio)
    to, most_ratio = policy.auto_accept_overpaid_to, policy.overpay_ratio
    if to is not None and to <= most_ratio:
        sentence = f"must be above overpay_ratio, which is {most_ratio}: less is no surplus"
        raise _refused("auto_accept_overpaid_to", sentence, above=most_ratio)
    accepts, recalculates = policy.auto_accept_late_minutes, policy.auto_recalculate_late_minutes
    if accepts is not None and recalculates is not None and recalculates <= accepts:
        sentence = f"must be more than auto_accept_late_minutes, which is {accepts}"
        raise Invalid.field("auto_recalculate_late_minutes", sentence)


def _check_rates(policy: Policy) -> None:
    """Refuse ways of pricing that nobody means."""
    bounds: tuple[tuple[str, int, int], ...] = (
        ("rate_spread_bps", 0, quoting.MOST_SPREAD_BPS),
        ("rate_max_age_seconds", 30, 86_400),
        ("rate_sources_agree", 1, quoting.MOST_SOURCES),
        ("rate_agree_within_bps", 1, 1_000),
    )
    for name, least, most in bounds:
        value = getattr(policy, name)
        if value is not None and not least <= value <= most:
            raise _outside(name, least, most)
    if len(policy.rate_sources) > MOST_SOURCES_LENGTH or not policy.rate_sources.isprintable():
        raise Invalid.field("rate_sources", "must be names of sources, separated by commas")


def _check_finality(policy: Policy) -> None:
    if not 0 <= policy.confirm_soft_below_usd <= MOST_SOFT_DOLLARS:
        raise _outside("confirm_soft_below_usd", 0, MOST_SOFT_DOLLARS)
    for name in names_in(policy.confirm_soft_chains):
        if name not in CHAINS:
            sentence = f"{name} is none of {', '.join(CHAINS)}"
            raise Invalid.field("confirm_soft_chains", sentence)
