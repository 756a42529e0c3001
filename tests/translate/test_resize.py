"""Resources that containers show, and resizes that are answered rather than done (P47)."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from status_world import HOST, NOW, Server, condition, entry, instance, pod, run, wait

from vk_provider.translate import status
from vk_provider.translate.status_events import events_for_patch

Json = dict[str, Any]
SMALL = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
LARGE = {"requests": {"cpu": "2", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
NOTED = {"virtual-kubelet.io/instance-id": "eci-1"}
MESSAGE = "a running instance cannot change its size (c: requests.cpu 1 to 2); make the pod anew"


def sized(resources: Json = SMALL) -> Json:
    return pod(containers=({"name": "c", "resources": resources},), policy="Always")


def look(target: Json, *reports: Any) -> Json:
    return status.from_instance(target, instance("Running", *reports), now=NOW, host_ip=HOST)


def begun(server: Server) -> Json:
    """A pod whose instance has just been noted, and which then runs."""
    target = sized()
    body = status.patch(target, look(target, wait()), annotations=NOTED)
    assert body is not None
    target = server.patch(target, body)
    body = status.patch(target, look(target, run()), annotations=NOTED)
    assert body is not None
    return server.patch(target, body)


def resized(target: Json, resources: Json) -> Json:
    target = copy.deepcopy(target)
    target["spec"]["containers"][0]["resources"] = resources
    target["metadata"]["generation"] += 1
    return target


def test_what_a_container_got_is_shown_and_kept() -> None:
    target = begun(Server())
    assert entry(target)["resources"] == SMALL
    assert entry(target)["allocatedResources"] == SMALL["requests"]
    larger = resized(target, LARGE)
    assert entry(look(larger, run()))["resources"] == SMALL


def test_a_container_that_asks_for_nothing_shows_nothing() -> None:
    assert "resources" not in entry(look(pod(), run()))


def test_a_resize_is_answered_once_and_taken_back_with_the_wish() -> None:
    server, target = Server(), begun(Server())
    larger = resized(target, LARGE)
    body = status.patch(larger, look(larger, run()))
    assert body is not None
    assert [(notice.reason, notice.message) for notice in events_for_patch(larger, body)] == [
        ("ResizeInfeasible", MESSAGE)
    ]
    larger = server.patch(larger, body)
    told = condition(larger, "PodResizePending")
    assert (told["status"], told["reason"], told["message"]) == ("True", "Infeasible", MESSAGE)
    assert told["observedGeneration"] == 2
    assert status.patch(larger, look(larger, run())) is None
    smaller = resized(larger, SMALL)
    body = status.patch(smaller, look(smaller, run()))
    assert body is not None
    assert events_for_patch(smaller, body) == ()
    smaller = server.patch(smaller, body)
    assert condition(smaller, "PodResizePending") == {}
    assert status.patch(smaller, look(smaller, run())) is None


def test_a_resize_while_the_image_is_pulled_is_seen_too() -> None:
    target = sized()
    body = status.patch(target, look(target, wait()), annotations=NOTED)
    assert body is not None
    larger = resized(Server().patch(target, body), LARGE)
    assert condition(look(larger, run()), "PodResizePending")["message"] == MESSAGE


def test_a_server_that_drops_resources_is_not_written_to_for_them() -> None:
    target = begun(Server(modern=False))
    assert "resources" not in entry(target)
    assert status.patch(target, look(target, run()), annotations=NOTED) is None


@pytest.mark.parametrize("modern", [True, False])
def test_an_ephemeral_container_is_answered_once_and_changes_nothing_else(modern: bool) -> None:
    server = Server(modern=modern)
    target = begun(server)
    target["spec"]["ephemeralContainers"] = [{"name": "debug", "image": "busybox"}]
    body = status.patch(target, look(target, run()), annotations=NOTED)
    assert body is not None
    (notice,) = events_for_patch(target, body)
    assert notice.reason == "EphemeralContainersNotSupported"
    assert notice.message.startswith("container debug: ")
    after = server.patch(target, body)
    assert after["status"]["phase"] == target["status"]["phase"] == "Running"
    assert condition(after, "Ready")["status"] == "True"
    assert status.patch(after, look(after, run()), annotations=NOTED) is None
