"""Unmodified official SDKs against the fake: what works, and the code of each thing that does not."""

import asyncio
import base64
import json
import time

import aiohttp
import pytest
from alibabacloud_eci20180808 import models
from alibabacloud_eci20180808.client import Client
from alibabacloud_tea_openapi.models import Config
from aliyunsdkcore.acs_exception.exceptions import ClientException, ServerException
from aliyunsdkcore.auth.credentials import StsTokenCredential
from aliyunsdkeci.request.v20180808.CreateContainerGroupRequest import CreateContainerGroupRequest
from aliyunsdkeci.request.v20180808.DeleteContainerGroupRequest import DeleteContainerGroupRequest
from aliyunsdkeci.request.v20180808.DescribeContainerGroupsRequest import DescribeContainerGroupsRequest
from aliyunsdkeci.request.v20180808.DescribeContainerGroupStatusRequest import DescribeContainerGroupStatusRequest
from aliyunsdkeci.request.v20180808.DescribeContainerLogRequest import DescribeContainerLogRequest
from Tea.exceptions import TeaException

from fakes.cloud.errors import ApiError
from fakes.cloud.limits import PER_MINUTE, RateLimits
from fakes.cloud.signature import rpc_signature, rpc_string_to_sign
from tests.fakes.cloud.sdk import Acs

SCENARIO = '[[rule]]\npull_s = 0\nduration_s = 1e9\nlog_lines = ["hello {n}", "bye"]'


def create_request(name="default-web", **more):
    request = CreateContainerGroupRequest()
    request.set_ContainerGroupName(name)
    request.set_RestartPolicy("Never")
    request.set_Containers([{"Name": "main", "Image": "nginx", "EnvironmentVars": [{"Key": "A"}]}])
    request.set_Tags([{"Key": "node", "Value": "vk 1"}])
    for key, value in more.items():
        request.add_query_param(key.replace("__", "."), value)
    return request


async def test_the_older_sdk_creates_lists_reads_and_deletes(start):
    cloud = await start(scenario=SCENARIO)
    acs = Acs(cloud.endpoint)
    ids = [(await acs.call(create_request(f"web-{n}")))["ContainerGroupId"] for n in range(22)]
    await acs.until(ids[-1], "Running")
    listing = DescribeContainerGroupsRequest()
    listing.set_Tags([{"Key": "node", "Value": "vk 1"}])
    listing.set_Limit(20)
    first = await acs.call(listing)
    listing.set_NextToken(first["NextToken"])
    second = await acs.call(listing)
    names = [item["ContainerGroupId"] for page in (first, second) for item in page["ContainerGroups"]]
    assert (names, first["TotalCount"], second["NextToken"]) == (ids, 22, "")
    status = DescribeContainerGroupStatusRequest()
    status.set_SinceSecond(60)
    status.set_Limit(200)
    data = (await acs.call(status))["Data"]
    assert {item["podStatus"]["phase"] for item in data} == {"Running"}
    log = DescribeContainerLogRequest()
    log.set_ContainerGroupId(ids[0])
    log.set_ContainerName("main")
    answer = await acs.call(log)
    assert (answer["ContainerName"], answer["Content"]) == ("main", "hello 0\nbye\n")
    delete = DeleteContainerGroupRequest()
    delete.set_ContainerGroupId(ids[0])
    assert set(await acs.call(delete)) == {"RequestId"}
    assert await acs.until(ids[0], None) is None


@pytest.mark.parametrize("algorithm", ["ACS3-HMAC-SHA256", "v2"])
@pytest.mark.parametrize("token", [None, "token-1"])
async def test_the_newer_sdk_by_both_signatures_with_and_without_sts(start, algorithm, token):
    cloud = await start(scenario=SCENARIO)
    if token:
        body = {"access_key_id": "STS.1", "access_key_secret": "s", "security_token": token}
        async with aiohttp.ClientSession() as session:
            await session.post(f"{cloud.endpoint}/_admin/credentials", json=body)
    config = Config(
        access_key_id="STS.1" if token else "testid",
        access_key_secret="s" if token else "testsecret",
        security_token=token,
        endpoint=cloud.endpoint.removeprefix("http://"),
        protocol="http",
        signature_algorithm=algorithm,
    )
    client = Client(config)
    container = models.CreateContainerGroupRequestContainer(name="main", image="nginx")
    request = models.CreateContainerGroupRequest(
        region_id="cn-hangzhou", container_group_name="default-web", restart_policy="Never", container=[container]
    )
    group_id = (await asyncio.to_thread(client.create_container_group, request)).body.container_group_id
    status = models.DescribeContainerGroupStatusRequest(region_id="cn-hangzhou", limit=200)
    async with asyncio.timeout(60):
        while True:
            data = (await asyncio.to_thread(client.describe_container_group_status, status)).body.data[0]
            if data.status == "Running":
                break
    assert data.container_group_id == group_id
    assert data.pod_status.container_statuses[0].state.running.started_atstarted_at.endswith("Z")
    assert data.pod_status.pod_ip.startswith("10.64.")
    listed = models.DescribeContainerGroupsRequest(region_id="cn-hangzhou", with_event=True)
    group = (await asyncio.to_thread(client.describe_container_groups, listed)).body.container_groups[0]
    assert [event.reason for event in group.events] == ["Pulling", "Pulled", "Created", "Started"]
    log = models.DescribeContainerLogRequest(
        region_id="cn-hangzhou", container_group_id=group_id, container_name="main", tail=1
    )
    assert (await asyncio.to_thread(client.describe_container_log, log)).body.content == "bye\n"
    delete = models.DeleteContainerGroupRequest(region_id="cn-hangzhou", container_group_id=group_id)
    await asyncio.to_thread(client.delete_container_group, delete)
    unknown = models.DeleteContainerGroupRequest(region_id="cn-hangzhou", container_group_id="eci-unknown")
    with pytest.raises(TeaException) as caught:
        await asyncio.to_thread(client.delete_container_group, unknown)
    assert caught.value.code == "InvalidParameter.NotFound"


async def test_sts_by_the_older_sdk(start):
    cloud = await start(scenario=SCENARIO)
    body = {"access_key_id": "STS.1", "access_key_secret": "s", "security_token": "token-1"}
    async with aiohttp.ClientSession() as session:
        await session.post(f"{cloud.endpoint}/_admin/credentials", json=body)
    good = Acs(cloud.endpoint, credential=StsTokenCredential("STS.1", "s", "token-1"))
    assert (await good.action("ListUsage"))["Attributes"]["UsedCpu"] == 0
    bad = Acs(cloud.endpoint, credential=StsTokenCredential("STS.1", "s", "token-2"))
    with pytest.raises(ServerException) as caught:
        await bad.action("ListUsage")
    assert caught.value.get_error_code() == "InvalidSecurityToken.MismatchWithAccessKey"


@pytest.mark.parametrize(
    ("action", "parameters", "code", "status"),
    [
        pytest.param("CreateEverything", {}, "InvalidAction.NotFound", 404, id="unknown action"),
        pytest.param("ListUsage", {"version": "2014-05-26"}, "InvalidVersion", 400, id="unknown version"),
        pytest.param(
            "DeleteContainerGroup", {"ContainerGroupId": "eci-x"}, "InvalidParameter.NotFound", 404, id="unknown id"
        ),
        pytest.param("DeleteContainerGroup", {}, "MissingParameter", 400, id="no id"),
        pytest.param(
            "DescribeContainerLog",
            {"ContainerGroupId": "eci-x", "ContainerName": "c"},
            "InvalidParameter.NotFound",
            404,
            id="log of an unknown id",
        ),
        pytest.param(
            "CreateContainerGroup",
            {
                "ContainerGroupName": "web",
                "Container__1__Name": "c",
                "Container__1__Image": "i",
                "Cpu": "3",
                "Memory": "6",
            },
            "InvalidParameter.CPU.Memory",
            400,
            id="bad size",
        ),
    ],
)
async def test_refusals_by_code(start, action, parameters, code, status):
    acs = Acs((await start()).endpoint)
    with pytest.raises(ServerException) as caught:
        await acs.action(action, **parameters)
    error = caught.value
    assert (error.get_error_code(), error.get_http_status()) == (code, status)
    assert len(error.get_request_id()) == 36


async def test_a_wrong_secret_as_the_older_sdk_reports_it(start):
    cloud = await start()
    with pytest.raises((ServerException, ClientException)) as caught:
        await Acs(cloud.endpoint, secret="wrong").action("ListUsage")
    assert caught.value.get_error_code() in ("InvalidAccessKeySecret", "SignatureDoesNotMatch")
    with pytest.raises(ServerException) as caught:
        await Acs(cloud.endpoint, key="nobody").action("ListUsage")
    assert caught.value.get_error_code() == "InvalidAccessKeyId.NotFound"


async def raw(cloud, *, secret="testsecret", method="GET", form=False, **changes):
    """One signed call by hand; the answer's status and body."""
    pairs = {
        "Action": "ListUsage",
        "RegionId": "cn-hangzhou",
        "Version": "2018-08-08",
        "Format": "JSON",
        "AccessKeyId": "testid",
        "SignatureMethod": "HMAC-SHA1",
        "SignatureVersion": "1.0",
        "SignatureNonce": str(time.perf_counter_ns()),
        "Timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **changes,
    }
    pairs["Signature"] = rpc_signature(secret, rpc_string_to_sign(method, list(pairs.items())))
    async with aiohttp.ClientSession() as session:
        place = {"data": pairs} if form else {"params": pairs}
        async with session.request(method, f"{cloud.endpoint}/", **place) as response:
            return response.status, await response.json()


async def test_nonce_timestamp_and_form(start):
    cloud = await start()
    assert (await raw(cloud))[0] == 200
    assert (await raw(cloud, method="POST"))[0] == 200
    assert (await raw(cloud, method="POST", form=True))[0] == 200
    assert (await raw(cloud, SignatureNonce="once"))[0] == 200
    status, body = await raw(cloud, SignatureNonce="once")
    assert (status, body["Code"]) == (400, "SignatureNonceUsed")
    status, body = await raw(cloud, Timestamp="2024-01-02T03:04:05Z")
    assert (status, body["Code"]) == (400, "InvalidTimeStamp.Expired")
    assert set(body) == {"RequestId", "HostId", "Code", "Message", "Recommend"}
    status, body = await raw(cloud, Action="")
    assert (status, body["Code"]) == (400, "MissingParameter")


async def test_quota_and_rate_limit(start):
    cloud = await start(quota_cpu=2)
    acs = Acs(cloud.endpoint)
    await acs.call(create_request())
    with pytest.raises(ServerException) as caught:
        await acs.call(create_request())
    assert (caught.value.get_error_code(), caught.value.get_http_status()) == ("QuotaExceeded", 403)
    for _ in range(PER_MINUTE["DescribeContainerLog"]):
        cloud.server.limits.take("testid", "DescribeContainerLog", time.monotonic())
    status, body = await raw(cloud, Action="DescribeContainerLog")
    assert (status, body["Code"]) == (400, "Throttling")
    assert (await raw(cloud))[0] == 200, "each API has its own limit"


def test_a_minute_s_calls():
    limits = RateLimits()
    for _ in range(500):
        limits.take("key", "DescribeContainerLog", 100.0)
    limits.take("other key", "DescribeContainerLog", 100.0)
    with pytest.raises(ApiError, match="Throttling"):
        limits.take("key", "DescribeContainerLog", 159.9)
    limits.take("key", "DescribeContainerLog", 160.0)
    RateLimits(enabled=False).take("key", "DescribeContainerLog", 100.0)


async def test_a_request_line_of_several_hundred_kilobytes_and_the_same_as_a_form(start):
    cloud = await start(scenario=SCENARIO)
    acs = Acs(cloud.endpoint)
    content = base64.b64encode(b"x" * 32_000).decode()
    files = {"Volume.1.Name": "v", "Volume.1.Type": "ConfigFileVolume"}
    for number in range(1, 11):
        files[f"Volume.1.ConfigFileVolume.ConfigFileToPath.{number}.Path"] = f"f{number}"
        files[f"Volume.1.ConfigFileVolume.ConfigFileToPath.{number}.Content"] = content
    request = create_request(**files)
    assert (await acs.call(request))["ContainerGroupId"].startswith("eci-")
    request = create_request()
    request.set_method("POST")
    for name, value in files.items():
        request.add_body_params(name, value)
    group = await acs.group((await acs.call(request))["ContainerGroupId"])
    assert len(group["Volumes"][0]["ConfigFileVolumeConfigFileToPaths"]) == 10


async def test_delete_many(start):
    cloud = await start(scenario=SCENARIO)
    acs = Acs(cloud.endpoint)
    known = (await acs.call(create_request()))["ContainerGroupId"]
    answer = await acs.action("DeleteContainerGroups", ContainerGroupIds=json.dumps([known, "eci-unknown"]))
    codes = {item["ContainerGroupId"]: item["Code"] for item in answer["InstanceResponseSet"]}
    assert codes == {known: "", "eci-unknown": "InvalidParameter.NotFound"}


async def test_client_token_over_the_wire(start):
    cloud = await start(scenario=SCENARIO)
    acs = Acs(cloud.endpoint)
    first = (await acs.call(create_request(ClientToken="uid-1")))["ContainerGroupId"]
    assert (await acs.call(create_request(ClientToken="uid-1")))["ContainerGroupId"] == first
    with pytest.raises(ServerException) as caught:
        await acs.call(create_request("other", ClientToken="uid-1"))
    assert caught.value.get_error_code() == "IdempotentParameterMismatch"
