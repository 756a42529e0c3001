"""Which pods are sent to the virtual node, and that nothing else about them changes."""

import copy
from typing import Any

import pytest

from fakes.kube.api import Api
from fakes.kube.virtualnode import inject_affinity

WANTED = {"virtual-node-affinity-injection": "enabled"}
REQUIREMENT = {"key": "type", "operator": "In", "values": ["virtual-kubelet"]}
TOLERATION = {"key": "virtual-kubelet.io/provider", "operator": "Exists"}


def pod(
    namespace: str = "default", labels: dict[str, str] | None = None, owner: str = "", **spec: Any
) -> dict[str, Any]:
    meta = {"name": "p", "namespace": namespace, "labels": labels or {}}
    if owner:
        meta["ownerReferences"] = [{"kind": owner, "name": "o"}]
    return {"metadata": meta, "spec": {"containers": [{"name": "c", "image": "a"}], **spec}}


def terms(made: dict[str, Any]) -> list[dict[str, Any]]:
    required = made["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return list(required["nodeSelectorTerms"])


@pytest.mark.parametrize(
    ("made", "namespace_labels", "sent"),
    [
        pytest.param(pod(), WANTED, True, id="namespace label"),
        pytest.param(pod(), {"eci": "true"}, True, id="short namespace label"),
        pytest.param(pod(), {"alibabacloud.com/eci": "true"}, True, id="long namespace label"),
        pytest.param(pod(labels={"eci": "true"}), {}, True, id="pod label"),
        pytest.param(pod(labels={"alibabacloud.com/eci": "true"}), {}, True, id="long pod label"),
        pytest.param(pod(), {}, False, id="nothing asks"),
        pytest.param(pod(), {"virtual-node-affinity-injection": "disabled"}, False, id="another value"),
        pytest.param(pod(labels={"alibabacloud.com/eci": "false"}), WANTED, False, id="opted out"),
        pytest.param(pod(owner="DaemonSet"), WANTED, False, id="DaemonSet"),
        pytest.param(pod(owner="ReplicaSet"), WANTED, True, id="ReplicaSet"),
        pytest.param(pod(nodeName="n"), WANTED, False, id="placed already"),
        pytest.param(pod(namespace="kube-system"), WANTED, False, id="kube-system"),
    ],
)
def test_who_is_sent(made: dict[str, Any], namespace_labels: dict[str, str], sent: bool) -> None:
    before = copy.deepcopy(made)
    inject_affinity(made, namespace_labels)
    if sent:
        assert terms(made) == [{"matchExpressions": [REQUIREMENT]}]
        assert made["spec"]["tolerations"] == [TOLERATION]
    else:
        assert made == before


def test_every_alternative_gets_the_requirement_and_keeps_its_own() -> None:
    zone = {"key": "zone", "operator": "In", "values": ["a"]}
    field = {"key": "metadata.name", "operator": "In", "values": ["n"]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [zone]}, {"matchFields": [field]}]}
    preferred = [{"weight": 1, "preference": {"matchExpressions": [zone]}}]
    node = {
        "requiredDuringSchedulingIgnoredDuringExecution": required,
        "preferredDuringSchedulingIgnoredDuringExecution": preferred,
    }
    made = pod(affinity={"nodeAffinity": node, "podAffinity": {"x": 1}})
    inject_affinity(made, WANTED)
    assert terms(made) == [
        {"matchExpressions": [zone, REQUIREMENT]},
        {"matchFields": [field], "matchExpressions": [REQUIREMENT]},
    ]
    assert made["spec"]["affinity"]["podAffinity"] == {"x": 1}
    assert made["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] == preferred


def test_repeated_injection_changes_nothing() -> None:
    made = pod()
    inject_affinity(made, WANTED)
    once = copy.deepcopy(made)
    inject_affinity(made, WANTED)
    assert made == once


@pytest.mark.parametrize(
    ("toleration", "enough"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "virtual-kubelet.io/provider", "operator": "Exists"}, True),
        ({"key": "virtual-kubelet.io/provider", "value": "alibabacloud", "effect": "NoSchedule"}, True),
        ({"key": "virtual-kubelet.io/provider", "value": "azure"}, False),
        ({"key": "virtual-kubelet.io/provider", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_toleration_is_added_only_when_lacking(toleration: dict[str, str], enough: bool) -> None:
    made = pod(tolerations=[toleration])
    inject_affinity(made, WANTED)
    assert made["spec"]["tolerations"] == ([toleration] if enough else [toleration, TOLERATION])


def test_created_pods_are_sent_but_never_changed_later() -> None:
    api = Api()
    api.create("namespaces", {"metadata": {"name": "vk"}})
    api.create("serviceaccounts", {"metadata": {"name": "default"}}, "vk")
    old = api.create("pods", pod("vk"))
    assert "affinity" not in old["spec"]
    api.patch("namespaces", "vk", None, {"metadata": {"labels": WANTED}}, kind="merge")
    assert "affinity" not in api.patch("pods", "p", "vk", {"metadata": {"labels": {"a": "b"}}}, kind="merge")["spec"]
    new = api.create("pods", {**pod("vk"), "metadata": {"name": "q", "namespace": "vk"}})
    assert terms(new) == [{"matchExpressions": [REQUIREMENT]}]
