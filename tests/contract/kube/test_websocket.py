"""Watches and logs over WebSocket, as browsers and other clients that speak nothing else ask for them."""

import base64
import json
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.contract.kube.client import Client, config_map
from tests.contract.kube.kubelet import GO_ON
from tests.contract.kube.test_kubelet_proxy import machine, placed

__all__ = ["machine", "placed"]

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Socket:
    """One WebSocket connection, frame by frame (RFC 6455)."""

    def __init__(self, connection: Any, status: int, headers: dict[str, str], body: str) -> None:
        self._connection = connection
        self.status = status
        self.headers = headers
        self.body = body

    def frame(self) -> tuple[int, bytes]:
        """(opcode, payload) of the next frame; every one is whole. (CLOSE, b"") when the connection just ends."""
        head = self._connection.read(2)
        if len(head) < 2:
            return CLOSE, b""
        assert head[0] & 0x80, "a frame in parts"
        assert not head[1] & 0x80, "a server does not mask"
        length = head[1] & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", self._connection.read(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self._connection.read(8))
        return head[0] & 0x0F, self._connection.read(length)

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """All frames until the server ends."""
        while (found := self.frame())[0] != CLOSE:
            yield found

    def send(self, opcode: int, payload: bytes = b"") -> None:
        mask = b"\x00\x00\x00\x00"
        self._connection.write(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + payload)
        self._connection.flush()


@contextmanager
def open_socket(client: Client, path: str, **headers: str) -> Iterator[Socket]:
    connection = client._connection(20)
    connection.connect()
    sent = {
        "Host": "x",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Origin": "http://x",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        **client._headers({name.replace("_", "-"): value for name, value in headers.items()}),
    }
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items() if value)]
    stream = connection.sock.makefile("rwb")
    try:
        stream.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        stream.flush()
        status = int(stream.readline().split()[1])
        got = {}
        while line := stream.readline().strip():
            name, _, value = line.decode().partition(":")
            got[name.lower()] = value.strip()
        body = stream.read(int(got.get("content-length") or 0)).decode() if status != 101 else ""
        yield Socket(stream, status, got, body)
    finally:
        stream.close()
        connection.close()


@pytest.mark.parametrize("protocol", ["", "base64.binary.k8s.io", "binary.k8s.io", "of.my.own"])
def test_watch(client: Client, core: str, protocol: str) -> None:
    """Events come as text whatever protocol is named; the one that is named is agreed to."""
    listed = client.get(f"{core}/configmaps?fieldSelector=metadata.name=c").body["metadata"]["resourceVersion"]
    query = f"watch=true&fieldSelector=metadata.name=c&resourceVersion={listed}"
    with open_socket(client, f"{core}/configmaps?{query}", Sec_WebSocket_Protocol=protocol) as socket:
        assert socket.status == 101, socket.body
        assert socket.headers["upgrade"].lower() == "websocket"
        assert socket.headers.get("sec-websocket-protocol", "") == protocol
        client.create(f"{core}/configmaps", config_map(a="1"))
        client.delete(f"{core}/configmaps/c")
        for kind in ("ADDED", "DELETED"):
            opcode, payload = socket.frame()
            event = json.loads(payload)
            assert (opcode, event["type"], event["object"]["metadata"]["name"]) == (TEXT, kind, "c")


def test_watch_by_its_old_path(client: Client, core: str, space: str) -> None:
    client.create(f"{core}/configmaps", config_map(a="1"))
    with open_socket(client, f"/api/v1/watch/namespaces/{space}/configmaps/c") as socket:
        assert json.loads(socket.frame()[1])["type"] == "ADDED"


def test_watch_ends_when_its_time_is_up(client: Client, core: str) -> None:
    with open_socket(client, f"{core}/secrets?watch=true&timeoutSeconds=1&labelSelector=a=b") as socket:
        assert list(socket.frames()) == []


def test_watch_as_a_table(client: Client, core: str) -> None:
    client.create(f"{core}/configmaps", config_map(a="1"))
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    path = f"{core}/configmaps?watch=true&fieldSelector=metadata.name=c"
    with open_socket(client, path, Accept=accept) as socket:
        assert json.loads(socket.frame()[1])["object"]["kind"] == "Table"


def test_a_client_that_closes_is_let_go(client: Client, core: str) -> None:
    with open_socket(client, f"{core}/configmaps?watch=true&labelSelector=a=b") as socket:
        socket.send(PING, b"x")
        assert socket.frame() == (PONG, b"x")
        socket.send(CLOSE, struct.pack(">H", 1000))
        assert list(socket.frames()) == []


def test_refused_before_the_upgrade(client: Client, core: str) -> None:
    with open_socket(client, f"{core}/configmaps?watch=true&labelSelector=a%20b%20c") as socket:
        assert (socket.status, json.loads(socket.body)["reason"]) == (400, "BadRequest")
    with open_socket(client, f"{core}/configmaps?watch=true", Origin="") as socket:
        assert socket.status == 403
    two = "base64.binary.k8s.io, binary.k8s.io"
    with open_socket(client, f"{core}/configmaps?watch=true", Sec_WebSocket_Protocol=two) as socket:
        assert socket.status != 101


@pytest.mark.parametrize(
    ("offered", "chosen", "opcode"),
    [
        ("", "", BINARY),
        ("binary.k8s.io", "binary.k8s.io", BINARY),
        ("base64.binary.k8s.io", "base64.binary.k8s.io", TEXT),
        ("of.my.own, base64.binary.k8s.io, binary.k8s.io", "base64.binary.k8s.io", TEXT),
    ],
)
def test_log(client: Client, core: str, placed: Any, offered: str, chosen: str, opcode: int) -> None:
    placed()
    path = f"{core}/pods/p/log?follow=true"
    with open_socket(client, path, Sec_WebSocket_Protocol=offered) as socket:
        assert socket.status == 101, socket.body
        assert socket.headers.get("sec-websocket-protocol", "") == chosen
        assert socket.frame() == (opcode, b""), "an empty frame says that it begins"
        raw = b"first\n"
        assert socket.frame() == (opcode, base64.b64encode(raw) if opcode == TEXT else raw)
        GO_ON.set()
        # A real server loses what reaches it together with the end.
        assert list(socket.frames()) in ([], [(opcode, b"second\n")], [(opcode, base64.b64encode(b"second\n"))])


def test_log_refused_before_the_upgrade(client: Client, core: str, placed: Any) -> None:
    placed("missing")
    with open_socket(client, f"{core}/pods/missing/log") as socket:
        assert (socket.status, json.loads(socket.body)["reason"]) == (404, "NotFound")
    with open_socket(client, f"{core}/pods/absent/log") as socket:
        assert socket.status == 404
    with open_socket(client, f"{core}/pods/missing/log", Sec_WebSocket_Protocol="of.my.own") as socket:
        assert socket.status != 101


def test_token_as_a_protocol(client: Client, kubeconfig: Path, core: str, space: str) -> None:
    """Browsers can send no Authorization header."""
    client.create(f"{core}/serviceaccounts", {"metadata": {"name": "browser"}})
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["watch"]}]
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{space}"
    client.create(f"{rbac}/roles", {"metadata": {"name": "r"}, "rules": rules})
    subject = {"kind": "ServiceAccount", "name": "browser", "namespace": space}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    client.create(f"{rbac}/rolebindings", {"metadata": {"name": "b"}, "roleRef": reference, "subjects": [subject]})
    client.create(f"{core}/configmaps", config_map(a="1"))
    body = {"spec": {"expirationSeconds": 3600}}
    token = client.create(f"{core}/serviceaccounts/browser/token", body).body["status"]["token"]
    spelled = base64.urlsafe_b64encode(token.encode()).rstrip(b"=").decode()
    bare = Client(kubeconfig, token="")
    path = f"{core}/configmaps?watch=true&fieldSelector=metadata.name=c"
    offered = f"base64url.bearer.authorization.k8s.io.{spelled}, base64.binary.k8s.io"
    with open_socket(bare, path, Sec_WebSocket_Protocol=offered) as socket:
        assert socket.status == 101, socket.body
        assert socket.headers["sec-websocket-protocol"] == "base64.binary.k8s.io"
        assert json.loads(socket.frame()[1])["type"] == "ADDED"
    for wrong in (f"base64url.bearer.authorization.k8s.io.{spelled}", "base64url.bearer.authorization.k8s.io.eA, a"):
        with open_socket(bare, path, Sec_WebSocket_Protocol=wrong) as socket:
            assert socket.status == 401
