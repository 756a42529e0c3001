"""The last hour in one line a half minute: what the sparklines are drawn of."""

from __future__ import annotations

from collections import deque

from vk_provider.snapshot.document import Shape, Snapshot

EVERY_S, KEPT_S = 30.0, 3600.0


class Point(Shape, frozen=True, kw_only=True):
    at: str
    running: int
    pending: int
    instances: int
    per_hour: float  # of all currencies: there is one as a rule
    queue: int
    calls: int  # to the cloud, in the minute before
    idle_running: float = 0.0
    idle_published: float = 0.0
    idle_forecast: float = 0.0
    quota: float = 0.0


class History:
    def __init__(self) -> None:
        self._points: deque[Point] = deque(maxlen=int(KEPT_S / EVERY_S))

    def points(self) -> tuple[Point, ...]:
        return tuple(self._points)

    def add(self, shot: Snapshot) -> Point:
        phases, idle = shot.pod_counts.by_phase, shot.idle
        point = Point(
            at=shot.at,
            running=phases.get("Running", 0),
            pending=phases.get("Pending", 0),
            instances=shot.instances.total,
            per_hour=round(sum(each.per_hour for each in shot.costs), 6),
            queue=shot.queue.depth,
            calls=sum(each.used for each in shot.budgets),
            idle_running=idle.running if idle is not None else 0.0,
            idle_published=idle.published if idle is not None else 0.0,
            idle_forecast=idle.forecast if idle is not None else 0.0,
            quota=idle.quota if idle is not None else 0.0,
        )
        self._points.append(point)
        return point
