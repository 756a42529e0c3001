"""How often the cloud is looked at: at the pace that was set while anything moves, less often when all is quiet.

Pure state; times are the loop's clock.
"""

from __future__ import annotations

from dataclasses import dataclass

QUIET = 1.5  # times the interval, between two looks when nothing moves: an end that nobody waits for is seen then
CALM_S = 10.0  # how long after a change there may be more
CROWD = 0.5  # times the interval, while very many come, or more are leaving than can be asked about one by one
LOOK_SHARE = 0.5  # times what a look takes, at least: the more pages a crowd has, the more calls each costs
# Times the interval, between two looks for events: those decorate, and cost as much as all else.
EVENTS_MOVING, EVENTS_QUIET = 2, 10
EVENTS_SHARE = 5  # with thousands of new instances: so many times what a look takes, from one to the next
COUNTED_PER_MINUTE = 2000  # instances, in full counts: ten calls, at 200 a page


@dataclass(slots=True)
class LookPace:
    interval_s: float
    sweep_s: float
    changed_at: float = float("-inf")
    events_at: float = float("-inf")
    events_took_s: float = 0.0
    look_took_s: float = 0.0

    def rest_s(self, now: float, *, moving: bool, crowd: bool) -> float:
        """From one look for changes to the next."""
        if crowd:
            return min(self.interval_s, max(self.interval_s * CROWD, self.look_took_s * LOOK_SHARE))
        return self.interval_s * (1 if moving or now - self.changed_at < CALM_S else QUIET)

    def wants_events(self, now: float, *, moving: bool) -> bool:
        busy = moving or now - self.changed_at < CALM_S
        least_s = self.interval_s * ((EVENTS_MOVING if busy else EVENTS_QUIET) - 0.5)
        most_s = self.interval_s * EVENTS_QUIET  # what took long may have stood still with all of us, or with the cloud
        return now - self.events_at >= max(least_s, min(most_s, self.events_took_s * EVENTS_SHARE))

    def count_s(self, instances: int) -> float:
        """From one full count to the next: with very many it is rarer, so that what it costs a minute is bounded."""
        return max(self.sweep_s, instances * 60 / COUNTED_PER_MINUTE)
