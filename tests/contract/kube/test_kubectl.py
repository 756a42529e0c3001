"""What a person types: real kubectl binaries against the server under test."""

import json
import os
import signal
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.kube.client import Client, eventually, pod
from tests.contract.kube.test_kubelet_proxy import machine, placed

__all__ = ["machine", "placed"]

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: main
        image: "nginx:1"
        env: [{name: A, value: "1"}, {name: B, value: "2"}]
        ports: [{containerPort: 80}]
      - {name: side, image: "busybox:1"}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: "1", b: "2"}
"""


class Kubectl:
    def __init__(self, path: str, kubeconfig: Path, space: str, home: Path) -> None:
        self._command = [path, f"--kubeconfig={kubeconfig}", f"--namespace={space}", f"--cache-dir={home}"]
        self._env = {**os.environ, "HOME": str(home)}

    def run(self, *words: str, stdin: str = "", fails: bool = False) -> str:
        """Standard output; with `fails`, standard error of a command that must not succeed."""
        done = subprocess.run(
            [*self._command, *words], input=stdin, capture_output=True, text=True, timeout=40, env=self._env
        )
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "-o", "json"))

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen([*self._command, *words], stdout=subprocess.PIPE, text=True, env=self._env)


@pytest.fixture
def kubectl(kubectl_path: str, kubeconfig: Path, space: str, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    home = tmp_path_factory.getbasetemp() / "home" / kubectl_path.strip("/").replace("/", "-")
    home.mkdir(parents=True, exist_ok=True)
    return Kubectl(kubectl_path, kubeconfig, space, home)


@pytest.fixture
def watching(kubectl: Kubectl) -> Iterator[Any]:
    """Starts commands that run on; they are interrupted when the test ends."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> "subprocess.Popen[str]":
        started.append(kubectl.start(*words))
        return started[-1]

    yield start
    for process in started:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.strip().splitlines()]


def test_apply_merges_what_changed(kubectl: Kubectl) -> None:
    assert kubectl.run("apply", "-f", "-", stdin=MANIFEST).count("created") == 3
    assert kubectl.run("apply", "-f", "-", stdin=MANIFEST).count("unchanged") == 3
    kubectl.run("annotate", "deployment", "web", "kept=yes")
    changed = MANIFEST.replace('{name: B, value: "2"}', '{name: C, value: "3"}').replace('a: "1", b: "2"', 'b: "2"')
    out = kubectl.run("apply", "-f", "-", stdin=changed.replace('      - {name: side, image: "busybox:1"}\n', ""))
    assert out.count("configured") == 2
    made = kubectl.json("get", "deployment", "web")
    containers = made["spec"]["template"]["spec"]["containers"]
    assert [item["name"] for item in containers] == ["main"]
    assert containers[0]["env"] == [{"name": "A", "value": "1"}, {"name": "C", "value": "3"}]
    assert made["metadata"]["annotations"]["kept"] == "yes"
    assert kubectl.json("get", "configmap", "settings")["data"] == {"b": "2"}


def test_unknown_fields_are_pointed_out(kubectl: Kubectl) -> None:
    wrong = MANIFEST.replace("replicas: 2", "replica: 2")
    assert "replica" in kubectl.run("apply", "-f", "-", stdin=wrong, fails=True)


def test_server_side_dry_run(kubectl: Kubectl) -> None:
    assert kubectl.run("apply", "--dry-run=server", "-f", "-", stdin=MANIFEST).count("server dry run") == 3
    assert kubectl.run("get", "deployments") == ""


def test_ways_of_getting(kubectl: Kubectl, space: str) -> None:
    kubectl.run("apply", "-f", "-", stdin=MANIFEST)
    assert lines(kubectl.run("get", "deployments"))[0] == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert lines(kubectl.run("get", "deploy", "-o", "wide"))[1][-3:] == ["main,side", "nginx:1,busybox:1", "app=web"]
    assert kubectl.run("get", "deploy,svc", "-o", "name").split() == ["deployment.apps/web", "service/web"]
    assert kubectl.run("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}") == "2"
    assert "kind: Deployment" in kubectl.run("get", "deploy", "web", "-o", "yaml")
    assert kubectl.run("get", "deploy", "-l", "app=web", "--no-headers").startswith("web ")
    assert kubectl.run("get", "deploy", "-l", "app!=web", "-o", "name") == ""
    assert lines(kubectl.run("get", "all", "-A"))[0][:2] == ["NAMESPACE", "NAME"]
    assert 'deployments.apps "absent" not found' in kubectl.run("get", "deploy", "absent", fails=True)
    assert lines(kubectl.run("get", "ns", space))[1][:2] == [space, "Active"]
    assert lines(kubectl.run("get", "cm", "--sort-by=.metadata.name", "--no-headers"))[-1][:2] == ["settings", "2"]


def test_changing(kubectl: Kubectl) -> None:
    kubectl.run("apply", "-f", "-", stdin=MANIFEST)
    kubectl.run("label", "deployment", "web", "tier=front")
    kubectl.run("annotate", "deployment", "web", "note=hello world")
    kubectl.run("scale", "deployment", "web", "--replicas=5")
    kubectl.run(
        "patch",
        "deployment",
        "web",
        "-p",
        '{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"s:2"}]}}}}',
    )
    kubectl.run(
        "patch", "deployment", "web", "--type=json", "-p", '[{"op":"replace","path":"/spec/minReadySeconds","value":2}]'
    )
    kubectl.run("patch", "deployment", "web", "--type=merge", "-p", '{"spec":{"minReadySeconds":3}}')
    kubectl.run(
        "patch", "deployment", "web", "--type=json", "-p", '[{"op":"remove","path":"/spec/nothing"}]', fails=True
    )
    kubectl.run("set", "image", "deployment/web", "main=nginx:9")
    made = kubectl.json("get", "deployment", "web")
    assert made["metadata"]["labels"] == {"app": "web", "tier": "front"}
    assert made["metadata"]["annotations"]["note"] == "hello world"
    assert (made["spec"]["replicas"], made["spec"]["minReadySeconds"]) == (5, 3)
    images = {item["name"]: item["image"] for item in made["spec"]["template"]["spec"]["containers"]}
    assert images == {"main": "nginx:9", "side": "s:2"}
    kubectl.run("label", "deployment", "web", "tier-")
    assert kubectl.json("get", "deployment", "web")["metadata"]["labels"] == {"app": "web"}


def test_creating_without_a_file(kubectl: Kubectl) -> None:
    kubectl.run("create", "job", "j", "--image=busybox", "--", "echo", "hi")
    kubectl.run("create", "configmap", "c", "--from-literal=a=b")
    kubectl.run("create", "secret", "generic", "s", "--from-literal=p=q")
    kubectl.run("create", "deployment", "d", "--image=nginx")
    kubectl.run("run", "p", "--image=busybox", "--restart=Never", "--", "sleep", "1")
    assert kubectl.json("get", "job", "j")["spec"]["template"]["spec"]["containers"][0]["command"] == ["echo", "hi"]
    assert kubectl.json("get", "secret", "s")["data"] == {"p": "cQ=="}
    assert kubectl.json("get", "pod", "p")["spec"]["restartPolicy"] == "Never"
    assert 'pods "p" already exists' in kubectl.run("run", "p", "--image=busybox", fails=True)


def test_watching(kubectl: Kubectl, watching: Any, client: Client, core: str) -> None:
    client.create(f"{core}/pods", pod())
    process = watching("get", "pods", "-w", "--no-headers")
    assert process.stdout.readline().split()[:3] == ["p", "0/1", "Pending"]
    state = {"name": "c", "image": "b", "imageID": "", "ready": True, "restartCount": 0, "state": {"running": {}}}
    client.patch(f"{core}/pods/p/status", {"status": {"phase": "Running", "containerStatuses": [state]}})
    assert process.stdout.readline().split()[:3] == ["p", "1/1", "Running"]


def test_waiting(kubectl: Kubectl, watching: Any, client: Client, core: str) -> None:
    client.create(f"{core}/pods", pod())
    process = watching("wait", "--for=condition=Ready", "pod/p", "--timeout=20s")
    client.patch(f"{core}/pods/p/status", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    assert process.stdout.readline() == "pod/p condition met\n"


def test_deleting_waits_for_the_end(watching: Any, client: Client, core: str, node: str) -> None:
    client.create(f"{core}/pods", pod(nodeName=node))
    process = watching("delete", "pod", "p", "--timeout=20s")
    eventually(lambda: client.get(f"{core}/pods/p").body["metadata"].get("deletionTimestamp"))
    assert process.poll() is None
    client.delete(f"{core}/pods/p", gracePeriodSeconds=0)
    assert process.wait(20) == 0


def test_deleting(kubectl: Kubectl, client: Client, core: str, node: str) -> None:
    client.create(f"{core}/pods", pod())
    assert 'pod "p" deleted' in kubectl.run("delete", "pod", "p")
    assert 'pods "p" not found' in kubectl.run("delete", "pod", "p", fails=True)
    assert kubectl.run("delete", "pod", "p", "--ignore-not-found") == ""
    client.create(f"{core}/pods", pod("bound", nodeName=node))
    kubectl.run("delete", "pod", "bound", "--wait=false")
    assert lines(kubectl.run("get", "pods", "--no-headers"))[0][2] == "Terminating"
    kubectl.run("delete", "pod", "bound", "--force", "--grace-period=0")
    assert kubectl.run("get", "pods", "-o", "name") == ""
    kubectl.run("apply", "-f", "-", stdin=MANIFEST)
    kubectl.run("delete", "-f", "-", stdin=MANIFEST)
    eventually(lambda: kubectl.run("get", "deploy,svc", "-o", "name") == "")


def test_describing(kubectl: Kubectl, client: Client, core: str, space: str, node: str) -> None:
    kubectl.run("apply", "-f", "-", stdin=MANIFEST)
    made = client.create(f"{core}/pods", pod(nodeName=node)).body
    event = {
        "metadata": {"generateName": "p."},
        "involvedObject": {"kind": "Pod", "namespace": space, "name": "p", "uid": made["metadata"]["uid"]},
        "reason": "Pulled",
        "message": "it came",
        "type": "Normal",
        "source": {"component": "kubelet", "host": "eci"},
        "firstTimestamp": made["metadata"]["creationTimestamp"],
        "lastTimestamp": made["metadata"]["creationTimestamp"],
        "count": 1,
    }
    assert client.create(f"{core}/events", event).status == 201
    text = kubectl.run("describe", "pod", "p")
    assert next(line.split()[:2] for line in text.splitlines() if "it came" in line) == ["Normal", "Pulled"]
    assert "kubelet, eci" in kubectl.run("get", "events", "-o", "wide")
    for what in (
        ("deployment", "web"),
        ("service", "web"),
        ("configmap", "settings"),
        ("node", node),
        ("namespace", space),
    ):
        assert what[1] in kubectl.run("describe", *what)
    assert lines(kubectl.run("get", "events", "--no-headers"))[0][1:4] == ["Normal", "Pulled", "pod/p"]
    assert kubectl.run("get", "events", "--field-selector", "involvedObject.name=absent", "--no-headers") == ""


def test_logs(kubectl: Kubectl, placed: Any, space: str) -> None:
    placed("p", containers=[{"name": "a", "image": "x"}, {"name": "b", "image": "x"}])
    assert kubectl.run("logs", "p", "-c", "b", "--tail=3", "--timestamps") in (
        f"asked /containerLogs/{space}/p/b?tailLines=3&timestamps=true\n",
        f"asked /containerLogs/{space}/p/b?timestamps=true&tailLines=3\n",
    )
    assert "container z is not valid for pod p" in kubectl.run("logs", "p", "-c", "z", fails=True)
    assert kubectl.run("logs", "p", "--all-containers").count("asked") == 2
    placed("waiting")
    assert "is waiting to start: ContainerCreating" in kubectl.run("logs", "waiting", fails=True)


def test_discovering(kubectl: Kubectl) -> None:
    words = {line[0] for line in lines(kubectl.run("api-resources", "--no-headers"))}
    assert {"pods", "nodes", "jobs", "cronjobs", "deployments", "leases", "events", "priorityclasses"} <= words
    assert "batch/v1" in kubectl.run("api-versions").split()
    assert "Server Version" in kubectl.run("version")
    assert "v1" in kubectl.run("explain", "pods")
    assert "containerPort" in kubectl.run("explain", "pod.spec.containers.ports")
    assert "backoffLimit" in kubectl.run("explain", "job.spec", "--recursive")
    assert "valueFrom" in kubectl.run("explain", "deployment.spec.template.spec.containers.env")
    assert kubectl.run("auth", "can-i", "create", "pods").strip() == "yes"


def test_draining(kubectl: Kubectl, client: Client, core: str, node: str) -> None:
    client.create(f"{core}/pods", pod(nodeName=node))
    made = kubectl.json("get", "node", node)["spec"]["taints"]
    assert [taint["key"] for taint in made] == ["node.kubernetes.io/not-ready"]  # until a controller sees it Ready
    kubectl.run("cordon", node)
    assert "SchedulingDisabled" in kubectl.run("get", "node", node)
    kubectl.run("uncordon", node)
    kubectl.run("taint", "node", node, "own=1:NoSchedule")
    taints = kubectl.json("get", "node", node)["spec"]["taints"]
    assert {"key": "own", "value": "1", "effect": "NoSchedule"} in taints
    client.delete(f"{core}/pods/p", gracePeriodSeconds=0)


def test_cron_job(kubectl: Kubectl, client: Client) -> None:
    stable = any(item["name"] == "cronjobs" for item in client.get("/apis/batch/v1").body["resources"])
    manifest = f"""
apiVersion: batch/{"v1" if stable else "v1beta1"}
kind: CronJob
metadata: {{name: c}}
spec:
  schedule: "*/5 * * * *"
  jobTemplate: {{spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: c, image: busybox}}]}}}}}}}}
"""
    kubectl.run("apply", "-f", "-", stdin=manifest)
    assert lines(kubectl.run("get", "cronjob", "c", "--no-headers"))[0][:2] == ["c", "*/5"]
    kubectl.run("patch", "cronjob", "c", "-p", '{"spec":{"suspend":true}}')
    spec = kubectl.json("get", "cronjob", "c")["spec"]
    assert (spec["suspend"], spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (True, 3, 1)


def test_quick_editing(kubectl: Kubectl) -> None:
    kubectl.run("create", "configmap", "c", "--from-literal=a=b")
    text = kubectl.run("get", "configmap", "c", "-o", "yaml").replace("a: b", "a: z")
    kubectl.run("replace", "-f", "-", stdin=textwrap.dedent(text))
    assert kubectl.json("get", "configmap", "c")["data"] == {"a": "z"}
    assert "the object has been modified" in kubectl.run("replace", "-f", "-", stdin=text, fails=True)
