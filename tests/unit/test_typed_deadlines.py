"""A deadline that is typed, or left as it is, in the zone that its form was shown in."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from counterfoil.core.errors import Invalid
from counterfoil.desk.intake import draft_of
from counterfoil.studio.draft_form import Typed, deadline, typed_from
from support.invoices import invoice


def typed(written: str, zone: str) -> Typed:
    return Typed({"due": "deadline", "payment_deadline": written, "zone": zone}, ())


def shown(at: datetime, zone: str) -> Typed:
    """The form of an invoice with that deadline."""
    return typed_from(replace(draft_of(invoice()), payment_deadline=at), zone)


@pytest.mark.parametrize(
    ("zone", "at", "text"),
    [
        ("UTC", "2026-07-01T18:00:00Z", "2026-07-01T18:00"),
        ("Asia/Taipei", "2026-07-01T10:00:42Z", "2026-07-01T18:00"),
        # Of the hour that comes twice, the second.
        ("Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25T02:30"),
        ("Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T02:30"),
    ],
)
def test_what_is_saved_unchanged_stays_the_same_instant(zone: str, at: str, text: str) -> None:
    was = datetime.fromisoformat(at)
    form = shown(was, zone)
    assert (form["payment_deadline"], deadline(form)) == (text, was)
    later = form.with_values(payment_deadline="2026-12-01T18:00")
    local = deadline(typed("2026-12-01T18:00", zone))
    assert deadline(later) == local != was


def test_a_time_is_read_in_the_zone_of_its_form() -> None:
    for zone, hour in (("UTC", 18), ("Asia/Taipei", 10), ("Europe/Berlin", 16)):
        at = deadline(typed("2026-07-01T18:00", zone))
        assert at == datetime(2026, 7, 1, hour, tzinfo=UTC)


def test_a_time_that_there_is_not_is_refused() -> None:
    with pytest.raises(Invalid, match="the clocks go forward"):
        deadline(typed("2026-03-29T02:30", "Europe/Berlin"))
    for wrong in ("", "2026-02-30T12:00", "soon", "0001-01-01T00:00"):
        with pytest.raises(Invalid, match="must be a day and a time of day"):
            deadline(typed(wrong, "Asia/Taipei"))
    with pytest.raises(Invalid, match="must be UTC or a time zone"):
        deadline(typed("2026-07-01T18:00", "Asia/Atlantis"))
    wrong_before = typed("2026-07-01T18:00", "UTC").with_values(deadline_at="x" * 400)
    assert deadline(wrong_before) == datetime(2026, 7, 1, 18, tzinfo=UTC)
