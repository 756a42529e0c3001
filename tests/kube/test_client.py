"""The client: what goes out, what comes back, and what every failure is called."""

from __future__ import annotations

import asyncio
import itertools
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kube.apiserver import Answer, lines, new_client, refuse, serving, until
from tests.kube.virtual import virtual_time
from vk_provider.errors import Conflict, Gone, KubeError, KubeUnavailable, NotFound
from vk_provider.kube import paths
from vk_provider.kube.client import JSON_PATCH, MERGE, KubeClient
from vk_provider.kube.credentials import Access
from vk_provider.kube.lanes import AT_ONCE, Lane

PODS = "/api/v1/pods"
STATUS = "/api/v1/namespaces/web/pods/a/status"
EVENTS = "/api/v1/namespaces/web/events"


@virtual_time
async def test_a_request_as_it_goes_out():
    async with serving() as (server, client):
        server.on("PATCH", STATUS, {"kind": "Pod"})
        assert await client.patch(STATUS, {"status": {"message": "漢字"}}, params={"fieldManager": "a b"}) == {
            "kind": "Pod"
        }
        seen = server.seen[0]
        assert seen.body == {"status": {"message": "漢字"}}
        assert seen.query == {"fieldManager": "a b"}
        assert seen.headers["Content-Type"] == "application/strategic-merge-patch+json"
        assert seen.headers["Authorization"] == "Bearer present"
        assert seen.headers["User-Agent"] == "test/1"
        assert client.server == server.url


@virtual_time
async def test_verbs_and_their_bodies():
    async with serving() as (server, client):
        path = paths.config_map("web", "x/y z")
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            server.on(method, "/api/v1/namespaces/web/configmaps/x%2Fy%20z", {"did": method})
        server.on("POST", EVENTS, Answer(201, {"did": "POST"}))
        assert await client.get(path) == {"did": "GET"}
        assert await client.put(path, {"a": 1}) == {"did": "PUT"}
        assert await client.patch(path, {"a": None}, content_type=MERGE) == {"did": "PATCH"}
        assert await client.patch(path, [{"op": "test"}], content_type=JSON_PATCH) == {"did": "PATCH"}
        assert await client.delete(path, body={"gracePeriodSeconds": 0}) == {"did": "DELETE"}
        assert await client.delete(path) == {"did": "DELETE"}
        assert await client.post(EVENTS, {"b": 2}) == {"did": "POST"}
        assert [seen.body for seen in server.seen] == [
            None, {"a": 1}, {"a": None}, [{"op": "test"}], {"gracePeriodSeconds": 0}, None, {"b": 2},
        ]  # fmt: skip


async def read_stream(client, got):
    async with client.stream(PODS, params={}, timeout_s=60) as items:
        async for item in items:
            got.append(item)


FAILURES = [
    pytest.param(refuse(404, reason="NotFound"), NotFound, id="not found"),
    pytest.param(Answer(404, b"404 page not found"), KubeUnavailable, id="a path that a proxy lacks"),
    pytest.param(Answer(404, {"detail": "Not Found"}), KubeUnavailable, id="no word of the API server's"),
    pytest.param(refuse(409, reason="AlreadyExists"), Conflict, id="exists already"),
    pytest.param(refuse(409, reason="Conflict"), Conflict, id="conflict"),
    pytest.param(
        refuse(422, reason="Invalid", causes=[{"field": "metadata.uid", "reason": "FieldValueInvalid"}]),
        Conflict,
        id="a patch for another life",
    ),
    pytest.param(refuse(410, reason="Expired"), Gone, id="expired"),
    pytest.param(refuse(429), KubeUnavailable, id="too many"),
    pytest.param(refuse(500), KubeUnavailable, id="internal"),
    pytest.param(Answer(502, b"<html>bad gateway</html>"), KubeUnavailable, id="a proxy's page"),
    pytest.param(Answer(200, b"<html>login</html>"), KubeUnavailable, id="a page instead of JSON"),
    pytest.param(Answer(200, []), KubeUnavailable, id="a list instead of an object"),
    pytest.param(refuse(403, reason="Forbidden"), KubeError, id="forbidden"),
    pytest.param(refuse(422, reason="Invalid"), KubeError, id="invalid"),
    pytest.param(Answer(302, b"", {"Location": "http://127.0.0.1:9/"}), KubeError, id="a redirect is not followed"),
    pytest.param(Answer(403, {"kind": "Status", "details": None, "message": None}), KubeError, id="an empty Status"),
]


@pytest.mark.parametrize(("answer", "kind"), FAILURES)
@pytest.mark.parametrize("streamed", [False, True])
def test_failures(answer, kind, streamed):
    @virtual_time
    async def run():
        async with serving() as (server, client):
            server.on("GET", PODS, answer)
            with pytest.raises(kind) as caught:
                await (read_stream(client, []) if streamed else client.get(PODS))
            assert type(caught.value) is kind
            assert caught.value.status == (answer.status if answer.status >= 300 else 0)

    run()


@virtual_time
async def test_what_the_server_says_reaches_the_reader():
    async with serving() as (server, client):
        server.on("GET", PODS, refuse(403, reason="Forbidden", message="pods is forbidden: User x cannot list"))
        with pytest.raises(KubeError, match=r"GET /api/v1/pods 403: pods is forbidden: User x cannot list") as caught:
            await client.get(PODS)
        assert caught.value.reason == "Forbidden"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (refuse(429, retry_after="7"), 7.0),
        (refuse(503, retryAfterSeconds=3), 3.0),
        (refuse(503, retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), None),
        (refuse(500), None),
    ],
)
def test_retry_after(answer, expected):
    @virtual_time
    async def run():
        async with serving() as (server, client):
            server.on("GET", PODS, answer)
            with pytest.raises(KubeUnavailable) as caught:
                await client.get(PODS)
            assert caught.value.retry_after_s == expected

    run()


@virtual_time
async def test_a_too_new_version_is_told_apart_from_a_timeout():
    async with serving() as (server, client):
        causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
        server.on("GET", PODS, refuse(504, reason="Timeout", causes=causes, retryAfterSeconds=1))
        with pytest.raises(KubeUnavailable) as caught:
            await client.get(PODS)
        assert caught.value.reason == "ResourceVersionTooLarge"


@virtual_time
async def test_a_call_ends_at_its_deadline():
    async with serving() as (server, client):
        server.on("GET", PODS, lambda seen: asyncio.Event().wait())
        with pytest.raises(KubeUnavailable, match="no answer in time") as caught:
            await client.get(PODS, timeout_s=12)
        assert caught.value.unanswered
        assert asyncio.get_running_loop().time() == pytest.approx(12, abs=0.1)


@virtual_time
async def test_nobody_there_is_unavailable():
    async with serving() as (server, _client):
        server.url = "http://127.0.0.1:1"
        nobody = new_client(server)
        with pytest.raises(KubeUnavailable) as caught:
            await nobody.get(PODS)
        await nobody.close()
        assert caught.value.unanswered


class Renewable:
    """Credentials that change on `renew`, as often as there are new ones."""

    def __init__(self, server, *tokens):
        self._all = [Access(server.url, headers=(("Authorization", token),)) for token in tokens]

    async def access(self):
        return self._all[0]

    async def renew(self, refused):
        if len(self._all) > 1:
            self._all.pop(0)
        return self._all[0]


@virtual_time
async def test_a_401_is_tried_once_more_with_new_credentials():
    async with serving() as (server, _):

        def check(seen):
            return {"ok": True} if seen.headers["Authorization"] == "new" else refuse(401, reason="Unauthorized")

        server.on("GET", PODS, check)
        server.on(
            "WATCH", PODS, lambda seen: lines({"a": 1}) if seen.headers["Authorization"] == "new" else refuse(401)
        )
        for call in ("get", "watch"):
            credentials = Renewable(server, "old", "new")
            client = KubeClient(credentials, await credentials.access(), user_agent="x")
            if call == "get":
                assert await client.get(PODS) == {"ok": True}
            else:
                async with client.stream(PODS, params={"watch": "true"}, timeout_s=9) as items:
                    assert [item async for item in items] == [{"a": 1}]
            await client.close()
        assert [seen.headers["Authorization"] for seen in server.seen] == ["old", "new", "old", "new"]


@virtual_time
async def test_a_401_with_nothing_newer_is_told():
    async with serving() as (server, client):
        server.on("GET", PODS, refuse(401, reason="Unauthorized", message="Unauthorized"))
        with pytest.raises(KubeError) as caught:
            await client.get(PODS)
        assert caught.value.status == 401
        assert not caught.value.retryable
        assert len(server.seen) == 1


@virtual_time
async def test_a_flood_of_events_does_not_delay_a_status():
    async with serving() as (server, client):
        server.on("POST", EVENTS, lambda seen: asyncio.Event().wait())
        server.on("PATCH", STATUS, {"done": True})
        flood = [asyncio.create_task(client.post(EVENTS, {})) for _ in range(200)]
        await until(lambda: len(server.of("POST")) == AT_ONCE[Lane.EVENTS])
        assert await client.patch(STATUS, {}, timeout_s=1) == {"done": True}
        assert len(server.of("POST")) == AT_ONCE[Lane.EVENTS]
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)


@virtual_time
async def test_waiting_for_a_lane_counts_toward_the_deadline():
    async with serving() as (server, _):
        client = new_client(server, at_once=dict.fromkeys(Lane, 1))
        server.on("GET", PODS, lambda seen: asyncio.Event().wait())
        first = asyncio.create_task(client.get(PODS, timeout_s=60))
        await until(lambda: server.seen)
        with pytest.raises(KubeUnavailable):
            await client.get(PODS, timeout_s=5)
        assert len(server.seen) == 1
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await client.close()


@virtual_time
async def test_a_line_of_many_megabytes():
    async with serving() as (server, client):
        huge = {"text": "é" * 3_000_000}
        server.on("GET", PODS, lines(huge, {"last": True}))
        async with client.stream(PODS, params={}, timeout_s=60) as items:
            assert [item async for item in items] == [huge, {"last": True}]


STREAM = b"".join(json.dumps({"n": n, "text": "漢🚀é"}, ensure_ascii=False).encode() + b"\n" for n in range(4))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_lines_cut_anywhere_on_the_wire(cuts):
    @virtual_time
    async def run():
        async with serving() as (server, client):
            edges = [0, *sorted(cuts), len(STREAM)]
            pieces = [STREAM[start:end] for start, end in itertools.pairwise(edges) if start < end]
            server.on("GET", PODS, lines(*pieces))
            async with client.stream(PODS, params={}, timeout_s=60) as items:
                assert [item["n"] async for item in items] == [0, 1, 2, 3]

    run()


@virtual_time
async def test_a_watch_whose_bookmarks_do_not_come_ends_and_one_without_lasts():
    """Chaos seed 15032: a watch stood open, and nothing came of it any more; the pods made since were not seen."""
    async with serving() as (server, client):
        server.on("WATCH", PODS, lines({"n": 1}, end="silence"))
        began = asyncio.get_running_loop().time()
        params = {"watch": "true", "allowWatchBookmarks": "true"}
        async with client.stream(PODS, params=params, timeout_s=500) as items:
            assert [item async for item in items] == [{"n": 1}]
        assert 100 <= asyncio.get_running_loop().time() - began < 110
        began = asyncio.get_running_loop().time()
        async with client.stream(PODS, params={"watch": "true"}, timeout_s=500) as items:
            with pytest.raises(KubeUnavailable, match="no answer in time"):
                _ = [item async for item in items]
        assert 500 <= asyncio.get_running_loop().time() - began < 510


@virtual_time
async def test_a_dropped_stream_is_unavailable_and_gives_what_was_whole():
    async with serving() as (server, client):
        server.on("GET", PODS, lines({"n": 1}, b'{"n": 2', end="drop"))
        got = []
        with pytest.raises(KubeUnavailable):
            await read_stream(client, got)
        assert got == [{"n": 1}]
