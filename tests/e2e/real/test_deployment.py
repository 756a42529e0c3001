"""The Deployment of deploy/ on a real worker node: its image, its probes, its token and its rights, in the pod network.

No process of the test has a part in it: API server, kubelet, kube-proxy, the replicas and the fake cloud talk to each
other at addresses of pods and Services, as in any cluster.
"""

import json
import os
import shutil
import subprocess
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fakes.demo import PYTHON_PROGRAM
from tests import guide_commands
from tests.e2e import images, installed, kubeproxy, realnode
from tests.e2e.cluster import Cluster, Space, condition, within
from tests.e2e.manifests import FOR_EVER, job, pod
from tests.e2e.provider import REFUSED

Json = dict[str, Any]
NAMESPACE, NODE = installed.NAMESPACE, "virtual-kubelet"
CSR = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
FAKE_CLOUD = "10.96.0.80"  # its Service
ALIASES = [{"ip": FAKE_CLOUD, "hostnames": ["fake-cloud.vk-provider.svc"]}]
# What this cluster has not got is DNS: the fake cloud's address is fixed, and written where a resolver looks first.
PATCHES = [
    {
        "target": {"kind": "Service", "name": "fake-cloud"},
        "patch": json.dumps([{"op": "add", "path": "/spec/clusterIP", "value": FAKE_CLOUD}]),
    },
    {
        "target": {"kind": "Deployment", "name": "vk-provider"},
        "patch": json.dumps([{"op": "add", "path": "/spec/template/spec/hostAliases", "value": ALIASES}]),
    },
]
# The steps of the README, once its two images are in the node.
STEPS = (
    "kubectl apply -k deploy/overlays/local",
    "kubectl -n vk-provider rollout status deployment/vk-provider",
    "kubectl create namespace demo",
    "kubectl label namespace demo virtual-node-affinity-injection=enabled",
    "kubectl -n demo apply -f deploy/examples/pi.yaml",
    "kubectl -n demo wait --for=condition=complete job/pi --timeout=180s",
)
APPROVE, LOGS = (
    "kubectl certificate approve kubelet-serving-virtual-kubelet",
    "kubectl -n demo logs job/pi",
)
DOCTOR = "kubectl -n vk-provider exec deploy/vk-provider -- vk-provider doctor"
FORWARD = "kubectl -n vk-provider port-forward deploy/vk-provider 10262"


class Installed:
    """The local overlay on the real node, as an operator would apply it."""

    def __init__(self, cluster: Cluster, checkout: Path) -> None:
        self.cluster = cluster
        self._checkout = checkout

    def type(self, command: str) -> str:
        """A command of the README, in a checkout."""
        assert command in guide_commands.in_guides(), f"no guide says {command}"
        env = {**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig)}
        options: Json = {"cwd": self._checkout, "env": env, "capture_output": True, "text": True, "check": False}
        done = subprocess.run(["sh", "-ec", command], timeout=300, **options)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return str(done.stdout)

    def try_to_type(self, command: str) -> str:
        """Empty while it fails."""
        try:
            return self.type(command)
        except AssertionError:
            return ""

    def replicas(self) -> list[Json]:
        return self.cluster.items(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app%3Dvk-provider")

    def said(self) -> str:
        """What both replicas have logged."""
        return self.cluster.kubectl("-n", NAMESPACE, "logs", "-l", "app=vk-provider", "--tail=-1", "--prefix")

    def node(self) -> Json:
        return self.cluster.get(f"/api/v1/nodes/{NODE}") or {}

    def leader(self) -> Json:
        """The replica at whose address the node is."""
        addresses = {each["address"] for each in self.node()["status"]["addresses"]}
        return next(each for each in self.replicas() if each["status"]["podIP"] in addresses)

    def approve(self) -> None:
        """As the README says; where requests are approved without a person, there is nothing left to do."""
        for each in self.cluster.items(CSR):
            if not each["status"].get("conditions"):
                self.cluster.kubectl("certificate", "approve", each["metadata"]["name"])

    def serves(self, space: Space, name: str) -> bool:
        """Whether the API server trusts the kubelet API of the virtual node."""
        self.approve()
        return self.cluster.run_kubectl("-n", space.name, "logs", name).returncode == 0


def _tables() -> str:
    """Those of nftables, of which kube-proxy makes one."""
    return subprocess.run(["nft", "list", "tables"], check=True, capture_output=True, text=True, timeout=30).stdout


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return Cluster(Path(os.environ["VK_E2E_KUBECONFIG"]), address=realnode.ADDRESS)


@pytest.fixture(scope="module")
def install(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp("deployment")
    for archive in images.archives().values():
        subprocess.run(["ctr", "--namespace=k8s.io", "images", "import", str(archive)], check=True, timeout=300)
    proxy = kubeproxy.proxy(folder, kubeconfig=cluster.kubeconfig, node=realnode.NODE)
    overlay = installed.filled_in(folder / "deploy") / "overlays" / "local"
    kustomization = yaml.safe_load((overlay / "kustomization.yaml").read_text())
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump({**kustomization, "patches": PATCHES}))
    proxy.start()
    within(60, lambda: "kube-proxy" in _tables(), proxy.tail)
    try:
        yield Installed(cluster, folder)
    finally:
        if keep := os.environ.get("VK_E2E_KEEP"):
            shutil.copy(proxy.log, keep)
        cluster.delete("/api/v1/namespaces/demo")
        within(120, lambda: cluster.get("/api/v1/namespaces/demo") is None)  # its pods end while the provider is there
        installed.remove(cluster, overlay)
        proxy.stop()


@pytest.fixture(scope="module")
def running(install: Installed) -> Installed:
    """After the steps of the README: both replicas ready by their probes, and the Job run."""
    for command in STEPS:
        install.type(command)
    return install


@pytest.fixture(scope="module")
def with_processes(running: Installed) -> Installed:
    """Then with a fake cloud that runs programs, so that there is something to exec into."""
    containers = [{"name": "fake-cloud", "args": ["--runtime=process"]}]
    patch = json.dumps({"spec": {"template": {"spec": {"containers": containers}}}})
    running.cluster.delete("/api/v1/namespaces/demo")
    within(60, lambda: running.cluster.get("/api/v1/namespaces/demo") is None)
    running.cluster.kubectl("-n", NAMESPACE, "patch", "deployment", "fake-cloud", "--patch", patch)
    status = ["-n", NAMESPACE, "rollout", "status", "deployment/fake-cloud", "--timeout=120s"]
    running.cluster.kubectl(*status, within_s=150)
    within(60, lambda: condition(running.node(), "CloudAPIAvailable") == "True", running.said)
    return running


@pytest.fixture
def labelled(with_processes: Installed) -> Iterator[Space]:
    running = with_processes
    space = Space(running.cluster, f"t-{uuid.uuid4().hex[:8]}")
    space.make()
    running.cluster.kubectl("label", "namespace", space.name, "virtual-node-affinity-injection=enabled")
    yield space
    running.cluster.delete(f"/api/v1/namespaces/{space.name}")
    within(90, lambda: running.cluster.get(f"/api/v1/namespaces/{space.name}") is None)


def test_the_readme_leads_to_the_founding_job(running: Installed) -> None:
    pods = running.cluster.items("/api/v1/namespaces/demo/pods")
    assert [(each["spec"]["nodeName"], each["status"]["phase"]) for each in pods] == [(NODE, "Succeeded")]
    if any(not each["status"].get("conditions") for each in running.cluster.items(CSR)):
        running.type(APPROVE)
    within(60, lambda: "simulated line" in running.try_to_type(LOGS), running.said)


def test_two_replicas_run_as_the_manifest_confines_them(running: Installed) -> None:
    assert len(running.replicas()) == 2
    for each in running.replicas():
        assert each["spec"]["nodeName"] == realnode.NODE
        (status,) = each["status"]["containerStatuses"]
        assert (status["ready"], status["restartCount"]) == (True, 0)
    assert condition(running.node(), "ProviderHealthy") != "False"
    assert REFUSED.search(running.said()) is None


def test_doctor_in_the_container_has_the_settings_of_what_runs_there(running: Installed) -> None:
    """Who leads is said where nodes/proxy may be asked, which the provider's own account may not."""
    text = running.type(DOCTOR)
    for line in ("ok    API server", "ok    permissions", "ok    node", "ok    cloud credentials"):
        assert line in text
    assert "FAIL" not in text


def test_the_live_page_is_reached_by_port_forward(running: Installed) -> None:
    """It is off by default, and on after the setting of the guide."""
    address = {"name": "VK_DASHBOARD_ADDRESS", "value": "127.0.0.1:10262"}
    patch = json.dumps([{"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": address}])
    running.cluster.kubectl("-n", NAMESPACE, "patch", "deployment", "vk-provider", "--type=json", "--patch", patch)
    status = ["-n", NAMESPACE, "rollout", "status", "deployment/vk-provider", "--timeout=180s"]
    running.cluster.kubectl(*status, within_s=200)
    assert FORWARD in guide_commands.in_guides()
    env = {**os.environ, "KUBECONFIG": str(running.cluster.kubeconfig)}
    forward = subprocess.Popen(FORWARD.split(), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert "<title>vk-provider</title>" in within(60, _page)
    finally:
        forward.terminate()
        forward.wait(30)


def _page() -> str:
    try:
        with urllib.request.urlopen("http://localhost:10262/", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def test_the_founding_job_runs_and_its_log_and_exec_come_by_the_pod_network(
    running: Installed, labelled: Space
) -> None:
    container = {"name": "pi", "image": "python", "command": ["python3", "-c", PYTHON_PROGRAM]}
    resources = {"requests": {"cpu": "16", "memory": "32Gi"}}
    labelled.create(job("pi", {"containers": [{**container, "resources": resources}], "restartPolicy": "Never"}))
    labelled.when("Job", "pi", lambda found: condition(found, "Complete") == "True", within_s=120)
    (done,) = labelled.pods("job-name=pi")
    assert done["spec"]["nodeName"] == NODE
    within(60, lambda: running.serves(labelled, done["metadata"]["name"]), running.said)
    assert labelled.kubectl("logs", done["metadata"]["name"]).startswith("3.14159")
    waits = {"command": ["python3", "-c", "import time; time.sleep(600)"]}
    labelled.create(pod("waits", FOR_EVER, image="python", nodeSelector={}, container=waits))
    labelled.when_ready("waits")
    said = labelled.kubectl("exec", "waits", "--", "python3", "-c", "print(6 * 7)")
    assert said == "42\n"


def test_a_roll_out_changes_nothing_for_what_runs(running: Installed, labelled: Space) -> None:
    waits = {"command": ["python3", "-c", "import time; print('up', flush=True); time.sleep(600)"]}
    labelled.create(pod("runs", FOR_EVER, image="python", nodeSelector={}, container=waits))
    labelled.when_ready("runs")
    before = {each["metadata"]["uid"] for each in running.replicas()}
    running.cluster.kubectl("-n", NAMESPACE, "rollout", "restart", "deployment/vk-provider")
    deployment = ["-n", NAMESPACE, "rollout", "status", "deployment/vk-provider", "--timeout=180s"]
    seen: set[str] = set()

    def replaced() -> bool:
        seen.add(condition(running.node(), "Ready"))
        return not before & {each["metadata"]["uid"] for each in running.replicas()}

    within(240, replaced, lambda: [each["status"] for each in running.replicas()])
    running.cluster.kubectl(*deployment, within_s=200)
    assert seen == {"True"}
    found = labelled.get("Pod", "runs")
    assert found["status"]["phase"] == "Running"
    assert found["status"]["containerStatuses"][0]["restartCount"] == 0
    within(60, lambda: running.leader()["metadata"]["uid"] not in before)
    within(60, lambda: running.serves(labelled, "runs"), running.said)
    assert labelled.kubectl("logs", "runs") == "up\n"
