"""Kubelets without machines: each serves `/metrics/resource` from a script of use, by a clock that a test may hurry.

The scheduler sees their Nodes as machines (`tests.e2e.cluster.Workers`); pods bound to them run in name only: this
plays their kubelets' part and reports them Running, and Succeeded or Failed at their end.
"""

import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.e2e.cluster import Cluster

Json = dict[str, Any]
GIB = 1024**3
RUN_S = "test/run-seconds"  # annotation: how long the pod's container takes; without it, for ever


class HollowKubelet:
    """cpu, memory: what regular work uses of the node now, cores and bytes; a test sets them or gives a script of time.

    Preemptible pods that run use all that they requested.
    """

    def __init__(self, cluster: Cluster, node: str, *, certificate: Path, key: Path) -> None:
        self.node, self._cluster = node, cluster
        self.cpu: Callable[[float], float] = lambda _: 1.0
        self.memory: Callable[[float], float] = lambda _: 2.0 * GIB
        self.is_silent = False
        self.requests: list[tuple[str, str]] = []  # path, and the kind of credentials
        self._cpu_s, self._at_s = 0.0, time.time()
        self._began: dict[str, float] = {}
        self._pod_s: dict[str, float] = {}
        self._pods: dict[str, Json] = {}
        self._over = threading.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._threads = [
            threading.Thread(target=self._server.serve_forever, daemon=True),
            threading.Thread(target=self._run, daemon=True),
        ]

    def start(self) -> None:
        """Says on its Node where it is, and begins to serve."""
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.port}},
        }
        self._cluster.merge(f"/api/v1/nodes/{self.node}/status", {"status": status})
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def write_status(self) -> None:
        """As a kubelet that was started anew: what it knows nothing of is 0 on its Node."""
        zero = {"gocrane.io/cpu": "0", "gocrane.io/memory": "0"}
        status = {"capacity": zero, "allocatable": zero}
        self._cluster.merge(f"/api/v1/nodes/{self.node}/status", {"status": status})

    def page(self) -> str:
        now = time.time()
        running = [pod for pod in self._pods.values() if pod["status"].get("phase") == "Running"]
        passed_s, self._at_s = now - self._at_s, now
        self._cpu_s += self.cpu(now) * passed_s
        for pod in running:
            uid, cores = pod["metadata"]["uid"], _limit(pod, "gocrane.io/cpu")
            used = cores * min(passed_s, now - self._began.get(uid, now))
            self._pod_s[uid] = self._pod_s.get(uid, 0.0) + used
            self._cpu_s += used
        lines = [
            f"node_cpu_usage_seconds_total {self._cpu_s} {int(now * 1000)}",
            f"node_memory_working_set_bytes {self.memory(now)} {int(now * 1000)}",
        ]
        for pod in running:
            meta = pod["metadata"]
            labels = f'{{namespace="{meta["namespace"]}",pod="{meta["name"]}"}}'
            lines.append(f"pod_cpu_usage_seconds_total{labels} {self._pod_s[meta['uid']]} {int(now * 1000)}")
            lines.append(f"pod_memory_working_set_bytes{labels} 0 {int(now * 1000)}")
        return "".join(f"{line}\n" for line in lines)

    # --- pods

    def _run(self) -> None:
        while not self._over.wait(0.5):
            with suppress(OSError, AssertionError):
                self._play()

    def _play(self) -> None:
        listed = self._cluster.items(f"/api/v1/pods?fieldSelector=spec.nodeName%3D{self.node}")
        self._pods = {pod["metadata"]["uid"]: pod for pod in listed}
        for uid, pod in self._pods.items():
            meta, phase = pod["metadata"], pod["status"].get("phase")
            path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
            if meta.get("deletionTimestamp"):
                if phase == "Running":
                    self._cluster.merge(f"{path}/status", {"status": _ended("Failed", 143)})
                self._cluster.client.delete(path, gracePeriodSeconds=0)
            elif phase == "Pending":
                self._began[uid] = time.time()
                self._cluster.merge(f"{path}/status", {"status": _running()})
            elif phase == "Running" and time.time() - self._began.setdefault(uid, time.time()) >= _run_s(pod):
                self._cluster.merge(f"{path}/status", {"status": _ended("Succeeded", 0)})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        kubelet = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                kind = self.headers.get("Authorization", "").partition(" ")[0]
                kubelet.requests.append((self.path, kind))
                status = 503 if kubelet.is_silent else 200 if self.path == "/metrics/resource" else 404
                body = kubelet.page().encode() if status == 200 else b"no"
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Not to stderr."""

        return Handler


def _run_s(pod: Json) -> float:
    return float((pod["metadata"].get("annotations") or {}).get(RUN_S, "inf"))


def _limit(pod: Json, resource: str) -> float:
    limits = [(each.get("resources") or {}).get("limits") or {} for each in pod["spec"]["containers"]]
    return sum(float(each.get(resource, 0)) for each in limits)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _running() -> Json:
    state = {"name": "main", "ready": True, "restartCount": 0, "image": "i", "imageID": "", "state": {"running": {}}}
    return {"phase": "Running", "startTime": _now(), "containerStatuses": [state]}


def _ended(phase: str, code: int) -> Json:
    state = {"terminated": {"exitCode": code, "finishedAt": _now()}}
    status: Mapping[str, Any] = {
        "name": "main",
        "ready": False,
        "restartCount": 0,
        "image": "i",
        "imageID": "",
        "state": state,
    }
    return {"phase": phase, "containerStatuses": [json.loads(json.dumps(status))]}
