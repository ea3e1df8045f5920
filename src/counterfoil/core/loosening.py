"""Which rules about invoices are looser than others: rule by rule, for the organisation's money.

Looser is what fewer people look at, what forgives more, what is believed sooner or of more, and
what binds the merchant to a rate for longer.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from counterfoil.core.assets import CHAINS
from counterfoil.core.invoice import Policy, names_in

_IsLooser = Callable[[Any, Any], bool]
"""Whether a rule's new value, the second one, is looser than its present one."""


def _less(present: Any, to: Any) -> bool:  # noqa: ANN401 - numbers and truth values alike
    return bool(to < present)


def _more(present: Any, to: Any) -> bool:  # noqa: ANN401 - as above
    return bool(to > present)


def _reaches_lower(present: Any, to: Any) -> bool:  # noqa: ANN401 - as above
    return to is not None and (present is None or to < present)


def _reaches_higher(present: Any, to: Any) -> bool:  # noqa: ANN401 - as above
    return to is not None and (present is None or to > present)


def _unbounded(present: Any, to: Any) -> bool:  # noqa: ANN401 - as above
    return present is not None and (to is None or to > present)


def _decides_alone(_present: str, to: str) -> bool:
    return to != "resolve"


def _soon_on_more_chains(present: str, to: str) -> bool:
    return not _chains(to) <= _chains(present)


def _believes_others(present: str, to: str) -> bool:
    """Sources that did not count before; no names stand for all that there are."""
    return bool(present) and not (to and set(names_in(to)) <= set(names_in(present)))


def _chains(text: str) -> frozenset[str]:
    return frozenset(names_in(text) or CHAINS)


LOOSER: Final[Mapping[str, _IsLooser]] = {
    "approval_required": _less,
    "sign_off_required": _less,
    "maker_is_not_checker": _less,
    "underpay_ratio": _less,
    "overpay_ratio": _more,
    "overpaid": _decides_alone,
    "several_payers": _decides_alone,
    "receipt_window_seconds": _more,
    "grace_days": _more,
    "confirm_soft_below_usd": _more,
    "dust_below": _more,
    "auto_accept_underpaid_from": _reaches_lower,
    "auto_accept_overpaid_to": _reaches_higher,
    "auto_accept_late_minutes": _reaches_higher,
    "auto_recalculate_late_minutes": _reaches_higher,
    "auto_recalculate_late_from": _less,
    "auto_accept_several_payers": _more,
    "auto_refund_surplus_below_usd": _reaches_higher,
    "confirm_soft_chains": _soon_on_more_chains,
    "rate_spread_bps": _less,
    "rate_max_age_seconds": _unbounded,
    "rate_sources": _believes_others,
    "rate_sources_agree": _less,
    "rate_agree_within_bps": _more,
}
"""Each rule of `Policy`, with what is looser there."""

_TOGETHER: Final = frozenset({"rate_sources", "rate_sources_agree"})
"""Of one without the other, more sources might have to agree than count, and nothing be priced."""


def is_looser(name: str, present: Policy, to: Policy) -> bool:
    """Whether a rule becomes looser."""
    before, after = getattr(present, name), getattr(to, name)
    return before != after and LOOSER[name](before, after)


def stricter(present: Policy, to: Policy) -> Policy:
    """What may hold at once of the rules that somebody asks for: all that are not looser."""
    waits = {name for name in LOOSER if is_looser(name, present, to)}
    if waits & _TOGETHER:
        waits |= _TOGETHER
    return replace(to, **{name: getattr(present, name) for name in waits})
