"""Many at once, slow ones, and those that vanish: memory stays within bounds and nobody else waits."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from vk_provider.kubelet.listener import Limits

from .commands import Streaming
from .world import World, container_status, instance_of_pod, pod_named

PATH = "/containerLogs/web/api-0/app"
FOLLOWERS, SESSIONS = 1_000, 100
PER_FOLLOWER = 300 << 10  # both ends of a TLS connection and their buffers, for server and client are one process here
LOG_CHUNK, LOG_CHUNKS = 1 << 20, 1_024
MOST_GROWTH = 48 << 20  # of a log twenty times as long


@pytest.fixture
def running(world: World) -> World:
    pod = pod_named(status=container_status(state={"running": {}}))
    world.add(pod, instance_of_pod(pod))
    return world


@pytest.fixture
async def far(running: World) -> AsyncIterator[aiohttp.ClientSession]:
    """A client that opens as many connections as it is asked for, and waits long. One pod may have a quarter of all."""
    running.limits = Limits.of(20_000)
    async with running.serving(), running.api_server() as session:
        session.connector._limit = 0  # type: ignore[union-attr]
        yield session


async def test_a_thousand_followers_get_each_line_and_leave_nothing_behind(
    running: World, far: aiohttp.ClientSession
) -> None:
    running.cloud.ends, running.cloud.ready = False, [b"first\n"]
    gc.collect()
    before = resident()
    async with AsyncExitStack() as stack, asyncio.timeout(120):
        answers = [
            await stack.enter_async_context(far.get(f"{PATH}?follow=true", timeout=no_end())) for _ in range(FOLLOWERS)
        ]
        for answer in answers:
            assert await answer.content.readline() == b"first\n"
        assert resident() - before < FOLLOWERS * PER_FOLLOWER
        began = asyncio.get_running_loop().time()
        async with far.get("/healthz") as healthy:
            assert await healthy.text() == "ok"
        assert asyncio.get_running_loop().time() - began < 5, "others are served meanwhile"
        for number, stream in enumerate(running.cloud.streams):
            stream.put(f"{number}\n".encode())
        lines = [await answer.content.readline() for answer in answers]
        assert lines == [f"{number}\n".encode() for number in range(FOLLOWERS)]
        for answer in answers[::2]:  # half of them vanish without a word
            assert answer.connection is not None
            assert answer.connection.transport is not None
            answer.connection.transport.abort()
        await all_closed(running, slice(0, None, 2))
        for stream in running.cloud.streams[1::2]:
            stream.put(None)
        for answer in answers[1::2]:
            assert await answer.content.read() == b""
    await all_closed(running, slice(None))


async def test_a_gigabyte_of_log_passes_through_a_few_megabytes(running: World, far: aiohttp.ClientSession) -> None:
    chunk = b"x" * LOG_CHUNK
    running.cloud.ready = [chunk] * LOG_CHUNKS  # one object, many times: it weighs nothing itself
    gc.collect()
    before, most, got = resident(), 0, 0
    async with far.get(PATH, timeout=no_end()) as answer:
        async for piece in answer.content.iter_any():
            got += len(piece)
            most = max(most, resident() - before)
    assert got == LOG_CHUNK * LOG_CHUNKS
    assert most < MOST_GROWTH


async def test_a_hundred_commands_at_once(tmp_path: Path) -> None:
    world = Streaming(tmp_path)
    async with world.serving(), AsyncExitStack() as stack, asyncio.timeout(120):
        sessions = [await stack.enter_async_context(world.exec("cat", streams="io")) for _ in range(SESSIONS)]
        for number, it in enumerate(sessions):
            await it.client.send(it.stdin, b"%d" % number, fin=True)
        for number, it in enumerate(sessions):
            await it.client.ended(it.stdout, it.error)
            assert bytes(it.stdout.received) == b"%d" % number


def no_end() -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None)


async def all_closed(running: World, which: slice) -> None:
    async with asyncio.timeout(30):
        for stream in running.cloud.streams[which]:
            await stream.closed.wait()


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
