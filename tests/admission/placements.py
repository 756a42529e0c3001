"""One table of pods for every form of the placement: the pure function, the webhook, the MutatingAdmissionPolicy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
OURS = {"key": "type", "operator": "In", "values": ["virtual-kubelet"]}
ZONE = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a", "b"]}
DISK = {"key": "disk", "operator": "Exists"}
BY_NAME = {"key": "metadata.name", "operator": "In", "values": ["n"]}
TOLERATION = {"key": "virtual-kubelet.io/provider", "operator": "Exists"}
PREFERRED = {
    "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": {"matchExpressions": [DISK]}}]
}
SPREAD = {
    "podAntiAffinity": {
        REQUIRED: [{"labelSelector": {"matchLabels": {"app": "x"}}, "topologyKey": "kubernetes.io/hostname"}]
    }
}
ENABLED = {"virtual-node-affinity-injection": "enabled"}
LABEL, SHORT = "alibabacloud.com/eci", "eci"
DAEMON = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u-1", "controller": True}
OTHER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u-2", "controller": True}
SEEN_BY = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u-3"}  # owns it, does not control it


def terms(*each: Json) -> Json:
    return {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": list(each)}}}


def all_of(*expressions: Json) -> Json:
    return {"matchExpressions": list(expressions)}


AFFINITY = terms(all_of(OURS))


@dataclass(frozen=True, kw_only=True)
class Case:
    """namespace, labels: those of the namespace and the pod. affinity, tolerations: what the pod is to have then.

    affinity None: it is left as it is, and so are the tolerations.
    """

    name: str
    namespace: Mapping[str, str] = field(default_factory=lambda: dict(ENABLED))
    labels: Mapping[str, str] = field(default_factory=dict)
    owners: tuple[Json, ...] = ()
    spec: Json = field(default_factory=dict)
    affinity: Json | None = field(default_factory=lambda: AFFINITY)
    tolerations: tuple[Json, ...] | None = (TOLERATION,)

    @property
    def is_placed(self) -> bool:
        return self.affinity is not None

    def pod(self) -> Json:
        spec = {"containers": [{"name": "c", "image": "busybox"}], **self.spec}
        metadata: Json = {"name": self.name, "labels": dict(self.labels)}
        if self.owners:
            metadata["ownerReferences"] = list(self.owners)
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

    @property
    def wanted(self) -> tuple[Json, list[Json]]:
        """Affinity and tolerations afterwards; without what API servers add of themselves."""
        if self.affinity is None:
            return self.spec.get("affinity") or {}, list(self.spec.get("tolerations") or ())
        return self.affinity, list(self.tolerations or ())


def left(name: str, **given: Any) -> Case:
    return Case(name=name, affinity=None, tolerations=None, **given)


NO_VALUE = {"key": "virtual-kubelet.io/provider", "operator": "Equal", "effect": "NoSchedule"}
EQUAL = {"key": "virtual-kubelet.io/provider", "operator": "Equal", "value": "alibabacloud", "effect": "NoSchedule"}
IMPLIED = {"key": "virtual-kubelet.io/provider", "value": "alibabacloud"}
ANOTHER = {"key": "virtual-kubelet.io/provider", "operator": "Equal", "value": "azure"}
NO_EXECUTE = {"key": "virtual-kubelet.io/provider", "operator": "Exists", "effect": "NoExecute"}
EVERYTHING = {"operator": "Exists"}
EVERY_NO_SCHEDULE = {"operator": "Exists", "effect": "NoSchedule"}
DEDICATED = {"key": "dedicated", "operator": "Exists"}

CASES = (
    Case(name="by-namespace-injection"),
    Case(name="by-namespace-label", namespace={LABEL: "true"}),
    Case(name="by-namespace-short-label", namespace={SHORT: "true"}),
    Case(name="by-pod-label", namespace={}, labels={LABEL: "true"}),
    Case(name="by-pod-short-label", namespace={}, labels={SHORT: "true"}),
    Case(name="by-all-at-once", namespace={**ENABLED, LABEL: "true", SHORT: "true"}, labels={LABEL: "true"}),
    left("by-nothing", namespace={}),
    left("namespace-disabled", namespace={"virtual-node-affinity-injection": "disabled"}),
    left("namespace-label-false", namespace={LABEL: "false"}),
    left("pod-label-other", namespace={}, labels={LABEL: "yes"}),
    left("opts-out", labels={LABEL: "false"}),
    left("opts-out-short", labels={SHORT: "false"}),
    left("opts-out-of-a-label", namespace={LABEL: "true"}, labels={LABEL: "false"}),
    left("opts-out-by-one-of-two", labels={LABEL: "true", SHORT: "false"}),
    left("daemon", owners=(DAEMON,)),
    left("daemon-by-label", namespace={}, labels={LABEL: "true"}, owners=(DAEMON,)),
    Case(name="of-a-replica-set", owners=(OTHER,)),
    Case(name="not-controlled-by-daemon", owners=(SEEN_BY,)),
    Case(name="affinity-preferred", spec={"affinity": {"nodeAffinity": PREFERRED}},
         affinity={"nodeAffinity": {**PREFERRED, **AFFINITY["nodeAffinity"]}}),
    Case(name="affinity-of-pods", spec={"affinity": SPREAD}, affinity={**SPREAD, **AFFINITY}),
    Case(name="affinity-empty", spec={"affinity": {}}),
    Case(name="node-affinity-empty", spec={"affinity": {"nodeAffinity": {}}}),
    Case(name="one-term", spec={"affinity": terms(all_of(ZONE))}, affinity=terms(all_of(ZONE, OURS))),
    Case(name="two-terms", spec={"affinity": terms(all_of(ZONE), all_of(DISK, ZONE))},
         affinity=terms(all_of(ZONE, OURS), all_of(DISK, ZONE, OURS))),
    Case(name="term-by-field", spec={"affinity": terms({"matchFields": [BY_NAME]})},
         affinity=terms({"matchFields": [BY_NAME], "matchExpressions": [OURS]})),
    Case(name="term-empty", spec={"affinity": terms({}, all_of(ZONE))}, affinity=terms({}, all_of(ZONE, OURS))),
    Case(name="terms-with-ours", spec={"affinity": terms(all_of(OURS), all_of(ZONE, OURS))},
         affinity=terms(all_of(OURS), all_of(ZONE, OURS))),
    Case(name="terms-half-with-ours", spec={"affinity": terms(all_of(OURS), all_of(ZONE))},
         affinity=terms(all_of(OURS), all_of(ZONE, OURS))),
    Case(name="all-kinds-of-affinity", spec={"affinity": {**SPREAD, "nodeAffinity": {**PREFERRED,
         **terms(all_of(ZONE))["nodeAffinity"]}}},
         affinity={**SPREAD, "nodeAffinity": {**PREFERRED, **terms(all_of(ZONE, OURS))["nodeAffinity"]}}),
    Case(name="toleration-other", spec={"tolerations": [DEDICATED]}, tolerations=(DEDICATED, TOLERATION)),
    Case(name="toleration-there", spec={"tolerations": [TOLERATION]}),
    Case(name="toleration-equal", spec={"tolerations": [DEDICATED, EQUAL]}, tolerations=(DEDICATED, EQUAL)),
    Case(name="toleration-implied-equal", spec={"tolerations": [IMPLIED]}, tolerations=(IMPLIED,)),
    Case(name="toleration-of-everything", spec={"tolerations": [EVERYTHING]}, tolerations=(EVERYTHING,)),
    Case(name="toleration-of-no-schedule", spec={"tolerations": [EVERY_NO_SCHEDULE]}, tolerations=(EVERY_NO_SCHEDULE,)),
    Case(name="toleration-another-value", spec={"tolerations": [ANOTHER]}, tolerations=(ANOTHER, TOLERATION)),
    Case(name="toleration-no-value", spec={"tolerations": [NO_VALUE]}, tolerations=(NO_VALUE, TOLERATION)),
    Case(name="toleration-other-effect", spec={"tolerations": [NO_EXECUTE]}, tolerations=(NO_EXECUTE, TOLERATION)),
    Case(name="node-selector", spec={"nodeSelector": {"disk": "ssd"}}),
    left("names-a-node", spec={"nodeName": "somewhere"}),
)  # fmt: skip
