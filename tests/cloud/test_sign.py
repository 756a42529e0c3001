"""Signatures against the vectors of eci.md 1.4 and the vendor's own signer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import parse_qsl

import pytest
from aliyunsdkcore.auth.algorithm import sha_hmac1
from aliyunsdkcore.auth.composer import rpc_signature_composer
from hypothesis import given, settings
from hypothesis import strategies as st

from vk_provider.cloud.eci import sign

OURS = {
    "AccessKeyId": "testid",
    "Action": "DescribeContainerGroups",
    "Format": "JSON",
    "Limit": "20",
    "RegionId": "cn-hangzhou",
    "SignatureMethod": "HMAC-SHA1",
    "SignatureNonce": "0123456789abcdef0123456789abcdef",
    "SignatureType": "",
    "SignatureVersion": "1.0",
    "Tag.1.Key": "vk-node",
    "Tag.1.Value": "node a*~",
    "Timestamp": "2024-01-02T03:04:05Z",
    "Version": "2018-08-08",
}
# The vendor's pages print this signature beside several dates and versions; it is right for these.
VENDORS = {
    "Timestamp": "2016-02-23T12:46:24Z",
    "Format": "XML",
    "AccessKeyId": "testid",
    "Action": "DescribeRegions",
    "SignatureMethod": "HMAC-SHA1",
    "SignatureNonce": "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf",
    "Version": "2014-05-26",
    "SignatureVersion": "1.0",
}


@pytest.mark.parametrize(
    ("method", "parameters", "expected"),
    [
        pytest.param("GET", OURS, "h//B2ZmviBGIoj2NjztGx73RDn0=", id="get"),
        pytest.param("POST", OURS, "l0WKhokpYlvljXYgUi09pAUJ4Ns=", id="post"),
        pytest.param("GET", VENDORS, "OLeaidS1JvxuMvnyHOwuJ+uX5qY=", id="the vendor's example"),
    ],
)
def test_vectors(method, parameters, expected):
    assert sign.signature(method, parameters, "testsecret") == expected


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        pytest.param("a b", "a%20b", id="space"),
        pytest.param("*~-_.", "%2A~-_.", id="marks"),
        pytest.param("ü/+", "%C3%BC%2F%2B", id="utf-8"),
        pytest.param("\ud800", "%3F", id="a lone surrogate has no utf-8"),
    ],
)
def test_percent_encode(text, encoded):
    assert sign.percent_encode(text) == encoded


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(deadline=None)  # the machine may be busy
@given(st.dictionaries(TEXTS, TEXTS, max_size=8))
def test_a_canonical_query_reads_back(parameters):
    query = sign.canonical_query(parameters)
    assert dict(parse_qsl(query, keep_blank_values=True, separator="&")) == {
        name: value for name, value in parameters.items() if query
    }


@settings(deadline=None)  # the machine may be busy
@given(st.dictionaries(st.from_regex(r"[A-Za-z0-9.]{1,20}", fullmatch=True), TEXTS, max_size=8))
def test_the_vendors_signer_agrees(parameters):
    """Its composer adds the common parameters itself, so its string to sign is signed again here by our rules."""
    parameters.pop("Signature", None)
    url, text = rpc_signature_composer.get_signed_url(
        dict(parameters), "testid", "testsecret", "JSON", "POST", {}, sha_hmac1
    )
    sent = dict(parse_qsl(url.partition("?")[2], keep_blank_values=True))
    signed = sent.pop("Signature")
    assert sign.string_to_sign("POST", sent) == text
    assert sign.signature("POST", sent, "testsecret") == signed


@settings(deadline=None)  # the machine may be busy
@given(st.dictionaries(TEXTS, TEXTS, max_size=6), st.dictionaries(TEXTS, TEXTS, max_size=6))
def test_a_signed_call_is_its_parameters_and_their_signature(query, body):
    query = {name: value for name, value in query.items() if name not in {*body, "Signature"}}
    signature = sign.signature("POST", {**query, **body}, "testsecret")
    told = sign.signed("POST", query, body, "testsecret")
    assert told == (sign.canonical_query({**query, "Signature": signature}), sign.canonical_query(body))


@pytest.mark.parametrize("token", ["", "sts"])
def test_common_parameters(token):
    at = datetime(2024, 1, 2, 11, 4, 5, tzinfo=timezone(timedelta(hours=8)))
    common = sign.common_parameters(action="A", region="r", access_key_id="id", security_token=token, now=at, nonce="n")
    assert common["Timestamp"] == "2024-01-02T03:04:05Z"
    assert at.astimezone(UTC).hour == 3
    assert common.get("SecurityToken", "") == token
    assert "Signature" not in common
