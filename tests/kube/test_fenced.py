"""What a leader writes goes through its fence, after all waiting; what it reads does not."""

from __future__ import annotations

import asyncio

import pytest

from tests.kube.apiserver import new_client, serving
from tests.kube.virtual import virtual_time
from vk_provider.errors import KubeUnavailable, LeadershipLost
from vk_provider.fence import Fence
from vk_provider.kube.api import STRATEGIC, FencedApi
from vk_provider.kube.lanes import AT_ONCE, Lane

STATUS = "/api/v1/namespaces/web/pods/a/status"


def loop_fence(until_s: float) -> Fence:
    fence = Fence(lambda: asyncio.get_running_loop().time())
    fence.open_until(asyncio.get_running_loop().time() + until_s)
    return fence


@virtual_time
async def test_a_fence_that_is_shut_lets_nothing_but_reads_out():
    async with serving() as (server, client):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            server.on(method, STATUS, {"did": method})
        fence = loop_fence(60)
        api = FencedApi(client, fence)
        assert api.server == client.server
        calls = (
            lambda: api.post(STATUS, {}),
            lambda: api.put(STATUS, {}),
            lambda: api.patch(STATUS, {}),
            lambda: api.delete(STATUS),
        )
        assert [await call() for call in calls] == [{"did": each} for each in ("POST", "PUT", "PATCH", "DELETE")]
        fence.shut()
        for call in calls:
            with pytest.raises(LeadershipLost):
                await call()
        assert await api.get(STATUS) == {"did": "GET"}
        assert len(server.seen) == 5


@virtual_time
async def test_what_waited_for_its_turn_past_the_fence_is_not_sent():
    async with serving() as (server, _):
        hold = asyncio.Event()

        async def slow(_):
            await hold.wait()
            return {}

        server.on("PATCH", STATUS, slow)
        client = new_client(server, at_once={**AT_ONCE, Lane.WRITES: 1})
        other = asyncio.create_task(client.patch(STATUS, {"by": "another"}))
        await asyncio.sleep(1)
        waiting = asyncio.create_task(FencedApi(client, loop_fence(5)).patch(STATUS, {"by": "us"}))
        await asyncio.sleep(10)
        hold.set()
        await other
        with pytest.raises(LeadershipLost):
            await waiting
        assert [seen.body["by"] for seen in server.seen] == ["another"]
        await client.close()


@virtual_time
async def test_what_is_under_way_ends_with_the_fence_and_a_renewed_one_lets_it_wait_longer():
    async with serving() as (server, client):

        async def silent(_):
            await asyncio.Event().wait()

        server.on("PATCH", STATUS, silent)
        began = asyncio.get_running_loop().time()
        with pytest.raises(KubeUnavailable):
            await FencedApi(client, loop_fence(5)).patch(STATUS, {})
        assert asyncio.get_running_loop().time() - began == pytest.approx(5, abs=0.5)
        shut = loop_fence(5)
        shut.shut()
        with pytest.raises(LeadershipLost):
            await FencedApi(FencedApi(client, shut), loop_fence(60)).patch(STATUS, {})


class Recording:
    """An API that keeps how it was called."""

    server = "https://one"
    get, stream = object(), object()

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[object, ...], dict[str, object]]] = []

    def __getattr__(self, verb: str):
        def call(*args: object, **options: object) -> None:
            self.calls.append((verb, args, options))

        return call


@pytest.mark.parametrize(
    ("verb", "args", "options", "defaults"),
    [
        ("post", ("/a", {"b": 1}), {}, {}),
        ("put", ("/a", {"b": 1}), {}, {}),
        ("patch", ("/a", {"b": 1}), {"content_type": "application/json-patch+json"}, {"content_type": STRATEGIC}),
        ("delete", ("/a",), {"body": {"c": 2}}, {"body": None}),
    ],
)
def test_a_write_is_handed_on_as_it_was_given(verb, args, options, defaults):
    api, fence = Recording(), Fence(lambda: 0.0)
    fence.open_until(9)
    fenced = FencedApi(api, fence)
    getattr(fenced, verb)(*args)
    getattr(fenced, verb)(*args, params={"dryRun": "All"}, timeout_s=7.0, permit=lambda: 5.0, **options)
    (_, plain, usual), (called, full, given) = api.calls
    assert (called, plain, full) == (verb, args, args)
    assert {**usual, "permit": usual["permit"]()} == {"params": None, "timeout_s": 30.0, "permit": 9.0, **defaults}
    assert {**given, "permit": given["permit"]()} == {
        "params": {"dryRun": "All"},
        "timeout_s": 7.0,
        "permit": 5.0,
        **options,
    }
    assert (fenced.server, fenced.get, fenced.stream) == (api.server, api.get, api.stream)


def test_of_two_fences_the_one_that_shuts_first_says_how_long():
    near, far = Fence(lambda: 0.0), Fence(lambda: 0.0)
    near.open_until(3)
    far.open_until(9)
    for inner, outer in ((near, far), (far, near)):
        api = Recording()
        FencedApi(FencedApi(api, inner), outer).post("/a", {})
        assert api.calls[0][2]["permit"]() == 3
    api = Recording()
    FencedApi(FencedApi(api, Fence.always_open()), Fence.always_open()).post("/a", {})
    assert api.calls[0][2]["permit"]() is None
