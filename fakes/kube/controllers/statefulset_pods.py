"""The pods and claims of a StatefulSet: names that stay, and storage that waits for them. Pure.

Source: kubernetes pkg/controller/statefulset/stateful_set_utils.go, v1.32.
"""

import re

from fakes.kube.controllers import pods
from fakes.kube.controllers.revisions import HASH_LABEL
from fakes.kube.reads import Json, draft, labels_of, owner_reference, uid_of

NAME_LABEL = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL = "apps.kubernetes.io/pod-index"
_NAME = re.compile(r"^(.*)-(\d+)$")


def ordinal_of(pod: Json, owner: Json) -> int | None:
    """The number in the pod's name; None when the name is not one this set gives."""
    found = _NAME.match(pod["metadata"]["name"])
    return int(found[2]) if found and found[1] == owner["metadata"]["name"] else None


def ordinals(owner: Json) -> range:
    """The numbers its pods should have."""
    start = (owner["spec"].get("ordinals") or {}).get("start", 0)
    return range(start, start + owner["spec"].get("replicas", 1))


def revision_of(pod: Json) -> str:
    return labels_of(pod).get(HASH_LABEL, "")


def new_pod(owner: Json, template: Json, revision: str, ordinal: int) -> Json:
    """The pod with this number, of this revision's template."""
    pod = pods.from_template(template, owner)
    meta, spec = pod["metadata"], pod["spec"]
    del meta["generateName"]
    meta["name"] = name = f"{owner['metadata']['name']}-{ordinal}"
    meta["labels"] = {
        **meta.get("labels", {}),
        NAME_LABEL: name,
        INDEX_LABEL: str(ordinal),
        HASH_LABEL: revision,
    }
    spec["hostname"] = name
    if owner["spec"].get("serviceName"):
        spec["subdomain"] = owner["spec"]["serviceName"]
    claims = {item["metadata"]["name"]: claim_name(item, name) for item in _templates(owner)}
    if claims:
        mounted = [{"name": volume, "persistentVolumeClaim": {"claimName": claim}} for volume, claim in claims.items()]
        spec["volumes"] = mounted + [item for item in spec.get("volumes") or () if item["name"] not in claims]
    return pod


def new_claims(owner: Json, pod_name: str) -> list[Json]:
    """The claims that the pod of this name is to have."""
    return [_claim(owner, template, pod_name) for template in _templates(owner)]


def claim_name(template: Json, pod_name: str) -> str:
    return f"{template['metadata']['name']}-{pod_name}"


def _templates(owner: Json) -> list[Json]:
    return owner["spec"].get("volumeClaimTemplates") or []


def _claim(owner: Json, template: Json, pod_name: str) -> Json:
    told = template["metadata"]
    labels = {**(told.get("labels") or {}), **(owner["spec"]["selector"].get("matchLabels") or {})}
    meta = {
        "name": claim_name(template, pod_name),
        "namespace": owner["metadata"]["namespace"],
        "labels": labels,
        **({"annotations": dict(told["annotations"])} if told.get("annotations") else {}),
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": meta,
        "spec": draft(template.get("spec") or {}),
    }


def claim_owners(owner: Json, pod: Json | None, claim: Json, *, condemned: bool) -> list[Json]:
    """The claim's owner references as persistentVolumeClaimRetentionPolicy wants them, others' kept.

    A claim that is to go with the set belongs to the set; one that is to go with a pod that is scaled away, to that.
    """
    policy = owner["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    ours = {uid_of(owner), uid_of(pod) if pod is not None else ""}
    kept = [item for item in claim["metadata"].get("ownerReferences") or () if item["uid"] not in ours]
    if condemned and pod is not None and policy.get("whenScaled") == "Delete":
        return [*kept, _reference(pod)]
    if policy.get("whenDeleted") == "Delete":
        return [*kept, _reference(owner)]
    return kept


def _reference(owner: Json) -> Json:
    """A reference that has the claim collected with its owner; nobody controls a claim."""
    kept = ("apiVersion", "kind", "name", "uid")
    return {key: value for key, value in owner_reference(owner).items() if key in kept}
