"""List and watch against a server that drops, forgets, stalls and lies, on virtual time."""

from __future__ import annotations

import asyncio
import itertools
import json

import pytest

from tests.kube.apiserver import Answer, Json, lines, refuse, running, serving, status, until
from tests.kube.virtual import virtual_time
from vk_provider.errors import Gone, KubeError, KubeUnavailable
from vk_provider.kube.reflector import NEWEST, Empty, Listed, Reflector, Watching, after_failure
from vk_provider.kube.store import Store

PODS = "/api/v1/pods"


def pod(name: str, version: int, uid: str = "", **status: object) -> Json:
    meta = {"namespace": "web", "name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": {**meta, "managedFields": [{"manager": "kubectl"}]}, "status": status}


def pod_list(version: int, *pods: Json, token: str = "") -> Json:
    return {"kind": "PodList", "metadata": {"resourceVersion": str(version), "continue": token}, "items": list(pods)}


def event(kind: str, item: Json) -> Json:
    return {"type": kind, "object": item}


def bookmark(version: int) -> Json:
    return event("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": str(version)}})


def new_store() -> Store[Json]:
    return Store(
        key=lambda item: item["metadata"]["uid"],
        version=lambda item: item["metadata"]["resourceVersion"],
        index=lambda item: (item["metadata"]["namespace"], item["metadata"]["name"]),
    )


def new_reflector(client, store=None, **options) -> Reflector:
    settings = {"params": {"fieldSelector": "spec.nodeName=vk"}, "watch_s": lambda: 400.0, "jitter": lambda: 0.0}
    return Reflector(client, PODS, new_store() if store is None else store, **{**settings, **options})


def names(store: Store[Json]) -> list[str]:
    return sorted(item["metadata"]["name"] for item in store.values())


@virtual_time
async def test_list_then_watch_fills_the_store():
    async with serving() as (server, client):
        store = new_store()
        told = []
        store.subscribe(told.append)
        server.on("GET", PODS, pod_list(10, pod("a", 3), pod("b", 7)))
        changes = (event("ADDED", pod("c", 11)), event("MODIFIED", pod("a", 12)), event("DELETED", pod("b", 13)))
        server.on("WATCH", PODS, lines(*changes, end="silence"))
        async with running(new_reflector(client, store).run()):
            await until(lambda: len(told) == 5)
        assert names(store) == ["a", "c"]
        assert told == ["uid-a", "uid-b", "uid-c", "uid-a", "uid-b"]
        assert store.ready.is_set()
        listing, watch = server.seen
        # From the database: a cache that lags behind would show pods as they were before an earlier life of ours ended.
        assert listing.query == {"fieldSelector": "spec.nodeName=vk", "resourceVersion": "", "limit": "500"}
        assert watch.query == {
            "fieldSelector": "spec.nodeName=vk",
            "watch": "true",
            "resourceVersion": "10",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": "400",
        }


@virtual_time
async def test_managed_fields_never_enter_the_store():
    async with serving() as (server, client):
        store = new_store()
        server.on("GET", PODS, pod_list(10, pod("a", 3)))
        server.on("WATCH", PODS, lines(event("ADDED", pod("b", 11)), end="silence"))

        def slim(item: Json) -> Json:
            del item["status"]
            return item

        async with running(new_reflector(client, store, slim=slim).run()) as task:
            await until(lambda: len(store) == 2)
            assert not task.done()
        assert all(set(item) == {"metadata"} and "managedFields" not in item["metadata"] for item in store.values())


@virtual_time
async def test_a_closed_stream_is_resumed_at_once_from_the_last_bookmark():
    async with serving() as (server, client):
        server.on("GET", PODS, pod_list(10))
        first = lines(event("ADDED", pod("a", 11)), bookmark(40))
        server.on("WATCH", PODS, first, lines(event("ADDED", pod("b", 41)), end="silence"))
        store = new_store()
        async with running(new_reflector(client, store).run()):
            await until(lambda: len(store) == 2)
        assert [seen.query["resourceVersion"] for seen in server.of("WATCH")] == ["10", "40"]
        assert len(server.of("GET")) == 1
        assert server.of("WATCH")[1].at < 0.5


@virtual_time
async def test_a_dropped_connection_is_resumed_and_a_cut_line_ignored():
    async with serving() as (server, client):
        server.on("GET", PODS, pod_list(10))
        whole = json.dumps(event("ADDED", pod("b", 12))).encode()
        server.on(
            "WATCH",
            PODS,
            lines(event("ADDED", pod("a", 11)), whole[:50], end="drop"),
            lines(whole + b"\n", end="silence"),
        )
        store = new_store()
        async with running(new_reflector(client, store).run()):
            await until(lambda: len(store) == 2)
        assert [seen.query["resourceVersion"] for seen in server.of("WATCH")] == ["10", "11"]
        assert len(server.of("GET")) == 1


@pytest.mark.parametrize(
    "expired",
    [
        pytest.param(refuse(410, reason="Expired", message="too old"), id="as the answer"),
        pytest.param(
            lines(event("ERROR", status(410, reason="Expired", message="too old resource version: 10 (50)"))),
            id="as a line",
        ),
        pytest.param(lines(event("ERROR", status(410, reason="Gone"))), id="as a line, the old word"),
    ],
)
def test_a_forgotten_version_means_a_new_list_and_what_it_lacks_is_deleted(expired):
    @virtual_time
    async def run():
        async with serving() as (server, client):
            store = new_store()
            told = []
            server.on("GET", PODS, pod_list(10, pod("a", 3), pod("b", 4)), pod_list(60, pod("b", 4), pod("c", 55)))
            server.on("WATCH", PODS, expired, lines(end="silence"))
            async with running(new_reflector(client, store).run()):
                await until(lambda: len(store) == 2)
                store.subscribe(told.append)
                await until(lambda: len(server.of("WATCH")) == 2)
            assert names(store) == ["b", "c"]
            assert sorted(told) == ["uid-a", "uid-c"]
            assert [seen.query["resourceVersion"] for seen in server.of("GET")] == ["", "10"]
            assert server.of("WATCH")[1].query["resourceVersion"] == "60"

    run()


@virtual_time
async def test_a_list_that_expired_too_is_read_from_the_database_by_pages():
    async with serving() as (server, client):
        server.on(
            "GET",
            PODS,
            pod_list(10),
            refuse(410, reason="Expired"),
            pod_list(60, pod("a", 3), token="next&1"),
            pod_list(60, pod("b", 4)),
        )
        server.on("WATCH", PODS, refuse(410, reason="Expired"), lines(end="silence"))
        store = new_store()
        async with running(new_reflector(client, store).run()):
            await until(lambda: len(server.of("WATCH")) == 2)
        assert names(store) == ["a", "b"]
        selector = {"fieldSelector": "spec.nodeName=vk"}
        assert [seen.query for seen in server.of("GET")] == [
            {**selector, "resourceVersion": "", "limit": "500"},
            {**selector, "resourceVersion": "10"},
            {**selector, "resourceVersion": "", "limit": "500"},
            {**selector, "limit": "500", "continue": "next&1"},
        ]


@virtual_time
async def test_pages_that_expire_on_the_way_are_read_all_at_once_and_never_half_shown():
    async with serving() as (server, client):
        store = new_store()
        half = []

        def second_page(seen):
            half.append(len(store))
            return refuse(410, reason="Expired")

        server.on(
            "GET", PODS, refuse(410), pod_list(60, pod("a", 3), token="x"), second_page, pod_list(70, pod("b", 65))
        )
        server.on("WATCH", PODS, lines(end="silence"))
        async with running(new_reflector(client, store).run()):
            await until(lambda: server.of("WATCH"))
        assert half == [0]
        assert names(store) == ["b"]
        assert server.of("GET")[-1].query == {"fieldSelector": "spec.nodeName=vk", "resourceVersion": ""}


@virtual_time
async def test_failures_wait_longer_each_time_up_to_eight_seconds():
    async with serving() as (server, client):
        server.on("GET", PODS, refuse(503))
        async with running(new_reflector(client).run()):
            await until(lambda: len(server.seen) >= 9)
        times = [seen.at for seen in server.seen][:9]
        waits = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert waits == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 8, 8], abs=0.1)


@virtual_time
async def test_that_the_server_answers_again_is_told_once_each_time():
    async with serving() as (server, client):
        server.on("GET", PODS, refuse(503), refuse(503), pod_list(10))
        server.on("WATCH", PODS, lines(9, bookmark(11), end="drop"), lines(end="silence"))
        reflector, told = new_reflector(client), []
        reflector.on_answer = lambda: told.append(round(asyncio.get_running_loop().time()))
        async with running(reflector.run()):
            await until(lambda: len(server.of("WATCH")) == 2)
            await asyncio.sleep(30)
        assert told == [1, 10]


@virtual_time
async def test_jitter_stretches_a_wait_by_a_fifth():
    async with serving() as (server, client):
        server.on("GET", PODS, refuse(500))
        async with running(new_reflector(client, jitter=lambda: 0.999).run()):
            await until(lambda: len(server.seen) == 2)
        assert server.seen[1].at == pytest.approx(0.24, abs=0.03)


@pytest.mark.parametrize("code", [429, 503])
def test_retry_after_is_obeyed(code):
    @virtual_time
    async def run():
        async with serving() as (server, client):
            server.on("GET", PODS, refuse(code, retry_after="17"), pod_list(10))
            server.on("WATCH", PODS, refuse(code, retry_after="9"), lines(end="silence"))
            async with running(new_reflector(client).run()):
                await until(lambda: len(server.seen) == 4)
            assert [seen.at for seen in server.seen] == pytest.approx([0, 17, 17, 26], abs=0.1)

    run()


@virtual_time
async def test_four_healthy_seconds_forget_old_failures():
    async with serving() as (server, client):
        server.on("GET", PODS, refuse(500), refuse(500), refuse(500), pod_list(10))
        server.on("WATCH", PODS, lines(3, bookmark(11), 3, bookmark(12), end="drop"), lines(end="silence"))
        async with running(new_reflector(client).run()):
            await until(lambda: len(server.of("WATCH")) == 2)
        first, second = server.of("WATCH")
        assert second.at - first.at == pytest.approx(6.2, abs=0.15)


@virtual_time
async def test_a_watch_that_was_well_is_opened_again_soon_however_often_it_is_cut():
    """All the while the node is blind to new pods."""
    async with serving() as (server, client):
        server.on("GET", PODS, pod_list(10))
        server.on("WATCH", PODS, lines(15, bookmark(11), 15, end="drop"))
        async with running(new_reflector(client).run()):
            await until(lambda: len(server.of("WATCH")) == 6, within_s=300)
        gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(server.of("WATCH"))]
        assert gaps == pytest.approx([30.2] * 5, abs=0.15)


@virtual_time
async def test_a_watch_that_ends_as_soon_as_it_begins_is_a_failure():
    async with serving() as (server, client):
        server.on("GET", PODS, pod_list(10))
        server.on("WATCH", PODS, lines())
        async with running(new_reflector(client).run()):
            await until(lambda: len(server.of("WATCH")) == 4)
        assert server.of("WATCH")[-1].at == pytest.approx(0.2 + 0.4 + 0.8, abs=0.1)


@virtual_time
async def test_a_watch_without_its_bookmarks_is_opened_anew_from_where_it_was():
    async with serving() as (server, client):
        server.on("GET", PODS, pod_list(10))
        server.on("WATCH", PODS, lines(event("ADDED", pod("a", 11)), end="silence"))
        async with running(new_reflector(client).run()):
            await until(lambda: len(server.of("WATCH")) == 2)
        second = server.of("WATCH")[1]
        assert second.at == pytest.approx(100, abs=0.2)
        assert second.query["resourceVersion"] == "11"
        assert len(server.of("GET")) == 1


@virtual_time
async def test_a_server_that_never_answers_a_watch_is_given_up_after_thirty_seconds():
    async with serving() as (server, client):
        server.on("GET", PODS, pod_list(10))
        server.on("WATCH", PODS, lambda seen: asyncio.Event().wait(), lines(end="silence"))
        async with running(new_reflector(client).run()):
            await until(lambda: len(server.of("WATCH")) == 2)
        assert server.of("WATCH")[1].at == pytest.approx(30.2, abs=0.15)


@virtual_time
async def test_the_answer_to_our_own_write_is_not_overwritten_by_an_older_event():
    async with serving() as (server, client):
        store = new_store()
        go_on = asyncio.Event()

        async def late(seen):
            await go_on.wait()
            return lines(
                event("MODIFIED", pod("a", 11, phase="Pending")), event("MODIFIED", pod("z", 12)), end="silence"
            )

        server.on("GET", PODS, pod_list(10, pod("a", 3)))
        server.on("WATCH", PODS, late)
        reflector = new_reflector(client, store)
        async with running(reflector.run()):
            await store.ready.wait()
            assert reflector.apply_response(pod("a", 12, phase="Running"))
            go_on.set()
            await until(lambda: "uid-z" in store)
        assert store.get("uid-a")["status"] == {"phase": "Running"}


@virtual_time
async def test_an_unknown_line_is_an_error_that_is_waited_out():
    async with serving() as (server, client):
        server.on("GET", PODS, pod_list(10))
        server.on(
            "WATCH",
            PODS,
            lines({"type": "SURPRISE", "object": pod("a", 11)}),
            lines(b"{nonsense\n"),
            lines(end="silence"),
        )
        async with running(new_reflector(client).run()) as task:
            await until(lambda: len(server.of("WATCH")) == 3)
            assert not task.done()
        assert [seen.query["resourceVersion"] for seen in server.of("WATCH")] == ["10", "10", "10"]


@virtual_time
async def test_forbidden_is_tried_again_since_somebody_may_grant_it():
    async with serving() as (server, client):
        server.on("GET", PODS, refuse(403, reason="Forbidden", message="no list"), Answer(404, b"gone"), pod_list(10))
        server.on("WATCH", PODS, lines(end="silence"))
        store = new_store()
        async with running(new_reflector(client, store).run()):
            await store.ready.wait()
        assert len(server.of("GET")) == 3


@virtual_time
async def test_however_long_the_server_was_away_its_return_is_noticed_within_seconds():
    async with serving() as (server, client):
        server.on("GET", PODS, *(Answer(503, b"away") for _ in range(30)), pod_list(10))
        server.on("WATCH", PODS, lines(end="silence"))
        store = new_store()
        async with running(new_reflector(client, store, jitter=lambda: 0.999).run()):
            await store.ready.wait()
        gaps = [after.at - before.at for before, after in itertools.pairwise(server.of("GET"))]
        assert 7 < max(gaps) <= 10


@virtual_time
async def test_a_namesake_is_one_removed_and_one_new_pod():
    async with serving() as (server, client):
        store = new_store()
        server.on("GET", PODS, pod_list(10, pod("a", 3, uid="one")))
        change = (event("ADDED", pod("a", 12, uid="two")), event("DELETED", pod("a", 13, uid="one")))
        server.on("WATCH", PODS, lines(*change, end="silence"))
        async with running(new_reflector(client, store).run()):
            await until(lambda: list(store.keys()) == ["two"])
        assert [item["metadata"]["uid"] for item in store.find(("web", "a"))] == ["two"]


@virtual_time
async def test_ten_thousand_pods_cost_the_same_per_event():
    async with serving() as (server, client):
        store = new_store()
        server.on("GET", PODS, pod_list(10_000, *(pod(f"p{index}", index) for index in range(1, 10_001))))
        changes = b"".join(
            json.dumps(event("MODIFIED", pod(f"p{index}", 10_000 + index))).encode() + b"\n"
            for index in range(1, 5_001)
        )
        server.on("WATCH", PODS, lines(changes, end="silence"))
        told = []
        async with running(new_reflector(client, store).run()):
            await store.ready.wait()
            store.subscribe(told.append)
            await until(lambda: len(told) == 5_000)
        assert len(store) == 10_000


async def _no_lines():
    for line in ():
        yield line


WATCHING = Watching("7", _no_lines(), 0.0)
GONE = Gone("", status=410)
TOO_NEW = KubeUnavailable("", status=504, reason="ResourceVersionTooLarge")
BROKEN = KubeUnavailable("")


@pytest.mark.parametrize(
    ("state", "error", "expected"),
    [
        pytest.param(Empty("0"), BROKEN, Empty("0"), id="a list that failed is tried again"),
        pytest.param(Empty("7"), GONE, Empty(NEWEST), id="an expired list is read from the database"),
        pytest.param(Empty("7"), TOO_NEW, Empty(NEWEST), id="a lagging server is not waited for"),
        pytest.param(Empty(NEWEST), GONE, Empty(NEWEST, page=0), id="expired pages are read at once"),
        pytest.param(Empty(NEWEST, page=0), BROKEN, Empty(NEWEST, page=0), id="and stay so"),
        pytest.param(Listed("7"), GONE, Empty("7"), id="a forgotten version is listed at least as new"),
        pytest.param(Listed("7"), TOO_NEW, Empty(NEWEST), id="a server behind us is listed from the database"),
        pytest.param(Listed("7"), BROKEN, Listed("7"), id="a watch that did not open is opened again"),
        pytest.param(WATCHING, BROKEN, Listed("7"), id="a broken watch is resumed"),
        pytest.param(WATCHING, GONE, Empty("7"), id="a watch told that it is too old is listed"),
        pytest.param(WATCHING, KubeError("", status=403), Listed("7"), id="a watch refused is tried again"),
    ],
)
def test_after_failure(state, error, expected):
    assert after_failure(state, error) == expected
