"""The Node as registered and kept (kubelet.md a)."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from vk_provider.translate.node import (
    IDENTITY_ANNOTATION,
    CloudHealth,
    NodeSpec,
    Taint,
    kubelet_version,
    node_object,
    node_status,
)
from vk_provider.translate.node_patch import announced_at, differs, is_ours, metadata_patch, status_patch

NOW, LATER = "2026-01-02T03:04:05Z", "2026-01-02T03:04:15Z"
SPEC = NodeSpec(
    name="virtual-kubelet",
    identity="cluster-a/vk",
    addresses=("10.0.0.7",),
    kubelet_port=10250,
    server_version="v1.20.15+k3s1",
    capacity={"cpu": "1000", "memory": "4096Gi", "pods": "500", "ephemeral-storage": "20Ti"},
    labels={"team": "batch"},
    taints=(Taint("virtual-kubelet.io/provider", "alibabacloud"),),
    region="cn-hangzhou",
    provider="Alibaba Cloud ECI",
    runtime="eci://1.0.0",
)
UP = CloudHealth(True)


def condition(status, type_):
    return next(each for each in status["conditions"] if each["type"] == type_)


def stored(spec=SPEC, **status):
    """The node as an API server holds it after registration, with what others wrote on it."""
    node = copy.deepcopy(node_object(spec, now=NOW, cloud=UP))
    node["metadata"] |= {"uid": "n-1", "resourceVersion": "7"}
    node["metadata"]["labels"]["corp/rack"] = "3"
    node["spec"]["taints"].append({"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"})
    node["spec"]["podCIDR"] = "10.1.0.0/24"
    foreign = {"type": "NetworkUnavailable", "status": "False", "reason": "RouteCreated", "message": ""}
    node["status"]["conditions"].append(foreign)
    node["status"]["capacity"] |= {"memory": "4Ti", "cpu": "1k", "corp/fpga": "2"}  # as servers spell them
    return {**node, "status": {**node["status"], **status}}


def merged(node, body):
    """Strategic merge of nodes/status, as far as a node needs it."""
    node = copy.deepcopy(node)
    for key, value in body.get("metadata", {}).items():
        node["metadata"][key] |= value
    for key, value in body["status"].items():
        match key:
            case "capacity" | "allocatable" | "nodeInfo" | "daemonEndpoints":
                both = node["status"].get(key, {}) | value
                node["status"][key] = {name: each for name, each in both.items() if each is not None}
            case "addresses":
                assert not node["status"].get(key) or {"$patch": "replace"} in value
                node["status"][key] = [each for each in value if "$patch" not in each]
            case "conditions":
                known = {each["type"]: each for each in node["status"].get(key, ())}
                known |= {each["type"]: {**known.get(each["type"], {}), **each} for each in value}
                node["status"][key] = list(known.values())
    return node


def test_labels():
    """N3, N5"""
    assert node_object(SPEC, now=NOW)["metadata"]["labels"] == {
        "team": "batch",
        "kubernetes.io/hostname": "virtual-kubelet",
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/role": "agent",
        "type": "virtual-kubelet",
        "node.kubernetes.io/instance-type": "virtual-kubelet",
        "node.kubernetes.io/exclude-from-external-load-balancers": "true",
        "topology.kubernetes.io/region": "cn-hangzhou",
    }
    zoned = node_object(replace(SPEC, zone="cn-hangzhou-b"), now=NOW)
    assert zoned["metadata"]["labels"]["topology.kubernetes.io/zone"] == "cn-hangzhou-b"


def test_spec_and_marks():
    """N2, N4, N7, N8, N10"""
    node = node_object(SPEC, now=NOW)
    taint = {"key": "virtual-kubelet.io/provider", "value": "alibabacloud", "effect": "NoSchedule"}
    assert node["spec"] == {"taints": [taint]}
    assert node["metadata"]["annotations"][IDENTITY_ANNOTATION] == "cluster-a/vk"
    assert "volumes.kubernetes.io/controller-managed-attach-detach" not in node["metadata"]["annotations"]
    assert node_object(replace(SPEC, taints=()), now=NOW)["spec"] == {}


def test_ownership():
    """N10"""
    assert is_ours(stored(), SPEC)
    assert not is_ours(stored(replace(SPEC, identity="cluster-b/vk")), SPEC)
    real = stored()
    del real["metadata"]["annotations"]
    assert not is_ours(real, SPEC)
    assert metadata_patch(real, SPEC) is None
    assert metadata_patch(real, SPEC, adopt=True) == {
        "metadata": {"annotations": {IDENTITY_ANNOTATION: "cluster-a/vk"}}
    }


def test_resources():
    """N11"""
    status = node_status(replace(SPEC, allocatable={"pods": "490"}), previous=None, now=NOW, cloud=UP)
    assert status["capacity"]["pods"] == "500"
    assert status["allocatable"] == {**SPEC.capacity, "pods": "490"}


@pytest.mark.parametrize(
    ("type_", "status", "reason", "message"),
    [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("CloudAPIAvailable", "True", "CloudAPIAnswers", ""),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ],
)
def test_conditions(type_, status, reason, message):
    """N12"""
    got = node_status(SPEC, previous=None, now=NOW, cloud=UP)
    assert got["conditions"][-1]["type"] == "Ready"
    assert condition(got, type_) == {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": NOW,
        "lastTransitionTime": NOW,
    }


def test_a_cloud_outage_is_not_the_nodes():
    """N24"""
    down = CloudHealth(False, "CloudAPIDenied", "the access key is unknown")
    got = node_status(SPEC, previous=stored(), now=LATER, cloud=down)
    assert condition(got, "Ready")["status"] == "True"
    told = condition(got, "CloudAPIAvailable")
    assert (told["status"], told["reason"], told["message"]) == ("False", "CloudAPIDenied", "the access key is unknown")
    assert condition(node_status(SPEC, previous=None, now=NOW, cloud=CloudHealth(None)), "CloudAPIAvailable")[
        "status"
    ] == ("Unknown")


@pytest.mark.parametrize("cloud", [UP, CloudHealth(False, "CloudAPIDenied", "the access key is unknown")])
def test_a_restart_is_no_news_of_the_cloud(cloud):
    """N27: until the new process has tried for itself, what the last one found stays, with its time."""
    node = {**stored(), "status": node_status(SPEC, previous=stored(), now=NOW, cloud=cloud)}
    restarted = node_status(SPEC, previous=node, now=LATER, cloud=CloudHealth(None))
    assert condition(restarted, "CloudAPIAvailable") == {
        **condition(node["status"], "CloudAPIAvailable"),
        "lastHeartbeatTime": LATER,
    }
    assert not differs(node, restarted)


def test_faults_make_it_not_ready():
    """N12"""
    got = node_status(SPEC, previous=stored(), now=LATER, cloud=UP, faults=["no port", "no certificate"])
    ready = condition(got, "Ready")
    assert (ready["status"], ready["reason"], ready["message"]) == (
        "False",
        "KubeletNotReady",
        "no port; no certificate",
    )
    assert ready["lastTransitionTime"] == LATER


def test_transition_and_heartbeat():
    """N14"""
    ready = condition(node_status(SPEC, previous=stored(), now=LATER, cloud=UP), "Ready")
    assert (ready["lastTransitionTime"], ready["lastHeartbeatTime"]) == (NOW, LATER)


@pytest.mark.parametrize(
    ("addresses", "hostname", "expected"),
    [
        (("10.0.0.7",), "", [("InternalIP", "10.0.0.7"), ("Hostname", "10.0.0.7")]),
        (("10.0.0.7",), "vk.corp", [("InternalIP", "10.0.0.7"), ("Hostname", "vk.corp")]),
        (
            ("10.0.0.7", "fd00::7"),
            "",
            [("InternalIP", "10.0.0.7"), ("InternalIP", "fd00::7"), ("Hostname", "10.0.0.7")],
        ),
        ((), "", []),
    ],
)
def test_addresses(addresses, hostname, expected):
    """N15"""
    spec = replace(SPEC, addresses=addresses, hostname=hostname)
    got = node_status(spec, previous=None, now=NOW, cloud=UP)["addresses"]
    assert [(each["type"], each["address"]) for each in got] == expected


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("v1.20.15", "v1.20.15-vk-provider"),
        ("v1.20.15+k3s1", "v1.20.15-vk-provider"),
        ("v1.29.3-eks-adc7111", "v1.29.3-vk-provider"),
        ("1.36.0", "v1.36.0-vk-provider"),
        ("", "v1.20.0-vk-provider"),
    ],
)
def test_kubelet_version(server, expected):
    """N17"""
    assert kubelet_version(server) == expected


def test_node_info_and_port():
    """N16, N17"""
    status = node_status(SPEC, previous=None, now=NOW, cloud=UP)
    assert status["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 10250}}
    info = status["nodeInfo"]
    assert set(info) == {
        "machineID",
        "systemUUID",
        "bootID",
        "kernelVersion",
        "osImage",
        "containerRuntimeVersion",
        "kubeletVersion",
        "kubeProxyVersion",
        "operatingSystem",
        "architecture",
    }
    assert info["kubeProxyVersion"] == ""
    assert info["containerRuntimeVersion"].split("://")[0] == "eci"
    assert info["bootID"] == node_status(SPEC, previous=None, now=LATER, cloud=UP)["nodeInfo"]["bootID"]
    other = node_status(replace(SPEC, name="vk-2"), previous=None, now=NOW, cloud=UP)["nodeInfo"]
    assert len({info["machineID"], info["systemUUID"], info["bootID"], other["bootID"]}) == 4


# --- patches ---


def test_nothing_but_heartbeats():
    """N20"""
    node = stored()
    desired = node_status(SPEC, previous=node, now=LATER, cloud=UP)
    assert not differs(node, desired)
    body = status_patch(node, desired)
    assert set(body) == {"status"}
    assert set(body["status"]) == {"conditions"}
    assert len(body["status"]["conditions"]) == 5
    beaten = merged(node, body)
    assert status_patch(beaten, node_status(SPEC, previous=beaten, now=LATER, cloud=UP)) is None


@pytest.mark.parametrize(
    ("spec", "cloud", "field"),
    [
        pytest.param(replace(SPEC, addresses=("10.0.0.8",)), UP, "addresses", id="address"),
        pytest.param(replace(SPEC, kubelet_port=10251), UP, "daemonEndpoints", id="port"),
        pytest.param(replace(SPEC, server_version="v1.21.0"), UP, "nodeInfo", id="version"),
        pytest.param(replace(SPEC, capacity={**SPEC.capacity, "pods": "9"}), UP, "capacity", id="capacity"),
        pytest.param(SPEC, CloudHealth(False, "Down", "m"), "conditions", id="cloud"),
    ],
)
def test_changes_are_written_and_then_quiet(spec, cloud, field):
    """N19, N20"""
    node = stored()
    desired = node_status(spec, previous=node, now=LATER, cloud=cloud)
    assert differs(node, desired)
    body = status_patch(node, desired)
    assert field in body["status"]
    after = merged(node, body)
    again = node_status(spec, previous=after, now=LATER, cloud=cloud)
    assert not differs(after, again)
    assert status_patch(after, again) is None
    assert after["status"]["addresses"] == desired["addresses"]


def test_what_others_wrote_stays():
    """N2, N13"""
    node = stored()
    body = status_patch(node, node_status(replace(SPEC, addresses=("10.0.0.8",)), previous=node, now=LATER, cloud=UP))
    assert set(body) <= {"metadata", "status"}
    assert "corp/fpga" not in body["status"].get("capacity", {})
    after = merged(node, body)
    assert condition(after["status"], "NetworkUnavailable")["reason"] == "RouteCreated"
    assert after["status"]["capacity"]["corp/fpga"] == "2"


def test_the_controllers_verdict_is_corrected_with_a_new_transition():
    """a.4: the node lifecycle controller says Unknown; we are alive."""
    node = stored()
    condition(node["status"], "Ready").update(status="Unknown", reason="NodeStatusUnknown")
    desired = node_status(SPEC, previous=node, now=LATER, cloud=UP)
    assert differs(node, desired)
    assert condition(desired, "Ready")["lastTransitionTime"] == LATER


def test_a_condition_that_says_otherwise_and_holds_as_before_keeps_its_transition():
    node = stored()
    ready = condition(node["status"], "Ready")
    ready.update(message="as another version of us said it")
    body = status_patch(node, node_status(SPEC, previous=None, now=LATER, cloud=UP))
    assert condition(body["status"], "Ready")["lastTransitionTime"] == ready["lastTransitionTime"] != LATER


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, ""),
        ({"daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}, ""),
        (
            {
                "addresses": [{"address": "10.0.0.2"}, {"address": "10.0.0.1"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            },
            "10.0.0.1,10.0.0.2:10250",
        ),
    ],
)
def test_where_callers_of_the_kubelet_are_sent(status, expected):
    assert announced_at({"status": status}) == expected


def test_a_resource_of_ours_that_is_no_longer_configured_goes():
    gpu = replace(SPEC, capacity={**SPEC.capacity, "nvidia.com/gpu": "4"})
    node = stored(gpu)
    body = status_patch(node, node_status(SPEC, previous=node, now=LATER, cloud=UP))
    assert body["status"]["capacity"] == {"nvidia.com/gpu": None}
    after = merged(node, body)
    assert "nvidia.com/gpu" not in after["status"]["allocatable"]
    assert not differs(after, node_status(SPEC, previous=after, now=LATER, cloud=UP))


def test_default_labels_are_put_right_and_no_others():
    """N1, N2"""
    node = stored()
    assert metadata_patch(node, SPEC) is None
    node["metadata"]["labels"] |= {"kubernetes.io/arch": "arm64", "team": "web"}
    del node["metadata"]["labels"]["kubernetes.io/hostname"]
    node["spec"]["taints"] = []
    assert metadata_patch(node, SPEC) == {
        "metadata": {"labels": {"kubernetes.io/arch": "amd64", "kubernetes.io/hostname": "virtual-kubelet"}}
    }


def test_a_node_that_lost_its_status_gets_all_of_it():
    node = stored()
    node["status"] = {}
    body = status_patch(node, node_status(SPEC, previous=node, now=LATER, cloud=UP))
    assert body["status"]["addresses"] == [
        {"type": "InternalIP", "address": "10.0.0.7"},
        {"type": "Hostname", "address": "10.0.0.7"},
    ]
    assert not differs(merged(node, body), node_status(SPEC, previous=node, now=LATER, cloud=UP))


def test_what_a_server_may_not_keep_is_sent_along_and_is_no_reason_to_write():
    node = stored()
    del node["status"]["declaredFeatures"]
    desired = node_status(SPEC, previous=node, now=NOW, cloud=UP)
    assert status_patch(node, desired) is None
    later = node_status(SPEC, previous=node, now=LATER, cloud=UP)
    assert status_patch(node, later)["status"]["declaredFeatures"] == ["ExtendWebSocketsToKubelet"]
    assert not differs(node, later)
