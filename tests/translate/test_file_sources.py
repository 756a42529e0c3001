"""What of a pod's files can change, and what tells one state of it from another."""

import pytest

from vk_provider.cloud.eci import response
from vk_provider.cloud.eci.capabilities import WORDS
from vk_provider.control import pod_annotations
from vk_provider.model import pod as pods
from vk_provider.translate.file_sources import ABSENT, LiveSources, fingerprint, live_sources, version_of
from vk_provider.translate.objects import Kind

CONFIG, SECRET = (Kind.CONFIG_MAP, ("web", "c")), (Kind.SECRET, ("web", "s"))
FIELD = {"path": "f", "fieldRef": {"fieldPath": "metadata.labels['x']"}}
SIZE = {"path": "m", "resourceFieldRef": {"resource": "limits.cpu", "containerName": "main"}}


def pod(volume, *, kind="containers", env=None, **mount):
    mounts = [{"name": "v", "mountPath": "/v", **mount}] if mount is not None else []
    container = {"name": "main", "image": "i", "volumeMounts": mounts, "env": env or []}
    return {
        "metadata": {"namespace": "web", "name": "p"},
        "spec": {kind: [container], "volumes": [{"name": "v", **volume}]},
    }


PROJECTED = {
    "projected": {
        "sources": [
            {"configMap": {"name": "c"}},
            {"secret": {"name": "s", "optional": True}},
            {"downwardAPI": {"items": [FIELD, SIZE]}},
            {"serviceAccountToken": {"path": "t"}},
        ]
    }
}
FROM_ENV = [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]


@pytest.mark.parametrize(
    ("manifest", "sources"),
    [
        pytest.param(pod({"configMap": {"name": "c"}}), LiveSources(objects=(CONFIG,)), id="configMap"),
        pytest.param(pod({"secret": {"secretName": "s"}}), LiveSources(objects=(SECRET,)), id="secret"),
        pytest.param(
            pod(PROJECTED),
            LiveSources(objects=(CONFIG, SECRET), fields=("metadata.labels['x']",), tokens=True),
            id="projected",
        ),
        pytest.param(
            pod({"configMap": {"name": "c"}}, kind="initContainers"),
            LiveSources(objects=(CONFIG,)),
            id="init container",
        ),
        pytest.param(pod({"configMap": {"name": "c"}}, subPath="a"), LiveSources(), id="subPath"),
        pytest.param(pod({"configMap": {"name": "c"}}, subPathExpr="$(A)"), LiveSources(), id="subPathExpr"),
        pytest.param(pod({"emptyDir": {}}, env=FROM_ENV), LiveSources(), id="environment"),
        pytest.param(pod({"configMap": {"name": "c"}}, name="other"), LiveSources(), id="not mounted"),
        pytest.param(
            pod({"flexVolume": {"driver": "alicloud/oss", "secretRef": {"name": "s"}}}), LiveSources(), id="storage"
        ),
    ],
)
def test_live_sources(manifest, sources):
    assert live_sources(manifest) == sources
    assert bool(live_sources(manifest)) == (sources != LiveSources())


def test_a_version_is_of_one_life_of_an_object():
    first = {"metadata": {"uid": "a", "resourceVersion": "5"}}
    assert version_of(first) == "a/5"
    assert version_of(None) == ABSENT
    assert version_of({"metadata": {"uid": "b", "resourceVersion": "5"}}) != version_of(first)


def test_the_fingerprint_tells_versions_and_labels_apart_and_nothing_else():
    sources = live_sources(pod(PROJECTED))

    def mark(config="1", secret="1", **labels):
        own = pod(PROJECTED)
        own["metadata"] |= {"labels": labels, "resourceVersion": "9", "annotations": {"k": "v"}}
        return fingerprint(own, sources, {CONFIG: config, SECRET: secret}, WORDS)

    different = {mark(), mark(config="2"), mark(secret="2"), mark(secret=ABSENT), mark(x="1")}
    assert len(different) == 5
    assert mark(y="1") == mark(), "of labels only what is shown"


GROUP = {
    "IntranetIp": "10.0.0.1",
    "Cpu": 2,
    "Memory": 4,
    **dict.fromkeys(("ZoneId", "VpcId", "VSwitchId", "SecurityGroupId", "ComputeCategory", "ImageSnapshotId"), "x"),
    **dict.fromkeys(("EniInstanceId", "InternetIp", "EipInstanceId", "Ipv6Address"), "x"),
}
FACTS = response.facts(GROUP)


@pytest.mark.parametrize(
    "key",
    [
        *(*FACTS, "k8s.aliyun.com/eci-request-id", pod_annotations.ATTEMPT, WORDS.price),
        *(pods.INSTANCE_ID_ANNOTATION, WORDS.instance_id, WORDS.instance_size, pods.LIVE_CONTENT_ANNOTATION),
    ],
)
def test_no_annotation_that_we_write_changes_the_fingerprint_unless_it_is_asked_for_by_name(key):
    assert len(FACTS) == len(GROUP) - 1

    def mark(path, **annotations):
        items = [{"path": "f", "fieldRef": {"fieldPath": path}}]
        own = pod({"downwardAPI": {"items": items}})
        own["metadata"]["annotations"] = annotations
        return fingerprint(own, live_sources(own), {}, WORDS)

    assert mark("metadata.annotations", **{key: "1"}) == mark("metadata.annotations")
    assert mark("metadata.annotations", other="1") != mark("metadata.annotations")
    named = f"metadata.annotations['{key}']"
    assert (mark(named, **{key: "1"}) != mark(named)) == (key != pods.LIVE_CONTENT_ANNOTATION)
