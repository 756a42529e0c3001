"""Cron schedules as a CronJob writes them: five fields or an `@` name. Pure.

Follows robfig/cron's standard parser, which Kubernetes uses: Sunday is 0 only, `?` is `*`, `5/15` means from 5 on,
and a day matches when either day field does, unless one of them is a star.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES = {
    "month": {name: place for place, name in enumerate(_MONTHS, start=1)},
    "weekday": {name: place for place, name in enumerate(_DAYS)},
}
_FIELDS = {"minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 6)}
HORIZON = timedelta(days=5 * 366)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The allowed values of each field; `any_day` and `any_weekday` tell that the field was a star."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    def next(self, after: datetime, zone: tzinfo = UTC) -> datetime | None:
        """The first matching minute later than `after`, UTC; None when there is none within five years.

        A local time that daylight saving skips does not occur, one that it repeats occurs twice.
        """
        moment = after.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        end = moment + HORIZON
        while moment < end:
            local = moment.astimezone(zone)
            if local.month not in self.months:
                month = local.year * 12 + local.month
                moment = _later(moment, datetime(month // 12, month % 12 + 1, 1, tzinfo=zone))
            elif not self._day_matches(local):
                tomorrow = local.replace(tzinfo=None) + timedelta(days=1)
                moment = _later(moment, datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=zone))
            elif local.hour not in self.hours:
                moment += timedelta(minutes=60 - local.minute)
            elif local.minute not in self.minutes:
                moment += timedelta(minutes=1)
            else:
                return moment
        return None

    def _day_matches(self, local: datetime) -> bool:
        day, weekday = local.day in self.days, local.isoweekday() % 7 in self.weekdays
        return day and weekday if self.any_day or self.any_weekday else day or weekday


def parse(text: str) -> Schedule:
    """Raises ValueError that says which part is wrong."""
    if text.startswith("@"):
        if text not in MACROS:
            raise ValueError(f"unrecognized descriptor: {text}")
        text = MACROS[text]
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]")
    minute, hour, day, month, weekday = (_field(part, name) for part, name in zip(parts, _FIELDS, strict=True))
    return Schedule(
        minutes=minute,
        hours=hour,
        days=day,
        months=month,
        weekdays=weekday,
        any_day=_is_star(parts[2]),
        any_weekday=_is_star(parts[4]),
    )


def _later(moment: datetime, local: datetime) -> datetime:
    # A midnight that daylight saving skips may map to an earlier instant; the walk must never turn back.
    return max(moment + timedelta(minutes=1), local.astimezone(UTC))


def _is_star(field: str) -> bool:
    """`*/2` counts as a star, too."""
    return any(part.split("/")[0] in ("*", "?") for part in field.split(","))


def _field(text: str, name: str) -> frozenset[int]:
    values: set[int] = set()
    for part in text.split(","):
        values |= _range(part, name)
    return frozenset(values)


def _range(part: str, name: str) -> set[int]:
    low, high = _FIELDS[name]
    span, slash, step_text = part.partition("/")
    step = _number(step_text, part) if slash else 1
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {part}")
    first_text, dash, last_text = span.partition("-")
    if span in ("*", "?"):
        first, last = low, high
    else:
        first = _value(first_text, name, part)
        last = _value(last_text, name, part) if dash else (high if slash else first)
    if first < low:
        raise ValueError(f"beginning of range ({first}) below minimum ({low}): {part}")
    if last > high:
        raise ValueError(f"end of range ({last}) above maximum ({high}): {part}")
    if first > last:
        raise ValueError(f"beginning of range ({first}) beyond end of range ({last}): {part}")
    return set(range(first, last + 1, step))


def _value(text: str, name: str, part: str) -> int:
    named = _NAMES.get(name, {}).get(text.lower())
    return _number(text, part) if named is None else named


def _number(text: str, part: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"failed to parse int from {text}: {part}")
    return int(text)
