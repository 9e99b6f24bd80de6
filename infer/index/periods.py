"""Dates as people write them: a year, a month, a day or a moment, each of which lasts a while."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..errors import UsageError


@dataclass(frozen=True)
class Period:
    """A span of time by the clock of a camera, which has no time zone.

    Attributes:
        begin: its first moment.
        end: the first moment after it.
    """

    begin: datetime
    end: datetime


def _month_after(begin: datetime) -> datetime:
    return (begin + timedelta(days=31)).replace(day=1)


def _lasting(**length: int) -> Callable[[datetime], datetime]:
    return lambda begin: begin + timedelta(**length)


_FORMS: dict[str, Callable[[datetime], datetime]] = {  # how it is written → when it ends
    "%Y": lambda begin: begin.replace(year=begin.year + 1),
    "%Y-%m": _month_after,
    "%Y-%m-%d": _lasting(days=1),
    "%Y-%m-%dT%H:%M": _lasting(minutes=1),
    "%Y-%m-%d %H:%M": _lasting(minutes=1),
    "%Y-%m-%dT%H:%M:%S": _lasting(seconds=1),
    "%Y-%m-%d %H:%M:%S": _lasting(seconds=1),
}


def period_of(text: str) -> Period:
    """Read a date: ``2023``, ``2023-08``, ``2023-08-31``, ``2023-08-31T18:30`` or with seconds.

    Raises:
        UsageError: it is none.
    """
    for form, end in _FORMS.items():
        period = _read(text.strip(), form, end)
        if period:
            return period
    raise UsageError(f"{text!r} is no date: write 2023, 2023-08, 2023-08-31 or 2023-08-31T18:30")


def _read(text: str, form: str, end: Callable[[datetime], datetime]) -> Period | None:
    try:
        begin = datetime.strptime(text, form)
        return Period(begin, end(begin))
    except (ValueError, OverflowError):  # of another form, or at the end of the calendar
        return None
