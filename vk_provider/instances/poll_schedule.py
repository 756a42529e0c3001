"""How often the cloud is looked at: at the pace that was set while anything moves, less often when all is quiet.

Pure state; times are the loop's clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from operator import itemgetter

from vk_provider.model.poll_limits import CAREFUL, PollLimits

IDLE_FACTOR = 1.5  # times the interval, between two polls when nothing changes: only unexpected ends can show up
CALM_S = 10.0  # how long after a change there may be more
BURST_FACTOR = 0.25  # times the interval, while very many come, or more are leaving than can be asked about one by one
TAIL_S = 5.0  # how long after that the rest of them count as many
POLL_SHARE = 0.5  # times what a poll takes, at least: the more instances, the more pages each costs
# Times the interval, between two polls for events: nothing depends on those, and they cost as much as all else.
EVENTS_MOVING, EVENTS_QUIET = 2, 10
EVENTS_SHARE = 5  # with thousands of new instances: so many times what a poll takes, from one to the next
LIST_PAGE_REST_S = 5.0  # between two pages: nobody waits for a full listing, and no minute has all of its calls

_CALLS = itemgetter(1)  # of one poll


@dataclass(slots=True)
class PollSchedule:
    interval_s: float
    sweep_s: float
    limits: PollLimits = CAREFUL
    changed_at: float = float("-inf")
    events_at: float = float("-inf")
    events_took_s: float = 0.0
    poll_took_s: float = 0.0
    crowd_at: float = float("-inf")
    full_list_took_s: float = 0.0
    _calls: deque[tuple[float, int]] = field(default_factory=deque)  # of the last minute's polls: when, and how many

    def record_poll(self, began: float, *, took_s: float, reports: int) -> None:
        """reports: of how many instances."""
        self.poll_took_s = took_s
        self._calls.append((began, max(1, -(-reports // self.limits.per_page))))

    def interval_until_next_poll_s(self, now: float, *, moving: bool, crowd: bool) -> float:
        """From one poll for changes to the next."""
        if crowd:
            self.crowd_at = now
        if crowd or (moving and now - self.crowd_at < TAIL_S):
            rest_s = min(self.interval_s, max(self.interval_s * BURST_FACTOR, self.poll_took_s * POLL_SHARE))
        else:
            rest_s = self.interval_s * (1 if moving or now - self.changed_at < CALM_S else IDLE_FACTOR)
        return max(rest_s, self._spacing_s(now))

    def _spacing_s(self, now: float) -> float:
        """The rest after the calls of the last poll, so that the minute's calls are not used up."""
        while self._calls and now - self._calls[0][0] >= 60.0:
            self._calls.popleft()
        if sum(map(_CALLS, self._calls)) < self.limits.changes_at_once:
            return 0.0
        return (
            min(60.0, self._calls[-1][1] * 60.0 / self.limits.changes_per_minute) - self.poll_took_s
        )  # after that all are free again

    def wants_events(self, now: float, *, moving: bool) -> bool:
        if not self.limits.events_apart:
            return False
        busy = moving or now - self.changed_at < CALM_S
        least_s = self.interval_s * ((EVENTS_MOVING if busy else EVENTS_QUIET) - 0.5)
        most_s = self.interval_s * EVENTS_QUIET  # what took long may have stood still with all of us, or with the cloud
        return now - self.events_at >= max(least_s, min(most_s, self.events_took_s * EVENTS_SHARE))

    def full_list_interval_s(self, instances: int) -> float:
        """From one full listing to the next: with very many it is rarer, so that what it costs a minute is bounded."""
        apart_s = max(self.sweep_s, instances * 60 / self.limits.listed_per_minute)
        return max(LIST_PAGE_REST_S, apart_s - self.full_list_took_s)
