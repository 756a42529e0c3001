"""StatefulSets over a real Api: what becomes of their claims. The rest is in tests/contract/controllers."""

import pytest

from .world import template

LABELS = {"app": "db"}
CLAIM = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, "storageClassName": ""},
}


def make(world, **spec):
    wanted = {"selector": {"matchLabels": LABELS}, "template": template(LABELS), "serviceName": "db", **spec}
    return world.make("statefulsets.apps", {"metadata": {"name": "db"}, "spec": wanted}, "default")


def owners(world, name):
    references = world.get("persistentvolumeclaims", name)["metadata"].get("ownerReferences") or []
    return [(item["kind"], item["name"], "controller" in item) for item in references]


@pytest.mark.parametrize(
    ("policy", "owned"),
    [
        ({}, []),
        ({"whenDeleted": "Delete", "whenScaled": "Retain"}, [("StatefulSet", "db", False)]),
        ({"whenDeleted": "Retain", "whenScaled": "Delete"}, []),
    ],
)
async def test_claims_that_go_with_the_set(world, policy, owned):
    more = {"persistentVolumeClaimRetentionPolicy": policy} if policy else {}
    make(world, replicas=1, volumeClaimTemplates=[CLAIM], **more)
    await world.settle()
    assert owners(world, "data-db-0") == owned


async def test_claims_that_go_with_a_pod_scaled_away(world):
    world.node("n")
    policy = {"whenDeleted": "Retain", "whenScaled": "Delete"}
    make(
        world,
        replicas=2,
        podManagementPolicy="Parallel",
        volumeClaimTemplates=[CLAIM],
        persistentVolumeClaimRetentionPolicy=policy,
    )
    await world.settle()
    world.api.bind("default", "db-1", "n")
    world.api.patch("statefulsets.apps", "db", "default", {"spec": {"replicas": 1}}, kind="merge")
    await world.settle()
    assert world.get("pods", "db-1")["metadata"]["deletionTimestamp"]
    assert owners(world, "data-db-1") == [("Pod", "db-1", False)]
    assert owners(world, "data-db-0") == []


async def test_pods_count_only_after_a_while(world):
    world.node("n")
    make(world, replicas=2, minReadySeconds=10)
    await world.settle()
    world.run_pod(world.get("pods", "db-0"))
    await world.settle(9)
    assert not world.exists("pods", "db-1")
    await world.until(lambda: world.exists("pods", "db-1"), within_s=3)


async def test_a_rollback_makes_the_old_revision_the_newest(world):
    world.node("n")
    make(world, replicas=0)
    await world.settle()
    first = world.get("statefulsets.apps", "db")["status"]["updateRevision"]
    for image in ("b", "busybox"):
        spec = {"containers": [{"name": "main", "image": image}]}
        change = {"spec": {"template": {"metadata": {"labels": LABELS}, "spec": spec}}}
        world.api.patch("statefulsets.apps", "db", "default", change, kind="strategic")
        await world.settle()
    assert world.get("statefulsets.apps", "db")["status"]["updateRevision"] == first
    revisions = {item["metadata"]["name"]: item["revision"] for item in world.api.list("controllerrevisions.apps")[0]}
    assert revisions[first] == 3
    assert len(revisions) == 2
