"""The facts that a risk assessment looks at, as plain values (specs/aml.md 2, 5 and 9).

Workers gather them, `counterfoil.core.risk` judges them, and each knows how it stands in the
``kya_record`` of a payment.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from itertools import chain
from types import MappingProxyType
from typing import Final, Literal

from counterfoil.core.money import plain_text

LISTED: Final = frozenset({"exact_address", "same_key"})
"""Hits that an entry of a list made, and that may mean somebody else."""

Match = Literal["exact_address", "same_key", "issuer_freeze", "provider"]
Stage = Literal[
    "payment_confirmed", "pre_sweep", "pre_payout", "pre_refund", "rescreen", "simulation"
]


class Severity(StrEnum):
    """A vendor's word about an address; ``UNKNOWN`` is an answer, a failure is not."""

    NONE = "NONE"
    LOW = "LOW"
    UNKNOWN = "UNKNOWN"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    SEVERE = "SEVERE"


EXPOSURE_SCALES: Final[Mapping[str, tuple[int, Fraction]]] = MappingProxyType(
    {
        "sanctions": (100, Fraction(1, 10)),
        "terrorism": (100, Fraction(1, 10)),
        "csam": (100, Fraction(1, 10)),
        "ransomware": (90, Fraction(1, 4)),
        "stolen_funds": (90, Fraction(1, 4)),
        "darknet": (85, Fraction(1, 4)),
        "scam": (75, Fraction(1, 4)),
        "mixer": (75, Fraction(1, 4)),
        "high_risk_exchange": (50, Fraction(1, 2)),
        "gambling": (30, Fraction(1, 2)),
    }
)
"""Category to its highest score and the share that reaches it (rule R2 of specs/aml.md 3)."""


@dataclass(frozen=True, slots=True)
class Hit:
    """An address found on a list, frozen by its token's issuer, or named by a provider.

    ``hard`` hits force ``aml_hold``. The one soft kind is ``same_key``: another chain's form
    of a listed address (specs/aml.md 6.3).
    """

    list_code: str
    match: Match
    label: str
    source: str
    entry_uid: str = ""
    names: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    hard: bool = True

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that it says: another one when anything about the entry changed."""
        return fingerprint_of(self.record())

    def record(self) -> dict[str, object]:
        """The hit as it stands in ``kya_record.hits`` (specs/aml.md 5)."""
        return {
            "list": self.list_code,
            "match": self.match,
            "entry_uid": self.entry_uid,
            "names": list(self.names),
            "programs": list(self.programs),
            "label": self.label,
            "source": self.source,
            "hard": self.hard,
        }


def fingerprint_of(record: Mapping[str, object]) -> str:
    """That of a hit by how it stands in a record."""
    text = json.dumps(record, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Disposed:
    """A hit that two people found to mean somebody else, so that it counts for nothing."""

    list_code: str
    entry_uid: str
    disposition_id: str

    def record(self) -> dict[str, object]:
        """How it stands in ``kya_record.dispositions``."""
        return {
            "list": self.list_code,
            "entry_uid": self.entry_uid,
            "disposition_id": self.disposition_id,
        }


@dataclass(frozen=True, slots=True)
class Exposure:
    """A share (0 to 1) of the payer's incoming value that a vendor traces to one category.

    Raises ``ValueError`` for a category or share that `EXPOSURE_SCALES` cannot judge, so that
    an adapter must map its vendor's words instead of dropping them.
    """

    category: str
    share: Decimal
    direct: bool = False

    def __post_init__(self) -> None:
        """Refuse what no rule could score."""
        if self.category not in EXPOSURE_SCALES:
            msg = f"unknown exposure category {self.category!r}"
            raise ValueError(msg)
        if not (self.share.is_finite() and 0 <= self.share <= 1):
            msg = f"an exposure's share lies between 0 and 1, not {self.share}"
            raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class AddressRisk:
    """One provider's answer about one address.

    ``exposures`` is None when the provider does not trace funds at all; an empty tuple means
    that it looked and found nothing. ``raw`` is the answer as received, for the file.
    """

    provider: str
    severity: Severity
    fetched_at: datetime
    hits: tuple[Hit, ...] = ()
    exposures: tuple[Exposure, ...] | None = None
    raw: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProviderFailure:
    """A provider that gave no answer, and why. ``passes``: asking again may bring one."""

    provider: str
    reason: str
    passes: bool = True


@dataclass(frozen=True, slots=True)
class ListState:
    """The version of a sanctions list that was searched.

    ``fetched_at`` is when we last knew it to be current: lists appear irregularly, so the age
    of ``publish_date`` says nothing about whether a newer one exists.
    """

    code: str
    publish_date: date | None
    sha256: str
    entry_count: int
    address_count: int
    fetched_at: datetime

    def record(self, at: datetime) -> dict[str, object]:
        """The list as it stands in ``kya_record.lists``."""
        return {
            "code": self.code,
            "publish_date": self.publish_date.isoformat() if self.publish_date else None,
            "sha256": self.sha256,
            "entries": self.entry_count,
            "addresses": self.address_count,
            "age_hours": whole_hours(at - self.fetched_at),
        }


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose money it is: the paying address (for a payout or refund the destination).

    ``value`` is the normalised address, None when nobody could name the payer. ``family`` is
    what its bytes say, ``other`` when they fit none. A ``fiat`` subject has no address at all.
    """

    kind: Literal["address", "fiat"]
    value: str | None = None
    chain: str | None = None
    family: str | None = None

    @property
    def readable(self) -> bool:
        """Whether there is an address that lists and providers can be asked about."""
        return self.kind == "address" and self.value is not None and self.family != "other"

    def record(self) -> dict[str, object]:
        """The subject as it stands in ``kya_record.subject``."""
        return {
            "type": self.kind,
            "value": self.value,
            "chain": self.chain,
            "family": self.family,
        }


@dataclass(frozen=True, slots=True)
class RateUsed:
    """The rate that turned the paid amount into New Taiwan dollars: ``pair`` as ``USDT/TWD``."""

    pair: str
    value: Decimal
    source: str
    at: datetime

    def record(self) -> dict[str, object]:
        """The rate as it stands in ``kya_record.rate``."""
        return {
            "pair": self.pair,
            "value": plain_text(self.value),
            "source": self.source,
            "at": instant_text(self.at),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """Everything one evaluation looks at; the same factors and policy give the same result.

    ``amount_twd`` is None when no rate was to be had. ``hits`` come from our own lists, those
    of providers travel in ``screenings``; ``disposed`` are none any more. ``allow_listed``: a
    verified wallet of the organisation's own. ``expected_max_single_twd``: what the organisation
    recorded for this party, None for nothing.
    """

    run_id: str
    stage: Stage
    subject: Subject
    evaluated_at: datetime
    amount_twd: Decimal | None
    rate: RateUsed | None = None
    lists: tuple[ListState, ...] = ()
    hits: tuple[Hit, ...] = ()
    disposed: tuple[Disposed, ...] = ()
    screenings: tuple[AddressRisk, ...] = ()
    failures: tuple[ProviderFailure, ...] = ()
    allow_listed: bool = False
    expected_max_single_twd: Decimal | None = None

    def __post_init__(self) -> None:
        """Refuse an amount that is no amount; it could only be a bug of ours."""
        if self.amount_twd is not None and not (
            self.amount_twd.is_finite() and self.amount_twd >= 0
        ):
            msg = f"amount_twd must be a number of at least 0, not {self.amount_twd}"
            raise ValueError(msg)

    @property
    def all_hits(self) -> tuple[Hit, ...]:
        """The hits of our lists and of every provider."""
        return (*self.hits, *chain.from_iterable(s.hits for s in self.screenings))


def instant_text(at: datetime) -> str:
    """ISO 8601 with a Z for UTC."""
    return at.isoformat().replace("+00:00", "Z")


def whole_hours(span: timedelta) -> int:
    """Full hours, rounded down."""
    return span // timedelta(hours=1)
