"""attach at the door: it shows the log from now on, and says what it cannot do."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from vk_provider.cloud.base import LogOptions
from vk_provider.errors import CloudUnavailable

from .commands import Streaming
from .spdyclient import UpgradeRefused
from .world import until


@pytest.fixture
def world(tmp_path: Path) -> Streaming:
    world = Streaming(tmp_path)
    world.cloud.ends = False
    return world


@pytest.mark.parametrize("tail", ["/web/api-0/app", "/web/api-0/uid-api-0/app"])
async def test_the_log_is_followed_to_its_end(world: Streaming, tail: str) -> None:
    async with world.serving(), world.exec(path="/attach", tail=tail) as it:
        await until(lambda: bool(world.cloud.streams))
        (stream,) = world.cloud.streams
        assert stream.options == LogOptions(follow=True, tail=0)
        stream.put(b"one\n")
        await until(lambda: it.stdout.received == b"one\n")
        stream.put(b"two\n")
        stream.put(None)
        await it.client.ended(it.stdout, it.stderr, it.error)
        assert it.stdout.received == b"one\ntwo\n"
        assert json.loads(it.error.received) == {"metadata": {}, "status": "Success"}


async def test_a_client_that_leaves_ends_the_reading(world: Streaming) -> None:
    async with world.serving():
        async with world.exec(path="/attach"):
            await until(lambda: bool(world.cloud.streams))
            world.cloud.streams[0].put(b"x")
        async with asyncio.timeout(5):
            await world.cloud.streams[0].closed.wait()


async def test_an_error_of_the_cloud_is_told(world: Streaming) -> None:
    async with world.serving(), world.exec(path="/attach") as it:
        await until(lambda: bool(world.cloud.streams))
        world.cloud.streams[0].put(CloudUnavailable("no answer"))
        await it.client.ended(it.error)
        assert "no answer" in json.loads(it.error.received)["message"]


async def test_typing_is_refused_before_the_101(world: Streaming) -> None:
    async with world.serving():
        with pytest.raises(UpgradeRefused) as caught:
            async with world.exec(path="/attach", streams="ioe"):
                pass
        assert (caught.value.status, "\n" in caught.value.body) == (501, False)
        assert "attach without -i" in caught.value.body
        with pytest.raises(UpgradeRefused, match="404"):
            async with world.exec(path="/attach", tail="/web/nope/app"):
                pass
    assert world.cloud.streams == []
