"""ReplicaSets and Deployments over a real Api."""

import pytest

from fakes.kube.controllers.pod_control import create_batches

from .world import pod, template

LABELS = {"app": "web"}


def deployment(replicas=3, *, image="one", **spec):
    body = template(LABELS)
    body["spec"]["containers"][0]["image"] = image
    return {
        "metadata": {"name": "web"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": LABELS}, "template": body, **spec},
    }


def replica_set(replicas=3, **spec):
    return {
        "metadata": {"name": "web"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": LABELS}, "template": template(LABELS), **spec},
    }


def sets(world):
    return {
        item["spec"]["template"]["spec"]["containers"][0]["image"]: item
        for item in world.api.list("replicasets.apps", "default")[0]
    }


def ready_all(world, *, but=()):
    """Play a kubelet that makes every pod ready."""
    for number, one in enumerate(world.live()):
        image = one["spec"]["containers"][0]["image"]
        if one["status"]["phase"] == "Pending" and image not in but:
            world.run_pod(one, ip=f"10.1.0.{number + 1}")


def sweep(world):
    """Play a kubelet that ends what is deleted."""
    for one in world.pods():
        if one["metadata"].get("deletionTimestamp"):
            world.remove_pod(one)


def status(world):
    return world.get("deployments.apps", "web")["status"]


def progress(world):
    found = world.condition(world.get("deployments.apps", "web"), "Progressing")
    return found["status"], found["reason"]


def set_image(world, image):
    body = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image}]}}}}
    world.api.patch("deployments.apps", "web", "default", body)


async def rolled_out(world, replicas=3):
    def done():
        ready_all(world)
        sweep(world)
        now = status(world)
        return now.get("updatedReplicas") == now.get("availableReplicas") == now.get("replicas") == replicas

    await world.until(done)
    await world.settle()


@pytest.mark.parametrize(
    ("count", "refused", "tried", "made"),
    [(5, set(), 5, 5), (20, {0}, 1, 0), (20, {2}, 3, 2), (0, set(), 0, 0)],
)
def test_slow_start(count, refused, tried, made):
    seen = []

    def create(place):
        seen.append(place)
        return place not in refused

    assert create_batches(count, create) == made
    assert len(seen) == tried


async def test_a_set_keeps_its_count(world):
    world.make("replicasets.apps", replica_set(), "default")
    await world.settle()
    assert len(world.live()) == 3
    world.end_pod(world.live()[0], code=1)
    await world.settle()
    assert len(world.live()) == 3  # at once: failed pods of a ReplicaSet have no back-off
    ready_all(world)
    await world.settle()
    now = world.get("replicasets.apps", "web")["status"]
    assert (now["replicas"], now["readyReplicas"], now["availableReplicas"], now["fullyLabeledReplicas"]) == (
        3,
        3,
        3,
        3,
    )
    assert now["observedGeneration"] == 1
    world.api.patch("replicasets.apps", "web", "default", {"spec": {"replicas": 1}}, kind="merge")
    await world.settle()
    assert len(world.live()) == 1


async def test_a_set_adopts_and_lets_go(world):
    world.make("pods", pod("stray", labels=LABELS), "default")
    world.make("replicasets.apps", replica_set(2), "default")
    await world.settle()
    assert len(world.live()) == 2
    assert world.get("pods", "stray")["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet"
    world.api.patch("pods", "stray", "default", {"metadata": {"labels": {"app": "other"}}}, kind="merge")
    await world.settle()
    assert not world.get("pods", "stray")["metadata"].get("ownerReferences")
    assert len(world.live()) == 3


async def test_available_only_after_min_ready_seconds(world):
    world.make("replicasets.apps", replica_set(1, minReadySeconds=30), "default")
    await world.settle()
    ready_all(world)
    await world.settle()
    assert "availableReplicas" not in world.get("replicasets.apps", "web")["status"]
    at = await world.until(lambda: world.get("replicasets.apps", "web")["status"].get("availableReplicas"))
    assert 30 <= at < 32


async def test_refused_pods_show_on_the_set(world):
    world.api.delete("serviceaccounts", "default", "default")
    world.make("replicasets.apps", replica_set(1), "default")
    await world.settle()
    assert world.condition(world.get("replicasets.apps", "web"), "ReplicaFailure")["reason"] == "FailedCreate"
    world.make("serviceaccounts", {"metadata": {"name": "default"}}, "default")
    await world.until(world.live, within_s=61)
    await world.settle()
    assert world.condition(world.get("replicasets.apps", "web"), "ReplicaFailure") is None


async def test_first_rollout(world):
    world.make("deployments.apps", deployment(), "default")
    await world.settle()
    assert progress(world) == ("True", "ReplicaSetUpdated")
    assert status(world)["unavailableReplicas"] == 3
    await rolled_out(world)
    now = world.get("deployments.apps", "web")
    assert now["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
    assert now["status"]["observedGeneration"] == now["metadata"]["generation"]
    assert progress(world) == ("True", "NewReplicaSetAvailable")
    assert world.condition(now, "Available")["status"] == "True"
    (one,) = sets(world).values()
    assert one["metadata"]["labels"]["pod-template-hash"] == one["metadata"]["name"].removeprefix("web-")
    assert world.messages("ScalingReplicaSet") == [f"Scaled up replica set {one['metadata']['name']} from 0 to 3"]


async def test_a_rolling_update_never_has_too_few_or_too_many(world):
    world.make("deployments.apps", deployment(4), "default")
    await world.settle()
    await rolled_out(world, 4)
    set_image(world, "two")
    for _step in range(40):
        await world.settle(0.2)
        ready = [one for one in world.live() if world.condition(one, "Ready")]
        assert len(ready) >= 3  # 25% of 4 may be missing
        assert len(world.live()) <= 5  # and one more be there
        ready_all(world)
        sweep(world)
    assert {image: item["spec"]["replicas"] for image, item in sets(world).items()} == {"one": 0, "two": 4}
    assert progress(world) == ("True", "NewReplicaSetAvailable")
    assert sets(world)["two"]["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"


async def test_going_back_reuses_the_old_set(world):
    world.make("deployments.apps", deployment(1), "default")
    await world.settle()
    await rolled_out(world, 1)
    first = sets(world)["one"]["metadata"]["uid"]
    for image in ("two", "one"):
        set_image(world, image)
        await world.settle()
        await rolled_out(world, 1)
    again = sets(world)["one"]["metadata"]
    assert again["uid"] == first
    assert again["annotations"]["deployment.kubernetes.io/revision"] == "3"
    assert again["annotations"]["deployment.kubernetes.io/revision-history"] == "1"


async def test_recreate_waits_until_the_old_are_gone(world):
    world.node("n1")
    world.make("deployments.apps", deployment(2, strategy={"type": "Recreate"}), "default")
    await world.settle()
    await rolled_out(world, 2)
    set_image(world, "two")
    await world.settle(5)
    assert world.live() == []
    assert len(world.pods()) == 2
    assert "two" not in sets(world)
    sweep(world)
    await world.settle()
    assert [one["spec"]["containers"][0]["image"] for one in world.live()] == ["two", "two"]


async def test_scaling_moves_no_template(world):
    world.make("deployments.apps", deployment(2), "default")
    await world.settle()
    await rolled_out(world, 2)
    world.api.patch("deployments.apps", "web", "default", {"spec": {"replicas": 5}}, kind="merge")
    await world.settle()
    assert len(world.live()) == 5
    assert len(sets(world)) == 1
    assert sets(world)["one"]["metadata"]["annotations"]["deployment.kubernetes.io/desired-replicas"] == "5"
    world.api.patch("deployments.apps", "web", "default", {"spec": {"replicas": 0}}, kind="merge")
    await world.settle()
    assert world.live() == []


async def test_a_stuck_rollout_is_called_stuck(world):
    world.make("deployments.apps", deployment(1, progressDeadlineSeconds=60), "default")
    await world.settle()
    at = await world.until(lambda: progress(world) == ("False", "ProgressDeadlineExceeded"))
    assert 60 <= at < 63
    ready_all(world)
    await world.settle()
    assert progress(world) == ("True", "NewReplicaSetAvailable")


async def test_paused_rolls_nothing_out_but_scales(world):
    world.make("deployments.apps", deployment(2), "default")
    await world.settle()
    await rolled_out(world, 2)
    world.api.patch("deployments.apps", "web", "default", {"spec": {"paused": True}}, kind="merge")
    set_image(world, "two")
    await world.settle()
    assert "two" not in sets(world)
    assert progress(world) == ("Unknown", "DeploymentPaused")
    world.api.patch("deployments.apps", "web", "default", {"spec": {"replicas": 3}}, kind="merge")
    await world.settle()
    assert len(world.live()) == 3
    world.api.patch("deployments.apps", "web", "default", {"spec": {"paused": False}}, kind="merge")
    await world.settle()
    await rolled_out(world, 3)
    assert progress(world) == ("True", "NewReplicaSetAvailable")
    assert sets(world)["two"]["spec"]["replicas"] == 3


async def test_history_limit(world):
    world.make("deployments.apps", deployment(1, revisionHistoryLimit=1), "default")
    await world.settle()
    await rolled_out(world, 1)
    for image in ("two", "three"):
        set_image(world, image)
        await world.settle()
        await rolled_out(world, 1)
    await world.settle()
    assert sorted(sets(world)) == ["three", "two"]
