"""Which size or type a pod's instance gets, and whose word counts for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cloud.workloads import BARE, SETTINGS, owner
from vk_provider.cloud.eci.candidates import candidates_of, intent
from vk_provider.errors import UnsupportedPod
from vk_provider.model.workload import Container, Workload

PREFIX = "k8s.aliyun.com/"
SPECS = "k8s.aliyun.com/eci-use-specs"
TYPE = "k8s.aliyun.com/eci-instance-type"
GPU_TYPE = "ecs.gn6i-c4g1.xlarge"


def wants(**more: Any) -> Workload:
    return replace(Workload(owner=owner(), containers=(Container("c", "i"),)), **more)


@pytest.mark.parametrize(
    ("workload", "spec"),
    [
        pytest.param(wants(cpu_open=True, memory_open=True), "2.0-4.0Gi", id="nothing said"),
        pytest.param(
            wants(cpu=0.1, memory_gib=0.02, cpu_open=True, memory_open=True), "2.0-4.0Gi", id="only a sidecar speaks"
        ),
        pytest.param(wants(cpu=0.1, memory_gib=0.02), "0.25-0.5Gi", id="everybody speaks"),
        pytest.param(wants(memory_gib=0.0625, cpu_open=True), "2.0-1.0Gi", id="nobody says cpu"),
        pytest.param(wants(cpu=0.1, memory_open=True), "1.0-4.0Gi", id="nobody says memory"),
        pytest.param(
            wants(cpu=4, memory_gib=8, cpu_open=True, memory_open=True), "4.0-8.0Gi", id="others ask for more"
        ),
        pytest.param(
            wants(cpu=0.1, memory_gib=0.02, cpu_open=True, memory_open=True, annotations={SPECS: "0.5-1Gi"}),
            "0.5-1.0Gi",
            id="the annotation sets the size",
        ),
        pytest.param(
            wants(cpu_open=True, memory_open=True, annotations={TYPE: "ecs.c6.large"}),
            "ecs.c6.large",
            id="the annotation sets the type",
        ),
    ],
)
def test_who_says_nothing_has_at_least_the_default(workload: Workload, spec: str) -> None:
    assert [each.spec for each in candidates_of(workload, BARE)] == [spec]


GPU = Container("gpu", "i", gpus=1)
SIDECAR = Container("side", "i", sidecar=True)


@pytest.mark.parametrize(
    ("workload", "fields"),
    [
        pytest.param(wants(containers=(GPU,)), ["spec.containers[0]"], id="one"),
        pytest.param(wants(containers=(SIDECAR, GPU)), ["spec.containers[0]"], id="behind a native sidecar"),
        pytest.param(
            wants(init_containers=(GPU,), containers=(replace(SIDECAR, gpus=1), Container("c", "i"))),
            ["spec.initContainers[0]", "spec.initContainers[1]"],
            id="init container and sidecar",
        ),
        pytest.param(wants(containers=(GPU,), annotations={SPECS: "2-4Gi"}), ["spec.containers[0]"], id="a size only"),
        pytest.param(
            wants(containers=(GPU,), annotations={TYPE: "ecs.c6.large"}), ["spec.containers[0]"], id="a type without"
        ),
    ],
)
def test_gpus_without_a_type_are_refused_once_and_with_the_way_out(workload: Workload, fields: list[str]) -> None:
    with pytest.raises(UnsupportedPod) as caught:
        candidates_of(workload, SETTINGS)
    assert [each.field for each in caught.value.refusals] == [
        f"{field}.resources.limits[nvidia.com/gpu]" for field in fields
    ]
    assert all(SPECS in each.reason and "--eci-gpu-instance-type" in each.reason for each in caught.value.refusals)


def test_gpus_come_with_the_named_type_else_with_the_settings() -> None:
    settings = replace(SETTINGS, gpu_instance_types=("ecs.gn7i-c8g1.2xlarge",))
    named = wants(containers=(GPU,), annotations={SPECS: GPU_TYPE})
    assert [each.types for each in candidates_of(named, settings)] == [(GPU_TYPE,)]
    assert [each.types for each in candidates_of(wants(containers=(GPU,)), settings)] == [("ecs.gn7i-c8g1.2xlarge",)]


@given(
    specs=st.lists(st.sampled_from(["2-4Gi", "2.0-4Gi", "4-8Gi", "ecs.c6.large", "2-4.0Gi"]), max_size=5),
    spot=st.sampled_from(["", "NoSpot", "SpotAsPriceGo"]),
    by_default=st.sampled_from(["", "NoSpot", "SpotAsPriceGo"]),
    fallback=st.sampled_from(["", "true", "false"]),
)
def test_who_decides_and_who_creates_count_the_same(
    specs: list[str], spot: str, by_default: str, fallback: str
) -> None:
    said = {SPECS: ",".join(specs), f"{PREFIX}eci-spot-strategy": spot, f"{PREFIX}eci-spot-fallback": fallback}
    annotations = {key: text for key, text in said.items() if text}
    settings = replace(SETTINGS, spot_strategy=by_default)
    pod = {"metadata": {"annotations": {**annotations, "x": None}}}
    found = candidates_of(wants(annotations=annotations), settings)
    assert intent(pod, settings).candidates == len(found)
    assert len(set(found)) == len(found)
