"""Paths, lanes and proxies: pure and table-driven."""

from __future__ import annotations

import pytest

from vk_provider.kube import paths
from vk_provider.kube.lanes import Lane, kind_of, lane_of
from vk_provider.kube.proxy import proxy_for


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (paths.pods(), "/api/v1/pods"),
        (paths.pods("web"), "/api/v1/namespaces/web/pods"),
        (paths.pod_status("web", "api-0"), "/api/v1/namespaces/web/pods/api-0/status"),
        (paths.node_status("vk"), "/api/v1/nodes/vk/status"),
        (paths.lease("kube-node-lease", "vk"), "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/vk"),
        (paths.service_account_token("a", "b"), "/api/v1/namespaces/a/serviceaccounts/b/token"),
        (paths.event("web", "p.17a"), "/api/v1/namespaces/web/events/p.17a"),
        (paths.secret("a/../b", "x?y#z%"), "/api/v1/namespaces/a%2F..%2Fb/secrets/x%3Fy%23z%25"),
        (
            paths.certificate_signing_request_approval("kubelet-serving-vk"),
            "/apis/certificates.k8s.io/v1/certificatesigningrequests/kubelet-serving-vk/approval",
        ),
        (paths.token_reviews(), "/apis/authentication.k8s.io/v1/tokenreviews"),
    ],
)
def test_paths(path, expected):
    assert path == expected


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda: paths.pod("web", ""), id="no name"),
        pytest.param(lambda: paths.pod("", "api-0"), id="no namespace"),
        pytest.param(lambda: paths.node(""), id="no node"),
        pytest.param(lambda: paths.certificate_signing_request(""), id="no certificate request"),
        pytest.param(lambda: paths.core("pods", namespace="web", subresource="status"), id="part of nothing"),
        pytest.param(lambda: paths.secret("..", "x"), id="a step up"),
    ],
)
def test_a_path_never_means_more_than_one_object(build):
    with pytest.raises(ValueError, match=r"empty|cannot stand"):
        build()


@pytest.mark.parametrize(
    ("method", "path", "lane"),
    [
        ("GET", paths.pods(), Lane.READS),
        ("GET", paths.pod("web", "events"), Lane.READS),
        ("PATCH", paths.pod_status("events", "leases"), Lane.WRITES),
        ("DELETE", paths.pod("web", "a"), Lane.WRITES),
        ("PATCH", paths.node_status("vk"), Lane.NODE),
        ("PUT", paths.lease("kube-node-lease", "vk"), Lane.NODE),
        ("POST", paths.events("web"), Lane.EVENTS),
        ("GET", paths.events(), Lane.EVENTS),
        ("POST", paths.subject_access_reviews(), Lane.REVIEWS),
        ("GET", "/version", Lane.READS),
        ("GET", "/api/v1/namespaces/web", Lane.READS),
    ],
)
def test_lanes(method, path, lane):
    assert lane_of(method, path) is lane


@pytest.mark.parametrize(
    ("server", "environ", "expected"),
    [
        ("https://k8s:6443", {}, None),
        ("https://k8s:6443", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ("https://k8s:6443", {"https_proxy": "p:1"}, "http://p:1"),
        ("http://k8s", {"HTTPS_PROXY": "http://p:1"}, None),
        ("https://127.0.0.1:6443", {"HTTPS_PROXY": "http://p:1"}, None),
        ("https://localhost", {"HTTPS_PROXY": "http://p:1"}, None),
        ("https://10.1.2.3", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "x, 10.0.0.0/8"}, None),
        ("https://11.1.2.3", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "http://p:1"),
        ("https://a.corp.io", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".corp.io"}, None),
        ("https://corp.io", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".corp.io"}, "http://p:1"),
        ("https://corp.io", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "corp.io:444"}, "http://p:1"),
        ("https://corp.io:444", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "corp.io:444"}, None),
        ("https://xcorp.io", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "corp.io"}, "http://p:1"),
        ("https://corp.io", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
    ],
)
def test_proxy(server, environ, expected):
    assert proxy_for(server, environ) == expected


@pytest.mark.parametrize(
    ("method", "path", "params", "expected"),
    [
        ("PATCH", paths.pod_status("web", "a"), None, ("patch", "pods/status")),
        ("GET", paths.pods(), None, ("list", "pods")),
        ("GET", paths.pods(), {"watch": "true"}, ("watch", "pods")),
        ("GET", paths.pod("web", "a"), None, ("get", "pods")),
        ("POST", paths.events("web"), None, ("create", "events")),
        ("PUT", paths.lease("kube-node-lease", "vk"), None, ("update", "leases")),
        ("POST", paths.service_account_token("web", "a"), None, ("create", "serviceaccounts/token")),
        ("GET", paths.VERSION, None, ("get", "/version")),
    ],
)
def test_requests_are_counted_in_the_words_of_the_api(method, path, params, expected):
    assert kind_of(method, path, params) == expected
