"""Protobuf bodies through the HTTPS door: recorded and broken ones, and those real kubectls send."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.contract.kube.client import Client, eventually, pod
from tests.programs import NO_KUBECTL

PROTOBUF = {"Content-Type": "application/vnd.kubernetes.protobuf"}
KUBECTLS = [path for path in (shutil.which("kubectl"), *os.environ.get("KUBECTL", "").split(os.pathsep)) if path]
RECORDED = {
    case["command"]: bytes.fromhex(case["body"])
    for case in json.loads(Path(__file__).with_name("test_protobuf_kubectl.json").read_text())
}


@pytest.fixture(scope="module")
def kubeconfig() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        config, ready = Path(folder) / "kubeconfig", Path(folder) / "ready"
        command = [sys.executable, "-m", "fakes", "kube", "--kubeconfig", str(config), "--ready-file", str(ready)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            try:
                eventually(lambda: ready.exists() or process.poll() is not None, within_s=30)
                assert process.poll() is None, process.stdout.read().decode()
                yield config
            finally:
                process.terminate()
                process.communicate(timeout=10)


@pytest.fixture(scope="module")
def client(kubeconfig):
    return Client(kubeconfig)


def test_a_recorded_body_is_an_object_like_any_other(client):
    made = client.send("POST", "/api/v1/namespaces", RECORDED["kubectl create namespace team"], **PROTOBUF)
    assert (made.status, made.body["metadata"]["name"], made.body["kind"]) == (201, "team", "Namespace")
    again = client.send("POST", "/api/v1/namespaces", RECORDED["kubectl create namespace team"], **PROTOBUF)
    assert (again.status, again.reason) == (409, "AlreadyExists")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"kind":"Namespace"}', id="JSON"),
        pytest.param(b"k8s\0\xff\xff", id="noise"),
        pytest.param(RECORDED["kubectl create namespace team"][:-9], id="cut"),
    ],
)
def test_what_is_no_object_is_a_bad_request(client, body):
    answer = client.send("POST", "/api/v1/namespaces", body, **PROTOBUF)
    assert (answer.status, answer.reason) == (400, "BadRequest")
    assert answer.body["message"].startswith("the object provided is unrecognized: ")


def test_options_of_a_delete_are_read(client):
    """A precondition in protobuf form holds, so the body was understood."""
    client.create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "kept"}})
    options = b"k8s\0\x0a\x13\x0a\x02v1\x12\x0dDeleteOptions\x12\x09\x12\x07\x0a\x05other"
    refused = client.send("DELETE", "/api/v1/namespaces/default/configmaps/kept", options, **PROTOBUF)
    assert (refused.status, refused.reason) == (409, "Conflict")
    assert client.get("/api/v1/namespaces/default/configmaps/kept").status == 200


@dataclass(frozen=True)
class Kubectl:
    path: str
    kubeconfig: Path
    home: Path
    space: str

    def __call__(self, *words: str) -> str:
        command = [
            self.path,
            f"--kubeconfig={self.kubeconfig}",
            f"--cache-dir={self.home}",
            f"--namespace={self.space}",
        ]
        environment = {**os.environ, "HOME": str(self.home)}
        done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=60, env=environment)
        assert done.returncode == 0, (words, done.stdout + done.stderr)
        return done.stdout

    def json(self, *words: str) -> dict[str, object]:
        return json.loads(self("get", *words, "-o", "json"))


@pytest.fixture(params=KUBECTLS or [pytest.param("", marks=pytest.mark.skip(reason=NO_KUBECTL))])
def kubectl(request, kubeconfig, tmp_path) -> Kubectl:
    made = Kubectl(request.param, kubeconfig, tmp_path, f"t-{KUBECTLS.index(request.param)}-{os.urandom(4).hex()}")
    made("create", "namespace", made.space)
    return made


CREATED = [
    ("serviceaccount robot", "serviceaccount/robot", lambda made: made["metadata"]["name"] == "robot"),
    ("configmap settings --from-literal=a=b", "configmap/settings", lambda made: made["data"] == {"a": "b"}),
    ("secret generic login --from-literal=a=b", "secret/login", lambda made: made["data"] == {"a": "Yg=="}),
    (
        "job sum --image=perl -- perl -e 1",
        "job/sum",
        lambda made: made["spec"]["template"]["spec"]["restartPolicy"] == "Never",
    ),
    (
        "cronjob tick --image=busybox --schedule=@daily",
        "cronjobs.v1.batch/tick",
        lambda made: made["spec"]["schedule"] == "@daily",
    ),
    (
        "deployment web --image=nginx --replicas=0 --port=80",
        "deployment/web",
        lambda made: made["spec"]["replicas"] == 0,
    ),
    (
        "service clusterip front --tcp=80:http",
        "service/front",
        lambda made: made["spec"]["ports"][0]["targetPort"] == "http",
    ),
    (
        "quota bound --hard=cpu=4,pods=10",
        "quota/bound",
        lambda made: made["spec"]["hard"] == {"cpu": "4", "pods": "10"},
    ),
    (
        "poddisruptionbudget keep --selector=a=b --min-available=50%",
        "pdb/keep",
        lambda made: made["spec"]["minAvailable"] == "50%",
    ),
    ("role reader --verb=get --resource=pods", "role/reader", lambda made: made["rules"][0]["verbs"] == ["get"]),
    (
        "rolebinding reads --role=reader --user=eve",
        "rolebinding/reads",
        lambda made: made["subjects"][0]["name"] == "eve",
    ),
]


@pytest.mark.parametrize(("words", "where", "holds"), [pytest.param(*case, id=case[1]) for case in CREATED])
def test_kubectl_create(kubectl, words, where, holds: Callable[[dict[str, object]], bool]):
    kubectl("create", *words.split())
    assert holds(kubectl.json(where))


CLUSTER_WIDE = [
    ("priorityclass {} --value=-5", "priorityclass", lambda made: made["value"] == -5),
    (
        "clusterrole {} --verb=get --non-resource-url=/x",
        "clusterrole",
        lambda made: made["rules"][0]["nonResourceURLs"] == ["/x"],
    ),
    (
        "clusterrolebinding {} --clusterrole=view --group=g",
        "clusterrolebinding",
        lambda made: made["subjects"][0]["kind"] == "Group",
    ),
]


@pytest.mark.parametrize(("words", "kind", "holds"), [pytest.param(*case, id=case[1]) for case in CLUSTER_WIDE])
def test_kubectl_create_cluster_wide(kubectl, words, kind, holds):
    kubectl("create", *words.format(kubectl.space).split())
    assert holds(kubectl.json(kind, kubectl.space))


def test_kubectl_run_expose_and_scale(kubectl):
    kubectl("run", "one", "--image=nginx", "--port=80", "--labels=app=one")
    kubectl("expose", "pod", "one", "--port=80")
    assert kubectl.json("service/one")["spec"]["ports"][0]["targetPort"] == 80
    kubectl("create", "deployment", "web", "--image=nginx")
    kubectl("scale", "deployment", "web", "--replicas=0")
    assert kubectl.json("deployment/web")["spec"]["replicas"] == 0
    assert kubectl("auth", "can-i", "get", "pods") == "yes\n"


def test_kubectl_drain(kubectl, client):
    """Evictions, and the waiting for them, of a pod nobody runs: it goes at once, since no node confirms it."""
    node = f"n-{kubectl.space}"
    assert client.create("/api/v1/nodes", {"metadata": {"name": node}}).status == 201
    stranded = pod()
    stranded["metadata"]["name"] = "stranded"
    stranded["spec"]["nodeName"] = node
    stranded["spec"]["terminationGracePeriodSeconds"] = 0
    assert client.create(f"/api/v1/namespaces/{kubectl.space}/pods", stranded).status == 201
    kubectl("drain", node, "--force", "--timeout=30s")
    assert client.get(f"/api/v1/namespaces/{kubectl.space}/pods/stranded").status == 404
    assert client.get(f"/api/v1/nodes/{node}").body["spec"]["unschedulable"] is True


def test_kubectl_accounts(kubectl, client, kubeconfig):
    kubectl("create", "serviceaccount", "robot")
    assert kubectl.json("serviceaccount/robot")["metadata"]["namespace"] == kubectl.space
    if "\n  token " not in kubectl("create", "--help"):  # 1.24 brought it
        return
    token = kubectl("create", "token", "robot", "--duration=1h").strip()
    answer = Client(kubeconfig, token=token).get("/api/v1/nodes")
    assert (answer.status, answer.reason) == (403, "Forbidden"), "known, and allowed nothing"


def test_a_token_asked_for_in_protobuf_works(client, kubeconfig):
    asked = b"\x0a\x28\x0a\x18authentication.k8s.io/v1\x12\x0cTokenRequest\x12\x05\x12\x03\x20\x90\x1c"
    made = client.send("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", b"k8s\0" + asked, **PROTOBUF)
    assert (made.status, made.body["spec"]["expirationSeconds"]) == (201, 3600)
    assert Client(kubeconfig, token=made.body["status"]["token"]).get("/api/v1/nodes").status == 403
