"""Users, rights, kernel settings, hosts and last words, in ECI's own parameters."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.cloud.workloads import BARE, NOTHING_ASKED
from vk_provider.cloud.eci import request
from vk_provider.errors import UnsupportedPod
from vk_provider.model.security import Security
from vk_provider.model.workload import Container, Dns, HostAlias, Workload


def told(workload: Workload) -> dict[str, str]:
    """What this workload says beyond one that says nothing."""
    plain, _ = request.create(NOTHING_ASKED, BARE)
    asked, _ = request.create(workload, BARE)
    return dict(sorted({**asked.query, **asked.body}.items() - {**plain.query, **plain.body}.items()))


def container(**changed: object) -> Workload:
    return replace(NOTHING_ASKED, containers=(replace(NOTHING_ASKED.containers[0], **changed),))


SECURITY = Security(1000, 0, run_as_non_root=True, read_only_root=True, added_capabilities=("NET_ADMIN", "NET_RAW"))


@pytest.mark.parametrize(
    ("workload", "expected"),
    [
        pytest.param(
            container(security=SECURITY),
            {
                "Container.1.SecurityContext.Capability.Add.1": "NET_ADMIN",
                "Container.1.SecurityContext.Capability.Add.2": "NET_RAW",
                "Container.1.SecurityContext.ReadOnlyRootFilesystem": "true",
                "Container.1.SecurityContext.RunAsUser": "1000",
                "Container.1.SecurityContextRunAsGroup": "0",
                "Container.1.SecurityContextRunAsNonRoot": "true",
            },
            id="container",
        ),
        pytest.param(
            replace(NOTHING_ASKED, init_containers=(Container("i", "x", security=SECURITY),)),
            {
                "InitContainer.1.Image": "x",
                "InitContainer.1.Name": "i",
                "InitContainer.1.SecurityContext.Capability.Add.1": "NET_ADMIN",
                "InitContainer.1.SecurityContext.Capability.Add.2": "NET_RAW",
                "InitContainer.1.SecurityContext.ReadOnlyRootFilesystem": "true",
                "InitContainer.1.SecurityContext.RunAsUser": "1000",
            },
            id="an init container has fewer parameters",
        ),
        pytest.param(container(security=Security(0)), {"Container.1.SecurityContext.RunAsUser": "0"}, id="root"),
        pytest.param(
            container(termination_path="/last", termination_policy="FallbackToLogsOnError"),
            {
                "Container.1.TerminationMessagePath": "/last",
                "Container.1.TerminationMessagePolicy": "FallbackToLogsOnError",
            },
            id="last words",
        ),
        pytest.param(
            replace(NOTHING_ASKED, share_process_namespace=True), {"ShareProcessNamespace": "true"}, id="processes"
        ),
        pytest.param(
            replace(
                NOTHING_ASKED,
                sysctls=(("net.core.somaxconn", "9"), ("net.ipv4.ping_group_range", "0 1"), ("kernel.shmmax", "7")),
            ),
            {
                "HostSecurityContext.Sysctl.1.Name": "net.core.somaxconn",
                "HostSecurityContext.Sysctl.1.Value": "9",
                "HostSecurityContext.Sysctl.2.Name": "kernel.shmmax",
                "HostSecurityContext.Sysctl.2.Value": "7",
                "SecurityContext.Sysctl.1.Name": "net.ipv4.ping_group_range",
                "SecurityContext.Sysctl.1.Value": "0 1",
            },
            id="kernel settings, safe and other ones",
        ),
        pytest.param(
            replace(NOTHING_ASKED, host_aliases=(HostAlias("10.0.0.1", ("a", "b")), HostAlias("::1", ("c",)))),
            {
                "HostAliase.1.Hostname.1": "a",
                "HostAliase.1.Hostname.2": "b",
                "HostAliase.1.Ip": "10.0.0.1",
                "HostAliase.2.Hostname.1": "c",
                "HostAliase.2.Ip": "::1",
            },
            id="hosts",
        ),
    ],
)
def test_parameters(workload: Workload, expected: dict[str, str]) -> None:
    assert told(workload) == expected


def test_many_names_of_one_address_stand_in_several_lines_and_not_in_the_url() -> None:
    names = tuple(f"n{number}" for number in range(120))
    asked, _ = request.create(replace(NOTHING_ASKED, host_aliases=(HostAlias("10.0.0.1", names),)), BARE)
    assert [asked.body[f"HostAliase.{line}.Ip"] for line in (1, 2, 3)] == ["10.0.0.1"] * 3
    assert asked.body["HostAliase.3.Hostname.20"] == "n119"
    assert not any(name.startswith("HostAliase") for name in asked.query)


@pytest.mark.parametrize(
    ("workload", "field"),
    [
        (replace(NOTHING_ASKED, sysctls=(("kernel.shm_rmid_forced", "1"),)), "spec.securityContext.sysctls[0].name"),
        (replace(NOTHING_ASKED, sysctls=(("vm.swappiness", "1"),)), "spec.securityContext.sysctls[0].name"),
        (replace(NOTHING_ASKED, host_aliases=(HostAlias("10.0.0.1", ("a",)),) * 101), "spec.hostAliases"),
        (replace(NOTHING_ASKED, dns=Dns(("1.1.1.1",), tuple(map(str, range(21))))), "spec.dnsConfig.searches"),
    ],
)
def test_what_eci_cannot_take(workload: Workload, field: str) -> None:
    with pytest.raises(UnsupportedPod) as raised:
        request.create(workload, BARE)
    assert [refusal.field for refusal in raised.value.refusals] == [field]
