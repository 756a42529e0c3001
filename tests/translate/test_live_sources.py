"""What of a pod's files can change, and what tells one state of it from another."""

import pytest

from vk_provider.translate.live import ABSENT, LiveSources, fingerprint, live_sources, version_of
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
        return fingerprint(own, sources, {CONFIG: config, SECRET: secret})

    different = {mark(), mark(config="2"), mark(secret="2"), mark(secret=ABSENT), mark(x="1")}
    assert len(different) == 5
    assert mark(y="1") == mark(), "of labels only what is shown"


def test_what_a_node_writes_on_a_pod_makes_no_new_files_but_where_it_is_asked_for_by_name():
    whole = LiveSources(fields=("metadata.annotations",))
    named = LiveSources(fields=("metadata.annotations['k8s.aliyun.com/eci-instance-id']",))

    def marks(**annotations):
        own = {"metadata": {"annotations": annotations}}
        return fingerprint(own, whole, {}), fingerprint(own, named, {})

    noted = {"k8s.aliyun.com/eci-instance-id": "eci-1", "k8s.aliyun.com/eci-price": "1"}
    before, after = marks(mine="1"), marks(mine="1", **noted)
    assert before[0] == after[0]
    assert before[1] != after[1]
    assert marks(mine="2")[0] != before[0]
