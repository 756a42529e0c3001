"""Answers of a server that means harm: gzip that becomes gigabytes, bodies and lines without end, pages without end.

The server is real and speaks HTTP; what it costs us is asked of Python's allocator.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from vk_provider import bodies, bounds, jsontext
from vk_provider.cloud.eci import calls, tags
from vk_provider.cloud.eci.client import EciClient
from vk_provider.cloud.eci.credentials import Credentials, FixedCredentials
from vk_provider.cloud.eci.driver import EciCloud
from vk_provider.cloud.eci.settings import EciSettings
from vk_provider.errors import AnswerTooLong, CloudAnswerTooLong, CloudUnavailable, KubeUnavailable
from vk_provider.kube.client import KubeClient
from vk_provider.kube.credentials import Access, FixedAccess
from vk_provider.kube.lines import LineSplitter
from vk_provider.kube.reflector import PAGE, Reflector
from vk_provider.kube.store import Store
from vk_provider.model.instance import Owner

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PIECE = b" " * bounds.MIB
MOST = 5 * bounds.MIB


def bomb(mebibytes: int) -> bytes:
    """Gzip of so many, a thousandth of the size; its end, with the checksum, is left out."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    first, again = (deflate.compress(PIECE) + deflate.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * (mebibytes - 1)


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[str]:
    app = web.Application(client_max_size=bounds.MIB)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def kube(url: str) -> KubeClient:
    access = Access(url)
    return KubeClient(FixedAccess(access), access, user_agent="test/1")


def eci(url: str) -> EciClient:
    settings = EciSettings(region="cn-hangzhou", cluster="c", node="vk", endpoint=url, max_attempts=2)
    return EciClient(settings, FixedCredentials(Credentials("k", "s")), jitter=lambda: 0.0, first_pause_s=0.01)


def compressed(content: bytes, encoding: str = "gzip") -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(body=content, headers={"Content-Encoding": encoding, "Content-Type": "application/json"})

    return handler


def announced(size: int) -> Handler:
    async def handler(asked: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(size)})
        await response.prepare(asked)
        await asyncio.Event().wait()
        return response

    return handler


async def endless(asked: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(asked)
    while True:
        await response.write(PIECE)


async def lines_of(asked: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(asked)
    await response.write(b'{"type":"ADDED","object":{}}\n')
    while True:
        await response.write(b"x" * bounds.MIB)


async def cost_of(step: Awaitable[Any], kind: type[Exception]) -> int:
    """Bytes at the most while it fails as it should."""
    tracemalloc.start()
    try:
        with pytest.raises(kind):
            async with asyncio.timeout(60):
                await step
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


HARMFUL = {
    "a bomb": compressed(bomb(400)),
    "a bomb in a bomb's tail": compressed(gzip.compress(b"{}") + bomb(400)),
    "an endless body": endless,
    "a length that nobody sends": announced(10**12),
}


@pytest.mark.parametrize("name", HARMFUL)
async def test_s9_what_the_api_server_answers_is_bounded(name: str) -> None:
    async with served(HARMFUL[name]) as url:
        client = kube(url)
        try:
            peak = await cost_of(client.get("/api/v1/namespaces/a/secrets/b"), AnswerTooLong)
            assert peak < 3 * bounds.MOST_ANSWER
            review = client.post("/apis/authentication.k8s.io/v1/tokenreviews", {})
            assert await cost_of(review, AnswerTooLong) < 3 * bounds.MOST_ANSWER
            assert await cost_of(client.get("/api/v1/pods"), AnswerTooLong) < 3 * bounds.MOST_LIST
        finally:
            await client.close()


@pytest.mark.parametrize("name", HARMFUL)
async def test_s9_what_the_cloud_answers_is_bounded(name: str) -> None:
    async with served(HARMFUL[name]) as url:
        client = eci(url)
        try:
            for asked in (calls.describe_statuses(), calls.delete("eci-1")):
                assert await cost_of(client.call(asked), CloudAnswerTooLong) < 3 * bounds.MOST_CLOUD_ANSWER
        finally:
            await client.close()


async def test_s9_a_line_of_a_watch_is_bounded() -> None:
    async with served(lines_of) as url:
        client = kube(url)

        async def watch() -> None:
            async with client.stream("/api/v1/pods", params={"watch": "true"}, timeout_s=60) as lines:
                async for line in lines:
                    assert line["type"] == "ADDED"

        try:
            assert await cost_of(watch(), AnswerTooLong) < 3 * bounds.MOST_ANSWER
        finally:
            await client.close()


@pytest.mark.parametrize(
    ("content", "encoding"), [(b"no gzip", "gzip"), (gzip.compress(b"{}")[:12] + b"x" * 90, "gzip"), (b"{}", "br")]
)
async def test_s9_what_cannot_be_read_is_no_answer(content: bytes, encoding: str) -> None:
    async with served(compressed(content, encoding)) as url:
        api, cloud = kube(url), eci(url)
        try:
            with pytest.raises(KubeUnavailable):
                await api.get("/version")
            with pytest.raises(CloudUnavailable):
                await cloud.call(calls.delete("eci-1"))
        finally:
            await api.close()
            await cloud.close()


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("size", [0, 10, 300_000, MOST])
async def test_a_body_is_read_as_it_was_sent(size: int, members: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"." * (size % 256)
    cut = max(1, len(content) // members)
    packed = b"".join(gzip.compress(content[at : at + cut]) for at in range(0, len(content) or 1, cut))

    async def plain(_: web.Request) -> web.StreamResponse:
        return web.Response(body=content)

    for handler in (compressed(packed), plain):
        async with served(handler) as url, aiohttp.ClientSession(auto_decompress=False) as session:
            async with session.get(url) as response:
                assert await bodies.read(response, MOST) == content
            if size:
                async with session.get(url) as response:
                    with pytest.raises(bodies.Overlong):
                        await bodies.read(response, size - 1)


async def test_only_gzip_is_asked_for() -> None:
    seen = []

    async def handler(asked: web.Request) -> web.StreamResponse:
        seen.append(asked.headers["Accept-Encoding"])
        return web.json_response({"RequestId": "r", "ContainerGroups": []})

    async with served(handler) as url:
        api, cloud = kube(url), eci(url)
        await api.get("/version")
        await cloud.call(calls.describe_groups())
        await api.close()
        await cloud.close()
    assert seen == ["gzip", "gzip"]


# --- real lists -------------------------------------------------------------------------------------------------------


def pod(number: int, padding: int = 0) -> dict[str, Any]:
    meta = {"name": f"p{number}", "namespace": "web", "uid": f"u{number}", "resourceVersion": str(number + 1)}
    return {"metadata": {**meta, "annotations": {"a": "x" * padding}}, "spec": {"containers": [{"name": "c"}]}}


class Pods:
    """Answers lists of pods, page by page, and holds up watches."""

    def __init__(self, pods: list[dict[str, Any]]) -> None:
        self._pods = pods
        self.limits: list[str] = []

    async def answer(self, asked: web.Request) -> web.StreamResponse:
        if asked.query.get("watch"):
            response = web.StreamResponse()
            await response.prepare(asked)
            await asyncio.Event().wait()
        self.limits.append(asked.query.get("limit", ""))
        first, size = int(asked.query.get("continue") or 0), int(asked.query.get("limit") or len(self._pods))
        more = {"continue": str(first + size)} if first + size < len(self._pods) else {}
        page = {"metadata": {"resourceVersion": "9999", **more}, "items": self._pods[first : first + size]}
        return web.json_response(page)


def store_of_pods() -> Store[dict[str, Any]]:
    return Store(key=lambda item: item["metadata"]["uid"], version=lambda item: item["metadata"]["resourceVersion"])


async def listed(answers: Pods) -> Store[dict[str, Any]]:
    async with served(answers.answer) as url:
        client, store = kube(url), store_of_pods()
        reflector = Reflector(client, "/api/v1/pods", store, jitter=lambda: 0.0)
        task = asyncio.create_task(reflector.run())
        try:
            async with asyncio.timeout(50):
                await store.ready.wait()
        finally:
            task.cancel()
            await asyncio.wait([task])
            await client.close()
        return store


async def test_s9_a_list_of_five_thousand_pods_is_read() -> None:
    answers = Pods([pod(number, padding=8_000) for number in range(5_000)])
    assert len(await listed(answers)) == 5_000
    assert set(answers.limits) == {str(PAGE)}
    async with served(answers.answer) as url:
        client = kube(url)
        whole = await client.get("/api/v1/pods", params={"resourceVersion": "9"})  # which takes no limit
        await client.close()
    assert [item["metadata"]["uid"] for item in whole["items"]] == [f"u{number}" for number in range(5_000)]


async def test_s9_large_pods_make_pages_smaller_and_hide_nobody_elses() -> None:
    answers = Pods([pod(number, padding=1_400_000 if number < 60 else 0) for number in range(200)])
    assert len(await listed(answers)) == 200
    assert answers.limits[0] == str(PAGE)
    assert answers.limits[-1] == str(PAGE // 4 // 4)


def test_a_lists_items_are_read_one_by_one() -> None:
    items = jsontext.Items([jsontext.Unread(b'{"a":1}'), {"b": 2}])
    assert (len(items), list(items), items[0], list(items[1:])) == (2, [{"a": 1}, {"b": 2}], {"a": 1}, [{"b": 2}])
    assert not jsontext.Items([])


def test_s9_a_line_without_end_is_let_go() -> None:
    splitter = LineSplitter(most=10)
    assert splitter.feed(b'{"a":1}\n{"b"') == [b'{"a":1}']
    assert splitter.feed(b"x" * 20) == []
    assert splitter.is_overlong
    assert splitter.pending == 0
    assert splitter.feed(b"\n{}\n") == []


# --- pages of the cloud -----------------------------------------------------------------------------------------------


def group(number: int, padding: int = 0) -> dict[str, Any]:
    written = tags.of_owner(Owner(cluster="c", node="vk", namespace="web", name="p", uid=f"u{number}"))
    return {
        "ContainerGroupId": f"eci-{number}",
        "Status": "Running",
        "Tags": [{"Key": key, "Value": value} for key, value in written.items()],
        "Containers": [{"Name": "c", "EnvironmentVars": [{"Key": "A", "Value": "x" * padding}]}],
    }


async def test_s9_groups_with_very_long_words_hide_no_others() -> None:
    asked_for: list[int] = []

    async def handler(asked: web.Request) -> web.StreamResponse:
        ids = json.loads(asked.query["ContainerGroupIds"])
        asked_for.append(len(ids))
        groups = [group(int(each.removeprefix("eci-")), padding=9 * bounds.MIB) for each in ids]
        return web.json_response({"RequestId": "r", "ContainerGroups": groups})

    async with served(handler) as url:
        client = eci(url)
        cloud = EciCloud(client.settings, client)
        found = await cloud.describe([f"eci-{number}" for number in range(5)])
        await client.close()
    assert sorted(found) == [f"eci-{number}" for number in range(5)]
    assert asked_for == [5, 2, 3]


async def test_s9_a_listing_without_end_ends() -> None:
    count = iter(range(10 * bounds.MOST_CLOUD_PAGES))

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.json_response({"RequestId": "r", "ContainerGroups": [], "NextToken": f"t{next(count)}"})

    async with served(handler) as url:
        client = eci(url)
        with pytest.raises(CloudUnavailable, match="pages and no end"):
            await EciCloud(client.settings, client).find("u1")
        await client.close()
