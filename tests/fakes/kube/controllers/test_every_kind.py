"""Nothing is stored and then silently not acted on: a walk over every kind that is served."""

import pytest

from fakes.kube.catalog import Catalog
from fakes.kube.schema import fields_of

from .world import template

LABELS = {"app": "a"}
STORED = Catalog().stored()
DATA = frozenset(
    {
        "configmaps",
        "controllerrevisions.apps",
        "endpointslices.discovery.k8s.io",
        "endpoints",
        "events",
        "leases.coordination.k8s.io",
    }
)
"""What nobody in a control plane acts on by itself: others read it."""
ACTED_ON = frozenset(
    {
        "namespaces",
        "nodes",
        "persistentvolumeclaims",
        "persistentvolumes",
        "poddisruptionbudgets.policy",
        "pods",
        "priorityclasses.scheduling.k8s.io",
        "secrets",
        "serviceaccounts",
        "services",
        "storageclasses.storage.k8s.io",
        "clusterrolebindings.rbac.authorization.k8s.io",
        "clusterroles.rbac.authorization.k8s.io",
        "rolebindings.rbac.authorization.k8s.io",
        "roles.rbac.authorization.k8s.io",
        "customresourcedefinitions.apiextensions.k8s.io",
    }
)


def _carries_pods(kind):
    """Whether an object of this kind has a template of pods, or of what has one, in it."""
    spec = (fields_of(kind) or {}).get("spec")
    fields = fields_of(spec.type.name) if spec else None
    return any(field.type.name in ("PodTemplateSpec", "JobTemplateSpec") for field in (fields or {}).values())


WORKLOADS = [row for row in STORED if _carries_pods(row.kind)]


def body(kind):
    made = template(LABELS, restartPolicy="Never" if "Job" in kind else "Always")
    if kind == "CronJob":
        return {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": made}}}
    return {"template": made} | ({} if kind == "Job" else {"selector": {"matchLabels": LABELS}})


def test_the_walk_meets_the_workloads():
    assert {row.kind for row in WORKLOADS} >= {"CronJob", "DaemonSet", "Deployment", "Job", "ReplicaSet", "StatefulSet"}


@pytest.mark.parametrize("row", WORKLOADS, ids=lambda row: row.kind)
async def test_every_workload_gets_its_pods(world, row):
    world.node("n")
    world.make(row.key, {"metadata": {"name": "w"}, "spec": body(row.kind)}, "default")
    await world.until(world.pods, within_s=90)


@pytest.mark.parametrize("row", [row for row in STORED if row not in WORKLOADS], ids=lambda row: row.key)
def test_every_other_kind_is_known_to_be_acted_on_or_warned_of(row):
    assert (row.key in DATA) + (row.key in ACTED_ON) + bool(row.unheeded) == 1
