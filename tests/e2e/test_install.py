"""deploy/ as an operator installs it, each way, on a cluster where nothing is installed yet.

What is installed is then used as it stands: the provider is started with the command, the environment, the files and
the ServiceAccount's token that its Deployment would give it, and nothing else.
"""

import base64
import os
import re
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from fakes import perl
from tests import chart
from tests.e2e import cloud
from tests.e2e.cluster import PATIENCE, Cluster, Space, condition, within
from tests.e2e.helm import HELM
from tests.e2e.installed import ACCOUNT, NAMESPACE, is_new, remove
from tests.e2e.manifests import Json, job
from tests.e2e.processes import Process
from tests.e2e.provider import REFUSED
from tests.e2e.services import ServiceAddress
from tests.e2e.test_founding_job import founding_pod
from tests.test_guides import rights_of_the_guide

OVERLAYS = sorted(path.name for path in (chart.DEPLOY / "overlays").iterdir())
CRDS = "preemptible/crds.yaml"
FOR_OLD = [name for name in OVERLAYS if name.endswith("webhook")]
NEWER = {"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy", "FlowSchema",
         "ValidatingAdmissionPolicyBinding", "PodDisruptionBudget"}  # fmt: skip
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_overlay_is_applied(empty: Cluster, deploy: Path, overlay: str) -> None:
    """All of it where the guide says so; elsewhere all but the kinds that this version does not know."""
    folder = deploy / "overlays" / overlay
    if overlay == "preemptible":  # its first lines say that these come first
        empty.kubectl("apply", "-f", str(deploy / CRDS))
        empty.kubectl("wait", "--for=condition=Established", "--timeout=60s", "-f", str(deploy / CRDS))
    try:
        done = empty.run_kubectl("apply", "-k", str(folder))
        if is_new(empty) or overlay in FOR_OLD:
            assert done.returncode == 0, done.stderr
            assert done.stderr == ""  # warnings are of Pod Security, and of what is deprecated
            empty.kubectl("apply", "-k", str(folder))  # as after an edit
        else:
            unknown = set(re.findall(r'no matches for kind "(\w+)"', done.stderr))  # as a kubectl of any age says it
            assert unknown
            assert unknown <= NEWER
        if overlay != "policy-only":
            assert empty.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/vk-provider")
            pods_are_admitted(empty)
    finally:
        remove(empty, folder)
        empty.run_kubectl("delete", "--ignore-not-found", "-f", str(deploy / CRDS))


def pods_are_admitted(cluster: Cluster) -> None:
    """The Deployments' pods pass the namespace's Pod Security, and what else the API server has to say."""
    within(20, lambda: cluster.get(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"))
    for each in cluster.items(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"):
        template = each["spec"]["template"]
        pod = {"metadata": {**template["metadata"], "name": "trial"}, "spec": template["spec"]}
        path = f"/api/v1/namespaces/{NAMESPACE}/pods?dryRun=All"
        within(20, lambda path=path, pod=pod: cluster.client.create(path, pod).status == 201)


@pytest.mark.parametrize("example", ["self-built", "ack", "local"])
def test_the_chart_is_installed_upgraded_and_removed(empty: Cluster, deploy: Path, example: str) -> None:
    program = str(HELM.program())
    values = f"--values={deploy / 'chart' / 'examples' / example}.yaml"
    where = [f"--kubeconfig={empty.kubeconfig}", f"--namespace={NAMESPACE}"]

    def run(*words: str) -> str:
        done = subprocess.run(
            [program, *words, *where], capture_output=True, text=True, check=False, timeout=120 * PATIENCE
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        run("install", "vk-provider", str(deploy / "chart"), "--create-namespace", values)
        assert "STATUS: deployed" in run("status", "vk-provider")
        run("upgrade", "vk-provider", str(deploy / "chart"), values, "--set=replicas=3")
        found = empty.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/vk-provider") or {}
        assert found["spec"]["replicas"] == 3
        pods_are_admitted(empty)
        kinds = {each["kind"] for each in yaml.safe_load_all(run("get", "manifest", "vk-provider")) if each}
        assert (kinds >= NEWER) == is_new(empty)
        run("uninstall", "vk-provider")
        assert empty.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/vk-provider") is None
    finally:
        empty.delete(f"/api/v1/namespaces/{NAMESPACE}")
        within(90, lambda: empty.get(f"/api/v1/namespaces/{NAMESPACE}") is None)


# --- the provider as its Deployment would run it ----------------------------------------------------------------------


class Deployed:
    """The local overlay, applied, and one replica of its Deployment as a process of ours."""

    def __init__(self, cluster: Cluster, deploy: Path, directory: Path, *, images: str) -> None:
        self.cluster = cluster
        self.overlay = deploy / "overlays" / ("local" if is_new(cluster) else "local-webhook")
        self._directory = directory / "deployed"
        self._directory.mkdir()
        cluster.kubectl("apply", "-k", str(self.overlay))
        file = self._directory / "images.toml"
        file.write_text(images)
        flags = ["--runtime=process", f"--images={file}", "--start-delay=0.3", "--host=127.0.0.1", "--port=8080"]
        self.cloud = Process("cloud", [sys.executable, "-m", "fakes", "cloud", *flags], directory=self._directory)
        self._services: list[ServiceAddress] = []
        self.replica: Process | None = None

    def start(self) -> None:
        server = yaml.safe_load(self.cluster.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        self._carry("default", "kubernetes", 443, to=("127.0.0.1", int(server.rpartition(":")[2])))
        fake = self._carry(NAMESPACE, "fake-cloud", 8080, to=("127.0.0.1", 8080))
        if self.overlay.name != "local":
            self._carry(NAMESPACE, "vk-provider-webhook", 443, to=("127.0.0.1", 10262))
        self.cloud.start()
        (self._directory / "hosts").write_text(f"127.0.0.1 localhost\n{fake} fake-cloud.{NAMESPACE}.svc\n")
        self.replica = self._replica()
        self.replica.start()
        within(60, self.is_ready, self.replica.tail)

    def is_ready(self) -> bool:
        """By the probes that the Deployment has, and by the node."""
        assert self.replica is not None
        assert self.replica.runs, self.replica.tail()
        container = self._pod["containers"][0]
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        for kind in ("livenessProbe", "readinessProbe"):
            probe = container[kind]["httpGet"]
            url = f"http://{self.cluster.address}:{ports[probe['port']]}{probe['path']}"
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    assert answer.read() == b"ok\n"
            except OSError:
                return False
        node = self.cluster.get("/api/v1/nodes/virtual-kubelet")
        return node is not None and condition(node, "Ready") == "True"

    def stop(self) -> None:
        if self.replica is not None:
            self.replica.stop()
        self.cloud.stop()
        for each in self._services:
            each.close()
        self.cluster.delete("/api/v1/nodes/virtual-kubelet")
        remove(self.cluster, self.overlay)

    @property
    def _pod(self) -> Json:
        found = self.cluster.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/vk-provider") or {}
        spec: Json = found["spec"]["template"]["spec"]
        return spec

    def _carry(self, namespace: str, name: str, port: int, *, to: tuple[str, int]) -> str:
        service = self.cluster.get(f"/api/v1/namespaces/{namespace}/services/{name}") or {}
        address = str(service["spec"]["clusterIP"])
        self._services.append(ServiceAddress(address, port, to=to, label=f"svc{len(self._services)}"))
        return address

    def _replica(self) -> Process:
        """Its files are bound to where the pod has them, in mounts of its own."""
        container = self._pod["containers"][0]
        config, account = self._directory / "config", self._directory / "account"
        config.mkdir()
        account.mkdir()
        settings = self.cluster.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/vk-provider") or {}
        for name, text in settings["data"].items():
            (config / name).write_text(text)
        server = yaml.safe_load(self.cluster.kubeconfig.read_text())["clusters"][0]["cluster"]
        (account / "ca.crt").write_bytes(base64.b64decode(server["certificate-authority-data"]))
        (account / "token").write_text(self.cluster.token_of(self._pod["serviceAccountName"], namespace=NAMESPACE))
        (account / "namespace").write_text(NAMESPACE)
        mounts = [(config, "/etc/vk-provider"), (account, SERVICE_ACCOUNT), (self._directory / "hosts", "/etc/hosts")]
        lines = ["set -e", "mount -t tmpfs tmpfs /run", f"mkdir -p /etc/vk-provider {SERVICE_ACCOUNT}"]
        lines += [f"mount --bind {source} {target}" for source, target in mounts]
        script = self._directory / "replica.sh"
        script.write_text("\n".join([*lines, 'exec "$@"\n']))
        command = ["unshare", "--mount", "sh", str(script), "env", "-i", *self._environment(container)]
        program = [sys.executable, "-m", "vk_provider"]
        return Process("replica", [*command, *program, *container["args"]], directory=self._directory)

    def _environment(self, container: Json) -> list[str]:
        fields = {"status.podIP": self.cluster.address, "metadata.uid": str(uuid.uuid4())}
        found = {each["name"]: each["value"] for each in container["env"] if "value" in each}
        referred = {each["name"]: each["valueFrom"]["fieldRef"] for each in container["env"] if "valueFrom" in each}
        found |= {name: fields[reference["fieldPath"]] for name, reference in referred.items()}
        for source in container.get("envFrom", ()):
            name = source["secretRef"]["name"]
            secret = self.cluster.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}") or {}
            found |= {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
        service = self.cluster.get("/api/v1/namespaces/default/services/kubernetes") or {}
        found |= {"KUBERNETES_SERVICE_HOST": service["spec"]["clusterIP"], "KUBERNETES_SERVICE_PORT": "443"}
        return [f"{name}={value}" for name, value in {**found, "PATH": "/usr/bin:/bin"}.items()]


@pytest.fixture(scope="module")
def deployed(empty: Cluster, deploy: Path, directory: Path, able_perl: perl.Perl | None) -> Iterator[Deployed]:
    if os.geteuid() != 0:
        pytest.skip("only root can give a process the files of a pod where the pod has them")
    images = cloud.images(able_perl.library) if able_perl else ""
    deployed = Deployed(empty, deploy, directory, images=images)
    try:
        deployed.start()
        yield deployed
    finally:
        deployed.stop()


@pytest.fixture
def labelled(deployed: Deployed) -> Iterator[Space]:
    """A namespace as the README labels it."""
    space = Space(deployed.cluster, f"t-{uuid.uuid4().hex[:8]}")
    space.make()
    deployed.cluster.kubectl("label", "namespace", space.name, "virtual-node-affinity-injection=enabled")
    yield space
    deployed.cluster.delete(f"/api/v1/namespaces/{space.name}")
    within(60, lambda: deployed.cluster.get(f"/api/v1/namespaces/{space.name}") is None)


def test_as_deployed_it_runs_the_founding_job_in_a_labelled_namespace(
    deployed: Deployed, labelled: Space, able_perl: perl.Perl | None
) -> None:
    labelled.create(job("pi", founding_pod(able_perl)))
    labelled.when("Job", "pi", lambda found: condition(found, "Complete") == "True", within_s=180)
    (pod,) = labelled.pods("job-name=pi")
    assert pod["spec"]["nodeName"] == "virtual-kubelet"
    digits = labelled.kubectl("logs", pod["metadata"]["name"])
    assert digits.startswith("3.14159")
    assert len("".join(digits.split())) > 2000


def test_as_deployed_it_lacks_no_right(deployed: Deployed, labelled: Space) -> None:
    assert deployed.replica is not None
    assert REFUSED.search(deployed.replica.log.read_text()) is None


# --- rights -----------------------------------------------------------------------------------------------------------


def rules_of(cluster: Cluster, account: str, namespace: str) -> dict[str, set[str]]:
    """What `kubectl auth can-i --list` shows: resource, with names if limited to some, to verbs."""
    config = cluster.kubeconfig.parent / f"{account}.kubeconfig"
    config.write_text(cluster.kubeconfig_of(cluster.token_of(account, namespace=NAMESPACE)))
    shown = cluster.kubectl(f"--kubeconfig={config}", "--namespace", namespace, "auth", "can-i", "--list")
    found: dict[str, set[str]] = {}
    for line in shown.splitlines()[1:]:
        resource, _, rest = line.partition("[")
        others, names, verbs = (part.strip(" ]").split() for part in f"[{rest}".split("[")[1:4])
        if not others:  # else a path and no resource
            key = " ".join([resource.strip().partition(".")[0], *names])
            found.setdefault(key, set()).update(verbs)
    return found


def test_nothing_is_allowed_beyond_the_documented_list(empty: Cluster, deploy: Path) -> None:
    folder = deploy / "overlays" / ("self-built" if is_new(empty) else "webhook")
    empty.kubectl("apply", "-k", str(folder))
    try:
        empty.create(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": "nobody"}})
        told = rights_of_the_guide()
        found: dict[str, set[str]] = {}
        for namespace in ("default", NAMESPACE, "kube-system", "kube-node-lease"):
            of_all = rules_of(empty, "nobody", namespace)  # of every ServiceAccount
            for resource, verbs in rules_of(empty, ACCOUNT, namespace).items():
                if own := verbs - of_all.get(resource, set()):
                    found.setdefault(resource, set()).update(own)
        more: Mapping[str, set[str]] = BINDINGS if is_new(empty) else WEBHOOK
        assert found == {key: told.get(key, set()) | more.get(key, set()) for key in {*told, *more}}
    finally:
        remove(empty, folder)


BINDINGS = {"mutatingadmissionpolicybindings": {"create", "delete", "list", "update"}}
WEBHOOK = {
    "mutatingwebhookconfigurations virtual-node-placement.vk-provider.io": {"get", "update"},
    "secrets": {"create"},
    "secrets vk-provider-webhook-certificate": {"get", "update"},
}
