"""Disks that the cluster has made for claims: what pods find on them, and what kubectl shows."""

import pytest

from tests.local.conftest import pod

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOUNT = {"name": "c", "image": "busybox", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
SPEC = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "20Gi"}}}


def with_data(name, script, source):
    containers = [{**MOUNT, "command": ["sh", "-c", script]}]
    return pod(name, volumes=[{"name": "data", **source}], containers=containers)


async def test_a_disk_keeps_its_data_when_its_pod_is_made_anew(world):
    meta = {"name": "data", "namespace": "vk"}
    source = {"persistentVolumeClaim": {"claimName": "data"}}
    await world.apply(
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": SPEC},
        with_data("db", "echo row >> /data/rows; cat /data/rows", source),
    )
    for rows in (1, 2):
        uid = (await world.phase("db", "Succeeded"))["metadata"]["uid"]
        assert await world.kubectl("-n", "vk", "logs", "db") == "row\n" * rows
        await world.kubectl("-n", "vk", "delete", "pod", "db")
        await world.until_gone(uid)
        await world.apply(with_data("db", "echo row >> /data/rows; cat /data/rows", source))
    await world.phase("db", "Succeeded")

    claim = await world.api.get("/api/v1/namespaces/vk/persistentvolumeclaims/data")
    name = claim["spec"]["volumeName"]
    shown = await world.kubectl("-n", "vk", "get", "pvc", "data", "--no-headers")
    assert shown.split()[:-1] == ["data", "Bound", name, "20Gi", "RWO", "alicloud-disk-essd", "<unset>"]
    shown = await world.kubectl("get", "pv", name, "--no-headers")
    told = ["20Gi", "RWO", "Delete", "Bound", "vk/data", "alicloud-disk-essd", "<unset>"]
    assert shown.split()[:-1] == [name, *told]
    shown = (await world.kubectl("get", "sc")).splitlines()
    assert shown[0].split() == [
        "NAME",
        "PROVISIONER",
        "RECLAIMPOLICY",
        "VOLUMEBINDINGMODE",
        "ALLOWVOLUMEEXPANSION",
        "AGE",
    ]
    default = ["alicloud-disk-essd", "(default)", "diskplugin.csi.alibabacloud.com", "Delete", "Immediate", "true"]
    assert shown[1].split()[:-1] == default
    assert "ProvisioningSucceeded" in await world.kubectl("-n", "vk", "describe", "pvc", "data")

    await world.kubectl("-n", "vk", "delete", "pvc", "data", "--wait=false")
    assert "Terminating" in await world.kubectl("-n", "vk", "get", "pvc", "data")
    await world.kubectl("-n", "vk", "delete", "pod", "db")
    await world.kubectl("wait", "--for=delete", f"pv/{name}", "--timeout=120s")
    assert "not found" in await world.kubectl("-n", "vk", "get", "pvc", "data", check=False)


async def test_an_ephemeral_disk_is_the_pods_alone_and_goes_with_it(world):
    source = {"ephemeral": {"volumeClaimTemplate": {"metadata": {"labels": {"for": "scratch"}}, "spec": SPEC}}}
    for _ in range(2):
        await world.apply(with_data("scratch", "ls /data | wc -l; echo x > /data/x", source))
        seen = await world.phase("scratch", "Succeeded")
        assert (await world.kubectl("-n", "vk", "logs", "scratch")).split() == ["0"]
        claims = (await world.api.get("/api/v1/namespaces/vk/persistentvolumeclaims", labelSelector="for=scratch"))[
            "items"
        ]
        assert [each["metadata"]["name"] for each in claims] == ["scratch-data"]
        assert claims[0]["metadata"]["ownerReferences"][0]["uid"] == seen["metadata"]["uid"]
        await world.kubectl("-n", "vk", "delete", "pod", "scratch")
        await world.kubectl("wait", "--for=delete", f"pv/{claims[0]['spec']['volumeName']}", "--timeout=120s")


async def test_a_pod_whose_claim_has_no_volume_waits_for_one(world):
    meta = {"name": "late", "namespace": "vk"}
    spec = {**SPEC, "storageClassName": "later"}
    await world.apply(
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec},
        with_data("waits", "echo there", {"persistentVolumeClaim": {"claimName": "late"}}),
    )
    uid = (await world.pod("waits"))["metadata"]["uid"]

    async def told():
        return [event["message"] for event in await world.events(uid) if event["reason"] == "FailedScheduling"]

    assert "pod has unbound immediate PersistentVolumeClaims" in (await world.until(told))[0]
    await world.apply(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": "later"},
            "provisioner": "diskplugin.csi.alibabacloud.com",
        }
    )
    await world.phase("waits", "Succeeded")
