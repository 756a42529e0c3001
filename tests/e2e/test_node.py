"""The virtual node as people and controllers treat any node: deleted, cordoned, drained, given up, and full."""

from collections.abc import Callable

from tests.e2e import controlplane
from tests.e2e.cloud import Cloud
from tests.e2e.cluster import Cluster, Space, condition, within
from tests.e2e.manifests import FOR_EVER, Json, pod
from tests.e2e.provider import LEASES, Provider

OURS = ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")


def conditions(node: Json) -> dict[str, str]:
    return {each["type"]: each["status"] for each in node["status"]["conditions"]}


def ready(pod: Json) -> dict[str, str]:
    """All of a pod's Ready condition but who saw which generation when."""
    (found,) = (each for each in pod["status"]["conditions"] if each["type"] == "Ready")
    return {key: found[key] for key in ("status", "lastTransitionTime")}


def test_node_is_what_the_control_plane_wants_of_one(cluster: Cluster, node: str, kubectl: str) -> None:
    found = cluster.get(f"/api/v1/nodes/{node}")
    assert found is not None
    assert conditions(found) == {
        "MemoryPressure": "False",
        "DiskPressure": "False",
        "PIDPressure": "False",
        "Ready": "True",
        "CloudAPIAvailable": "True",
        "ProviderHealthy": "True",
    }
    lease = cluster.get(f"{LEASES}/{node}")
    assert lease is not None
    assert [each["uid"] for each in lease["metadata"]["ownerReferences"]] == [found["metadata"]["uid"]]
    header, row = (line.split() for line in cluster.kubectl("get", "node", node, program=kubectl).splitlines())
    shown = dict(zip(header, row, strict=False))
    assert (shown["STATUS"], shown["ROLES"]) == ("Ready", "agent")


def test_deleted_node_comes_back_and_its_pods_run_on(
    cluster: Cluster, space: Space, own: Provider, cloud: Cloud
) -> None:
    path = f"/api/v1/nodes/{own.node}"
    space.create(pod("kept", FOR_EVER, node=own.node))
    before, old = space.when_ready("kept"), cluster.get(path)
    assert old is not None
    cluster.delete(path)

    def back() -> bool:
        found, lease = cluster.get(path), cluster.get(f"{LEASES}/{own.node}")
        if found is None or lease is None or found["metadata"]["uid"] == old["metadata"]["uid"]:
            return False
        owners = [each["uid"] for each in lease["metadata"]["ownerReferences"]]
        return condition(found, "Ready") == "True" and owners == [found["metadata"]["uid"]]

    within(30, back)
    space.create(pod("new", node=own.node))
    space.when_phase("new", "Succeeded")
    assert space.get("Pod", "kept")["metadata"]["uid"] == before["metadata"]["uid"]
    assert cloud.of_pod(before)["billing"]


def test_cordoned_node_takes_no_new_pods(cluster: Cluster, space: Space, own: Provider) -> None:
    space.create(pod("before", FOR_EVER, node=own.node))
    space.when_ready("before")
    cluster.kubectl("cordon", own.node)
    space.create(pod("after", FOR_EVER, node=own.node))
    refused = space.when("Pod", "after", lambda found: condition(found, "PodScheduled") == "False")
    assert "unschedulable" in refused["status"]["conditions"][0]["message"]
    cluster.kubectl("uncordon", own.node)
    space.when_ready("after")
    assert condition(space.get("Pod", "before"), "Ready") == "True"


def test_drained_node_is_empty(cluster: Cluster, space: Space, own: Provider, cloud: Cloud, kubectl: str) -> None:
    for name in ("a", "b"):
        space.create(pod(name, FOR_EVER, node=own.node))
    for name in ("a", "b"):
        space.when_ready(name)
    words = ("drain", own.node, "--force", "--ignore-daemonsets", "--timeout=40s")
    cluster.kubectl(*words, program=kubectl)
    assert space.pods() == []
    within(20, lambda: not cloud.instances(vk_node=own.node))


def test_given_up_for_dead_and_back(cluster: Cluster, space: Space, own: Provider, cloud: Cloud) -> None:
    """The control plane writes Ready=False into the pods of a silent node; when we are back it is as it was."""
    path = f"/api/v1/nodes/{own.node}"
    space.create(pod("kept", FOR_EVER, node=own.node))
    before = space.when_ready("kept")
    own.process.kill()

    def given_up() -> bool:
        node = cluster.get(path) or {}
        return condition(node, "Ready") == "Unknown" and condition(space.get("Pod", "kept"), "Ready") == "False"

    within(controlplane.GRACE_S + 60, given_up, lambda: cluster.get(path))
    own.start()
    space.when_ready("kept")
    found = cluster.get(path)
    assert found is not None
    assert {kind: conditions(found)[kind] for kind in OURS} == dict.fromkeys(OURS[:3], "False") | {"Ready": "True"}
    within(20, lambda: not taints(cluster.get(path)), lambda: cluster.get(path))
    after = space.get("Pod", "kept")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["containerStatuses"] == before["status"]["containerStatuses"]
    assert cloud.of_pod(before)["billing"]


def taints(node: Json | None) -> list[str]:
    """Those that controllers put there."""
    found = (node or {}).get("spec", {}).get("taints") or ()
    return [each["key"] for each in found if each["key"].startswith("node.kubernetes.io/")]


def test_cloud_outage_is_a_condition_and_no_eviction(cluster: Cluster, own: Provider, cloud: Cloud) -> None:
    path = f"/api/v1/nodes/{own.node}"

    def available() -> str:
        return condition(cluster.get(path) or {}, "CloudAPIAvailable")

    within(20, lambda: available() == "True")
    cloud.say("outage", on=True)
    try:
        within(30, lambda: available() == "False", lambda: cluster.get(path))
        assert condition(cluster.get(path) or {}, "Ready") == "True"
    finally:
        cloud.say("outage", on=False)
    within(60, lambda: available() == "True", lambda: cluster.get(path))


def test_full_node_makes_room_for_what_matters_more(
    cluster: Cluster, space: Space, make_provider: Callable[..., Provider], cloud: Cloud
) -> None:
    small = make_provider("--quota-cpu=2")
    small.start()
    name = f"high-{space.name}"
    cluster.create(
        "/apis/scheduling.k8s.io/v1/priorityclasses",
        {"metadata": {"name": name}, "value": 1000, "globalDefault": False},
    )
    try:
        two_cpus = {"resources": {"requests": {"cpu": "2"}}}
        space.create(pod("low", FOR_EVER, node=small.node, container=two_cpus))
        low = space.when_ready("low")
        space.create(pod("high", FOR_EVER, node=small.node, container=two_cpus, priorityClassName=name))
        space.when_gone("Pod", "low")
        high = space.when_ready("high")
    finally:
        cluster.delete(f"/apis/scheduling.k8s.io/v1/priorityclasses/{name}")
    assert space.when_event("low", "Preempted")
    within(10, lambda: not cloud.of_pod(low)["billing"])
    assert cloud.of_pod(high)["billing"]
