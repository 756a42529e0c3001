"""A reader of `/metrics/resource` with metrics-server's rules: what it drops, and how it makes rates of counters.

Source: kubelet.md h.1, M1 to M3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

YOUNGEST_S = 10.0
_LINE = re.compile(r"(?P<name>[a-z_]+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)(?: (?P<ms>\d+))?")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass
class Sample:
    name: str
    labels: dict[str, str]
    value: float
    at_s: float | None


@dataclass
class Point:
    """One container, or the node, as one scrape showed it. start_s: of a container, if it was told."""

    at_s: float = 0.0
    cpu_s: float = 0.0
    memory: float = 0.0
    start_s: float | None = None


@dataclass
class Store:
    """The last two points of everything, and what `kubectl top` makes of them."""

    resolution_s: float = 60.0
    points: dict[tuple[str, ...], list[Point]] = field(default_factory=dict)

    def scrape(self, text: str) -> None:
        pods, node = parsed(text)
        kept = {("node",): node} if node is not None else {}
        for (namespace, pod), containers in pods.items():
            kept |= {(namespace, pod, name): point for name, point in containers.items()}
        for key, point in kept.items():
            before = self.points.setdefault(key, [])
            if before and point.at_s == before[-1].at_s:
                continue
            if before and (point.at_s < before[-1].at_s or point.cpu_s < before[-1].cpu_s):
                before.clear()
            before.append(point)
            del before[:-2]
        self.points = {key: points for key, points in self.points.items() if key in kept}

    def top(self, *key: str) -> tuple[float, float] | None:
        """Cores and bytes; None while they cannot be told."""
        points = self.points.get(key, [])
        if not points:
            return None
        last = points[-1]
        if last.start_s is not None and YOUNGEST_S <= last.at_s - last.start_s < self.resolution_s:
            return last.cpu_s / (last.at_s - last.start_s), last.memory
        if len(points) < 2:
            return None
        return (last.cpu_s - points[0].cpu_s) / (last.at_s - points[0].at_s), last.memory


def samples(text: str) -> list[Sample]:
    found = []
    for line in text.splitlines():
        if line.startswith("#") or not line:
            continue
        match = _LINE.fullmatch(line)
        assert match, line
        at_s = int(match["ms"]) / 1000 if match["ms"] else None
        found.append(Sample(match["name"], dict(_LABEL.findall(match["labels"] or "")), float(match["value"]), at_s))
    return found


def parsed(text: str) -> tuple[dict[tuple[str, str], dict[str, Point]], Point | None]:
    """Pods that are kept, by namespace and name, and the node if it is."""
    pods: dict[tuple[str, str], dict[str, Point]] = {}
    node = Point()
    for sample in samples(text):
        kind, _, figure = sample.name.partition("_")
        if kind == "container":
            who = sample.labels["namespace"], sample.labels["pod"]
            _note(pods.setdefault(who, {}).setdefault(sample.labels["container"], Point()), figure, sample)
        elif kind == "node":
            _note(node, figure, sample)
    kept = {who: each for who, each in pods.items() if all(point.cpu_s and point.memory for point in each.values())}
    return kept, node if node.cpu_s and node.memory else None


def _note(point: Point, figure: str, sample: Sample) -> None:
    if figure == "cpu_usage_seconds_total":
        point.cpu_s = sample.value
    elif figure == "memory_working_set_bytes":
        point.memory = sample.value
    elif figure == "start_time_seconds":
        assert sample.at_s is None
        point.start_s = sample.value
        return
    assert sample.at_s is not None
    point.at_s = sample.at_s
