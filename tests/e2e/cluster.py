"""The cluster under test as its users see it: kubectl, the API, and conditions that come true in time."""

import base64
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from tests.contract.kube.client import MERGE, Answer, Client
from tests.e2e.controlplane import kubeconfig

Json = dict[str, Any]
SOON_S = 40.0
PATIENCE = float(
    os.environ.get("VK_E2E_PATIENCE", "1")
)  # on a machine that does much else; no bound of what is promised


class Cluster:
    """kubeconfig: an administrator's, with everything in it."""

    def __init__(self, config: Path, *, address: str) -> None:
        self.kubeconfig = config
        self.address = address
        user = yaml.safe_load(config.read_text())["users"][0]["user"]
        self.client = Client(config, token=user.get("token"))

    def kubectl(self, *words: str, stdin: str | None = None, program: str = "kubectl", within_s: float = 60) -> str:
        """What it printed; fails with what it complained of."""
        done = self.run_kubectl(*words, stdin=stdin, program=program, within_s=within_s)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
        return done.stdout

    def run_kubectl(
        self, *words: str, stdin: str | None = None, program: str = "kubectl", within_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, f"--kubeconfig={self.kubeconfig}", *words],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=within_s * PATIENCE,
            check=False,
        )

    def get(self, path: str) -> Json | None:
        """None: there is none."""
        answer = self.client.get(path)
        return None if answer.status == 404 else _good(answer)

    def items(self, path: str) -> list[Json]:
        found: list[Json] = _good(self.client.get(path))["items"]
        return found

    def create(self, path: str, body: Json) -> Json:
        return _good(self.client.create(path, body))

    def merge(self, path: str, body: Json) -> Json:
        return _good(self.client.patch(path, body, MERGE))

    def delete(self, path: str, **options: Any) -> None:
        answer = self.client.delete(path, **options)
        assert answer.status in (200, 202, 404), answer.body

    def serves(self, group_version: str, kind: str) -> bool:
        """Whether the server has this kind in this version."""
        answer = self.client.get(f"/apis/{group_version}")
        return answer.status == 200 and any(each["kind"] == kind for each in answer.body["resources"])

    def ready_nodes(self) -> set[str]:
        return {node["metadata"]["name"] for node in self.items("/api/v1/nodes") if condition(node, "Ready") == "True"}

    def kubeconfig_of(self, token: str) -> str:
        """A kubeconfig for the bearer of a token."""
        cluster = yaml.safe_load(self.kubeconfig.read_text())["clusters"][0]["cluster"]
        return kubeconfig(cluster["server"], cluster["certificate-authority-data"], {"token": token})

    def token_of(self, account: str, *, namespace: str) -> str:
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 7200}}
        return str(self.create(path, body)["status"]["token"])


class Space:
    """A namespace of a test's own. node: where its pods go, unless they say otherwise."""

    PATHS: Mapping[str, str] = {
        "Pod": "api/v1:pods",
        "Service": "api/v1:services",
        "Secret": "api/v1:secrets",
        "ConfigMap": "api/v1:configmaps",
        "ResourceQuota": "api/v1:resourcequotas",
        "LimitRange": "api/v1:limitranges",
        "Endpoints": "api/v1:endpoints",
        "Event": "api/v1:events",
        "PersistentVolumeClaim": "api/v1:persistentvolumeclaims",
        "Job": "apis/batch/v1:jobs",
        "CronJob": "apis/batch/v1:cronjobs",
        "Deployment": "apis/apps/v1:deployments",
    }

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name

    def make(self) -> None:
        """Made and furnished: before 1.24 an account is of use only once it has a token."""
        self.cluster.create("/api/v1/namespaces", {"metadata": {"name": self.name}})
        trial = {"metadata": {"name": "trial"}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}}
        within(20, lambda: self.cluster.client.create(f"{self.path('Pod')}?dryRun=All", trial).status == 201)

    def path(self, kind: str, name: str = "") -> str:
        group, _, plural = self.PATHS[kind].partition(":")
        return f"/{group}/namespaces/{self.name}/{plural}" + (f"/{name}" if name else "")

    def create(self, *manifests: Json) -> None:
        for each in manifests:
            self.cluster.create(self.path(each["kind"]), each)

    def get(self, kind: str, name: str) -> Json:
        found = self.cluster.get(self.path(kind, name))
        assert found is not None, f"there is no {kind} {name}"
        return found

    def pods(self, selector: str = "") -> list[Json]:
        return self.cluster.items(self.path("Pod") + (f"?labelSelector={selector}" if selector else ""))

    def delete(self, kind: str, name: str, **options: Any) -> None:
        self.cluster.delete(self.path(kind, name), **options)

    def when(self, kind: str, name: str, holds: Callable[[Json], Any], *, within_s: float = SOON_S) -> Json:
        """The object once this holds of it."""

        def look() -> Json | None:
            found = self.cluster.get(self.path(kind, name))
            return found if found is not None and holds(found) else None

        return within(within_s, look, lambda: self.cluster.get(self.path(kind, name)))

    def when_phase(self, name: str, *phases: str, within_s: float = SOON_S) -> Json:
        """The pod once its phase is one of these."""
        return self.when("Pod", name, lambda pod: pod["status"].get("phase") in phases, within_s=within_s)

    def when_ready(self, name: str) -> Json:
        return self.when("Pod", name, lambda pod: condition(pod, "Ready") == "True")

    def when_gone(self, kind: str, name: str, *, within_s: float = SOON_S) -> None:
        within(within_s, lambda: self.cluster.get(self.path(kind, name)) is None, lambda: self.get(kind, name))

    def events(self, name: str) -> list[Json]:
        """Those of an object, in the order in which they happened."""
        found = self.cluster.items(f"{self.path('Event')}?fieldSelector=involvedObject.name%3D{name}")
        return sorted(found, key=_happened)

    def when_event(self, name: str, reason: str) -> Json:
        def look() -> Json | None:
            return next((event for event in self.events(name) if event["reason"] == reason), None)

        return within(SOON_S, look, lambda: [event["reason"] for event in self.events(name)])

    def kubectl(self, *words: str, **options: Any) -> str:
        return self.cluster.kubectl("--namespace", self.name, *words, **options)


class Workers:
    """Hollow nodes: for the scheduler they are machines, and nothing runs on them. Kept ready by a thread."""

    def __init__(self, cluster: Cluster, names: Sequence[str], *, cpu: str, memory: str) -> None:
        self._cluster = cluster
        self._names = names
        self._capacity = {"cpu": cpu, "memory": memory, "pods": "110"}
        self._over = threading.Event()
        self._beating = threading.Thread(target=self._beat, daemon=True)

    def start(self) -> None:
        for name in self._names:
            self._cluster.create("/api/v1/nodes", {"metadata": {"name": name}})
            lease = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": _micro()}
            body = {"metadata": {"name": name}, "spec": lease}
            self._cluster.create(f"{_LEASES}", body)
            status = {"capacity": self._capacity, "allocatable": self._capacity, "conditions": [_ready()]}
            self._cluster.merge(f"/api/v1/nodes/{name}/status", {"status": status})
        self._beating.start()

    def stop(self) -> None:
        self._over.set()
        self._beating.join()
        for name in self._names:
            self._cluster.delete(f"/api/v1/nodes/{name}")

    def _beat(self) -> None:
        while not self._over.wait(4):
            for name in self._names:
                try:
                    self._cluster.merge(f"{_LEASES}/{name}", {"spec": {"renewTime": _micro()}})
                except OSError:
                    continue  # the API server is being restarted


_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


def within(seconds: float, look: Callable[[], Any], last: Callable[[], Any] = lambda: "") -> Any:
    """The first true answer. Fails after so long, telling what there was instead."""
    seconds *= PATIENCE
    deadline, doubt_at = time.monotonic() + seconds, 0.0
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {json.dumps(last(), default=str)}"
        if time.monotonic() >= doubt_at:
            assert not (why := _hopeless.get()()), f"never: {why}"
            doubt_at = time.monotonic() + 1
        time.sleep(0.1)
    return found


_hopeless: ContextVar[Callable[[], object]] = ContextVar("hopeless", default=lambda: None)


@contextmanager
def hopeless_once(why: Callable[[], object]) -> Iterator[None]:
    """Nobody in this thread waits any longer once this is true; it is asked once a second."""
    token = _hopeless.set(why)
    try:
        yield
    finally:
        _hopeless.reset(token)


def condition(thing: Json, kind: str) -> str:
    """The status of a condition; empty where it is not there."""
    found = (each for each in thing.get("status", {}).get("conditions") or () if each["type"] == kind)
    return next((str(each["status"]) for each in found), "")


def flattened(config: Path, into: Path) -> Path:
    """The kubeconfig of an existing cluster with its files read into it."""
    words = ["kubectl", f"--kubeconfig={config}", "config", "view", "--raw", "--flatten", "--minify"]
    into.write_text(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    into.chmod(0o600)
    return into


def decoded(secret: Json) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


def _good(answer: Answer) -> Any:
    assert answer.status < 300, answer.body
    return answer.body


def _happened(event: Json) -> tuple[str, str]:
    stamp = event.get("firstTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
    return str(stamp)[:19], str(event["metadata"]["creationTimestamp"])


def _micro() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _ready() -> Json:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "hollow",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }
