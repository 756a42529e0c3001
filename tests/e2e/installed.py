"""deploy/ as an operator leaves it, and how it is taken off a cluster again."""

import shutil
from pathlib import Path

from tests import chart
from tests.e2e.cluster import Cluster, within
from tests.test_chart import filled

NAMESPACE = ACCOUNT = "vk-provider"


def filled_in(target: Path) -> Path:
    """A copy of deploy/ with the placeholders filled in."""
    shutil.copytree(chart.DEPLOY, target)
    for path in target.rglob("*"):
        if path.suffix in (".toml", ".env") or path.parent.name == "examples":
            path.write_text(filled(path.read_text()))
    return target


def is_new(cluster: Cluster) -> bool:
    """Whether it has all that deploy/ can use."""
    return cluster.serves("admissionregistration.k8s.io/v1", "MutatingAdmissionPolicy")


def remove(cluster: Cluster, folder: Path) -> None:
    cluster.run_kubectl("delete", "--ignore-not-found", "--wait=false", "-k", str(folder), within_s=120)
    within(120, lambda: cluster.get(f"/api/v1/namespaces/{NAMESPACE}") is None)
