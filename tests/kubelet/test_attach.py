"""attach at the door: it shows the log from now on, and says what it cannot do."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vk_provider.cloud.base import LogOptions
from vk_provider.errors import CloudUnavailable
from vk_provider.kubelet.log_reads import JUST_NOW_S, MOST, LogReads
from vk_provider.model.instance import ContainerState, StateKind

from .commands import Streaming
from .spdyclient import UpgradeRefused
from .world import DEADLINE_S, instance_of_pod, until


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
        assert stream.options == LogOptions(follow=True, tail=0, unfinished=True)
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
        async with asyncio.timeout(DEADLINE_S):
            await world.cloud.streams[0].closed.wait()


async def test_an_error_of_the_cloud_is_told(world: Streaming) -> None:
    async with world.serving(), world.exec(path="/attach") as it:
        await until(lambda: bool(world.cloud.streams))
        world.cloud.streams[0].put(CloudUnavailable("no answer"))
        await it.client.ended(it.error)
        assert "no answer" in json.loads(it.error.received)["message"]


async def test_what_does_not_run_is_refused_before_the_101(world: Streaming) -> None:
    async with world.serving():
        with pytest.raises(UpgradeRefused, match="404 pod does not exist"):
            async with world.exec(path="/attach", tail="/web/nope/app"):
                pass
        with pytest.raises(UpgradeRefused, match="500 container nope not found in pod api-0_web"):
            async with world.exec(path="/attach", tail="/web/api-0/nope"):
                pass
    assert world.cloud.streams == []


def takes_input(world: Streaming, **also: bool) -> None:
    (container,) = world.pods[0]["spec"]["containers"]
    container.update(stdin=True, **also)


@pytest.mark.parametrize("streams", ["ioe", "iot"])
@pytest.mark.parametrize("stdin", [True, False])
async def test_asking_for_input_is_no_reason_to_refuse(world: Streaming, streams: str, stdin: bool) -> None:
    """`kubectl run -i` asks for it in any case."""
    if stdin:
        takes_input(world)
    async with world.serving(), world.exec(path="/attach", streams=streams) as it:
        await it.client.send(it.stdin, b"", fin=True)
        await until(lambda: bool(world.cloud.streams))
        world.cloud.streams[0].put(b"late\n")
        world.cloud.streams[0].put(None)
        await it.client.ended(it.stdout, it.error)
        assert it.stdout.received == b"late\n"
        assert json.loads(it.error.received)["status"] == "Success"


async def test_input_that_comes_is_not_lost_without_a_word(world: Streaming) -> None:
    takes_input(world)
    async with world.serving(), world.exec(path="/attach", streams="ioe") as it:
        await until(lambda: bool(world.cloud.streams))
        world.cloud.streams[0].put(b"prompt> ")
        await until(lambda: it.stdout.received == b"prompt> ")
        await it.client.send(it.stdin, b"hello\n")
        await it.client.ended(it.error)
        told = json.loads(it.error.received)
        assert (told["status"], "kubectl exec -i" in told["message"]) == ("Failure", True)


async def test_a_container_without_stdin_takes_none(world: Streaming) -> None:
    async with world.serving(), world.exec(path="/attach", streams="ioe") as it:
        await it.client.send(it.stdin, b"hello\n", fin=True)
        await until(lambda: bool(world.cloud.streams))
        world.cloud.streams[0].put(b"x")
        await until(lambda: it.stdout.received == b"x")
        assert not it.error.ended.is_set()


def began(world: Streaming, ago_s: float) -> None:
    """So long ago."""
    at = (datetime.now(UTC) - timedelta(seconds=ago_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
    pod = world.pods[0]
    world.instances[pod["metadata"]["uid"]] = instance_of_pod(pod, ContainerState(StateKind.RUNNING, started_at=at))


@pytest.mark.parametrize(
    ("ago_s", "once", "tail"), [(5, False, None), (60, False, 0), (60, True, None)], ids=["new", "old", "stdinOnce"]
)
async def test_of_a_new_container_nothing_is_missed(
    world: Streaming, ago_s: float, once: bool, tail: int | None
) -> None:
    takes_input(world, stdinOnce=once)
    began(world, ago_s)
    async with world.serving(), world.exec(path="/attach"):
        await until(lambda: bool(world.cloud.streams))
        assert world.cloud.streams[0].options.tail == tail


async def test_what_a_call_for_the_log_has_just_shown_is_not_shown_again(world: Streaming) -> None:
    began(world, 0)
    async with world.serving(), world.api_server() as api_server:
        reading = asyncio.ensure_future(api_server.get("/containerLogs/web/api-0/app"))
        await until(lambda: bool(world.cloud.streams))
        for chunk in (b"ear", b"ly\n", None):
            world.cloud.streams[0].put(chunk)
        assert await (await reading).read() == b"early\n"
        async with world.exec(path="/attach") as it:
            await until(lambda: len(world.cloud.streams) == 2)
            for chunk in (b"early\nla", b"te\n", None):
                world.cloud.streams[1].put(chunk)
            await it.client.ended(it.stdout, it.stderr, it.error)
            assert it.stdout.received == b"late\n"


def test_a_reading_is_remembered_for_a_moment_and_told_once() -> None:
    now = [0.0]
    reads = LogReads(monotonic=lambda: now[0])
    reads.note("i", "c", 7)
    assert reads.shown("i", "other") == 0
    assert (reads.shown("i", "c"), reads.shown("i", "c")) == (7, 0)
    reads.note("i", "c", 7)
    now[0] = JUST_NOW_S + 1
    assert reads.shown("i", "c") == 0


def test_readings_beyond_a_bound_are_forgotten() -> None:
    reads = LogReads(monotonic=lambda: 0.0)
    for number in range(MOST + 1):
        reads.note(f"i-{number}", "c", 1)
    assert (reads.shown("i-0", "c"), reads.shown(f"i-{MOST}", "c")) == (0, 1)
