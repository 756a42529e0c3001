"""DaemonSets: one pod on each node that will have it."""

from typing import Any

import pytest

from tests.contract.controllers.conftest import Kubelet, events
from tests.contract.kube.client import Client, eventually

LABELS = {"app": "agent"}
TAINT = {"key": "only", "value": "some", "effect": "NoSchedule"}


@pytest.fixture
def sets(space: str) -> str:
    return f"/apis/apps/v1/namespaces/{space}/daemonsets"


@pytest.fixture
def pool(space: str) -> dict[str, str]:
    """A label of the test's own nodes: other tests' may still be there."""
    return {"pool": space}


def make(client: Client, sets: str, pool: Any, *, image: str = "a", strategy: Any = None, **spec: Any) -> Any:
    containers = [{"name": "c", "image": image}]
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": containers, "nodeSelector": pool, **spec}}
    wanted = {"selector": {"matchLabels": LABELS}, "template": template}
    wanted |= {"updateStrategy": strategy} if strategy else {}
    made = client.create(sets, {"metadata": {"name": "agent"}, "spec": wanted})
    assert made.status == 201, made.body
    return made.body


def status(client: Client, sets: str) -> Any:
    return client.get(f"{sets}/agent").body["status"]


def placed(kubelet: Kubelet) -> list[str]:
    """The nodes of those not being deleted."""
    return sorted(
        pod["spec"].get("nodeName", "") for pod in kubelet.pods().values() if "deletionTimestamp" not in pod["metadata"]
    )


def run_all(kubelet: Kubelet) -> None:
    for name in kubelet.live():
        kubelet.run(name)


def test_one_pod_on_each_node(client: Client, sets: str, pool: Any, kubelet: Kubelet, make_node: Any) -> None:
    nodes = sorted([make_node(labels=pool), make_node(labels=pool)])
    make_node(labels={"pool": "another"})
    make(client, sets, pool)
    eventually(lambda: placed(kubelet) == nodes)
    run_all(kubelet)
    eventually(lambda: status(client, sets).get("numberAvailable") == 2)
    found = status(client, sets)
    assert (found["desiredNumberScheduled"], found["currentNumberScheduled"]) == (2, 2)
    assert (found["numberReady"], found["updatedNumberScheduled"], found["numberMisscheduled"]) == (2, 2, 0)
    third = make_node(labels=pool)
    eventually(lambda: placed(kubelet) == sorted([*nodes, third]))


def test_nodes_that_will_not_have_it(client: Client, sets: str, pool: Any, kubelet: Kubelet, make_node: Any) -> None:
    free, tainted = make_node(labels=pool), make_node(labels=pool, taints=[TAINT])
    cordoned = make_node(labels=pool, unschedulable=True)
    make(client, sets, pool)
    eventually(lambda: placed(kubelet) == sorted([free, cordoned]))
    assert (
        client.patch(f"/api/v1/nodes/{tainted}", {"spec": {"taints": []}}, "application/merge-patch+json").status == 200
    )
    eventually(lambda: placed(kubelet) == sorted([free, cordoned, tainted]))


def test_tolerations(client: Client, sets: str, pool: Any, kubelet: Kubelet, make_node: Any) -> None:
    tainted = make_node(labels=pool, taints=[TAINT])
    make(client, sets, pool, tolerations=[{"key": "only", "operator": "Exists"}])
    eventually(lambda: placed(kubelet) == [tainted])
    (pod,) = kubelet.pods().values()
    tolerated = {(item.get("key"), item.get("effect")) for item in pod["spec"]["tolerations"]}
    assert {
        ("only", None),
        ("node.kubernetes.io/not-ready", "NoExecute"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
        ("node.kubernetes.io/disk-pressure", "NoSchedule"),
        ("node.kubernetes.io/memory-pressure", "NoSchedule"),
        ("node.kubernetes.io/pid-pressure", "NoSchedule"),
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
    } <= tolerated
    terms = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = terms["nodeSelectorTerms"]
    assert term["matchFields"] == [{"key": "metadata.name", "operator": "In", "values": [tainted]}]


def test_a_node_that_no_longer_fits(client: Client, sets: str, pool: Any, kubelet: Kubelet, make_node: Any) -> None:
    name = make_node(labels=pool)
    make(client, sets, pool)
    eventually(lambda: placed(kubelet) == [name])
    assert client.patch(f"/api/v1/nodes/{name}", {"metadata": {"labels": {"pool": "another"}}}).status == 200
    eventually(lambda: placed(kubelet) == [])
    eventually(lambda: status(client, sets)["desiredNumberScheduled"] == 0)


def test_one_that_failed_is_replaced(
    client: Client, core: str, sets: str, pool: Any, kubelet: Kubelet, make_node: Any
) -> None:
    name = make_node(labels=pool)
    make(client, sets, pool)
    eventually(lambda: placed(kubelet) == [name])
    (old,) = kubelet.live()
    kubelet.status(old, "Failed")
    eventually(lambda: old not in kubelet.live())
    if old in kubelet.pods():
        kubelet.finish(old)
    eventually(lambda: len(kubelet.live()) == 1)
    texts = events(client, core, "FailedDaemonPod")
    assert any(text.endswith(f"{old} on node {name}, will try to kill it") for text in texts), texts


def test_an_update_is_limited(client: Client, sets: str, pool: Any, kubelet: Kubelet, make_node: Any) -> None:
    make_node(labels=pool)
    make_node(labels=pool)
    made = make(client, sets, pool)
    eventually(lambda: len(placed(kubelet)) == 2 and all(placed(kubelet)))
    run_all(kubelet)
    eventually(lambda: status(client, sets).get("numberAvailable") == 2)
    template = made["spec"]["template"]
    template["spec"]["containers"][0]["image"] = "b"
    assert client.patch(f"{sets}/agent", {"spec": {"template": template}}).status == 200
    eventually(lambda: len(kubelet.live()) == 1)
    (gone,) = set(kubelet.pods()) - set(kubelet.live())
    kubelet.finish(gone)
    eventually(lambda: len(kubelet.live()) == 2)
    images = sorted(pod["spec"]["containers"][0]["image"] for pod in kubelet.pods().values())
    assert images == ["a", "b"]
    eventually(lambda: status(client, sets).get("updatedNumberScheduled") == 1)
    run_all(kubelet)
    eventually(lambda: len(kubelet.live()) == 1)


def test_on_delete_waits_for_the_user(client: Client, sets: str, pool: Any, kubelet: Kubelet, make_node: Any) -> None:
    make_node(labels=pool)
    made = make(client, sets, pool, strategy={"type": "OnDelete"})
    eventually(lambda: all(placed(kubelet)) and placed(kubelet))
    template = made["spec"]["template"]
    template["spec"]["containers"][0]["image"] = "b"
    client.patch(f"{sets}/agent", {"spec": {"template": template}})
    eventually(lambda: status(client, sets)["observedGeneration"] == 2)
    (pod,) = kubelet.pods().values()
    assert pod["spec"]["containers"][0]["image"] == "a"
    assert "deletionTimestamp" not in pod["metadata"]


def test_deleting_it_removes_its_pods(client: Client, sets: str, pool: Any, kubelet: Kubelet, make_node: Any) -> None:
    make_node(labels=pool)
    make(client, sets, pool)
    eventually(lambda: placed(kubelet))
    client.delete(f"{sets}/agent")
    eventually(lambda: not kubelet.live())
