"""What a server sends that no server should: it ends an item or a stream, never the loop, and no pod looks deleted."""

from __future__ import annotations

import asyncio

import pytest

from tests.kube.apiserver import Answer, lines, running, serving, until
from tests.kube.test_reflector import PODS, bookmark, event, names, new_reflector, new_store, pod, pod_list
from tests.kube.virtual import virtual_time
from vk_provider.errors import MalformedAnswer
from vk_provider.kube import objects


def broken(**changes):
    """A pod of which one member of the metadata is another, or left out (None)."""
    item = pod("bad", 11)
    for name, value in changes.items():
        if value is LEFT_OUT:
            item["metadata"].pop(name)
        else:
            item["metadata"][name] = value
    return item


LEFT_OUT = object()
BROKEN = {
    "null": None,
    "number": 7,
    "list": [],
    "text": "pod",
    "empty": {},
    "metadata null": {"metadata": None, "spec": {}},
    "metadata list": {"metadata": [{"uid": "u"}], "spec": {}},
    "metadata empty": {"metadata": {}, "spec": {}},
    "no uid": broken(uid=LEFT_OUT),
    "uid null": broken(uid=None),
    "uid empty": broken(uid=""),
    "uid number": broken(uid=5),
    "uid list": broken(uid=["u"]),
    "no name": broken(name=LEFT_OUT),
    "name object": broken(name={}),
    "no namespace": broken(namespace=LEFT_OUT),
    "namespace list": broken(namespace=["web"]),
    "version number": broken(resourceVersion=11),
    "version object": broken(resourceVersion={}),
    "labels list": broken(labels=["a"]),
    "label null": broken(labels={"a": None}),
    "annotations text": broken(annotations="a"),
    "annotation number": broken(annotations={"a": 1}),
    "owners object": broken(ownerReferences={}),
    "owner text": broken(ownerReferences=["me"]),
    "finalizers numbers": broken(finalizers=[1]),
    "deleted at number": broken(deletionTimestamp=12345),
    "spec list": {**pod("bad", 11), "spec": []},
    "status text": {**pod("bad", 11), "status": "Running"},
}
each_broken = pytest.mark.parametrize("item", BROKEN.values(), ids=BROKEN)


@each_broken
def test_a_malformed_object_is_told_from_a_sound_one(item):
    assert objects.fault_of_object(item) or new_store().fault_of(item)
    assert not objects.fault_of_object(pod("good", 3))
    assert not new_store().fault_of(pod("good", 3))


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"])
@each_broken
def test_a_malformed_line_is_left_out_and_those_after_it_are_not(kind, item):
    @virtual_time
    async def story():
        async with serving() as (server, client):
            server.on("GET", PODS, pod_list(10, pod("old", 3)))
            good = event("ADDED", pod("good", 12))
            server.on("WATCH", PODS, lines(event(kind, item), good, end="silence"), lines(end="silence"))
            store = new_store()
            async with running(new_reflector(client, store).run()) as task:
                await until(lambda: "uid-good" in store, within_s=5)
                assert not task.done()
            assert names(store) == ["good", "old"]

    story()


@each_broken
def test_a_malformed_item_of_a_list_is_left_out_and_asked_for_again(item):
    @virtual_time
    async def story():
        async with serving() as (server, client):
            server.on("GET", PODS, pod_list(10, pod("a", 3), item, pod("b", 4)), pod_list(11, pod("a", 3)))
            server.on("WATCH", PODS, lines(end="silence"))
            store = new_store()
            async with running(new_reflector(client, store).run()):
                await until(lambda: names(store) == ["a", "b"], within_s=5)
                await until(lambda: names(store) == ["a"], within_s=60)  # the next list is whole again, and the truth
                assert len(server.of("GET")) == 2
                server_time = server.of("GET")[1].at
            assert server_time == pytest.approx(10, abs=1)

    story()


@pytest.mark.parametrize(
    ("item", "kept"),
    [
        pytest.param(broken(name=5), ["bad"], id="its uid says whose it is"),
        pytest.param(broken(uid=None), ["bad"], id="its name says whose it is"),
        pytest.param({**pod("bad", 11), "spec": 3}, ["bad"], id="all but its spec"),
        pytest.param(None, ["bad", "gone"], id="nothing says whose it is"),
    ],
)
def test_a_malformed_item_does_not_make_its_pod_look_deleted(item, kept):
    @virtual_time
    async def story():
        async with serving() as (server, client):
            again = [lines(event("ERROR", {"code": 410}))]
            server.on("GET", PODS, pod_list(10, pod("bad", 3), pod("gone", 4)), pod_list(20, item, pod("c", 15)))
            server.on("WATCH", PODS, *again, lines(end="silence"))
            store = new_store()
            async with running(new_reflector(client, store).run()):
                await until(lambda: "uid-c" in store, within_s=30)
            assert names(store) == sorted([*kept, "c"])
            assert store.get("uid-bad")["metadata"]["resourceVersion"] == "3"

    story()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({}, id="empty object"),
        pytest.param(Answer(200, b""), id="no body"),
        pytest.param(Answer(200, b"<html>"), id="a proxy's page"),
        pytest.param(Answer(200, []), id="a list of JSON"),
        pytest.param({"metadata": {"resourceVersion": "12"}}, id="no items"),
        pytest.param({"metadata": {"resourceVersion": "12"}, "items": {}}, id="items object"),
        pytest.param({"metadata": {"resourceVersion": "12"}, "items": "none"}, id="items text"),
        pytest.param({"metadata": None, "items": []}, id="metadata null"),
        pytest.param({"metadata": [], "items": []}, id="metadata list"),
        pytest.param({"metadata": {"resourceVersion": 12}, "items": []}, id="version number"),
        pytest.param({"metadata": {"resourceVersion": "12", "continue": 1}, "items": []}, id="continue number"),
        pytest.param({"kind": "Status", "status": "Success", "metadata": {}}, id="a Status"),
    ],
)
def test_an_answer_that_is_no_list_proves_nothing(answer):
    @virtual_time
    async def story():
        async with serving() as (server, client):
            good = pod_list(20, pod("a", 3), pod("b", 15))
            server.on("GET", PODS, pod_list(10, pod("a", 3)), answer, good)
            server.on("WATCH", PODS, lines(event("ERROR", {"code": 410})), lines(end="silence"))
            store = new_store()
            removed = []
            store.subscribe(lambda key: removed.append(key) if key not in store else None)
            async with running(new_reflector(client, store).run()):
                await until(lambda: "uid-b" in store, within_s=30)
            assert removed == []

    story()


@virtual_time
async def test_an_empty_list_as_go_writes_it_is_one():
    async with serving() as (server, client):
        server.on("GET", PODS, {"metadata": {"resourceVersion": "10"}, "items": None})
        server.on("WATCH", PODS, lines(end="silence"))
        store = new_store()
        async with running(new_reflector(client, store).run()):
            await until(store.ready.is_set, within_s=5)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"null\n", id="null"),
        pytest.param(b"[]\n", id="list"),
        pytest.param(b"{nonsense\n", id="no JSON"),
        pytest.param(b"[" * 100_000 + b"\n", id="deep"),
        pytest.param({}, id="empty"),
        pytest.param({"type": None, "object": pod("x", 11)}, id="type null"),
        pytest.param({"type": ["ADDED"], "object": pod("x", 11)}, id="type list"),
        pytest.param({"type": "ERROR"}, id="error of nothing"),
        pytest.param({"type": "ERROR", "object": []}, id="error of a list"),
        pytest.param({"type": "ERROR", "object": {"code": "410", "details": 5}}, id="error of wrong types"),
        pytest.param({"type": "ERROR", "object": {"code": 500}}, id="error of the server"),
        pytest.param({"type": "ERROR", "object": {"code": 403}}, id="error forbidden"),
    ],
)
def test_a_line_that_always_comes_first_does_not_hide_what_comes_after(line):
    """Whoever would go on from before it would meet it again for ever."""

    @virtual_time
    async def story():
        async with serving() as (server, client):
            now = {"list": pod_list(10)}
            server.on("GET", PODS, lambda seen: now["list"])
            server.on("WATCH", PODS, lambda seen: lines(line, end="silence"))
            store = new_store()
            async with running(new_reflector(client, store).run()) as task:
                await store.ready.wait()
                now["list"] = pod_list(20, pod("honest", 15))
                await until(lambda: "uid-honest" in store, within_s=60)
                assert not task.done()

    story()


NO_LINES = [
    pytest.param(b"null\n", id="null"),
    pytest.param(b"[]\n", id="list"),
    pytest.param(b"{nonsense\n", id="no JSON"),
    pytest.param(b"\xff\xfe\n", id="no UTF-8"),
    pytest.param(b"[" * 100_000 + b"\n", id="deep"),
    pytest.param({}, id="empty"),
    pytest.param({"type": ["ADDED"], "object": pod("x", 11)}, id="type list"),
    pytest.param({"type": "NOVELTY", "object": pod("x", 11)}, id="type unknown"),
    pytest.param({"type": "ERROR"}, id="error of nothing"),
    pytest.param({"type": "ERROR", "object": {"code": "410", "details": 5}}, id="error of wrong types"),
    pytest.param({"type": "ADDED", "object": None}, id="object null"),
    pytest.param(event("MODIFIED", pod("x", 3)), id="a change long past"),
    pytest.param(bookmark(3), id="a bookmark long past"),
]


@pytest.mark.parametrize("line", NO_LINES)
def test_a_watch_goes_on_at_once_behind_a_line_that_is_none(line):
    """Nobody waits for a new watch or a list because of it; what it may have told, a list tells ten seconds later."""

    @virtual_time
    async def story():
        async with serving() as (server, client):
            server.on("GET", PODS, pod_list(10))
            good = [event("ADDED", pod(f"good{number}", 12 + number)) for number in range(3)]
            mixed = [each for one in good for each in (line, one)]
            server.on("WATCH", PODS, lines(*mixed, end="silence"), lines(end="silence"))
            store, loop = new_store(), asyncio.get_running_loop()
            async with running(new_reflector(client, store).run()):
                await store.ready.wait()
                began_s = loop.time()
                await until(lambda: len(store) == 3, within_s=5)
                assert loop.time() - began_s < 0.5
                assert (len(server.of("GET")), len(server.of("WATCH"))) == (1, 1)
                server.on("GET", PODS, pod_list(30, *(each["object"] for each in good), pod("hidden", 20)))
                await until(lambda: "uid-hidden" in store, within_s=15)

    story()


@virtual_time
async def test_where_every_watch_meets_such_a_line_the_lists_that_make_up_for_it_become_seldom():
    async with serving() as (server, client):
        server.on("GET", PODS, lambda seen: pod_list(10))
        server.on("WATCH", PODS, lambda seen: lines(b"{nonsense\n", end="silence"))
        async with running(new_reflector(client).run()):
            await asyncio.sleep(3600)
        lists = [each for each in server.of("GET") if each.query["limit"] == "500"]
        assert 5 <= len(lists) <= 25


@virtual_time
async def test_watches_of_nothing_but_such_lines_are_not_opened_without_rest():
    async with serving() as (server, client):
        server.on("GET", PODS, lambda seen: pod_list(10))
        server.on("WATCH", PODS, lambda seen: lines(b"{nonsense\n"))
        async with running(new_reflector(client).run()):
            await asyncio.sleep(60)
        assert len(server.seen) <= 40


@virtual_time
async def test_a_watch_that_is_forbidden_is_made_up_for_by_lists():
    async with serving() as (server, client):
        now = {"list": pod_list(10)}
        server.on("GET", PODS, lambda seen: now["list"])
        server.on("WATCH", PODS, Answer(403, b"no"))
        store = new_store()
        reflector = new_reflector(client, store)
        async with running(reflector.run()):
            await store.ready.wait()
            now["list"] = pod_list(20, pod("honest", 15))
            await until(lambda: "uid-honest" in store, within_s=60)
            await until(lambda: (fault := reflector.fault()) and fault.age_s > 60)
            assert "403" in reflector.fault().message


@virtual_time
async def test_malformed_answers_to_single_questions_are_an_error_of_the_server():
    async with serving() as (server, client):
        for body in ({"metadata": []}, {"metadata": {"uid": 1}}, {"metadata": {}, "spec": []}, {"metadata": None}):
            server.on("GET", "/api/v1/nodes/vk", body)
            with pytest.raises(MalformedAnswer, match="malformed"):
                await client.get("/api/v1/nodes/vk")
            server.forget("GET", "/api/v1/nodes/vk")


@virtual_time
async def test_a_hundred_malformed_lines_are_one_line_of_log_and_all_counted(caplog):
    async with serving() as (server, client):
        server.on("GET", PODS, pod_list(10))
        server.on("WATCH", PODS, lines(*[event("ADDED", None)] * 100, event("ADDED", pod("a", 12)), end="silence"))
        store = new_store()
        reflector = new_reflector(client, store)
        async with running(reflector.run()):
            await until(lambda: "uid-a" in store, within_s=5)
        assert reflector.malformed == 100
        assert len([each for each in caplog.records if "left out" in each.getMessage()]) == 1
