"""The transport against a small ECI: signing, errors by code, retries."""

from __future__ import annotations

import asyncio
import base64
import gc
import inspect
import json
import logging
import re
from dataclasses import replace

import pytest
import tenacity

from tests.cloud.conftest import Observed
from tests.cloud.eciserver import KEY, SECRET
from tests.cloud.workloads import EVERYTHING
from vk_provider.cloud.eci import calls, error_codes, request, update
from vk_provider.cloud.eci.credentials import ChainCredentials, Credentials, FixedCredentials
from vk_provider.errors import (
    CloudDenied,
    CloudRefused,
    CloudUnavailable,
    InstanceGone,
    OutOfCapacity,
    Throttled,
)
from vk_provider.model.workload import Container, File, RegistryCredential, Volume
from vk_provider.redaction import SecretBytes, SecretText

LIST = calls.describe_groups(limit=1)
ACTION = "DescribeContainerGroups"


@pytest.mark.parametrize(
    ("action", "code", "status", "expected"),
    [
        ("CreateContainerGroup", "InvalidAccessKeyId.NotFound", 404, CloudDenied),
        ("CreateContainerGroup", "InvalidAccessKeyId.Inactive", 403, CloudDenied),
        ("CreateContainerGroup", "SignatureDoesNotMatch", 400, CloudDenied),
        ("CreateContainerGroup", "IncompleteSignature", 400, CloudDenied),
        ("CreateContainerGroup", "InvalidTimeStamp.Expired", 400, CloudDenied),
        ("CreateContainerGroup", "InvalidSecurityToken.Malformed", 400, CloudDenied),
        ("CreateContainerGroup", "InvalidAction.NotFound", 404, CloudDenied),
        ("CreateContainerGroup", "Forbidden.RAM", 403, CloudDenied),
        ("CreateContainerGroup", "NoPermission", 403, CloudDenied),
        ("CreateContainerGroup", "Account.Arrearage", 400, CloudDenied),
        ("CreateContainerGroup", "InvalidPaymentMethod.InsufficientBalance", 400, CloudDenied),
        ("CreateContainerGroup", "Forbidden.OnlyForInvitedTest", 403, CloudRefused),
        ("CreateContainerGroup", "Throttling", 400, Throttled),
        ("CreateContainerGroup", "Throttling.User", 400, Throttled),
        ("CreateContainerGroup", "Throttling.Api", 429, Throttled),
        ("CreateContainerGroup", "Throttling.Vcpu.PerDay", 403, OutOfCapacity),
        ("CreateContainerGroup", "EipPurchaseFlowControl", 400, Throttled),
        ("CreateContainerGroup", "OperationDenied.NoStock", 403, OutOfCapacity),
        ("CreateContainerGroup", "Spot.NotMatched", 403, OutOfCapacity),
        ("CreateContainerGroup", "Zone.NotOnSale", 403, OutOfCapacity),
        ("CreateContainerGroup", "QuotaExceeded", 403, OutOfCapacity),
        ("CreateContainerGroup", "QuotaExceeded.Cpu", 403, OutOfCapacity),
        ("CreateContainerGroup", "InvalidVSwitchId.IpNotEnough", 403, OutOfCapacity),
        ("CreateContainerGroup", "InvalidParameter.CPU.Memory", 400, CloudRefused),
        ("CreateContainerGroup", "InvalidParameter.DuplicatedName", 400, CloudRefused),
        ("CreateContainerGroup", "InvalidParameter.NotFound", 404, CloudRefused),
        ("CreateContainerGroup", "IncorrectStatus", 400, CloudRefused),
        ("CreateContainerGroup", "OperationDenied.SecurityGroupMisMatch", 403, CloudRefused),
        ("CreateContainerGroup", "IdempotentParameterMismatch", 400, CloudRefused),
        ("CreateContainerGroup", "MadeUpTomorrow", 400, CloudRefused),
        ("CreateContainerGroup", "MadeUpTomorrow", 500, CloudUnavailable),
        ("CreateContainerGroup", "InternalError", 500, CloudUnavailable),
        ("CreateContainerGroup", "ServiceUnavailable", 503, CloudUnavailable),
        ("CreateContainerGroup", "", 404, CloudUnavailable),
        ("CreateContainerGroup", "", 403, CloudUnavailable),
        ("CreateContainerGroup", "", 429, Throttled),
        ("CreateContainerGroup", "", 502, CloudUnavailable),
        ("DeleteContainerGroup", "InvalidParameter.NotFound", 404, InstanceGone),
        ("DeleteContainerGroup", "InvalidContainerGroupId.NotFound", 404, InstanceGone),
        ("DeleteContainerGroup", "InvalidAccessKeyId.NotFound", 404, CloudDenied),
        ("DeleteContainerGroup", "InvalidAction.NotFound", 404, CloudDenied),
        ("DeleteContainerGroup", "IncorrectStatus", 400, CloudUnavailable),
        ("DeleteContainerGroup", "OperationConflict", 400, CloudUnavailable),
        ("DescribeContainerLog", "InvalidParameter.NotFound", 404, InstanceGone),
        ("RestartContainerGroup", "IncorrectStatus", 400, CloudRefused),
        ("RestartContainerGroup", "OperationConflict", 400, CloudUnavailable),
    ],
)
def test_error_classes(action, code, status, expected):
    assert error_codes.error_class(action, code, status) is expected


async def test_a_signed_call_is_answered(eci, make_client):
    observed = Observed()
    answer = await make_client(observe=observed).call(LIST)
    assert answer["TotalCount"] == 0
    assert observed == [(ACTION, "OK")]


async def test_query_and_body_are_signed_together(eci, make_client):
    client = make_client()
    asked, _ = request.create(EVERYTHING, client.settings)
    await client.call(asked)
    sent = eci.last("CreateContainerGroup")
    assert {**asked.query, **asked.body}.items() <= sent.items()


async def test_a_temporary_key_sends_its_token(eci, make_client):
    await make_client(credentials=FixedCredentials(Credentials(KEY, SECRET, "sts-token"))).call(LIST)
    assert eci.last(ACTION)["SecurityToken"] == "sts-token"


@pytest.mark.parametrize(
    ("key", "secret", "advice"),
    [("nobody", SECRET, "--eci-access-key / ECI_ACCESS_KEY"), (KEY, "wrong", "ECI_SECRET_KEY")],
)
async def test_wrong_keys_say_what_to_mend_and_are_not_tried_again(eci, make_client, key, secret, advice):
    with pytest.raises(CloudDenied, match=advice) as caught:
        await make_client(credentials=FixedCredentials(Credentials(key, secret))).call(LIST)
    assert caught.value.request_id == "req-fault"
    assert len(eci.calls) == 1


async def test_failures_of_the_cloud_are_tried_again_with_a_new_nonce_and_the_same_words(eci, make_client):
    eci.fail("CreateContainerGroup", 500, "InternalError")
    eci.fail("CreateContainerGroup", 400, "Throttling.User")
    eci.hang_up("CreateContainerGroup", after_acting=True)
    observed = Observed()
    client = make_client(observe=observed)
    asked, _ = request.create(EVERYTHING, client.settings)
    await client.call(asked)
    tries = [parameters for _, parameters in eci.calls]
    assert len({one["SignatureNonce"] for one in tries}) == 4
    assert len({one["ClientToken"] for one in tries}) == 1
    assert len(eci.groups) == 1
    assert [code for _, code in observed] == ["InternalError", "Throttling.User", "CloudUnavailable", "OK"]


CALLS = {
    "CreateContainerGroup": CloudRefused,
    "DeleteContainerGroup": InstanceGone,
    "UpdateContainerGroup": InstanceGone,
    "RestartContainerGroup": InstanceGone,
    "ExecContainerCommand": InstanceGone,
    "DescribeContainerLog": InstanceGone,
    "DescribeContainerGroups": CloudRefused,
    "DescribeContainerGroupStatus": CloudRefused,
    "DescribeContainerGroupEvents": CloudRefused,
    "DescribeContainerGroupPrice": CloudRefused,
    "DescribeMultiContainerGroupMetric": CloudRefused,
    "DescribeAvailableResource": CloudRefused,
    "ListUsage": CloudRefused,
}


@pytest.mark.parametrize("action", CALLS)
@pytest.mark.parametrize("code", ["InvalidParameter.NotFound", "InvalidContainerGroupId.NotFound"])
def test_of_which_calls_not_found_means_that_the_instance_is_gone(action, code):
    assert error_codes.error_class(action, code, 404) is CALLS[action]


def test_every_call_that_is_made_stands_in_the_table():
    source = "".join(map(inspect.getsource, (calls, request, update)))
    made = set(re.findall(r"= (\w+)Request\(\)", source)) | set(re.findall(r'action="(\w+)"', source))
    assert made == CALLS.keys() == error_codes.CALLS.keys()


@pytest.mark.parametrize("trickle", [False, True], ids=["nothing comes", "an answer that never ends"])
async def test_a_cloud_that_takes_calls_and_is_silent_is_heard_of_at_the_first_try(eci, make_client, trickle):
    eci.be_silent(ACTION, trickle=trickle)
    heard = []
    client = make_client(
        heard=lambda error, took_s: heard.append((error is None, took_s >= 0.1)),
        read_timeout_s=0.1,
        answer_timeout_s=0.1,
    )
    await client.call(LIST)
    assert heard[0] == (False, True)
    assert [answered for answered, _ in heard] == [False, True]


async def test_an_error_is_an_answer(eci, make_client):
    eci.fail("CreateContainerGroup", 500, "InternalError")
    eci.hang_up("CreateContainerGroup")
    heard = []
    client = make_client(heard=lambda error, took_s: heard.append(error is None))
    await client.call(request.create(EVERYTHING, client.settings)[0])
    assert heard == [True, False, True]


async def test_tries_are_bounded(eci, make_client):
    eci.fail(ACTION, 503, "ServiceUnavailable", times=9)
    with pytest.raises(CloudUnavailable, match="ServiceUnavailable"):
        await make_client(max_attempts=3).call(LIST)
    assert len(eci.calls) == 3


async def test_a_used_nonce_is_replaced(eci, make_client):
    eci.fail(ACTION, 400, "SignatureNonceUsed")
    await make_client().call(LIST)
    assert len(eci.calls) == 2


@pytest.mark.parametrize("code", ["OperationDenied.NoStock", "QuotaExceeded"])
async def test_missing_stock_is_not_asked_for_again_at_once(eci, make_client, code):
    eci.fail(ACTION, 403, code)
    with pytest.raises(OutOfCapacity):
        await make_client().call(LIST)
    assert len(eci.calls) == 1


async def test_asked_to_wait_long_the_caller_is_told(eci, make_client):
    eci.fail(ACTION, 429, "Throttling", headers={"Retry-After": "120"})
    with pytest.raises(Throttled) as caught:
        await make_client().call(LIST)
    assert caught.value.retry_after_s == 120
    assert len(eci.calls) == 1


async def test_asked_to_wait_a_little_it_waits(eci, make_client):
    eci.fail(ACTION, 429, "Throttling", headers={"Retry-After": "1"})
    clock = asyncio.get_running_loop().time
    began = clock()
    await make_client().call(LIST)
    assert clock() - began >= 1.0


async def test_something_else_at_the_address_is_no_refusal_of_the_pod(eci, make_client):
    eci.fail(ACTION, 404, "", body="<html>not here</html>", times=9)
    with pytest.raises(CloudUnavailable, match="--eci-endpoint"):
        await make_client(max_attempts=2).call(LIST)


async def test_nobody_at_the_address(make_client):
    with pytest.raises(CloudUnavailable, match=r"127\.0\.0\.1:1 .*--eci-endpoint"):
        await make_client(endpoint="http://127.0.0.1:1", max_attempts=2).call(LIST)


async def test_all_tries_together_have_a_deadline(eci, make_client):
    eci.fail(ACTION, 503, "ServiceUnavailable", times=1000)
    client = make_client(call_deadline_s=0.3, max_attempts=1000)
    with pytest.raises(CloudUnavailable, match="ServiceUnavailable"):
        await client.call(LIST)


async def test_a_dry_run_that_would_work_is_a_success(eci, make_client):
    eci.fail(ACTION, 400, "DryRunOperation")
    assert (await make_client().call(LIST))["Code"] == "DryRunOperation"


class Chain:
    """Hands out one key after the other, as the vendor's chain would over time."""

    opened = 0

    def __init__(self, tokens):
        Chain.opened += 1
        self._tokens = tokens

    def get_credential(self):
        token = self._tokens.pop(0)
        if isinstance(token, Exception):
            raise token
        return type("Model", (), {"access_key_id": KEY, "access_key_secret": SECRET, "security_token": token})


async def test_expired_temporary_keys_are_renewed_once(eci, make_client):
    tokens = ["old", "new"]
    eci.fail(ACTION, 403, "InvalidSecurityToken.Expired")
    await make_client(credentials=ChainCredentials(open_chain=lambda: Chain(tokens))).call(LIST)
    assert [parameters["SecurityToken"] for _, parameters in eci.calls] == ["old", "new"]


async def test_keys_that_stay_expired_are_reported(eci, make_client):
    eci.fail(ACTION, 403, "InvalidSecurityToken.Expired", times=9)
    with pytest.raises(CloudDenied, match="renew"):
        await make_client(credentials=FixedCredentials(Credentials(KEY, SECRET, "old"))).call(LIST)
    assert len(eci.calls) == 2


async def test_a_chain_is_asked_once_for_many_and_its_failure_says_what_to_set():
    source = ChainCredentials(open_chain=lambda: Chain(["one", "two"]))
    found = await asyncio.gather(*(source.get() for _ in range(5)))
    assert {one.security_token for one in found} == {"one"}
    with pytest.raises(CloudDenied, match="ECI_ACCESS_KEY"):
        await ChainCredentials(open_chain=lambda: Chain([RuntimeError("no metadata server")])).get()


async def test_no_secret_shows_anywhere(eci, make_client, caplog):
    caplog.set_level(logging.DEBUG)
    client = make_client(credentials=FixedCredentials(Credentials(KEY, "topsecret", "ststoken")), max_attempts=1)
    asked, _ = request.create(EVERYTHING, client.settings)
    errors = []
    for arrange in (
        lambda: None,  # the signature does not match
        lambda: eci.keys.update({KEY: "topsecret"}) or eci.fail("CreateContainerGroup", 500, "InternalError"),
        lambda: eci.hang_up("CreateContainerGroup"),
    ):
        arrange()
        with pytest.raises((CloudDenied, CloudUnavailable)) as caught:
            await client.call(asked)
        errors.append(repr(caught.value))
    shown = " ".join(errors) + caplog.text + repr(Credentials(KEY, "topsecret", "ststoken"))
    for secret in ("topsecret", "ststoken", "wörld", "AP8=", "Signature="):
        assert secret not in shown


async def test_a_call_that_succeeds_at_once_leaves_nothing_to_the_collector(make_client):
    """A thousand of them in four seconds would leave holes of megabytes between what stays."""

    def of_tenacity() -> int:
        return sum(type(each) is tenacity.RetryCallState for each in gc.get_objects())

    client = make_client()
    await client.call(LIST)
    gc.collect()
    gc.disable()
    try:
        before = of_tenacity()
        await client.call(LIST)
        assert of_tenacity() == before
    finally:
        gc.enable()


async def test_what_the_cloud_repeats_of_a_secret_is_in_no_error(eci, make_client):
    """Its words go into an event and the pod's status."""
    words = SecretText("--password=hunter2hunter2", shown="--password=(secret)", values=("hunter2hunter2",))
    file = File("key", SecretBytes(b"hunter3hunter3"))
    workload = replace(
        EVERYTHING,
        containers=(Container("c", "busybox", args=(words,)),),
        volumes=(Volume("v", files=(file,)),),
        registry_credentials=(RegistryCredential("r.example.com", "u", "hunter4hunter4"),),
    )
    client = make_client()
    asked, _ = request.create(workload, client.settings)
    said = f"InvalidParameter: {words} hunter3hunter3 {base64.b64encode(file.content).decode()} hunter4hunter4"
    body = json.dumps({"RequestId": "r", "Code": "InvalidParameter", "Message": said})
    eci.fail("CreateContainerGroup", 400, "InvalidParameter", body=body)
    with pytest.raises(CloudRefused) as caught:
        await client.call(asked)
    assert str(caught.value).endswith("InvalidParameter: --password=(secret) (secret) (secret, 14 bytes) (secret)")
