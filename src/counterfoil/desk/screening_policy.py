"""How an organisation has payments screened, as its settings say."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Final

import msgspec

from counterfoil.core.errors import Invalid
from counterfoil.core.risk_rules import PEOPLE, Policy


class _Bands(msgspec.Struct, frozen=True):
    review: Decimal = Decimal(40)
    hold: Decimal = Decimal(75)


class _RuleSwitch(msgspec.Struct, frozen=True):
    enabled: bool = True


class _Thresholds(msgspec.Struct, frozen=True):
    edd_twd: Decimal = Decimal(500_000)


class _Provider(msgspec.Struct, frozen=True):
    code: str
    required: bool = False


class _Release(msgspec.Struct, frozen=True):
    hold_approvers: int = PEOPLE
    review_approvers: int = PEOPLE


class _Settings(msgspec.Struct, frozen=True):
    """The part of specs/aml.md 4.2 that is in force; other members of the document wait."""

    version: int = 1
    bands: _Bands = _Bands()
    weights: dict[str, int] = {}
    peaks: dict[str, Decimal] = {}
    rules: dict[str, _RuleSwitch] = {}
    thresholds: _Thresholds = _Thresholds()
    lists: dict[str, bool] = {}
    providers: tuple[_Provider, ...] = ()
    list_max_age_hours: int = 72
    release: _Release = _Release()


_ALWAYS_BINDING: Final = frozenset({"OFAC_SDN"})


def policy_of(settings: Mapping[str, object]) -> Policy:
    """An organisation's screening policy (specs/aml.md 4.2), with defaults for what it leaves out.

    Further lists may bind, but no setting frees anybody of OFAC's. Raises `Invalid` naming what
    is wrong.
    """
    try:
        read = msgspec.convert(dict(settings), _Settings)
    except msgspec.ValidationError as error:
        msg = f"the screening policy cannot be read: {error}"
        raise Invalid(msg) from error
    return Policy(
        version=read.version,
        review=read.bands.review,
        hold=read.bands.hold,
        weights=read.weights,
        peaks=read.peaks,
        rules_off=frozenset(code for code, rule in read.rules.items() if not rule.enabled),
        edd_twd=read.thresholds.edd_twd,
        lists=_ALWAYS_BINDING | {code for code, binds in read.lists.items() if binds},
        providers=frozenset(p.code for p in read.providers if p.required),
        list_max_age=timedelta(hours=read.list_max_age_hours),
        review_approvers=read.release.review_approvers,
        hold_approvers=read.release.hold_approvers,
    )
