"""The schemas of Kubernetes' own objects, version by version, and what is wrong with an object by one of them.

`python -m tests.schemas` reads them anew in the API specification of each Go module of Kubernetes, which it downloads,
and keeps those of the kinds that deploy/ has. A field that a version does not know is a fault, as with
`--validate=strict`.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "data" / "kubernetes"
MODULE = "k8s.io/kubernetes"
RELEASES = ("1.28.15", "1.29.6", "1.30.14", "1.31.14", "1.32.13", "1.33.13", "1.34.4", "1.35.4", "1.36.3", "1.37.2")
KINDS = (
    "v1/Namespace",
    "v1/ServiceAccount",
    "v1/ConfigMap",
    "v1/Secret",
    "v1/Service",
    "apps/v1/Deployment",
    "networking.k8s.io/v1/NetworkPolicy",
    "policy/v1/PodDisruptionBudget",
    "flowcontrol.apiserver.k8s.io/v1/FlowSchema",
    "rbac.authorization.k8s.io/v1/Role",
    "rbac.authorization.k8s.io/v1/ClusterRole",
    "rbac.authorization.k8s.io/v1/RoleBinding",
    "rbac.authorization.k8s.io/v1/ClusterRoleBinding",
    "apiextensions.k8s.io/v1/CustomResourceDefinition",
    "scheduling.k8s.io/v1/PriorityClass",
    "admissionregistration.k8s.io/v1/MutatingWebhookConfiguration",
    "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy",
    "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicyBinding",
    "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy",
    "admissionregistration.k8s.io/v1/MutatingAdmissionPolicyBinding",
)
_REF = "#/definitions/"
_KEPT = ("type", "format", "required", "enum", "additionalProperties")

Json = dict[str, Any]


def versions() -> list[str]:
    """Those that are kept, as in "1.28"."""
    return [release.rpartition(".")[0] for release in RELEASES]


def faults(thing: Mapping[str, Any], version: str) -> list[str]:
    """What is wrong with an object, each with its path; a kind that this version has not got is one fault."""
    known = _known(version)
    kind = f"{thing['apiVersion']}/{thing['kind']}"
    if kind not in known["kinds"]:
        return [f"{kind} is not known to Kubernetes {version}"]
    return list(_faults(thing, {"$ref": _REF + known["kinds"][kind]}, known["definitions"], thing["kind"]))


@cache
def _known(version: str) -> Json:
    known: Json = json.loads(gzip.decompress((HERE / f"{version}.json.gz").read_bytes()))
    return known


def _faults(value: Any, schema: Mapping[str, Any], definitions: Mapping[str, Any], path: str) -> Iterator[str]:
    while "$ref" in schema:
        schema = definitions[schema["$ref"].removeprefix(_REF)]
    if not _has_type(value, schema):
        yield f"{path}: {value!r} is not of type {schema['type']}"
    elif isinstance(value, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties")
        yield from (f"{path}.{name} is missing" for name in schema.get("required", ()) if name not in value)
        for name, each in value.items():
            if name in properties:
                yield from _faults(each, properties[name], definitions, f"{path}.{name}")
            elif others is not None:
                yield from _faults(each, others, definitions, f"{path}.{name}")
            elif properties:
                yield f"{path}.{name} is unknown"
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _faults(each, schema.get("items", {}), definitions, f"{path}[{index}]")
    elif value not in schema.get("enum", (value,)):
        yield f"{path}: {value!r} is none of {schema['enum']}"


def _has_type(value: Any, schema: Mapping[str, Any]) -> bool:
    if schema.get("format") == "int-or-string":
        return isinstance(value, int | str)
    match schema.get("type"):
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case _:
            return True  # a schema without a type takes anything


# --- reading them anew ------------------------------------------------------------------------------------------------


def main() -> None:
    HERE.mkdir(parents=True, exist_ok=True)
    for release in RELEASES:
        content = json.dumps(_kept(_downloaded(f"v{release}")), separators=(",", ":"), sort_keys=True).encode()
        (HERE / f"{release.rpartition('.')[0]}.json.gz").write_bytes(gzip.compress(content, 9, mtime=0))
        sys.stdout.write(f"{release}: {len(content)} bytes\n")
        sys.stdout.flush()


def _downloaded(version: str) -> Json:
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "GOMODCACHE": folder, "GOFLAGS": "-modcacherw"}
        command = ["go", "mod", "download", "-json", f"{MODULE}@{version}"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, cwd=folder)
        specification = Path(json.loads(done.stdout)["Dir"], "api", "openapi-spec", "swagger.json")
        read: Json = json.loads(specification.read_text())
        return read


def _kept(specification: Json) -> Json:
    """kinds: group/version/kind → definition. definitions: of these, and all that they name."""
    definitions = specification["definitions"]
    kinds = {
        "/".join(each for each in (known["group"], known["version"], known["kind"]) if each): name
        for name, schema in definitions.items()
        for known in schema.get("x-kubernetes-group-version-kind", ())
    }
    kinds = {kind: name for kind, name in kinds.items() if kind in KINDS}
    kept: Json = {}
    waiting = list(kinds.values())
    while waiting:
        name = waiting.pop()
        if name not in kept:
            kept[name] = _plain(definitions[name])
            waiting += re.findall(rf'"{re.escape(_REF)}([^"]+)"', json.dumps(kept[name]))
    return {"kinds": kinds, "definitions": kept}


def _plain(schema: Any) -> Any:
    """Without descriptions and the like."""
    kept = {name: value for name, value in schema.items() if name in _KEPT}
    if isinstance(others := kept.get("additionalProperties"), dict):
        kept["additionalProperties"] = _plain(others)
    if "$ref" in schema:
        kept["$ref"] = schema["$ref"]
    if "items" in schema:
        kept["items"] = _plain(schema["items"])
    if "properties" in schema:
        kept["properties"] = {name: _plain(each) for name, each in schema["properties"].items()}
    return kept


if __name__ == "__main__":
    main()
