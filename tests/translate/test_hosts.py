"""What a pod's machine is called (S34) and which names it knows (S33)."""

from __future__ import annotations

from typing import Any

import pytest
from pod_cases import CONTEXT

from vk_provider.errors import PodNotReady
from vk_provider.model.workload import HostAlias, Workload
from vk_provider.translate.workload import Objects, build


def built(name: str = "p", **spec: Any) -> Workload:
    pod = {
        "metadata": {"name": name, "namespace": "ns", "uid": "u"},
        "spec": {"enableServiceLinks": False, "containers": [{"name": "c", "image": "x"}], **spec},
    }
    return build(pod, Objects(), CONTEXT)


FULL = {"subdomain": "b", "setHostnameAsFQDN": True}


@pytest.mark.parametrize(
    ("name", "spec", "expected"),
    [
        pytest.param("p", {}, "p", id="the pod's name"),
        pytest.param("p", {"hostname": "h"}, "h", id="its own"),
        pytest.param("a" * 62 + "-.b", {}, "a" * 62, id="cut to 63 and trimmed"),
        pytest.param("p", {"hostname": "h", "subdomain": "s"}, "h", id="a subdomain is the resolver's matter"),
        pytest.param("p", {"subdomain": "s", "setHostnameAsFQDN": True}, "p.s.ns.svc.cluster.local", id="full"),
        pytest.param("p", {"setHostnameAsFQDN": True}, "p", id="full without a domain"),
        pytest.param("a" * 41, FULL, "a" * 41 + ".b.ns.svc.cluster.local", id="64 characters fit"),
        pytest.param(
            "p", {"hostnameOverride": "x.example.com", "hostname": "h"}, "x.example.com", id="the override beats all"
        ),
    ],
)
def test_hostname(name: str, spec: dict[str, Any], expected: str) -> None:
    assert built(name, **spec).hostname == expected


def test_a_full_name_that_no_kernel_takes_keeps_the_pod_waiting() -> None:
    with pytest.raises(PodNotReady) as raised:
        built("a" * 42, **FULL)
    assert raised.value.event_reason == "FailedCreatePodSandBox"
    assert raised.value.waiting_reason == "ContainerCreating"
    assert "is too long (64 characters is the max, 65 characters requested)" in str(raised.value)


def test_host_aliases() -> None:
    aliases = [{"ip": "10.0.0.1", "hostnames": ["a", "b"]}, {"ip": "10.0.0.1", "hostnames": ["c"]}, {"ip": "::1"}]
    assert built(hostAliases=aliases).host_aliases == (
        HostAlias("10.0.0.1", ("a", "b")),
        HostAlias("10.0.0.1", ("c",)),
    )


def test_the_full_name_is_told_where_the_cloud_cannot_write_it_and_written_where_it_can() -> None:
    def told(workload: Workload) -> list[str]:
        return [each.message for each in workload.notices if each.reason == "FullNameNotInHosts"]

    (message,) = told(built(hostname="mpi-0", subdomain="workers"))
    assert "mpi-0.workers.ns.svc.cluster.local" in message
    assert told(built(hostname="mpi-0")) == []
    assert told(built(**FULL)) == [], "its host name is the full one, and the cloud writes that"
    pod = {
        "metadata": {
            "name": "p",
            "namespace": "ns",
            "annotations": {"k8s.aliyun.com/eci-private-ip-address": "10.0.0.7"},
        },
        "spec": {"containers": [{"name": "c", "image": "x"}], "hostname": "mpi-0", "subdomain": "workers"},
    }
    known = build(pod, Objects(), CONTEXT)
    assert told(known) == []
    alias = known.host_aliases[-1]
    assert (alias.ip, alias.hostnames) == ("10.0.0.7", ("mpi-0.workers.ns.svc.cluster.local", "mpi-0"))
