"""Time zones: which day it is where an organisation is, and how a moment is written there."""

from datetime import UTC, datetime, time, timedelta, tzinfo
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from counterfoil.core.errors import Invalid

DEFAULT: Final = "UTC"
_HOUR: Final = timedelta(hours=1)
_MINUTE: Final = timedelta(minutes=1)


@cache
def names() -> tuple[str, ...]:
    """What an organisation may choose: UTC, and every place of the IANA's list."""
    places = {name for name in available_timezones() if "/" in name}
    others = ("Etc/", "SystemV/", "US/", "posix/", "right/")
    return (DEFAULT, *sorted(name for name in places if not name.startswith(others)))


def checked(name: str) -> str:
    """The name of a time zone; raises `Invalid` naming ``time_zone``."""
    if name not in names():
        sentence = "must be UTC or a time zone of the IANA's list, such as Asia/Taipei"
        raise Invalid.field("time_zone", sentence)
    return name


@cache
def zone(name: str) -> tzinfo:
    """The zone of that name, which was checked when it was chosen."""
    return UTC if name == DEFAULT else ZoneInfo(name)


def said(at: datetime, where: tzinfo) -> str:
    """A moment as pages and paper write it: ``2026-06-22 20:00 UTC+8``.

    Year first, so that no month is taken for a day, and always with the zone.
    """
    local = at.astimezone(where)
    return f"{local:%Y-%m-%d %H:%M} {_named(local)}"


def said_due(at: datetime, where: tzinfo) -> str:
    """The end of a time to pay: the very end of a day is that day's, ``2026-06-22 24:00 UTC+8``.

    Nobody takes 00:00 of the day after for the day before.
    """
    day = at.astimezone(where).date()
    begins_at = datetime.combine(day, time.min, where).astimezone(UTC)
    if begins_at != at:
        return said(at, where)
    before = (at - _MINUTE).astimezone(where)
    return f"{before:%Y-%m-%d} 24:00 {_named(before)}"


def _named(local: datetime) -> str:
    return f"UTC{_beside_utc(local.utcoffset() or timedelta())}"


def _beside_utc(offset: timedelta) -> str:
    if not offset:
        return ""
    hours, rest = divmod(abs(offset), _HOUR)
    minutes = f":{rest // _MINUTE:02}" if rest else ""
    return f"{'-' if offset < timedelta() else '+'}{hours}{minutes}"
