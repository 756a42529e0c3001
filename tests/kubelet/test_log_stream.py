"""`/containerLogs` over real TLS: each line at once, nothing held back or piled up, an end when either side ends."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import aiohttp
import pytest

from vk_provider.cloud.base import LogOptions
from vk_provider.errors import CloudDenied, CloudError, CloudRefused, CloudUnavailable, InstanceGone, Throttled
from vk_provider.kubelet.listener import Limits

from .world import DEADLINE_S, Json, Stream, World, container_status, instance_of_pod, pod_named, until

PATH = "/containerLogs/web/api-0/app"


@pytest.fixture
def running(world: World) -> World:
    """A pod that runs."""
    pod = pod_named(status=container_status(state={"running": {}}))
    world.add(pod, instance_of_pod(pod))
    return world


async def read(session: aiohttp.ClientSession, path: str = PATH) -> tuple[int, str]:
    async with session.get(path) as response:
        return response.status, await response.text()


async def the_stream(world: World) -> Stream:
    await until(lambda: bool(world.cloud.streams))
    return world.cloud.streams[0]


# --- what is read ----------------------------------------------------------------------------------------------------


async def test_a_log_in_whole(running: World) -> None:
    running.cloud.ready = [b"3.14", b"159\n", "grüße\n".encode()]
    async with running.serving(), running.api_server() as api_server, api_server.get(PATH) as response:
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert response.headers["Transfer-Encoding"] == "chunked"
        assert await response.text() == "3.14159\ngrüße\n"
    (stream,) = running.cloud.streams
    assert (stream.instance_id, stream.container, stream.options) == ("eci-api-0", "app", LogOptions())
    assert stream.closed.is_set()


async def test_an_empty_log_and_empty_chunks(running: World) -> None:
    async with running.serving(), running.api_server() as api_server:
        assert await read(api_server) == (200, "")
        running.cloud.ready = [b"", b"a\n", b"", b"b\n"]
        assert await read(api_server) == (200, "a\nb\n")


async def test_options_reach_the_cloud(running: World) -> None:
    query = "?follow=true&timestamps=true&tailLines=2&limitBytes=100&sinceTime=2024-01-02T03:04:05Z"
    async with running.serving(), running.api_server() as api_server:
        await read(api_server, PATH + query)
    assert running.cloud.streams[0].options == LogOptions(
        follow=True, timestamps=True, tail=2, limit_bytes=100, since="2024-01-02T03:04:05Z"
    )


async def test_a_client_of_http_1_0_is_served(running: World) -> None:
    running.cloud.ready = [b"one\n", b"two\n"]
    async with running.serving(), running.api_server() as api_server:
        api_server._version = aiohttp.HttpVersion10  # type: ignore[attr-defined] -- the client has no other switch
        assert await read(api_server) == (200, "one\ntwo\n")


async def test_one_pod_and_one_namespace_have_a_part_of_all_requests(running: World) -> None:
    """Who follows one pod's log many times keeps nobody from another's."""
    running.limits = replace(Limits.of(1024), open=80)
    running.cloud.ends = False
    other = pod_named("web-1", namespace="other", status=container_status(state={"running": {}}))
    running.add(other, instance_of_pod(other))
    async with running.serving(), running.api_server() as api_server, asyncio.timeout(DEADLINE_S):
        followed = [await api_server.get(f"{PATH}?follow=true") for _ in range(20)]
        assert {each.status for each in followed} == {200}
        status, text = await read(api_server, f"{PATH}?follow=true")
        assert (status, "close some of them" in text) == (500, True)
        assert (await api_server.get("/containerLogs/other/web-1/app?follow=true")).status == 200
        followed[0].close()
        await until(lambda: running.cloud.streams[0].closed.is_set())
        assert (await api_server.get(f"{PATH}?follow=true")).status == 200


ENDED = container_status(state={"terminated": {"exitCode": 0}})


async def test_an_instance_that_is_not_known_is_looked_up_by_its_tags(world: World) -> None:
    pod = pod_named(status=ENDED)
    world.add(pod)
    older = replace(instance_of_pod(pod), id="eci-older", created_at="2026-01-02T03:04:05Z")
    newer = replace(older, id="eci-newer", created_at="2026-01-02T03:05:05Z")
    world.cloud.tagged = [older, newer, instance_of_pod(pod_named("another"))]
    world.cloud.ready = [b"done\n"]
    async with world.serving(), world.api_server() as api_server:
        assert await read(api_server) == (200, "done\n")
    assert [each.instance_id for each in world.cloud.streams] == ["eci-newer"]


async def test_what_others_may_write_on_a_pod_leads_to_no_log(world: World) -> None:
    """The annotation names another tenant's instance."""
    another = pod_named("another")
    world.add(another, instance_of_pod(another))
    world.cloud.tagged = [instance_of_pod(another)]
    world.add(pod_named(status=ENDED, annotations={"virtual-kubelet.io/instance-id": "eci-another"}))
    world.cloud.ready = [b"the other's secret\n"]
    async with world.serving(), world.api_server() as api_server:
        status, text = await read(api_server)
    assert (status, "its instance is gone" in text) == (400, True)
    assert not world.cloud.streams


async def test_the_cloud_is_asked_for_the_instance_of_no_pod_that_never_ran(world: World) -> None:
    world.cloud.find = None  # type: ignore[assignment,method-assign] -- nobody may call it
    world.add(pod_named())
    async with world.serving(), world.api_server() as api_server:
        assert (await read(api_server))[0] == 400


# --- follow ----------------------------------------------------------------------------------------------------------


async def test_followers_get_headers_at_once_and_each_line_as_it_comes(running: World) -> None:
    running.cloud.ends = False
    async with running.serving(), running.api_server() as api_server, asyncio.timeout(DEADLINE_S):
        response = await api_server.get(f"{PATH}?follow=true")
        assert response.status == 200  # although no line has come
        stream = running.cloud.streams[0]
        for line in (b"one\n", b"two\n", b"half", b" three\n"):
            stream.put(line)
            assert await response.content.readany() == line
        stream.put(None)
        assert await response.content.read() == b""
        response.close()


@pytest.mark.parametrize("lines", [0, 3], ids=["before any line", "after some lines"])
async def test_a_client_that_leaves_ends_the_stream(running: World, lines: int) -> None:
    running.cloud.ends = False
    running.cloud.ready = [b"line\n"] * lines
    async with running.serving(), running.client(running.client_ca.issue("u")) as session:
        running.review.allowed = {("u", "get", "proxy")}
        response = await session.get(f"{PATH}?follow=true")
        if lines:
            assert await response.content.readexactly(5 * lines) == b"line\n" * lines
        response.close()
        async with asyncio.timeout(DEADLINE_S):
            await running.cloud.streams[0].closed.wait()


async def test_a_client_that_leaves_while_the_cloud_thinks_ends_the_stream(running: World) -> None:
    running.cloud.ends = False
    async with running.serving(), running.api_server() as api_server:
        reading = asyncio.create_task(read(api_server))
        stream = await the_stream(running)
        reading.cancel()
        async with asyncio.timeout(DEADLINE_S):
            await stream.closed.wait()


async def test_stopping_the_server_ends_its_streams(running: World) -> None:
    running.cloud.ends = False
    running.cloud.ready = [b"line\n"]
    async with running.serving(), running.api_server() as api_server, asyncio.timeout(DEADLINE_S):
        response = await api_server.get(f"{PATH}?follow=true")
        await response.content.readany()
        assert running.server is not None
        await running.server.stop()
        response.close()
    assert running.cloud.streams[0].closed.is_set()


async def test_fifty_followers_at_once(running: World) -> None:
    running.cloud.ends = False
    async with running.serving(), running.api_server() as api_server, asyncio.timeout(DEADLINE_S):
        reading = [asyncio.create_task(read(api_server, f"{PATH}?follow=true")) for _ in range(50)]
        await until(lambda: len(running.cloud.streams) == 50)
        for number, stream in enumerate(running.cloud.streams):
            stream.put(f"{number}\n".encode())
            stream.put(None)
        answers = await asyncio.gather(*reading)
    assert sorted(int(text) for _, text in answers) == list(range(50))


async def test_a_slow_reader_holds_the_cloud_back(running: World) -> None:
    chunk = b"x" * 65536
    most_on_the_way = 24 * 2**20  # what sockets and buffers of both sides may hold; far less than the log
    running.cloud.ready = [chunk] * 1000
    async with running.serving(), running.api_server() as api_server, api_server.get(PATH) as response:
        (stream,) = running.cloud.streams
        for got in range(1000):
            for _ in range(20):  # more turns than the server needs to run ahead, were it let
                await asyncio.sleep(0)
            assert (stream.taken - got) * len(chunk) < most_on_the_way
            assert await response.content.readexactly(len(chunk)) == chunk
        assert await response.content.read() == b""


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/containerLogs/web/nobody/app", (404, 'pod "nobody" does not exist')),
        ("/containerLogs/other/api-0/app", (404, 'pod "api-0" does not exist')),
        ("/containerLogs/web/api-0/nothing", (404, 'container "nothing" not found in pod "api-0"')),
        (f"{PATH}?tailLines=x", (400, '{"message": "Unable to decode query."}')),
        (f"{PATH}?limitBytes=0", (422, '{"message": "Invalid request."}')),
        (f"{PATH}?previous=true", (400, 'previous terminated container "app" in pod "api-0" not found')),
        ("/containerLogs/web/api-0/setup", (400, 'container "setup" in pod "api-0" is not available')),
    ],
)
async def test_refused_before_the_cloud_is_asked(running: World, path: str, expected: tuple[int, str]) -> None:
    async with running.serving(), running.api_server() as api_server:
        assert await read(api_server, path) == expected
    assert running.cloud.streams == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(
            container_status(state={"waiting": {"reason": "ImagePullBackOff"}}),
            'container "app" in pod "api-0" is waiting to start: trying and failing to pull image',
            id="waiting",
        ),
        pytest.param(
            container_status(state={"terminated": {"exitCode": 0}}),
            'container "app" in pod "api-0" has no instance in the cloud, so there is no log of it: '
            "it was never started, or its instance is gone",
            id="ended and gone",
        ),
    ],
)
async def test_no_instance(world: World, status: Json, expected: str) -> None:
    world.add(pod_named(status=status))
    async with world.serving(), world.api_server() as api_server:
        assert await read(api_server) == (400, expected)


@pytest.mark.parametrize("follow", ["", "?follow=true"])
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(
            InstanceGone("no such container group", code="ContainerGroup.NotFound", request_id="R1"),
            (400, "the cloud no longer has the instance of this pod: no such container group (request R1)"),
            id="gone",
        ),
        pytest.param(CloudRefused("tail too\nlarge"), (400, "tail too large"), id="refused, in one line"),
        pytest.param(
            CloudUnavailable("time-out"), (500, "the cloud did not answer as it should: time-out"), id="no answer"
        ),
        pytest.param(
            Throttled("too many calls", request_id="R2"),
            (500, "the cloud did not answer as it should: too many calls (request R2)"),
            id="throttled",
        ),
        pytest.param(
            CloudDenied("no right to read logs"),
            (500, "the cloud did not answer as it should: no right to read logs"),
            id="denied",
        ),
        pytest.param(
            KeyError("a bug"), (500, "Internal error; the log of the virtual node has the details"), id="our own fault"
        ),
    ],
)
async def test_cloud_errors(running: World, error: Exception, follow: str, expected: tuple[int, str]) -> None:
    running.cloud.ready = [error]
    async with running.serving(), running.api_server() as api_server:
        assert await read(api_server, PATH + follow) == expected
        assert await read(api_server, "/healthz") == (200, "ok")


async def test_an_error_in_midstream_is_said_and_the_log_not_taken_for_whole(
    running: World, caplog: pytest.LogCaptureFixture
) -> None:
    running.cloud.ready = [b"one\n", CloudError("the cloud went away")]
    async with running.serving(), running.api_server() as api_server, api_server.get(PATH) as response:
        said = b"one\n\nthe cloud did not answer as it should: the cloud went away\n"
        assert await response.content.readexactly(len(said)) == said
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.content.read()
    assert [record.levelno for record in caplog.records if "broke off" in record.message] == [logging.WARNING]
