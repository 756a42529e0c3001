"""Pods that go: in order, by force, behind our back, with their namespace, and with a namesake in their place."""

from collections.abc import Callable

from tests.e2e.cloud import Cloud
from tests.e2e.cluster import Cluster, Space, within
from tests.e2e.manifests import FOR_EVER, Json, pod
from tests.e2e.provider import Provider

LAST_WORDS = f"trap 'echo bye; exit 7' TERM; echo hi; {FOR_EVER}"
STUBBORN = f"trap '' TERM; {FOR_EVER}"


def watch_to_its_end(space: Space, name: str, version: str) -> list[Json]:
    """Every state of a pod from a version on, the last being the one in which it was removed."""
    states = []
    path = f"{space.path('Pod')}?fieldSelector=metadata.name%3D{name}&resourceVersion={version}"
    for kind, found in space.cluster.client.watch(path, seconds=40):
        states.append(found)
        if kind == "DELETED":
            return states
    raise AssertionError(f"{name} was not removed: {states[-1]}")


def test_graceful_deletion_shows_how_it_ended_before_it_goes(space: Space, node: str, cloud: Cloud) -> None:
    space.create(pod("polite", LAST_WORDS, node=node))
    version = space.when_ready("polite")["metadata"]["resourceVersion"]
    space.delete("Pod", "polite")
    last = watch_to_its_end(space, "polite", version)[-1]
    ended = last["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (last["status"]["phase"], ended["exitCode"], ended["reason"]) == ("Failed", 7, "Error")
    assert space.when_event("polite", "Killing")["message"] == "Stopping container main"
    within(20, lambda: not cloud.instances(vk_namespace=space.name))


def test_stubborn_container_is_killed_after_its_grace(space: Space, node: str, cloud: Cloud) -> None:
    space.create(pod("stubborn", STUBBORN, node=node, terminationGracePeriodSeconds=3))
    version = space.when_ready("stubborn")["metadata"]["resourceVersion"]
    space.delete("Pod", "stubborn")
    last = watch_to_its_end(space, "stubborn", version)[-1]
    ended = last["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (last["status"]["phase"], ended["exitCode"]) == ("Failed", 137)


def test_deletion_before_it_started_leaves_nothing(space: Space, node: str, cloud: Cloud) -> None:
    space.create(pod("hasty", FOR_EVER, node=node))
    space.when("Pod", "hasty", lambda found: found["spec"].get("nodeName"))
    space.delete("Pod", "hasty")
    space.when_gone("Pod", "hasty")
    within(20, lambda: not cloud.instances(vk_namespace=space.name))


def test_forced_deletion_frees_the_instance(space: Space, node: str, cloud: Cloud) -> None:
    space.create(pod("forced", STUBBORN, node=node))
    space.when_ready("forced")
    space.kubectl("delete", "pod", "forced", "--force", "--grace-period=0")
    space.when_gone("Pod", "forced", within_s=5)
    within(30, lambda: not cloud.instances(vk_namespace=space.name))


def test_deletions_while_the_provider_is_down(
    space: Space, make_provider: Callable[..., Provider], cloud: Cloud
) -> None:
    own = make_provider("--orphan-age-s=0", "--sweep-interval-s=5")
    own.start()
    for name in ("polite", "forced", "kept"):
        space.create(pod(name, FOR_EVER, node=own.node))
    for name in ("polite", "forced", "kept"):
        space.when_ready(name)
    own.process.kill()
    space.delete("Pod", "polite")
    space.delete("Pod", "forced", gracePeriodSeconds=0)
    space.when_gone("Pod", "forced", within_s=5)
    assert len(cloud.billed(vk_namespace=space.name)) == 3
    kept = space.get("Pod", "kept")
    own.start()
    space.when_gone("Pod", "polite")
    within(40, lambda: len(cloud.instances(vk_namespace=space.name)) == 1)
    assert cloud.of_pod(kept)["billing"]
    assert space.get("Pod", "kept")["status"] == kept["status"]


def test_namesake_is_another_pod(space: Space, node: str, cloud: Cloud) -> None:
    space.create(pod("twin", "echo first; " + STUBBORN, node=node))
    first = space.when_ready("twin")
    space.delete("Pod", "twin", gracePeriodSeconds=0)
    space.when_gone("Pod", "twin", within_s=5)
    space.create(pod("twin", "echo second", node=node))
    second = space.when_phase("twin", "Succeeded", "Failed")
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    assert second["status"]["phase"] == "Succeeded"
    assert space.kubectl("logs", "twin") == "second\n"
    assert cloud.of_pod(first)["id"] != cloud.of_pod(second)["id"]
    within(30, lambda: not cloud.billed(vk_namespace=space.name))


def test_namespace_goes_with_all_that_runs_in_it(space: Space, node: str, cluster: Cluster, cloud: Cloud) -> None:
    for index in range(3):
        space.create(pod(f"p{index}", FOR_EVER, node=node))
    space.create(pod("done", node=node))
    for index in range(3):
        space.when_ready(f"p{index}")
    space.when_phase("done", "Succeeded")
    cluster.delete(f"/api/v1/namespaces/{space.name}")
    within(60, lambda: cluster.get(f"/api/v1/namespaces/{space.name}") is None, lambda: space.pods())
    within(10, lambda: not cloud.instances(vk_namespace=space.name))
