"""Claims and volumes find each other, the cloud's classes make volumes, and pods wait for both."""

import pytest

from .world import pod

CLAIMS, VOLUMES, CLASSES = "persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io"
DISK, NAS, OSS = (f"{kind}plugin.csi.alibabacloud.com" for kind in ("disk", "nas", "oss"))
INVALID = 'failed to provision volume with StorageClass "essd": rpc error: code = InvalidArgument desc = '
MOUNTS = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}


def claim(name="data", *, size="20Gi", modes=("ReadWriteOnce",), storage_class="", **spec):
    fixed = {"accessModes": list(modes), "resources": {"requests": {"storage": size}}}
    return {"metadata": {"name": name}, "spec": {**fixed, "storageClassName": storage_class, **spec}}


def volume(name="disk", *, size="20Gi", modes=("ReadWriteOnce",), labels=None, **spec):
    fixed = {"accessModes": list(modes), "capacity": {"storage": size}, "nfs": {"server": "s", "path": "/"}}
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": {**fixed, **spec}}


def storage_class(name="essd", *, provisioner=DISK, **more):
    return {"metadata": {"name": name}, "provisioner": provisioner, **more}


def bound(world, name="data"):
    return world.get(CLAIMS, name)["status"]["phase"] == "Bound"


def volume_of(world, name="data"):
    return world.get(VOLUMES, world.get(CLAIMS, name)["spec"]["volumeName"], None)


@pytest.mark.parametrize(
    ("wish", "offer", "fits"),
    [
        pytest.param({}, {}, True, id="equal"),
        pytest.param({}, {"size": "1Ti"}, True, id="larger"),
        pytest.param({}, {"size": "20G"}, False, id="smaller"),
        pytest.param({}, {"modes": ("ReadWriteMany", "ReadWriteOnce")}, True, id="more modes"),
        pytest.param({"modes": ("ReadWriteMany",)}, {}, False, id="another mode"),
        pytest.param({}, {"storageClassName": "essd"}, False, id="another class"),
        pytest.param({"storage_class": "x"}, {"storageClassName": "x"}, True, id="class without object"),
        pytest.param({}, {"volumeMode": "Block"}, False, id="block device"),
        pytest.param({"selector": {"matchLabels": {"a": "b"}}}, {"labels": {"a": "b"}}, True, id="selected"),
        pytest.param({"selector": {"matchLabels": {"a": "b"}}}, {"labels": {"a": "c"}}, False, id="not selected"),
        pytest.param({"volumeName": "disk"}, {}, True, id="named"),
        pytest.param({"volumeName": "disk"}, {"size": "1Gi"}, False, id="named but small"),
        pytest.param({"volumeName": "other"}, {}, False, id="another named"),
        pytest.param({}, {"claimRef": {"namespace": "default", "name": "data"}}, True, id="promised"),
        pytest.param({}, {"claimRef": {"namespace": "default", "name": "x"}}, False, id="promised to another"),
    ],
)
@pytest.mark.parametrize("claim_first", [True, False])
async def test_a_claim_gets_the_volume_that_fits(world, wish, offer, fits, claim_first):
    makers = [
        lambda: world.make(CLAIMS, claim(**wish), "default"),
        lambda: world.make(VOLUMES, volume(**offer)),
    ]
    for make in makers if claim_first else reversed(makers):
        make()
        await world.settle()
    found, offered = world.get(CLAIMS, "data"), world.get(VOLUMES, "disk", None)
    if not fits:
        assert found["status"] == {"phase": "Pending"}
        assert offered["status"]["phase"] == "Available"
        return
    assert found["spec"]["volumeName"] == "disk"
    assert found["status"] == {
        "phase": "Bound",
        "accessModes": offered["spec"]["accessModes"],
        "capacity": offered["spec"]["capacity"],
    }
    assert offered["status"]["phase"] == "Bound"
    assert offered["spec"]["claimRef"]["uid"] == found["metadata"]["uid"]


async def test_the_smallest_fitting_volume_is_taken_and_each_only_once(world):
    for name, size in (("big", "100Gi"), ("small", "30Gi")):
        world.make(VOLUMES, volume(name, size=size))
    for name in ("first", "second", "third"):
        world.make(CLAIMS, claim(name), "default")
        await world.settle()
    assert [volume_of(world, name)["metadata"]["name"] for name in ("first", "second")] == ["small", "big"]
    assert not bound(world, "third")
    assert world.messages("FailedBinding") == [
        "no persistent volumes available for this claim and no storage class is set"
    ]


async def test_a_disk_is_made_for_a_claim_and_removed_with_it(world):
    world.make(CLASSES, storage_class(parameters={"type": "cloud_essd,cloud_ssd", "performanceLevel": "PL1"}))
    for name in ("data", "more"):
        world.make(CLAIMS, claim(name, size="1Gi", storage_class="essd"), "default")
    await world.until(lambda: bound(world) and bound(world, "more"))
    made = volume_of(world)
    uid = world.get(CLAIMS, "data")["metadata"]["uid"]
    assert made["metadata"]["name"] == f"disk-{uid}"
    assert made["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
    assert made["spec"]["capacity"] == world.get(CLAIMS, "data")["status"]["capacity"] == {"storage": "20Gi"}
    csi = made["spec"]["csi"]
    assert (csi["driver"], csi["fsType"], csi["volumeHandle"][:2]) == (DISK, "ext4", "d-")
    attributes = dict(csi["volumeAttributes"])
    assert attributes.pop("storage.kubernetes.io/csiProvisionerIdentity").endswith(f"-8081-{DISK}")
    assert attributes == {"type": "cloud_essd", "performanceLevel": "PL1"}
    assert csi["volumeHandle"] != volume_of(world, "more")["spec"]["csi"]["volumeHandle"]
    assert f"Successfully provisioned volume disk-{uid}" in world.messages("ProvisioningSucceeded")
    world.api.delete(CLAIMS, "data", "default")
    await world.until(lambda: not world.exists(VOLUMES, f"disk-{uid}", None))
    assert not world.exists(CLAIMS, "data")
    assert bound(world, "more")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param(
            {"provisioner": NAS, "parameters": {"server": "s.nas.aliyuncs.com:/share/"}, "mountOptions": ["vers=3"]},
            {"server": "s.nas.aliyuncs.com", "path": "/share/{name}", "volumeAs": "subpath"},
            id="nas",
        ),
        pytest.param(
            {"provisioner": NAS, "parameters": {"server": "s:/a", "volumeAs": "sharepath"}},
            {"server": "s", "path": "/a", "volumeAs": "sharepath"},
            id="nas shared",
        ),
        pytest.param(
            {
                "provisioner": OSS,
                "parameters": {
                    "bucket": "b",
                    "url": "u",
                    "path": "p",
                    "csi.storage.k8s.io/node-publish-secret-name": "oss-${pvc.name}",
                    "csi.storage.k8s.io/node-publish-secret-namespace": "${pvc.namespace}",
                },
            },
            {"bucket": "b", "url": "u", "path": "/p"},
            id="oss",
        ),
    ],
)
async def test_shares_and_buckets_are_given_as_their_class_says(world, more, expected):
    world.make(CLASSES, storage_class("shared", **more))
    world.make(CLAIMS, claim(storage_class="shared", modes=("ReadWriteMany",)), "default")
    await world.until(lambda: bound(world))
    made = volume_of(world)
    csi, name = made["spec"]["csi"], made["metadata"]["name"]
    attributes = {key: value for key, value in csi["volumeAttributes"].items() if "/" not in key}
    assert attributes == {key: value.replace("{name}", name) for key, value in expected.items()}
    assert csi["volumeHandle"] == name
    assert made["spec"].get("mountOptions") == more.get("mountOptions")
    secret = {"name": "oss-data", "namespace": "default"} if more["provisioner"] == OSS else None
    assert csi.get("nodePublishSecretRef") == secret


@pytest.mark.parametrize(
    ("made", "reason", "message"),
    [
        ([], "ProvisioningFailed", 'storageclass.storage.k8s.io "essd" not found'),
        (
            [storage_class(provisioner=NAS)],
            "ProvisioningFailed",
            f"{INVALID}invalid argument: server is required in storageclass",
        ),
        (
            [storage_class(volumeBindingMode="WaitForFirstConsumer")],
            "WaitForFirstConsumer",
            "waiting for first consumer to be created before binding",
        ),
    ],
    ids=["no class", "bad class", "late"],
)
async def test_why_a_claim_has_no_volume_is_told(world, made, reason, message):
    for each in made:
        world.make(CLASSES, each)
    world.make(CLAIMS, claim(storage_class="essd"), "default")
    await world.settle()
    assert world.messages(reason) == [message]
    assert world.api.list(VOLUMES)[0] == []


async def test_a_retained_volume_stays_and_is_given_to_nobody_else(world):
    world.make(CLASSES, storage_class(reclaimPolicy="Retain"))
    world.make(CLAIMS, claim(storage_class="essd"), "default")
    await world.until(lambda: bound(world))
    kept = volume_of(world)["metadata"]["name"]
    world.api.delete(CLAIMS, "data", "default")
    await world.settle()
    world.make(CLAIMS, claim(storage_class="essd"), "default")
    await world.until(lambda: bound(world))
    assert world.get(VOLUMES, kept, None)["status"]["phase"] == "Released"
    assert volume_of(world)["metadata"]["name"] != kept


async def test_a_claim_whose_volume_vanished_is_lost(world):
    world.make(VOLUMES, volume())
    world.make(CLAIMS, claim(), "default")
    await world.until(lambda: bound(world))
    world.api.delete(VOLUMES, "disk")
    await world.settle()
    assert world.get(VOLUMES, "disk", None)["status"]["phase"] == "Bound"  # held back by its claim
    world.api.patch(VOLUMES, "disk", None, {"metadata": {"finalizers": None}}, kind="merge")
    await world.settle()
    assert world.get(CLAIMS, "data")["status"]["phase"] == "Lost"
    world.node("n1")
    world.make("pods", pod("db", volumes=[MOUNTS]), "default")
    await world.settle()
    assert 'claim "data" bound to non-existent persistentvolume "disk"' in world.messages("FailedScheduling")[0]


async def test_a_pod_waits_for_its_volume(world):
    world.node("n1")
    world.make(CLAIMS, claim(), "default")
    world.make("pods", pod("db", volumes=[MOUNTS]), "default")
    await world.settle()
    assert world.messages("FailedScheduling")[0].startswith(
        "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/1 nodes are available"
    )
    world.make(VOLUMES, volume())
    await world.until(lambda: world.get("pods", "db")["spec"].get("nodeName"), within_s=2)


async def test_a_late_volume_is_made_once_its_pod_has_a_place(world):
    world.make(CLASSES, storage_class(volumeBindingMode="WaitForFirstConsumer"))
    world.make(CLAIMS, claim(storage_class="essd"), "default")
    world.make("pods", pod("db", volumes=[MOUNTS], nodeSelector={"disk": "ssd"}), "default")
    world.node("n1")
    await world.settle(20)
    assert not bound(world)
    world.node("n2", labels={"disk": "ssd"})
    await world.until(lambda: world.get("pods", "db")["spec"].get("nodeName") == "n2")
    assert bound(world)
    assert world.get(CLAIMS, "data")["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] == "n2"


EPHEMERAL = {
    "name": "scratch",
    "ephemeral": {
        "volumeClaimTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": claim(storage_class="essd")["spec"]}
    },
}


async def test_an_ephemeral_volume_has_a_claim_of_its_pods_that_stays_as_long_as_the_pod(world):
    world.node("n1")
    world.make(CLASSES, storage_class())
    made = world.make("pods", pod("db", volumes=[EPHEMERAL]), "default")
    await world.until(lambda: world.get("pods", "db")["spec"].get("nodeName"))
    found = world.get(CLAIMS, "db-scratch")
    assert found["metadata"]["labels"] == {"a": "b"}
    (owner,) = found["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Pod", made["metadata"]["uid"], True)
    world.api.delete(CLAIMS, "db-scratch", "default")
    await world.settle()
    assert world.exists(CLAIMS, "db-scratch")  # a pod has it
    world.remove_pod(world.get("pods", "db"))
    await world.until(lambda: not world.api.list(VOLUMES)[0])
    assert not world.exists(CLAIMS, "db-scratch")


async def test_a_claim_of_that_name_that_is_somebody_elses_is_not_taken(world):
    world.node("n1")
    world.make(CLASSES, storage_class())
    world.make(CLAIMS, claim("db-scratch", storage_class="essd"), "default")
    world.make("pods", pod("db", volumes=[EPHEMERAL]), "default")
    await world.settle()
    why = "PVC default/db-scratch was not created for pod default/db (pod is not owner)"
    assert why in world.messages("FailedScheduling")[0]


async def test_a_claim_of_no_class_is_of_the_default_one(world):
    usual = {"storageclass.kubernetes.io/is-default-class": "true"}
    world.make(CLASSES, {**storage_class(), "metadata": {"name": "essd", "annotations": usual}})
    world.make(CLAIMS, claim("usual", storage_class=None), "default")
    world.make(CLAIMS, claim("none"), "default")
    await world.settle()
    assert world.get(CLAIMS, "usual")["spec"]["storageClassName"] == "essd"
    assert bound(world, "usual")
    assert not bound(world, "none")


async def test_a_hundred_claims_get_a_hundred_disks(world):
    world.make(CLASSES, storage_class())
    for number in range(100):
        world.make(CLAIMS, claim(f"c{number}", storage_class="essd"), "default")
    await world.until(lambda: all(item["status"]["phase"] == "Bound" for item in world.api.list(CLAIMS)[0]))
    handles = {item["spec"]["csi"]["volumeHandle"] for item in world.api.list(VOLUMES)[0]}
    assert len(handles) == 100
    for number in range(100):
        world.api.delete(CLAIMS, f"c{number}", "default")
    await world.until(lambda: not world.api.list(VOLUMES)[0])
