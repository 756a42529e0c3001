"""An API server restored from a backup, and one that only lags behind: which of them is believed, and when."""

from __future__ import annotations

import itertools

import pytest

from tests.kube.apiserver import lines, refuse, running, serving, until
from tests.kube.test_reflector import PODS, bookmark, event, names, new_reflector, new_store, pod, pod_list
from tests.kube.virtual import virtual_time
from vk_provider.kube.reflector import BEHIND_S, BEHIND_TIMES
from vk_provider.kube.store import NEVER_AGAIN, Store

GONE = lines(event("ERROR", {"code": 410, "reason": "Expired"}))


def phases(store: Store) -> dict[str, str]:
    return {item["metadata"]["name"]: item["status"].get("phase", "") for item in store.values()}


@pytest.mark.parametrize(
    "lost",
    [
        pytest.param([GONE], id="the version is too old"),
        pytest.param(
            [refuse(504, reason="Timeout", causes=[{"reason": "ResourceVersionTooLarge"}])], id="it is too new"
        ),
        pytest.param([lines(end="silence")], id="the server waits for its versions to come, without a word"),
        pytest.param([lines(bookmark(320), end="silence")], id="a bookmark of the past"),
        pytest.param([lines(event("MODIFIED", pod("stays", 320)), end="silence")], id="a change of the past"),
    ],
)
def test_after_a_restore_the_list_is_the_truth(lost):
    """Seen by whatever way the watch shows it: what was deleted goes, what is other is taken, what was removed by us
    for good and is there again comes back."""

    @virtual_time
    async def story():
        async with serving() as (server, client):
            before = [pod("stays", 480), pod("changes", 490, phase="Running"), pod("goes", 470)]
            after = pod_list(330, pod("stays", 310), pod("changes", 300, phase="Pending"), pod("removed", 250))
            now = {"list": pod_list(500, *before, pod("removed", 460))}
            server.on("GET", PODS, lambda seen: now["list"])
            later = event("MODIFIED", pod("changes", 331, phase="Failed"))
            server.on("WATCH", PODS, *lost, lines(later, end="silence"))
            store = new_store()
            async with running(new_reflector(client, store).run()):
                await store.ready.wait()
                store.remove("uid-removed", resource_version=NEVER_AGAIN)
                now["list"] = after
                await until(lambda: "uid-goes" not in store, within_s=130)
                assert names(store) == ["changes", "removed", "stays"]
                await until(lambda: phases(store)["changes"] == "Failed", within_s=5)
            assert server.of("WATCH")[-1].query["resourceVersion"] == "330"

    story()


@virtual_time
async def test_a_server_that_lags_behind_is_not_believed_and_catches_up():
    async with serving() as (server, client):
        new = pod_list(510, pod("a", 490, phase="Running"), pod("b", 505))
        old = pod_list(400, pod("a", 390, phase="Pending"), pod("dead", 380))
        server.on("GET", PODS, pod_list(500, pod("a", 490, phase="Running")), old, old, new)
        server.on("WATCH", PODS, lines(event("DELETED", pod("dead", 501)), bookmark(501)), GONE, lines(end="silence"))
        store = new_store()
        told = []
        store.subscribe(told.append)
        async with running(new_reflector(client, store).run()):
            await until(lambda: "uid-b" in store, within_s=60)
        assert phases(store) == {"a": "Running", "b": ""}
        assert "uid-dead" not in told
        assert len(server.of("GET")) == 4


@virtual_time
async def test_a_server_that_lags_for_longer_is_put_right_by_its_watch():
    async with serving() as (server, client):
        old = pod_list(400, pod("a", 390, phase="Pending"), pod("dead", 380))
        server.on("GET", PODS, pod_list(500, pod("a", 490, phase="Running")), old)
        catching_up = (event("DELETED", pod("dead", 450)), event("MODIFIED", pod("a", 490, phase="Running")))
        server.on("WATCH", PODS, GONE, lines(60, *catching_up, end="silence"))
        store = new_store()
        async with running(new_reflector(client, store).run()):
            await until(lambda: phases(store) == {"a": "Pending", "dead": ""}, within_s=60)
            await until(lambda: phases(store) == {"a": "Running"}, within_s=90)
        lists = server.of("GET")
        assert len(lists) > BEHIND_TIMES
        assert lists[-1].at - lists[1].at >= BEHIND_S


@virtual_time
async def test_lists_that_are_behind_wait_longer_each_time():
    async with serving() as (server, client):
        server.on("GET", PODS, pod_list(500), pod_list(400))
        server.on("WATCH", PODS, GONE, lines(end="silence"))
        async with running(new_reflector(client).run()):
            await until(lambda: len(server.of("WATCH")) == 2)
        gaps = [after.at - before.at for before, after in itertools.pairwise(server.of("GET")[1:])]
        assert gaps == pytest.approx([0.4, 0.8, 1.6, 3.2, 6.4], abs=0.2)


@virtual_time
async def test_a_restore_that_raises_the_version_of_lists_but_not_of_objects_is_seen_too():
    """etcdctl snapshot restore --bump-revision."""
    async with serving() as (server, client):
        server.on("GET", PODS, pod_list(500, pod("a", 490, phase="Running")), pod_list(9000, pod("a", 300)))
        server.on("WATCH", PODS, GONE, lines(end="silence"))
        store = new_store()
        async with running(new_reflector(client, store).run()):
            await until(lambda: phases(store) == {"a": ""}, within_s=60)


@virtual_time
async def test_versions_that_are_no_numbers_are_taken_at_once():
    async with serving() as (server, client):

        def opaque(name, version, **status):
            item = pod(name, 0, **status)
            item["metadata"]["resourceVersion"] = version
            return item

        first = {**pod_list(0, opaque("a", "xyz", phase="Running"), opaque("b", "q"))}
        first["metadata"]["resourceVersion"] = "zzz"
        second = {**pod_list(0, opaque("a", "abc", phase="Failed"))}
        second["metadata"]["resourceVersion"] = "aaa"
        server.on("GET", PODS, first, second)
        server.on("WATCH", PODS, GONE, lines(end="silence"))
        store = new_store()
        async with running(new_reflector(client, store).run()):
            await until(lambda: phases(store) == {"a": "Failed"}, within_s=5)


@virtual_time
async def test_a_write_of_ours_while_a_list_is_under_way_is_no_regression():
    async with serving() as (server, client):
        store = new_store()
        reflector = new_reflector(client, store)

        async def meanwhile(seen):
            assert reflector.apply_response(pod("a", 520, phase="Running"))
            store.remove("uid-b", resource_version=NEVER_AGAIN)
            return pod_list(510, pod("a", 490), pod("b", 480), pod("c", 505))

        server.on("GET", PODS, pod_list(500, pod("a", 490), pod("b", 480)), meanwhile)
        server.on("WATCH", PODS, GONE, lines(end="silence"))
        async with running(reflector.run()):
            await until(lambda: "uid-c" in store, within_s=5)
        assert phases(store) == {"a": "Running", "c": ""}
        assert len(server.of("GET")) == 2
