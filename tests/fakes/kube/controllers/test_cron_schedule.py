"""Cron texts: what they match, and what is wrong with those that are refused."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from fakes.kube.controllers.cron_schedule import parse
from fakes.kube.controllers.cronjob import last_due


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("* * * * *", "2026-03-02T10:00:30", "2026-03-02T10:01:00"),
        ("* * * * *", "2026-03-02T10:01:00", "2026-03-02T10:02:00"),
        ("*/15 * * * *", "2026-03-02T10:16:00", "2026-03-02T10:30:00"),
        ("5/20 * * * *", "2026-03-02T10:26:00", "2026-03-02T10:45:00"),
        ("0 9-17/4 * * *", "2026-03-02T10:00:00", "2026-03-02T13:00:00"),
        ("30 2 * * *", "2026-03-02T10:00:00", "2026-03-03T02:30:00"),
        ("0 0 1 jan *", "2026-03-02T10:00:00", "2027-01-01T00:00:00"),
        ("0 0 29 2 *", "2026-03-02T10:00:00", "2028-02-29T00:00:00"),
        ("0 12 * * mon-fri", "2026-03-06T13:00:00", "2026-03-09T12:00:00"),
        ("0 12 * * SUN", "2026-03-02T10:00:00", "2026-03-08T12:00:00"),
        ("0 0 13 * 5", "2026-03-02T10:00:00", "2026-03-06T00:00:00"),
        ("0 0 13 * ?", "2026-03-02T10:00:00", "2026-03-13T00:00:00"),
        ("0 0 */2 * 1", "2026-03-02T10:00:00", "2026-03-09T00:00:00"),
        ("1,2 3,4 * * *", "2026-03-02T03:02:00", "2026-03-02T04:01:00"),
        ("@hourly", "2026-03-02T10:00:00", "2026-03-02T11:00:00"),
        ("@weekly", "2026-03-02T10:00:00", "2026-03-08T00:00:00"),
        ("@yearly", "2026-03-02T10:00:00", "2027-01-01T00:00:00"),
    ],
)
def test_next(schedule, after, expected):
    assert parse(schedule).next(at(after)) == at(expected)


def test_a_date_that_never_comes():
    assert parse("0 0 31 2 *").next(at("2026-03-02T10:00:00")) is None


@pytest.mark.parametrize(
    ("zone", "schedule", "after", "expected"),
    [
        pytest.param("Asia/Shanghai", "0 8 * * *", "2026-03-02T00:00:00", "2026-03-03T00:00:00", id="east of UTC"),
        pytest.param("America/New_York", "30 2 * * *", "2026-03-08T00:00:00", "2026-03-09T06:30:00", id="skipped hour"),
        pytest.param(
            "America/New_York", "30 1 * * *", "2026-11-01T05:30:00", "2026-11-01T06:30:00", id="repeated hour"
        ),
        pytest.param("Asia/Kolkata", "0 * * * *", "2026-03-02T10:00:00", "2026-03-02T10:30:00", id="half-hour offset"),
    ],
)
def test_next_in_a_zone(zone, schedule, after, expected):
    assert parse(schedule).next(at(after), ZoneInfo(zone)) == at(expected)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("* * * *", "expected exactly 5 fields, found 4"),
        ("60 * * * *", "end of range (60) above maximum (59)"),
        ("* * 0 * *", "beginning of range (0) below minimum (1)"),
        ("* * * * 7", "above maximum (6)"),
        ("5-1 * * * *", "beyond end of range"),
        ("*/0 * * * *", "step of range should be a positive number"),
        ("a * * * *", "failed to parse int from a"),
        ("* * * foo *", "failed to parse int"),
        ("@every 5m", "unrecognized descriptor"),
        ("", "found 0"),
    ],
)
def test_refusals(text, why):
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("since", "now", "due", "count"),
    [
        ("2026-03-02T10:00:00", "2026-03-02T10:04:59", None, 0),
        ("2026-03-02T10:00:00", "2026-03-02T10:05:00", "2026-03-02T10:05:00", 1),
        ("2026-03-02T10:00:00", "2026-03-02T10:21:00", "2026-03-02T10:20:00", 4),
        ("2020-03-02T10:00:00", "2026-03-02T10:21:00", "2026-03-02T10:20:00", 101),
    ],
)
def test_last_due(since, now, due, count):
    assert last_due(parse("*/5 * * * *"), UTC, since=at(since), now=at(now)) == (due and at(due), count)
