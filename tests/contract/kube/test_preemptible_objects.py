"""The custom resources of preemptible Jobs: an API server takes the definitions and our objects of deploy/, refuses
what gocrane's webhook refuses, and what it takes the provider reads without a fault."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.kube.client import MERGE, Client, eventually
from tests.contract.kube.test_definitions import DEFINITIONS, _bears_definitions, conditions
from tests.contract.kube.test_kubectl import Kubectl, kubectl
from vk_provider.idle.predictions import prediction, status
from vk_provider.idle.qos import avoidance_action, node_qos, pod_qos

__all__ = ["_bears_definitions", "kubectl"]

FOLDER = Path(__file__).parents[3] / "deploy/preemptible"
ENSURANCE = "/apis/ensurance.crane.io/v1alpha1"
PREDICTION = "/apis/prediction.crane.io/v1alpha1"
RULE = {
    "name": "r",
    "metricRule": {"name": "cpu_total_utilization", "value": "60"},
    "actionName": "eviction",
}


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


@pytest.fixture(scope="module")
def installed(client: Client) -> Iterator[None]:
    definitions = documents("crds.yaml")
    for body in definitions:
        made = client.create(DEFINITIONS, body)
        assert made.status == 201, made.body
    for body in definitions:
        path, spec = f"{DEFINITIONS}/{body['metadata']['name']}", body["spec"]
        eventually(lambda path=path: conditions(client.get(path).body).get("Established") == "True")
        listed = f"/apis/{spec['group']}/v1alpha1/{spec['names']['plural']}"
        eventually(lambda listed=listed: client.get(listed).status == 200)
        problems = [
            each for each in client.get(path).body["status"]["conditions"] if each["type"] == "NonStructuralSchema"
        ]
        assert problems == []
    yield
    for body in definitions:
        client.delete(f"{DEFINITIONS}/{body['metadata']['name']}")


def sent(client: Client, kind: str, plural: str, spec: Any, space: str = "") -> Any:
    group = "prediction.crane.io" if space else "ensurance.crane.io"
    where = f"{PREDICTION}/namespaces/{space}" if space else ENSURANCE
    body = {"apiVersion": f"{group}/v1alpha1", "kind": kind, "metadata": {"name": "x"}, "spec": spec}
    answer = client.create(f"{where}/{plural}", body)
    if answer.status == 201:
        client.delete(f"{where}/{plural}/x")
    return answer


@pytest.mark.usefixtures("installed")
def test_our_objects_are_taken_and_read_back_without_a_fault(kubectl: Kubectl, client: Client) -> None:
    kubectl.run("apply", "-f", str(FOLDER / "objects.yaml"))
    kubectl.run("apply", "-f", str(FOLDER / "objects.yaml"))
    action = avoidance_action(client.get(f"{ENSURANCE}/avoidanceactions/reclaim-preemptible").body)
    node = node_qos(client.get(f"{ENSURANCE}/nodeqoss/preemptible-default").body)
    pod = pod_qos(client.get(f"{ENSURANCE}/podqoss/all-be-pods").body)
    for read in (action, node, pod):
        assert read.value is not None
        assert (read.faults, read.unsupported) == ((), ())
    assert action.value is not None
    assert (action.value.grace_s, action.value.cool_down_s, action.value.evicts) == (30, 300, True)
    assert node.value is not None
    assert [(rule.value, rule.avoid_rounds, rule.is_preview) for rule in node.value.rules] == [(110.0, 2, True)]
    assert "all-be-pods" in kubectl.run("get", "pq")
    kubectl.run("delete", "-f", str(FOLDER / "objects.yaml"))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"coolDownSeconds": 0}, id="no cool-down"),
        pytest.param({"eviction": {"terminationGracePeriodSeconds": -1}}, id="negative grace"),
        pytest.param({"throttle": {"cpuThrottle": {"minCPURatio": 101}}}, id="a ratio over 100"),
        pytest.param({"description": "x" * 1025}, id="a long description"),
    ],
)
def test_actions_that_are_refused(client: Client, spec: Any) -> None:
    assert sent(client, "AvoidanceAction", "avoidanceactions", spec).status == 422


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("spec", "is_taken"),
    [
        ({"rules": [RULE]}, True),
        ({"rules": [RULE], "elasticCpuLimit": {"elasticNodeCpuLimit": {"percent": 60}}}, True),
        ({"rules": [RULE | {"metricRule": {"name": "x", "value": 60}}]}, True),
        ({"rules": [RULE], "nodeQualityProbe": {"nodeLocalGet": {}}}, True),
        ({"rules": []}, False),
        ({}, False),
        ({"rules": [RULE | {"name": "Not A Name"}]}, False),
        ({"rules": [RULE, RULE]}, False),
        ({"rules": [RULE | {"avoidanceThreshold": 0}]}, False),
        ({"rules": [RULE | {"restoreThreshold": 0}]}, False),
        ({"rules": [RULE | {"metricRule": {"name": "x", "value": "0"}}]}, False),
        ({"rules": [RULE | {"metricRule": {"name": "x", "value": 0}}]}, False),
        ({"rules": [RULE | {"metricRule": {"name": "x", "value": "-5"}}]}, False),
        ({"rules": [RULE | {"strategy": "Sometimes"}]}, False),
        ({"rules": [RULE], "nodeQualityProbe": {"timeoutSeconds": 1}}, False),
        ({"rules": [RULE], "nodeQualityProbe": {"nodeLocalGet": {}, "httpGet": {"port": 80}}}, False),
    ],
)
def test_node_qos(client: Client, spec: Any, is_taken: bool) -> None:
    answer = sent(client, "NodeQOS", "nodeqoss", spec)
    assert (answer.status == 201) is is_taken, answer.body
    if is_taken:
        read = node_qos(answer.body)
        assert read.faults == ()
        assert answer.body["spec"]["rules"][0]["strategy"] == "None"


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("spec", "is_taken"),
    [
        (
            {
                "labelSelector": {"matchLabels": {"preemptible_job": "true"}},
                "resourceQOS": {"cpuQOS": {"cpuPriority": 7}},
            },
            True,
        ),
        ({"resourceQOS": {"memoryQOS": {"memoryCompression": {"enable": True, "compressionLevel": 4}}}}, True),
        ({"resourceQOS": {"cpuQOS": {"cpuPriority": 8}}}, False),
        (
            {"scopeSelector": {"matchExpressions": [{"scopeName": "Colour", "operator": "In", "values": ["red"]}]}},
            False,
        ),
        ({"resourceQOS": {"cpuQOS": {"cpuSet": {"cpuSet": "mine"}}}}, False),
    ],
)
def test_pod_qos(client: Client, spec: Any, is_taken: bool) -> None:
    answer = sent(client, "PodQOS", "podqoss", spec)
    assert (answer.status == 201) is is_taken, answer.body
    if is_taken:
        assert pod_qos(answer.body).faults == ()


PREDICTED = {
    "targetRef": {"kind": "Node", "name": "virtual-kubelet"},
    "predictionWindowSeconds": 3600,
    "predictionMetrics": [
        {
            "resourceIdentifier": "cpu",
            "type": "ResourceQuery",
            "resourceQuery": "cpu",
            "algorithm": {
                "algorithmType": "dsp",
                "dsp": {
                    "sampleInterval": "60s",
                    "historyLength": "15d",
                    "estimators": {"fft": [{"marginFraction": "0.2", "highFrequencyThreshold": "0.05"}]},
                },
            },
        },
        {
            "resourceIdentifier": "memory",
            "type": "ResourceQuery",
            "resourceQuery": "memory",
            "algorithm": {"algorithmType": "percentile", "percentile": {"histogram": {"halfLife": "24h"}}},
        },
    ],
}


@pytest.mark.usefixtures("installed")
def test_a_prediction_and_its_status(client: Client, space: str) -> None:
    where = f"{PREDICTION}/namespaces/{space}/timeseriespredictions"
    body = {"apiVersion": "prediction.crane.io/v1alpha1", "kind": "TimeSeriesPrediction", "metadata": {"name": "p"}}
    made = client.create(where, body | {"spec": PREDICTED})
    assert made.status == 201, made.body
    spec = prediction(made.body)
    assert spec.faults == ()
    assert [metric.why for metric in spec.metrics] == ["", ""]
    told = status(spec, {"cpu": [(1_700_000_000, 1.5)], "memory": [(1_700_000_000, 2e9)]}, now="2026-01-01T00:00:00Z")
    answer = client.patch(f"{where}/p/status", {"status": told}, MERGE)
    assert answer.status == 200, answer.body
    assert answer.body["status"] == told  # nothing of it was pruned


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    "metric",
    [
        {"resourceIdentifier": "x", "type": "Guess"},
        {"type": "ResourceQuery"},
        {"resourceIdentifier": "x", "type": "ResourceQuery", "algorithm": {"algorithmType": "prophet"}},
        {"resourceIdentifier": "x", "type": "ResourceQuery", "algorithm": {"dsp": {"historyLength": "a week"}}},
        {"resourceIdentifier": "x", "type": "ResourceQuery", "algorithm": {"percentile": {"percentile": "-1"}}},
    ],
)
def test_predictions_that_are_refused(client: Client, space: str, metric: Any) -> None:
    assert (
        sent(client, "TimeSeriesPrediction", "timeseriespredictions", {"predictionMetrics": [metric]}, space).status
        == 422
    )
