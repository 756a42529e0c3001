"""Resources that only some nodes have, such as a crane agent's: asked for, counted, and missed by name."""

from typing import Any

import pytest

from tests.contract.controllers.conftest import Kubelet, events
from tests.contract.kube.client import MERGE, Client, eventually, pod

NAME = "gocrane.io/cpu"


def wanting(name: str, amount: str, space: str, **more: Any) -> Any:
    resources = {"requests": {NAME: amount}, "limits": {NAME: amount}}
    containers = [{"name": "c", "image": "a", "resources": resources}]
    return pod(name, containers=containers, nodeSelector={"pool": space}, **more)


@pytest.fixture
def small(make_node: Any, space: str) -> str:
    return str(make_node(labels={"pool": space}, amounts={NAME: "2"}))


def placed(kubelet: Kubelet, name: str) -> str:
    return str(kubelet.pods()[name]["spec"].get("nodeName", ""))


def test_it_is_counted(client: Client, core: str, space: str, kubelet: Kubelet, small: str) -> None:
    for name in ("a", "b"):
        assert client.create(f"{core}/pods", wanting(name, "1", space)).status == 201
        eventually(lambda name=name: placed(kubelet, name) == small)
    client.create(f"{core}/pods", wanting("c", "1", space))
    (text, *_) = eventually(lambda: events(client, core, "FailedScheduling"))
    assert f"1 Insufficient {NAME}" in text
    assert not placed(kubelet, "c")
    client.delete(f"{core}/pods/a", gracePeriodSeconds=0)
    eventually(lambda: placed(kubelet, "c") == small, within_s=60)


def test_a_node_without_it_will_not_do(client: Client, core: str, space: str, kubelet: Kubelet, make_node: Any) -> None:
    bare = make_node(labels={"pool": space})
    client.create(f"{core}/pods", wanting("a", "1", space))
    (text, *_) = eventually(lambda: events(client, core, "FailedScheduling"))
    assert f"Insufficient {NAME}" in text
    grown = {"status": {"capacity": {NAME: "1"}, "allocatable": {NAME: "1"}}}
    assert client.patch(f"/api/v1/nodes/{bare}/status", grown, kind=MERGE).status == 200
    eventually(lambda: placed(kubelet, "a") == bare, within_s=60)


@pytest.mark.parametrize(
    ("resources", "fields"),
    [
        ({"requests": {NAME: "1"}}, {"spec.containers[0].resources.limits"}),
        ({"requests": {NAME: "1"}, "limits": {NAME: "2"}}, {"spec.containers[0].resources.requests"}),
        ({"limits": {NAME: "500m"}}, {f"spec.containers[0].resources.limits[{NAME}]"}),
        ({"limits": {"nodomain": "1"}}, {"spec.containers[0].resources.limits[nodomain]"}),
    ],
)
def test_what_is_refused(client: Client, core: str, resources: Any, fields: set[str]) -> None:
    refused = client.create(f"{core}/pods", pod(containers=[{"name": "c", "image": "a", "resources": resources}]))
    assert refused.status == 422
    assert fields <= refused.fields


def test_limits_stand_for_requests(client: Client, core: str) -> None:
    resources = {"limits": {NAME: "3"}}
    made = client.create(
        f"{core}/pods?dryRun=All", pod(containers=[{"name": "c", "image": "a", "resources": resources}])
    )
    assert made.body["spec"]["containers"][0]["resources"]["requests"] == {NAME: "3"}
