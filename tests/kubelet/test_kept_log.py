"""A log that was kept is shown as the query asks, and only where there is no other."""

from __future__ import annotations

import pytest

from vk_provider.cloud.base import LogOptions
from vk_provider.errors import InstanceGone
from vk_provider.instances.ended_logs import EndedLogs
from vk_provider.kubelet.kept_log import shown

from .world import World, container_status, instance_of_pod, pod_named

PATH = "/containerLogs/web/api-0/app"
KEPT = b"2026-01-02T03:04:05.000000001Z one\n2026-01-02T03:04:06.5Z two\n2026-01-02T03:04:07Z three"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (LogOptions(), b"one\ntwo\nthree"),
        (LogOptions(follow=True), b"one\ntwo\nthree"),
        (LogOptions(tail=1), b"three"),
        (LogOptions(tail=0), b""),
        (LogOptions(tail=9), b"one\ntwo\nthree"),
        (LogOptions(since="2026-01-02T03:04:06Z"), b"two\nthree"),
        (LogOptions(limit_bytes=5), b"one\nt"),
        (LogOptions(tail=1, timestamps=True), b"2026-01-02T03:04:07Z three"),
    ],
)
def test_the_query_counts(options, text):
    assert shown(KEPT, options) == text


async def test_of_a_pod_whose_instance_is_gone_what_was_kept_is_shown(world: World) -> None:
    world.add(pod_named(status=container_status(state={"terminated": {"exitCode": 137}})))
    async with world.serving(), world.api_server() as api_server:
        async with api_server.get(PATH) as response:
            assert response.status == 400
        world.ended_logs.keep("uid-api-0", {"app": KEPT})
        async with api_server.get(f"{PATH}?tailLines=1") as response:
            assert (response.status, await response.text()) == (200, "three")
        async with api_server.get(f"{PATH}?previous=true") as response:
            assert response.status == 400


async def test_so_it_is_while_the_cloud_says_that_it_is_gone(world: World) -> None:
    pod = pod_named(status=container_status(state={"running": {}}))
    world.add(pod, instance_of_pod(pod))
    world.ended_logs.keep("uid-api-0", {"app": KEPT})
    world.cloud.ready = [InstanceGone("it is gone")]
    async with world.serving(), world.api_server() as api_server, api_server.get(PATH) as response:
        assert (response.status, await response.text()) == (200, "one\ntwo\nthree")


def test_what_is_kept_is_bounded():
    logs = EndedLogs(most_bytes=10)
    for name in ("a", "b", "c"):
        logs.keep(name, {"app": b"12345"})
    assert [logs.of(name, "app") for name in ("a", "b", "c")] == [None, b"12345", b"12345"]
    logs.keep("c", {"app": b"1"})
    logs.keep("d", {"app": b"1234"})
    assert logs.of("b", "app") == b"12345"
    logs.keep("e", {"app": b"12345678901"})
    assert logs.of("e", "app") is None
