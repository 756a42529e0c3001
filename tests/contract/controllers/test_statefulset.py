"""StatefulSets: names that stay, one pod after the other, a claim for each."""

from typing import Any

import pytest

from tests.contract.controllers.conftest import Kubelet, events
from tests.contract.kube.client import MERGE, Client, eventually

LABELS = {"app": "db"}
CLAIM = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


@pytest.fixture
def sets(space: str) -> str:
    return f"/apis/apps/v1/namespaces/{space}/statefulsets"


def stateful_set(*, image: str = "a", mounts: Any = (), **spec: Any) -> Any:
    container = {"name": "c", "image": image, "volumeMounts": list(mounts)}
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [container]}}
    wanted = {"serviceName": "db", "selector": {"matchLabels": LABELS}, "template": template, **spec}
    return {"metadata": {"name": "db"}, "spec": wanted}


def make(client: Client, sets: str, **spec: Any) -> Any:
    made = client.create(sets, stateful_set(**spec))
    assert made.status == 201, made.body
    return made.body


def status(client: Client, sets: str) -> Any:
    return client.get(f"{sets}/db").body["status"]


def test_one_after_the_other(client: Client, core: str, sets: str, kubelet: Kubelet, node: str) -> None:
    make(client, sets, replicas=3)
    for number in range(3):
        eventually(lambda number=number: kubelet.live() == [f"db-{one}" for one in range(number + 1)])
        kubelet.run(f"db-{number}")
    eventually(lambda: status(client, sets).get("readyReplicas") == 3)
    first = kubelet.pods()["db-0"]
    assert first["spec"]["hostname"] == "db-0"
    assert first["spec"]["subdomain"] == "db"
    assert first["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] == "db-0"
    assert first["metadata"]["ownerReferences"][0]["kind"] == "StatefulSet"
    found = status(client, sets)
    assert (
        found["currentRevision"] == found["updateRevision"] == first["metadata"]["labels"]["controller-revision-hash"]
    )
    assert (found["replicas"], found["currentReplicas"]) == (3, 3)
    said = [text.lower() for text in events(client, core, "SuccessfulCreate")]  # newer ones begin in capitals
    assert "create pod db-0 in statefulset db successful" in said


def test_scaling_down_takes_the_highest_first(client: Client, sets: str, kubelet: Kubelet, node: str) -> None:
    make(client, sets, replicas=3, podManagementPolicy="Parallel")
    eventually(lambda: len(kubelet.live()) == 3)
    for name in kubelet.live():
        kubelet.run(name)
    ordered = client.get(f"{sets}/db").body
    assert client.patch(f"{sets}/db/scale", {"spec": {"replicas": 1}}, kind=MERGE).status == 200
    eventually(lambda: kubelet.live() == ["db-0"])
    assert ordered["spec"]["podManagementPolicy"] == "Parallel"


def test_scaling_down_in_order_waits_for_each(client: Client, sets: str, kubelet: Kubelet, node: str) -> None:
    make(client, sets, replicas=2)
    for name in ("db-0", "db-1"):
        kubelet.run(name)
    eventually(lambda: status(client, sets).get("readyReplicas") == 2)
    assert client.patch(f"{sets}/db/scale", {"spec": {"replicas": 0}}, kind=MERGE).status == 200
    eventually(lambda: kubelet.live() == ["db-0"])
    kubelet.finish("db-1")
    eventually(lambda: kubelet.live() == [])
    kubelet.finish("db-0")
    eventually(lambda: status(client, sets)["replicas"] == 0)


def test_a_pod_that_is_gone_comes_back_under_its_name(client: Client, sets: str, kubelet: Kubelet, node: str) -> None:
    make(client, sets, replicas=1)
    kubelet.run("db-0")
    old = kubelet.pods()["db-0"]["metadata"]["uid"]
    kubelet.status("db-0", "Failed")
    eventually(lambda: kubelet.pods().get("db-0", {"metadata": {"uid": old}})["metadata"]["uid"] != old)


def test_each_pod_has_claims_of_its_own(client: Client, core: str, sets: str, kubelet: Kubelet) -> None:
    made = make(
        client,
        sets,
        replicas=2,
        podManagementPolicy="Parallel",
        mounts=[{"name": "data", "mountPath": "/data"}],
        volumeClaimTemplates=[CLAIM],
    )
    (template,) = made["spec"]["volumeClaimTemplates"]
    assert (template["kind"], template["spec"]["volumeMode"], template["status"]["phase"]) == (
        "PersistentVolumeClaim",
        "Filesystem",
        "Pending",
    )
    eventually(lambda: len(kubelet.live()) == 2)
    claims = {item["metadata"]["name"]: item for item in client.get(f"{core}/persistentvolumeclaims").body["items"]}
    assert sorted(claims) == ["data-db-0", "data-db-1"]
    claim = claims["data-db-0"]
    assert claim["metadata"]["labels"] == LABELS
    assert claim["spec"]["resources"]["requests"] == {"storage": "1Gi"}
    volumes = {item["name"]: item for item in kubelet.pods()["db-1"]["spec"]["volumes"]}
    assert volumes["data"]["persistentVolumeClaim"]["claimName"] == "data-db-1"


def test_claims_outlive_their_pods(client: Client, core: str, sets: str, kubelet: Kubelet) -> None:
    make(client, sets, replicas=1, volumeClaimTemplates=[CLAIM])
    eventually(lambda: kubelet.live() == ["db-0"])
    client.delete(f"{sets}/db")
    eventually(lambda: not kubelet.pods())
    claim = client.get(f"{core}/persistentvolumeclaims/data-db-0")
    assert claim.status == 200
    assert "deletionTimestamp" not in claim.body["metadata"]
    assert not claim.body["metadata"].get("ownerReferences")


def test_an_update_goes_from_the_highest_down(client: Client, sets: str, kubelet: Kubelet, node: str) -> None:
    make(client, sets, replicas=2)
    for name in ("db-0", "db-1"):
        kubelet.run(name)
    eventually(lambda: status(client, sets).get("readyReplicas") == 2)
    before = status(client, sets)["currentRevision"]
    new = stateful_set(image="b", replicas=2)["spec"]["template"]
    assert client.patch(f"{sets}/db", {"spec": {"template": new}}).status == 200
    eventually(lambda: kubelet.live() == ["db-0"])
    found = status(client, sets)
    assert (found["currentRevision"], found["updateRevision"] != before) == (before, True)
    kubelet.finish("db-1")
    eventually(lambda: "db-1" in kubelet.live())
    assert kubelet.pods()["db-1"]["spec"]["containers"][0]["image"] == "b"
    assert kubelet.pods()["db-0"]["spec"]["containers"][0]["image"] == "a"
    kubelet.run("db-1")
    eventually(lambda: kubelet.live() == ["db-1"])
    kubelet.finish("db-0")
    kubelet.run("db-0")
    eventually(lambda: status(client, sets)["currentRevision"] != before)
    found = status(client, sets)
    assert found["currentRevision"] == found["updateRevision"]
    assert (found["updatedReplicas"], found["currentReplicas"]) == (2, 2)


def test_a_partition_keeps_the_lower_ones(client: Client, sets: str, kubelet: Kubelet, node: str) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    make(client, sets, replicas=2, updateStrategy=strategy)
    for name in ("db-0", "db-1"):
        kubelet.run(name)
    eventually(lambda: status(client, sets).get("readyReplicas") == 2)
    client.patch(f"{sets}/db", {"spec": {"template": stateful_set(image="b")["spec"]["template"]}})
    eventually(lambda: kubelet.live() == ["db-0"])
    kubelet.finish("db-1")
    kubelet.run("db-1")
    eventually(lambda: status(client, sets).get("updatedReplicas") == 1)
    client.delete(f"{sets.replace('/apis/apps/v1', '/api/v1').replace('/statefulsets', '/pods')}/db-0")
    kubelet.finish("db-0")
    eventually(lambda: "db-0" in kubelet.live())
    assert kubelet.pods()["db-0"]["spec"]["containers"][0]["image"] == "a"


def test_on_delete_waits_for_the_user(client: Client, core: str, sets: str, kubelet: Kubelet, node: str) -> None:
    make(client, sets, replicas=1, updateStrategy={"type": "OnDelete"})
    kubelet.run("db-0")
    eventually(lambda: status(client, sets).get("readyReplicas") == 1)
    client.patch(f"{sets}/db", {"spec": {"template": stateful_set(image="b")["spec"]["template"]}})
    eventually(lambda: status(client, sets)["updateRevision"] != status(client, sets)["currentRevision"])
    assert kubelet.live() == ["db-0"]
    client.delete(f"{core}/pods/db-0")
    kubelet.finish("db-0")
    eventually(lambda: "db-0" in kubelet.live())
    assert kubelet.pods()["db-0"]["spec"]["containers"][0]["image"] == "b"


def test_what_may_not_change(client: Client, sets: str) -> None:
    make(client, sets, replicas=0)
    for change in ({"serviceName": "other"}, {"podManagementPolicy": "Parallel"}, {"volumeClaimTemplates": [CLAIM]}):
        refused = client.patch(f"{sets}/db", {"spec": change}, kind=MERGE)
        assert refused.status == 422
        (cause,) = refused.body["details"]["causes"]
        assert cause["field"] in ("spec", *(f"spec.{name}" for name in change))  # newer ones name the field
        if cause["field"] == "spec":
            text = "Forbidden: updates to statefulset spec for fields other than 'replicas', "
            assert cause["message"].startswith(text)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"podManagementPolicy": "Any"}, "spec.podManagementPolicy"),
        ({"updateStrategy": {"type": "Any"}}, "spec.updateStrategy"),
        ({"replicas": -1}, "spec.replicas"),
        ({"selector": {"matchLabels": {"app": "other"}}}, "spec.template.metadata.labels"),
    ],
)
def test_refusals(client: Client, sets: str, spec: Any, field: str) -> None:
    refused = client.create(sets, stateful_set(**spec))
    assert (refused.status, refused.fields) == (422, {field})


def test_a_volume_that_is_nowhere(client: Client, core: str, sets: str, kubelet: Kubelet) -> None:
    """Newer servers find it at once, older ones when a pod is made."""
    made = client.create(sets, stateful_set(replicas=1, mounts=[{"name": "absent", "mountPath": "/data"}]))
    if made.status == 422:
        assert made.fields == {"spec.template.spec.containers[0].volumeMounts[0].name"}
        return
    (text, *_) = eventually(lambda: events(client, core, "FailedCreate"))
    assert text.startswith("create Pod db-0 in StatefulSet db failed error: ")
    assert 'volumeMounts[0].name: Not found: "absent"' in text
    assert kubelet.pods() == {}
