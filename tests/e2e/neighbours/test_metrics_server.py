"""metrics-server beside the provider: `kubectl top`, and a HorizontalPodAutoscaler up and down again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, Space, condition, within
from tests.e2e.conftest import make_space
from tests.e2e.manifests import deployment, pod_spec
from tests.e2e.neighbours import programs
from tests.e2e.processes import Process
from tests.e2e.provider import Provider, free_port

SERVICE = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io"
MOST = 10
MEASURED_WITHIN_S, SCALED_WITHIN_S = 120, 300
# Busy for a tenth of its time while it is told to, by a file that follows a ConfigMap; no processes meanwhile.
WORK = """
while :; do
  read told < /load/told
  if [ "$told" = busy ]; then
    turns=0; while [ $turns -lt 4000 ]; do turns=$((turns+1)); done
    sleep 0.1
  else
    sleep 2
  fi
done
"""


@pytest.fixture(scope="module")
def metrics_server(cluster: Cluster, provider: Provider, directory: Path) -> Iterator[Process]:
    port = free_port("0.0.0.0")
    config = f"--kubeconfig={cluster.kubeconfig}"
    command = [
        str(programs.METRICS_SERVER.program()),
        config,
        config.replace("--", "--authentication-"),
        config.replace("--", "--authorization-"),
        f"--secure-port={port}",
        f"--cert-dir={directory / 'metrics-server'}",
        "--kubelet-insecure-tls",
        "--kubelet-use-node-status-port",
        "--kubelet-preferred-address-types=InternalIP",
        "--metric-resolution=10s",
        "--kubelet-request-timeout=9s",  # shorter than that, or it does not start
    ]
    server = Process("metrics-server", command, directory=directory)
    services = "/api/v1/namespaces/kube-system/services"
    service = {
        "metadata": {"name": "metrics-server"},
        "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
    }
    spec = {
        "group": "metrics.k8s.io",
        "version": "v1beta1",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "insecureSkipTLSVerify": True,
        "service": {"namespace": "kube-system", "name": "metrics-server", "port": port},
    }
    server.start()
    cluster.create(services, service)
    cluster.create(SERVICE.rpartition("/")[0], {"metadata": {"name": "v1beta1.metrics.k8s.io"}, "spec": spec})

    def is_available() -> bool:
        assert server.runs, f"metrics-server ended with {server.exit_code}:\n{server.tail()}"
        return condition(cluster.get(SERVICE) or {}, "Available") == "True"

    try:
        within(MEASURED_WITHIN_S, is_available, lambda: (cluster.get(SERVICE), server.tail()))
        yield server
    finally:
        server.stop()
        cluster.delete(SERVICE)
        cluster.delete(f"{services}/metrics-server")


@pytest.fixture(scope="module")
def space(cluster: Cluster, metrics_server: Process) -> Iterator[Space]:
    with make_space(cluster) as space:
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "load"}, "data": {"told": "busy\n"}}
        requests = {"cpu": "40m", "memory": "16Mi"}
        template = pod_spec(
            WORK,
            container={"resources": {"requests": requests}, "volumeMounts": [{"name": "load", "mountPath": "/load"}]},
            volumes=[{"name": "load", "configMap": {"name": "load"}}],
            terminationGracePeriodSeconds=1,
        )
        space.create(config, deployment("worker", 1, template))
        yield space


def test_top_shows_pods_and_their_node(space: Space, provider: Provider) -> None:
    def of_pods() -> str:
        return space.cluster.run_kubectl("--namespace", space.name, "top", "pods", "--no-headers").stdout

    within(MEASURED_WITHIN_S, lambda: "worker" in of_pods(), of_pods)
    name, cpu, memory = of_pods().split()[:3]
    assert name.startswith("worker-")
    assert 0 < int(cpu.removesuffix("m")) < 2000
    assert memory.endswith("Mi")
    assert provider.node in space.cluster.kubectl("top", "nodes")


def test_an_autoscaler_goes_to_its_most_under_load_and_back_without(space: Space) -> None:
    version = (
        "autoscaling/v2" if space.cluster.serves("autoscaling/v2", "HorizontalPodAutoscaler") else "autoscaling/v2beta2"
    )
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 40}},
    }
    at_once = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Percent", "value": 900, "periodSeconds": 5}]}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "worker"},
        "minReplicas": 1,
        "maxReplicas": MOST,
        "metrics": [metric],
        "behavior": {
            "scaleUp": at_once,
            "scaleDown": {**at_once, "policies": [{"type": "Pods", "value": MOST, "periodSeconds": 5}]},
        },
    }
    path = f"/apis/{version}/namespaces/{space.name}/horizontalpodautoscalers"
    space.cluster.create(path, {"metadata": {"name": "worker"}, "spec": spec})

    def ready() -> int:
        return int(space.get("Deployment", "worker")["status"].get("readyReplicas", 0))

    def scaler() -> object:
        return (space.cluster.get(f"{path}/worker") or {}).get("status")

    within(SCALED_WITHIN_S, lambda: ready() == MOST, scaler)
    space.cluster.merge(space.path("ConfigMap", "load"), {"data": {"told": "idle\n"}})
    within(SCALED_WITHIN_S, lambda: ready() == 1, scaler)
