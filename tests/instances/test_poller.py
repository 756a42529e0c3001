"""The picture of the cloud: what enters it, and how much proof it takes to leave it."""

import asyncio
import functools
from dataclasses import replace

import pytest

from tests.control.memory_cloud import MemoryCloud
from vk_provider.errors import CloudDenied, CloudRefused, CloudUnavailable
from vk_provider.instances.cache import InstanceCache
from vk_provider.instances.poller import InstancePoller
from vk_provider.model.instance import (
    CloudEvent,
    ContainerReport,
    ContainerState,
    Instance,
    InstanceReport,
    InstanceStatus,
    Owner,
    StateKind,
)

MAIN = ContainerReport("main", ContainerState(StateKind.RUNNING))


def instance(name, status=InstanceStatus.RUNNING):
    return Instance(name, Owner("c", "vk", "web", name, f"uid-{name}"), status, containers=(MAIN,))


class World:
    """One poller over one cloud, with everything it tells others."""

    def __init__(self, *instances):
        self.cloud = MemoryCloud(*instances)
        self.changed, self.gone, self.health = [], [], []
        self.store = InstanceCache(self.changed.append)
        self.poller = InstancePoller(
            cloud=self.cloud,
            store=self.store,
            gone=lambda each: self.gone.append(each.id),
            health_changed=lambda: self.health.append(self.poller.health.reason),
            poll_interval_s=2,
            sweep_interval_s=60,
            jitter=lambda: 0.0,
        )

    async def listed(self):
        await self.poller._first_list()
        self.changed.clear()
        self.cloud.calls.clear()
        return self

    def ids(self):
        return {each.id for each in self.store}


async def test_a_change_names_the_pod_and_no_change_names_nobody():
    world = await World(instance("a"), instance("b")).listed()
    world.cloud.set("a", status=InstanceStatus.SUCCEEDED)
    await world.poller.poll()
    await world.poller.poll()
    assert world.changed == ["uid-a"]


async def test_an_instance_that_only_the_increment_shows_is_described_and_taken_in():
    world = await World(instance("a")).listed()
    world.cloud.instances["b"] = instance("b")
    await world.poller.poll()
    assert world.ids() == {"a", "b"}


async def test_an_instance_that_no_increment_shows_is_found_by_the_sweep():
    world = await World(instance("a")).listed()
    world.cloud.instances["b"] = instance("b")
    await world.poller.list_all()
    assert world.ids() == {"a", "b"}


async def test_one_count_without_it_proves_nothing_two_and_a_question_do():
    world = await World(instance("a"), instance("b")).listed()
    del world.cloud.instances["b"]
    await world.poller.list_all()
    assert world.ids() == {"a", "b"}
    await world.poller.list_all()
    assert (world.ids(), world.gone) == ({"a"}, ["b"])


async def test_an_empty_answer_is_never_taken_for_all_gone():
    """Who has lost the permission to list gets empty lists, not errors."""
    world = await World(instance("a"), instance("b")).listed()
    world.cloud.hidden = {"a", "b"}
    for _ in range(10):
        await world.poller.poll()
        await world.poller.list_all()
    assert (world.ids(), world.gone) == ({"a", "b"}, [])


async def test_the_last_instance_of_all_is_believed_gone_when_the_cloud_denies_it_by_id():
    world = await World(instance("a")).listed()
    del world.cloud.instances["a"]
    await world.poller.list_all()
    await world.poller.list_all()
    assert world.gone == ["a"]


async def test_a_count_that_misses_it_once_now_and_then_never_adds_up():
    world = await World(instance("a"), instance("b")).listed()
    for _ in range(5):
        world.cloud.hidden = {"b"}
        await world.poller.list_all()
        world.cloud.hidden = set()
        await world.poller.list_all()
    assert world.gone == []


async def test_a_deleted_instance_is_seen_off_by_the_next_look():
    world = await World(instance("a"), instance("b")).listed()
    await world.cloud.delete("a")
    world.poller.track_deletion("a")
    await world.poller.absence.poll_deleted()
    assert (world.ids(), world.gone) == ({"b"}, ["a"])


async def test_a_terminating_instance_stays_until_it_is_gone():
    world = await World(instance("a")).listed()
    world.cloud.vanish_on_delete = False
    await world.cloud.delete("a")
    world.poller.track_deletion("a")
    await world.poller.absence.poll_deleted()
    assert world.store.get("a").status is InstanceStatus.TERMINATING
    del world.cloud.instances["a"]
    await world.poller.absence.poll_deleted()
    assert world.gone == [], "nothing vouches for it"
    await world.poller.absence.confirm_absent()
    assert world.gone == ["a"]


async def test_departures_are_asked_for_twenty_at_a_time():
    many = [instance(f"i{number}") for number in range(100)]
    world = await World(*many, instance("stays")).listed()
    for each in many:
        await world.cloud.delete(each.id)
        world.poller.track_deletion(each.id)
    world.cloud.calls.clear()
    await world.poller.absence.poll_deleted()
    assert world.ids() == {"stays"}
    assert world.cloud.calls.count("describe") == 6


async def test_one_that_has_stopped_to_leave_is_gone_when_it_is_seen_no_more():
    """Where all leave at once there is no witness, and calls by name are few a minute."""
    stopped = ContainerReport("main", ContainerState(StateKind.TERMINATED, exit_code=0))
    world = await World(instance("a")).listed()
    world.cloud.set("a", status=InstanceStatus.TERMINATING, containers=(stopped,))
    world.poller.track_deletion("a")
    await world.poller.absence.poll_deleted()
    del world.cloud.instances["a"]
    await world.poller.absence.poll_deleted()
    assert world.gone == ["a"]
    assert "is_gone a" not in world.cloud.calls


async def test_where_all_leave_those_who_are_there_still_vouch_for_the_others():
    """Of three thousand deleted at once the first went before their end was seen, and were denied one by one."""
    many = [f"i{number}" for number in range(30)]
    world = await World(*map(instance, many)).listed()
    world.cloud.vanish_on_delete = False
    for each in many:
        await world.cloud.delete(each)
        world.poller.track_deletion(each)
    for each in many[:19]:  # a whole question
        del world.cloud.instances[each]
    await world.poller.absence.poll_deleted()
    assert world.gone == many[:19]
    world.cloud.hidden = set(many[19:])
    await world.poller.absence.poll_deleted()
    assert world.gone == many[:19], "an empty answer proves nothing still"


async def test_who_leaves_is_looked_at_however_long_the_cloud_takes_to_answer_by_name(virtual_time):
    """Its last states can be seen for seconds only, and a thousand others may be asked about before it."""
    world = await World(*[instance(f"i{number}") for number in range(20)]).listed()

    async def never(instance_id):
        await asyncio.Event().wait()

    world.cloud.delete = never
    task = asyncio.create_task(world.poller.run())
    await asyncio.sleep(1)
    world.cloud.instances["i19"] = instance("i19", InstanceStatus.TERMINATING)
    world.cloud.hidden = {"i19"}
    for number in range(20):
        world.poller.track_deletion(f"i{number}")
        if number < 19:
            del world.cloud.instances[f"i{number}"]
    await asyncio.sleep(1)
    world.cloud.calls.clear()
    await asyncio.sleep(5)
    assert world.cloud.calls.count("describe") >= 18, "both parts of those that leave, twice a second"
    assert world.gone == [], "nobody vouches for it"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_ten_about_whom_nothing_is_answered_hold_up_nobody(virtual_time):
    world = await World(*[instance(f"i{number}") for number in range(15)]).listed()
    answer = world.cloud.delete

    async def often_not(instance_id, *args):
        if int(instance_id[1:]) < 10:
            raise CloudUnavailable("no answer about this one")
        return await answer(instance_id)

    world.cloud.delete = world.cloud.is_gone = often_not
    task = asyncio.create_task(world.poller.run())
    await asyncio.sleep(1)
    for number in range(15):
        world.poller.track_deletion(f"i{number}")
        del world.cloud.instances[f"i{number}"]
    await asyncio.sleep(60)
    assert set(world.gone) >= {f"i{number}" for number in range(10, 15)}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("there", [False, True])
async def test_who_is_doubted_is_soon_denied_or_else_asked_about_seldom(virtual_time, there):
    many = [f"i{number}" for number in range(300)]
    world = await World(*map(instance, many)).listed()
    world.cloud.vanish_on_delete = False
    task = asyncio.create_task(world.poller.run())
    await asyncio.sleep(1)
    for each in many:
        world.poller.track_deletion(each)
        if not there:
            del world.cloud.instances[each]
    world.cloud.hidden = set(many)
    world.cloud.calls.clear()
    await asyncio.sleep(60 if there else 5)
    asked = [call for call in world.cloud.calls if call.startswith(("is_gone", "delete"))]
    assert world.ids() == (set(many) if there else set())
    assert 100 <= len(asked) <= 130 if there else len(asked) == 300
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("kind", [CloudUnavailable, CloudRefused])
async def test_a_cloud_that_deletes_nothing_twice_is_asked_another_way(kind):
    world = await World(instance("a")).listed()

    async def refused(instance_id):
        raise kind("IncorrectStatus: it is on its way out")

    world.cloud.delete = refused
    world.poller.track_deletion("a")
    world.cloud.hidden = {"a"}
    await world.poller.absence.poll_deleted()
    await world.poller.absence.confirm_absent()
    assert world.gone == []
    await world.poller.absence.poll_deleted()
    del world.cloud.instances["a"]
    await world.poller.absence.confirm_absent()
    assert world.gone == ["a"]


async def test_an_outage_is_shown_and_its_end_too_and_nothing_is_lost(virtual_time):
    world = World(instance("a"))
    world.cloud.fail = CloudUnavailable("connection refused")
    task = asyncio.create_task(world.poller.run())
    await asyncio.sleep(100)
    assert world.health == ["CloudAPIUnavailable"], "said once, not at every try"
    assert not world.poller.ready.is_set()
    world.cloud.fail = None
    await asyncio.sleep(60)
    assert world.health == ["CloudAPIUnavailable", "CloudAPIAnswers"]
    assert world.ids() == {"a"}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cloud_that_is_silent_shows_before_any_call_has_failed(virtual_time):
    """A call is tried for two minutes, and each try is given up after twenty seconds."""
    world = await World(instance("a")).listed()
    await world.poller.poll()
    began = asyncio.get_running_loop().time()
    silent = asyncio.Event()

    async def call(window_s):
        await silent.wait()
        return []

    world.cloud.changes = call
    polling = asyncio.create_task(world.poller._guarded(world.poller.poll))
    await asyncio.sleep(20)
    world.poller.heard(CloudUnavailable("changes: no answer from http://eci: check --eci-endpoint"), 20.0)
    assert world.poller.health.ok is False
    assert "check --eci-endpoint" in world.poller.health.message
    assert (world.health, asyncio.get_running_loop().time() - began) == (["CloudAPIUnavailable"], 20)
    silent.set()
    world.poller.heard(None, 0.1)
    await polling
    assert (world.poller.health.ok, world.health) == (True, ["CloudAPIUnavailable", "CloudAPIAnswers"])


async def test_one_lost_call_beside_others_that_are_answered_is_no_silence(virtual_time):
    world = await World(instance("a")).listed()
    for _ in range(5):
        world.poller.heard(CloudUnavailable("no answer"), 5.0)
        world.poller.heard(None, 0.1)
        await asyncio.sleep(5)
    assert world.health == []


async def test_wrong_credentials_are_told_apart_from_an_outage():
    world = World()
    world.cloud.fail = CloudDenied("the AccessKey id is unknown", code="InvalidAccessKeyId.NotFound")
    await world.poller._guarded(world.poller._first_list)
    assert (world.poller.health.ok, world.poller.health.reason) == (False, "CloudAPIDenied")


async def test_an_answer_that_nobody_understands_is_a_trouble_of_the_cloud_and_ends_nothing(virtual_time, caplog):
    world = await World(instance("a")).listed()
    understood, world.cloud.changes = world.cloud.changes, None
    task = asyncio.create_task(world.poller.run())
    await asyncio.sleep(50)
    assert world.poller.health.reason == "CloudAnswerNotUnderstood"
    assert caplog.text.count("Traceback") == 1, "the trace once, not at every try"
    world.cloud.changes = understood
    await asyncio.sleep(60)
    assert world.poller.health.reason == "CloudAPIAnswers"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_after_a_gap_longer_than_the_clouds_memory_everything_is_listed(virtual_time):
    world = await World(instance("a")).listed()
    await asyncio.sleep(4000)
    await world.poller.poll()
    assert world.cloud.calls == ["list"]


def asked(windows, *told):
    """A call that notes how far it was to look back."""

    async def call(window_s):
        windows.append(window_s)
        return told

    return call


async def test_the_window_covers_the_time_since_the_last_look_that_succeeded(virtual_time):
    world = await World(instance("a")).listed()
    windows = []
    world.cloud.changes = asked(windows)
    await world.poller.poll()
    await asyncio.sleep(300)
    await world.poller.poll()
    assert windows == [60, 315]


async def test_the_first_look_for_events_goes_back_beyond_the_age_that_a_list_may_have(virtual_time):
    """Chaos seed 9019: the list was from before they ran, and the cloud's clock went a minute ahead."""
    world = await World(instance("a")).listed()
    windows = []
    world.cloud.events = asked(windows, InstanceReport("a"))
    await world.poller.poll_events()
    await asyncio.sleep(20)
    await world.poller.poll_events()
    assert windows == [315, 60]


async def test_while_no_event_is_told_the_looks_go_the_further_back(virtual_time):
    """Virtual seed 2127: the answers were empty for a minute and a half, and what had happened was never told."""
    world = await World(instance("a")).listed()
    windows = []
    world.cloud.events = asked(windows, InstanceReport("a"))
    await world.poller.poll_events()
    world.cloud.events = asked(windows)
    for _ in range(5):
        await asyncio.sleep(100)
        await world.poller.poll_events()
    world.cloud.events = asked(windows, InstanceReport("a"))
    for _ in range(2):
        await asyncio.sleep(100)
        await world.poller.poll_events()
    assert windows == [315, 115, 215, 315, 415, 415, 415, 115]


async def test_where_none_was_told_though_something_was_on_its_way_more_than_one_answer_is_wanted(virtual_time):
    """Virtual seed 7453: a minute of empty answers, and then one that was a part."""
    world = await World(instance("a", InstanceStatus.PENDING)).listed()
    windows = []
    told, nothing = asked(windows, InstanceReport("a")), asked(windows)
    for answers in (told, told, *[nothing] * 3, *[told] * 7):
        world.cloud.events = answers
        await world.poller.poll_events()
        await asyncio.sleep(20)
    assert windows == [315, 60, 60, 60, 75, 95, 115, 135, 155, 175, 195, 60]


RAN = ContainerReport("main", ContainerState(StateKind.TERMINATED, started_at="2026-01-02T03:00:12Z"))
LATER = ContainerState(StateKind.RUNNING, started_at="2026-01-02T03:05:00Z")
CREATED = CloudEvent("1", "Normal", "Created", "Created container main", first_at="2026-01-02T03:00:12Z")
BEGAN = CloudEvent("2", "Normal", "Started", "Started container main", last_at="2026-01-02T03:00:12Z")
BEGAN_BEFORE = CloudEvent("2", "Normal", "Started", "Started container main", last_at="2026-01-02T03:00:05Z")


async def all_but(cloud, instance_id, window_s):
    return [InstanceReport(each, events=(CREATED,)) for each in cloud.instances if each != instance_id]


async def looks(world, seconds):
    for _ in range(seconds // 4):
        await world.poller.poll()
        await world.poller.poll_events()
        await asyncio.sleep(4)


@pytest.mark.parametrize("before", [(), (CREATED,), (CREATED, BEGAN_BEFORE)])
async def test_whose_start_no_event_tells_is_asked_about_once(virtual_time, before):
    """Virtual seed 13250: all answers of a minute left one instance out, and nobody ever heard that it had started."""
    world = await World(*(replace(instance(name), events=before) for name in "ab")).listed()
    world.cloud.events = functools.partial(all_but, world.cloud, "a")
    world.cloud.set("a", status=InstanceStatus.SUCCEEDED, containers=(RAN,), events=(*before, BEGAN))
    await looks(world, 56)
    assert "describe" not in world.cloud.calls
    await looks(world, 300)
    assert world.cloud.calls.count("describe") == 1
    assert BEGAN in world.store.get("a").events


async def test_whose_start_is_told_is_not_asked_about(virtual_time):
    world = await World(instance("a")).listed()
    world.cloud.set("a", containers=(RAN,))
    await world.poller.poll()
    world.cloud.set("a", events=(BEGAN,))
    await looks(world, 300)
    assert "describe" not in world.cloud.calls


async def test_who_is_missing_in_the_answer_about_it_too_is_asked_about_again_and_who_is_gone_is_not(virtual_time):
    world = await World(instance("a"), instance("b"), instance("c")).listed()
    for each in "ab":
        world.cloud.set(each, containers=(RAN,), events=(BEGAN,))
    world.cloud.events = asked([], InstanceReport("c"))
    await world.poller.poll()
    world.cloud.hidden = {"a"}
    await looks(world, 80)
    assert world.store.get("b").events == (BEGAN,)
    assert world.store.get("a").events == ()
    world.cloud.hidden = set()
    await looks(world, 80)
    assert world.store.get("a").events == (BEGAN,)
    world.cloud.set("a", containers=(replace(RAN, restart_count=1, state=LATER),))
    await world.poller.poll()
    del world.cloud.instances["a"]
    await world.poller.absence.remove_if_gone(["a"])
    world.cloud.calls.clear()
    await looks(world, 200)
    assert "describe" not in world.cloud.calls


def within_window(world, *, ahead_s=0.0):
    """Answers of a cloud that has only what changed in the window, by its own clock, which goes ahead by `dial[0]`."""
    dial, told = [ahead_s], {}

    async def call(window_s):
        now = asyncio.get_running_loop().time() + dial[0]
        for each in world.cloud.instances.values():
            if told.get(each.id, (None,))[0] is not each.status:
                told[each.id] = (each.status, now)
        recent = {id_ for id_, (_, at) in told.items() if at >= now - window_s}
        return [InstanceReport(id_, status=told[id_][0]) for id_ in recent & world.cloud.instances.keys()]

    world.cloud.changes = call
    return dial


async def changes_before_the_jump(world, instance_id, dial, **changes):
    """It changes, and before anybody polls again the cloud's clock goes hours ahead."""
    world.cloud.set(instance_id, **changes)
    await world.cloud.changes(60)
    dial[0] += 7200.0


async def test_what_changed_before_the_clouds_clock_went_hours_ahead_is_seen_by_the_next_poll(virtual_time):
    """Bad neighbours, seed 7: pods of a burst ran for 6 to 9 s before that was seen, by the next full listing."""
    world = await World(instance("old"), instance("a", InstanceStatus.PENDING)).listed()
    dial = within_window(world)
    await world.poller.poll()
    await asyncio.sleep(2)
    await changes_before_the_jump(world, "a", dial, status=InstanceStatus.RUNNING)
    await world.poller.poll()
    assert world.store.get("a").status is InstanceStatus.RUNNING
    world.cloud.calls.clear()
    await looks(world, 300)
    assert "describe" not in world.cloud.calls


async def test_one_just_made_that_no_poll_shows_is_asked_for_a_second_later(virtual_time):
    world = await World(instance("old")).listed()
    dial = within_window(world)
    world.cloud.instances["a"] = instance("a", InstanceStatus.SCHEDULING)
    world.store.put(replace(instance("a", InstanceStatus.SCHEDULING), proven=False))
    await changes_before_the_jump(world, "a", dial, status=InstanceStatus.RUNNING)
    await world.poller.poll()
    assert "describe" not in world.cloud.calls
    await asyncio.sleep(1)
    await world.poller.poll()
    assert world.store.get("a").status is InstanceStatus.RUNNING


async def test_one_that_is_still_not_shown_when_its_tags_are_due_is_asked_for_once_a_poll(virtual_time):
    world = await World(instance("old")).listed()
    within_window(world)
    world.store.put(replace(instance("a", InstanceStatus.SCHEDULING), proven=False))
    await asyncio.sleep(6)
    world.cloud.calls.clear()
    await world.poller.poll()
    assert world.cloud.calls.count("describe") == 1


async def test_an_answer_that_lacks_what_it_should_have_brings_the_next_full_listing_forward_once(virtual_time):
    """One that began to run long ago and ended just then is in no answer either."""
    world = await World(instance("old"), instance("a", InstanceStatus.PENDING)).listed()
    dial = within_window(world)
    running = asyncio.create_task(world.poller.run())
    await asyncio.sleep(3)
    world.cloud.set("a", status=InstanceStatus.RUNNING)
    await asyncio.sleep(3)
    listed = world.cloud.calls.count("statuses")
    await changes_before_the_jump(world, "old", dial, status=InstanceStatus.SUCCEEDED)
    await asyncio.sleep(3)
    assert world.store.get("old").status is InstanceStatus.SUCCEEDED
    assert world.cloud.calls.count("statuses") == listed + 1
    for _ in range(8):  # its clock goes on jumping
        world.cloud.set("a", status=InstanceStatus.PENDING)
        await asyncio.sleep(3)
        await changes_before_the_jump(world, "a", dial, status=InstanceStatus.RUNNING)
        await asyncio.sleep(3)
    assert world.cloud.calls.count("statuses") == listed + 1
    running.cancel()


async def test_who_has_ended_or_is_being_deleted_may_be_missing_in_an_answer(virtual_time):
    world = await World(instance("old"), instance("a"), instance("b", InstanceStatus.PENDING)).listed()
    within_window(world)
    for each, status in (("a", InstanceStatus.SUCCEEDED), ("b", InstanceStatus.RUNNING)):
        world.cloud.set(each, status=status)
    await world.poller.poll()
    world.poller.track_deletion("b")
    for each in "ab":
        del world.cloud.instances[each]
    await asyncio.sleep(2)
    await world.poller.poll()
    assert "describe" not in world.cloud.calls


async def test_where_no_event_may_be_read_nothing_gathers_and_a_list_later_tells_all(virtual_time):
    world = await World(instance("a"), instance("b"), instance("c")).listed()
    for each in "ab":
        world.cloud.set(each, containers=(RAN,), events=(BEGAN,))
    await world.poller.poll()
    del world.cloud.instances["b"]
    await world.poller.absence.remove_if_gone(["b"])
    assert list(world.poller._missing_start_events) == ["a"]
    await world.poller._list()
    world.cloud.events = asked([], InstanceReport("c"))
    world.cloud.calls.clear()
    await looks(world, 100)
    assert "describe" not in world.cloud.calls
    assert not world.poller._missing_start_events


async def test_of_very_many_some_are_asked_about_at_a_time(virtual_time):
    world = await World(*(instance(f"i{number}") for number in range(250))).listed()
    for each in list(world.cloud.instances):
        world.cloud.set(each, containers=(RAN,), events=(BEGAN,))
    world.cloud.events = asked([], InstanceReport("none"))
    batches = []
    describe = world.cloud.describe

    async def counted(ids):
        batches.append(len(ids))
        return await describe(ids)

    world.cloud.describe = counted
    await looks(world, 120)
    assert batches == [100, 100, 50]
