"""Resolver settings (S32) and host names (S34)."""

from __future__ import annotations

from typing import Any

import pytest
from pod_cases import CONTEXT

from vk_provider.errors import UnsupportedPod
from vk_provider.model.workload import Dns, Workload
from vk_provider.translate.workload import NodeContext, Objects, build

CLUSTER_FIRST = Dns(("10.96.0.10",), ("ns.svc.cluster.local", "svc.cluster.local", "cluster.local"), (("ndots", "5"),))
WITHOUT_DNS = NodeContext(cluster="c", node_name="n", node_ip="1.2.3.4")


def built(context: NodeContext = CONTEXT, name: str = "p", **spec: Any) -> Workload:
    pod = {
        "metadata": {"name": name, "namespace": "ns", "uid": "u"},
        "spec": {"containers": [{"name": "c", "image": "i"}], **spec},
    }
    return build(pod, Objects(), context)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, CLUSTER_FIRST),
        ({"dnsPolicy": "ClusterFirst"}, CLUSTER_FIRST),
        ({"dnsPolicy": "ClusterFirstWithHostNet"}, CLUSTER_FIRST),
        ({"dnsPolicy": "Default"}, None),
        ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"]}}, Dns(("1.1.1.1",))),
        (
            {"dnsConfig": {"options": [{"name": "ndots", "value": "1"}], "searches": ["a", "svc.cluster.local"]}},
            Dns(CLUSTER_FIRST.nameservers, (*CLUSTER_FIRST.searches, "a"), (("ndots", "1"),)),
        ),
    ],
)
def test_s32_policy(spec: dict[str, Any], expected: Dns | None) -> None:
    workload = built(**spec)
    assert (workload.dns, workload.notices) == (expected, ())


@pytest.mark.parametrize("policy", [None, "ClusterFirst"])
def test_s32_without_cluster_dns_the_clouds_resolver_serves_and_it_is_told(policy: str | None) -> None:
    workload = built(WITHOUT_DNS, dnsPolicy=policy)
    assert workload.dns is None
    (notice,) = workload.notices
    assert notice.reason == "MissingClusterDNS"
    assert 'cannot create Pod using "ClusterFirst" policy. Falling back to "Default" policy.' in notice.message


@pytest.mark.parametrize(("context", "policy"), [(WITHOUT_DNS, "ClusterFirst"), (CONTEXT, "Default")])
def test_s32_nothing_is_added_to_a_resolver_we_do_not_know(context: NodeContext, policy: str) -> None:
    with pytest.raises(UnsupportedPod) as raised:
        built(context, dnsPolicy=policy, dnsConfig={"searches": ["a"]})
    assert [refusal.field for refusal in raised.value.refusals] == ["spec.dnsConfig"]


def test_s32_policy_none_needs_a_name_server() -> None:
    with pytest.raises(UnsupportedPod) as raised:
        built(dnsPolicy="None", dnsConfig={"searches": ["a"]})
    assert [refusal.field for refusal in raised.value.refusals] == ["spec.dnsPolicy"]


@pytest.mark.parametrize(
    ("searches", "kept"),
    [([f"s{n}" for n in range(40)], 32), (["x" * 1023, "y" * 1024], 2), (["x" * 1024, "y" * 1024], 1)],
)
def test_s32_limits(searches: list[str], kept: int) -> None:
    workload = built(dnsPolicy="None", dnsConfig={"nameservers": ["1.1.1.1"], "searches": searches})
    assert workload.dns is not None
    assert list(workload.dns.searches) == searches[:kept]
    assert [notice.reason for notice in workload.notices] == ["DNSConfigForming"] * (kept < len(searches))


@pytest.mark.parametrize(
    ("name", "spec", "expected"),
    [
        ("p", {}, "p"),
        ("p", {"hostname": "h", "subdomain": "s"}, "h"),
        ("p" * 70, {}, "p" * 63),
        ("p" * 60 + "-.-x", {}, "p" * 60),
    ],
)
def test_s34_host_name(name: str, spec: dict[str, Any], expected: str) -> None:
    assert built(name=name, **spec).hostname == expected
