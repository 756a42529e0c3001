"""A bare HTTP client for a Kubernetes API, made from a kubeconfig: tests see just what goes in and comes out."""

import base64
import http.client
import json
import ssl
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any

    @property
    def reason(self) -> str:
        return str(self.body.get("reason", ""))

    @property
    def fields(self) -> set[str]:
        """The fields a 422 complains of."""
        return {cause["field"] for cause in self.body["details"]["causes"]}


class Client:
    """token: a bearer token to use instead of the kubeconfig's client certificate; "" shows nothing at all."""

    def __init__(self, kubeconfig: Path, *, token: str | None = None) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        address = urllib.parse.urlsplit(cluster["server"])
        self._host, self._port, self._token = address.hostname or "", address.port or 443, token
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=authority)
        if token is None:
            with tempfile.NamedTemporaryFile() as pair:
                for part in ("client-certificate-data", "client-key-data"):
                    pair.write(base64.b64decode(user[part]))
                pair.flush()
                self._tls.load_cert_chain(pair.name)

    def _connection(self, timeout_s: float) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._host, self._port, context=self._tls, timeout=timeout_s)

    def _headers(self, headers: dict[str, str]) -> dict[str, str]:
        return ({"Authorization": f"Bearer {self._token}"} if self._token else {}) | headers

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            named.setdefault("Content-Type", "application/json")
        connection = self._connection(15)
        try:
            content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, content, self._headers(named))
            response = connection.getresponse()
            raw = response.read()
            is_json = "json" in (response.getheader("Content-Type") or "")
            return Answer(response.status, json.loads(raw) if is_json and raw else raw.decode())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, **headers)

    def create(self, path: str, body: Any) -> Answer:
        return self.send("POST", path, body)

    def put(self, path: str, body: Any) -> Answer:
        return self.send("PUT", path, body)

    def patch(self, path: str, body: Any, kind: str = STRATEGIC) -> Answer:
        return self.send("PATCH", path, body, Content_Type=kind)

    def delete(self, path: str, **options: Any) -> Answer:
        return self.send("DELETE", path, options or None)

    def watch(self, path: str, *, seconds: int = 10, **headers: str) -> Iterator[tuple[str, Any]]:
        """(type, object) as they come, until the server ends the watch."""
        connection = self._connection(seconds + 10)
        try:
            join = "&" if "?" in path else "?"
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("GET", f"{path}{join}watch=true&timeoutSeconds={seconds}", headers=self._headers(named))
            response = connection.getresponse()
            assert response.status == 200, response.read()
            while line := response.readline():
                event = json.loads(line)
                yield event["type"], event["object"]
        finally:
            connection.close()


def eventually(what: Callable[[], Any], *, within_s: float = 60) -> Any:
    """The first true answer. Fails after the deadline with the last one."""
    deadline = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {found!r}"
        time.sleep(0.05)
    return found


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    containers = spec.pop("containers", [{"name": "c", "image": "busybox"}])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": containers, **spec}}


def config_map(name: str = "c", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
