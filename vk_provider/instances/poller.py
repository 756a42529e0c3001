"""The loops that keep the cache of instances as the cloud has them.

An instance leaves the cache only when its absence is proven (`absence`).
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace

from vk_provider.cloud.base import Cloud, describe_error
from vk_provider.errors import CloudDenied, CloudError, LeadershipLost
from vk_provider.health import Pulse
from vk_provider.instances.absence import MAX_DELETIONS_PER_POLL, Absence
from vk_provider.instances.cache import BURST_SIZE, InstanceCache
from vk_provider.instances.change_window import ChangeWindow
from vk_provider.instances.poll_schedule import LIST_PAGE_REST_S, PollSchedule
from vk_provider.model.instance import Instance, InstanceReport, InstanceStatus, merge
from vk_provider.model.poll_limits import CAREFUL, PollLimits
from vk_provider.pacing.backoff import Backoff
from vk_provider.retry_loop import reported_elsewhere, retry_loop
from vk_provider.translate import events
from vk_provider.translate.node import CloudHealth

log = logging.getLogger(__name__)

Step = Callable[[], Awaitable[None]]
# The last answer and what came of it, by the report's identity: the same report again changes nothing.
TakenIn = dict[int, tuple[InstanceReport, Instance | None]]

LIST_AGE_S = 300  # how old a list may be at most: events are queried from there on until an answer has some
ANSWERS_AFTER_EMPTY = 6  # answers with events, after an empty one while instances were starting
POLL_OVERLAP_S = 15  # overlap of two incremental polls; statuses are absolute, so overlap costs nothing and gaps would
MISSING_START_EVENT_S = 60.0  # after which no poll for events reaches back to a start any more, at the usual pace
MISSING_LISTS_BEFORE_CHECK = 2  # full listings in a row that must miss an instance before it is looked up by id
BATCH = CAREFUL.ids_per_call
DELETION_POLL_S = 0.5
ID_CHECK_INTERVAL_S = 0.5  # a question about one that turned out to be there: it will be asked again and again
MAX_START_EVENT_LOOKUPS = 5 * BATCH  # instances without an event of their start, after one poll
SILENCE_S = 10.0  # without any answer, and the cloud counts as silent
MOST_FOREIGN = 1000  # remembered
PROVE_S = 5.0  # after which the tags of one that has nothing to say yet are asked for
SHOWN_AFTER_S = 1.0  # by then a poll for changes shows what a create's answer has named
_ON_ITS_WAY = (InstanceStatus.SCHEDULING, InstanceStatus.PENDING, InstanceStatus.UNKNOWN)
RETRY = Backoff(first_s=1.0, most_s=15.0, spread=0.3)  # one cheap call; the end of an outage should be seen soon
RETRY_RESTED = Backoff(first_s=2.0, most_s=15.0, spread=0.3)


def _is_forgotten(now: float, good_at: float | None, limits: PollLimits) -> bool:
    """Whether the cloud does not remember any more what it would have to be asked for."""
    return good_at is not None and now - good_at + POLL_OVERLAP_S > limits.window_s[1]


def _window_s(now: float, good_at: float | None, limits: PollLimits) -> int:
    """How far back to ask, when the last poll that succeeded began at `good_at`."""
    since_s = 0.0 if good_at is None else now - good_at
    least_s, most_s = limits.window_s
    return min(most_s, max(least_s, math.ceil(round(since_s, 3)) + POLL_OVERLAP_S))


def _health_of(error: CloudError) -> CloudHealth:
    reason = "CloudAPIDenied" if isinstance(error, CloudDenied) else "CloudAPIUnavailable"
    return CloudHealth(ok=False, reason=reason, message=str(error))


async def _rest_between_deletion_polls() -> None:
    await asyncio.sleep(DELETION_POLL_S)  # the last states of a container show for seconds only


class _Failed(CloudError):
    """A step failed, and that has been reported."""

    def __init__(self) -> None:
        super().__init__("the cloud failed")


class InstancePoller:
    """Polls for changes, and lists everything, at the pace of `PollSchedule`.

    `ready` is set once the first complete list is in; before that nobody may create or delete (P4).
    """

    def __init__(
        self,
        *,
        cloud: Cloud,
        store: InstanceCache,
        gone: Callable[[Instance], None],
        health_changed: Callable[[], None],
        poll_interval_s: float,
        sweep_interval_s: float,
        jitter: Callable[[], float],
        limits: PollLimits = CAREFUL,
    ) -> None:
        self._limits = limits
        self._cloud = cloud
        self._store = store
        self._gone = gone
        self.health = CloudHealth(ok=None, reason="CloudAPINotTried", message="the cloud has not been asked yet")
        self._answers = asyncio.Event()  # never set for longer than it takes to wake who waits
        self._errors: dict[Step | None, CloudHealth] = {}  # by question, until that is answered; None: by any
        self._unanswered_at: float | None = None  # loop time since when no call of any kind has been answered
        self._health_changed = health_changed
        self.pulse = Pulse()  # of the polls for changes
        self._pace = PollSchedule(poll_interval_s, sweep_interval_s, limits)
        self._jitter = jitter
        self._missing: dict[str, int] = {}  # id → full listings in a row without it
        self.absence = Absence(cloud, store, removed=self._remove, limits=limits)
        self._foreign: dict[str, None] = {}  # ids with which creates were answered, and which are not ours
        # Loop times at which the newest poll that succeeded began, for changes and for events.
        self._good_at: float | None = None
        self._events_good_at: float | None = None
        self._answers_wanted = 0  # answers with events that are needed until nothing older can be missing
        self._window = ChangeWindow()
        self._doubted = asyncio.Event()  # an answer lacked what it should have had
        self._changes: TakenIn = {}
        self._events: TakenIn = {}
        # By instance id, where the newest start has no event: the loop time at which that start was seen.
        self._missing_start_events: dict[str, float] = {}
        self.ready = asyncio.Event()

    def track_deletion(self, instance_id: str) -> None:
        """The cloud accepted its deletion: poll it by id until it is gone."""
        self.absence.track_deletion(instance_id)

    def confirm_deleted(self, instance_id: str) -> None:
        """The cloud said by name that it does not have it any more."""
        self._remove(instance_id)

    def heard(self, unanswered: CloudError | None, took_s: float) -> None:
        """A try of some call was answered, be it by an error, or given up as `unanswered` after so long.

        Calls are tried several times before they fail, which takes minutes with a cloud that takes them and is silent.
        """
        now = asyncio.get_running_loop().time()
        if unanswered is None:
            self._unanswered_at = None
            if self._errors.pop(None, None) is not None and self._errors:
                self._show(next(iter(self._errors.values())))
            return
        if self._unanswered_at is None:
            self._unanswered_at = now - took_s
        if now - self._unanswered_at >= SILENCE_S and not self._errors:
            trouble = self._errors[None] = _health_of(unanswered)
            log.warning("cloud trouble reason=%s: %s", trouble.reason, describe_error(unanswered))
            self._show(trouble)

    async def run(self) -> None:
        async def rest_of_checks() -> None:
            await asyncio.sleep(ID_CHECK_INTERVAL_S * self.absence.still_there)

        async with asyncio.TaskGroup() as tasks:
            await self._loop(self._first_list, until=self.ready.is_set)
            tasks.create_task(self._loop(self.poll, rest=self._rest), name="poll")
            tasks.create_task(self._listen(), name="events")
            tasks.create_task(self._loop(self.list_all, rest=self._rest_of_listing), name="full listing")
            tasks.create_task(self._loop(self._poll_deleted, rest=_rest_between_deletion_polls), name="deletions")
            tasks.create_task(self._loop(self._check_suspects, rest=rest_of_checks), name="suspects")

    async def _first_list(self) -> None:
        await self._list()
        self.ready.set()
        log.info("cloud listed instances=%d", len(self._store))

    async def _loop(
        self,
        step: Step,
        *,
        rest: Step | None = None,
        pause: Callable[[float], Awaitable[None]] | None = None,
        until: Callable[[], bool] = lambda: False,
    ) -> None:
        """Step by step; a cloud that fails is shown on the node, and tried again, for ever."""

        async def guarded() -> None:
            if not await self._guarded(step):
                raise _Failed

        await retry_loop(
            guarded,
            name=f"cloud {step.__name__.strip('_')}",
            backoff=RETRY if rest is None else RETRY_RESTED,
            jitter=self._jitter,
            rest=rest,
            rest_first=rest is not None,
            pause=pause or self._pause,
            on_failure=reported_elsewhere,
            until=until,
        )

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._answers.wait()

    def retry_failed(self) -> None:
        """The cloud answers again: what failed is asked at once."""
        self._answers.set()
        self._answers.clear()

    async def _rest(self) -> None:
        """Until the next poll; cut short when an instance begins to change, or so many do that more polls pay."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            self._store.woken.clear()
            crowd = self.absence.deleting > MAX_DELETIONS_PER_POLL or self._store.moving >= BURST_SIZE
            rest_s = self._pace.interval_until_next_poll_s(loop.time(), moving=self._store.moving > 0, crowd=crowd)
            try:
                async with asyncio.timeout_at(began + rest_s):
                    await self._store.woken.wait()
            except TimeoutError:
                return

    async def _rest_of_listing(self) -> None:
        """Until the next full listing, which doubt brings forward, once: were it to bring forward each, they would take
        as many calls as anybody may make."""
        before_s = self._pace.full_list_interval_s(len(self._store))
        if self._doubted.is_set():
            self._doubted.clear()
            await asyncio.sleep(before_s)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(before_s):
                await self._doubted.wait()

    async def _listen(self) -> None:
        """Apart from the polls for changes, which need not wait for it; while those fail nothing else is tried."""

        async def rest() -> None:
            await asyncio.sleep(self._pace.interval_s)
            now = asyncio.get_running_loop().time
            # The pace goes by the clock, so there is no event to wait for.
            while (  # noqa: ASYNC110
                self.poll in self._errors or not self._pace.wants_events(now(), moving=self._store.moving > 0)
            ):
                await asyncio.sleep(self._pace.interval_s)

        await self._loop(
            self.poll_events, rest=rest, pause=lambda seconds: asyncio.sleep(max(self._pace.interval_s, seconds))
        )

    async def _guarded(self, step: Step) -> bool:
        """Run one step; a cloud that fails is shown on the node."""
        known = self._errors.get(step)
        try:
            await step()
        except CloudError as error:
            trouble = _health_of(error)
            self._beat(step, trouble)
            if trouble != known:
                log.warning("cloud trouble reason=%s: %s", trouble.reason, describe_error(error))
        except LeadershipLost as error:  # nothing that the cloud did: whoever serves the node now goes on
            log.info("poll of the cloud ends: %s", error)
            return False
        except Exception as error:  # what nobody foresaw must not end the process, and with it all pods
            trouble = CloudHealth(
                ok=False,
                reason="CloudAnswerNotUnderstood",
                message=f"an answer of the cloud could not be read ({type(error).__name__}); see the provider's log",
            )
            self._beat(step, trouble)
            if trouble != known:
                log.exception("cloud trouble reason=%s", trouble.reason)
        else:
            self._beat(step, None)
            self._clear_error(step)
            return True
        self._errors[step] = trouble
        self._show(next(iter(self._errors.values())))
        return False

    def _beat(self, step: Step, trouble: CloudHealth | None) -> None:
        if step not in (self.poll, self._first_list):
            return
        if trouble is None:
            self.pulse.well()
        else:
            self.pulse.failed(trouble.message, trouble.reason)

    def _clear_error(self, step: Step) -> None:
        """The cloud is well once every question that it failed at has been answered, or is no question any more."""
        self._errors.pop(step, None)
        if self._errors:
            self._show(next(iter(self._errors.values())))
        elif not self.health.ok:
            log.info("cloud answers")
            self._show(CloudHealth(ok=True, reason="CloudAPIAnswers", message="the cloud API answers"))

    def _show(self, health: CloudHealth) -> None:
        if health != self.health:
            self.health = health
            self._health_changed()

    async def poll(self) -> None:
        """Take in what changed since the last poll that succeeded."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        if _is_forgotten(began, self._good_at, self._limits):
            await self._list()
            return
        window_s = _window_s(began, self._good_at, self._limits)
        reports = await self._cloud.changes(window_s)
        lacking = self._lacking(reports, began, window_s)
        unknown, self._changes = self._ingest(reports, self._changes)
        await self._refresh(dict.fromkeys([*unknown, *lacking]))
        await self._prove(self._store.unproven_for(PROVE_S)[:MAX_START_EVENT_LOOKUPS])
        self._good_at = began
        self._pace.record_poll(began, took_s=loop.time() - began, reports=len(reports))

    def _lacking(self, reports: Sequence[InstanceReport], began: float, window_s: int) -> Sequence[str]:
        """Who should be in this answer and is not, some of them: what became of them is to be asked by their ids."""
        since = began if self._good_at is None else self._good_at
        lacking = [
            each
            for each in self._window.lacking(reports, since=since, oldest=began - window_s + POLL_OVERLAP_S)
            if (instance := self._store.get(each)) is not None
            and not instance.status.is_ended
            and not self.absence.is_awaited(each)
        ]
        if lacking:
            self._doubted.set()
        # Whose tags are due is asked for with those.
        left_out = {*(report.id for report in reports), *self._store.unproven_for(PROVE_S)}
        made = [each for each in self._store.unproven_for(SHOWN_AFTER_S) if each not in left_out]
        return [*lacking, *made][:MAX_START_EVENT_LOOKUPS]

    async def poll_events(self) -> None:
        """Take in what happened; events of an instance that is not known yet come again."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        if _is_forgotten(began, self._good_at, self._limits):
            return  # the next poll for changes is about to list everything, events too
        if _is_forgotten(began, self._events_good_at, self._limits):
            await self._list()
        reports = await self._cloud.events(_window_s(began, self._events_good_at, self._limits))
        _, self._events = self._ingest(reports, self._events)
        self._pace.events_at = began
        # An empty answer proves nothing: so long as nothing comes the next poll reaches further back. Where nothing has
        # happened that costs nothing. Where something should have, the first answer may be a part as well.
        if not reports:
            self._answers_wanted = ANSWERS_AFTER_EMPTY if self._store.moving else max(1, self._answers_wanted)
        elif self._answers_wanted:
            self._answers_wanted -= 1
        oldest = began - LIST_AGE_S
        self._events_good_at = max(oldest, self._events_good_at or oldest) if self._answers_wanted else began
        self._pace.events_took_s = loop.time() - began
        await self._fetch_missing_start_events(began)

    def _ingest(self, reports: Sequence[InstanceReport], before: TakenIn) -> tuple[Sequence[str], TakenIn]:
        """The ids of those that are not known yet, or not for sure, each once; and what is `before` to the next answer
        of this call."""
        now: TakenIn = {}
        unknown: dict[str, None] = {}
        owners = {report.id: report.owner.uid for report in reports if report.owner is not None}
        for report in reports:
            known = self._store.get(report.id)
            if known is not None and not known.proven and owners.get(report.id) == known.owner.uid:
                self._store.put(replace(known, proven=True))
                known = self._store.get(report.id)
            if known is None or not known.proven:
                is_placed = bool(report.ip) or report.status not in (None, *_ON_ITS_WAY)
                if known is None or report.id in owners or is_placed:
                    unknown[report.id] = None
                continue
            if before.get(id(report), (None, None))[1] is not known:
                self._store.put(merge(known, report))
                if self._store.get(report.id) is not known:
                    self._pace.changed_at = asyncio.get_running_loop().time()
                    self._note_missing_start_event(report.id)
            now[id(report)] = report, self._store.get(report.id)
        return [*unknown], now

    def _note_missing_start_event(self, instance_id: str) -> None:
        instance = self._store.get(instance_id)
        if instance is None or events.has_all_start_events(instance):
            self._missing_start_events.pop(instance_id, None)
        else:
            self._missing_start_events.setdefault(instance_id, asyncio.get_running_loop().time())

    async def _fetch_missing_start_events(self, heard_at: float) -> None:
        """Query them by id, once each: partial answers may have left them out until their events were too old."""
        due = [
            each for each, seen_at in self._missing_start_events.items() if heard_at - seen_at >= MISSING_START_EVENT_S
        ]
        for each in due:
            self._note_missing_start_event(each)  # a full answer may have had it since
        asked = [each for each in due if each in self._missing_start_events][:MAX_START_EVENT_LOOKUPS]
        found = await self._refresh(asked)
        for each in asked:
            self._missing_start_events.pop(each, None)
            if each in self._store and each not in found:
                self._missing_start_events[each] = heard_at  # this answer was a part as well

    async def list_all(self) -> None:
        """List everything: take in what no incremental poll showed, and find out what is missing.

        A full listing takes minutes. Of instances made or changed meanwhile, the incremental polls know more.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        before = {instance.id: instance.status for instance in self._store}
        counted = await self._cloud.statuses(rest_s=LIST_PAGE_REST_S)
        self._pace.full_list_took_s = loop.time() - began
        await self._refresh([each for each in counted if self._missed(before.get(each), counted[each], each)])
        suspects = []
        for instance_id in [each for each in before if each in self._store]:
            if instance_id in counted:
                self._missing.pop(instance_id, None)
                continue
            self._missing[instance_id] = self._missing.get(instance_id, 0) + 1
            if self._missing[instance_id] >= MISSING_LISTS_BEFORE_CHECK:
                suspects.append(instance_id)
        await self.absence.remove_if_gone(suspects)
        for instance_id in [each for each in self._missing if each not in self._store]:
            del self._missing[instance_id]

    def _missed(self, before: InstanceStatus | None, counted: InstanceStatus, instance_id: str) -> bool:
        """Whether no poll showed what the listing has of it: it was not known and is not, or is as it was `before`."""
        instance = self._store.get(instance_id)
        now = instance.status if instance else None
        return now is before and (now is None or counted not in (InstanceStatus.UNKNOWN, now))

    async def _list(self) -> None:
        began = asyncio.get_running_loop().time()
        for instance in await self._cloud.list():
            self._store.put(instance)
        self._good_at = self._pace.events_at = began
        self._events_good_at = began - LIST_AGE_S

    async def _refresh(self, instance_ids: Collection[str]) -> Collection[str]:
        """Take in all that the cloud has of them; returns those in the answer."""
        if not instance_ids:
            return ()
        found = await self._cloud.describe([*instance_ids])
        for instance in found.values():
            self._store.put(instance)
        return found.keys()

    async def _prove(self, instance_ids: Sequence[str]) -> None:
        """Query the tags of those that only a create's answer has named, and drop those that are others'."""
        shown = await self._refresh(instance_ids)
        hidden = [each for each in instance_ids if each not in shown]
        if hidden:
            self.disown(await self._cloud.foreign(hidden))

    def disown(self, instance_ids: Collection[str]) -> None:
        """By their tags they are not ours. What was shown as ours before is not let go so easily."""
        for instance_id in instance_ids:
            if instance_id in self._store.unproven:
                log.error("a create was answered with instance=%s, which is not ours", instance_id)
                self._foreign[instance_id] = None
                self._store.remove(instance_id)
        while len(self._foreign) > MOST_FOREIGN:
            self._foreign.pop(next(iter(self._foreign)))

    def is_foreign(self, instance_id: str) -> bool:
        """Whether a create named it, and its tags somebody else."""
        return instance_id in self._foreign

    async def _poll_deleted(self) -> None:
        if self.absence.deleting:
            await self.absence.poll_deleted()

    async def _check_suspects(self) -> None:
        """In a loop of its own: such calls are few a minute, people need them too, and no poll must wait for them."""
        self.absence.suspicion_changed.clear()
        if not self.absence.suspects:
            self._clear_error(self._check_suspects)
            await self.absence.suspicion_changed.wait()
        await self.absence.confirm_absent()

    def _remove(self, instance_id: str) -> None:
        instance = self._store.get(instance_id)
        if instance is None:
            return
        self._gone(instance)  # before the store says so: whoever reads must find the last states
        self.absence.forget(instance_id)
        self._missing_start_events.pop(instance_id, None)
        self._store.remove(instance_id)
        log.info("instance gone instance=%s pod=%s/%s", instance_id, instance.owner.namespace, instance.owner.name)
