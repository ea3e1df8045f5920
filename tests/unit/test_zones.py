"""Time zones: how a moment is written where an organisation is, and when its invoices are due."""

from datetime import UTC, date, datetime

import pytest

from counterfoil.core import pricing, zones
from counterfoil.core.errors import Invalid

SMALL_HOURS = datetime(2026, 6, 22, 17, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("UTC", "2026-06-22 17:30 UTC"),
        ("Asia/Taipei", "2026-06-23 01:30 UTC+8"),
        ("Asia/Kolkata", "2026-06-22 23:00 UTC+5:30"),
        ("America/New_York", "2026-06-22 13:30 UTC-4"),
        ("America/St_Johns", "2026-06-22 15:00 UTC-2:30"),
    ],
)
def test_a_moment_is_written_with_its_zone(name: str, told: str) -> None:
    assert zones.said(SMALL_HOURS, zones.zone(zones.checked(name))) == told


@pytest.mark.parametrize(
    ("at", "name", "told"),
    [
        ("2026-07-24T00:00+00:00", "UTC", "2026-07-23 24:00 UTC"),
        ("2026-07-23T16:00+00:00", "Asia/Taipei", "2026-07-23 24:00 UTC+8"),
        ("2026-07-23T16:00+00:00", "UTC", "2026-07-23 16:00 UTC"),
        ("2026-07-24T00:00:01+00:00", "UTC", "2026-07-24 00:00 UTC"),
        ("2026-07-23T23:59:59+00:00", "UTC", "2026-07-23 23:59 UTC"),
        # The last day of the year, and of February in a leap year.
        ("2027-01-01T00:00+00:00", "UTC", "2026-12-31 24:00 UTC"),
        ("2028-02-29T16:00+00:00", "Asia/Taipei", "2028-02-29 24:00 UTC+8"),
        # In Cairo this day begins at one o'clock; the day before was still in winter time.
        ("2026-04-23T22:00+00:00", "Africa/Cairo", "2026-04-23 24:00 UTC+2"),
    ],
)
def test_the_end_of_a_day_belongs_to_that_day(at: str, name: str, told: str) -> None:
    assert zones.said_due(datetime.fromisoformat(at), zones.zone(name)) == told


@pytest.mark.parametrize("name", ["", "Taipei", "asia/taipei", "Etc/GMT+8", "../UTC", "localtime"])
def test_a_zone_is_one_of_the_iana_list(name: str) -> None:
    with pytest.raises(Invalid, match="such as Asia/Taipei"):
        zones.checked(name)


@pytest.mark.parametrize(
    ("name", "ends"),
    [("UTC", "2026-07-24T00:00"), ("Asia/Taipei", "2026-07-23T16:00"), ("Europe/Berlin", "")],
)
def test_days_until_due_end_where_the_organisation_is(name: str, ends: str) -> None:
    """In Berlin clocks are put back meanwhile, where the terms are long enough."""
    terms = 30 if ends else 150
    found = pricing.deadline(
        now=SMALL_HOURS,
        issued_on=date(2026, 6, 23),
        terms_days=terms,
        explicit=None,
        zone=zones.zone(name),
    )
    assert found is not None
    assert f"{found:%Y-%m-%dT%H:%M}" == (ends or "2026-11-20T23:00")
