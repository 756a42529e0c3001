"""Reads the fields of a custom resource: total, bounded, and with every fault and every unsupported field noted.

A CRD's schema has been checked by the API server, but other software may own the CRD, with another schema or none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from vk_provider import bounds
from vk_provider.idle.selectors import Expression, LabelSelector
from vk_provider.model.quantity import parse

MOST_FAULTS = 20
MOST_DURATION_S = 366 * 86_400
_DURATION = re.compile(r"(?:(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d))", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_OPERATORS = {"In": True, "NotIn": True, "Exists": False, "DoesNotExist": False}  # whether it has values


@dataclass(slots=True)
class Notes:
    """What is wrong in an object, and what of it is not carried out; each at most MOST_FAULTS lines."""

    faults: list[str] = field(default_factory=list)
    unsupported: list[str] = field(default_factory=list)

    def fault(self, path: str, why: str) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(bounds.shortened(f"{path}: {why}", bounds.MOST_REASON))

    def unsupport(self, path: str) -> None:
        if len(self.unsupported) < MOST_FAULTS:
            self.unsupported.append(bounds.shortened(path, bounds.MOST_FIELD))


class Fields:
    """One object within a custom resource, and where it stands."""

    def __init__(self, value: object, path: str, notes: Notes) -> None:
        self.path, self.notes = path, notes
        if value is not None and not isinstance(value, Mapping):
            notes.fault(path, "must be an object")
        self._value: Mapping[str, Any] = value if isinstance(value, Mapping) else {}

    def __contains__(self, name: str) -> bool:
        return self._value.get(name) is not None

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def noted_in(self, notes: Notes) -> Fields:
        """The same object, with its faults noted elsewhere."""
        return Fields(self._value, self.path, notes)

    def fields(self, name: str) -> Fields:
        return Fields(self._value.get(name), self.at(name), self.notes)

    def each(self, name: str, most: int) -> Iterator[Fields]:
        """The objects of a list, no more than `most`."""
        for place, value in enumerate(self._list(name, most)):
            yield Fields(value, f"{self.at(name)}[{place}]", self.notes)

    def texts(self, name: str, most: int) -> list[str]:
        values = self._list(name, most)
        if not all(isinstance(value, str) for value in values):
            self.notes.fault(self.at(name), "must be a list of texts")
        return [value for value in values if isinstance(value, str)]

    def unsupported(self, *names: str) -> None:
        """Note those of these fields that say something."""
        for name in names:
            if self._value.get(name) not in (None, {}, [], "", False):
                self.notes.unsupport(self.at(name))

    def text(self, name: str, default: str = "", *, among: tuple[str, ...] = ()) -> str:
        value = self._value.get(name)
        if value is None or value == "":
            return default
        if not isinstance(value, str) or len(value) > bounds.MOST_FIELD:
            self.notes.fault(self.at(name), "must be a text")
            return default
        if among and value not in among:
            self.notes.fault(self.at(name), f"must be one of {', '.join(among)}")
            return default
        return value

    def whole(self, name: str, default: int, *, least: int, most: int) -> int:
        value = self._value.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.notes.fault(self.at(name), f"must be a whole number from {least} to {most}")
            return default
        return value

    def number(self, name: str, default: float, *, least: float, most: float) -> float:
        """A number, which may be written as a text or as a quantity."""
        value = self._value.get(name)
        if value is None or value == "":
            return default
        exact = _exact(value)
        if exact is None or not least <= exact <= most:
            self.notes.fault(self.at(name), f"must be a number from {least:g} to {most:g}")
            return default
        return float(exact)

    def seconds(self, name: str, default: float, *, least: float = 1, most: float = MOST_DURATION_S) -> float:
        """A duration such as `90s`, `1h30m` or `7d`."""
        value = self._value.get(name)
        if value is None or value == "":
            return default
        seconds = _seconds(value) if isinstance(value, str) and len(value) <= 50 else None
        if seconds is None or not least <= seconds <= most:
            self.notes.fault(self.at(name), f"must be a duration of {least:g} to {most:g} s, as 60s, 12h or 7d")
            return default
        return seconds

    def selector(self, name: str) -> LabelSelector | None:
        """None when there is none. One with a fault selects nothing, rather than more than it says."""
        if name not in self:
            return None
        fields = self.fields(name)
        labels = self._labels(fields)
        expressions = [self._expression(each) for each in fields.each("matchExpressions", bounds.MOST_SELECTOR_TERMS)]
        if labels is None or None in expressions:
            return _NOTHING
        return LabelSelector(labels, tuple(each for each in expressions if each is not None))

    def _labels(self, fields: Fields) -> tuple[tuple[str, str], ...] | None:
        value = fields._value.get("matchLabels") or {}
        if not isinstance(value, Mapping) or len(value) > bounds.MOST_SELECTOR_TERMS:
            self.notes.fault(fields.at("matchLabels"), f"must be at most {bounds.MOST_SELECTOR_TERMS} labels")
            return None
        if not all(isinstance(text, str) for pair in value.items() for text in pair):
            self.notes.fault(fields.at("matchLabels"), "must be labels")
            return None
        return tuple(sorted(value.items()))

    def _expression(self, fields: Fields) -> Expression | None:
        key, operator = fields.text("key"), fields.text("operator")
        values = frozenset(fields.texts("values", bounds.MOST_SELECTOR_TERMS))
        if not key or _OPERATORS.get(operator) is not bool(values):
            self.notes.fault(fields.path, "must have a key, an operator, and values only with In and NotIn")
            return None
        return Expression(key, operator, values)

    def _list(self, name: str, most: int) -> list[Any]:
        value = self._value.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.notes.fault(self.at(name), "must be a list")
            return []
        if len(value) > most:
            self.notes.fault(self.at(name), f"has {len(value):,} items; the first {most} are used")
        return value[:most]


_NOTHING = LabelSelector(expressions=(Expression("", "In"),))


def _exact(value: object) -> Fraction | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, float):
        return Fraction(value) if math.isfinite(value) else None
    try:
        return parse(value)
    except ValueError:
        return None


def _seconds(text: str) -> float | None:
    place, total = 0, 0.0
    while place < len(text):
        match = _DURATION.match(text, place)
        if match is None:
            return None
        total += float(match[1]) * _SECONDS[match[2]]
        place = match.end()
    return total if text else None
