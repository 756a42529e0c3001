"""The proxy subresources of pods and services: what a pod serves, through the API server.

The test's backend is at the address of VK_E2E_NODE_IP: newer API servers proxy to no loopback address.
"""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.contract.kube.client import Client, eventually, pod

NO_ENDPOINTS = 'no endpoints available for service "s"'
"""Before 1.21 the name is said with its port."""
ADDRESS = os.environ.get("VK_E2E_NODE_IP", "127.0.0.1")


class _Backend(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Nothing: the tests assert on what comes back."""

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        seen = "" if "Authorization" not in self.headers else " with a token"
        raw = f"{self.command} {self.path} {body}{seen}".encode()
        self.send_response(302 if "/moved" in self.path else 418 if "/teapot" in self.path else 200)
        if "/moved" in self.path:
            self.send_header("Location", "/there?q=1")
        self.send_header("X-Own", "yes")
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.do_GET
        raise AttributeError(name)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = ThreadingHTTPServer((ADDRESS, 0), _Backend)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def served(client: Client, core: str, space: str, node: str, port: int) -> Iterator[int]:
    """The pod `p` with the backend's address, and the Service `s` before it; the backend's port."""
    containers = [{"name": "c", "image": "x", "ports": [{"containerPort": port, "name": "web"}]}]
    assert client.create(f"{core}/pods", pod(nodeName=node, containers=containers)).status == 201
    status = {"phase": "Running", "podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}]}
    assert client.patch(f"{core}/pods/p/status", {"status": status}).status == 200
    spec = {"ports": [{"port": 80, "name": "web", "targetPort": port}, {"port": 81, "name": "none"}]}
    assert client.create(f"{core}/services", {"metadata": {"name": "s"}, "spec": spec}).status == 201
    reference = {"kind": "Pod", "name": "p", "namespace": space}
    subset = {"addresses": [{"ip": ADDRESS, "targetRef": reference}], "ports": [{"name": "web", "port": port}]}
    assert client.create(f"{core}/endpoints", {"metadata": {"name": "s"}, "subsets": [subset]}).status == 201
    _slice(client, space, {"addresses": [ADDRESS], "conditions": {"ready": True}, "targetRef": reference}, port)
    yield port
    client.delete(f"{core}/pods/p", gracePeriodSeconds=0)


def _slice(client: Client, space: str, endpoint: Any, port: int) -> None:
    """What newer servers read in place of Endpoints; the controller that makes it may not run here."""
    body = {
        "metadata": {"name": "s-1", "labels": {"kubernetes.io/service-name": "s"}},
        "addressType": "IPv4",
        "endpoints": [endpoint],
        "ports": [{"name": "web", "port": port, "protocol": "TCP"}],
    }
    client.create(f"/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices", body)


@pytest.mark.parametrize("name", ["p", "p:{port}", "http:p:{port}", "http:p:"])
def test_names_of_pods(client: Client, core: str, served: int, name: str) -> None:
    answer = client.get(f"{core}/pods/{name.format(port=served)}/proxy/a/b?q=1&r=%20")
    assert (answer.status, answer.body) == (200, "GET /a/b?q=1&r=%20 ")


@pytest.mark.parametrize("name", ["s:web", "s:80", "http:s:web"])
def test_names_of_services(client: Client, core: str, served: int, name: str) -> None:
    def reached() -> Any:
        answer = client.get(f"{core}/services/{name}/proxy/a/b?q=1")
        return answer if answer.status == 200 else None

    assert eventually(reached).body == "GET /a/b?q=1 "


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_every_method_goes_on_with_its_body(client: Client, core: str, served: int, method: str) -> None:
    answer = client.send(method, f"{core}/pods/p/proxy/x", b"hello", Content_Type="text/plain")
    assert (answer.status, answer.body) == (200, f"{method} /x hello")


def test_answers_come_as_they_are(client: Client, core: str, served: int) -> None:
    assert client.get(f"{core}/pods/p/proxy/teapot").status == 418
    connection = client._connection(15)
    connection.request("GET", f"{core}/pods/p/proxy/moved", headers=client._headers({}))
    response = connection.getresponse()
    assert (response.status, response.getheader("X-Own")) == (302, "yes")
    assert response.getheader("Location") == f"{core}/pods/p/proxy/there?q=1"
    response.read()
    connection.request("GET", f"{core}/pods/p/proxy?q=1", headers=client._headers({}))
    response = connection.getresponse()
    assert (response.status, response.getheader("Location")) == (301, f"{core}/pods/p/proxy/?q=1")
    connection.close()


def test_refusals(client: Client, core: str, served: int) -> None:
    client.create(f"{core}/pods", pod("quiet"))
    for path, status in {
        "pods/absent/proxy/": 404,
        "pods/quiet/proxy/": 400,
        "pods/ftp:p:1/proxy/": 400,
        "services/ftp:s:1/proxy/": 400,
        "services/s:none/proxy/": 503,
        "services/s:82/proxy/": 503,
    }.items():
        assert client.get(f"{core}/{path}").status == status, path
    dead = client.get(f"{core}/pods/p:1/proxy/")
    assert dead.status in (503, 500)  # 500 before 1.21
    assert dead.body["message"].startswith("error trying to reach service: ")
    spent = client.get(f"{core}/services/s:none/proxy/")
    assert spent.reason == "ServiceUnavailable"
    assert spent.body["message"] in (NO_ENDPOINTS, NO_ENDPOINTS.replace('"s"', '"s:none"'))
    assert client.get(f"{core}/services/s:82/proxy/").body["message"] == 'no service port 82 found for service "s"'


def test_addresses_that_are_no_pods_are_not_gone_to(client: Client, core: str, space: str, served: int) -> None:
    """Endpoints are written by tenants, and would else lead anywhere the API server can go."""
    client.delete(f"{core}/pods/p", gracePeriodSeconds=0)
    answer = eventually(lambda: (found := client.get(f"{core}/services/s:web/proxy/")).status == 503 and found)
    assert answer.body["message"] in (NO_ENDPOINTS, NO_ENDPOINTS.replace('"s"', '"s:web"'))


def test_discovery(client: Client) -> None:
    found = {item["name"]: item for item in client.get("/api/v1").body["resources"]}
    assert {name: found[f"{name}/proxy"]["kind"] for name in ("nodes", "pods", "services")} == {
        "nodes": "NodeProxyOptions",
        "pods": "PodProxyOptions",
        "services": "ServiceProxyOptions",
    }


def test_a_namespace_called_proxy(client: Client, node: str) -> None:
    """The first `/proxy` of a path need not be the subresource."""
    answer = client.get("/api/v1/namespaces/proxy/pods/proxy-1/proxy/proxy/")
    assert (answer.status, answer.body["message"]) == (404, 'pods "proxy-1" not found')
