"""Storage beyond the instance: which spelling becomes which volume, and what keeps a pod waiting (S27, S28)."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pod_cases import CONTEXT, fetch

from vk_provider.cloud.eci.capabilities import CAPABILITIES
from vk_provider.errors import PodNotReady, UnsupportedPod
from vk_provider.model.pod import INSTANCE_ID_ANNOTATION
from vk_provider.model.workload import Flex, Nfs, Volume
from vk_provider.translate.workload import build, references

Json = dict[str, Any]

SECRET: Json = {
    "kind": "Secret",
    "metadata": {"namespace": "kube-system", "name": "oss"},
    "data": {name: base64.b64encode(name.encode()).decode() for name in ("akId", "akSecret")},
}
OWN_SECRET: Json = {**SECRET, "metadata": {"namespace": "ns", "name": "oss"}}
KEYS = {"akId": "akId", "akSecret": "akSecret"}
BUCKET = {"bucket": "b", "url": "oss-cn-hangzhou-internal.aliyuncs.com"}
NO_SUFFIX = 'MountVolume.SetUp failed for volume "v" : '


def pod_of(source: Json, **mount: Any) -> Json:
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
        "spec": {
            "containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v", **mount}]}],
            "volumes": [{"name": "unused", "emptyDir": {}}, {"name": "v", **source}],
        },
    }


def claim(name: str = "data", *, phase: str = "Bound", volume: str = "pv", **metadata: Any) -> Json:
    meta = {"namespace": "ns", "name": name, "uid": f"uid-{name}", **metadata}
    spec = {"accessModes": ["ReadWriteOnce"], "volumeName": volume}
    return {"kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec, "status": {"phase": phase}}


def volume(claimed: str = "data", metadata: Json | None = None, **spec: Any) -> Json:
    reference = {"namespace": "ns", "name": claimed, "uid": f"uid-{claimed}"}
    return {
        "kind": "PersistentVolume",
        "metadata": {"name": "pv", **(metadata or {})},
        "spec": {"accessModes": ["ReadWriteOnce"], "claimRef": reference, **spec},
    }


def disk(**more: Any) -> Json:
    return {"driver": "diskplugin.csi.alibabacloud.com", "volumeHandle": "d-1", **more}


def nas(**attributes: Any) -> Json:
    return {"driver": "nasplugin.csi.alibabacloud.com", "volumeHandle": "x", "volumeAttributes": attributes}


def oss(*, secret: bool = True, **attributes: Any) -> Json:
    reference = {"nodePublishSecretRef": {"namespace": "kube-system", "name": "oss"}} if secret else {}
    return {"driver": "ossplugin.csi.alibabacloud.com", "volumeAttributes": {**BUCKET, **attributes}, **reference}


def built(pod: Json, *objects: Json) -> Volume:
    (made,) = build(pod, fetch(references(pod, capabilities=CAPABILITIES), objects), CONTEXT).volumes
    return made


CLAIMED: Json = {"persistentVolumeClaim": {"claimName": "data"}}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(volume(csi=disk()), Flex("alicloud/disk", "ext4", {"volumeId": "d-1"}), id="disk"),
        pytest.param(
            volume(csi=disk(fsType="xfs", volumeAttributes={"type": "cloud_essd"})),
            Flex("alicloud/disk", "xfs", {"volumeId": "d-1"}),
            id="a disk's attributes say how it was made",
        ),
        pytest.param(
            volume(csi=disk(readOnly=True)), Flex("alicloud/disk", "ext4", {"volumeId": "d-1"}, True), id="disk, read"
        ),
        pytest.param(
            volume(csi=disk(), accessModes=["ReadOnlyMany"]),
            Flex("alicloud/disk", "ext4", {"volumeId": "d-1"}, True),
            id="only offered for reading",
        ),
        pytest.param(
            volume(csi=disk(), mountOptions=["ro"]),
            Flex("alicloud/disk", "ext4", {"volumeId": "d-1"}, True),
            id="mounted for reading",
        ),
        pytest.param(
            volume(flexVolume={"driver": "alicloud/disk", "fsType": "ext3"}),
            Flex("alicloud/disk", "ext3", {"volumeId": "pv"}),
            id="a legacy disk is its volume's name",
        ),
        pytest.param(
            volume(flexVolume={"driver": "alicloud/disk", "options": {"volumeId": "d-2"}}),
            Flex("alicloud/disk", "ext4", {"volumeId": "d-2"}),
            id="legacy disk by id",
        ),
        pytest.param(volume(nfs={"server": "s", "path": "/a"}), Nfs("s", "/a"), id="nfs"),
        pytest.param(volume(nfs={"server": "s", "path": "/a", "readOnly": True}), Nfs("s", "/a", True), id="nfs, read"),
        pytest.param(
            volume(nfs={"server": "s", "path": "/a"}, mountOptions=["nolock", "vers=4.0"]),
            Flex("alicloud/nas", "", {"server": "s", "path": "/a", "vers": "4.0", "options": "nolock"}),
            id="nfs with mount options",
        ),
        pytest.param(volume(csi=nas(server="s", path="/a")), Nfs("s", "/a"), id="nas"),
        pytest.param(volume(csi=nas(server="s")), Nfs("s", "/"), id="nas, all of it"),
        pytest.param(volume(csi=nas(server="s:/share/nas-1")), Nfs("s", "/share/nas-1"), id="path in the server"),
        pytest.param(
            volume(csi=nas(server="s", path="/a", vers="3"), mountOptions=["nolock,tcp", "noresvport"]),
            Flex("alicloud/nas", "", {"server": "s", "path": "/a", "vers": "3", "options": "nolock,tcp,noresvport"}),
            id="nas with options",
        ),
        pytest.param(
            volume(
                csi=nas(server="s", options="soft"),
                metadata={"annotations": {"volume.beta.kubernetes.io/mount-options": "tcp,nfsvers=3,ro"}},
            ),
            Flex("alicloud/nas", "", {"server": "s", "path": "/", "vers": "3", "options": "soft,tcp"}, True),
            id="options in all their places",
        ),
        pytest.param(
            volume(flexVolume={"driver": "alicloud/nas", "options": {"server": "s", "path": "/a", "mode": "755"}}),
            Flex("alicloud/nas", "", {"server": "s", "path": "/a", "mode": "755"}),
            id="legacy nas",
        ),
        pytest.param(volume(csi=oss()), Flex("alicloud/oss", "", {**BUCKET, **KEYS}), id="oss"),
        pytest.param(
            volume(csi=oss(otherOpts="-o max_stat_cache_size=0", path="/x"), mountOptions=["allow_other"]),
            Flex(
                "alicloud/oss",
                "",
                {**BUCKET, **KEYS, "otherOpts": "-o max_stat_cache_size=0 -o allow_other", "path": "/x"},
            ),
            id="oss with options",
        ),
        pytest.param(
            volume(csi=oss(secret=False, ramRole="r")), Flex("alicloud/oss", "", {**BUCKET, "ramRole": "r"}), id="role"
        ),
        pytest.param(
            volume(csi=oss(secret=False, **KEYS)), Flex("alicloud/oss", "", {**BUCKET, **KEYS}), id="keys in the volume"
        ),
        pytest.param(
            volume(
                flexVolume={
                    "driver": "alicloud/oss",
                    "options": BUCKET,
                    "secretRef": {"name": "oss", "namespace": "kube-system"},
                }
            ),
            Flex("alicloud/oss", "", {**BUCKET, **KEYS}),
            id="legacy oss",
        ),
    ],
)
def test_what_a_persistent_volume_becomes(found: Json, expected: Nfs | Flex) -> None:
    made = built(pod_of(CLAIMED), claim(), found, SECRET)
    assert made == Volume("v", index=1, **{"nfs" if isinstance(expected, Nfs) else "flex": expected})


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"nfs": {"server": "s", "path": "/a"}}, Nfs("s", "/a")),
        ({"nfs": {"server": "s", "path": "/a", "readOnly": True}}, Nfs("s", "/a", True)),
        (
            {"flexVolume": {"driver": "alicloud/disk", "options": {"volumeSize": "20"}, "readOnly": True}},
            Flex("alicloud/disk", "ext4", {"volumeSize": "20"}, True),
        ),
        (
            {"flexVolume": {"driver": "alicloud/oss", "options": BUCKET, "secretRef": {"name": "oss"}}},
            Flex("alicloud/oss", "", {**BUCKET, **KEYS}),
        ),
        ({"csi": nas(server="s", path="/a") | {"volumeHandle": None}}, Nfs("s", "/a")),
        (
            {"csi": oss() | {"nodePublishSecretRef": {"name": "oss"}}},
            Flex("alicloud/oss", "", {**BUCKET, **KEYS}),
        ),
    ],
)
def test_what_a_volume_in_the_pod_becomes(source: Json, expected: Nfs | Flex) -> None:
    made = built(pod_of(source), OWN_SECRET)
    assert made == Volume("v", index=1, **{"nfs" if isinstance(expected, Nfs) else "flex": expected})


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (volume(csi=disk(), volumeMode="Block"), "its volume pv is a block device"),
        (volume(awsElasticBlockStore={"volumeID": "x"}), "of kind awsElasticBlockStore"),
        (volume(local={"path": "/x"}), "of kind local"),
        (volume(csi={"driver": "ebs.csi.aws.com"}), "CSI driver ebs.csi.aws.com"),
        (volume(flexVolume={"driver": "x/y"}), "flexVolume driver x/y"),
        (volume(csi=disk(), mountOptions=["noatime", "rw"]), "mount options noatime, which"),
        (volume(csi=disk(volumeHandle="")), "names no disk"),
        (volume(csi=nas(path="/")), "names no file server"),
        (volume(csi=nas(server="s", mountType="losetup")), "mountType losetup"),
        (volume(csi=nas(server="s", mountProtocol="cpfs-native")), "mountProtocol cpfs-native"),
        (volume(csi=oss(url="")), "names no url"),
        (volume(csi=oss(fuseType="ossfs2")), "fuseType ossfs2"),
        (volume(csi=oss(authType="rrsa")), "authType rrsa"),
        (volume(csi=oss(secret=False)), "names no Secret with akId and akSecret"),
    ],
)
def test_what_the_cloud_cannot_mount_is_refused_where_the_pod_names_it(found: Json, words: str) -> None:
    with pytest.raises(UnsupportedPod) as raised:
        built(pod_of(CLAIMED), claim(), found, SECRET)
    (refusal,) = raised.value.refusals
    assert refusal.field == "spec.volumes[1].persistentVolumeClaim"
    assert words in refusal.reason


def test_all_refused_volumes_are_named_at_once() -> None:
    pod = pod_of({"flexVolume": {"driver": "alicloud/disk"}})
    pod["spec"]["volumes"][0] = {"name": "unused", "flexVolume": {"driver": "alicloud/nas"}}
    pod["spec"]["containers"][0]["volumeMounts"].append({"name": "unused", "mountPath": "/u"})
    with pytest.raises(UnsupportedPod) as raised:
        build(pod, fetch(references(pod, capabilities=CAPABILITIES), ()), CONTEXT)
    assert [refusal.field for refusal in raised.value.refusals] == [
        "spec.volumes[0].flexVolume",
        "spec.volumes[1].flexVolume",
    ]


@pytest.mark.parametrize(
    ("objects", "fault"),
    [
        ([], 'persistentvolumeclaim "data" not found'),
        ([claim(phase="Pending")], "PVC is not bound"),
        ([claim(phase="Lost"), volume(csi=disk())], "PVC is not bound"),
        ([claim(volume="")], "PVC has empty pvc.Spec.VolumeName"),
        ([claim(deletionTimestamp="2026-01-01T00:00:00Z"), volume(csi=disk())], "PVC is being deleted"),
        ([claim()], 'failed to fetch PV: persistentvolumes "pv" not found'),
        ([claim(), volume("other", csi=disk())], "PV pv is bound to another claim"),
    ],
)
def test_s27_a_claim_that_leads_nowhere_keeps_the_pod_waiting(objects: list[Json], fault: str) -> None:
    with pytest.raises(PodNotReady) as raised:
        built(pod_of(CLAIMED), *objects)
    assert str(raised.value) == f"{NO_SUFFIX}error processing PVC ns/data: {fault}"
    assert (raised.value.event_reason, raised.value.waiting_reason) == ("FailedMount", "ContainerCreating")


@pytest.mark.parametrize(
    ("secret", "fault"),
    [
        ([], 'secret "oss" not found'),
        ([{**SECRET, "data": {"akId": "YQ=="}}], "references non-existent secret key: akSecret"),
    ],
)
def test_a_bucket_waits_for_its_keys(secret: list[Json], fault: str) -> None:
    with pytest.raises(PodNotReady) as raised:
        built(pod_of(CLAIMED), claim(), volume(csi=oss()), *secret)
    assert str(raised.value) == NO_SUFFIX + fault


EPHEMERAL: Json = {"ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}}


def test_s28_an_ephemeral_volume_is_the_claim_made_for_it() -> None:
    owned = claim("p-v", ownerReferences=[{"kind": "Pod", "uid": "u", "controller": True}])
    assert built(pod_of(EPHEMERAL), owned, volume("p-v", csi=disk())).flex == Flex(
        "alicloud/disk", "ext4", {"volumeId": "d-1"}
    )


@pytest.mark.parametrize(
    "owners", [None, [{"kind": "Pod", "uid": "x", "controller": True}], [{"kind": "Pod", "uid": "u"}]]
)
def test_s28_a_claim_of_somebody_else_is_not_used(owners: list[Json] | None) -> None:
    stray = claim("p-v", ownerReferences=owners)
    with pytest.raises(PodNotReady, match=r"PVC ns/p-v was not created for pod ns/p \(pod is not owner\)"):
        built(pod_of(EPHEMERAL), stray, volume("p-v", csi=disk()))


def test_a_pod_that_runs_keeps_a_claim_that_is_being_deleted() -> None:
    pod = pod_of(CLAIMED)
    pod["metadata"]["annotations"] = {INSTANCE_ID_ANNOTATION: "eci-1"}
    leaving = claim(deletionTimestamp="2026-01-01T00:00:00Z")
    assert built(pod, leaving, volume(csi=disk())).flex is not None


@pytest.mark.parametrize("reader", ["claim", "mount"])
def test_who_only_wants_to_read_only_reads(reader: str) -> None:
    source = {"persistentVolumeClaim": {"claimName": "data", "readOnly": reader == "claim"}}
    pod = pod_of(source, readOnly=reader == "mount", subPath="a/b")
    workload = build(pod, fetch(references(pod, capabilities=CAPABILITIES), [claim(), volume(csi=disk())]), CONTEXT)
    (mount,) = workload.containers[0].mounts
    assert (mount.read_only, mount.sub_path) == (True, "a/b")


def test_keys_are_never_shown() -> None:
    made = built(pod_of(CLAIMED), claim(), volume(csi=oss()), SECRET)
    assert "akSecret" not in repr(made)


def test_the_pods_own_role_opens_a_bucket() -> None:
    pod = pod_of({"flexVolume": {"driver": "alicloud/oss", "options": {"bucket": "b", "url": "u"}}})
    with pytest.raises(UnsupportedPod, match="eci-ram-role-name"):
        built(pod)
    pod["metadata"]["annotations"] = {"k8s.aliyun.com/eci-ram-role-name": "reader"}
    assert built(pod) == Volume("v", flex=Flex("alicloud/oss", "", {"bucket": "b", "url": "u"}), index=1)


@pytest.mark.parametrize(("size", "sent"), [("100Gi", "100"), ("20", "20"), ("5Gi", ""), ("100GB", ""), ("1Ti", "")])
def test_the_size_of_a_new_disk_with_and_without_its_unit(size: str, sent: str) -> None:
    pod = pod_of({"flexVolume": {"driver": "alicloud/disk", "options": {"volumeSize": size}}})
    if not sent:
        with pytest.raises(UnsupportedPod, match="volumeSize"):
            built(pod)
        return
    assert built(pod) == Volume("v", flex=Flex("alicloud/disk", "ext4", {"volumeSize": sent}), index=1)
