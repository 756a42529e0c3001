"""A pod is refused for all that is wrong with it, at once (W12)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cloud.workloads import SETTINGS
from tests.corpus.manifests import cases
from tests.thorough import examples
from tests.translate.pod_cases import CONTEXT
from vk_provider.cloud.eci import create_refusals
from vk_provider.translate.judging import judged
from vk_provider.translate.objects import Objects

Json = dict[str, Any]
Fault = Callable[[Json], object]
PREFIX = "k8s.aliyun.com/"


def container(pod: Json) -> Json:
    found: Json = pod["spec"]["containers"][0]
    return found


def annotate(key: str, text: str) -> Fault:
    return lambda pod: pod["metadata"]["annotations"].update({PREFIX + key: text})


def add_env(**variable: Any) -> Fault:
    return lambda pod: container(pod).setdefault("env", []).append(variable)


def mount(volume: Json) -> Fault:
    def change(pod: Json) -> None:
        pod["spec"].setdefault("volumes", []).append(volume)
        place = {"name": volume["name"], "mountPath": f"/{volume['name']}"}
        container(pod).setdefault("volumeMounts", []).append(place)

    return change


def in_spec(**fields: Any) -> Fault:
    return lambda pod: pod["spec"].update(copy.deepcopy(fields))


def in_container(**fields: Any) -> Fault:
    return lambda pod: container(pod).update(copy.deepcopy(fields))


DISK = {"driver": "alicloud/disk", "options": {"volumeSize": "5"}}
# What is wrong, and the beginning of the field that a refusal of it names. No two are about one thing.
FAULTS: dict[str, tuple[Fault, str]] = {
    "host network": (in_spec(hostNetwork=True), "spec.hostNetwork"),
    "host PIDs": (in_spec(hostPID=True), "spec.hostPID"),
    "unknown field": (in_spec(ofTomorrow=1), "spec.ofTomorrow"),
    "host path": (mount({"name": "host", "hostPath": {"path": "/"}}), "spec.volumes["),
    "small disk": (mount({"name": "disk", "flexVolume": DISK}), "spec.volumes["),
    "bucket": (
        mount({"name": "oss", "flexVolume": {"driver": "alicloud/oss", "options": {"url": "u"}}}),
        "spec.volumes[",
    ),
    "GPU without a type": (
        in_container(resources={"limits": {"nvidia.com/gpu": "1"}}),
        "spec.containers[0].resources.limits[nvidia.com/gpu]",
    ),
    "name of a variable": (add_env(name="1a b", value="x"), "spec.containers[0].env"),
    "file as variable": (
        add_env(name="F", valueFrom={"fileKeyRef": {"path": "p", "key": "k", "volumeName": "v"}}),
        "spec.containers[0].env[",
    ),
    "field of no pod": (
        add_env(name="P", valueFrom={"fieldRef": {"fieldPath": "status.phase"}}),
        "spec.containers[0].env[",
    ),
    "long command": (in_container(command=["x"] * 21), "spec.containers[0].command"),
    "long image": (in_container(image="i" * 256), "spec.containers[0].image"),
    "privileged": (in_container(securityContext={"privileged": True}), "spec.containers[0].securityContext.privileged"),
    "probe": (in_container(livenessProbe={"exec": {"command": ["x"] * 21}}), "spec.containers[0].livenessProbe"),
    "port": (in_container(ports=[{"containerPort": 1, "protocol": "SCTP"}]), "spec.containers[0].ports"),
    "sysctl": (
        in_spec(securityContext={"sysctls": [{"name": "vm.swappiness", "value": "1"}]}),
        "spec.securityContext.sysctls",
    ),
    "many aliases": (
        in_spec(hostAliases=[{"ip": "10.0.0.1", "hostnames": ["a"]}] * 101),
        "spec.hostAliases",
    ),
    "size that is not sold": (annotate("eci-use-specs", "3-5Gi"), f"metadata.annotations[{PREFIX}eci-use-specs]"),
    "annotation's value": (annotate("eci-ram-role-name", "a b"), f"metadata.annotations[{PREFIX}eci-ram-role-name]"),
    "disk of no volume": (
        annotate("eci-set-diskvolume", "nowhere:ext4:50Gi"),
        f"metadata.annotations[{PREFIX}eci-set-diskvolume]",
    ),
    "resolver": (
        annotate("eci-custom-dnsconfig", '{"searches": "a"}'),
        f"metadata.annotations[{PREFIX}eci-custom-dnsconfig]",
    ),
    "architecture": (in_spec(nodeSelector={"kubernetes.io/arch": "riscv64"}), "spec.nodeSelector"),
    "mount of nothing": (
        lambda pod: container(pod).setdefault("volumeMounts", []).append({"name": "none", "mountPath": "/n"}),
        "spec.containers[0].volumeMounts[",
    ),
    "storage": (
        lambda pod: pod["spec"]["containers"].append(
            {"name": "big", "image": "i", "resources": {"requests": {"ephemeral-storage": "9Ti"}}}
        ),
        "spec.containers[*].resources.requests[ephemeral-storage]",
    ),
}


def pod_of(faults: list[str]) -> Json:
    pod: Json = {
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "annotations": {}},
        "spec": {"dnsPolicy": "Default", "containers": [{"name": "c", "image": "i"}]},
    }
    for name in faults:
        FAULTS[name][0](pod)
    return pod


def fields_of(pod: Json) -> list[str]:
    found = judged(pod, Objects(), CONTEXT, lambda workload: create_refusals.refusals(workload, SETTINGS))
    assert len(set(found)) == len(found)
    assert all(one.field and one.reason for one in found)
    return [one.field for one in found]


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_one_refusal(name: str) -> None:
    (field,) = fields_of(pod_of([name]))
    assert field.startswith(FAULTS[name][1])


def test_a_host_network_a_small_disk_a_gpu_and_a_variable_are_one_round() -> None:
    found = fields_of(pod_of(["host network", "small disk", "GPU without a type", "name of a variable"]))
    assert [field.partition("[")[0] for field in found] == [
        "spec.hostNetwork",
        "spec.volumes",
        "spec.containers",
        "spec.containers",
    ]


@settings(max_examples=examples(200))
@given(st.lists(st.sampled_from(sorted(FAULTS)), unique=True, min_size=1, max_size=len(FAULTS)))
def test_of_independent_faults_all_are_named(names: list[str]) -> None:
    found = fields_of(pod_of(names))
    assert len(found) == len(names)
    for name in names:
        assert any(field.startswith(FAULTS[name][1]) for field in found), name


def test_a_field_of_the_wrong_type_hides_nothing_else() -> None:
    pod = pod_of(["host network", "small disk", "long command", "GPU without a type"])
    pod["spec"]["terminationGracePeriodSeconds"] = "soon"
    assert len(fields_of(pod)) == 5


CARRIED = [
    case
    for case in cases()
    if not any(word in case.golden.read_text() for word in ("Unsupported", "NotSupported", "Forbidden", "OutOf"))
]


@pytest.mark.parametrize("case", CARRIED, ids=[case.name for case in CARRIED])
def test_nothing_speaks_against_a_pod_that_is_carried_whatever_it_still_waits_for(case: Any) -> None:
    for pod in case.pods:
        assert fields_of(pod) == []
