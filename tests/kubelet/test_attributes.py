"""What a request needs to be allowed (A5), and who a certificate, a header or a review names (A2, A3)."""

from __future__ import annotations

from typing import Any

import pytest

from vk_provider.kubelet.auth import (
    AUTHENTICATED,
    Identity,
    attributes,
    bearer_token,
    identity_of_certificate,
    identity_of_review,
    is_api_server,
    reviewer,
)


@pytest.mark.parametrize(
    ("method", "path", "verb", "subresources"),
    [
        ("GET", "/stats/summary", "get", ["stats"]),
        ("POST", "/stats/summary", "create", ["stats"]),
        ("GET", "/stats", "get", ["stats"]),
        ("GET", "/statsfoo", "get", ["proxy"]),
        ("GET", "/metrics", "get", ["metrics"]),
        ("GET", "/metrics/cadvisor", "get", ["metrics"]),
        ("GET", "/metrics/resource", "get", ["metrics"]),
        ("GET", "/logs/", "get", ["log"]),
        ("POST", "/checkpoint/ns/pod/c", "create", ["checkpoint"]),
        ("GET", "/pods", "get", ["pods", "proxy"]),
        ("GET", "/pods/", "get", ["pods", "proxy"]),
        ("GET", "/runningpods/", "get", ["pods", "proxy"]),
        ("GET", "/healthz", "get", ["healthz", "proxy"]),
        ("GET", "/healthz/syncloop", "get", ["healthz", "proxy"]),
        ("GET", "/configz", "get", ["configz", "proxy"]),
        ("GET", "/statusz", "get", ["statusz"]),
        ("GET", "/flagz", "get", ["configz"]),
        ("GET", "/containerLogs/ns/pod/c", "get", ["proxy"]),
        ("GET", "/", "get", ["proxy"]),
        ("GET", "/debug/pprof/heap", "get", ["proxy"]),
        ("PUT", "/x", "update", ["proxy"]),
        ("PATCH", "/x", "patch", ["proxy"]),
        ("DELETE", "/x", "delete", ["proxy"]),
        ("BREW", "/x", "", ["proxy"]),
        ("POST", "/exec/ns/pod/c", "create", ["proxy"]),
        ("GET", "/exec/ns/pod/c", "create", ["proxy"]),
        ("GET", "/attach/ns/pod/c", "create", ["proxy"]),
        ("GET", "/portForward/ns/pod", "create", ["proxy"]),
        ("GET", "/run/ns/pod/c", "create", ["proxy"]),
        ("GET", "/runx/ns", "get", ["proxy"]),
    ],
)
def test_attributes(method: str, path: str, verb: str, subresources: list[str]) -> None:
    assert attributes(method, path) == (verb, tuple(subresources))


@pytest.mark.parametrize("path", ["/exec/ns/pod/c", "/attach/ns/pod/c", "/portForward/ns/pod", "/run/ns/pod/c"])
def test_the_api_server_may_open_a_websocket_by_get(path: str) -> None:
    assert attributes("GET", path, from_api_server=True) == ("get", ("proxy",))


def test_only_a_certificate_makes_somebody_the_api_server() -> None:
    name = "kube-apiserver-kubelet-client"
    assert is_api_server(Identity(name, by_certificate=True))
    assert not is_api_server(Identity(name))
    assert not is_api_server(Identity("somebody", by_certificate=True))
    assert is_api_server(Identity("own-name", by_certificate=True), frozenset({"own-name"}))


CERTIFICATE: dict[str, Any] = {
    "subject": (
        (("organizationName", "system:masters"),),
        (("organizationName", "ops"), ("commonName", "alice")),
    ),
    "notAfter": "Jan  5 09:34:43 2030 GMT",
}
IN_TIME = 1_700_000_000.0


@pytest.mark.parametrize(
    ("certificate", "now", "expected"),
    [
        pytest.param(
            CERTIFICATE,
            IN_TIME,
            Identity("alice", ("system:masters", "ops", AUTHENTICATED), by_certificate=True),
            id="CN and each O",
        ),
        pytest.param(CERTIFICATE, 2e9, None, id="ended while the connection stood"),
        pytest.param({}, IN_TIME, None, id="none shown"),
        pytest.param({**CERTIFICATE, "subject": ((("organizationName", "ops"),),)}, IN_TIME, None, id="no CN"),
        pytest.param({**CERTIFICATE, "subject": ((("commonName", ""),),)}, IN_TIME, None, id="empty CN"),
    ],
)
def test_certificate(certificate: dict[str, Any], now: float, expected: Identity | None) -> None:
    assert identity_of_certificate(certificate, now=now) == expected


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Basic YWJj", ""),
        ("Bearer", ""),
        ("abc", ""),
        ("", ""),
    ],
)
def test_bearer_token(header: str, token: str) -> None:
    assert bearer_token(header) == token


USER = {"username": "bob", "uid": "7", "groups": ["g", AUTHENTICATED], "extra": {"k": ["v", "w"], "a": ["b"]}}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(
            {"authenticated": True, "user": USER},
            Identity("bob", ("g", AUTHENTICATED), "7", (("a", ("b",)), ("k", ("v", "w")))),
            id="everything the review says",
        ),
        pytest.param(
            {"authenticated": True, "user": {"username": "bob"}}, Identity("bob", (AUTHENTICATED,)), id="only a name"
        ),
        pytest.param({"authenticated": False, "user": USER}, None, id="not authenticated"),
        pytest.param({"authenticated": "true", "user": USER}, None, id="not quite true"),
        pytest.param({"authenticated": True, "user": {}}, None, id="nobody"),
        pytest.param({}, None, id="no status"),
    ],
)
def test_token_review(status: dict[str, Any], expected: Identity | None) -> None:
    assert identity_of_review({"status": status}) == expected


async def test_reviews_are_created_where_the_api_server_has_them() -> None:
    sent: list[tuple[str, dict[str, Any]]] = []

    async def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
        sent.append((path, body))
        return {"status": {"allowed": True}}

    review = reviewer(post)
    assert await review("SubjectAccessReview", {"user": "bob"}) == {"status": {"allowed": True}}
    await review("TokenReview", {"token": "t"})
    assert sent == [
        (
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "metadata": {},
                "spec": {"user": "bob"},
            },
        ),
        (
            "/apis/authentication.k8s.io/v1/tokenreviews",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenReview",
                "metadata": {},
                "spec": {"token": "t"},
            },
        ),
    ]
