"""The pods that a manifest is or makes, with the defaults that an API server fills in. Pure, and it never raises.

Kubernetes' own kinds are known by name. In others a pod template is looked for by its shape, for operators of every
sort embed one (Argo, Knative, Kubeflow, …); what their controllers add to it, nobody knows here, which is said.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vk_provider.errors import Refusal
from vk_provider.show.shapes import AROUND, METADATA, malformed
from vk_provider.translate.annotations import PREFIX as ECI_PREFIX
from vk_provider.translate.annotations import TABLE
from vk_provider.translate.field_rules import ObjectOf, Rejected
from vk_provider.translate.pod_fields import pod_rule

Json = dict[str, Any]

UNNAMED = "(without a name)"
UID = "00000000-0000-0000-0000-000000000000"
TOKEN_VOLUME = "kube-api-access-xxxxx"  # noqa: S105 (a name)
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105 (a path)
TOKEN_SOURCES = (
    {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
)
_OWN_ANNOTATIONS = "virtual-kubelet.io/"

_SPEC_TEMPLATE = ("spec", "template")
# kind → API groups, path of the pod template
_KINDS: Mapping[str, tuple[Collection[str], Sequence[str]]] = {
    "Pod": (("",), ()),
    "PodTemplate": (("",), ("template",)),
    "ReplicationController": (("",), _SPEC_TEMPLATE),
    "Deployment": (("apps", "extensions"), _SPEC_TEMPLATE),
    "ReplicaSet": (("apps", "extensions"), _SPEC_TEMPLATE),
    "StatefulSet": (("apps",), _SPEC_TEMPLATE),
    "DaemonSet": (("apps", "extensions"), _SPEC_TEMPLATE),
    "Job": (("batch",), _SPEC_TEMPLATE),
    "CronJob": (("batch",), ("spec", "jobTemplate", "spec", "template")),
}
MAKERS = frozenset(_KINDS)

_POD_SPEC = pod_rule(Rejected("")).fields["spec"]
_POD_FIELDS: Collection[str] = _POD_SPEC.fields if isinstance(_POD_SPEC, ObjectOf) else ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """One document. line: of the file, counted from 1, in which it begins."""

    document: Json
    file: str
    line: int = 1

    @property
    def place(self) -> str:
        return f"{self.file}, line {self.line}"


@dataclass(frozen=True, slots=True)
class Count:
    """How many pods at a time, and why; `total`: of a Job with more completions than that, else 0."""

    pods: int = 1
    word: str = ""  # as `replicas`, empty where it is always one
    total: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """One pod that a document is or makes.

    path: of its template in the document, empty for a Pod itself. is_custom: it is no kind of Kubernetes' own. faults:
    of the document around the pod. claims: made for the pod by whoever makes the pod, by name.
    """

    manifest: Manifest
    kind: str
    namespace: str
    name: str
    pod: Json | None = None
    path: str = ""
    is_custom: bool = False
    count: Count = field(default_factory=Count)
    faults: Sequence[Refusal] = ()
    notes: Sequence[str] = ()
    claims: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Other:
    """A document in which no pod is. is_fault: an API server would not take it."""

    manifest: Manifest
    title: str
    why: str
    is_fault: bool = False


def contents(manifests: Sequence[Manifest]) -> list[Manifest]:
    """The manifests with their Lists (List, PodList, DeploymentList, …) taken apart."""
    return [item for manifest in manifests for item in _unpacked(manifest)]


def pods_in(manifest: Manifest) -> Sequence[Found | Other]:
    """What the document makes, in its order; one Other where that is nothing."""
    document = manifest.document
    kind = document.get("kind")
    if not isinstance(kind, str) or not kind:
        said = "no kind" if kind is None else "a kind that is no text"
        return [Other(manifest, manifest.place, f"has {said}, so it is no Kubernetes object", is_fault=True)]
    if _is_list(document):
        return [Other(manifest, kind, "items: must be a list of objects", is_fault=True)]
    group = _group(document)
    if kind in _KINDS and (group is None or group in _KINDS[kind][0]):
        return [_of_known(manifest, kind)]
    name, namespace = _names(document)
    title = f"{kind} {f'{namespace}/' if namespace else ''}{name or UNNAMED}"
    if group is None:
        return [Other(manifest, title, "has no apiVersion, so nobody can know what it is", is_fault=True)]
    if "." not in group or group.endswith(".k8s.io"):
        near = next((known for known in _KINDS if known.lower() == kind.lower()), "")
        if near:
            return [Other(manifest, title, f"no such kind; did you mean {near}?", is_fault=True)]
        return [Other(manifest, title, "")]
    found = list(_by_shape(manifest, kind, name, namespace or "default"))
    return found or [Other(manifest, title, f"no pod template is found in this kind of {group}")]


def pod_of(document: Json) -> Json | None:
    """The pod that one of Kubernetes' own kinds is or makes; None for other kinds."""
    found = pods_in(Manifest(document, ""))[0]
    return found.pod if isinstance(found, Found) else None


# --- lists and names --------------------------------------------------------------------------------------------------


def _is_list(document: Json) -> bool:
    return str(document.get("kind")).endswith("List") and "items" in document and "spec" not in document


def _unpacked(manifest: Manifest) -> Iterator[Manifest]:
    document = manifest.document
    items = document.get("items")
    if not _is_list(document) or not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        yield manifest
        return
    kind = str(document["kind"]).removesuffix("List")
    given = {"kind": kind, "apiVersion": document.get("apiVersion")} if kind else {}
    for item in items:
        yield from _unpacked(replace(manifest, document={**given, **item}))


def _group(document: Json) -> str | None:
    """None: there is no apiVersion."""
    version = document.get("apiVersion")
    if not isinstance(version, str) or not version:
        return None
    group, slash, _ = version.partition("/")
    return group if slash else ""


def _names(document: Json) -> tuple[str, str]:
    """Name and namespace as far as they are texts, else empty."""
    meta = _object(document.get("metadata"))
    name = meta.get("name") or meta.get("generateName")
    namespace = meta.get("namespace")
    return (name if isinstance(name, str) else "", namespace if isinstance(namespace, str) else "")


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


# --- Kubernetes' own kinds --------------------------------------------------------------------------------------------


def _of_known(manifest: Manifest, kind: str) -> Found:
    document, path = manifest.document, _KINDS[kind][1]
    name, namespace = _names(document)
    template, faults = _at(document, path)
    faults = [*_metadata_faults(document), *faults, *_faults_around(document, kind)]
    found = Found(
        manifest,
        kind,
        namespace or "default",
        name,
        path=".".join(path),
        count=_count(document, kind),
        faults=faults,
        notes=tuple(_misplaced(document, kind, path)),
    )
    if template is None:
        return found
    pod = _pod(template, _pod_name(document, kind, name), namespace or "default")
    if kind == "DaemonSet" and isinstance(pod["metadata"], dict):
        pod["metadata"]["ownerReferences"] = [{"kind": kind, "controller": True}]
    claims = _claims(document, kind, pod) if not faults else {}
    return replace(found, pod=pod, claims=claims)


def _pod_name(document: Json, kind: str, name: str) -> str:
    if kind == "StatefulSet":
        return f"{name or 'statefulset'}-0"
    if kind == "Pod" and name == _object(document.get("metadata")).get("name"):
        return name
    return f"{name or kind.lower()}-xxxxx" if not name.endswith("-") else f"{name}xxxxx"


def _at(document: Json, path: Sequence[str]) -> tuple[Json | None, list[Refusal]]:
    """The object at the path, or what is in its way."""
    at: object = document
    for depth, step in enumerate(path, 1):
        at = at.get(step) if isinstance(at, dict) else None
        if not isinstance(at, dict):
            where = ".".join(path[:depth])
            return None, [Refusal(where, "must be given" if at is None else "must be an object")]
    return (at, []) if isinstance(at, dict) else (None, [])


def _metadata_faults(document: Json) -> list[Refusal]:
    meta = document.get("metadata")
    if meta is None:
        return [Refusal("metadata.name", "must be given")]
    found = list(malformed(METADATA, meta, "metadata"))
    if isinstance(meta, dict) and meta.get("name") in (None, "") and meta.get("generateName") in (None, ""):
        found.append(Refusal("metadata.name", "must be given"))
    return found


def _faults_around(document: Json, kind: str) -> Sequence[Refusal]:
    spec = document.get("spec")
    return malformed(AROUND[kind], spec, "spec") if kind in AROUND and isinstance(spec, dict) else ()


def _whole(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default


def _count(document: Json, kind: str) -> Count:
    spec = _object(document.get("spec"))
    if kind in ("Deployment", "ReplicaSet", "ReplicationController", "StatefulSet"):
        return Count(_whole(spec.get("replicas"), 1), "replicas")
    if kind == "CronJob":
        spec = _object(_object(spec.get("jobTemplate")).get("spec"))
    if kind in ("Job", "CronJob"):
        parallelism = _whole(spec.get("parallelism"), 1)
        completions = _whole(spec.get("completions"), parallelism)
        at_a_time = min(parallelism, completions)
        return Count(at_a_time, "at a time", completions if completions > at_a_time else 0)
    return Count()


def _misplaced(document: Json, kind: str, path: Sequence[str]) -> Iterator[str]:
    """Annotations that mean a pod and stand on what makes it."""
    places: list[tuple[str, object]] = [("metadata", document.get("metadata"))] if path else []
    if kind == "CronJob":
        job = _object(_object(document.get("spec")).get("jobTemplate"))
        places.append(("spec.jobTemplate.metadata", job.get("metadata")))
    for where, meta in places:
        for key in _object(_object(meta).get("annotations")):
            if isinstance(key, str) and (key.startswith((ECI_PREFIX, _OWN_ANNOTATIONS)) or key in TABLE):
                to = ".".join((*path, "metadata.annotations"))
                yield f"{where}.annotations[{key}] has no effect there: pods do not get it; move it to {to}"


def _claims(document: Json, kind: str, pod: Json) -> Mapping[str, Json]:
    """The claims of a StatefulSet's first pod, whose volumes they become in the pod."""
    templates = _object(document.get("spec")).get("volumeClaimTemplates") if kind == "StatefulSet" else None
    if not isinstance(pod["spec"], dict) or not isinstance(pod["spec"].get("volumes"), list | None):
        return {}
    made = {}
    for template in templates or ():
        volume = template["metadata"]["name"]
        claim = f"{volume}-{pod['metadata']['name']}"
        made[claim] = {"metadata": {"name": claim}, "spec": template.get("spec") or {}}
        others = [each for each in pod["spec"].get("volumes") or () if _object(each).get("name") != volume]
        pod["spec"]["volumes"] = [*others, {"name": volume, "persistentVolumeClaim": {"claimName": claim}}]
    return made


# --- kinds of others --------------------------------------------------------------------------------------------------


def _by_shape(manifest: Manifest, kind: str, name: str, namespace: str) -> Iterator[Found]:
    """Every pod template that stands somewhere in the document's spec."""
    note = f"{kind} is not one of Kubernetes' own kinds: what its controller adds to the pod is not known here"
    faults = _metadata_faults(manifest.document)
    for path, template, around in _templates(manifest.document):
        spec = template.get("spec")
        own = sorted(str(each) for each in _object(spec) if each not in _POD_FIELDS)
        kept = {**template, "spec": _with_names({key: each for key, each in _object(spec).items() if key not in own})}
        replicas = around.get("replicas")
        yield Found(
            manifest,
            kind,
            namespace,
            name,
            pod=_pod(kept, f"{name or kind.lower()}-xxxxx", namespace),
            path=path,
            is_custom=True,
            count=Count(replicas, "replicas") if isinstance(replicas, int) and replicas > 0 else Count(),
            faults=faults,
            notes=(
                note,
                *(
                    [f"{', '.join(f'{path}.spec.{each}' for each in own)}: no field of pods, so left out"]
                    if own
                    else ()
                ),
                *_misplaced(manifest.document, kind, path.split(".")),
            ),
        )


def _templates(document: Json) -> Iterator[tuple[str, Json, Json]]:
    """Path, template and the object around it, of everything that looks like a pod template; outermost first."""
    below: list[tuple[str, Json, Json]] = [("spec", _object(document.get("spec")), {})]
    while below:
        path, value, around = below.pop()
        template = _template(path, value, document)
        if template is not None:
            yield path, template, around
            continue
        inside: list[tuple[str, Json, Json]] = []
        for key, content in value.items():
            if isinstance(content, dict):
                inside.append((f"{path}.{key}", content, value))
            elif isinstance(content, list):
                inside += [(f"{path}.{key}[{n}]", each, {}) for n, each in enumerate(content) if isinstance(each, dict)]
        below += reversed(inside)


def _template(path: str, value: Json, document: Json) -> Json | None:
    """A pod template {metadata, spec: {containers}}, a bare pod spec {containers}, or a step of an Argo workflow."""
    if _has_images(_object(value.get("spec")).get("containers")):
        return value
    if path != "spec" and _has_images(value.get("containers")):  # the spec of an object itself holds patches at most
        return {"spec": value}
    container = value.get("container") or value.get("script")
    if "templates[" in path and isinstance(container, dict) and isinstance(container.get("image"), str):
        volumes = [each for each in (_object(document.get("spec")).get("volumes"), value.get("volumes")) if each]
        return {
            "metadata": value.get("metadata") or {},
            "spec": {
                "containers": [{"name": "main", **{key: each for key, each in container.items() if key != "source"}}],
                "volumes": [each for listed in volumes if isinstance(listed, list) for each in listed],
                "restartPolicy": "Never",
            },
        }
    return None


def _has_images(containers: object) -> bool:
    return isinstance(containers, list) and any(isinstance(each, dict) and "image" in each for each in containers)


def _with_names(spec: Json) -> Json:
    """With names for containers that need none where they come from, as in Knative."""
    containers = spec.get("containers")
    if not isinstance(containers, list):
        return spec
    named = [
        {"name": f"container-{n}", **each} if isinstance(each, dict) else each for n, each in enumerate(containers)
    ]
    return {**spec, "containers": named}


# --- as the API server would store it ---------------------------------------------------------------------------------


def _pod(template: Json, name: str, namespace: str) -> Json:
    inner = template.get("metadata")
    meta = inner if isinstance(inner, dict) else {}
    spec = template.get("spec")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": UID,
            "labels": meta.get("labels") or {},
            "annotations": meta.get("annotations") or {},
        }
        if inner is None or isinstance(inner, dict)
        else inner,
        "spec": _admitted(spec) if isinstance(spec, dict) else spec,
    }


def _admitted(spec: Json) -> Json:
    """The spec as the API server would store it: pull policies, and the token volume in every container (S23)."""
    told = spec.get("automountServiceAccountToken") is not False
    volume = {"name": TOKEN_VOLUME, "projected": {"defaultMode": 0o644, "sources": TOKEN_SOURCES}}
    lists = {name: spec[name] for name in ("containers", "initContainers") if isinstance(spec.get(name), list)}
    volumes = spec.get("volumes")
    with_token = told and (volumes is None or isinstance(volumes, list))
    return {
        **spec,
        "serviceAccountName": spec.get("serviceAccountName") or "default",
        **{name: [_admitted_container(each, told=with_token) for each in found] for name, found in lists.items()},
        **({"volumes": [*(volumes or ()), volume]} if with_token else {}),
    }


def _admitted_container(container: Any, *, told: bool) -> Any:
    if not isinstance(container, dict):
        return container
    name, _, tag = str(container.get("image") or "").rpartition("/")[2].partition(":")
    newest = tag in ("", "latest") and "@" not in name
    mounts = container.get("volumeMounts")
    if told and (mounts is None or isinstance(mounts, list)):
        there = any(_object(mount).get("mountPath") == TOKEN_PATH for mount in mounts or ())
        more = [] if there else [{"name": TOKEN_VOLUME, "mountPath": TOKEN_PATH, "readOnly": True}]
        mounts = [*(mounts or ()), *more]
    policy = container.get("imagePullPolicy") or ("Always" if newest else "IfNotPresent")
    return {**container, "imagePullPolicy": policy, **({"volumeMounts": mounts} if mounts else {})}
