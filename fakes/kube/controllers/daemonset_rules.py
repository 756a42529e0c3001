"""Which nodes a DaemonSet's pods belong on, and what those pods look like. Pure.

Source: kubernetes pkg/controller/daemon, v1.32.
"""

from collections.abc import Iterable, Mapping

from fakes.kube.controllers import pods
from fakes.kube.controllers.node_health import NOT_READY, UNREACHABLE
from fakes.kube.controllers.revisions import HASH_LABEL
from fakes.kube.reads import Json, labels_of
from fakes.kube.scheduler.filters import required_nodes_match, tolerates
from fakes.kube.scheduler.nodes import NodeState
from fakes.kube.scheduler.pod import facts

_TOLERATED = (
    (NOT_READY, "NoExecute"),
    (UNREACHABLE, "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_HOST_NETWORK = ("node.kubernetes.io/network-unavailable", "NoSchedule")


def new_pod(owner: Json, template: Json, revision: str, node: str) -> Json:
    """A pod that only the node of this name will do for; the scheduler then binds it."""
    pod = pods.from_template(template, owner)
    meta, spec = pod["metadata"], pod["spec"]
    meta["labels"] = {**meta.get("labels", {}), HASH_LABEL: revision}
    _pin(spec, node)
    spec["tolerations"] = [*(spec.get("tolerations") or ()), *_tolerations(spec)]
    return pod


def _pin(spec: Json, node: str) -> None:
    affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    named = {"key": "metadata.name", "operator": "In", "values": [node]}
    required = affinity.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
    terms = required.get("nodeSelectorTerms") or [{}]
    required["nodeSelectorTerms"] = [{**term, "matchFields": [named]} for term in terms]


def _tolerations(spec: Json) -> list[Json]:
    """A daemon stays with its node whatever becomes of it."""
    wanted = [*_TOLERATED, *([_HOST_NETWORK] if spec.get("hostNetwork") else [])]
    return [{"key": key, "operator": "Exists", "effect": effect} for key, effect in wanted]


def node_of(pod: Json) -> str:
    """The node it is on or waits for; "" when it names none."""
    if name := pod["spec"].get("nodeName"):
        return str(name)
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    for term in (affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            if field["key"] == "metadata.name" and len(field.get("values") or ()) == 1:
                return str(field["values"][0])
    return ""


def fits(owner: Json, node: Json) -> tuple[bool, bool]:
    """(may a new pod start on the node, may one that is there stay)."""
    pod = new_pod(owner, owner["spec"]["template"], "", node["metadata"]["name"])
    seen, state = facts({**pod, "metadata": {"name": "", **pod["metadata"]}}), NodeState(node["metadata"]["name"])
    state.describe(node)
    if (seen.node_name and seen.node_name != state.name) or not required_nodes_match(seen, state):
        return False, False
    barring = {taint.get("effect") for taint in state.taints if not tolerates(seen.tolerations, taint)}
    return not barring & {"NoSchedule", "NoExecute"}, "NoExecute" not in barring


def to_keep(present: Iterable[Json]) -> list[Json]:
    """A node's pods, the one to keep first: bound before unbound, older before younger."""
    return sorted(
        present,
        key=lambda pod: (
            not pod["spec"].get("nodeName"),
            pod["metadata"]["creationTimestamp"],
            pod["metadata"]["name"],
        ),
    )


def revision_of(pod: Json) -> str:
    labels: Mapping[str, str] = labels_of(pod)
    return labels.get(HASH_LABEL, "")
