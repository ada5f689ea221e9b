"""Schedule expressions: when a schedule is due.  No state, no I/O.

Source: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_UNITS = {"minute": 60, "hour": 3600, "day": 86400}
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
#: The fields of a cron expression: their range, and names that stand for its numbers.
_FIELDS: tuple[tuple[range, Sequence[str]], ...] = (
    (range(60), ()),
    (range(24), ()),
    (range(1, 32), ()),
    (range(1, 13), _MONTHS),
    (range(1, 8), _WEEKDAYS),
    (range(1970, 2200), ()),
)


class BadExpression(Exception):
    """It is no schedule expression, or one that is not known here; the message says which."""


@dataclass(frozen=True)
class Rate:
    """Every so many of AWS's seconds."""

    seconds: float


@dataclass(frozen=True)
class Once:
    """At a date (seconds since 1970)."""

    when: float

    def after(self, moment: float) -> float | None:
        return self.when if self.when > moment else None


@dataclass(frozen=True)
class Cron:
    """At every date that has these numbers in a time zone."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    years: frozenset[int]
    zone: ZoneInfo

    def after(self, moment: float) -> float | None:
        """The first such date after the moment."""
        begin = datetime.fromtimestamp(moment, self.zone).date()
        return next((when for when in self._dates(begin) if when > moment), None)

    def _dates(self, begin: date) -> Iterator[float]:
        day = begin
        while day.year <= max(self.years):
            weekday = day.isoweekday() % 7 + 1  # Sunday is 1
            if day.year in self.years and day.month in self.months and day.day in self.days and weekday in self.weekdays:
                yield from sorted(self._times(day))
            day += timedelta(days=1)

    def _times(self, day: date) -> Iterator[float]:
        """Of a time that a change of the clock leaves out there is none; of one that comes twice, the first."""
        for hour in self.hours:
            for minute in self.minutes:
                local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=self.zone)
                if local.astimezone(UTC).astimezone(self.zone).replace(tzinfo=None) == local.replace(tzinfo=None):
                    yield local.timestamp()


Expression = Rate | Once | Cron


def parse(text: str, timezone: str = "UTC") -> Expression:
    """Read ``at(...)``, ``rate(...)`` or ``cron(...)``.

    Raises:
        BadExpression: it is none of these, or the time zone is not known.
    """
    zone = _zone(timezone)
    if match := re.fullmatch(r"at\((\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})\)", text):
        return Once(_moment(text, match[1], zone))
    if match := re.fullmatch(r"rate\(([1-9]\d*) (minute|hour|day)s?\)", text):
        return Rate(int(match[1]) * _UNITS[match[2]])
    if match := re.fullmatch(r"cron\((.*)\)", text):
        return _cron(text, match[1].split(), zone)
    raise BadExpression(f"Invalid Schedule Expression {text}.")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadExpression(f"Invalid ScheduleExpressionTimezone {name}.") from error


def _moment(text: str, written: str, zone: ZoneInfo) -> float:
    try:
        return datetime.fromisoformat(written).replace(tzinfo=zone).timestamp()
    except ValueError as error:
        raise BadExpression(f"Invalid Schedule Expression {text}.") from error


def _cron(text: str, fields: list[str], zone: ZoneInfo) -> Cron:
    if len(fields) != len(_FIELDS) or (fields[2] == "?") is (fields[4] == "?"):
        raise BadExpression(f"Invalid Schedule Expression {text}: six fields, and ? for either the day or the weekday.")
    try:
        minutes, hours, days, months, weekdays, years = (
            _numbers(field, *allowed) for field, allowed in zip(fields, _FIELDS, strict=True)
        )
    except ValueError as error:
        raise BadExpression(f"Invalid Schedule Expression {text}: {error}.") from error
    return Cron(minutes, hours, days, months, weekdays, years, zone)


def _numbers(field: str, allowed: range, names: Sequence[str]) -> frozenset[int]:
    """The numbers that a field such as ``1,3-5,*/15`` names."""
    found: set[int] = set()
    for part in field.upper().split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if first in ("*", "?"):
            begin, end = allowed.start, allowed.stop - 1
        else:
            begin = _number(first, allowed, names)
            end = _number(last, allowed, names) if last else allowed.stop - 1 if step else begin
        found.update(range(begin, end + 1, int(step or 1)))
    if not found:
        raise ValueError(f"{field} names nothing")
    return frozenset(found)


def _number(word: str, allowed: range, names: Sequence[str]) -> int:
    number = names.index(word) + allowed.start if word in names else int(word) if word.isdigit() else None
    if number is None or number not in allowed:
        raise ValueError(f"{word} is not known here")
    return number
