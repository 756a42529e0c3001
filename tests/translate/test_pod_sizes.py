"""What a pod needs, from what its containers say (S39)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pod_cases import CONTEXT

from vk_provider.model.workload import Workload
from vk_provider.translate.workload import Objects, build

Json = dict[str, Any]
GIB = "1Gi"


def built(*containers: Json, init: tuple[Json, ...] = (), **spec: Any) -> Workload:
    pod = {
        "metadata": {"name": "p"},
        "spec": {
            "containers": [
                {"name": f"c{index}", "image": "i", "resources": item} for index, item in enumerate(containers)
            ],
            "initContainers": [
                {"name": f"i{index}", "image": "i", "resources": item} for index, item in enumerate(init)
            ],
            **spec,
        },
    }
    return build(pod, Objects(), CONTEXT)


def cpu(request: Any = None, limit: Any = None) -> Json:
    return {"requests": {"cpu": request}, "limits": {"cpu": limit}}


@pytest.mark.parametrize(
    ("workload", "expected"),
    [
        pytest.param(built({}), None, id="nothing said"),
        pytest.param(built(cpu("16")), 16.0, id="request"),
        pytest.param(built(cpu(limit="500m")), 0.5, id="limit"),
        pytest.param(built(cpu("1", "2")), 2.0, id="limit before request"),
        pytest.param(built(cpu("1", "0")), 1.0, id="a limit of zero is none"),
        pytest.param(built(cpu("0")), None, id="a request of zero is none"),
        pytest.param(built(cpu(2)), 2.0, id="a plain number, as hand-written manifests have"),
        pytest.param(built(cpu("100m"), cpu("200m"), {}), 0.3, id="sum"),
        pytest.param(built(cpu("1"), cpu("1"), init=(cpu("3"), cpu("2"))), 3.0, id="init containers run one by one"),
        pytest.param(built(cpu("2"), cpu("2"), init=(cpu("3"),)), 4.0, id="init smaller than sum"),
        pytest.param(built({}, init=(cpu("3"),)), 3.0, id="init only"),
        pytest.param(built(cpu("1"), overhead={"cpu": "250m"}), 1.25, id="overhead"),
        pytest.param(built({}, overhead={"cpu": "250m"}), None, id="overhead of nothing"),
    ],
)
def test_s39_cpu_of_the_pod(workload: Workload, expected: float | None) -> None:
    assert workload.cpu == expected


@pytest.mark.parametrize(
    ("quantity", "expected"), [(GIB, 1.0), ("512Mi", 0.5), ("32Gi", 32.0), ("1073741824", 1.0), ("1e9", 10**9 / 2**30)]
)
def test_s39_memory_in_gib(quantity: str, expected: float) -> None:
    workload = built({"limits": {"memory": quantity}})
    assert (workload.memory_gib, workload.containers[0].memory_gib) == (expected, expected)
    assert (workload.cpu, workload.containers[0].cpu) == (None, None)


def left_out(resources: Json) -> Json:
    return {
        "name": "left-out",
        "image": "i",
        "resources": resources,
        "env": [{"name": "__ECI_RESOURCE_IGNORE__", "value": "TRUE"}],
    }


BOTH = {"limits": {"cpu": "100m", "memory": "20Mi"}}
ASKING = {"name": "c", "image": "i", "resources": BOTH}


@pytest.mark.parametrize(
    ("workload", "cpu_open", "memory_open"),
    [
        pytest.param(built({}), True, True, id="nothing said"),
        pytest.param(built(BOTH), False, False, id="all said"),
        pytest.param(built(BOTH, {}), True, True, id="one of two says nothing"),
        pytest.param(built({}, init=(BOTH,)), True, True, id="only the init container speaks"),
        pytest.param(built(BOTH, init=({},)), False, False, id="an init container says nothing"),
        pytest.param(built({"limits": {"memory": "1Gi"}}), True, False, id="memory only"),
        pytest.param(built(BOTH, cpu("1")), False, True, id="one without memory"),
        pytest.param(built(cpu("0")), True, True, id="a request of zero says nothing"),
        pytest.param(built({}, resources={"limits": {"cpu": "1"}}), False, True, id="the pod itself says cpu"),
        pytest.param(built(containers=[ASKING, left_out({})]), False, False, id="left out of the sum"),
    ],
)
def test_s39_dimensions_that_some_container_leaves_open(workload: Workload, cpu_open: bool, memory_open: bool) -> None:
    assert (workload.cpu_open, workload.memory_open) == (cpu_open, memory_open)


@given(st.lists(st.integers(1, 64_000), min_size=1, max_size=4), st.lists(st.integers(1, 64_000), max_size=3))
def test_s39_holds_whatever_runs_at_any_time(app: list[int], init: list[int]) -> None:
    workload = built(*(cpu(f"{millis}m") for millis in app), init=tuple(cpu(f"{millis}m") for millis in init))
    assert workload.cpu == max([sum(app), *init]) / 1000
