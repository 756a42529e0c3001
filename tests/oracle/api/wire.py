"""HTTP as programs speak it to the API server, and to the node itself; nothing of an answer is interpreted."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import tempfile
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Answer:
    """kind: the media type without its parameters."""

    status: int
    kind: str
    body: bytes


class Wire:
    """With the client certificate of a kubeconfig, whose values may be files."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        at = urllib.parse.urlsplit(cluster["server"])
        self._server = at.hostname or "", at.port or 443
        self._tls = ssl.create_default_context(cadata=_value(cluster, "certificate-authority").decode())
        self._to_nodes = _of_anybody()  # a node's certificate may be its own
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(_value(user, "client-certificate") + b"\n" + _value(user, "client-key"))
            pair.flush()
            for each in (self._tls, self._to_nodes):
                each.load_cert_chain(pair.name)

    def get(self, path: str) -> Answer:
        return self.send("GET", path)

    def send(self, method: str, path: str, body: Any = None, *, node: str = "", stranger: bool = False) -> Answer:
        """node: asked itself, not by way of the API server; stranger: without a certificate.

        Raises OSError and http.client.HTTPException.
        """
        host, port = self._address(node) if node else self._server
        tls = _of_anybody() if stranger else self._to_nodes if node else self._tls
        link = http.client.HTTPSConnection(host, port, context=tls, timeout=20)
        try:
            data = None if body is None else json.dumps(body)
            link.request(method, path, data, {"Content-Type": "application/json"})
            answer = link.getresponse()
            kind = (answer.getheader("Content-Type") or "").partition(";")[0]
            return Answer(answer.status, kind, answer.read())
        finally:
            link.close()

    def _address(self, node: str) -> tuple[str, int]:
        status = json.loads(self.get(f"/api/v1/nodes/{node}").body)["status"]
        address = next(each["address"] for each in status["addresses"] if each["type"] == "InternalIP")
        return address, status["daemonEndpoints"]["kubeletEndpoint"]["Port"]


def _of_anybody() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _value(of: dict[str, str], name: str) -> bytes:
    return base64.b64decode(of[f"{name}-data"]) if f"{name}-data" in of else Path(of[name]).read_bytes()
