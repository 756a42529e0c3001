"""Claims, volumes and storage classes at the door; what becomes of them is the controllers' affair."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.kube.client import MERGE, Client, eventually

CLASSES, VOLUMES = "/apis/storage.k8s.io/v1/storageclasses", "/api/v1/persistentvolumes"
SPEC: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "20Gi"}}}


@pytest.fixture
def storage_class(client: Client, space: str) -> Iterator[str]:
    body = {"metadata": {"name": space}, "provisioner": "example.com/disks", "parameters": {"type": "fast"}}
    assert client.create(CLASSES, body).status == 201
    yield space
    client.delete(f"{CLASSES}/{space}")


def test_a_class_has_its_defaults_and_stays_as_it_is(client: Client, storage_class: str) -> None:
    path = f"{CLASSES}/{storage_class}"
    found = client.get(path).body
    assert (found["reclaimPolicy"], found["volumeBindingMode"]) == ("Delete", "Immediate")
    refused = client.patch(path, {"parameters": {"type": "slow"}}, MERGE)
    assert (refused.status, refused.fields) == (422, {"parameters"})
    assert client.patch(path, {"allowVolumeExpansion": True}, MERGE).body["allowVolumeExpansion"] is True


def test_a_claim_begins_pending_and_protected(client: Client, core: str, storage_class: str) -> None:
    body = {"metadata": {"name": "data"}, "spec": {**SPEC, "storageClassName": storage_class}}
    made = client.create(f"{core}/persistentvolumeclaims", body).body
    assert made["status"] == {"phase": "Pending"}
    assert made["spec"] == {**SPEC, "storageClassName": storage_class, "volumeMode": "Filesystem"}
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]


def test_a_volume_begins_pending_and_protected(client: Client, space: str) -> None:
    nfs = {"server": "10.0.0.9", "path": "/"}
    spec = {"accessModes": ["ReadWriteMany"], "capacity": {"storage": "1Ti"}, "nfs": nfs, "storageClassName": "none"}
    made = client.create(VOLUMES, {"metadata": {"name": space}, "spec": spec}).body
    try:
        assert made["status"]["phase"] == "Pending"  # newer servers say since when, too
        assert made["spec"] == {**spec, "persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"}
        assert made["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]
    finally:
        client.delete(f"{VOLUMES}/{space}")
        client.patch(f"{VOLUMES}/{space}", {"metadata": {"finalizers": None}}, MERGE)
        eventually(lambda: client.get(f"{VOLUMES}/{space}").status == 404)


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        pytest.param("{core}/persistentvolumeclaims", {"spec": {}}, {"spec.accessModes", "spec.resources[storage]"}),
        pytest.param("{core}/persistentvolumeclaims", {"spec": {**SPEC, "accessModes": ["Any"]}}, {"spec.accessModes"}),
        pytest.param(VOLUMES, {"spec": {"accessModes": ["ReadWriteOnce"]}}, {"spec.capacity", "spec"}),
        pytest.param(CLASSES, {}, {"provisioner"}),
        pytest.param(CLASSES, {"provisioner": "x", "reclaimPolicy": "Burn"}, {"reclaimPolicy"}),
        pytest.param(CLASSES, {"provisioner": "x", "volumeBindingMode": "Never"}, {"volumeBindingMode"}),
    ],
)
def test_what_is_refused(client: Client, core: str, path: str, body: dict[str, Any], fields: set[str]) -> None:
    answer = client.create(path.format(core=core), {"metadata": {"name": "x"}, **body})
    assert (answer.status, answer.fields) == (422, fields)
