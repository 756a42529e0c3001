"""What a kubelet asks once more of a pod that is bound to it."""

from __future__ import annotations

import pytest

from vk_provider.errors import UnsupportedPod
from vk_provider.translate import placement

LABELS = {"type": "virtual-kubelet", "zone": "a", "size": "5"}
NODE = {"metadata": {"name": "vk", "labels": LABELS}}


def affinity(*terms):
    required = {"nodeSelectorTerms": list(terms)}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


def label(key, operator, *values):
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


def name(operator, *values):
    return {"matchFields": [{"key": "metadata.name", "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        ({}, True),
        ({"nodeSelector": {"type": "virtual-kubelet"}}, True),
        ({"nodeSelector": {"type": "virtual-kubelet", "zone": "b"}}, False),
        ({"nodeSelector": {"none": "such"}}, False),
        (affinity(label("zone", "In", "b", "a")), True),
        (affinity(label("zone", "In", "b")), False),
        (affinity(label("zone", "NotIn", "a")), False),
        (affinity(label("none", "NotIn", "a")), True),
        (affinity(label("zone", "Exists")), True),
        (affinity(label("none", "Exists")), False),
        (affinity(label("zone", "DoesNotExist")), False),
        (affinity(label("none", "DoesNotExist")), True),
        (affinity(label("size", "Gt", "4")), True),
        (affinity(label("size", "Gt", "5")), False),
        (affinity(label("size", "Lt", "6")), True),
        (affinity(label("zone", "Gt", "4")), False),
        (affinity(label("none", "Lt", "4")), False),
        (affinity(label("zone", "Exists"), label("none", "Exists")), True),
        (affinity(label("none", "Exists"), label("zone", "Exists")), True),
        (affinity({**label("zone", "Exists"), **name("In", "other")}), False),
        (affinity(name("In", "vk")), True),
        (affinity(name("NotIn", "vk")), False),
        (affinity({}), False),
        (affinity(), False),
        ({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}}, True),
        ({"affinity": {"podAffinity": {}}}, True),
    ],
    ids=str,
)
def test_what_a_pod_asks_of_its_node(spec, fits):
    pod = {"metadata": {}, "spec": spec}
    assert placement.suits(pod, LABELS, "vk") == fits
    refused = placement.refusals(pod, NODE)
    assert (not refused) == fits
    assert placement.refusals(pod, None) == (), "a node that nobody asked for is no reason"
    if refused:
        error = UnsupportedPod(refused)
        assert error.reason == "NodeAffinity"
        assert "node(s) didn't match Pod's node affinity/selector" in str(error)


def test_labels_that_people_gave_the_node_count_though_we_did_not_give_them():
    pod = {"metadata": {}, "spec": {"nodeSelector": {"team": "red"}}}
    assert not placement.suits(pod, LABELS, "vk"), "so the node is asked for"
    assert placement.refusals(pod, {"metadata": {"name": "vk", "labels": {**LABELS, "team": "red"}}}) == ()


def asks(**requests):
    return {"name": "c", "resources": {"requests": requests}}


@pytest.mark.parametrize(
    ("spec", "reasons"),
    [
        ({"containers": [asks(cpu="4", memory="8Gi")]}, []),
        ({"containers": [asks(cpu="4001m")]}, ["OutOfcpu"]),
        ({"containers": [asks(cpu="3"), asks(cpu="2")]}, ["OutOfcpu"]),
        ({"containers": [asks(memory="9Gi"), asks(cpu="5")]}, ["OutOfcpu", "OutOfmemory"]),
        ({"containers": [asks(cpu="1")], "initContainers": [asks(cpu="4"), asks(cpu="4")]}, []),
        ({"containers": [asks(cpu="1")], "initContainers": [asks(cpu="5")]}, ["OutOfcpu"]),
        (
            {"containers": [asks(cpu="2")], "initContainers": [{**asks(cpu="3"), "restartPolicy": "Always"}]},
            ["OutOfcpu"],
        ),
        ({"containers": [{"name": "c"}]}, []),
    ],
)
def test_more_than_the_node_has_is_refused_for_the_reason_that_a_kubelet_gives(spec, reasons):
    found = placement.oversized({"metadata": {}, "spec": spec}, {"cpu": "4", "memory": "8Gi"})
    assert [each.kubelets for each in found] == reasons
    assert {each.field for each in found} <= {"spec.containers[*].resources.requests"}
    assert placement.oversized({"metadata": {}, "spec": spec}, {}) == []
