"""What the server asks of kubelets for logs, exec and the node proxy, and how their refusals come back.

The test's kubelet is at the address of VK_E2E_NODE_IP: newer API servers proxy to no loopback node.
"""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.kube.client import Client, pod
from tests.contract.kube.kubelet import GO_ON, kubelet

ADDRESS = os.environ.get("VK_E2E_NODE_IP", "127.0.0.1")


@pytest.fixture
def machine(client: Client, tmp_path: Path) -> Iterator[str]:
    """A Node with a test kubelet behind it."""
    name = f"k-{uuid.uuid4().hex[:8]}"
    with kubelet(tmp_path, ADDRESS) as port:
        client.create("/api/v1/nodes", {"metadata": {"name": name}})
        status = {
            "addresses": [{"type": "InternalIP", "address": ADDRESS}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
        assert client.patch(f"/api/v1/nodes/{name}/status", {"status": status}).status == 200
        yield name
        client.delete(f"/api/v1/nodes/{name}")


@pytest.fixture
def placed(client: Client, core: str, machine: str) -> Iterator[Any]:
    """Makes pods on that node; they go when the test ends."""
    names: list[str] = []

    def place(name: str = "p", **spec: Any) -> None:
        assert client.create(f"{core}/pods", pod(name, nodeName=machine, **spec)).status == 201
        names.append(name)

    yield place
    for name in names:
        client.delete(f"{core}/pods/{name}", gracePeriodSeconds=0)


def asked(text: str) -> tuple[str, set[str]]:
    path, _, query = text.removeprefix("asked ").strip().partition("?")
    return path, set(query.split("&")) - {""}


@pytest.mark.parametrize(
    ("query", "passed"),
    [
        ("", set()),
        ("tailLines=5&timestamps=true", {"tailLines=5", "timestamps=true"}),
        ("previous=true&limitBytes=9", {"previous=true", "limitBytes=9"}),
        ("sinceSeconds=3&follow=false", {"sinceSeconds=3"}),
        ("sinceTime=2026-01-02T03:04:05Z", {"sinceTime=2026-01-02T03%3A04%3A05Z"}),
        ("tailLines=0&container=c", {"tailLines=0"}),
    ],
)
def test_log_options_are_handed_on(
    client: Client, core: str, space: str, placed: Any, query: str, passed: set[str]
) -> None:
    placed()
    answer = client.get(f"{core}/pods/p/log?{query}")
    assert answer.status == 200
    assert asked(answer.body) == (f"/containerLogs/{space}/p/c", passed)


@pytest.mark.parametrize(
    "query", ["tailLines=-1", "limitBytes=0", "sinceSeconds=0", "sinceSeconds=1&sinceTime=2026-01-02T03:04:05Z"]
)
def test_bad_log_options(client: Client, core: str, placed: Any, query: str) -> None:
    placed()
    answer = client.get(f"{core}/pods/p/log?{query}")
    assert (answer.status, answer.reason) == (422, "Invalid")


def test_which_container(client: Client, core: str, placed: Any) -> None:
    two = [{"name": "a", "image": "x"}, {"name": "b", "image": "x"}]
    placed(containers=two, initContainers=[{"name": "i", "image": "x"}])
    answer = client.get(f"{core}/pods/p/log")
    assert answer.status == 400
    assert answer.body["message"].startswith("a container name must be specified for pod p, choose one of: [i a b]")
    wrong = client.get(f"{core}/pods/p/log?container=z")
    assert (wrong.status, wrong.body["message"]) == (400, "container z is not valid for pod p")
    assert client.get(f"{core}/pods/p/log?container=i").status == 200


def test_kubelets_refusals(client: Client, core: str, placed: Any) -> None:
    placed("waiting")
    placed("missing")
    waiting = client.get(f"{core}/pods/waiting/log")
    assert (waiting.status, waiting.reason) == (400, "BadRequest")
    assert waiting.body["message"] == 'container "c" in pod "waiting" is waiting to start: ContainerCreating'
    missing = client.get(f"{core}/pods/missing/log")
    assert (missing.status, missing.reason) == (404, "NotFound")
    assert missing.body["message"].startswith("the server could not find the requested resource")


def test_unbound_pod_has_no_log(client: Client, core: str) -> None:
    client.create(f"{core}/pods", pod())
    answer = client.get(f"{core}/pods/p/log")
    assert (answer.status, answer.body) == (204, "")
    assert client.get(f"{core}/pods/absent/log").status == 404


def test_kubelet_that_is_not_there(client: Client, core: str, placed: Any, machine: str) -> None:
    placed()
    status = {"status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 1}}}}
    client.patch(f"/api/v1/nodes/{machine}/status", status)
    answer = client.get(f"{core}/pods/p/log")
    assert answer.status == 500
    assert f"{ADDRESS}:1" in answer.body["message"]


def test_followed_log_comes_line_by_line(client: Client, core: str, placed: Any) -> None:
    placed()
    connection = client._connection(20)
    connection.request("GET", f"{core}/pods/p/log?follow=true", headers=client._headers({}))
    response = connection.getresponse()
    assert response.readline() == b"first\n"
    GO_ON.set()
    assert response.read() == b"second\n"
    connection.close()


def test_node_proxy(client: Client, machine: str) -> None:
    answer = client.get(f"/api/v1/nodes/{machine}/proxy/stats/summary?only_cpu_and_memory=true")
    assert answer.status == 200
    assert asked(answer.body) == ("/stats/summary", {"only_cpu_and_memory=true"})


def test_exec_hands_the_connection_over(client: Client, core: str, space: str, placed: Any) -> None:
    placed()
    connection = client._connection(20)
    connection.connect()
    path = f"{core}/pods/p/exec?command=echo&command=a%20b&stdin=true&stdout=true"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
    head += "X-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n\r\n"
    connection.sock.sendall(head.encode())
    stream = connection.sock.makefile("rb")
    assert stream.readline().startswith(b"HTTP/1.1 101")
    while stream.readline() not in (b"\r\n", b""):
        pass
    path, query = asked(stream.readline().decode())
    assert path == f"/exec/{space}/p/c"
    assert query == {"input=1", "output=1", "command=echo", "command=a+b"}
    for line in (b"hello\n", b"x" * 100_000 + b"\n"):
        connection.sock.sendall(line)
        assert stream.readline() == line
    stream.close()
    connection.close()
