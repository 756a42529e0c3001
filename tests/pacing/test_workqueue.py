"""The keyed queue: in line once, in one worker's hands at most, looked at again when it changed meanwhile."""

import asyncio

import pytest

from vk_provider.pacing.workqueue import WorkQueue


async def drain(queue: WorkQueue) -> list[str]:
    keys = []
    while len(queue):
        key = await queue.get()
        keys.append(key)
        queue.done(key)
    return keys


async def test_a_key_is_in_line_once():
    queue = WorkQueue()
    for key in "abacab":
        queue.add(key)
    assert await drain(queue) == ["a", "b", "c"]


async def test_a_key_changed_while_worked_on_goes_back_in_line_afterwards():
    queue = WorkQueue()
    queue.add("a")
    key = await queue.get()
    queue.add("a")
    assert len(queue) == 0, "never in two workers' hands"
    queue.done(key)
    assert await drain(queue) == ["a"]


async def test_who_is_called_goes_before_the_line_in_the_order_of_the_calls():
    queue = WorkQueue()
    for key in "abcd":
        queue.add(key)
    for key in "ceca":
        queue.add_front(key)
    queue.add("e")
    assert len(queue) == 5
    assert await drain(queue) == ["c", "e", "a", "b", "d"]


async def test_who_is_called_while_worked_on_is_in_nobody_elses_hands():
    queue = WorkQueue()
    queue.add_front("a")
    key = await queue.get()
    queue.add_front("a")
    assert len(queue) == 0
    queue.done(key)
    assert await drain(queue) == ["a"]


async def test_a_call_overrides_a_delay_and_wakes_a_worker(virtual_time):
    queue = WorkQueue()
    queue.add_after("a", 50)
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(1)
    queue.add_front("a")
    assert (await waiting, virtual_time()) == ("a", 1)
    queue.done("a")
    await asyncio.sleep(100)
    assert len(queue) == 0


async def test_a_waiting_worker_is_woken():
    queue = WorkQueue()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    assert await waiting == "a"


async def test_a_cancelled_worker_passes_its_wake_up_on():
    queue = WorkQueue()
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await asyncio.wait_for(second, 1) == "a"


async def test_of_two_delays_the_earlier_wins_and_the_key_comes_once(virtual_time):
    queue = WorkQueue()
    queue.add_after("a", 50)
    queue.add_after("a", 5)
    queue.add_after("a", 20)
    await queue.get()
    assert virtual_time() == 5
    queue.done("a")
    await asyncio.sleep(100)
    assert len(queue) == 0


async def test_adding_now_overrides_a_delay(virtual_time):
    queue = WorkQueue()
    queue.add_after("a", 30)
    queue.add("a")
    assert await drain(queue) == ["a"]
    await asyncio.sleep(60)
    assert len(queue) == 0


async def test_delays_come_in_order_of_their_times(virtual_time):
    queue = WorkQueue()
    for key, delay in (("late", 9), ("soon", 1), ("mid", 4)):
        queue.add_after(key, delay)
    seen = []
    for _ in range(3):
        key = await queue.get()
        seen.append((key, virtual_time()))
        queue.done(key)
    assert seen == [("soon", 1), ("mid", 4), ("late", 9)]


async def test_ten_thousand_delayed_keys_cost_little(virtual_time):
    queue = WorkQueue()
    for number in range(10_000):
        queue.add_after(str(number), 1 + number / 10_000)
    await asyncio.sleep(3)
    assert len(queue) == 10_000


async def test_a_key_that_is_postponed_again_and_again_leaves_nothing_behind(virtual_time):
    """A pod with a deadline in a month that changes every few seconds."""
    queue = WorkQueue()
    for _ in range(10_000):
        queue.add_after("a", 30 * 86_400)
        queue.add("a")
        queue.done(await queue.get())
    queue.add_after("a", 5)
    assert len(queue._heap) < 200
    await queue.get()
    assert virtual_time() == 5


def test_on_the_loop_that_we_run_on_delays_below_its_clock_come_too():
    """uvloop counts in milliseconds, and what is due within one has no timer there."""
    uvloop = pytest.importorskip("uvloop")

    async def play() -> set[str]:
        queue = WorkQueue()
        for number in range(50):
            queue.add_after(f"{number}", 0.0001 * number)
            if number % 7 == 0:
                await asyncio.sleep(0)
        async with asyncio.timeout(10):
            return {await queue.get() for _ in range(50)}

    assert uvloop.run(play()) == {f"{number}" for number in range(50)}


@pytest.mark.parametrize("is_settled", [True, False])
async def test_what_the_worker_writes_itself_brings_the_key_back_unless_it_is_settled(is_settled):
    queue = WorkQueue()
    queue.add("a")
    key = await queue.get()
    with queue.writing("a") as write:
        queue.add_unless_written("a")
        queue.add_unless_written("b")
        write.is_settled = is_settled
    queue.done(key)
    assert sorted(await drain(queue)) == (["b"] if is_settled else ["a", "b"])


async def test_a_write_that_fails_hides_no_change():
    queue = WorkQueue()
    queue.add("a")
    key = await queue.get()

    def write() -> None:
        with queue.writing("a"):
            queue.add_unless_written("a")
            raise OSError

    with pytest.raises(OSError):
        write()
    queue.done(key)
    assert await drain(queue) == ["a"]


async def test_a_settled_write_hides_nothing_else():
    queue = WorkQueue()
    queue.add("a")
    key = await queue.get()
    with queue.writing("a") as write:
        queue.add("a")
        write.is_settled = True
    queue.done(key)
    assert await drain(queue) == ["a"]
    queue.add_unless_written("a")
    assert await drain(queue) == ["a"]


async def test_a_change_of_our_own_is_ignored_and_delays_stay():
    queue = WorkQueue()
    queue.add_after("a", 50)
    with queue.ignoring("a"):
        queue.add("a")
        queue.add("b")
    assert await drain(queue) == ["b"]
    assert queue.delayed == 1
