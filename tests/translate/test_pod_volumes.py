"""Volumes laid out as files, rule by rule (S20 to S26)."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pod_cases import CONTEXT

from vk_provider.cloud.eci.capabilities import CAPABILITIES
from vk_provider.errors import PodNotReady
from vk_provider.model.workload import EmptyDir, File, Volume
from vk_provider.translate.fieldrefs import quoted
from vk_provider.translate.workload import Objects, TokenRequest, build, references

Json = dict[str, Any]

MAP: Json = {
    "metadata": {},
    "data": {"b": "two", "a": "one", "none": None},
    "binaryData": {"c": base64.b64encode(b"\0\1").decode()},
}
SECRET: Json = {"metadata": {}, "data": {"k": base64.b64encode(b"hush").decode(), "empty": None}}
OBJECTS = Objects(config_maps={("ns", "m"): MAP, ("ns", "bare"): {"metadata": {}}}, secrets={("ns", "s"): SECRET})


def pod_of(source: Json) -> Json:
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"b": "2", "a": "1"}},
        "spec": {
            "containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
            "volumes": [{"name": "v", **source}],
        },
    }


def volume(source: Json, objects: Objects = OBJECTS) -> Volume:
    (built,) = build(pod_of(source), objects, CONTEXT).volumes
    return built


def projected(*sources: Json, **more: Any) -> Json:
    return {"projected": {"sources": list(sources), **more}}


@pytest.mark.parametrize(
    ("source", "files"),
    [
        pytest.param(
            {"configMap": {"name": "m"}},
            [File("a", b"one"), File("b", b"two"), File("c", b"\0\1"), File("none", b"")],
            id="S20 all keys",
        ),
        pytest.param(
            {"configMap": {"name": "m", "defaultMode": 256, "items": [{"key": "c", "path": "x/y"}]}},
            [File("x/y", b"\0\1", 0o400)],
            id="S20 an item, and the default mode",
        ),
        pytest.param(
            {"configMap": {"name": "m", "items": [{"key": "a", "path": "a", "mode": 493}]}},
            [File("a", b"one", 0o755)],
            id="S20 an item's own mode",
        ),
        pytest.param(
            {"configMap": {"name": "m", "defaultMode": 0, "items": [{"key": "a", "path": "a"}]}},
            [File("a", b"one", 0)],
            id="S20 a mode of zero is a mode",
        ),
        pytest.param({"secret": {"secretName": "s"}}, [File("empty", b""), File("k", b"hush")], id="S20 secret"),
        pytest.param({"configMap": {"name": "bare"}}, [], id="S20 an object without keys"),
        pytest.param({"configMap": {"name": "none", "optional": True}}, [], id="S20 optional and missing"),
        pytest.param(
            {"secret": {"secretName": "s", "optional": True, "items": [{"key": "z", "path": "z"}]}},
            [],
            id="S20 optional and no such key",
        ),
        pytest.param(
            projected({"configMap": {"name": "m", "items": [{"key": "a", "path": "x"}]}}, {"secret": {"name": "s"}}),
            [File("empty", b""), File("k", b"hush"), File("x", b"one")],
            id="S22 projected",
        ),
        pytest.param(
            projected(
                {"configMap": {"name": "m", "items": [{"key": "a", "path": "x"}]}},
                {"configMap": {"name": "m", "items": [{"key": "b", "path": "x"}]}},
            ),
            [File("x", b"two")],
            id="S22 the later source wins",
        ),
        pytest.param(
            projected({"serviceAccountToken": {"path": "t", "audience": "vault"}}, defaultMode=288),
            [File("t", b"secret token", 0o440)],
            id="S23 token",
        ),
        pytest.param(
            {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            [File("l", b'a="1"\nb="2"')],
            id="S25 labels",
        ),
        pytest.param(
            {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels['b']"}}]}},
            [File("l", b"2")],
            id="S25 one label",
        ),
        pytest.param(
            {
                "downwardAPI": {
                    "items": [
                        {"path": "c", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}, "mode": 256}
                    ]
                }
            },
            [File("c", b"5000", 0o400)],
            id="S25 resource",
        ),
    ],
)
def test_files(source: Json, files: list[File]) -> None:
    tokens = dict.fromkeys(references(pod_of(source)).tokens, "secret token")
    objects = Objects(config_maps=OBJECTS.config_maps, secrets=OBJECTS.secrets, tokens=tokens)
    assert volume(source, objects) == Volume("v", files=tuple(files))


def test_half_a_surrogate_pair_in_a_label_is_a_question_mark_in_its_file() -> None:
    """JSON can say it and UTF-8 cannot; found by a million harmed pods."""
    source = {"downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels['b']"}}]}}
    pod = pod_of(source)
    pod["metadata"]["labels"]["b"] = "x\ud800"
    (built,) = build(pod, OBJECTS, CONTEXT).volumes
    assert built.files == (File("l", b"x?"),)


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ({"secret": {"secretName": "x"}}, 'secret "x" not found'),
        ({"configMap": {"name": "x"}}, 'configmap "x" not found'),
        (
            {"secret": {"secretName": "s", "items": [{"key": "z", "path": "z"}]}},
            "references non-existent secret key: z",
        ),
        (
            {"configMap": {"name": "m", "items": [{"key": "z", "path": "z"}]}},
            "configmap references non-existent config key: z",
        ),
        (
            projected({"secret": {"name": "x"}}, {"configMap": {"name": "y"}}, {"secret": {"name": "x"}}),
            '[secret "x" not found, configmap "y" not found]',
        ),
        (
            projected({"serviceAccountToken": {"path": "t"}}),
            'failed to fetch token: serviceaccounts "default" not found',
        ),
    ],
)
def test_s12_a_volume_without_its_source_keeps_the_pod_waiting(source: Json, fault: str) -> None:
    with pytest.raises(PodNotReady) as raised:
        volume(source)
    assert str(raised.value) == f'MountVolume.SetUp failed for volume "v" : {fault}'
    assert (raised.value.event_reason, raised.value.waiting_reason) == ("FailedMount", "ContainerCreating")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"emptyDir": {}}, EmptyDir()),
        ({}, EmptyDir()),
        ({"emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}, EmptyDir("Memory", 64)),
        ({"emptyDir": {"sizeLimit": "1"}}, EmptyDir("", 1)),
        ({"emptyDir": {"sizeLimit": "0"}}, EmptyDir()),
        ({"emptyDir": {"sizeLimit": "1.5Gi"}}, EmptyDir("", 1536)),
    ],
)
def test_s26_empty_directory(source: Json, expected: EmptyDir) -> None:
    assert volume(source) == Volume("v", empty_dir=expected)


def test_s23_token_request_by_default() -> None:
    pod = pod_of(projected({"serviceAccountToken": {"path": "t"}}))
    pod["spec"]["serviceAccountName"] = "robot"
    assert references(pod, capabilities=CAPABILITIES).tokens == {TokenRequest("v", "t", "robot", "ns", "", 3600)}


def test_volumes_that_nobody_mounts_are_not_asked_for() -> None:
    pod = pod_of({"secret": {"secretName": "x"}})
    pod["spec"]["containers"][0]["volumeMounts"] = []
    assert references(pod, capabilities=CAPABILITIES).secrets == frozenset()
    assert build(pod, Objects(), CONTEXT).volumes == ()


def test_a_volume_of_an_init_container_is_built() -> None:
    pod = pod_of({"emptyDir": {}})
    pod["spec"]["initContainers"] = pod["spec"]["containers"]
    pod["spec"]["containers"] = [{"name": "main", "image": "i"}]
    assert [built.name for built in build(pod, Objects(), CONTEXT).volumes] == ["v"]


@pytest.mark.parametrize(
    ("source", "said", "expected"),
    [
        ({"emptyDir": {}}, None, False),
        ({"emptyDir": {}}, True, True),
        ({"configMap": {"name": "m"}}, None, True),
        ({"configMap": {"name": "m"}}, False, True),
    ],
)
def test_objects_are_mounted_for_reading_only(source: Json, said: bool | None, expected: bool) -> None:
    pod = pod_of(source)
    pod["spec"]["containers"][0]["volumeMounts"][0] |= {"readOnly": said, "subPath": "a/b"}
    (mount,) = build(pod, OBJECTS, CONTEXT).containers[0].mounts
    assert (mount.volume, mount.path, mount.sub_path, mount.read_only) == ("v", "/v", "a/b", expected)


@pytest.mark.parametrize(("said", "expected"), [("/a/b", "/a/b"), ("a", "/a"), ("/", "/")])
def test_a_mount_path_counts_from_the_root(said: str, expected: str) -> None:
    pod = pod_of({"emptyDir": {}})
    pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"] = said
    assert build(pod, OBJECTS, CONTEXT).containers[0].mounts[0].path == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é 日", '"plain é 日"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("\a\b\f\n\r\t\v", '"\\a\\b\\f\\n\\r\\t\\v"'),
        ("\0\x7f", '"\\x00\\x7f"'),
        ("\u00a0\u2028", '"\\u00a0\\u2028"'),
        ("\U000e0001", '"\\U000e0001"'),
    ],
)
def test_s25_quoting(text: str, expected: str) -> None:
    assert quoted(text) == expected


@given(st.text())
def test_s25_every_quoted_text_stays_on_one_line(text: str) -> None:
    assert len(quoted(text).splitlines()) == 1


# --- paths made of variables (S4) ---


def expressed(expression: str, *env: Json) -> Json:
    pod = pod_of({"emptyDir": {}})
    pod["spec"]["containers"][0] |= {
        "env": list(env),
        "volumeMounts": [{"name": "v", "mountPath": "/v", "subPathExpr": expression}],
    }
    return pod


NAME: Json = {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}


@pytest.mark.parametrize(
    ("expression", "path"),
    [
        ("$(NAME)", "p"),
        ("logs/$(NAME)/x", "logs/p/x"),
        ("$(NAME)-$(NAME)", "p-p"),
        ("$$(NAME)", "$(NAME)"),
        ("plain", "plain"),
        ("$(FIRST", "$(FIRST"),
        ("$(KUBERNETES_SERVICE_HOST)", "10.0.0.1"),
    ],
)
def test_s4_a_path_of_variables(expression: str, path: str) -> None:
    service = {
        "metadata": {"namespace": "default", "name": "kubernetes"},
        "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 443}]},
    }
    pod = expressed(expression, NAME)
    (mount,) = build(pod, Objects(services=[service]), CONTEXT).containers[0].mounts
    assert mount.sub_path == path


@pytest.mark.parametrize(
    ("expression", "value", "fault"),
    [
        ("$(Z)/$(A)/$(V)", "x", "missing value for A, Z"),
        ("$(V)", "", "missing value for V"),
        ("$(V)", "/abs", "unable to provision SubPath `/abs`: it must be a relative path without `..`"),
        ("a/$(V)", "../../b", "unable to provision SubPath `a/../../b`: it must be a relative path without `..`"),
    ],
)
def test_s4_a_path_that_cannot_be_made_keeps_the_pod_waiting(expression: str, value: str, fault: str) -> None:
    with pytest.raises(PodNotReady) as raised:
        build(expressed(expression, {"name": "V", "value": value}), Objects(), CONTEXT)
    error = raised.value
    assert (str(error), error.event_reason, error.waiting_reason, error.container) == (
        fault,
        "Failed",
        "CreateContainerConfigError",
        "c",
    )
