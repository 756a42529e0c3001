"""What is refused, by which path; and that nothing a pod can say makes the translation fall over."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes_asyncio.client import models
from pod_cases import CASES, CONTEXT, DATA, fetch, load

from tests.fuzz.cost import within_the_goal
from tests.thorough import examples
from vk_provider.cloud.eci.capabilities import CAPABILITIES
from vk_provider.errors import PodNotReady, Refusal, UnsupportedPod
from vk_provider.model.workload import Workload
from vk_provider.translate import crosswise
from vk_provider.translate.field_rules import ListOf, ObjectOf, Rule
from vk_provider.translate.pod_fields import pod_rule
from vk_provider.translate.refusals import refusals
from vk_provider.translate.workload import build, references

Json = dict[str, Any]


def pod_of(spec: Json | None = None, container: Json | None = None, **metadata: Any) -> Json:
    return {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", **metadata},
        "spec": {"containers": [{"name": "c", "image": "i", **(container or {})}], **(spec or {})},
    }


def fields(pod: Json) -> list[str]:
    return [refusal.field for refusal in refusals(pod, CAPABILITIES)]


def volume(**source: Any) -> Json:
    return pod_of({"volumes": [{"name": "a"}, {"name": "v", **source}]})


def mounted(**mount: Any) -> Json:
    mounts = [{"name": "v", "mountPath": "/v", **mount}]
    return pod_of({"volumes": [{"name": "v"}]}, {"volumeMounts": mounts})


@pytest.mark.parametrize(
    ("pod", "field"),
    [
        (volume(hostPath={"path": "/"}), "spec.volumes[1].hostPath"),
        (volume(hostPath={}), "spec.volumes[1].hostPath"),
        (volume(persistentVolumeClaim={"readOnly": True}), "spec.volumes[1].persistentVolumeClaim.claimName"),
        (
            volume(ephemeral={"volumeClaimTemplate": {"spec": {"volumeMode": "Block"}}}),
            "spec.volumes[1].ephemeral.volumeClaimTemplate.spec.volumeMode",
        ),
        (volume(flexVolume={"driver": "example.com/x"}), "spec.volumes[1].flexVolume.driver"),
        (volume(csi={"driver": "secrets-store.csi.k8s.io"}), "spec.volumes[1].csi.driver"),
        (volume(csi={"driver": "diskplugin.csi.alibabacloud.com"}), "spec.volumes[1].csi.driver"),
        (volume(nfs={"server": "s"}), "spec.volumes[1].nfs.path"),
        (volume(iscsi={"lun": 0}), "spec.volumes[1].iscsi"),
        (volume(image={"reference": "x"}), "spec.volumes[1].image"),
        (volume(tomorrow={"x": 1}), "spec.volumes[1].tomorrow"),
        (volume(emptyDir={"medium": "HugePages-2Mi"}), "spec.volumes[1].emptyDir.medium"),
        (volume(emptyDir={"sizeLimit": True}), "spec.volumes[1].emptyDir.sizeLimit"),
        (volume(emptyDir={"sizeLimit": "lots"}), "spec.volumes[1].emptyDir.sizeLimit"),
        (volume(emptyDir={"sizeLimit": "1e999999999"}), "spec.volumes[1].emptyDir.sizeLimit"),
        (volume(emptyDir={"newKnob": True}), "spec.volumes[1].emptyDir.newKnob"),
        (volume(secret={"secretName": ""}), "spec.volumes[1].secret.secretName"),
        (
            volume(configMap={"name": "m", "items": [{"key": "k", "path": "../up"}]}),
            "spec.volumes[1].configMap.items[0].path",
        ),
        *(
            (
                volume(secret={"secretName": "s", "items": [{"key": "k", "path": path}]}),
                "spec.volumes[1].secret.items[0].path",
            )
            for path in ("/abs", "a/../b", "..data", ".", "./")
        ),
        (
            volume(projected={"sources": [{"podCertificate": {"keyType": "x"}}]}),
            "spec.volumes[1].projected.sources[0].podCertificate",
        ),
        (
            volume(downwardAPI={"items": [{"path": "x", "fieldRef": {"fieldPath": "status.podIP"}}]}),
            "spec.volumes[1].downwardAPI.items[0].fieldRef.fieldPath",
        ),
        (
            volume(downwardAPI={"items": [{"path": "x", "resourceFieldRef": {"resource": "limits.cpu"}}]}),
            "spec.volumes[1].downwardAPI.items[0].resourceFieldRef.containerName",
        ),
        (
            volume(
                projected={
                    "sources": [
                        {
                            "downwardAPI": {
                                "items": [
                                    {"path": "x", "resourceFieldRef": {"containerName": "z", "resource": "limits.cpu"}}
                                ]
                            }
                        }
                    ]
                }
            ),
            "spec.volumes[1].projected.sources[0].downwardAPI.items[0].resourceFieldRef.containerName",
        ),
        (pod_of(container={"livenessProbe": {"exec": {}}}), "spec.containers[0].livenessProbe.exec.command"),
        (pod_of(container={"lifecycle": {"stopSignal": "SIGUSR1"}}), "spec.containers[0].lifecycle.stopSignal"),
        (
            pod_of(
                {"containers": [{"name": "c", "image": "i", "restartPolicy": "Never"}, {"name": "d", "image": "i"}]}
            ),
            "spec.containers[0].restartPolicy",
        ),
        (pod_of(container={"unheardOf": 0}), "spec.containers[0].unheardOf"),
        (
            pod_of(container={"resources": {"requests": {"example.com/x": 1}}}),
            "spec.containers[0].resources.requests[example.com/x]",
        ),
        (pod_of(container={"resources": {"claims": [{"name": "x"}]}}), "spec.containers[0].resources.claims"),
        (
            pod_of(container={"volumeMounts": [{"name": "x", "mountPath": "/x"}]}),
            "spec.containers[0].volumeMounts[0].name",
        ),
        (
            mounted(subPath="a", subPathExpr="b"),
            "spec.containers[0].volumeMounts[0].subPathExpr",
        ),
        (mounted(subPathExpr="../b"), "spec.containers[0].volumeMounts[0].subPathExpr"),
        (mounted(recursiveReadOnly="Enabled"), "spec.containers[0].volumeMounts[0].recursiveReadOnly"),
        (mounted(mountPropagation="HostToContainer"), "spec.containers[0].volumeMounts[0].mountPropagation"),
        (pod_of(container={"imagePullPolicy": "Sometimes"}), "spec.containers[0].imagePullPolicy"),
        (pod_of(container={"image": ""}), "spec.containers[0].image"),
        (
            pod_of({"initContainers": [{"name": "s", "image": "i", "restartPolicy": "Never"}]}),
            "spec.initContainers[0].restartPolicy",
        ),
        (
            pod_of({"initContainers": [{"name": "s", "image": "i", "livenessProbe": {}}]}),
            "spec.initContainers[0].livenessProbe",
        ),
        (pod_of({"containers": []}), "spec.containers"),
        (pod_of({"resources": {"limits": {"nvidia.com/gpu": 1}}}), "spec.resources.limits[nvidia.com/gpu]"),
        (pod_of({"nodeSelector": {"kubernetes.io/arch": "s390x"}}), "spec.nodeSelector"),
        (pod_of({"overhead": {"example.com/x": "1"}}), "spec.overhead[example.com/x]"),
        (pod_of({"hostAliases": [{"ip": "web", "hostnames": ["a"]}]}), "spec.hostAliases[0].ip"),
        (
            pod_of(annotations={"k8s.aliyun.com/eci-eip-instanceid": "1.2.3.4"}),
            "metadata.annotations[k8s.aliyun.com/eci-eip-instanceid]",
        ),
        (pod_of(annotations={"k8s.aliyun.com/eci-vswitch": "a,b"}), "metadata.annotations[k8s.aliyun.com/eci-vswitch]"),
        ({**pod_of(), "extra": 1}, "extra"),
        ({"metadata": {"name": "p"}}, "spec"),
        ({"spec": pod_of()["spec"]}, "metadata"),
        (["no pod"], ""),
        (None, ""),
    ],
)
def test_refused_by_its_path(pod: Any, field: str) -> None:
    assert fields(pod) == [field]


@pytest.mark.parametrize("case", [case for case in CASES if (DATA / f"{case}.workload.json").exists()])
def test_nothing_is_refused_that_is_carried(case: str) -> None:
    assert refusals(load(case)[0], CAPABILITIES) == ()


def test_everything_wrong_is_said_at_once_by_either_step() -> None:
    pod, objects = load("refused_everything")
    with pytest.raises(UnsupportedPod) as at_first:
        references(pod, capabilities=CAPABILITIES)
    with pytest.raises(UnsupportedPod) as at_last:
        build(pod, fetch(references(pod_of(), capabilities=CAPABILITIES), objects), CONTEXT)
    assert at_first.value.refusals == at_last.value.refusals == refusals(pod, CAPABILITIES)
    assert len(at_first.value.refusals) > 25


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (["spec.os.name"], "PodOSNotSupported"),
        (["spec.hostNetwork", "spec.securityContext.sysctls[1].name"], "SysctlForbidden"),
        (["spec.hostNetwork", "spec.securityContext.seLinuxOptions"], "UnsupportedPod"),
    ],
)
def test_a_kubelets_own_reason_is_given_where_it_has_one(fields: list[str], reason: str) -> None:
    assert UnsupportedPod([Refusal(field, "no") for field in fields]).reason == reason


def test_neutral_words_of_a_mount_pass() -> None:
    assert fields(mounted(recursiveReadOnly="IfPossible", mountPropagation="None", subPathExpr="$(A)")) == []


def test_a_path_made_of_the_pods_address_is_refused() -> None:
    pod = mounted(subPathExpr="$(IP)")
    pod["spec"]["containers"][0]["env"] = [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    assert fields(pod) == ["spec.containers[0].volumeMounts[0].subPathExpr"]


def test_the_address_may_hide_behind_an_optional_source() -> None:
    """Whether the variable still holds the address shows only once the object is looked for, so it is refused."""
    env: list[Json] = [
        {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
        {"name": "B", "value": "$(A)"},
    ]
    assert fields(pod_of(container={"env": env})) == ["spec.containers[0].env[2].value"]
    env[1]["valueFrom"]["secretKeyRef"]["optional"] = False
    assert fields(pod_of(container={"env": env})) == []


# --- the table against Kubernetes' own ------------------------------------------------------------------------------


def known_fields(model: str, rule: Rule, path: str) -> Iterator[tuple[str, set[str], set[str]]]:
    """Path, the client's fields, ours: for every object of the table that the client has a model of."""
    if isinstance(rule, ListOf):
        yield from known_fields(model, rule.item, path)
    if isinstance(rule, ObjectOf):
        kind = getattr(models, model)
        types = {kind.attribute_map[name]: text for name, text in kind.openapi_types.items()}
        yield path, set(types), set(rule.fields)
        for name, text in types.items():
            inner = re.fullmatch(r"(?:list\[)?(V1\w+?)\]?", text)
            if inner and name in rule.fields:
                yield from known_fields(inner[1], rule.fields[name], f"{path}.{name}")


def test_every_field_of_kubernetes_is_in_the_table() -> None:
    compared = list(known_fields("V1Pod", pod_rule(CAPABILITIES, {}), "pod"))
    assert len(compared) > 50
    assert {path: theirs - ours for path, theirs, ours in compared if theirs - ours} == {}


# --- whatever comes ---------------------------------------------------------------------------------------------------

ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from(["", "x", "$(A)", "1Gi", "None", "/", ".."])
    | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "key", "items", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON value, so that it can be changed there."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    own = [(value, key) for key in keys]
    return own + [place for key in keys for place in places(value[key])]


@st.composite
def odd_pods(draw: st.DrawFn) -> tuple[Json, list[Json]]:
    """A golden pod, changed in up to three places."""
    pod, objects = copy.deepcopy(LOADED[draw(st.sampled_from(CASES))])
    for _ in range(draw(st.integers(1, 3))):
        holder, key = draw(st.sampled_from(places(pod)))
        if isinstance(holder, dict) and draw(st.booleans()):
            holder[draw(st.sampled_from(["name", "value", "newField", "optional", "emptyDir", "items"]))] = draw(ODD)
        else:
            holder[key] = draw(ODD)
    return pod, objects


LOADED = {case: load(case) for case in CASES}


@settings(max_examples=examples(400), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(odd_pods())
def test_any_pod_is_built_or_refused_by_a_path_that_exists(case: tuple[Json, list[Json]]) -> None:
    pod, objects = case
    try:
        outcome: Any = build(pod, fetch(references(pod, capabilities=CAPABILITIES), objects), CONTEXT)
    except (PodNotReady, UnsupportedPod) as error:
        outcome = error
    match outcome:
        case UnsupportedPod(refusals=found):
            assert found
            assert [refusal for refusal in found if not stands_in(pod, refusal)] == []
        case PodNotReady():
            assert str(outcome)
        case _:
            assert isinstance(outcome, Workload)


def stands_in(pod: Any, refusal: Refusal) -> bool:
    """Whether the refused field exists; one that is refused for being absent needs a place to be absent from."""
    missing = refusal.reason == "must be given"
    return exists(pod, parent(refusal.field) if missing else refusal.field)


STEP = re.compile(r"\.?([^.\[\]]+)|\[([^\]]*)\]")


def parent(path: str) -> str:
    return path[: [step.start() for step in STEP.finditer(path)][-1]] if path else ""


def exists(pod: Any, path: str) -> bool:
    value = pod
    for step in STEP.finditer(path):
        key = step[1] if step[1] is not None else step[2]
        try:
            value = value[int(key)] if isinstance(value, list) else value[key]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def test_a_large_pod_is_judged_quickly() -> None:
    env = [{"name": f"V{n}", "value": f"$(V{n - 1})"} for n in range(500)]
    pod = pod_of({"containers": [{"name": f"c{n}", "image": "i", "env": env} for n in range(20)]})
    assert within_the_goal("refusals", lambda: refusals(pod, CAPABILITIES), goal_s=0.2) == ()


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"nodeSelector": {"kubernetes.io/arch": "riscv64"}}, "spec.nodeSelector"),
        (
            {
                "affinity": {
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [
                                {
                                    "matchExpressions": [
                                        {"key": "kubernetes.io/arch", "operator": "In", "values": ["riscv64"]}
                                    ]
                                }
                            ]
                        }
                    }
                }
            },
            "spec.affinity",
        ),
    ],
    ids=["selector", "affinity"],
)
def test_an_architecture_that_the_cloud_has_not_got_is_refused_where_it_is_asked_for(spec: Json, field: str) -> None:
    assert [each.field for each in crosswise.architectures(pod_of(spec), ["amd64", "arm64"])] == [field]
