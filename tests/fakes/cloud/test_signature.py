"""Both signature schemes against published vectors, and each thing a verifier refuses."""

import hashlib
from urllib.parse import parse_qsl

import pytest

from fakes.cloud.errors import ApiError
from fakes.cloud.signature import (
    Call,
    Credential,
    Verifier,
    acs3_canonical_request,
    acs3_signature,
    percent_encode,
    rpc_signature,
    rpc_string_to_sign,
)

NOW = 1704164645.0  # 2024-01-02T03:04:05Z
LISTING = [
    ("AccessKeyId", "testid"),
    ("Action", "DescribeContainerGroups"),
    ("Format", "JSON"),
    ("Limit", "20"),
    ("RegionId", "cn-hangzhou"),
    ("SignatureMethod", "HMAC-SHA1"),
    ("SignatureNonce", "0123456789abcdef0123456789abcdef"),
    ("SignatureType", ""),
    ("SignatureVersion", "1.0"),
    ("Tag.1.Key", "vk-node"),
    ("Tag.1.Value", "node a*~"),
    ("Timestamp", "2024-01-02T03:04:05Z"),
    ("Version", "2018-08-08"),
]
VENDORS = parse_qsl(
    "Timestamp=2016-02-23T12%3A46%3A24Z&Format=XML&AccessKeyId=testid&Action=DescribeRegions"
    "&SignatureMethod=HMAC-SHA1&SignatureNonce=3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf&Version=2014-05-26"
    "&SignatureVersion=1.0"
)


@pytest.mark.parametrize(
    ("method", "pairs", "expected"),
    [
        pytest.param("GET", LISTING, "h//B2ZmviBGIoj2NjztGx73RDn0=", id="get"),
        pytest.param("POST", LISTING, "l0WKhokpYlvljXYgUi09pAUJ4Ns=", id="post"),
        pytest.param("GET", VENDORS, "OLeaidS1JvxuMvnyHOwuJ+uX5qY=", id="vendor's example"),
    ],
)
def test_rpc_signature_vectors(method, pairs, expected):
    assert rpc_signature("testsecret", rpc_string_to_sign(method, pairs)) == expected


def test_percent_encoding():
    assert percent_encode("a b*~/ü") == "a%20b%2A~%2F%C3%BC"


def signed(pairs=LISTING, secret="testsecret", method="GET", **changes):
    pairs = [(name, changes.get(name, value)) for name, value in pairs]
    pairs = [pair for pair in pairs if pair[1] is not None]
    if "SecurityToken" in changes:
        pairs.append(("SecurityToken", changes["SecurityToken"]))
    signature = rpc_signature(secret, rpc_string_to_sign(method, pairs))
    return Call(method, "/", [*pairs, ("Signature", signature)], [], {}, b"")


def verifier():
    return Verifier(
        [
            Credential("testid", "testsecret"),
            Credential("STS.1", "s", "token-1"),
            Credential("STS.old", "s", "token-2", expires_at=NOW - 1),
        ]
    )


@pytest.mark.parametrize(
    ("call", "code", "status"),
    [
        pytest.param(signed(secret="wrong"), "SignatureDoesNotMatch", 400, id="wrong secret"),
        pytest.param(signed(AccessKeyId="nobody"), "InvalidAccessKeyId.NotFound", 404, id="unknown key"),
        pytest.param(signed(Timestamp="2024-01-02T02:49:04Z"), "InvalidTimeStamp.Expired", 400, id="too old"),
        pytest.param(signed(Timestamp="2024-01-02T03:19:06Z"), "InvalidTimeStamp.Expired", 400, id="too new"),
        pytest.param(signed(Timestamp="yesterday"), "InvalidTimeStamp.Format", 400, id="no time"),
        pytest.param(signed(SignatureNonce=None), "MissingParameter", 400, id="no nonce"),
        pytest.param(signed(SecurityToken="x"), "InvalidSecurityToken.Malformed", 400, id="token with a plain key"),
        pytest.param(
            signed(AccessKeyId="STS.1", secret="s", SecurityToken="x"),
            "InvalidSecurityToken.MismatchWithAccessKey",
            400,
            id="another's token",
        ),
        pytest.param(
            signed(AccessKeyId="STS.old", secret="s", SecurityToken="token-2"),
            "InvalidSecurityToken.Expired",
            400,
            id="expired token",
        ),
        pytest.param(signed(AccessKeyId="STS.1", secret="s"), "InvalidAccessKeyId.NotFound", 404, id="token left out"),
    ],
)
def test_refusals(call, code, status):
    with pytest.raises(ApiError) as caught:
        verifier().verify(call, NOW)
    assert (caught.value.code, caught.value.status) == (code, status)


def test_a_nonce_works_once_and_is_not_used_up_by_a_bad_signature():
    one = verifier()
    with pytest.raises(ApiError, match="SignatureDoesNotMatch"):
        one.verify(signed(secret="wrong"), NOW)
    assert one.verify(signed(), NOW) == "testid"
    with pytest.raises(ApiError, match="SignatureNonceUsed"):
        one.verify(signed(), NOW)


def test_sts_key_with_its_token():
    call = signed(AccessKeyId="STS.1", secret="s", SecurityToken="token-1")
    assert verifier().verify(call, NOW) == "STS.1"


def test_mismatch_message_has_the_colon_the_older_sdk_needs():
    with pytest.raises(ApiError) as caught:
        verifier().verify(signed(secret="wrong"), NOW)
    assert caught.value.message.split(":")[1].startswith("GET&%2F&AccessKeyId%3Dtestid")


def acs3(secret="testsecret", body=b"", told_body=None, **headers):
    base = {
        "host": "127.0.0.1",
        "x-acs-action": "DescribeContainerGroups",
        "x-acs-content-sha256": hashlib.sha256(body if told_body is None else told_body).hexdigest(),
        "x-acs-date": "2024-01-02T03:04:05Z",
        "x-acs-signature-nonce": "n1",
        "x-acs-version": "2018-08-08",
        **headers,
    }
    names = ";".join(sorted(base))
    call = Call("POST", "/", [("Limit", "20"), ("RegionId", "cn-hangzhou")], [], base, body)
    signature = acs3_signature(secret, acs3_canonical_request(call, names))
    text = f"ACS3-HMAC-SHA256 Credential=testid,SignedHeaders={names},Signature={signature}"
    return Call("POST", "/", call.query, [], {**base, "authorization": text}, body)


def test_acs3():
    assert verifier().verify(acs3(), NOW) == "testid"


@pytest.mark.parametrize(
    ("call", "code"),
    [
        pytest.param(acs3(secret="wrong"), "SignatureDoesNotMatch", id="wrong secret"),
        pytest.param(acs3(body=b"a", told_body=b"b"), "SignatureDoesNotMatch", id="another body"),
        pytest.param(acs3(**{"x-acs-date": "2024-01-02T02:00:00Z"}), "InvalidTimeStamp.Expired", id="old"),
        pytest.param(acs3(**{"x-acs-signature-nonce": ""}), "MissingParameter", id="no nonce"),
    ],
)
def test_acs3_refusals(call, code):
    with pytest.raises(ApiError, match=code):
        verifier().verify(call, NOW)
