"""What the server adds to, and refuses of, objects after reading other objects.

The counterparts of Kubernetes' NamespaceLifecycle, ServiceAccount, Priority, DefaultTolerationSeconds,
DefaultStorageClass and StorageObjectInUseProtection plug-ins, and of Alibaba's virtual-node affinity webhook.
The pod's own wishes are completed at CREATE only; just the usual tolerations are put back at every update.
"""

from collections.abc import Iterator
from typing import Any, Protocol

from fakes.kube import definitions, errors
from fakes.kube.allocation import allocate
from fakes.kube.objectmeta import suffix
from fakes.kube.resources import Resource
from fakes.kube.store import Store
from fakes.kube.virtualnode import inject_affinity

Json = dict[str, Any]

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
_IN_USE = {
    "PersistentVolumeClaim": "kubernetes.io/pvc-protection",
    "PersistentVolume": "kubernetes.io/pv-protection",
}
"""What holds storage back from deletion while somebody has it."""
PERMANENT_NAMESPACES = frozenset({"default", "kube-system", "kube-public"})


class Objects(Protocol):
    """What is there already: `api.Api`."""

    store: Store

    def get(self, resource: str, name: str, namespace: str | None = None) -> Json: ...


def admit_create(api: Objects, row: Resource, obj: Json) -> None:
    """Raises ApiError 403 or 404; changes `obj`."""
    if row.namespaced:
        _namespace_lives(api, row, obj)
    if row.custom is not None:
        _definition_lives(api, row, obj)
    if row.native == "Node":
        _taint_until_ready(obj)
    if row.native == "Service":
        allocate(obj, (item.object for item in api.store.objects("services")))
    if row.native in _IN_USE:
        obj["metadata"]["finalizers"] = [*(obj["metadata"].get("finalizers") or ()), _IN_USE[row.native]]
    if row.native == "PersistentVolumeClaim":
        _storage_class(api, obj)
    if row.native == "Pod":
        namespace = api.get("namespaces", obj["metadata"]["namespace"])
        inject_affinity(obj, namespace["metadata"].get("labels") or {})
        _service_account(api, obj)
        _priority(api, obj)
        _default_tolerations(obj["spec"])


def admit_update(row: Resource, obj: Json, subresource: str) -> None:
    """What even an update may not take away. Changes `obj`."""
    if row.native == "Pod" and subresource == "" and isinstance(obj.get("spec"), dict):
        _default_tolerations(obj["spec"])


def admit_delete(row: Resource, name: str) -> None:
    if row.native == "Namespace" and name in PERMANENT_NAMESPACES:
        raise errors.forbidden("namespaces", "", name, "this namespace may not be deleted")


def _taint_until_ready(node: Json) -> None:
    """Nothing is placed on a new node before it is Ready; the node lifecycle controller lifts the taint.

    A real server taints even a node that registers as Ready, and the controller then lifts it at once.
    """
    conditions = (node.get("status") or {}).get("conditions") or ()
    if any(item.get("type") == "Ready" and item.get("status") == "True" for item in conditions):
        return
    taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    taints = node.setdefault("spec", {}).setdefault("taints", [])
    if not any((item.get("key"), item.get("effect")) == tuple(taint.values()) for item in taints):
        taints.append(taint)


def _namespace_lives(api: Objects, row: Resource, obj: Json) -> None:
    name = obj["metadata"]["namespace"]
    namespace = api.get("namespaces", name)
    if namespace["metadata"].get("deletionTimestamp"):
        why = f"unable to create new content in namespace {name} because it is being terminated"
        refused = errors.forbidden(row.plural, row.group, obj["metadata"].get("name", ""), why)
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {name} is being terminated",
            "field": "metadata.namespace",
        }
        refused.details["causes"] = [cause]
        raise refused


def _definition_lives(api: Objects, row: Resource, obj: Json) -> None:
    if api.get(definitions.KEY, row.key)["metadata"].get("deletionTimestamp"):
        why = "create not allowed while custom resource definition is terminating"
        raise errors.forbidden(row.plural, row.group, obj["metadata"].get("name", ""), why)


def _service_account(api: Objects, pod: Json) -> None:
    spec, meta = pod["spec"], pod["metadata"]
    name = spec.get("serviceAccountName") or "default"
    found = api.store.get("serviceaccounts", meta["namespace"], name)
    if found is None:
        why = f'error looking up service account {meta["namespace"]}/{name}: serviceaccount "{name}" not found'
        raise errors.forbidden("pods", "", meta.get("name", ""), why)
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    account = found.object
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [dict(secret) for secret in account["imagePullSecrets"]]
    if spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True)):
        _mount_token(spec)


def _mount_token(spec: Json) -> None:
    """Mount the account's token where clients look for it, in every container that has nothing there."""
    bare = [container for container in _containers(spec) if not _mounts_token(container)]
    if not bare:
        return
    volume = _token_volume(spec)
    for container in bare:
        container.setdefault("volumeMounts", []).append({"name": volume, "readOnly": True, "mountPath": TOKEN_PATH})


def _containers(spec: Json) -> Iterator[Json]:
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or ():
            if isinstance(container, dict):
                yield container


def _mounts_token(container: Json) -> bool:
    return any(mount.get("mountPath") == TOKEN_PATH for mount in container.get("volumeMounts") or ())


def _token_volume(spec: Json) -> str:
    """The name of the projected token volume, made when the pod has none."""
    for volume in spec.get("volumes") or ():
        if volume.get("name", "").startswith("kube-api-access-"):
            return str(volume["name"])
    name = f"kube-api-access-{suffix()}"
    field = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    sources = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [field]}},
    ]
    spec.setdefault("volumes", []).append({"name": name, "projected": {"sources": sources, "defaultMode": 0o644}})
    return name


def _priority(api: Objects, pod: Json) -> None:
    spec = pod["spec"]
    name = spec.get("priorityClassName", "")
    value, policy = 0, "PreemptLowerPriority"
    if name:
        found = api.store.get("priorityclasses.scheduling.k8s.io", "", name)
        if found is None:
            why = f"no PriorityClass with name {name} was found"
            raise errors.forbidden("pods", "", pod["metadata"].get("name", ""), why)
        value, policy = found.object["value"], found.object.get("preemptionPolicy", policy)
    elif usual := _global_default(api):
        spec["priorityClassName"] = usual["metadata"]["name"]
        value, policy = usual["value"], usual.get("preemptionPolicy", policy)
    if "priority" in spec and spec["priority"] != value:
        why = (
            f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
            f"priority admission controller computed {value} from the given PriorityClass name"
        )
        raise errors.forbidden("pods", "", pod["metadata"].get("name", ""), why)
    spec["priority"] = value
    spec.setdefault("preemptionPolicy", policy)


def _global_default(api: Objects) -> Json | None:
    classes = (item.object for item in api.store.objects("priorityclasses.scheduling.k8s.io"))
    usual = [item for item in classes if item.get("globalDefault")]
    return min(usual, key=lambda item: int(item["value"])) if usual else None


def _storage_class(api: Objects, claim: Json) -> None:
    """A claim that names no class is of the default one, the newest if there are several; "" asks for none."""
    annotations = claim["metadata"].get("annotations") or {}
    if claim["spec"].get("storageClassName") is not None or "volume.beta.kubernetes.io/storage-class" in annotations:
        return
    classes = [item.object["metadata"] for item in api.store.objects("storageclasses.storage.k8s.io")]
    usual = [meta for meta in classes if _is_usual(meta.get("annotations") or {})]
    if usual:
        newest = max(meta["creationTimestamp"] for meta in usual)
        named = [meta["name"] for meta in usual if meta["creationTimestamp"] == newest]
        claim["spec"]["storageClassName"] = min(named)


def _is_usual(annotations: Json) -> bool:
    names = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
    return any(annotations.get(name) == "true" for name in names)


def _default_tolerations(spec: Json) -> None:
    """Pods leave a node that is not ready or unreachable after five minutes, unless they say otherwise."""
    tolerations = list(spec.get("tolerations") or ())
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        said = any(
            item.get("key", "") in (key, "") and item.get("effect", "") in ("NoExecute", "")
            for item in spec.get("tolerations") or ()
        )
        if not said:
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})
    if tolerations:
        spec["tolerations"] = tolerations
