"""What the cloud has: the instances as last seen, and the loop that keeps them so.

Rules: an instance leaves the store only when its absence is proven (an empty or partial answer proves nothing); a
change of an instance says "look at this pod again" and nothing more.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

from vk_provider.cloud.base import Cloud, describe_error
from vk_provider.errors import CloudDenied, CloudError, CloudRefused, CloudUnavailable
from vk_provider.health import Pulse
from vk_provider.instances.poll_schedule import LIST_PAGE_REST_S, PollSchedule
from vk_provider.model.instance import UNKNOWN_MAKE, Instance, InstanceReport, InstanceStatus, merge, without_older
from vk_provider.pacing.backoff import Backoff
from vk_provider.retry_loop import retry_loop, told_elsewhere
from vk_provider.translate import events, status
from vk_provider.translate.node import CloudHealth

log = logging.getLogger(__name__)

Step = Callable[[], Awaitable[None]]
# What the last answer told and what came of it, by the report's identity: the same again is no news.
TakenIn = dict[int, tuple[InstanceReport, Instance | None]]

LIST_AGE_S = 300  # how old a list may be at the most: events since are asked for, until an answer tells of some
ANSWERS_AFTER_EMPTY = 6  # answers that tell of events, after one that told of none while something was on its way
POLL_OVERLAP_S = 15  # overlap of two incremental looks; statuses are absolute, so overlap costs nothing and gaps would
LEAST_WINDOW_S, MOST_WINDOW_S = 60, 3600
MISSING_START_EVENT_S = 60.0  # after which no look for events goes back to a start any more, at the usual pace
MISSING_LISTS_BEFORE_CHECK = 2  # full listings in a row that must miss an instance before it is looked up by id
BATCH = 20
DELETION_POLL_S = 0.5
# While a thousand leave each question takes long at both ends: one after the other would be too slow to see the last
# states, which show for seconds only.
CONCURRENT_BATCHES = 8
CONCURRENT_ID_CHECKS = 10  # questions about single instances, where no witness stands for many
ID_CHECK_INTERVAL_S = 0.5  # a question about one that turned out to be there: it will be asked again and again
BURST_SIZE = 100  # on their way at once: a burst, in which everybody waits for the next look
MAX_START_EVENT_LOOKUPS = 5 * BATCH  # of whose starts no event tells, after one look
MAX_DELETIONS_PER_POLL = 10 * (BATCH - 1)  # in one look, so that those who come need not wait for a thousand who go
SILENCE_S = 10.0  # without any answer, and the cloud counts as silent
MOST_FOREIGN = 1000  # remembered
PROVE_S = 5.0  # after which the tags of one that has nothing to say yet are asked for
_ON_ITS_WAY = (InstanceStatus.SCHEDULING, InstanceStatus.PENDING, InstanceStatus.UNKNOWN)
RETRY = Backoff(first_s=1.0, most_s=15.0, spread=0.3)  # one cheap call; the end of an outage should be seen soon
RETRY_RESTED = Backoff(first_s=2.0, most_s=15.0, spread=0.3)


class InstanceCache:
    """Instances by id and by pod uid. `changed` is called with the pod uid after each change.

    An instance is one pod's: that of its tags, as shown last; or, by a create's answer alone, that of the first such.
    """

    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed
        self.stirred = asyncio.Event()  # set when something begins to move while nothing did, and when many do
        self._moving: set[str] = set()
        self._by_id: dict[str, Instance] = {}
        self._by_uid: dict[str, tuple[Instance, ...]] = {}
        self._unproven: dict[str, float] = {}  # id → loop time since when

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, instance_id: str) -> bool:
        return instance_id in self._by_id

    def __iter__(self) -> Iterator[Instance]:
        return iter(self._by_id.values())

    @property
    def moving(self) -> int:
        """How many instances are on their way from one state to another."""
        return len(self._moving)

    def get(self, instance_id: str) -> Instance | None:
        return self._by_id.get(instance_id)

    def of(self, uid: str) -> Sequence[Instance]:
        return self._by_uid.get(uid, ())

    @property
    def unproven(self) -> Collection[str]:
        """Ids of those that no tags have shown yet to be their pods'."""
        return self._unproven.keys()

    def unproven_for(self, seconds: float) -> Sequence[str]:
        """Those that have been so for so long, the oldest first."""
        now = asyncio.get_running_loop().time()
        return [each for each, since in self._unproven.items() if now - since >= seconds]

    def put(self, instance: Instance) -> None:
        known = self._by_id.get(instance.id)
        if known is not None and known.owner.uid != instance.owner.uid:
            if not instance.proven:
                return
            log.warning("instance=%s is of pod=%s by its tags", instance.id, _pod_of(instance))
            self.remove(instance.id)
            known = None
        if known is not None:
            instance = _with_all_known(known, instance)
        if known == instance:
            return
        self._by_id[instance.id] = instance
        if instance.proven:
            self._unproven.pop(instance.id, None)
        else:
            self._unproven.setdefault(instance.id, asyncio.get_running_loop().time())
        self._note_movement(instance)
        others = self._by_uid.get(instance.owner.uid, ())
        if any(each.id == instance.id for each in others):
            others = tuple(instance if each.id == instance.id else each for each in others)
        else:
            others = (*others, instance)
        self._by_uid[instance.owner.uid] = others
        self._changed(instance.owner.uid)

    def remove(self, instance_id: str) -> Instance | None:
        instance = self._by_id.pop(instance_id, None)
        if instance is None:
            return None
        self._moving.discard(instance_id)
        self._unproven.pop(instance_id, None)
        siblings = tuple(each for each in self._by_uid[instance.owner.uid] if each.id != instance_id)
        if siblings:
            self._by_uid[instance.owner.uid] = siblings
        else:
            del self._by_uid[instance.owner.uid]
        self._changed(instance.owner.uid)
        return instance

    def _note_movement(self, instance: Instance) -> None:
        if instance.status is InstanceStatus.RUNNING or instance.status.is_ended:
            self._moving.discard(instance.id)
            return
        self._moving.add(instance.id)
        if len(self._moving) in (1, BURST_SIZE):
            self.stirred.set()


def _with_all_known(known: Instance, told: Instance) -> Instance:
    """What is told, with what others told before: a full look does not tell all. Of equal parts the one that is held
    already, so that there are not two."""
    newer = without_older(known, told)
    kept: dict[str, Any] = {
        name: getattr(known, name)
        for name in ("placed_at", "ended_at", "sku")
        if getattr(known, name) and not getattr(told, name)
    }
    if known.proven and not newer.proven:
        kept["proven"] = True
    if newer.owner is not known.owner and newer.owner == known.owner:
        kept["owner"] = known.owner
    if newer.made_of is not known.made_of and newer.made_of in (known.made_of, UNKNOWN_MAKE):
        kept["made_of"] = known.made_of
    if newer.owner_annotations is not known.owner_annotations:
        joined = {**known.owner_annotations, **newer.owner_annotations}
        kept["owner_annotations"] = known.owner_annotations if joined == known.owner_annotations else joined
    return replace(newer, **kept) if kept else newer


def _pod_of(instance: Instance) -> str:
    return f"{instance.owner.namespace}/{instance.owner.name}"


def _says_something(report: InstanceReport) -> bool:
    """More than that it is on its way."""
    return bool(report.ip) or report.status not in (None, *_ON_ITS_WAY)


def _raise_first(answers: Sequence[object]) -> None:
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer


def _is_forgotten(now: float, good_at: float | None) -> bool:
    """Whether the cloud does not remember any more what it would have to be asked for."""
    return good_at is not None and now - good_at + POLL_OVERLAP_S > MOST_WINDOW_S


def _window_s(now: float, good_at: float | None) -> int:
    """What is to be looked back over, when the last look that succeeded began at `good_at`."""
    since_s = 0.0 if good_at is None else now - good_at
    return min(MOST_WINDOW_S, max(LEAST_WINDOW_S, math.ceil(round(since_s, 3)) + POLL_OVERLAP_S))


def _health_of(error: CloudError) -> CloudHealth:
    reason = "CloudAPIDenied" if isinstance(error, CloudDenied) else "CloudAPIUnavailable"
    return CloudHealth(ok=False, reason=reason, message=str(error))


class _Failed(CloudError):
    """A step failed, and that has been told."""

    def __init__(self) -> None:
        super().__init__("the cloud failed")


class InstancePoller:
    """Looks for changes, and counts everything, at the pace of `PollSchedule`.

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
    ) -> None:
        self._cloud = cloud
        self._store = store
        self._gone = gone
        self.health = CloudHealth(ok=None, reason="CloudAPINotTried", message="the cloud has not been asked yet")
        self._errors: dict[Step | None, CloudHealth] = {}  # by question, until that is answered; None: by any
        self._unanswered_at: float | None = None  # loop time since when no call of any kind has been answered
        self._health_changed = health_changed
        self.pulse = Pulse()  # of the looks for changes
        self._pace = PollSchedule(poll_interval_s, sweep_interval_s)
        self._jitter = jitter
        self._deleting: dict[str, None] = {}  # ids whose deletion the cloud accepted: to be seen off by id, in turns
        self._missing: dict[str, int] = {}  # id → full counts in a row without it
        self._suspected: dict[
            str, None
        ] = {}  # of those that leave: not to be seen any more, and nobody vouches for that
        self._suspicion_changed = asyncio.Event()
        self._foreign: dict[str, None] = {}  # ids with which creates were answered, and which are not ours
        self._asked: Sequence[str] = ()  # by name, the last time
        # Loop times at which the newest look that succeeded began, for changes and for events.
        self._good_at: float | None = None
        self._events_good_at: float | None = None
        self._answers_wanted = 0  # that tell of events, until all of what was before the last ones counts as told
        self._changes: TakenIn = {}
        self._events: TakenIn = {}
        # By instance id, where no event tells of the newest start: the loop time at which that start was seen.
        self._missing_start_events: dict[str, float] = {}
        self.ready = asyncio.Event()

    def track_deletion(self, instance_id: str) -> None:
        """The cloud accepted its deletion: ask by id until it is gone, for no incremental answer says so."""
        self._deleting[instance_id] = None

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
        async with asyncio.TaskGroup() as tasks:
            await self._loop(self._first_list, until=self.ready.is_set)
            tasks.create_task(self._loop(self.poll, rest=self._rest), name="poll")
            tasks.create_task(self._listen(), name="events")
            tasks.create_task(self._loop(self.list_all, rest=self._rest_from_counting), name="sweep")
            tasks.create_task(self._loop(self._see_off_if_any, rest=self._rest_from_seeing_off), name="departures")
            tasks.create_task(self._loop(self._ask_if_doubted, rest=self._rest_from_asking), name="doubts")

    async def _first_list(self) -> None:
        await self._list()
        self.ready.set()
        log.info("cloud listed instances=%d", len(self._store))

    async def _loop(
        self,
        step: Step,
        *,
        rest: Step | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
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
            pause=pause,
            on_failure=told_elsewhere,
            until=until,
        )

    async def _rest(self) -> None:
        """Until the next look; cut short when something begins to move, or so many do that it pays to look oftener."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            self._store.stirred.clear()
            crowd = len(self._deleting) > MAX_DELETIONS_PER_POLL or self._store.moving >= BURST_SIZE
            rest_s = self._pace.interval_until_next_poll_s(loop.time(), moving=self._store.moving > 0, crowd=crowd)
            try:
                async with asyncio.timeout_at(began + rest_s):
                    await self._store.stirred.wait()
            except TimeoutError:
                return

    async def _listen(self) -> None:
        """Apart from the looks for changes, which need not wait for it; while those fail nothing else is tried."""

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

    async def _rest_from_counting(self) -> None:
        await asyncio.sleep(self._pace.full_list_interval_s(len(self._store)))

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
        """Take in what changed since the last look that succeeded."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        if _is_forgotten(began, self._good_at):
            await self._list()
            return
        reports = await self._cloud.changes(_window_s(began, self._good_at))
        unknown, self._changes = self._ingest(reports, self._changes)
        await self._refresh(unknown)
        await self._prove(self._store.unproven_for(PROVE_S)[:MAX_START_EVENT_LOOKUPS])
        self._good_at = began
        self._pace.record_poll(began, took_s=loop.time() - began, told=len(reports))

    async def poll_events(self) -> None:
        """Take in what happened; of an instance that is not known yet it will be told once more."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        if _is_forgotten(began, self._good_at):
            return  # the next look for changes is about to list everything, events too
        if _is_forgotten(began, self._events_good_at):
            await self._list()
        reports = await self._cloud.events(_window_s(began, self._events_good_at))
        _, self._events = self._ingest(reports, self._events)
        self._pace.events_at = began
        # An empty answer proves nothing: so long as nothing is told the next look goes further back. Where nothing has
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
                if known is None or report.id in owners or _says_something(report):
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
        if instance is None or events.tells_of_starts(instance):
            self._missing_start_events.pop(instance_id, None)
        else:
            self._missing_start_events.setdefault(instance_id, asyncio.get_running_loop().time())

    async def _fetch_missing_start_events(self, heard_at: float) -> None:
        """Ask about them by id, once each: partial answers may have left them out until their events were too old."""
        due = [
            each for each, seen_at in self._missing_start_events.items() if heard_at - seen_at >= MISSING_START_EVENT_S
        ]
        for each in due:
            self._note_missing_start_event(each)  # a full answer may have told since
        asked = [each for each in due if each in self._missing_start_events][:MAX_START_EVENT_LOOKUPS]
        found = await self._refresh(asked)
        for each in asked:
            self._missing_start_events.pop(each, None)
            if each in self._store and each not in found:
                self._missing_start_events[each] = heard_at  # this answer was a part as well

    async def list_all(self) -> None:
        """Count everything: take in what no incremental look showed, and find out what is missing.

        A count takes minutes. Of one that came or changed meanwhile, the looks have told more than the count can.
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
        await self._remove_if_gone(suspects)
        for instance_id in [each for each in self._missing if each not in self._store]:
            del self._missing[instance_id]

    def _missed(self, before: InstanceStatus | None, counted: InstanceStatus, instance_id: str) -> bool:
        """Whether no look told what was counted of it: it was not known and is not, or stands as `before`."""
        instance = self._store.get(instance_id)
        now = instance.status if instance else None
        return now is before and (now is None or counted not in (InstanceStatus.UNKNOWN, now))

    async def _list(self) -> None:
        began = asyncio.get_running_loop().time()
        for instance in await self._cloud.list():
            self._store.put(instance)
        self._good_at = self._pace.events_at = began
        self._events_good_at = began - LIST_AGE_S

    async def _refresh(self, instance_ids: Sequence[str]) -> Collection[str]:
        """Take in all that the cloud has of them; returns those that the answer told of."""
        if not instance_ids:
            return ()
        found = await self._cloud.describe(instance_ids)
        for instance in found.values():
            self._store.put(instance)
        return found.keys()

    async def _prove(self, instance_ids: Sequence[str]) -> None:
        """Ask for the tags of those that only a create's answer has named, and let go of those that are others'."""
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

    async def _rest_from_seeing_off(self) -> None:
        """Oftener than anything else is asked: the last states of a container can be seen for seconds only."""
        await asyncio.sleep(DELETION_POLL_S)

    async def _see_off_if_any(self) -> None:
        if self._deleting:
            await self.poll_deleted()

    async def poll_deleted(self) -> None:
        """Ask about those whose deletion was accepted, in turns."""
        turn = [each for each in self._deleting if each in self._store][:MAX_DELETIONS_PER_POLL]
        for doubted in await self._remove_if_canary_present(turn):
            self._suspected[doubted] = None
            self._suspicion_changed.set()
        for each in turn:
            self._deleting.pop(each, None)
        self._deleting = {each: None for each in (*self._deleting, *turn) if each in self._store}

    async def _ask_if_doubted(self) -> None:
        """Apart from all looks, which must not wait for such calls: people want them too, and they are few a minute."""
        self._suspicion_changed.clear()
        if not self._suspected:
            self._clear_error(self._ask_if_doubted)
            await self._suspicion_changed.wait()
        self._asked = list(self._suspected)[:CONCURRENT_ID_CHECKS]
        await self.confirm_absent()

    async def _rest_from_asking(self) -> None:
        await asyncio.sleep(ID_CHECK_INTERVAL_S * sum(each in self._store for each in self._asked))

    async def confirm_absent(self) -> None:
        """Have the cloud deny some of those that are only not to be seen."""
        batch = list(self._suspected)[:CONCURRENT_ID_CHECKS]
        try:
            await self._remove_if_not_found(batch)
        finally:
            for instance_id in batch:  # who is there still is doubted again, behind those who wait
                del self._suspected[instance_id]

    async def _remove_if_gone(self, instance_ids: Sequence[str]) -> None:
        """Remove those that the cloud no longer has; where nothing vouches for that, once it has denied each id."""
        await self._remove_if_not_found(await self._remove_if_canary_present(instance_ids))

    async def _remove_if_canary_present(self, instance_ids: Sequence[str]) -> Sequence[str]:
        """Remove those that are gone for sure; returns those that are only not to be seen.

        Each question carries one instance that must be there, as a witness: an answer without it is not believed. Of
        one that was asked to leave and of which all has stopped nothing is left to be missed: it needs no witness.
        """
        doubted: list[str] = []
        witness = self._canary(set(instance_ids)) if instance_ids else ""
        batches = range(0, len(instance_ids), BATCH - 1)
        turns = iter(batches)

        async def ask() -> None:
            for first in turns:
                doubted.extend(await self._still_present(instance_ids[first : first + BATCH - 1], witness))

        askers = min(CONCURRENT_BATCHES, len(batches))
        answers = await asyncio.gather(*(ask() for _ in range(askers)), return_exceptions=True)
        _raise_first(answers)
        return doubted

    async def _still_present(self, batch: Sequence[str], witness: str) -> Sequence[str]:
        doubted: list[str] = []
        found = await self._cloud.describe([*batch, *([witness] if witness else [])])
        for instance in found.values():
            self._store.put(instance)
        for instance_id in [each for each in batch if each not in found]:
            if found or self._is_deleted_and_stopped(instance_id):
                self._remove(instance_id)
            else:
                doubted.append(instance_id)
        return doubted

    def _is_deleted_and_stopped(self, instance_id: str) -> bool:
        instance = self._store.get(instance_id)
        return instance_id in self._deleting and instance is not None and status.all_stopped(instance)

    async def _remove_if_not_found(self, instance_ids: Sequence[str]) -> None:
        """Remove those that the cloud, asked about each by itself, says it does not have.

        Raises what went wrong at one of them, once the others are dealt with.
        """
        few = asyncio.Semaphore(CONCURRENT_ID_CHECKS)

        async def denied(instance_id: str) -> bool:
            async with few:
                return await self._is_not_found(instance_id)

        answers = await asyncio.gather(*map(denied, instance_ids), return_exceptions=True)
        for instance_id, answer in zip(instance_ids, answers, strict=True):
            if answer is True:
                self._remove(instance_id)
        _raise_first(answers)

    async def _is_not_found(self, instance_id: str) -> bool:
        instance = self._store.get(instance_id)
        if instance is None:
            return False
        if instance_id in self._deleting:  # asked for once more, its deletion harms nothing, and more such calls go
            try:
                return not await self._cloud.delete(instance_id)
            except (CloudRefused, CloudUnavailable):
                pass  # the cloud may say so of what is about to go
        return await self._cloud.is_gone(instance_id, instance.containers[0].name if instance.containers else "")

    def _canary(self, suspects: set[str]) -> str:
        """Some live instance that nobody deletes; where all leave, the newest of those that run still."""
        for instance in self._store:
            live = instance.status in (InstanceStatus.RUNNING, InstanceStatus.PENDING)
            if live and instance.id not in suspects and instance.id not in self._deleting:
                return instance.id
        for instance_id in reversed(self._deleting):
            leaving = self._store.get(instance_id)
            if leaving is not None and not status.all_stopped(leaving):
                return instance_id
        return ""

    def _remove(self, instance_id: str) -> None:
        instance = self._store.get(instance_id)
        if instance is None:
            return
        self._gone(instance)  # before the store says so: whoever looks must find the last states
        self._deleting.pop(instance_id, None)
        self._missing_start_events.pop(instance_id, None)
        self._store.remove(instance_id)
        log.info("instance gone instance=%s pod=%s/%s", instance_id, instance.owner.namespace, instance.owner.name)
