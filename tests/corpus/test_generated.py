"""Whatever pod an API server takes: the cloud takes its request, or it is refused at a field that it has."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, event, given, settings

from fakes.cloud import lifecycle, scenario
from fakes.cloud.clock import Clock, Timers
from fakes.cloud.errors import ApiError
from fakes.cloud.parameters import first_values
from fakes.cloud.runtime_simulated import SimulatedRuntime
from fakes.cloud.service import Service
from fakes.kube import podvalidation
from tests.corpus.life import CLUSTER, CONFIG, HOST
from tests.corpus.strategies import OBJECTS, pods
from tests.thorough import examples
from vk_provider.cloud.driver import Whose
from vk_provider.cloud.eci import request
from vk_provider.cloud.eci.capabilities import CAPABILITIES
from vk_provider.cloud.eci.settings import eci_settings
from vk_provider.errors import PodNotReady, Refusal, UnsupportedPod
from vk_provider.node_settings import node_context
from vk_provider.show.manifests import Found, Manifest
from vk_provider.show.surroundings import Surroundings
from vk_provider.translate.workload import build

Json = dict[str, Any]
# The first hundreds take seconds; VK_CORPUS_EXAMPLES=5000 before a release.
EXAMPLES = int(os.environ.get("VK_CORPUS_EXAMPLES", examples(100)))
SETTINGS = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FOUND = Surroundings([Manifest(each, "") for each in OBJECTS])
POD = Found(Manifest({}, ""), "Pod", "", "")


@SETTINGS
@given(pods())
def test_a_pod_is_taken_by_the_cloud_or_refused_at_a_field(pod):
    assert [str(fault) for fault in podvalidation.created(pod)] == [], "no API server would take the pod"
    refusals, waits, answer = outcome(pod)
    event("refused" if refusals else "waits" if waits else "taken")
    if refusals:
        assert [str(each) for each in refusals if not has(pod, each.field) or not each.reason] == []
    elif waits:
        assert "non-root" in waits, "everything it refers to is there"
    else:
        assert answer.startswith("eci-"), answer


def outcome(pod: Json) -> tuple[Sequence[Refusal], str, str]:
    """What is refused, or why it waits, or what the cloud says."""
    try:
        workload = build(pod, FOUND.around(POD, pod).objects, node_context(CONFIG, CLUSTER, HOST, CAPABILITIES))
        asked, _ = request.create(
            workload,
            eci_settings(CONFIG.eci, Whose(cluster=CLUSTER, node=CONFIG.node_name, cluster_name=CONFIG.cluster_name)),
        )
    except UnsupportedPod as error:
        return error.refusals, "", ""
    except PodNotReady as error:
        return (), str(error), ""
    return (), "", taken({**asked.query, **asked.body, "RegionId": CONFIG.eci.region})


def taken(parameters: Json) -> str:
    """The id of the instance, or why the stand-in cloud does not make it."""
    timers = Timers(Clock(lambda: 0.0, start=1e9))
    service = Service(timers, SimulatedRuntime(timers, scenario.Scenario()), settings=lifecycle.Settings())
    try:
        return str(service.create(first_values(parameters.items()))["ContainerGroupId"])
    except ApiError as error:
        return str(error)


_STEP = re.compile(r"\[(\d+|\*)\]|\[([^\]]+)\]|\.?([^.\[\]]+)")


def has(pod: Json, path: str) -> bool:
    """The field stands in the pod. `[*]`: in one of them at least."""
    return _has(pod, [match.groups() for match in _STEP.finditer(path)])


def _has(value: Any, steps: list[tuple[str | None, ...]]) -> bool:
    if not steps:
        return value is not None
    (number, key, name), *rest = steps
    if number == "*":
        return isinstance(value, list) and any(_has(each, rest) for each in value)
    if number is not None and isinstance(value, list):
        return int(number) < len(value) and _has(value[int(number)], rest)
    return isinstance(value, dict) and (number or key or name) in value and _has(value[number or key or name], rest)
