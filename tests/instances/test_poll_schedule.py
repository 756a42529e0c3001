"""How often the cloud is asked what has changed."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest

from tests.control import pure_time
from tests.control.memory_cloud import MemoryCloud
from vk_provider.errors import CloudDenied
from vk_provider.instances.absence import MAX_DELETIONS_PER_POLL
from vk_provider.instances.cache import InstanceCache
from vk_provider.instances.poll_schedule import PollSchedule
from vk_provider.instances.poller import InstancePoller
from vk_provider.model.instance import Instance, InstanceReport, InstanceStatus, Owner

MINUTE = 60
PAGE = 200


class CountedCloud(MemoryCloud):
    """looks, listened: seconds. Tells of what changed in the last minute only, as ECI does."""

    def __init__(self, *instances: Instance) -> None:
        super().__init__(*instances)
        self.looks: list[float] = []
        self.listened: list[float] = []
        self.listening_s = 0.0
        self.counts: list[float] = []  # pages of them
        self.told: dict[str, InstanceReport] = {}

    async def changes(self, window_s):
        self.looks.append(asyncio.get_running_loop().time())
        return list(self.told.values())

    async def events(self, window_s):
        self.listened.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.listening_s)
        return []

    async def statuses(self, *, rest_s=0.0):
        counted: dict[str, InstanceStatus] = {}
        while True:
            self.counts.append(asyncio.get_running_loop().time())
            page = [*self.instances.values()][len(counted) : len(counted) + PAGE]
            counted |= {each.id: each.status for each in page}
            if len(counted) >= len(self.instances):
                return counted
            await asyncio.sleep(rest_s)

    def tell(self, name: str, status: InstanceStatus) -> None:
        self.instances[name] = instance(name, status)
        self.told[name] = InstanceReport(name, status=status)


def instance(name: str, status: InstanceStatus = InstanceStatus.RUNNING) -> Instance:
    return Instance(name, Owner("c", "vk", "web", name, f"uid-{name}"), status)


def play(cloud: CountedCloud, story: Callable[[InstancePoller, InstanceCache], object]) -> CountedCloud:
    async def main() -> CountedCloud:
        store = InstanceCache(lambda uid: None)
        poller = InstancePoller(
            cloud=cloud,
            store=store,
            gone=lambda each: None,
            health_changed=lambda: None,
            poll_interval_s=2,
            sweep_interval_s=120,
            jitter=lambda: 0.0,
        )
        task = asyncio.create_task(poller.run())
        await story(poller, store)
        task.cancel()
        await asyncio.wait([task])
        return cloud

    return pure_time.play(main())


def test_a_quiet_node_with_five_thousand_pods_asks_less_than_forty_times_a_minute() -> None:
    cloud = CountedCloud(*(instance(f"i{number}") for number in range(5000)))

    async def ten_minutes(poller, store):
        await asyncio.sleep(10 * MINUTE)

    play(cloud, ten_minutes)
    calls = sorted([*cloud.looks, *cloud.listened, *cloud.counts])
    assert len(calls) / 10 <= 35
    assert max(sum(at <= other < at + MINUTE for other in calls) for at in calls) <= 36, "nor in any one minute"
    assert len(cloud.counts) >= 3 * 5000 / PAGE, "in which all were counted three times"


def test_what_begins_to_move_in_quiet_is_looked_at_within_the_interval() -> None:
    cloud = CountedCloud(instance("a"))

    async def story(poller, store):
        await asyncio.sleep(100)
        store.put(instance("b", InstanceStatus.SCHEDULING))
        await asyncio.sleep(30)

    play(cloud, story)
    later = [at for at in cloud.looks if at > 100]
    assert later[0] <= 102
    assert {round(after - before, 3) for before, after in itertools.pairwise(later)} == {2.0}
    assert sum(at > 100 for at in cloud.listened) == pytest.approx(len(later) / 2, abs=1)


def test_events_that_take_long_are_asked_for_the_more_seldom_and_changes_as_often_as_ever() -> None:
    """Thousands of new instances have tens of thousands of events in the minute that each answer goes back."""
    cloud = CountedCloud(instance("a"), instance("b", InstanceStatus.SCHEDULING))
    cloud.listening_s = 3.0

    async def story(poller, store):
        await asyncio.sleep(100)

    play(cloud, story)
    assert 5 <= len(cloud.listened) <= 1 + 100 / 15
    assert len(cloud.looks) == pytest.approx(100 / 2, abs=1)


def test_where_events_are_denied_the_node_says_so_for_as_long_as_that_is_and_pods_run_all_the_same() -> None:
    """Other questions are answered meanwhile: that must not make the cloud seem well, ill, and well again."""
    cloud = CountedCloud(instance("a", InstanceStatus.SCHEDULING))
    listen, healths = cloud.events, []

    async def denied(window_s):
        await listen(window_s)
        raise CloudDenied("DescribeContainerGroupEvents: not permitted")

    async def story(poller, store):
        poller._health_changed = lambda: healths.append((poller.health.ok, poller.health.message))
        await asyncio.sleep(5)
        cloud.events = denied
        cloud.tell("a", InstanceStatus.RUNNING)
        await asyncio.sleep(8000)  # beyond what the cloud remembers, so that all is listed on the way
        assert store.get("a").status is InstanceStatus.RUNNING
        cloud.events = listen
        await asyncio.sleep(30)

    play(cloud, story)
    assert healths == [
        (True, "the cloud API answers"),
        (False, "DescribeContainerGroupEvents: not permitted"),
        (True, "the cloud API answers"),
    ]
    assert len([at for at in cloud.listened if 60 < at < 300]) <= 240 / 15, "nor is it asked for again and again"
    assert len([at for at in cloud.listened if at > 8005]) >= 1


def test_after_a_change_the_pace_stays_up_for_a_while_and_then_calms_down() -> None:
    cloud = CountedCloud(instance("a"))

    async def story(poller, store):
        await asyncio.sleep(100)
        cloud.tell("a", InstanceStatus.SUCCEEDED)
        await asyncio.sleep(40)

    play(cloud, story)
    later = [at for at in cloud.looks if at > 100]
    steps = [round(after - before, 3) for before, after in itertools.pairwise(later)]
    assert steps == sorted(steps), "from quick to slow"
    assert steps.count(2.0) == 5
    assert steps[-1] == 3.0


def test_what_is_told_again_is_taken_in_once() -> None:
    """The cloud tells each change for a minute; a merge of each, each time, would be most of what a burst costs."""
    cloud = CountedCloud(instance("a", InstanceStatus.PENDING))
    changed: list[str] = []

    async def story(poller, store):
        await asyncio.sleep(10)
        cloud.tell("a", InstanceStatus.RUNNING)
        store._changed = changed.append
        await asyncio.sleep(20)
        stale = instance("a", InstanceStatus.PENDING)  # an answer overtaken on its way puts an older state back
        store.put(stale)
        await asyncio.sleep(5)
        assert store.get("a").status is InstanceStatus.RUNNING, "what was told is told to the newcomer too"

    play(cloud, story)
    assert changed == ["uid-a"] * 3


def test_when_a_thousand_leave_the_bulk_call_is_made_oftener() -> None:
    cloud = CountedCloud(*(instance(f"i{number}", InstanceStatus.TERMINATING) for number in range(1000)))

    async def story(poller, store):
        await asyncio.sleep(1)
        for each in cloud.instances:
            poller.track_deletion(each)
        await asyncio.sleep(10)

    play(cloud, story)
    later = [at for at in cloud.looks if at > 3]
    assert {round(after - before, 3) for before, after in itertools.pairwise(later)} == {0.5}


def test_full_counts_grow_rarer_with_what_is_to_be_counted() -> None:
    pace = PollSchedule(2, 120)
    assert [pace.full_list_interval_s(held) for held in (0, 1000, 4000, 5000, 10_000)] == [120, 120, 120, 150, 300]


def test_what_a_count_took_is_part_of_the_time_to_the_next() -> None:
    pace = PollSchedule(2, 120, full_list_took_s=100)
    assert [pace.full_list_interval_s(held) for held in (1000, 5000)] == [20, 50]
    pace.full_list_took_s = 200
    assert pace.full_list_interval_s(1000) == 5, "and still there is a rest"


def test_what_changes_while_all_are_counted_is_not_asked_for_again() -> None:
    """The looks have told of it; a count that takes minutes is older than they are."""
    cloud = CountedCloud(*(instance(f"i{number}") for number in range(3 * PAGE)))

    async def story(poller, store):
        await asyncio.sleep(121)
        store.put(instance("i1", InstanceStatus.SUCCEEDED))  # counted already, as running
        cloud.instances["new"] = instance("new", InstanceStatus.SCHEDULING)
        store.put(instance("new"))
        await asyncio.sleep(60)
        assert "describe" not in cloud.calls
        assert store.get("i1").status is InstanceStatus.SUCCEEDED
        assert store.get("new").status is InstanceStatus.RUNNING
        await asyncio.sleep(100)
        assert cloud.calls.count("describe") == 1, "the next count differs, and no look told why"

    play(cloud, story)
    assert [at for at in cloud.counts if at < 250] == [120, 125, 130, 135, 240, 245]


def test_one_that_left_while_all_are_counted_is_not_put_back() -> None:
    cloud = CountedCloud(*(instance(f"i{number}") for number in range(3 * PAGE)))

    async def story(poller, store):
        await asyncio.sleep(126)
        poller.confirm_deleted("i1")
        poller.confirm_deleted(f"i{3 * PAGE - 1}")
        await asyncio.sleep(60)
        assert "describe" not in cloud.calls
        assert len(store) == 3 * PAGE - 2

    play(cloud, story)


def test_while_a_hundred_start_the_bulk_call_is_made_oftener_from_the_moment_there_are_so_many() -> None:
    cloud = CountedCloud(instance("a"))

    async def story(poller, store):
        await asyncio.sleep(100)
        for number in range(99):
            store.put(instance(f"i{number}", InstanceStatus.SCHEDULING))
        await asyncio.sleep(10.5)
        store.put(instance("i99", InstanceStatus.SCHEDULING))
        await asyncio.sleep(10)

    play(cloud, story)
    few, many = [at for at in cloud.looks if 101 < at < 110.5], [at for at in cloud.looks if at >= 110.5]
    assert {round(after - before, 3) for before, after in itertools.pairwise(few)} == {2.0}
    assert many[0] == 110.5, "at once, for the last look was more than a second ago"
    assert {round(after - before, 3) for before, after in itertools.pairwise(many)} == {0.5}


def test_the_last_of_a_crowd_wait_no_longer_than_the_others_did() -> None:
    """Eighty of a thousand were fewer than a hundred, and waited twice as long for the look that saw them run."""
    cloud = CountedCloud(instance("a"))
    several = [f"i{number}" for number in range(100)]

    async def story(poller, store):
        await asyncio.sleep(100)
        for name in several:
            store.put(instance(name, InstanceStatus.SCHEDULING))
        await asyncio.sleep(10.5)
        for name in several[:80]:
            store.put(instance(name))
        await asyncio.sleep(20)
        for name in several[80:]:
            store.put(instance(name))
        await asyncio.sleep(10)

    play(cloud, story)
    tail = [at for at in cloud.looks if 110.5 < at <= 114.5]
    assert {round(after - before, 3) for before, after in itertools.pairwise(tail)} == {0.5}
    slow = [at for at in cloud.looks if 117 < at <= 130]
    assert {round(after - before, 3) for before, after in itertools.pairwise(slow)} == {2.0}, "who takes long, too"


@pytest.mark.parametrize("several", [1000, 3000, 10_000])
def test_however_long_many_come_the_calls_stay_within_a_minutes_and_nobody_waits_long(several: int) -> None:
    """A call for every 200 that changed in a minute; who has used all of them up is told nothing for a while."""
    cloud = CountedCloud(instance("a"))

    async def story(poller, store):
        await asyncio.sleep(100)
        for name in (f"i{number}" for number in range(several)):
            cloud.tell(name, InstanceStatus.PENDING)
            store.put(instance(name, InstanceStatus.PENDING))
        await asyncio.sleep(300)

    play(cloud, story)
    looks = [at for at in cloud.looks if at >= 100]
    a_look = several / 200
    assert max(sum(a_look for at in looks if began <= at < began + 60) for began in looks) <= 500
    assert max(after - before for before, after in itertools.pairwise(looks)) <= max(2, 60 * a_look / 270 + 0.1)


def test_one_look_of_more_calls_than_a_minute_has_is_followed_by_another_within_a_minute() -> None:
    pace = PollSchedule(2, 120)
    pace.record_poll(0.0, took_s=0.0, reports=1_000_000)
    assert pace.interval_until_next_poll_s(0.0, moving=True, crowd=True) == 60.0


def test_looks_that_take_long_keep_apart() -> None:
    """Each is a call for every 200 instances that changed in a minute, and ECI counts calls."""
    assert PollSchedule(2, 120, poll_took_s=3.0).interval_until_next_poll_s(0, moving=True, crowd=True) == 1.5
    assert PollSchedule(2, 120, poll_took_s=3.0).interval_until_next_poll_s(0, moving=True, crowd=False) == 2.0


def test_a_look_that_stood_still_for_minutes_makes_nobody_wait_for_the_next() -> None:
    """Chaos seeds 7025 and 9019: the process was stopped, or the cloud was out, and no event came for minutes."""
    pace = PollSchedule(2, 120, events_at=100.0, poll_took_s=60.0, events_took_s=60.0)
    assert pace.interval_until_next_poll_s(0, moving=True, crowd=True) == 2.0
    assert pace.wants_events(120.0, moving=True)


def test_a_crowd_is_more_than_can_be_seen_off_in_one_go() -> None:
    assert PollSchedule(2, 120).interval_until_next_poll_s(0, moving=True, crowd=True) < PollSchedule(
        2, 120
    ).interval_until_next_poll_s(0, moving=True, crowd=False)
    assert MAX_DELETIONS_PER_POLL < 1000
