"""`vk-provider doctor` names each planted fault with what to do about it, and nothing where all is well."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from tests import published
from vk_provider.cloud.base import Finding, Verdict
from vk_provider.commands import checks, doctor
from vk_provider.commands.terminal import Style
from vk_provider.config import Config, parse
from vk_provider.errors import CloudUnavailable, KubeUnavailable, NotFound
from vk_provider.kube import paths
from vk_provider.snapshot.document import Check, CloudState, Instances, Leadership, Queue

from .world import (
    CLUSTER,
    LEASE,
    LOG,
    NODE,
    NOW,
    SNAPSHOT,
    Api,
    Eci,
    a_node,
    a_snapshot,
    a_summary,
    plain,
    refused,
    stamp,
)

Plant = Callable[[Api, Eci], None]


def settings(**flags: str) -> Config:
    return parse(flags={"node_name": NODE, **flags}, env={}, with_cloud=False)


async def examine(api: Api, cloud: Eci, config: Config | None = None) -> list[Finding]:
    return list(await doctor.examined(api, cloud, config or settings(), cluster=CLUSTER, now=NOW))


def api(path: str, answer: object) -> Plant:
    return lambda server, _: server.answers.__setitem__(path, answer)


def shot(**more: object) -> Plant:
    return api(SNAPSHOT, plain(a_snapshot(**more)))


def eci(action: str, answer: object) -> Plant:
    return lambda _, cloud: cloud.answers.__setitem__(action, answer)


def deny(right: str) -> Plant:
    return lambda server, _: server.denied.add(right)


def clock_off(server: Api, _: Eci) -> None:
    server.time = NOW - timedelta(minutes=10)


def only_one_vswitch_is_bad(_: Api, cloud: Eci) -> None:
    object.__setattr__(cloud.settings, "vswitch_ids", ["vsw-a", "vsw-bad"])
    bad = ("InvalidVSwitchId.NotFound", 404)
    cloud.answers["CreateContainerGroup"] = lambda asked: bad if asked.query["VSwitchId"] == "vsw-bad" else {}


def sold_out(_: Api, cloud: Eci) -> None:
    text = json.dumps(cloud.answers["DescribeAvailableResource"]).replace("WithStock", "WithoutStock")
    cloud.answers["DescribeAvailableResource"] = json.loads(text)


POLICY = checks.POLICY_PATH
FAULTS = [
    pytest.param(api(paths.VERSION, KubeUnavailable("refused")), "API server", "does not answer", "--kubeconfig",
                 id="API server unreachable"),
    pytest.param(api(paths.VERSION, refused(401, "Unauthorized")), "API server", "does not know us", "credentials",
                 id="kubeconfig's credentials are old"),
    pytest.param(clock_off, "clock", "10m ahead", "NTP", id="clock"),
    pytest.param(deny("patch pods/status"), "permissions", "patch pods/status: pods stay Pending", "ClusterRole",
                 id="a right is missing"),
    pytest.param(api(paths.node(NODE), NotFound("x", status=404)), "node", "there is no node", "vk-provider run",
                 id="no node"),
    pytest.param(api(paths.node(NODE), a_node(identity="")), "node", "not one of ours", "--node-name",
                 id="somebody else's node"),
    pytest.param(api(paths.node(NODE), a_node(identity="other/virtual-kubelet")), "node", "not one of ours",
                 "--adopt-node", id="another cluster's node"),
    pytest.param(api(paths.node(NODE), a_node(ready="False")), "node", "NotReady", "log", id="node NotReady"),
    pytest.param(api(paths.node(NODE), a_node(own="False")), "node", "lease has not been renewed", "log",
                 id="provider not healthy"),
    pytest.param(api(LEASE, {"spec": {"renewTime": stamp(NOW - timedelta(minutes=9))}}), "heartbeat", "9m ago",
                 "provider runs", id="heart has stopped"),
    pytest.param(api(SNAPSHOT, refused(503, "dial tcp 10.1.2.3:10250: i/o timeout")), "kubelet API", "i/o timeout",
                 "--kubelet-port", id="kubelet port unreachable"),
    pytest.param(api(SNAPSHOT, NotFound("x", status=404)), "kubelet API", "no provider of ours", "--node-ip",
                 id="another kubelet answers at its address"),
    pytest.param(api(LOG, refused(500, "x509: certificate signed by unknown authority")), "logs", "x509",
                 "trust its certificate", id="logs do not come"),
    pytest.param(shot(certificate_expires_at=stamp(NOW - timedelta(days=1))), "serving certificate", "it ended",
                 "kubectl get csr", id="certificate ended"),
    pytest.param(shot(checks=(Check(name="syncloop", is_healthy=False, message="403 for the pods", age_s=90.0),)),
                 "health: syncloop", "403", "log", id="a loop fails"),
    pytest.param(shot(cloud=CloudState(name="eci", region="", is_healthy=False, reason="CloudAPIDenied")),
                 "cloud, as the provider sees it", "CloudAPIDenied", "cloud checks", id="the provider's cloud fails"),
    pytest.param(shot(leadership=Leadership(is_leader=False, lease="vk-provider/leader")), "leadership", "no replica",
                 "get lease leader", id="nobody leads"),
    pytest.param(api(checks.BINDING_PATH, NotFound("x", status=404)), "injection", "no binding", "policy.yaml",
                 id="policy without a binding"),
    pytest.param(eci("DescribeContainerGroups", CloudUnavailable("no route")), "cloud endpoint", "no route",
                 "--eci-endpoint", id="cloud unreachable"),
    pytest.param(eci("DescribeContainerGroups", ("InvalidAccessKeyId.NotFound", 404)), "cloud credentials",
                 "InvalidAccessKeyId", "--eci-access-key", id="unknown access key"),
    pytest.param(eci("DescribeContainerGroups", ("SignatureDoesNotMatch", 400)), "cloud credentials",
                 "SignatureDoesNotMatch", "--eci-secret-key", id="wrong secret"),
    pytest.param(eci("DescribeContainerGroups", ("InvalidTimeStamp.Expired", 400)), "cloud credentials",
                 "InvalidTimeStamp", "NTP", id="clock off toward the cloud"),
    pytest.param(eci("CreateContainerGroup", ("Forbidden.RAM", 403)), "right to create", "Forbidden.RAM", "eci:",
                 id="no right to create"),
    pytest.param(eci("CreateContainerGroup", ("InvalidVSwitchId.NotFound", 404)), "vSwitch", "vsw-a",
                 "--eci-vswitch", id="no such vSwitch"),
    pytest.param(only_one_vswitch_is_bad, "vSwitch", "vsw-bad", "--eci-vswitch", id="one of two vSwitches"),
    pytest.param(eci("CreateContainerGroup", ("InvalidVSwitchId.IpNotEnough", 403)), "vSwitch", "IpNotEnough",
                 "more addresses", id="vSwitch is full"),
    pytest.param(eci("CreateContainerGroup", ("OperationDenied.VswZoneMisMatch", 403)), "vSwitch", "VswZone",
                 "--eci-zone", id="vSwitch in another zone"),
    pytest.param(eci("CreateContainerGroup", ("OperationDenied.SecurityGroupMisMatch", 403)), "security group",
                 "SecurityGroup", "VPC", id="security group of another VPC"),
    pytest.param(eci("CreateContainerGroup", ("QuotaExceeded.ElasticContainerInstance", 403)), "quota",
                 "QuotaExceeded", "quota centre", id="quota refuses"),
    pytest.param(eci("ListUsage", {"Attributes": {"UsedCpu": 1000.0, "MaxCpu": 1000.0}}), "quota", "1000 of 1000",
                 "quota centre", id="quota used up"),
    pytest.param(sold_out, "stock", "sold out: 2-4", "other zones", id="sold out"),
]  # fmt: skip

WARNINGS = [
    pytest.param(shot(is_certificate_self_signed=True), "serving certificate", "self-signed", id="self-signed"),
    pytest.param(shot(certificate_expires_at=stamp(NOW + timedelta(days=2))), "serving certificate", "ends in",
                 id="certificate ends soon"),
    pytest.param(shot(instances=Instances(total=1, by_status={}, orphans=(a_summary(is_orphan=True),),
                                          orphans_total=1, orphans_deleted=0)), "orphans", "no pod", id="orphans"),
    pytest.param(shot(queue=Queue(depth=9, oldest_s=400.0, delayed=0, failing=9)), "queue", "400 s", id="queue"),
    pytest.param(api(POLICY, NotFound("x", status=404)), "injection", "nothing sends", id="no injection"),
    pytest.param(eci("ListUsage", {"Attributes": {"UsedCpu": 950.0, "MaxCpu": 1000.0}}), "quota", "950", id="nearly"),
    pytest.param(eci("ListUsage", ("Forbidden.RAM", 403)), "quota", "cannot be read", id="quota cannot be read"),
]  # fmt: skip


async def test_where_all_is_well_nothing_is_red() -> None:
    found = await examine(Api.healthy(), Eci.healthy())
    assert [each for each in found if each.verdict is not Verdict.OK and each.check != "DNS"] == []
    assert doctor.is_well(found)
    assert not [each for each in found if each.verdict is Verdict.OK and each.fix]


@pytest.mark.parametrize(("plant", "check", "message", "fix"), FAULTS)
async def test_a_planted_fault_is_named_with_its_fix(plant: Plant, check: str, message: str, fix: str) -> None:
    server, cloud = Api.healthy(), Eci.healthy()
    plant(server, cloud)
    found = await examine(server, cloud)
    red = {each.check: each for each in found if each.verdict is Verdict.FAILED}
    assert set(red) == {check}, [f"{each.check}: {each.message}" for each in red.values()]
    assert message in red[check].message
    assert fix in red[check].fix
    assert not doctor.is_well(found)


@pytest.mark.parametrize(("plant", "check", "message"), WARNINGS)
async def test_what_works_but_not_as_it_should_is_a_warning(plant: Plant, check: str, message: str) -> None:
    server, cloud = Api.healthy(), Eci.healthy()
    plant(server, cloud)
    found = await examine(server, cloud)
    yellow = {each.check: each for each in found if each.verdict is Verdict.WARNING and each.check != "DNS"}
    assert set(yellow) == {check}
    assert message in yellow[check].message
    assert yellow[check].fix
    assert doctor.is_well(found)


async def test_of_a_node_that_is_not_there_one_line_is_red_and_those_that_are_there_are_named() -> None:
    server = Api.healthy()
    for path in (paths.node(NODE), SNAPSHOT):
        server.answers[path] = NotFound("x", status=404)
    server.answers[paths.nodes()] = {"items": [{**a_node(), "metadata": {**a_node()["metadata"], "name": "vk-b"}}]}
    found = {each.check: each for each in await examine(server, Eci.healthy())}
    assert [name for name, each in found.items() if each.verdict is Verdict.FAILED] == ["node"]
    assert "here are vk-b" in found["node"].fix
    assert found["kubelet API"].verdict is Verdict.SKIPPED


async def test_every_check_that_is_not_well_says_what_to_do() -> None:
    for case in FAULTS:
        server, cloud = Api.healthy(), Eci.healthy()
        case.values[0](server, cloud)
        found = await examine(server, cloud)
        assert [
            each.check for each in found if each.verdict in (Verdict.FAILED, Verdict.WARNING) and not each.fix
        ] == []


async def test_no_part_of_a_secret_is_shown() -> None:
    found = await examine(Api.healthy(), Eci.healthy())
    [access] = [each for each in found if each.check == "cloud credentials"]
    assert "LTAI…LMN" in access.message
    assert "s3cr3t" not in doctor.as_json(found)
    assert "LTAI5tABCDEFGHIJKLMN" not in doctor.as_json(found)


async def test_the_dry_run_creates_nothing() -> None:
    cloud = Eci.healthy()
    await cloud.diagnose()
    creates = [each for each in cloud.calls if each.action == "CreateContainerGroup"]
    assert creates
    assert all(each.query["DryRun"] == "true" for each in creates)


class Resolver(asyncio.DatagramProtocol):
    """Answers every question with this code, and one answer where it is 0."""

    def __init__(self, code: int) -> None:
        self.code = code

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple) -> None:
        head = data[:2] + bytes([0x81, 0x80 | self.code]) + data[4:6] + (b"\0\1" if not self.code else b"\0\0")
        self.transport.sendto(head + data[8:], addr)


@pytest.mark.parametrize(("code", "known"), [(0, True), (3, False)])
async def test_a_resolver_is_asked_for_the_api_server(code: int, known: bool) -> None:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Resolver(code), local_addr=("127.0.0.1", 0)
    )
    try:
        port = transport.get_extra_info("sockname")[1]
        assert await checks._resolves("127.0.0.1", "kubernetes.default.svc.cluster.local", port) is known
    finally:
        transport.close()


async def test_in_80_columns_no_line_is_longer_and_nothing_steers_the_terminal() -> None:
    server = Api.healthy()
    server.answers[LOG] = refused(500, "bad\x1b[2J\nword " * 40)
    found = await examine(server, Eci.healthy())
    text = doctor.text(found, Style(width=80))
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    document = published.document("doctor", doctor.as_json(found))
    assert document["version"] == 1
    assert document["isWell"] is False
    assert {tuple(each) for each in document["findings"]} == {("check", "verdict", "message", "fix")}
