"""A task whose wakeup was lost is found, and no other is taken for one."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from vk_provider.runtime import stuck_tasks


@pytest.fixture(autouse=True)
def looks_often(monkeypatch):
    monkeypatch.setattr(stuck_tasks, "EVERY_S", 0.01)


def lose_wakeup(future):
    """As where there is no memory for one more callback: the future is done, and who waits for it is not told."""
    loop = asyncio.get_running_loop()

    def no_memory(*_, **__):
        raise MemoryError

    loop.call_soon = no_memory
    try:
        with suppress(MemoryError):
            future.set_result(None)
    finally:
        del loop.call_soon


def test_who_is_never_woken_is_found():
    """On a loop of its own: an orderly end would wait for that task."""
    loop = asyncio.new_event_loop()

    async def play():
        found, waits_for = loop.create_future(), loop.create_future()
        stuck_tasks.watch_over(loop, lambda task: found.done() or found.set_result(task))

        async def reader():
            async with asyncio.timeout(0.05):  # of no use: nobody wakes it to tell that either
                await waits_for

        task = asyncio.create_task(reader())
        await asyncio.sleep(0)
        lose_wakeup(waits_for)
        done, _ = await asyncio.wait({found}, timeout=10)
        assert done
        assert found.result() is task
        await asyncio.sleep(0.2)
        assert not task.done()
        task._log_destroy_pending = False

    loop.run_until_complete(play())
    loop.close()


async def test_who_waits_works_or_has_been_woken_just_now_is_left_alone():
    loop, found = asyncio.get_running_loop(), []
    stuck_tasks.watch_over(loop, found.append)
    queue, lock = asyncio.Queue(maxsize=1), asyncio.Lock()

    async def giver():
        for number in range(500):
            await queue.put(number)
            await asyncio.sleep(0.0005 * (number % 2))

    async def taker():
        for _ in range(500):
            async with lock:
                await asyncio.wait_for(queue.get(), 10)

    patient = asyncio.create_task(asyncio.Event().wait())
    async with asyncio.TaskGroup() as group:
        group.create_task(giver())
        group.create_task(taker())
    await asyncio.sleep(0.05)
    patient.cancel()
    assert not found
