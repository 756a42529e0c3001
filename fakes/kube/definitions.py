"""CustomResourceDefinitions: what one must say, and the resources it makes. Pure.

Source: apiextensions-apiserver pkg/apis/apiextensions, v1.32. Conversion between versions changes apiVersion only.
"""

from dataclasses import replace
from typing import Any

from fakes.kube import jsonpath, structural
from fakes.kube.errors import Fault
from fakes.kube.reads import condition_is, with_condition
from fakes.kube.resources import ALL_VERBS, Resource
from fakes.kube.versions import Column, Scale, Version

Json = dict[str, Any]

KEY = "customresourcedefinitions.apiextensions.k8s.io"
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
DEFINITIONS = Resource(
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    group="apiextensions.k8s.io",
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    namespaced=False,
    subresources=("status",),
    generation=True,
)


def settle(obj: Json) -> None:
    """Fill in what a definition may leave out."""
    spec = obj.setdefault("spec", {})
    names = spec.setdefault("names", {})
    if kind := names.get("kind"):
        names.setdefault("singular", kind.lower())
        names.setdefault("listKind", f"{kind}List")
    spec.setdefault("conversion", {"strategy": "None"})


def status_of(obj: Json, taken: str, now: str) -> Json:
    """The status of a definition as the API server writes it. taken: why its names cannot be had, "" if they can."""
    spec, old = obj["spec"], obj.get("status") or {}
    stored = [item["name"] for item in spec["versions"] if item.get("storage")]
    names_good = {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts", "message": "no conflicts found"}
    served = {"type": "Established", "status": "True", "reason": "InitialNamesAccepted"}
    served["message"] = "the initial names have been accepted"
    if taken:
        names_good |= {"status": "False", "reason": "NamesConflict", "message": taken}
        served |= {"status": "False", "reason": "NotAccepted", "message": "not all names are accepted"}
    conditions = old.get("conditions")
    for new in (names_good, served):
        conditions = with_condition(conditions, {**new, "lastTransitionTime": now})
    accepted = old.get("acceptedNames", {"plural": "", "kind": ""}) if taken else spec["names"]
    versions = list(old.get("storedVersions") or ())
    versions += [name for name in stored if name not in versions]
    return {"conditions": conditions, "acceptedNames": accepted, "storedVersions": versions}


def is_served(obj: Json) -> bool:
    return condition_is(obj, "Established")


def resources(obj: Json) -> dict[str, Resource]:
    """The resource of each served version by its name, the preferred first."""
    spec, names = obj["spec"], obj["spec"]["names"]
    served = sorted((item for item in spec["versions"] if item.get("served")), key=lambda item: _rank(item["name"]))
    order = [item["name"] for item in served]
    made = {}
    for item in served:
        parts = item.get("subresources") or {}
        fields = tuple(one["jsonPath"].lstrip(".") for one in item.get("selectableFields") or ())
        made[item["name"]] = Resource(
            kind=names["kind"],
            plural=names["plural"],
            group=spec["group"],
            version=item["name"],
            singular=names.get("singular", ""),
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            namespaced=spec["scope"] == "Namespaced",
            verbs=ALL_VERBS,
            subresources=tuple(name for name in ("scale", "status") if name in parts),
            fields=fields,
            generation=True,
            older=tuple(name for name in order if name != item["name"]),
            custom=_version(item),
        )
    return made


def storage_resource(obj: Json) -> Resource:
    """The resource as it is stored, served or not."""
    name = next(item["name"] for item in obj["spec"]["versions"] if item.get("storage"))
    everything = [{**item, "served": True} for item in obj["spec"]["versions"]]
    found = resources({**obj, "spec": {**obj["spec"], "versions": everything}})[name]
    return replace(found, older=tuple(item["name"] for item in everything if item["name"] != name))


def _version(item: Json) -> Version:
    columns = [
        Column(
            one["name"],
            one["type"],
            one["jsonPath"],
            one.get("description", ""),
            one.get("format", ""),
            one.get("priority", 0),
        )
        for one in item.get("additionalPrinterColumns") or ()
    ]
    usual = Column("Age", "date", ".metadata.creationTimestamp")
    paths = (item.get("subresources") or {}).get("scale")
    scale = None
    if paths is not None:
        scale = Scale(paths["specReplicasPath"], paths["statusReplicasPath"], paths.get("labelSelectorPath", ""))
    return Version(item["schema"]["openAPIV3Schema"], tuple(columns or [usual]), scale)


def _rank(name: str) -> tuple[Any, ...]:
    """Stable versions first, then betas, then alphas, each the newest first; other names last, in their order."""
    number = name.removeprefix("v").replace("beta", " 1 ").replace("alpha", " 2 ").split()
    if not name.startswith("v") or not all(part.isdecimal() for part in number) or len(number) not in (1, 3):
        return (1, name)
    major, level, minor = int(number[0]), *(int(part) for part in (number[1:] or ("0", "0")))
    return (0, level, -major, -minor)


def validate(obj: Json) -> list[Fault]:
    """Everything wrong with a definition."""
    spec = obj.get("spec") or {}
    names, versions = spec.get("names") or {}, spec.get("versions") or []
    faults = [Fault.required(f"spec.{field}") for field in ("group",) if not spec.get(field)]
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        faults.append(Fault.unsupported("spec.scope", spec.get("scope", ""), ("Cluster", "Namespaced")))
    wanted = f"{names.get('plural', '')}.{spec.get('group', '')}"
    name = obj["metadata"].get("name", "")
    if name != wanted:
        faults.append(Fault.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    faults += [Fault.required(f"spec.names.{field}") for field in ("plural", "kind") if not names.get(field)]
    if spec.get("preserveUnknownFields"):
        faults.append(Fault.invalid("spec.preserveUnknownFields", True, "cannot set to true, set x-preserve-unknown-fields to true in spec.versions[*].schema instead"))  # fmt: skip  # noqa: E501
    if (spec.get("conversion") or {}).get("strategy") != "None":
        why = "this stand-in cluster calls no webhooks: versions can only be converted by None"
        faults.append(Fault.forbidden("spec.conversion.strategy", why))
    if sum(bool(item.get("storage")) for item in versions) != 1:
        shown = [item.get("name", "") for item in versions]
        faults.append(Fault.invalid("spec.versions", shown, "must have exactly one version marked as storage version"))
    if len({item.get("name") for item in versions}) != len(versions):
        faults.append(Fault.invalid("spec.versions", len(versions), "must contain unique version names"))
    for index, item in enumerate(versions):
        faults += _version_faults(item, f"spec.versions[{index}]")
    return faults


def _version_faults(item: Json, at: str) -> list[Fault]:
    faults = [] if item.get("name") else [Fault.required(f"{at}.name")]
    schema = (item.get("schema") or {}).get("openAPIV3Schema")
    where = f"{at}.schema.openAPIV3Schema"
    faults += [Fault.required(where)] if schema is None else structural.malformed(schema, where)
    for index, column in enumerate(item.get("additionalPrinterColumns") or ()):
        here = f"{at}.additionalPrinterColumns[{index}]"
        faults += [Fault.required(f"{here}.{field}") for field in ("name", "type", "jsonPath") if not column.get(field)]
        faults += _path_faults(column.get("jsonPath") or "", f"{here}.jsonPath")
    paths: Json | None = (item.get("subresources") or {}).get("scale")
    for field in ("specReplicasPath", "statusReplicasPath"):
        if paths is None:
            break
        here = f"{at}.subresources.scale.{field}"
        root = ".spec." if field.startswith("spec") else ".status."
        if not paths.get(field):
            faults.append(Fault.required(here))
        elif not paths[field].startswith(root):
            faults.append(Fault.invalid(here, paths[field], f"should be a json path under {root.rstrip('.')}"))
    return faults


def _path_faults(path: str, at: str) -> list[Fault]:
    try:
        jsonpath.steps(path)
    except ValueError as bad:
        return [Fault.invalid(at, path, f"is an invalid path: {bad}")]
    return []


def fixed(new: Json, old: Json) -> list[Fault]:
    """What may not change once the definition is served."""
    if not is_served(old):
        return []
    paths = ("group", "scope", "names.kind", "names.plural")
    return [
        Fault.invalid(f"spec.{path}", after, "field is immutable")
        for path in paths
        if (after := _at(new["spec"], path)) != _at(old["spec"], path)
    ]


def _at(spec: Json, path: str) -> Any:
    for step in path.split("."):
        spec = spec.get(step) or {}
    return spec


def warnings(obj: Json) -> list[str]:
    """What of a definition is not carried here."""
    versions = (obj.get("spec") or {}).get("versions") or ()
    schemas = [(item.get("schema") or {}).get("openAPIV3Schema") or {} for item in versions]
    if any(structural.rules_of(schema) for schema in schemas):
        return ["this stand-in cluster does not evaluate x-kubernetes-validations"]
    return []
