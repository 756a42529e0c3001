"""Events to the API server: put at once, sent when there is time, and never a reason for anything else to wait.

`put` never awaits and the line is bounded: when it is full, what is worth least goes, and is counted. One series of
events is in the hands of one worker at a time, so that its count on the server only grows.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Hashable
from datetime import UTC, datetime, timedelta

from vk_provider import bounds
from vk_provider.errors import Conflict, KubeError, KubeUnavailable, NotFound
from vk_provider.kube import objects, paths
from vk_provider.kube.api import Json, KubeApi
from vk_provider.kube.event_correlator import EventCorrelator, Lru, Series, count_of
from vk_provider.kube.event_queue import EventQueue
from vk_provider.pacing.backoff import Backoff
from vk_provider.pacing.token_bucket import TokenBucket
from vk_provider.retry_loop import retry_loop
from vk_provider.throttled_log import ThrottledLog

log = logging.getLogger(__name__)

_TRIES = 12
ALREADY_EXISTS = "AlreadyExists"
_BACKOFF = Backoff(first_s=1.0, most_s=30.0, spread=0.5)
_MIRRORED_MEMORY = 50_000  # names: five of each of ten thousand pods; who is forgotten meets AlreadyExists
_KEPT_BY_SERVER = timedelta(hours=1)  # kube-apiserver --event-ttl
_PAGE = 500
# While pods come in a burst, an event takes as long as ten: they decorate, and the API server, the database and we are
# needed for what runs. For so long at most, so that under a load that never ends events come as fast as ever.
_YIELDING = 10.0
_YIELDS_S = 30.0

Name = str  # namespace/name


class Recorder:
    """`run` sends, `put` may be called before, during and after.

    sent, dropped: counters by what happened, for metrics. clock: tells a predecessor's events from ours.
    yields_to: whether there is something more urgent to be written just now. observe: shown each event that goes in
    line.
    """

    def __init__(
        self,
        client: KubeApi,
        *,
        most: int = 5_000,
        workers: int = 4,
        per_s: float = 50.0,
        burst: int = 100,
        yields_to: Callable[[], bool] = lambda: False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.sent: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.observe: Callable[[Json], None] = lambda _: None
        self._client = client
        self._line = EventQueue(most)
        self._crowded = most - most // 5
        self._yields_to = yields_to
        self._busy_since: float | None = None
        self._workers = workers
        self._per_s, self._burst = per_s, burst
        self._jitter = jitter
        self._clock = clock
        self._began, self._began_s = clock(), time.monotonic()
        self._correlator = EventCorrelator()
        self._mirrored: Lru[int] = Lru(_MIRRORED_MEMORY)  # hash of the Name, a third of its size → count on the server
        self._mirroring: dict[Name, Series] = {}  # those in line or in flight
        self._in_flight = 0
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._failures = 0
        self._log = ThrottledLog(log)
        self._open_at = float("-inf")

    def __len__(self) -> int:
        """Events that are not on the server yet."""
        return len(self._line) + self._in_flight

    @property
    def has_room(self) -> bool:
        """Whether more than our own may be put: who can put it later waits until then, and nothing is lost."""
        return len(self._line) < self._crowded

    def put(self, event: Json, key: Hashable | None = None) -> None:
        """Take a finished Event.

        key None: one of our own; its like before it is counted on instead (P48).
        key given: a cloud's event mirrored under a name that is always the same for it, whoever posts it; it is
        posted once per name, and again only with a higher count.
        """
        if key is None:
            series = self._correlator.observe(event, _now())
            if series is None:
                self.dropped["spam"] += 1
                return
        else:
            mirrored = self._mirror(event)
            if mirrored is None:
                return
            series = mirrored
        self.observe(event)
        self._enqueue(series)

    async def known_names(self, host: str) -> set[str]:
        """Names of the events already mirrored for this source host, which `put` will then not post again.

        Raises KubeError; going on without it is safe, only slow.
        """
        names: set[str] = set()
        params = {"fieldSelector": "source=kubelet", "limit": str(_PAGE)}
        pages = 0
        while (pages := pages + 1) <= bounds.MOST_PAGES:
            answer = await self._client.get(paths.events(), params=params)
            for event in objects.checked_items(answer, "events"):
                name, source = objects.text_of(event, "name"), event.get("source") if isinstance(event, dict) else None
                if name and isinstance(source, dict) and source.get("host") == host:
                    names.add(name)
                    self._mirrored.put(hash(f"{objects.text_of(event, 'namespace')}/{name}"), count_of(event))
            token = answer["metadata"].get("continue")
            if not token:
                break
            params["continue"] = str(token)
        return names

    async def run(self) -> None:
        """Send until cancelled."""
        rate = TokenBucket(burst=self._burst, per_s=self._per_s, now=_now())
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(retry_loop(lambda: self._send_next(rate), name="events", jitter=self._jitter))

    async def flush(self, deadline_s: float) -> bool:
        """Wait until all is sent; False when the deadline came first. `run` must be running."""
        try:
            async with asyncio.timeout(deadline_s):
                await self._idle.wait()
        except TimeoutError:
            log.warning("events left unsent count=%d", len(self))
            return False
        return True

    # --- into the line

    def _mirror(self, event: Json) -> Series | None:
        """The series to send, or None when the server has it, or had it and forgot."""
        name, count = _name(event), count_of(event)
        known = self._mirrored.get(hash(name)) or 0
        series = self._mirroring.get(name)
        if series is not None:
            if count > series.count:
                series.add(event)
            return None if series.queued or series.in_flight else series
        if count <= known or (not known and self._is_forgotten(event)):
            return None
        series = self._mirroring[name] = Series(event, mirrored=True, on_server=known)
        return series

    def _is_forgotten(self, event: Json) -> bool:
        """Whether it ended so long before our start that a predecessor posted it and the server has dropped it."""
        reported = event.get("lastTimestamp") or event.get("eventTime") or ""
        try:
            return datetime.fromisoformat(str(reported)) < self._start() - _KEPT_BY_SERVER
        except (ValueError, TypeError):
            return False

    def _start(self) -> datetime:
        """When we began, by the clock as it was then or is now: one of them may be hours off."""
        return min(self._began, self._clock() - timedelta(seconds=time.monotonic() - self._began_s))

    def _enqueue(self, series: Series) -> None:
        if series.queued or series.in_flight:
            return  # whoever sends it sends what it is by then
        victim = self._line.add(series)
        if victim is not None:
            self._drop(victim, "full")
        if len(self._line):
            self._idle.clear()
            self._work.set()

    def _drop(self, series: Series, why: str) -> None:
        self.dropped[why] += 1
        series.tries = 0
        self._mirroring.pop(_name(series.event), None)

    # --- out of the line

    async def _send_next(self, rate: TokenBucket) -> None:
        series = await self._next()
        series.in_flight = True
        self._in_flight += 1
        again = False
        try:
            await asyncio.sleep(rate.reserve(_now(), _YIELDING if self._yields(series) else 1.0))
            again = await self._deliver(series)
        except Exception:
            self._drop(series, "failed")
            raise
        finally:
            series.in_flight = False
            self._in_flight -= 1
            if again:
                self._enqueue(series)
            if not len(self):
                self._idle.set()

    def _yields(self, series: Series) -> bool:
        if not self._yields_to():
            self._busy_since = None
            return False
        now = _now()
        self._busy_since = now if self._busy_since is None else self._busy_since
        return not series.is_warning and now - self._busy_since < _YIELDS_S

    async def _next(self) -> Series:
        while True:
            pause_s = self._open_at - _now()
            if pause_s > 0:
                await asyncio.sleep(pause_s)
            elif series := self._line.pop():
                return series
            else:
                self._work.clear()
                await self._work.wait()

    async def _deliver(self, series: Series) -> bool:
        """Bring the server to what the series is now. True: it must be tried or told once more."""
        event, count = series.event, series.count
        try:
            await (self._recount(event) if series.on_server else self._create(series, event))
        except KubeUnavailable as error:
            return self._failed(series, error)
        except Conflict as error:  # two writers met, as at a quota or at the event itself: nothing is done yet
            return self._failed(series, KubeUnavailable(str(error), status=error.status, reason=error.reason))
        except KubeError as error:
            # Most often the namespace is being deleted, and its events with it.
            log.info("dropped event=%s: %s", _name(event), error)
            self._drop(series, "refused")
            return False
        self._failures = 0
        series.tries = 0
        series.on_server = max(series.on_server, count)
        if series.count > count:
            return True
        if series.mirrored:
            self._mirrored.put(hash(_name(event)), series.on_server)
            self._mirroring.pop(_name(event), None)
        return False

    def _failed(self, series: Series, error: KubeUnavailable) -> bool:
        """All workers wait: what ails the server ails it for all. Only answers count as tries, silence does not."""
        pause_s = max(_BACKOFF.delay(self._failures, jitter=self._jitter()), error.retry_after_s or 0.0)
        self._failures += 1
        self._open_at = max(self._open_at, _now() + pause_s)
        self._log.warning((type(error), error.status), "events wait for_s=%.1f: %s", pause_s, error)
        series.tries += 0 if error.unanswered else 1
        if series.tries < _TRIES:
            return True
        self._drop(series, "failed")
        return False

    async def _create(self, series: Series, event: Json) -> None:
        try:
            await self._client.post(_all_of(event), event)
        except Conflict as error:
            if error.reason != ALREADY_EXISTS:
                raise
            await self._found(series, event)
        self.sent["created"] += 1

    async def _found(self, series: Series, event: Json) -> None:
        """It is there: we posted it and lost the answer, or a predecessor did. Counts only rise: ours is no lower."""
        if series.count > 1:
            await self._recount(event)

    async def _recount(self, event: Json) -> None:
        fields = ("count", "lastTimestamp", "message")
        news: Json = {name: event[name] for name in fields if name in event}
        try:
            await self._client.patch(paths.event(event["metadata"]["namespace"], event["metadata"]["name"]), news)
        except NotFound:
            await self._client.post(_all_of(event), _fresh(event))
        self.sent["counted"] += 1


def _name(event: Json) -> Name:
    return f"{event['metadata']['namespace']}/{event['metadata']['name']}"


def _all_of(event: Json) -> str:
    """The collection that it belongs to."""
    return paths.events(event["metadata"]["namespace"])


def _fresh(event: Json) -> Json:
    """The event as it can be created anew, after the server forgot it."""
    volatile = ("resourceVersion", "uid", "creationTimestamp")
    return {**event, "metadata": {name: value for name, value in event["metadata"].items() if name not in volatile}}


def _now() -> float:
    return asyncio.get_running_loop().time()
