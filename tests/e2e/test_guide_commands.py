"""The commands of deploy/README.md in the words in which they stand there, on a real control plane."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import guide_commands
from tests.e2e.cluster import Cluster, within
from tests.e2e.helm import HELM
from tests.e2e.installed import NAMESPACE, filled_in, is_new

Run = Callable[..., str]


@pytest.fixture
def run(empty: Cluster, tmp_path: Path) -> Run:
    """In a checkout whose placeholders are filled in, by an administrator."""
    checkout = tmp_path / "checkout"
    filled_in(checkout / "deploy")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "helm").symlink_to(HELM.program())
    shutil.copy(checkout / "deploy" / "chart" / "examples" / "self-built.yaml", checkout / "my-values.yaml")
    env = {**os.environ, "KUBECONFIG": str(empty.kubeconfig), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}

    def run(command: str, *, name: str = "") -> str:
        """name: what stands for NAME."""
        assert command in guide_commands.in_guides(), f"no guide says {command}"
        words = command.replace("NAME", name) if name else command
        done = subprocess.run(
            ["sh", "-ec", words], cwd=checkout, env=env, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    return run


@pytest.fixture
def gone_after(empty: Cluster) -> Iterator[None]:
    yield
    empty.delete(f"/api/v1/namespaces/{NAMESPACE}")
    within(90, lambda: empty.get(f"/api/v1/namespaces/{NAMESPACE}") is None)


def test_overlay_hardening_uninstall(empty: Cluster, run: Run, gone_after: None) -> None:
    if not is_new(empty):
        pytest.skip("the overlay is for Kubernetes 1.36 and newer")
    run("kubectl apply -k deploy/overlays/self-built")
    run("kubectl apply -k deploy/hardening")
    run("kubectl apply -k deploy/placement/policy")
    run("kubectl -n vk-provider rollout restart deployment/vk-provider")
    empty.create("/api/v1/nodes", {"metadata": {"name": "virtual-kubelet"}})
    run("kubectl describe node virtual-kubelet")
    run("kubectl get lease -n kube-node-lease")
    run("kubectl cordon virtual-kubelet")
    run("kubectl delete pod --all-namespaces --field-selector spec.nodeName=virtual-kubelet")
    run("kubectl delete -k deploy/overlays/self-built")
    run("kubectl delete node virtual-kubelet")
    assert empty.get("/api/v1/nodes/virtual-kubelet") is None
    assert empty.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/vk-provider") is None


def test_helm(empty: Cluster, run: Run, gone_after: None) -> None:
    run("helm install vk-provider deploy/chart --namespace vk-provider --create-namespace --values my-values.yaml")
    try:
        assert empty.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/vk-provider")
    finally:
        program = [str(HELM.program()), f"--kubeconfig={empty.kubeconfig}", f"--namespace={NAMESPACE}"]
        subprocess.run([*program, "uninstall", "vk-provider"], check=True, capture_output=True, timeout=120)


def test_secrets_of_some_namespaces_only(empty: Cluster, run: Run, gone_after: None) -> None:
    overlay = "self-built" if is_new(empty) else "webhook"
    folder = guide_commands.ROOT / "deploy" / "overlays" / overlay
    empty.kubectl("apply", "-k", str(folder))
    empty.kubectl("create", "namespace", "tenant")
    try:
        run("kubectl delete clusterrolebinding vk-provider-pods")
        for command in NARROWER:
            run(command, name="tenant")
        assert may(empty, "get", "secrets", "tenant")
        assert not may(empty, "get", "secrets", "default")
        assert may(empty, "create", "serviceaccounts", "tenant", sub="token")
        assert not may(empty, "create", "serviceaccounts", "kube-system", sub="token")
        assert may(empty, "get", "configmaps/extension-apiserver-authentication", "kube-system")
        assert may(empty, "watch", "configmaps/eci-profile", "kube-system")
    finally:
        empty.kubectl("delete", "--ignore-not-found", "-k", str(folder), within_s=120)
        empty.kubectl("delete", "namespace", "tenant", within_s=120)
        for name in ("vk-provider-client-ca", "vk-provider-profile-watch"):
            empty.kubectl("-n", "kube-system", "delete", "--ignore-not-found", "rolebinding", name)
        empty.kubectl("-n", "kube-system", "delete", "--ignore-not-found", "role", "vk-provider-profile-watch")


NARROWER = [
    command for command in guide_commands.in_guides() if "create rolebinding" in command or "create role " in command
]


def may(cluster: Cluster, verb: str, what: str, namespace: str, *, sub: str = "", account: str = "vk-provider") -> bool:
    """what: a resource, with /NAME of one object; its subresource is `sub`, for a slash means a name."""
    words = ["auth", "can-i", verb, what, *([f"--subresource={sub}"] if sub else [])]
    done = cluster.run_kubectl("--namespace", namespace, f"--as=system:serviceaccount:{NAMESPACE}:{account}", *words)
    return done.stdout.strip() == "yes"


def test_the_webhook_is_taken_away(empty: Cluster, run: Run, gone_after: None) -> None:
    folder = guide_commands.ROOT / "deploy" / "overlays" / "webhook"
    empty.kubectl("apply", "-k", str(folder))
    try:
        run("kubectl delete mutatingwebhookconfiguration virtual-node-placement.vk-provider.io")
        run("kubectl delete --ignore-not-found -f deploy/placement/webhook/webhook.yaml")
    finally:
        empty.kubectl("delete", "--ignore-not-found", "-k", str(folder), within_s=120)


def test_monitoring(empty: Cluster, run: Run, gone_after: None) -> None:
    """With definitions that take any fields: what Prometheus' operator has to say of them is not known here."""
    kinds = {"podmonitors": "PodMonitor", "prometheusrules": "PrometheusRule"}
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    group, version = "monitoring.coreos.com", "v1"
    shape = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    for plural, kind in kinds.items():
        served = {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": shape}}
        names = {"plural": plural, "singular": kind.lower(), "kind": kind}
        spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [served]}
        empty.create(definitions, {"metadata": {"name": f"{plural}.{group}"}, "spec": spec})
    empty.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    try:
        for plural in kinds:
            name = f"crd/{plural}.{group}"
            empty.kubectl("wait", "--for=condition=Established", name, "--timeout=60s", within_s=90)
        run("kubectl apply -k deploy/monitoring")
        for plural in kinds:
            path = f"/apis/{group}/{version}/namespaces/{NAMESPACE}/{plural}"
            assert [each["metadata"]["name"] for each in empty.items(path)] == ["vk-provider"]
        scrape = {"account": "vk-provider-scrape"}
        assert may(empty, "get", "nodes", NAMESPACE, sub="metrics", **scrape)
        assert not may(empty, "get", "nodes", NAMESPACE, sub="proxy", **scrape)
    finally:
        for kind in ("clusterroles", "clusterrolebindings"):
            empty.delete(f"/apis/rbac.authorization.k8s.io/v1/{kind}/vk-provider-scrape")
        for plural in kinds:
            empty.delete(f"{definitions}/{plural}.{group}")
