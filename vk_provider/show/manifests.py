"""The pods that a manifest is or makes, with the defaults that an API server fills in. Pure, and it never raises.

Kubernetes' own kinds are known by name. In others a pod template is looked for by its shape, for operators of every
sort embed one (Argo, Knative, Kubeflow, …); what their controllers add to it, nobody knows here, which is said.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vk_provider.cloud.eci.capabilities import CAPABILITIES
from vk_provider.errors import Refusal
from vk_provider.show.admitted import pod_of_template
from vk_provider.show.shapes import AROUND, METADATA, malformed
from vk_provider.show.templates import templates, with_names
from vk_provider.translate.capabilities import PLAIN
from vk_provider.translate.pod_fields import spec_rule

Json = dict[str, Any]

UNNAMED = "(without a name)"
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

_POD_FIELDS: Collection[str] = spec_rule(PLAIN).fields


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
    spec = document.get("spec")
    around = malformed(AROUND[kind], spec, "spec") if kind in AROUND and isinstance(spec, dict) else ()
    faults = [*_metadata_faults(document), *faults, *around]
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
    pod = pod_of_template(template, _pod_name(document, kind, name), namespace or "default")
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
    table = CAPABILITIES.annotations
    prefixes = (*table.prefixes, _OWN_ANNOTATIONS)
    for where, meta in places:
        for key in _object(_object(meta).get("annotations")):
            if isinstance(key, str) and (key.startswith(prefixes) or key in table.rules):
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
    for path, template, around in templates(manifest.document):
        spec = template.get("spec")
        own = sorted(str(each) for each in _object(spec) if each not in _POD_FIELDS)
        kept = {**template, "spec": with_names({key: each for key, each in _object(spec).items() if key not in own})}
        replicas = around.get("replicas")
        yield Found(
            manifest,
            kind,
            namespace,
            name,
            pod=pod_of_template(kept, f"{name or kind.lower()}-xxxxx", namespace),
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
