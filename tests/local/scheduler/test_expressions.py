"""When a schedule is due."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from broadside.local.scheduler.expressions import BadExpression, Once, Rate, parse


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_a_date_is_one_of_its_time_zone() -> None:
    """UTC unless another is named."""
    assert parse("at(2026-11-26T14:00:00)") == Once(utc("2026-11-26T14:00:00"))
    assert parse("at(2026-11-26T14:00:00)", "Europe/Berlin") == Once(utc("2026-11-26T13:00:00"))
    assert parse("at(2026-07-26T14:00:00)", "Europe/Berlin") == Once(utc("2026-07-26T12:00:00"))


def test_a_date_comes_once() -> None:
    """What is past is never due."""
    once = parse("at(2026-11-26T14:00:00)")
    assert isinstance(once, Once)
    assert once.after(utc("2026-11-26T13:59:59")) == utc("2026-11-26T14:00:00")
    assert once.after(utc("2026-11-26T14:00:00")) is None


@pytest.mark.parametrize(("text", "seconds"), [("rate(1 minute)", 60), ("rate(5 hours)", 18000), ("rate(7 days)", 604800)])
def test_a_rate_has_a_unit(text: str, seconds: float) -> None:
    """Minutes, hours or days."""
    assert parse(text) == Rate(seconds)


@pytest.mark.parametrize(
    ("text", "zone", "after", "due"),
    [
        ("cron(0 12 * * ? *)", "UTC", "2026-11-26T12:00:00", "2026-11-27T12:00:00"),
        ("cron(*/15 * * * ? *)", "UTC", "2026-11-26T12:01:00", "2026-11-26T12:15:00"),
        ("cron(30 9 ? * MON-FRI *)", "UTC", "2026-11-27T10:00:00", "2026-11-30T09:30:00"),
        ("cron(0 0 ? * 1 *)", "UTC", "2026-11-26T00:00:00", "2026-11-29T00:00:00"),
        ("cron(0 8 1 JAN,JUL ? 2027)", "UTC", "2027-02-01T00:00:00", "2027-07-01T08:00:00"),
        ("cron(0 18 * * ? *)", "America/New_York", "2026-11-26T12:00:00", "2026-11-26T23:00:00"),
        ("cron(30 2 * * ? *)", "Europe/Berlin", "2027-03-27T12:00:00", "2027-03-29T00:30:00"),  # on the 28th there is no 2:30
        ("cron(30 2 * * ? *)", "Europe/Berlin", "2027-10-30T12:00:00", "2027-10-31T00:30:00"),  # on the 31st there are two
        ("cron(30 2 * * ? *)", "Europe/Berlin", "2027-10-31T00:30:00", "2027-11-01T01:30:00"),
    ],
)
def test_a_cron_expression_has_dates(text: str, zone: str, after: str, due: str) -> None:
    """Those of its time zone; a time that a change of the clock leaves out is left out, one that it repeats comes once."""
    cron = parse(text, zone)
    assert not isinstance(cron, Rate)
    assert cron.after(utc(after)) == utc(due)


def test_the_last_year_ends_it() -> None:
    """There may be no next time."""
    cron = parse("cron(0 8 1 1 ? 2026)")
    assert not isinstance(cron, Rate)
    assert cron.after(utc("2026-11-26T00:00:00")) is None


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("at(2026-11-26 14:00:00)", "UTC"),
        ("at(2026-11-26T14:00:00Z)", "UTC"),
        ("at(2026-13-26T14:00:00)", "UTC"),
        ("rate(0 minutes)", "UTC"),
        ("rate(10 seconds)", "UTC"),
        ("cron(0 12 * * * *)", "UTC"),
        ("cron(0 12 ? * ? *)", "UTC"),
        ("cron(0 12 * * ?)", "UTC"),
        ("cron(60 12 * * ? *)", "UTC"),
        ("cron(0 12 L * ? *)", "UTC"),
        ("at(2026-11-26T14:00:00)", "Europe/Atlantis"),
        ("at(2026-11-26T14:00:00)", "../etc/passwd"),
        ("tomorrow", "UTC"),
    ],
)
def test_what_is_no_schedule_is_refused(text: str, zone: str) -> None:
    """And what is not known here, such as the last day of a month."""
    with pytest.raises(BadExpression):
        parse(text, zone)
