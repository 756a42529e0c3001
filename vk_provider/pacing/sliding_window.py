"""Keeping within what a cloud allows: calls per minute, and a bound on how much of the traffic may be retries.

Both are shared by whom a call is made for (`callers`): probes and background work get a part only, evenly spread over
the minute; what people wait for comes first. Of calls for pods the namespace that has used least of late is served
first, and where calls are scarce those that have used much get theirs one by one. All times are the event loop's clock.
Nothing here knows a particular cloud.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from vk_provider.pacing.callers import OURSELVES, Caller, Purpose
from vk_provider.pacing.recent_use import RecentUse
from vk_provider.pacing.roundrobin import RoundRobin

WINDOW_S = 60.0
# A call is counted by us when it leaves and by the cloud when it arrives: two that leave a minute apart may arrive
# closer together.
SKEW_S = 1.0

# The most of a limit that calls of one purpose may use in a minute; what is not named may use all that is not reserved.
SHARES: Mapping[Purpose, float] = {Purpose.PERSON: 0.75, Purpose.PROBE: 0.5, Purpose.BACKGROUND: 0.5}
RESERVED_FOR_PEOPLE = 0.05  # of the limits of calls that people cause
# How much of its share a purpose may use at once; the rest comes evenly spaced, so that a call late in a minute that
# others began with a burst need not wait for the next one.
_BURST: Mapping[Purpose, float] = {Purpose.PERSON: 0.5, Purpose.PROBE: 0.2, Purpose.BACKGROUND: 0.2}
# Once a minute's tokens are used up, those of the next come all at once. A namespace that has lately used so much of a
# minute's gets them a moment later than others, and spread over some seconds: of the many who wait only a few can wait
# here, and the others have to get here first. To one that is alone this costs little, however many minutes it needs.
HEAVY, PAUSE_S, SPREAD_S = 0.75, 1.0, 3.0
_OF_A_NAMESPACE = 0.25  # of the retry budget
_OUR_RETRIES = 0.25  # of the retry budget, kept from what is done for a namespace

_SLOWEST = 0.05
_TICK_S = 0.001  # the least that is waited: what is shorter than the clock's resolution would never be over
_RECOVERY_S = 60.0  # from the slowest back to full speed, if nothing is throttled meanwhile
_SAME_EPISODE_S = 1.0  # calls that were under way together are throttled together: that counts once


class _Waiting(NamedTuple):
    namespace: str
    granted: asyncio.Future[None]


class SlidingWindowLimiter:
    """Hands out `per_minute` tokens in any minute: by purpose, then by namespace, and within one by pod in rotation.

    A burst may take a whole minute's worth at once; then each token comes back a minute after it was taken, so that
    no sliding minute ever holds more than the limit. After `slow_down` tokens are fewer and spaced evenly; the pace
    then grows back by itself. reserved: the share of the tokens that only people get.
    """

    def __init__(self, per_minute: int, *, reserved: float = 0.0) -> None:
        self._per_minute = per_minute
        self._reserved = reserved
        self._taken: deque[float] = deque()  # loop times of the tokens of the last minute, oldest first
        self._taken_by: dict[Purpose, deque[float]] = {purpose: deque() for purpose in Purpose}
        self._waiting: dict[Purpose, RoundRobin[_Waiting]] = {each: RoundRobin() for each in Purpose}
        self._use = RecentUse(per_minute)  # of tokens for pods
        self._scarce_until = 0.0
        self._heavy_at = 0.0  # when the next one that has used much may have a token
        self._spaced_until: dict[Purpose, float] = {}  # when the tokens so far would have come, evenly spaced
        self._timer: asyncio.TimerHandle | None = None
        self._pace_then = 1.0
        self._pace_since = 0.0

    async def acquire(self, caller: Caller = OURSELVES) -> None:
        """Wait for a token. Cancelled while waiting, it takes none and the next in line moves up."""
        granted = asyncio.get_running_loop().create_future()
        self._waiting[caller.purpose].add(caller.namespace, caller.pod, _Waiting(caller.namespace, granted))
        self._serve()
        await granted

    def _serve(self) -> None:
        """Grant what can be granted now, and come back when there is more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waits_s = [wait_s for purpose in Purpose if (wait_s := self._serve_all_of(purpose)) > 0]
        if waits_s:
            self._timer = asyncio.get_running_loop().call_later(max(_TICK_S, min(waits_s)), self._serve)

    def _serve_all_of(self, purpose: Purpose) -> float:
        """Seconds until the next may have a token; 0 when nobody waits."""
        waiting, is_for_pods = self._waiting[purpose], purpose is Purpose.CONTROL
        while waiting:
            wait_s = self._wait_s(purpose)
            if wait_s > 0:
                self._note_scarcity(wait_s)
                return wait_s
            turn = waiting.pop(self._may_take, rank=self._use.rank) if is_for_pods else waiting.pop(_any)
            if turn is None:
                return max(_TICK_S, self._heavy_at - _now())
            if not turn.granted.done():
                self._take(purpose, turn.namespace)
                turn.granted.set_result(None)
        return 0.0

    def _note_scarcity(self, wait_s: float) -> None:
        """Somebody waits so long for the next token."""
        if len(self._taken) < self._allowed:
            return
        comes_at = _now() + wait_s
        self._scarce_until = comes_at + WINDOW_S + SKEW_S
        if wait_s > PAUSE_S:
            self._heavy_at = comes_at + PAUSE_S

    def _may_take(self, namespace: str) -> bool:
        """Whether it may have one of the tokens that are there."""
        return _now() >= self._heavy_at or not self._is_spread(namespace)

    def _is_spread(self, namespace: str) -> bool:
        is_scarce = bool(namespace) and _now() < self._scarce_until
        return is_scarce and self._use.count(namespace) >= max(1.0, self._allowed * HEAVY)

    @property
    def _allowed(self) -> int:
        """Tokens a minute, at the present pace."""
        return max(1, int(self._per_minute * self.pace))

    def _take(self, purpose: Purpose, namespace: str) -> None:
        now = _now()
        if purpose is Purpose.CONTROL and namespace:
            self._use.note(namespace)
        self._taken.append(now)
        if purpose is Purpose.CONTROL and self._is_spread(namespace):
            self._heavy_at = now + SPREAD_S / self._allowed
        self._taken_by[purpose].append(now)
        if purpose in _BURST:
            self._spaced_until[purpose] = max(now, self._spaced_until.get(purpose, 0.0)) + self._spacing_s(purpose)

    def slow_down(self) -> None:
        """The cloud throttled: halve the pace."""
        now = _now()
        if now - self._pace_since >= _SAME_EPISODE_S or self._pace_then == 1.0:
            self._pace_then, self._pace_since = max(_SLOWEST, self.pace / 2), now

    @property
    def per_minute(self) -> int:
        return self._per_minute

    def used(self) -> int:
        """Tokens taken in the last minute."""
        now = _now()
        while self._taken and now - self._taken[0] >= WINDOW_S + SKEW_S:
            self._taken.popleft()
        return len(self._taken)

    @property
    def pace(self) -> float:
        """The share of the limit that is used just now, 0.05 to 1."""
        if self._pace_then == 1.0:
            return 1.0
        pace = self._pace_then + (_now() - self._pace_since) / _RECOVERY_S
        if pace >= 1.0:
            self._pace_then = 1.0
        return min(1.0, pace)

    def _wait_s(self, purpose: Purpose) -> float:
        now, mine = _now(), self._taken_by[purpose]
        for taken in (self._taken, mine):
            while taken and now - taken[0] >= WINDOW_S + SKEW_S:
                taken.popleft()
        pace, allowed = self.pace, self._allowed
        wait_s = max(_until_below(allowed, self._taken), _until_below(self._allowed_to(purpose), mine)) - now
        if purpose in _BURST:
            ahead_s = self._spaced_until.get(purpose, 0.0) - now
            wait_s = max(wait_s, ahead_s - _BURST[purpose] * self._allowed_to(purpose) * self._spacing_s(purpose))
        if pace < 1.0 and self._taken:
            wait_s = max(wait_s, self._taken[-1] + WINDOW_S / allowed - now)
        return _bounded(max(wait_s, 0.0), pace)

    def _allowed_to(self, purpose: Purpose) -> int:
        """Tokens a minute."""
        share = SHARES.get(purpose, 1.0 - self._reserved)
        return max(1, int(self._per_minute * self.pace * share))

    def _spacing_s(self, purpose: Purpose) -> float:
        """From one token to the next, so that with a burst no more than its share is used in a minute."""
        return (WINDOW_S + SKEW_S) / ((1 - _BURST[purpose]) * self._allowed_to(purpose))


def _until_below(limit: int, taken: deque[float]) -> float:
    """The loop time at which fewer than `limit` are left of those of the last minute."""
    return taken[len(taken) - limit] + WINDOW_S + SKEW_S if len(taken) >= limit else 0.0


def _any(_: str) -> bool:
    return True


def _bounded(wait_s: float, pace: float) -> float:
    """While slowed down check again often, because the pace grows back during the wait."""
    return min(wait_s, 1.0) if pace < 1.0 else wait_s


class Limits:
    """A bucket per call name. per_minute: published limits; default: for calls of which none is published.

    by_people: names of calls that people cause as well as loops.
    """

    def __init__(self, per_minute: dict[str, int], *, default: int, by_people: frozenset[str] = frozenset()) -> None:
        self._by_people = by_people
        self._per_minute = per_minute
        self._default = default
        self._buckets: dict[str, SlidingWindowLimiter] = {}

    def bucket(self, action: str) -> SlidingWindowLimiter:
        """Always the same bucket for the same name."""
        if action not in self._buckets:
            self._buckets[action] = SlidingWindowLimiter(
                self._per_minute.get(action, self._default),
                reserved=RESERVED_FOR_PEOPLE if action in self._by_people else 0.0,
            )
        return self._buckets[action]

    def used(self) -> Mapping[str, tuple[int, int]]:
        """By call name: tokens taken in the last minute, and how many there are a minute."""
        return {action: (bucket.used(), bucket.per_minute) for action, bucket in self._buckets.items()}


class RetryBudget:
    """Bounds retries to a share of the calls that succeed, so that an outage is not met with a storm.

    Holds `size` retries at first; each retry takes one, each success gives `refund` back up to `size`. A namespace has
    a quarter of it at most, and all namespaces together leave a quarter to what is done for none.
    """

    def __init__(self, *, size: float = 100.0, refund: float = 0.2) -> None:
        self._size = size
        self._left = size
        self._refund = refund
        self._owed: dict[str, float] = {}  # by namespace: its retries that successes have not given back

    def try_acquire(self, caller: Caller = OURSELVES) -> bool:
        """Whether one more retry may be made; it is counted."""
        namespace = caller.namespace
        if self._left < 1.0 + (_OUR_RETRIES * self._size if namespace else 0.0):
            return False
        if namespace:
            owed = self._owed.get(namespace, 0.0) + 1.0
            if owed > _OF_A_NAMESPACE * self._size:
                return False
            self._owed[namespace] = owed
        self._left -= 1.0
        return True

    def succeeded(self, caller: Caller = OURSELVES) -> None:
        self._left = min(self._size, self._left + self._refund)
        if caller.namespace in self._owed:
            self._owed[caller.namespace] -= self._refund
            if self._owed[caller.namespace] <= 0:
                del self._owed[caller.namespace]


def _now() -> float:
    return asyncio.get_running_loop().time()
