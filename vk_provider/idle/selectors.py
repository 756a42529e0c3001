"""Label selectors and the scopes of PodQOS, as plain values that match in linear time.

Source: apimachinery's LabelSelector; the scopes of gocrane's PodQOS (QOSClass, Priority, Namespace).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_PRIORITIES = re.compile(r"(-?\d{1,10})(?:-(-?\d{1,10}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Expression:
    """operator: In, NotIn, Exists or DoesNotExist. NotIn matches an object without the label, as Kubernetes' does."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        if self.operator == "In":
            return value is not None and value in self.values
        if self.operator == "NotIn":
            return value is None or value not in self.values
        return (value is not None) == (self.operator == "Exists")


@dataclass(frozen=True, slots=True)
class LabelSelector:
    labels: tuple[tuple[str, str], ...] = ()
    expressions: tuple[Expression, ...] = ()

    def __len__(self) -> int:
        """How many conditions it states; 0 matches everything by itself."""
        return len(self.labels) + len(self.expressions)

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(labels.get(key) == value for key, value in self.labels) and all(
            each.matches(labels) for each in self.expressions
        )


EMPTY = LabelSelector()


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFacts:
    """What selectors know of a pod. qos_class: BestEffort, Burstable or Guaranteed."""

    namespace: str
    labels: Mapping[str, str]
    qos_class: str
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Scope:
    """name: QOSClass, Priority or Namespace. values: of Priority pairs of the lowest and the highest, else texts."""

    name: str
    is_in: bool
    texts: frozenset[str] = frozenset()
    ranges: tuple[tuple[int, int], ...] = ()

    def matches(self, pod: PodFacts) -> bool:
        if self.name == "Priority":
            found = any(low <= pod.priority <= high for low, high in self.ranges)
        else:
            found = (pod.qos_class if self.name == "QOSClass" else pod.namespace) in self.texts
        return found == self.is_in


def priority_range(text: str) -> tuple[int, int] | None:
    """`1000` or `1000-3000`, both ends included; None for anything else."""
    match = _PRIORITIES.fullmatch(text)
    if match is None:
        return None
    low = int(match[1])
    high = low if match[2] is None else int(match[2])
    return (low, high) if low <= high else None
