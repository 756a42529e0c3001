"""What pods mount and what they pull, on a real control plane."""

import base64
import json

from tests.e2e.cloud import Cloud
from tests.e2e.cluster import Cluster, Space, within
from tests.e2e.manifests import Json, claimed, pod

TRIES = 4  # after so many, whoever only polled would look every ten seconds
DATA: Json = {
    "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}],
    "container": {"volumeMounts": [{"name": "d", "mountPath": "/data", "subPath": "db"}]},
}


def test_a_database_keeps_its_data(space: Space, cluster: Cluster, cloud: Cloud, node: str) -> None:
    claim, volume = claimed("data", namespace=space.name, disk=f"d-{space.name}")
    cluster.create("/api/v1/persistentvolumes", volume)
    try:
        space.create(claim, pod("first", "echo kept > /data/row", node=node, **DATA))
        space.when_phase("first", "Succeeded")
        space.create(pod("second", "cat /data/row", node=node, **DATA))
        space.when_phase("second", "Succeeded")
        assert space.kubectl("logs", "second").split() == ["kept"]
    finally:
        cluster.delete(f"/api/v1/persistentvolumes/{volume['metadata']['name']}")


def test_a_pod_waits_for_its_secret_and_never_fails(space: Space, node: str) -> None:
    source = {"name": "v", "secret": {"secretName": "late"}}
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    space.create(
        pod("env", "echo $A", node=node, container={"env": [_of_secret("A", "late", "a")]}),
        pod("mount", "cat /v/a", node=node, volumes=[source], container=mounts),
    )
    told = {"env": ("Failed", 'Error: secret "late" not found'), "mount": ("FailedMount", "MountVolume.SetUp failed")}
    for name, (reason, message) in told.items():
        assert space.when_event(name, reason)["message"].startswith(message)
    waiting = space.get("Pod", "env")["status"]["containerStatuses"][0]["state"]["waiting"]
    assert waiting == {"reason": "CreateContainerConfigError", "message": 'secret "late" not found'}
    within(60, lambda: space.when_event("env", "Failed").get("count", 1) > TRIES)
    assert [space.get("Pod", name)["status"]["phase"] for name in told] == ["Pending", "Pending"]
    space.create({"kind": "Secret", "metadata": {"name": "late"}, "stringData": {"a": "here"}})
    for name in told:
        space.when_phase(name, "Running", "Succeeded", within_s=10)
        space.when_phase(name, "Succeeded")
        assert space.kubectl("logs", name).split() == ["here"]


def _of_secret(variable: str, name: str, key: str) -> Json:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}


def test_an_image_that_cannot_be_pulled_is_told_as_anywhere(space: Space, node: str) -> None:
    space.create(
        pod("absent", node=node, image="nowhere.example.com/none:1"),
        pod("misspelt", node=node, image="Capital/Letters"),
    )

    def waits(name: str, *reasons: str) -> None:
        def look() -> bool:
            entries = space.get("Pod", name)["status"].get("containerStatuses") or [{"state": {}}]
            return (entries[0]["state"].get("waiting") or {}).get("reason") in reasons

        within(30, look, lambda: space.get("Pod", name)["status"])

    waits("absent", "ErrImagePull", "ImagePullBackOff")
    waits("absent", "ImagePullBackOff")
    waits("misspelt", "InvalidImageName")
    assert "must be lowercase" in space.when_event("misspelt", "InspectFailed")["message"]
    assert [space.get("Pod", name)["status"]["phase"] for name in ("absent", "misspelt")] == ["Pending", "Pending"]


def test_a_login_goes_where_its_images_come_from(space: Space, cloud: Cloud, node: str) -> None:
    auth = base64.b64encode(b"robot:a:b").decode()
    config = {"auths": {"*.example.com": {"auth": auth}, "unused.example.org": {"auth": auth}}}
    secret = {
        "kind": "Secret",
        "metadata": {"name": "login"},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json.dumps(config)},
    }
    names = [{"name": "login"}, {"name": "absent"}]
    space.create(
        secret, pod("p", "echo pulled", node=node, image="registry.example.com/busybox", imagePullSecrets=names)
    )
    space.when_phase("p", "Succeeded")
    message = space.when_event("p", "FailedToRetrieveImagePullSecret")["message"]
    assert message.startswith("Unable to retrieve some image pull secrets (absent)")
