"""The queue and the informer that everything else stands on."""

import asyncio

import pytest

from fakes.kube.reads import selects, with_condition
from fakes.kube.reconcile.informer import Informer
from fakes.kube.reconcile.queue import KeyedQueue

from .world import World, pod


async def test_a_key_is_in_line_once_and_never_in_two_hands(virtual_time):
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add("a")
    queue.add("a")
    assert len(queue) == 1
    assert await queue.get() == "a"
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await queue.get() == "a"


async def test_the_earlier_due_time_wins(virtual_time):
    queue: KeyedQueue[str] = KeyedQueue()
    queue.add_after("a", 10)
    queue.add_after("a", 5)
    queue.add_after("a", 20)
    await queue.get()
    assert round(virtual_time()) == 5
    queue.done("a")
    await asyncio.sleep(60)
    assert len(queue) == 0


async def test_retries_slow_down_until_forgotten(virtual_time):
    queue: KeyedQueue[str] = KeyedQueue()
    times = []
    for _attempt in range(16):
        before = virtual_time()
        queue.retry("a")
        await queue.get()
        queue.done("a")
        times.append(virtual_time() - before)
    assert times == sorted(times)
    assert times[0] == pytest.approx(0.005)
    assert times[-1] == pytest.approx(60)
    queue.forget("a")
    before = virtual_time()
    queue.retry("a")
    await queue.get()
    assert virtual_time() - before == pytest.approx(0.005)


async def test_own_writes_stand_at_once_and_late_news_changes_nothing(virtual_time):
    world = World(virtual_time)
    first = world.make("pods", pod("a"), "default")
    informer = Informer(world.api, "pods")
    seen = []
    informer.listen(lambda old, new: seen.append((old is None, new is None)))
    informer.apply(first)
    second = world.status(first, {"phase": "Running"})
    informer.apply(second)
    informer.apply(first)
    assert informer.get(("default", "a")) == second
    informer.drop(second)
    informer.apply(second)
    assert informer.all() == []
    assert informer.indexed("loose", "default") == []
    assert seen == [(True, False), (False, False), (False, True)]


async def test_an_informer_that_fell_behind_lists_again(virtual_time):
    world = World(virtual_time, keep=5)
    informer = Informer(world.api, "pods")
    task = asyncio.create_task(informer.run())
    await informer.ready.wait()
    for number in range(30):
        world.make("pods", pod(f"p{number}"), "default")
    await world.until(lambda: len(informer.all()) == 30)
    for number in range(30):  # far more than the history keeps, and none of it seen in between
        world.remove_pod(world.get("pods", f"p{number}"))
    assert len(informer.all()) == 30
    await world.until(lambda: not informer.all(), within_s=1)
    task.cancel()
    await asyncio.wait([task])


async def test_a_listener_that_fails_silences_no_other(virtual_time):
    world = World(virtual_time)
    informer = Informer(world.api, "pods")
    seen = []

    def fails(_old, _new):
        raise KeyError("surprise")

    informer.listen(fails)
    informer.listen(lambda _old, new: seen.append(new["metadata"]["name"]))
    informer.apply(world.make("pods", pod("a"), "default"))
    assert seen == ["a"]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"a": "1"}}, True),
        ({"matchLabels": {"a": "2"}}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, True),
        ({"matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["1"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "b", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "b", "operator": "DoesNotExist"}]}, True),
        ({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]}, False),
    ],
)
def test_label_selectors(selector, expected):
    assert selects(selector, {"a": "1"}) is expected


def test_a_condition_keeps_its_transition_while_its_status_lasts():
    old = [{"type": "Ready", "status": "True", "lastTransitionTime": "then"}]
    same = with_condition(old, {"type": "Ready", "status": "True", "reason": "new", "lastTransitionTime": "now"})
    assert same == [{"type": "Ready", "status": "True", "reason": "new", "lastTransitionTime": "then"}]
    other = with_condition(old, {"type": "Ready", "status": "False", "lastTransitionTime": "now"})
    assert other[0]["lastTransitionTime"] == "now"
